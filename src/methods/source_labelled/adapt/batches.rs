//! Batches of both domains.

use crate::Result;
use crate::train::{Batch, BatchSource, Batches, Input, LabelledBatch, Stream};

/// Images of the source with their labels, and images of the target.
#[derive(Debug)]
pub struct DomainsBatch {
    /// The source's.
    pub source: LabelledBatch,
    /// The target's.
    pub target: Input,
}

impl Batch for DomainsBatch {
    fn samples(&self) -> usize {
        let target = match &self.target {
            Input::Images(images) => images.size()[0],
            Input::Features { values, .. } => values.size()[0],
        };
        self.source.samples() + target as usize
    }
}

/// As many images of each domain in every step; an epoch is a pass over the larger one.
pub struct Domains {
    pub(super) source: Stream,
    pub(super) target: Stream,
    pub(super) steps: usize,
}

impl BatchSource for Domains {
    type Batch = DomainsBatch;

    fn steps(&self) -> usize {
        self.steps
    }

    fn epoch(&mut self, epoch: usize, first: usize) -> Result<Batches<'_, DomainsBatch>> {
        let source = self.source.epoch(epoch, self.steps, first);
        let target = self.target.epoch(epoch, self.steps, first);
        Ok(Box::new(source.zip(target).map(|(source, target)| {
            // what stands for a label there is none
            Ok(DomainsBatch { source: source?, target: target?.input })
        })))
    }
}
