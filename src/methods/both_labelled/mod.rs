//! Source and target labelled: what was learned on one labelled task helps another.

pub mod conserve;
pub mod finetune;
pub mod layers;
pub mod matrix;
pub mod multitask;
pub mod progressive;
