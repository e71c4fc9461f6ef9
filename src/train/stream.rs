//! One of several sources that a step takes from: an endless sequence of passes over its images.

use super::objective::Batches;
use super::sources::{LabelledBatch, Source};
use crate::data::Sampler;

/// The endless sequence of shuffled passes over the images of a source, of which every step takes the same number. Which these
/// are depends on the sampler's seed, the epoch and the step alone.
pub struct Stream {
    source: Source,
    sampler: Sampler,
    labels: Vec<usize>,
    images: usize,
}

impl Stream {
    /// The images of `source`, which have these `labels`; so many in every step.
    pub fn new(source: Source, sampler: Sampler, labels: Vec<usize>, images: usize) -> Self {
        Self { source, sampler, labels, images }
    }

    /// How many images a step takes.
    pub fn images(&self) -> usize {
        self.images
    }

    /// The batches of an epoch of so many `steps`, from number `first` on.
    pub fn epoch(&self, epoch: usize, steps: usize, first: usize) -> Batches<'_, LabelledBatch> {
        let taken = steps * self.images;
        self.source.visit(passes(self.sampler, &self.labels, epoch * taken, taken), epoch, first)
    }
}

/// `count` images from number `from` on of the endless sequence of passes over images with these `labels`.
fn passes(sampler: Sampler, labels: &[usize], from: usize, count: usize) -> Vec<usize> {
    let (size, mut order) = (labels.len(), Vec::with_capacity(count));
    let mut next = from;
    while order.len() < count {
        let (pass, start) = (next / size, next % size);
        let taken = (size - start).min(count - order.len());
        order.extend_from_slice(&sampler.order(pass as u64, labels)[start..start + taken]);
        next += taken;
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_follow_each_other_without_a_gap_wherever_they_are_cut() {
        let labels: Vec<usize> = (0..7).map(|index| index % 2).collect();
        for sampler in [Sampler::Shuffled { seed: 3 }, Sampler::Balanced { seed: 3 }] {
            let whole = passes(sampler, &labels, 0, 50);
            assert_eq!(whole[..7], sampler.order(0, &labels));
            assert_eq!(whole[14..21], sampler.order(2, &labels));
            for (from, count) in [(0, 3), (3, 9), (20, 30), (49, 1)] {
                assert_eq!(passes(sampler, &labels, from, count), whole[from..from + count]);
            }
        }
        let mut seen = passes(Sampler::Shuffled { seed: 1 }, &labels, 0, 7);
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6]);
    }
}
