//! A region of an image, and the pixels that it comes in: the whole image, or less of it, and smaller.

use std::sync::Arc;

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};

/// A rectangle of whole pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Columns left of it.
    pub left: u32,
    /// Rows above it.
    pub top: u32,
    /// Columns in it.
    pub width: u32,
    /// Rows in it.
    pub height: u32,
}

/// A rectangle that may begin and end within a pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl From<Region> for Area {
    fn from(Region { left, top, width, height }: Region) -> Self {
        Self { left: left.into(), top: top.into(), width: width.into(), height: height.into() }
    }
}

/// Pixels that a region of an image lies in.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    pub(super) image: Arc<RgbImage>,
    pub(super) area: Area,
}

impl Part {
    /// `region` of the whole `image`, in its full size.
    pub fn of(image: impl Into<Arc<RgbImage>>, region: Region) -> Self {
        Self { image: image.into(), area: region.into() }
    }

    /// `region` of an image in pixels of size 1/`shrink`, of which `image` has those that the region touches.
    pub(super) fn shrunk(image: RgbImage, region: Region, shrink: u32) -> Self {
        let part = |value: u32| f64::from(value) / f64::from(shrink);
        let (left, top) = (part(region.left % shrink), part(region.top % shrink));
        let area = Area { left, top, width: part(region.width), height: part(region.height) };
        Self { image: Arc::new(image), area }
    }

    /// A part of a stored image as part of the upright one.
    pub(super) fn upright(self, orientation: Orientation) -> Self {
        if orientation == Orientation::NoTransforms {
            return self;
        }
        let area = turned(self.area, self.image.dimensions(), orientation);
        let mut image = DynamicImage::ImageRgb8(Arc::unwrap_or_clone(self.image));
        image.apply_orientation(orientation);
        Self { image: Arc::new(image.into_rgb8()), area }
    }
}

/// Width and height of an image of `size` that is turned upright.
pub(super) fn upright_size((width, height): (u32, u32), orientation: Orientation) -> (u32, u32) {
    use Orientation::{FlipHorizontal, FlipVertical, NoTransforms, Rotate180};
    match orientation {
        NoTransforms | Rotate180 | FlipHorizontal | FlipVertical => (width, height),
        _ => (height, width),
    }
}

/// Where `region` of the upright image lies in the stored one, which has `size`.
pub(super) fn stored_region(region: Region, size: (u32, u32), orientation: Orientation) -> Region {
    let back = match orientation {
        Orientation::Rotate90 => Orientation::Rotate270,
        Orientation::Rotate270 => Orientation::Rotate90,
        // The others are undone by doing them again.
        other => other,
    };
    let Area { left, top, width, height } = turned(region.into(), upright_size(size, orientation), back);
    Region { left: left as u32, top: top as u32, width: width as u32, height: height as u32 }
}

/// Where `area` of an image of `size` is once the image is turned.
fn turned(area: Area, size: (u32, u32), orientation: Orientation) -> Area {
    let Area { left, top, width, height } = area;
    let (right, bottom) = (f64::from(size.0) - left - width, f64::from(size.1) - top - height);
    let straight = |left, top| Area { left, top, width, height };
    let across = |left, top| Area { left, top, width: height, height: width };
    match orientation {
        Orientation::NoTransforms => area,
        Orientation::FlipHorizontal => straight(right, top),
        Orientation::FlipVertical => straight(left, bottom),
        Orientation::Rotate180 => straight(right, bottom),
        Orientation::Rotate90 => across(bottom, left),
        Orientation::Rotate90FlipH => across(top, left),
        Orientation::Rotate270 => across(top, right),
        Orientation::Rotate270FlipH => across(bottom, right),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_found_again_in_every_orientation() {
        let stored = RgbImage::from_fn(40, 30, |x, y| image::Rgb([x as u8, y as u8, 0]));
        for tag in 1..=8 {
            let orientation = Orientation::from_exif(tag).unwrap();
            let mut upright = DynamicImage::ImageRgb8(stored.clone());
            upright.apply_orientation(orientation);
            let upright = upright.into_rgb8();
            assert_eq!(upright.dimensions(), upright_size((40, 30), orientation));
            let wanted = Region { left: 3, top: 5, width: 11, height: 7 };
            let Region { left, top, width, height } = stored_region(wanted, (40, 30), orientation);
            // Cut out of the stored image with a pixel more at the left and two more above, as decoding would.
            let cut = image::imageops::crop_imm(&stored, left - 1, top - 2, width + 4, height + 5).to_image();
            let part = Part::of(cut, Region { left: 1, top: 2, width, height }).upright(orientation);
            let Area { left, top, width, height } = part.area;
            assert_eq!((width, height), (11.0, 7.0));
            for (x, y) in [(0, 0), (10, 0), (4, 6)] {
                let found = part.image.get_pixel(left as u32 + x, top as u32 + y);
                assert_eq!(found, upright.get_pixel(wanted.left + x, wanted.top + y), "tag {tag} at {x}, {y}");
            }
        }
    }
}
