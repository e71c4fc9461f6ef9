//! The evaluation transform: shorter side to a fixed size, then a square from the centre, as torchvision's
//! `Resize` (antialiased) and `CenterCrop` do it on 8-bit images.
//!
//! Only the part of the image that ends in the crop is resized, which keeps time and memory small, however long the image
//! is; the filter lies on the same grid as for the whole image, so the pixels are the same.

use std::cell::RefCell;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{F32x3, U8x3};
use fast_image_resize::{CropBox, FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

use super::part::{Area, Part, Region};
use super::resample::{refused, resample};
use super::{Interpolation, Preprocessing};
use crate::{Error, Result};

thread_local! {
    /// Kept from image to image for its memory.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

#[derive(Default)]
struct Scratch {
    resizer: Resizer,
    source: Vec<F32x3>,
    /// The image between the two passes of a resize.
    rows: Vec<F32x3>,
    target: Vec<F32x3>,
    /// As `rows`, with 8 bits.
    bytes: Vec<u8>,
}

/// Width and height after the shorter side was resized to `resize`; the longer side is rounded down, as torchvision does.
pub fn resized_size((width, height): (u32, u32), resize: u32) -> (u32, u32) {
    let (short, long) = (width.min(height), width.max(height));
    let long = u64::from(resize) * u64::from(long) / u64::from(short.max(1));
    let long = u32::try_from(long).unwrap_or(u32::MAX);
    if width <= height { (resize, long) } else { (long, resize) }
}

/// What evaluation does to every image: resize, centre crop.
#[derive(Debug, Clone, Copy)]
pub struct EvaluationTransform {
    resize: u32,
    crop: u32,
    interpolation: Interpolation,
}

impl EvaluationTransform {
    /// Takes the sizes and the interpolation from `preprocessing`.
    ///
    /// # Errors
    /// A crop of no pixels, or one larger than the resized image.
    pub fn new(preprocessing: &Preprocessing) -> Result<Self> {
        let &Preprocessing { resize, crop, interpolation, .. } = preprocessing;
        if crop == 0 || crop > resize {
            return Err(Error::Usage(format!(
                "a crop of {crop} pixels cannot be cut from an image whose shorter side was resized to {resize}; \
                 the crop must be at least 1 and at most {resize}"
            )));
        }
        Ok(Self { resize, crop, interpolation })
    }

    /// The side of the square that comes out, in pixels.
    pub fn side(&self) -> u32 {
        self.crop
    }

    /// Writes the transformed `image` to `out`, which is resized to fit.
    ///
    /// # Shapes
    /// `image: [H, W, 3] u8` → `out: [side, side, 3] u8`, row by row
    ///
    /// # Errors
    /// An image without pixels.
    pub fn apply(&self, image: &RgbImage, out: &mut Vec<u8>) -> Result<()> {
        let (width, height) = image.dimensions();
        if width == 0 || height == 0 {
            return Err(empty(image));
        }
        let (new_width, new_height) = resized_size((width, height), self.resize);
        let (left, crop_width) = source_span(width, new_width, self.crop);
        let (top, crop_height) = source_span(height, new_height, self.crop);
        let part = CropBox { left, top, width: crop_width, height: crop_height };
        resize_exactly(image, part, self.interpolation, (self.crop, self.crop), out)
    }
}

/// Where the centred `crop` of a side resized from `old` to `new` pixels begins in the source, and how long it is there.
fn source_span(old: u32, new: u32, crop: u32) -> (f64, f64) {
    let (old, new, crop) = (f64::from(old), f64::from(new), f64::from(crop));
    let start = ((new - crop) / 2.0).round_ties_even();
    let left = start * old / new;
    (left, (crop * old / new).min(old - left))
}

/// Resizes the region of `part` to a square of `side` pixels as if nothing lay outside the pixels that it touches.
pub(super) fn resize_part(part: &Part, side: u32, interpolation: Interpolation, out: &mut Vec<u8>) -> Result<()> {
    let Area { left, top, width, height } = part.area;
    let (columns, rows) = (touched(left, width), touched(top, height));
    let view = view(&part.image)?;
    let high = rows.len() as u32;
    let part = Region { left: columns.start, top: rows.start, width: columns.len() as u32, height: high };
    let (options, _) = filter(interpolation);
    let across = options.crop(left.fract(), 0.0, width, rows.len() as f64);
    let down = options.crop(0.0, top.fract(), side.into(), height);
    SCRATCH.with_borrow_mut(|Scratch { resizer, bytes, .. }| {
        // Rows before columns, as Pillow does it; the resizer on its own would begin with the columns, which rounds
        // differently.
        bytes.resize(side as usize * rows.len() * 3, 0);
        let narrow = TypedImage::<U8x3>::from_buffer(side, high, bytes).map_err(refused)?;
        resample(resizer, view, Some(part), narrow, &across)?;
        out.resize(side as usize * side as usize * 3, 0);
        let narrow = TypedImageRef::<U8x3>::from_buffer(side, high, bytes).map_err(refused)?;
        let target = TypedImage::from_buffer(side, side, out).map_err(refused)?;
        resample(resizer, narrow, None, target, &down)
    })
}

/// The pixels that a stretch from `start` on touches.
fn touched(start: f64, length: f64) -> std::ops::Range<u32> {
    start.floor() as u32..(start + length).ceil() as u32
}

fn view(image: &RgbImage) -> Result<TypedImageRef<'_, U8x3>> {
    if image.width() == 0 || image.height() == 0 {
        return Err(empty(image));
    }
    TypedImageRef::from_buffer(image.width(), image.height(), image.as_raw()).map_err(refused)
}

fn filter(interpolation: Interpolation) -> (ResizeOptions, f64) {
    let (filter, radius) = match interpolation {
        Interpolation::Bilinear => (FilterType::Bilinear, 1.0),
        Interpolation::Bicubic => (FilterType::CatmullRom, 2.0),
    };
    (ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).use_alpha(false), radius)
}

/// Which pixels from `start` to `start + length` the filter reads when it makes `new` of them, and one more at each end
/// to be safe from rounding.
fn reach(start: f64, length: f64, new: u32, radius: f64, side: u32) -> std::ops::Range<u32> {
    let reach = radius * (length / f64::from(new)).max(1.0) + 1.0;
    (start - reach).floor().max(0.0) as u32..(start + length + reach).ceil().min(side.into()) as u32
}

/// Resizes `part` of `image`, whose pixels outside the part the filter still sees, to `width` × `height` pixels.
///
/// This is Pillow's arithmetic: rows before columns, rounded to 8 bits in between. The resizer's own 8-bit mode rounds the
/// weights to 16 bits, which with a bicubic filter is two levels off now and then; floats have Pillow's precision.
fn resize_exactly(
    image: &RgbImage,
    part: CropBox,
    interpolation: Interpolation,
    (width, height): (u32, u32),
    out: &mut Vec<u8>,
) -> Result<()> {
    let (options, radius) = filter(interpolation);
    let columns = reach(part.left, part.width, width, radius, image.width());
    let rows = reach(part.top, part.height, height, radius, image.height());
    let between = rows.len() as u32;
    // The part as seen from what is read; rounding must not push its end out of there.
    let (left, top) = (part.left - f64::from(columns.start), part.top - f64::from(rows.start));
    SCRATCH.with_borrow_mut(|Scratch { resizer, source, rows: narrow, target, .. }| {
        source.clear();
        for row in
            image.as_raw().chunks_exact(image.width() as usize * 3).take(rows.end as usize).skip(rows.start as usize)
        {
            let row = &row[columns.start as usize * 3..columns.end as usize * 3];
            source.extend(row.chunks_exact(3).map(|pixel| F32x3::new([pixel[0], pixel[1], pixel[2]].map(f32::from))));
        }
        let source = TypedImageRef::new(columns.len() as u32, between, source).map_err(refused)?;
        narrow.resize(width as usize * between as usize, F32x3::default());
        let image = TypedImage::from_pixels_slice(width, between, narrow).map_err(refused)?;
        let across = options.crop(left, 0.0, part.width.min(columns.len() as f64 - left), between.into());
        resample(resizer, source, None, image, &across)?;
        for pixel in narrow.iter_mut() {
            pixel.0 = pixel.0.map(|value| f32::from(to_byte(value)));
        }
        let narrow = TypedImageRef::new(width, between, narrow).map_err(refused)?;
        target.resize(width as usize * height as usize, F32x3::default());
        let image = TypedImage::from_pixels_slice(width, height, target).map_err(refused)?;
        let down = options.crop(0.0, top, width.into(), part.height.min(rows.len() as f64 - top));
        resample(resizer, narrow, None, image, &down)?;
        out.resize(target.len() * 3, 0);
        for (out, pixel) in out.chunks_exact_mut(3).zip(target.iter()) {
            out.copy_from_slice(&pixel.0.map(to_byte));
        }
        Ok(())
    })
}

/// Rounded, and cut off at 0 and 255, as casts to u8 are.
#[inline(always)]
fn to_byte(value: f32) -> u8 {
    (value + 0.5) as u8
}

fn empty(image: &RgbImage) -> Error {
    Error::Data(format!("an image of {} × {} pixels has nothing in it", image.width(), image.height()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::Region;
    use crate::data::golden::{largest_difference, parts, pictures};

    fn preprocessing(resize: u32, crop: u32, interpolation: Interpolation) -> Preprocessing {
        Preprocessing { resize, crop, interpolation, mean: [0.5; 3], std: [0.5; 3] }
    }

    fn interpolation(name: &str) -> Interpolation {
        if name == "bicubic" { Interpolation::Bicubic } else { Interpolation::Bilinear }
    }

    #[test]
    fn evaluation_is_torchvisions_within_one_level() {
        let pictures = pictures();
        let mut seen = 0;
        for (name, expected) in &pictures {
            let Some(&[number, filter, resize, crop]) = parts(name, "evaluation/").as_deref() else { continue };
            let (resize, crop) = (resize.parse().unwrap(), crop.parse().unwrap());
            let transform = EvaluationTransform::new(&preprocessing(resize, crop, interpolation(filter))).unwrap();
            let mut out = vec![1; 7];
            transform.apply(&pictures[&format!("evaluation/{number}")], &mut out).unwrap();
            assert_eq!(expected.width(), transform.side());
            let difference = largest_difference(&out, expected);
            assert!(difference <= 1, "{name}: {difference}");
            seen += 1;
        }
        assert_eq!(seen, 18);
    }

    #[test]
    fn a_region_is_resized_as_torchvision_does_within_one_level() {
        let pictures = pictures();
        let mut seen = 0;
        for (name, expected) in &pictures {
            let Some(&[filter, left, top, width, height]) = parts(name, "region/").as_deref() else { continue };
            let [left, top, width, height] = [left, top, width, height].map(|number| number.parse().unwrap());
            let region = Region { left, top, width, height };
            let mut out = Vec::new();
            let part = Part::of(pictures["evaluation/0"].clone(), region);
            resize_part(&part, expected.width(), interpolation(filter), &mut out).unwrap();
            let difference = largest_difference(&out, expected);
            assert!(difference <= 1, "{name}: {difference}");
            seen += 1;
        }
        assert_eq!(seen, 8);
    }

    proptest! {
        #[test]
        fn resizing_only_the_crop_changes_no_pixel(width in 1u32..90, height in 1u32..90, resize in 1u32..60, less in 0u32..40, seed: u8) {
            let image = RgbImage::from_fn(width, height, |x, y| {
                image::Rgb([x as u8 ^ seed, (x * y) as u8, (x * 7 + y * 31) as u8])
            });
            let crop = resize.saturating_sub(less).max(1);
            let (mut direct, mut whole) = (Vec::new(), Vec::new());
            let transform = EvaluationTransform::new(&preprocessing(resize, crop, Interpolation::Bicubic)).unwrap();
            transform.apply(&image, &mut direct).unwrap();
            let (new_width, new_height) = resized_size((width, height), resize);
            let all = CropBox { left: 0.0, top: 0.0, width: width.into(), height: height.into() };
            let size = (new_width, new_height);
            resize_exactly(&image, all, Interpolation::Bicubic, size, &mut whole).unwrap();
            let whole = RgbImage::from_raw(new_width, new_height, whole).unwrap();
            let start = |side: u32| (f64::from(side - crop) / 2.0).round_ties_even() as u32;
            let cropped = image::imageops::crop_imm(&whole, start(new_width), start(new_height), crop, crop).to_image();
            prop_assert_eq!(largest_difference(&direct, &cropped), 0);
        }
    }

    #[test]
    fn the_longer_side_is_rounded_down() {
        assert_eq!(resized_size((500, 375), 256), (341, 256));
        assert_eq!(resized_size((375, 500), 256), (256, 341));
        assert_eq!(resized_size((256, 256), 256), (256, 256));
        assert_eq!(resized_size((1, 30), 256), (256, 7680));
    }

    #[test]
    fn what_cannot_be_done_is_an_error() {
        for (resize, crop) in [(224, 225), (224, 0)] {
            let error = EvaluationTransform::new(&preprocessing(resize, crop, Interpolation::Bilinear)).unwrap_err();
            assert!(error.to_string().contains("at most 224"), "{error}");
        }
        let transform = EvaluationTransform::new(&preprocessing(8, 8, Interpolation::Bilinear)).unwrap();
        assert!(transform.apply(&RgbImage::new(0, 3), &mut Vec::new()).is_err());
    }
}
