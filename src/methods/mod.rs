//! The methods, by which labels exist.

pub mod both_labelled;
pub mod cells;
pub mod options;
pub mod source_labelled;
pub mod tasks;
