//! Losses that more than one method uses.

mod cross_entropy;
mod discrepancy;
mod distillation;
mod entropy;
mod features;
#[cfg(test)]
mod golden;
mod grad_norm;
mod gradient_penalty;
mod ranking;
mod starting_point;
mod uncertainty;
mod virtual_adversarial;

pub use cross_entropy::{CrossEntropy, balancing_weights};
pub use discrepancy::{discrepancy, gaussian_kernels};
pub use distillation::distillation;
pub use entropy::entropy;
pub use features::{StageFeatures, feature_distance};
pub use grad_norm::{TaskState, grad_norm, renormalised_weights};
pub use gradient_penalty::gradient_penalty;
pub use ranking::{Ranking, pull};
pub use starting_point::StartingPoint;
pub use uncertainty::uncertainty_weighted;
pub use virtual_adversarial::{divergence, virtual_adversarial};
