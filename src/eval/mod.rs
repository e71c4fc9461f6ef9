//! What a model is worth: metrics from logits and labels, calibration, and the mistakes to look at; and what a source
//! model will be worth, forecast before any training ([`transferability`]), and how good the forecast was ([`rank`]).
//!
//! What is measured starts at [`Predictions`], which holds logits and labels that belong together; [`Evaluation`] is the
//! whole of it in one value that can be written to a file.
//!
//! ```
//! use regraft::eval::{Evaluation, Predictions};
//!
//! let logits = tch::Tensor::from_slice2(&[[2.0f32, 0.0], [0.0, 1.0], [0.5, 0.0]]);
//! let predictions = Predictions::new(&logits, &[0, 1, 1])?;
//! let evaluation = Evaluation::of(&predictions, &["ants".into(), "bees".into()])?;
//! assert!((evaluation.accuracy - 2.0 / 3.0).abs() < 1e-12);
//! assert_eq!(evaluation.confusion, [[1, 0], [1, 1]]);
//! # Ok::<(), regraft::Error>(())
//! ```

mod a_distance;
mod calibration;
mod classification;
mod evaluation;
mod generalised;
mod hierarchy;
mod hubness;
mod label_shift;
mod metric;
mod open_set;
mod oracle;
mod predictions;
pub mod rank;
mod selection;
mod spread;
mod temperature;
pub mod transferability;
mod zero_shot;

pub use a_distance::proxy_a_distance;
pub use calibration::{Calibration, ReliabilityBin, brier_score};
pub use classification::{Averages, ClassScores, ConfusionMatrix, accuracy, negative_log_likelihood, top_k_accuracy};
pub use evaluation::{ClassReport, Evaluation};
pub use generalised::{Generalised, Point};
pub use hierarchy::Hierarchy;
pub use hubness::hubness;
pub use label_shift::{missing_classes, target_shares};
pub use metric::{Metric, Unit};
pub use open_set::unsure_share;
pub(crate) use oracle::OracleKey;
pub use oracle::oracle_accuracy;
pub use predictions::{Mistake, Predictions};
pub use selection::{Selection, Unsupervised};
pub use spread::Spread;
pub use temperature::Temperature;
pub use zero_shot::{ClassShare, ZeroShotScores};
