//! Transfer learning on libtorch: what a network learned on one task, put to work on another.

pub mod data;
mod error;
pub mod eval;
pub mod files;
pub mod loss;
pub mod methods;
pub mod models;
pub mod native;
pub mod options;
pub mod report;
pub mod train;

pub use error::{Error, Result};
