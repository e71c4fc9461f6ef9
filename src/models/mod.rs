//! From a source model to a model of one's own: backbones as named stages, heads, selectors, checkpoint formats.

pub mod architecture;
mod backbone;
mod blocks;
pub mod cache;
mod classifier;
mod efficientnet_lite;
pub mod formats;
#[cfg(test)]
mod goldens;
mod head;
mod init;
pub mod layers;
pub mod names;
mod recognise;
pub mod registry;
mod resnet;
mod selector;
mod store;
pub mod transfer;

pub use architecture::{ARCHITECTURES, build};
pub use backbone::{Backbone, Stage};
#[cfg(test)]
pub(crate) use classifier::tests::small as small_classifier;
pub use classifier::{Classifier, Spec};
pub use head::{Head, HeadKind};
pub use init::Init;
pub use recognise::recognise;
pub use registry::SourceModel;
pub use selector::{Outline, Selector};
pub use store::{Builder, Entry, Role, Scope, Store};
