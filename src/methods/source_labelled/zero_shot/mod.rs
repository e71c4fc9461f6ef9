//! Zero-shot learning: classes of which there is no image, known only by what is said of them (source labelled, target not).
//!
//! What is said of classes are vectors, of their names ([`crate::text`]) or attributes ([`ClassTable`](crate::data::ClassTable)); the source's
//! classes have images and such vectors, the target's only vectors.
//!
//! | method | how | file |
//! |---|---|---|
//! | ConSE | an image is the mixture of the source's classes that it looks like; nothing is learned | `conse.rs` |
//! | DAP | attributes are recognised one by one, and classes looked up by them | `dap.rs` |
//! | IAP | seen classes are recognised, and lend their attributes | `iap.rs` |
//! | joint embedding | two networks into one space, ahead of the hardest other class | `joint.rs` |
//! | DeViSE, ALE, SJE | a linear map, ahead of all, the first, the closest of the other classes | `devise.rs`, `ale.rs`, `sje.rs` |
//! | ESZSL | features and descriptions matched by one linear map; closed form | `eszsl.rs` |
//! | SAE | features as a linear code of descriptions that also gives them back; closed form | `sae.rs` |
//! | f-CLSWGAN | features of unseen classes are made up, and learned | `cls_wgan.rs` |
//! | attraction alone | what collapses, to see it | `pull.rs` |
//!
//! [`train`] lets the network learn, too, by what the ranking methods minimise, and keeps a model that names any class.
//!
//! What scores are worth is measured by [`ZeroShotScores`](crate::eval::ZeroShotScores) among unseen classes, and by
//! [`Generalised`](crate::eval::Generalised) among all. [`compare`](fn@compare) puts the methods that learn from features side by side on a
//! [`Task`].

mod ale;
mod attributes;
mod class_options;
pub mod cls_wgan;
mod collapse;
mod compare;
pub mod conse;
pub mod dap;
mod devise;
mod embedding;
pub mod eszsl;
#[cfg(test)]
mod goldens;
pub mod iap;
mod joint;
mod learn;
mod method;
mod pull;
pub mod sae;
mod sje;
mod task;
pub mod train;

pub use class_options::{ClassOptions, ClassVectors};
pub use compare::{Course, MethodScores, compare};
pub use learn::{COMPARED, Place};
pub use method::{Method, Setting};
pub use task::{Scaling, Task};
use tch::{Kind, Tensor};

use crate::{Error, Result};

/// The labels as an index, on the features' device.
///
/// # Errors
/// Not one label for each image, or one that is no class.
fn checked(features: &Tensor, labels: &[usize], classes: i64) -> Result<Tensor> {
    let images = features.size2()?.0;
    if images == 0 || images != labels.len() as i64 || labels.iter().any(|&label| label as i64 >= classes) {
        return Err(Error::Data(format!("{} labels among {classes} classes for {images} images", labels.len())));
    }
    let index: Vec<i64> = labels.iter().map(|&label| label as i64).collect();
    Ok(Tensor::f_from_slice(&index)?.f_to_device(features.device())?)
}

/// 1 where an image is of a class, −1 elsewhere: `[N, C]` f64.
fn seen_signs(features: &Tensor, labels: &[usize], classes: i64) -> Result<Tensor> {
    let index = checked(features, labels, classes)?;
    Ok(index.f_one_hot(classes)?.f_to_kind(Kind::Double)?.f_mul_scalar(2.0)?.f_sub_scalar(1.0)?)
}

/// Eigenvalues and eigenvectors of XᵀX.
fn spectrum(x: &Tensor) -> Result<(Tensor, Tensor)> {
    Ok(x.f_tr()?.f_matmul(x)?.f_linalg_eigh("L")?)
}
