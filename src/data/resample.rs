//! The one place from which the resizer is called. Its kernels are compiled anew for every kind of image that it is given, so
//! all images come as the same kind: a part of borrowed pixels.

use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::{ImageView, PixelTrait, ResizeOptions, Resizer};

use super::part::Region;
use crate::{Error, Result};

/// Resizes `part`, or all, of the pixels `source`, as if nothing lay outside of it, to all of `target`; the options can crop it further, to
/// fractions of pixels.
///
/// # Errors
/// Images without pixels, a part that is not in the image.
pub(crate) fn resample<P: PixelTrait>(
    resizer: &mut Resizer,
    source: TypedImageRef<P>,
    part: Option<Region>,
    mut target: TypedImage<P>,
    options: &ResizeOptions,
) -> Result<()> {
    let (width, height) = (source.width(), source.height());
    let part = part.unwrap_or(Region { left: 0, top: 0, width, height });
    let part = TypedCroppedImage::from_ref(&source, part.left, part.top, part.width, part.height).map_err(refused)?;
    resizer.resize_typed(&part, &mut target, options).map_err(refused)
}

/// What the resizer said.
pub(crate) fn refused(error: impl std::fmt::Display) -> Error {
    Error::Data(format!("an image could not be resized: {error}"))
}
