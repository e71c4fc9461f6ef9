//! From the bytes of a file to an upright 8-bit RGB image.
//!
//! The content decides the format, never the name. What comes out is what Pillow's `convert("RGB")` makes of the same
//! file, but for two things that Pillow leaves undone: the orientation in the EXIF data is applied, and 16-bit grey is
//! scaled to 8 bits where Pillow clips it. Transparency is dropped, grey is repeated over the channels, and of an
//! animation the first picture is taken.

use std::io::Cursor;
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};

use super::part::{Part, stored_region, upright_size};
use super::{image_set::Choose, jpeg};
use crate::{Error, Result};

/// The most pixels that an image may have, about 134 million: more than any camera makes at once, and little enough
/// that a few hostile files of some bytes each cannot take all memory.
pub const MAX_PIXELS: u64 = 1 << 27;

/// The formats that are read, as messages list them.
pub(super) const FORMATS: &str = "JPEG, PNG, PPM, PGM, PBM, BMP, WebP and TIFF";

/// Reads and decodes the image file `path`.
///
/// # Errors
/// A file that cannot be read, is no image, is truncated or damaged, or has more than [`MAX_PIXELS`].
pub fn decode(path: &Path) -> Result<RgbImage> {
    let bytes = std::fs::read(path).map_err(Error::io(path, "cannot read the image"))?;
    decode_bytes(&bytes, path)
}

/// Decodes the image file whose content is `bytes`; `name` is what messages call it.
///
/// # Errors
/// As [`decode`].
pub fn decode_bytes(bytes: &[u8], name: &Path) -> Result<RgbImage> {
    decode_within(bytes, MAX_PIXELS).map_err(|reason| Error::file(name, reason))
}

/// Decodes the region that `choose` names of the image file `path`, smaller than it is where that takes less time: at a
/// half, a quarter or an eighth of its size, as long as it has `side` pixels in both directions.
///
/// # Errors
/// As [`decode`].
pub(super) fn decode_part(path: &Path, side: u32, choose: Choose) -> Result<Part> {
    let bytes = std::fs::read(path).map_err(Error::io(path, "cannot read the image"))?;
    part_within(&bytes, MAX_PIXELS, side, choose).map_err(|reason| Error::file(path, reason))
}

pub(super) fn part_within(bytes: &[u8], max_pixels: u64, side: u32, choose: Choose) -> Result<Part, String> {
    let opened = Opened::new(bytes, max_pixels)?;
    let (size, orientation) = (opened.decoder.dimensions(), opened.orientation);
    let region = choose(upright_size(size, orientation));
    let shrink = [8, 4, 2].into_iter().find(|shrink| region.width.min(region.height) / shrink >= side.max(1));
    if let (ImageFormat::Jpeg, Some(shrink)) = (opened.format, shrink) {
        let stored = stored_region(region, size, orientation);
        if let Some(image) = jpeg::decode_scaled(bytes, size, stored, shrink) {
            return Ok(Part::shrunk(image, stored, shrink).upright(orientation));
        }
    }
    Ok(Part::of(opened.image()?, region))
}

/// The image, or the reason why there is none.
pub(super) fn decode_within(bytes: &[u8], max_pixels: u64) -> Result<RgbImage, String> {
    Opened::new(bytes, max_pixels)?.image()
}

/// A file whose size is known, and whose pixels are still to be decoded.
struct Opened<'a> {
    format: ImageFormat,
    decoder: Box<dyn ImageDecoder + 'a>,
    orientation: Orientation,
}

impl<'a> Opened<'a> {
    fn new(bytes: &'a [u8], max_pixels: u64) -> Result<Self, String> {
        let format = recognise(bytes)?;
        // Decoders fill what is missing with grey, or lose the orientation behind it, and say nothing.
        match format {
            ImageFormat::Jpeg if !jpeg::is_complete(bytes) => {
                return Err("truncated JPEG: the end-of-image marker is missing; fetch the file again".into());
            }
            ImageFormat::WebP if !is_complete_webp(bytes) => {
                return Err("truncated WebP: the file is shorter than it says; fetch it again".into());
            }
            _ => {}
        }
        let explain = |error| explain(format, &error);
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        let mut limits = Limits::no_limits();
        // Up to 8 bytes per pixel, and as much again for what the decoder needs besides.
        limits.max_alloc = Some(max_pixels.saturating_mul(16));
        reader.limits(limits);
        let mut decoder: Box<dyn ImageDecoder + 'a> = Box::new(reader.into_decoder().map_err(explain)?);
        let (width, height) = decoder.dimensions();
        let pixels = u64::from(width) * u64::from(height);
        if pixels == 0 {
            return Err(format!("the image has no pixels ({width} x {height})"));
        }
        if pixels > max_pixels {
            return Err(format!(
                "the image claims {width} x {height} pixels; at most {max_pixels} pixels are decoded: shrink it first"
            ));
        }
        // Damaged EXIF data says nothing about the pixels.
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        Ok(Self { format, decoder, orientation })
    }

    /// The whole image, upright.
    fn image(self) -> Result<RgbImage, String> {
        let image = DynamicImage::from_decoder(self.decoder).map_err(|error| explain(self.format, &error))?.into_rgb8();
        if self.orientation == Orientation::NoTransforms {
            return Ok(image);
        }
        let mut image = DynamicImage::ImageRgb8(image);
        image.apply_orientation(self.orientation);
        Ok(image.into_rgb8())
    }
}

/// Whether a WebP file has as many bytes as its RIFF header says.
fn is_complete_webp(bytes: &[u8]) -> bool {
    let length = bytes.get(4..8).and_then(|length| length.try_into().ok()).map(u32::from_le_bytes);
    length.is_some_and(|length| u64::from(length) + 8 <= bytes.len() as u64)
}

/// The format of a file that begins with `bytes`, or what it is instead of an image.
fn recognise(bytes: &[u8]) -> Result<ImageFormat, String> {
    use ImageFormat::{Bmp, Jpeg, Png, Pnm, Tiff, WebP};
    if bytes.is_empty() {
        return Err("the file is empty (0 bytes)".into());
    }
    let text = opening_text(bytes);
    match (image::guess_format(bytes), text) {
        // Two letters make a BMP file and words may begin with them; its next bytes, a length, are hardly ever text.
        (Ok(Bmp), Some(text)) => Err(not_an_image(&text)),
        (Ok(format @ (Jpeg | Png | Pnm | Bmp | WebP | Tiff)), _) => Ok(format),
        (_, Some(text)) if !bytes.starts_with(b"GIF8") && !bytes.starts_with(b"%PDF") => Err(not_an_image(&text)),
        _ => Err(match foreign(bytes) {
            Some(name) => format!("{name} files are not read, only {FORMATS}; convert it, for instance to PNG"),
            None => {
                let first: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
                format!("not an image: its first bytes are {}; only {FORMATS} are read", first.join(" "))
            }
        }),
    }
}

fn not_an_image(text: &str) -> String {
    format!("not an image but text, beginning {text:?}; only {FORMATS} are read")
}

/// The first words of a file that begins with readable text.
fn opening_text(bytes: &[u8]) -> Option<String> {
    let head = &bytes[..bytes.len().min(64)];
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character that is cut in two at the end of the head is text all the same.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let readable = text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'));
    readable.then(|| text.trim().chars().take(24).collect())
}

/// What people call a well-known kind of file that is not read.
fn foreign(bytes: &[u8]) -> Option<&'static str> {
    const KNOWN: [(usize, &[u8], &str); 10] = [
        (0, b"GIF8", "GIF"),
        (0, b"%PDF", "PDF"),
        (0, b"PK\x03\x04", "ZIP"),
        (0, b"\x1f\x8b", "gzip"),
        (0, b"\x00\x00\x01\x00", "icon"),
        (4, b"ftypavif", "AVIF"),
        (4, b"ftyphei", "HEIC"),
        (4, b"ftypmif1", "HEIF"),
        (4, b"ftyp", "video"),
        (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    ];
    KNOWN.iter().find(|(at, magic, _)| bytes.get(*at..).is_some_and(|b| b.starts_with(magic))).map(|known| known.2)
}

/// The decoder's complaint in one line.
fn explain(format: ImageFormat, error: &ImageError) -> String {
    let kind = match format {
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Png => "PNG",
        ImageFormat::Bmp => "BMP",
        ImageFormat::WebP => "WebP",
        ImageFormat::Tiff => "TIFF",
        _ => "PNM",
    };
    let detail = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    match error {
        ImageError::Limits(_) => format!("the {kind} claims more than {MAX_PIXELS} pixels; shrink it first"),
        ImageError::Unsupported(_) => format!("this kind of {kind} is not read ({detail}); convert it to 8-bit RGB"),
        _ => format!("truncated or damaged {kind} ({detail}); fetch the file again"),
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
