//! From a source model to a model of one's own: backbones as named stages, heads, selectors, checkpoint formats.

mod alexnet;
pub mod architecture;
mod backbone;
mod blocks;
pub mod cache;
mod classifier;
mod convnext;
mod densenet;
mod efficientnet;
mod efficientnet_lite;
mod export;
pub mod formats;
#[cfg(test)]
mod goldens;
mod head;
mod head_choice;
mod inception;
mod init;
mod lateral;
pub mod layers;
mod mobilenet_v2;
mod mobilenet_v3;
pub mod names;
mod open;
mod progressive;
mod recognise;
pub mod registry;
mod resnet;
mod selector;
mod small_cnn;
mod squeezenet;
mod store;
pub mod torchscript;
pub mod transfer;
mod vgg;
mod vision_transformer;

pub use architecture::{architectures, build};
pub use backbone::{Backbone, FeatureForm, Stage};
pub(crate) use classifier::EARLIER_HEAD;
#[cfg(test)]
pub(crate) use classifier::tests::small as small_classifier;
pub use classifier::{Classifier, EarlierTask, Spec};
pub use export::ExportFormat;
pub use head::{Head, HeadKind};
pub use head_choice::HeadChoice;
pub use init::Init;
pub use open::Named;
pub(crate) use open::OF_RUN;
pub use progressive::LateralName;
pub use recognise::recognise;
pub use registry::SourceModel;
pub(crate) use selector::lies_under;
pub use selector::{Outline, Selector};
pub use store::{Builder, Entry, Role, Scope, Store};
