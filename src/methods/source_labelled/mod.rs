//! Source labelled, target not: what was learned on labelled images is carried over to unlabelled ones that look different.
//!
//! [`adapt`] is what all of these have in common, and every method is a file of its own; [`on_features`] is for features that others
//! computed. [`zero_shot`] names classes of which there is no image at all, by what is said of them.

pub mod adapt;
pub mod on_features;
pub mod zero_shot;

mod ada_bn;
mod adda;
mod cdan;
mod coral;
mod dan;
mod dann;
mod deep_coral;
mod dirt_t;
#[cfg(test)]
mod goldens;
mod jan;
mod mcc;
mod mcd;
mod mean_teacher;
mod self_training;
mod source_only;
mod subspace_alignment;
mod vada;
