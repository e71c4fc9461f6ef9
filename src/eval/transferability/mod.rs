//! How well a source model will do on a target task, forecast before any training from what it makes of the target's images.
//!
//! | score | from | range | what it assumes |
//! |---|---|---|---|
//! | [`log_me`] | features | unbounded | a linear head on fixed features, fitted to one-hot classes under Gaussian noise |
//! | [`h_score`] | features | 0..min(D, K − 1) | a linear head on fixed features, and many more images than features |
//! | [`shrunk_h_score`] | features | 0..min(D, K − 1) | a linear head on fixed features |
//! | [`leep`] | source probabilities | −∞..0 | source classes that say something about the target's |
//! | [`nce`] | source classes | −ln K..0 | the same, and that the most probable source class says all of it |
//!
//! N images, D features, K target classes. Higher is better in all of them. They order source models by how well these are
//! expected to do on *one* target, with the same images for each; across targets, or one score beside another, the numbers
//! mean nothing. All take the network as it is: what fine-tuning can change in it, they cannot see. How good a forecast was is
//! for [`rank`](super::rank) to say.
//!
//! Everything is computed in f64 on the CPU, whatever device and number format the features come in. Classes without an image
//! are left out, so K is the number of classes that are present; the numbering of the classes makes no difference.
//!
//! ```
//! use regraft::eval::transferability::{h_score, log_me};
//!
//! // the first feature tells the classes apart, the second knows nothing about them
//! let features = tch::Tensor::from_slice2(&[[1.0f32, 0.3], [1.1, -0.2], [-0.9, 0.1], [-1.0, -0.4], [-1.1, 0.2]]);
//! let [good, bad] = [0, 1].map(|column| features.narrow(1, column, 1));
//! let labels = [0, 0, 1, 1, 1];
//! assert!(log_me(&good, &labels, 2)? > log_me(&bad, &labels, 2)?);
//! assert!(h_score(&good, &labels, 2)? > 0.9 && h_score(&bad, &labels, 2)? < 0.2);
//! # Ok::<(), regraft::Error>(())
//! ```

mod h_score;
mod leep;
mod log_me;
mod nce;

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};

use crate::{Error, Result};

pub use h_score::{h_score, shrunk_h_score};
pub use leep::leep;
pub use log_me::log_me;
pub use nce::nce;

/// What a model makes of images, and the classes they are of; checked.
struct Samples {
    /// A row per image: `[N, D] f64`, finite, on the CPU.
    rows: Tensor,
    /// 1 where the image is of the class, of those that are present: `[N, K] f64`.
    membership: Tensor,
    /// Images per class: `[K] f64`.
    counts: Tensor,
}

impl Samples {
    /// Checks that `rows` (for messages: the `what` of `score`) are finite numbers, and that they fit the labels.
    fn new(score: &str, what: &str, rows: &Tensor, labels: &[usize], classes: usize) -> Result<Self> {
        let shape = rows.size();
        let [count, width] = shape[..] else {
            return Err(Error::Data(format!("{score}: the {what} have shape {shape:?}, expected [images, {what}]")));
        };
        if count != labels.len() as i64 {
            return Err(Error::Data(format!("{score}: {count} rows of {what} for {} labels", labels.len())));
        }
        if width == 0 {
            return Err(Error::Data(format!("{score}: rows of no {what}, expected at least one")));
        }
        let numbers = numbered(score, labels, classes)?;
        let present = numbers.iter().max().map_or(0, |last| last + 1);
        let rows = rows.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?.f_contiguous()?;
        let finite = Vec::<bool>::try_from(rows.f_isfinite()?.f_all_dim(1, false)?)?;
        if let Some(image) = finite.iter().position(|finite| !finite) {
            return Err(Error::Data(format!(
                "{score}: the {what} of image {image} are not all finite; the precision may be too low (try f32)"
            )));
        }
        let membership = Tensor::from_slice(&numbers).f_one_hot(present)?.f_to_kind(Kind::Double)?;
        let counts = membership.f_sum_dim_intlist(0i64, false, Kind::Double)?;
        Ok(Self { rows, membership, counts })
    }

    /// N.
    fn len(&self) -> f64 {
        self.rows.size()[0] as f64
    }

    /// D.
    fn width(&self) -> f64 {
        self.rows.size()[1] as f64
    }
}

/// The number of each label among those that are present, from 0 and without gaps.
fn numbered(score: &str, labels: &[usize], classes: usize) -> Result<Vec<i64>> {
    if let Some((image, label)) = labels.iter().enumerate().find(|(_, label)| **label >= classes) {
        return Err(Error::Data(format!("{score}: image {image} has class {label}, but there are {classes} classes")));
    }
    let mut numbers: BTreeMap<usize, i64> = labels.iter().map(|&label| (label, 0)).collect();
    if numbers.len() < 2 {
        return Err(Error::Data(format!(
            "{score}: images of {} class{}, expected at least two to tell apart",
            numbers.len(),
            if numbers.len() == 1 { "" } else { "es" }
        )));
    }
    numbers.values_mut().zip(0..).for_each(|(number, next)| *number = next);
    Ok(labels.iter().map(|label| numbers[label]).collect())
}

#[cfg(test)]
pub(in crate::eval) mod tests;
