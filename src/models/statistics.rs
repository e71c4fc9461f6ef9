//! What becomes of the statistics of a batch-norm layer: they follow the batches, stay, or become a plain mean.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Says to one batch-norm layer what becomes of its statistics.
pub(crate) type Switch = Arc<Statistics>;

/// How a batch-norm layer keeps its statistics.
#[derive(Debug, Default)]
pub(crate) struct Statistics {
    /// Whether they stay as they are.
    held: AtomicBool,
    /// How many batches they are the plain mean of, the next included; 0 where they follow the batches by their momentum.
    averaged: AtomicU64,
}

impl Statistics {
    /// Whether they stay as they are.
    pub(crate) fn are_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// Lets them stay as they are, or move again.
    pub(crate) fn hold(&self, held: bool) {
        self.held.store(held, Ordering::Relaxed);
    }

    /// Makes them the plain mean of this many batches, the next included; 0 for what was before.
    pub(crate) fn average(&self, batches: u64) {
        self.averaged.store(batches, Ordering::Relaxed);
    }

    /// Whether they are taken from the batch that comes, in training or not.
    pub(crate) fn are_taken(&self, train: bool) -> bool {
        (train && !self.are_held()) || self.averaged.load(Ordering::Relaxed) > 0
    }

    /// What the next batch weighs in them, where that is `momentum` if nothing else is said.
    pub(crate) fn momentum(&self, momentum: f64) -> f64 {
        match self.averaged.load(Ordering::Relaxed) {
            0 => momentum,
            batches => 1.0 / batches as f64,
        }
    }
}
