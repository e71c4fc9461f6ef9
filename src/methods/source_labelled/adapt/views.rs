//! Other views of the same images, drawn anew for every step on the device where they lie.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::{Error, Result};

/// What may differ between two views of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Moved by up to an eighth of its half side, turned, sheared and scaled: the identity and a tenth of a normal matrix
    Shape,
    /// Gaussian noise of standard deviation 0.2
    Noise,
    /// Every channel times 0.25 to 1.5 and plus −1 to 1
    Tone,
    /// Mirrored at the mean colour, for one image in two
    Invert,
}

/// Another view of normalised images, in which everything listed has changed.
///
/// The sizes are those of French et al. 2018, who scale pixels to −1..1; here they are for pixels that a standard deviation of about a
/// quarter has divided.
///
/// # Shapes
/// `x: [N, C, H, W]` f32 → the same
///
/// # Errors
/// What is no image, but features that frozen stages have made.
pub fn view(x: &Tensor, changes: &[Change]) -> Result<Tensor> {
    let size = x.size();
    let &[images, channels @ (1 | 3), _, _] = size.as_slice() else {
        let reason = "other views are of images, but frozen stages have made features of them; freeze less";
        return Err(Error::Usage(reason.into()));
    };
    let options = (Kind::Float, x.device());
    let each = [images, channels, 1, 1];
    let mut x = x.shallow_clone();
    for change in changes {
        x = match change {
            Change::Shape => {
                let turned =
                    Tensor::f_eye(2, options)?.f_add(&Tensor::f_randn([images, 2, 2], options)?.f_mul_scalar(0.1)?)?;
                let moved = Tensor::f_rand([images, 2, 1], options)?.f_sub_scalar(0.5)?.f_mul_scalar(0.25)?;
                let grid = Tensor::f_affine_grid_generator(&Tensor::f_cat(&[turned, moved], 2)?, &size, false)?;
                let (bilinear, border) = (0, 1);
                x.f_grid_sampler(&grid, bilinear, border, false)?
            }
            Change::Noise => x.f_add(&x.f_randn_like()?.f_mul_scalar(0.2)?)?,
            Change::Tone => {
                let gain = Tensor::f_rand(each, options)?.f_mul_scalar(1.25)?.f_add_scalar(0.25)?;
                let offset = Tensor::f_rand(each, options)?.f_mul_scalar(2.0)?.f_sub_scalar(1.0)?;
                x.f_mul(&gain)?.f_add(&offset)?
            }
            Change::Invert => {
                let sign = Tensor::f_rand([images, 1, 1, 1], options)?.f_sub_scalar(0.5)?.f_sign()?;
                x.f_mul(&sign)?
            }
        };
    }
    Ok(x)
}
