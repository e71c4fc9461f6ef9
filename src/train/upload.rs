//! Batches that are copied to a CUDA device one ahead of the step that uses them.

use tch::Device;

use super::sources::{Input, LabelledBatch};
use crate::Result;
use crate::data::{Epoch, ImageBatch};
use crate::native::Upload;

/// The batches of an epoch on `device`: each one's copy begins when the one before it is handed out.
pub(super) struct Uploads<'a> {
    batches: Epoch<'a>,
    device: Device,
    ahead: Option<Result<[Upload; 2]>>,
}

impl<'a> Uploads<'a> {
    pub(super) fn new(batches: Epoch<'a>, device: Device) -> Self {
        let mut uploads = Self { batches, device, ahead: None };
        uploads.begin();
        uploads
    }

    fn begin(&mut self) {
        let begin = |batch: Result<ImageBatch>| {
            let ImageBatch { images, labels, .. } = batch?;
            Ok([Upload::begin(&images, self.device)?, Upload::begin(&labels, self.device)?])
        };
        self.ahead = self.batches.next().map(begin);
    }
}

impl Iterator for Uploads<'_> {
    type Item = Result<LabelledBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let current = self.ahead.take()?;
        self.begin();
        Some(current.and_then(|[images, labels]| {
            Ok(LabelledBatch { input: Input::Images(images.end()?), labels: labels.end()? })
        }))
    }
}
