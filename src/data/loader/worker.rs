//! What a worker thread does, and the batch that it fills.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::Receiver;
use tch::{Device, Kind, Tensor};

use crate::data::{Draw, SampleSource};
use crate::{Error, Result, native};

/// One image to make, and where it goes.
pub(super) struct Job {
    pub(super) draw: Draw,
    pub(super) position: usize,
    pub(super) batch: Arc<Batch>,
}

/// A batch that workers fill.
pub(super) struct Batch {
    state: Mutex<State>,
    complete: Condvar,
    /// Nobody waits for this batch any more.
    cancelled: Arc<AtomicBool>,
}

struct State {
    images: Tensor,
    missing: usize,
    /// The failure at the lowest position, so that which one is reported does not depend on timing.
    failure: Option<(usize, Error)>,
}

impl Batch {
    pub(super) fn new(images: usize, side: u32, device: Device, cancelled: Arc<AtomicBool>) -> Result<Self> {
        let size = [images as i64, side.into(), side.into(), 3];
        let pixels = match device {
            Device::Cuda(_) => native::empty_pinned(&size)?,
            _ => Tensor::f_empty(size, (Kind::Uint8, Device::Cpu))?,
        };
        let state = State { images: pixels, missing: images, failure: None };
        Ok(Self { state: Mutex::new(state), complete: Condvar::new(), cancelled })
    }

    /// The images, once all are there.
    pub(super) fn wait(&self) -> Result<Tensor> {
        let state = self.complete.wait_while(self.lock(), |state| state.missing > 0);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        match state.failure.take() {
            Some((_, error)) => Err(error),
            None => Ok(state.images.shallow_clone()),
        }
    }

    fn finish(&self, position: usize, pixels: Result<&[u8]>) {
        let mut state = self.lock();
        let written = pixels.and_then(|pixels| native::write_bytes(&state.images, position * pixels.len(), pixels));
        if let Err(error) = written {
            let first = state.failure.as_ref().is_none_or(|(earlier, _)| position < *earlier);
            if first {
                state.failure = Some((position, error));
            }
        }
        state.missing -= 1;
        if state.missing == 0 {
            self.complete.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Works on jobs until there can be no more.
pub(super) fn run(source: &dyn SampleSource, jobs: &Receiver<Job>, decoded: &AtomicU64) {
    let mut pixels = Vec::new();
    for Job { draw, position, batch } in jobs {
        if batch.cancelled.load(Ordering::Relaxed) {
            continue;
        }
        // The buffer is overwritten by the next image, whatever state a panic leaves it in.
        let made = catch_unwind(AssertUnwindSafe(|| make(source, draw, &mut pixels)));
        let made = made.unwrap_or_else(|panic| Err(panicked(source, draw.index, panic.as_ref())));
        if made.is_ok() {
            decoded.fetch_add(1, Ordering::Relaxed);
        }
        batch.finish(position, made.map(|()| pixels.as_slice()));
    }
}

fn make(source: &dyn SampleSource, draw: Draw, pixels: &mut Vec<u8>) -> Result<()> {
    if draw.index >= source.len() {
        let (index, images) = (draw.index, source.len());
        return Err(Error::Data(format!("the order of an epoch asks for image {index}, but there are {images}")));
    }
    source.pixels(draw, pixels)?;
    let expected = source.side() as usize * source.side() as usize * 3;
    if pixels.len() != expected {
        let (name, found) = (source.name(draw.index), pixels.len());
        return Err(Error::Data(format!("{name}: {found} bytes of pixels, expected {expected}")));
    }
    Ok(())
}

fn panicked(source: &dyn SampleSource, index: usize, panic: &(dyn Any + Send)) -> Error {
    let message = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    let name = catch_unwind(AssertUnwindSafe(|| source.name(index))).unwrap_or_else(|_| format!("image {index}"));
    Error::Data(format!("{name}: reading it failed unexpectedly: {}", message.unwrap_or("no reason given")))
}
