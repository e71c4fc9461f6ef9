//! The loader: worker threads that decode, resize and augment ahead of the training step.
//!
//! Work is handed out image by image, so all workers finish the next batch before they go on to the one after it. Only
//! so many batches are under way at once; that bounds the memory, and a slow consumer stops the workers. Which thread
//! makes an image does not matter to its pixels, so batches are the same for any number of workers.

#[cfg(test)]
mod tests;
mod worker;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use tch::{Device, Kind, Tensor};

use super::{Draw, SampleSource};
use crate::{Error, Result};
use worker::{Batch, Job};

/// How a [`Loader`] works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Images in a batch.
    pub batch_size: usize,
    /// Worker threads; 0 for one per core.
    pub workers: usize,
    /// Batches that are under way or ready while the consumer works on one.
    pub prefetch_batches: usize,
    /// Whether to leave out a last batch that is not full.
    pub drop_last: bool,
    /// Where the batches will be used: for CUDA they are made in memory that the device reads by itself.
    pub device: Device,
}

impl Default for LoaderOptions {
    fn default() -> Self {
        Self { batch_size: 32, workers: 0, prefetch_batches: 2, drop_last: false, device: Device::Cpu }
    }
}

/// A batch as the loader delivers it, on the CPU.
#[derive(Debug)]
pub struct ImageBatch {
    /// `[N, H, W, 3] u8`.
    pub images: Tensor,
    /// `[N] i64`.
    pub labels: Tensor,
    /// Which images of the source these are.
    pub indices: Vec<usize>,
}

/// Worker threads over one source of images; they live as long as this value and serve one epoch after the other.
pub struct Loader {
    source: Arc<dyn SampleSource>,
    options: LoaderOptions,
    /// `None` only while dropping: the workers end when it is gone.
    jobs: Option<Sender<Job>>,
    workers: Vec<JoinHandle<()>>,
    decoded: Arc<AtomicU64>,
    waited_nanoseconds: AtomicU64,
}

impl Loader {
    /// Starts the workers.
    ///
    /// # Errors
    /// A batch of no images, no prefetching, or threads that the system refuses.
    pub fn new(source: Arc<dyn SampleSource>, options: LoaderOptions) -> Result<Self> {
        for (option, value) in
            [("batch size", options.batch_size), ("number of prefetched batches", options.prefetch_batches)]
        {
            if value == 0 {
                return Err(Error::Usage(format!("the {option} is 0, but must be at least 1")));
            }
        }
        let count = match options.workers {
            0 => std::thread::available_parallelism().map_or(1, Into::into),
            count => count,
        };
        let (jobs, queue) = crossbeam_channel::unbounded();
        let decoded = Arc::new(AtomicU64::new(0));
        // Built before the threads start, so that those already running end if a later one cannot start.
        let mut loader = Self {
            source,
            options,
            jobs: Some(jobs),
            workers: Vec::with_capacity(count),
            decoded,
            waited_nanoseconds: AtomicU64::new(0),
        };
        for number in 0..count {
            let (source, queue, decoded) = (loader.source.clone(), queue.clone(), loader.decoded.clone());
            let thread = std::thread::Builder::new()
                .name(format!("loader-{number}"))
                .spawn(move || worker::run(source.as_ref(), &queue, &decoded))
                .map_err(|error| {
                    Error::Data(format!("worker {} of {count} could not start: {error}; ask for fewer", number + 1))
                })?;
            loader.workers.push(thread);
        }
        Ok(loader)
    }

    /// The batches of `order`, positions in the source, from batch number `first_batch` on; what comes before it is not
    /// decoded. Dropping the iterator stops the work on it.
    pub fn epoch(&self, order: Vec<usize>, epoch: u64, first_batch: usize) -> Epoch<'_> {
        let mut seen = vec![0; self.source.len()];
        let repeats = order
            .iter()
            .map(|&index| {
                // An index outside the source is an error when its batch comes.
                seen.get_mut(index).map_or(0, |seen| std::mem::replace(seen, *seen + 1))
            })
            .collect();
        let mut epoch = Epoch {
            loader: self,
            order,
            repeats,
            epoch,
            next_batch: first_batch,
            under_way: VecDeque::with_capacity(self.options.prefetch_batches),
            cancelled: Arc::new(AtomicBool::new(false)),
            failure: None,
        };
        epoch.fill();
        epoch
    }

    /// How many batches an epoch over `images` images has.
    pub fn batches(&self, images: usize) -> usize {
        if self.options.drop_last { images / self.options.batch_size } else { images.div_ceil(self.options.batch_size) }
    }

    /// The most memory that this loader's own buffers take, in bytes: the batches ahead of the consumer, and one image
    /// per worker. Decoding adds, per worker, one image in its full size.
    pub fn memory_bound(&self) -> u64 {
        let side = u64::from(self.source.side());
        let images = self.options.prefetch_batches * self.options.batch_size + self.workers.len();
        side * side * 3 * images as u64
    }

    /// How long consumers have waited for batches so far, over all epochs.
    pub fn data_wait(&self) -> Duration {
        Duration::from_nanos(self.waited_nanoseconds.load(Ordering::Relaxed))
    }

    /// How many images were made so far, over all epochs.
    pub fn images_decoded(&self) -> u64 {
        self.decoded.load(Ordering::Relaxed)
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.jobs = None;
        for worker in self.workers.drain(..) {
            // Workers catch panics, so there is nothing to learn from how one ended.
            let _ = worker.join();
        }
    }
}

/// The batches of one epoch, in order. After an error there are no more.
pub struct Epoch<'a> {
    loader: &'a Loader,
    order: Vec<usize>,
    repeats: Vec<u64>,
    epoch: u64,
    /// The next batch to hand out to the workers.
    next_batch: usize,
    under_way: VecDeque<(usize, Arc<Batch>)>,
    cancelled: Arc<AtomicBool>,
    failure: Option<Error>,
}

impl Epoch<'_> {
    /// The positions in `order` that make up `batch`.
    fn span(&self, batch: usize) -> std::ops::Range<usize> {
        let size = self.loader.options.batch_size;
        batch * size..((batch + 1) * size).min(self.order.len())
    }

    /// Hands out batches until as many are under way as may be.
    fn fill(&mut self) {
        while self.under_way.len() < self.loader.options.prefetch_batches
            && self.next_batch < self.loader.batches(self.order.len())
            && self.failure.is_none()
        {
            if let Err(error) = self.submit() {
                self.failure = Some(error);
            }
        }
    }

    fn submit(&mut self) -> Result<()> {
        let span = self.span(self.next_batch);
        let device = self.loader.options.device;
        let batch = Arc::new(Batch::new(span.len(), self.loader.source.side(), device, self.cancelled.clone())?);
        for (position, at) in span.enumerate() {
            let draw = Draw { index: self.order[at], epoch: self.epoch, repeat: self.repeats[at] };
            let job = Job { draw, position, batch: batch.clone() };
            // The channel is open as long as the loader lives, and this value borrows it.
            if self.loader.jobs.as_ref().is_none_or(|jobs| jobs.send(job).is_err()) {
                return Err(Error::Data("the loader has no workers left".into()));
            }
        }
        self.under_way.push_back((self.next_batch, batch));
        self.next_batch += 1;
        Ok(())
    }

    fn collect(&mut self, number: usize, batch: &Batch) -> Result<ImageBatch> {
        let start = Instant::now();
        let images = batch.wait();
        let waited = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.loader.waited_nanoseconds.fetch_add(waited, Ordering::Relaxed);
        let images = images?;
        let indices = self.order[self.span(number)].to_vec();
        let labels: Vec<i64> = indices.iter().map(|&index| self.loader.source.label(index) as i64).collect();
        Ok(ImageBatch { images, labels: Tensor::f_from_slice(&labels)?.f_to_kind(Kind::Int64)?, indices })
    }
}

impl Iterator for Epoch<'_> {
    type Item = Result<ImageBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some((number, batch)) = self.under_way.pop_front() else {
            return self.failure.take().map(|error| {
                self.next_batch = usize::MAX;
                Err(error)
            });
        };
        let result = self.collect(number, &batch);
        if result.is_ok() {
            self.fill();
        } else {
            self.cancelled.store(true, Ordering::Relaxed);
            self.under_way.clear();
            self.failure = None;
            self.next_batch = usize::MAX;
        }
        Some(result)
    }
}

impl Drop for Epoch<'_> {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}
