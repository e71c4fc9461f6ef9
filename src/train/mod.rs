//! The engine: one epoch loop for every method that learns by gradient, and what it needs.

pub mod batch_size;
mod checkpoint;
pub mod cuda;
pub mod device;
mod ema;
mod feature_cache;
mod fit;
mod freezing;
pub mod inference;
pub mod lr_find;
pub mod memory;
mod objective;
pub mod observe;
mod optimizer;
mod precision;
mod profile;
mod schedule;
mod sources;
mod stream;
mod upload;

pub use checkpoint::{Checkpoint, Running, State};
pub use ema::Ema;
pub use feature_cache::{cached_stages, feature_cache};
pub use fit::{FitOptions, Fitted, Site, fit};
pub use freezing::{Freezing, LrScale, NormPolicy, Plan, UnfreezeAt};
pub use lr_find::RateCurve;
pub use objective::{Assessment, Batch, BatchSource, Batches, Objective, Parts, Score};
pub use optimizer::{Optimizer, OptimizerOptions, Rule};
pub use precision::{GradientScaler, Precision};
pub use profile::{Part, Profiler};
pub use schedule::{Plateau, Progress, Schedule, Shape, range_test};
pub use sources::{FeatureSource, Features, ImageSource, Input, LabelledBatch, Source};
pub use stream::Stream;
