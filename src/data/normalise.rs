//! From 8-bit batches to what a network reads.

use tch::{Device, Kind, Tensor};

use super::Preprocessing;
use crate::{Error, Result, native};

/// Moves 8-bit images to `device` and normalises them there: (x/255 − mean)/std, as one multiplication and one addition.
/// The pixels stay in the order in which they lie in memory, so what comes out is channels-last.
///
/// # Shapes
/// `images: [N, H, W, 3] u8` → `[N, 3, H, W] f32`, channels-last
///
/// # Errors
/// Images of another shape or kind.
pub fn normalise(images: &Tensor, preprocessing: &Preprocessing, device: Device) -> Result<Tensor> {
    let size = images.size();
    let &[batch, height, width, 3] = size.as_slice() else {
        return Err(Error::Data(format!("images of shape {size:?} cannot be normalised, expected [N, H, W, 3]")));
    };
    if images.kind() != Kind::Uint8 {
        return Err(Error::Data(format!("images of kind {:?} cannot be normalised, expected Uint8", images.kind())));
    }
    // Scale and shift for a whole row of pixels: a broadcast over three values would run in steps of three.
    let row = |of: fn(f32, f32) -> f64| {
        let channels: Vec<f32> =
            preprocessing.mean.iter().zip(preprocessing.std).map(|(&mean, std)| of(mean, std) as f32).collect();
        native::send(&Tensor::f_from_slice(&channels.repeat(width as usize))?, device)
    };
    let scale = row(|_, std| 1.0 / (255.0 * f64::from(std)))?;
    let shift = row(|mean, std| -f64::from(mean) / f64::from(std))?;
    let mut x = native::send(images, device)?.f_to_kind(Kind::Float)?.f_view([batch * height, width * 3])?;
    let x = x.f_mul_(&scale)?.f_add_(&shift)?;
    Ok(x.f_view([batch, height, width, 3])?.f_permute([0, 3, 1, 2])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Interpolation;

    fn preprocessing() -> Preprocessing {
        let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
        Preprocessing { resize: 256, crop: 224, interpolation: Interpolation::Bilinear, mean, std }
    }

    #[test]
    fn every_value_is_scaled_and_shifted_by_its_channel() {
        let bytes: Vec<u8> = (0..2 * 16 * 24 * 3).map(|at| (at * 7 % 256) as u8).collect();
        let images = Tensor::from_slice(&bytes).view([2, 16, 24, 3]);
        let out = normalise(&images, &preprocessing(), Device::Cpu).unwrap();
        assert_eq!(out.size(), [2, 3, 16, 24]);
        assert!(crate::native::is_channels_last(&out).unwrap());
        // As torchvision does it: to 0..1, then the mean off, then over the standard deviation, all in f32.
        let rows: Vec<f32> = Vec::try_from(out.permute([0, 2, 3, 1]).reshape([-1])).unwrap();
        for (at, (&byte, found)) in bytes.iter().zip(rows).enumerate() {
            let expected = (f32::from(byte) / 255.0 - preprocessing().mean[at % 3]) / preprocessing().std[at % 3];
            assert!((found - expected).abs() <= 1e-6, "{byte} became {found}, expected {expected}");
        }
    }

    #[test]
    fn other_shapes_and_kinds_are_refused() {
        let size = [1, 3, 4, 4];
        assert!(normalise(&Tensor::zeros(size, (Kind::Uint8, Device::Cpu)), &preprocessing(), Device::Cpu).is_err());
        let size = [1, 4, 4, 3];
        assert!(normalise(&Tensor::zeros(size, (Kind::Float, Device::Cpu)), &preprocessing(), Device::Cpu).is_err());
    }
}
