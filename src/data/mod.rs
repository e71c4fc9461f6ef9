//! Image sets, how they are split, and how their pixels become batches.

mod augment;
mod check;
mod counts;
mod decode;
mod folder;
#[cfg(test)]
mod golden;
mod idx;
mod image_set;
mod imagenet;
mod jpeg;
mod labels;
mod loader;
mod mix;
mod normalise;
mod open;
mod part;
mod preprocessing;
mod random;
mod sampler;
mod samples;
mod split;
mod synthetic;
mod transform;

pub use augment::{Augmentation, ColorJitter, ErasingFill, RandAugment, TrainTransform};
pub use check::{Broken, leave_out_broken};
pub use counts::ClassCounts;
pub use decode::{MAX_PIXELS, decode, decode_bytes};
pub use folder::FolderSet;
pub use idx::IdxSet;
pub use image_set::{Choose, ImageSet};
pub use imagenet::{Imagenet, open_imagenet};
pub use labels::{HeldOut, Labelled, Unlabelled};
pub use loader::{Epoch, ImageBatch, Loader, LoaderOptions};
pub use mix::{Mix, soft_targets};
pub use normalise::normalise;
pub use open::{OpenOptions, Splits, open_data, open_data_observed, open_for_evaluation};
pub use part::{Part, Region};
pub use preprocessing::{Interpolation, Preprocessing, PreprocessingOptions};
pub use random::{Purpose, stream};
pub use sampler::Sampler;
pub use samples::{Draw, SampleSource, Samples, Transform};
pub use split::{Split, shots, stratified};
pub use synthetic::{SyntheticOptions, SyntheticSet};
pub use transform::{EvaluationTransform, resized_size};
