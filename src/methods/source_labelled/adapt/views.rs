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

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn every_change_is_what_it_says() -> Result<()> {
        tch::manual_seed(3);
        let x = Tensor::rand([64, 3, 8, 8], (Kind::Float, Device::Cpu));
        let far = |a: &Tensor, b: &Tensor| f64::try_from((a - b).abs().max()).unwrap();
        for change in [Change::Shape, Change::Noise, Change::Tone, Change::Invert] {
            let other = view(&x, &[change])?;
            assert!(other.size() == x.size() && far(&other, &x) > 0.0, "{change:?}");
            assert!(far(&other, &view(&x, &[change])?) > 0.0, "{change:?} is drawn anew");
        }
        let noise = view(&x, &[Change::Noise])? - &x;
        assert!((f64::try_from(noise.std(true))? - 0.2).abs() < 0.01);
        // half of the images mirrored, the others as they were
        let sign = view(&x, &[Change::Invert])? / &x;
        let signs = Vec::<f64>::try_from(&sign.mean_dim([1i64, 2, 3].as_slice(), false, Kind::Double))?;
        assert!(signs.iter().all(|sign| (sign.abs() - 1.0).abs() < 1e-6));
        let mirrored = signs.iter().filter(|sign| **sign < 0.0).count();
        assert!((16..48).contains(&mirrored), "{mirrored}");
        // a moved image of one colour is the same image
        let flat = Tensor::full([4, 3, 8, 8], 0.7, (Kind::Float, Device::Cpu));
        assert!(far(&view(&flat, &[Change::Shape])?, &flat) < 1e-6);
        assert_eq!(far(&view(&x, &[])?, &x), 0.0);
        assert!(view(&Tensor::rand([4, 16], (Kind::Float, Device::Cpu)), &[]).is_err());
        Ok(())
    }
}
