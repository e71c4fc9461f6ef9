//! Losses that more than one method uses.

mod cross_entropy;

pub use cross_entropy::{CrossEntropy, balancing_weights};
