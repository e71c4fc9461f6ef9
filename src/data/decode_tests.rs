//! Tests of [`super`]: every kind of file against Pillow, and files that are no images or not all there.

use std::path::PathBuf;

use image::{DynamicImage, ImageBuffer, Luma, Rgb};
use proptest::prelude::*;
use safetensors::SafeTensors;

use super::*;

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/decode")
}

/// The golden files' names and what they should become: width, height and pixels.
fn expected() -> Vec<(String, (u32, u32), Vec<u8>)> {
    let bytes = std::fs::read(goldens().join("data.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let size = |shape: &[usize]| (shape[1] as u32, shape[0] as u32);
    tensors.iter().map(|(name, pixels)| (name.into(), size(pixels.shape()), pixels.data().to_vec())).collect()
}

/// Lossless formats agree with Pillow exactly; decoders of lossy ones may round otherwise, CMYK more than once.
fn tolerance(name: &str) -> u8 {
    match name {
        "cmyk.tif" => 1,
        name if name.ends_with(".jpg") || name == "lossy.webp" => 4,
        _ => 0,
    }
}

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn gradient() -> RgbImage {
    RgbImage::from_fn(40, 30, |x, y| Rgb([x as u8 * 6, y as u8 * 8, (x * y) as u8]))
}

fn reason(bytes: &[u8]) -> String {
    decode_bytes(bytes, Path::new("some/image.jpg")).unwrap_err().to_string()
}

#[test]
fn every_kind_of_file_becomes_what_pillow_makes_of_it() {
    let expected = expected();
    assert_eq!(expected.len(), 39);
    for (name, size, pixels) in expected {
        let image = decode(&goldens().join(&name)).unwrap();
        assert_eq!(image.dimensions(), size, "{name}");
        let worst = image.as_raw().iter().zip(&pixels).map(|(&found, &wanted)| found.abs_diff(wanted)).max();
        assert!(worst <= Some(tolerance(&name)), "{name}: {worst:?} levels from Pillow's pixels");
    }
}

#[test]
fn sixteen_bits_are_rounded_to_eight() {
    let image: ImageBuffer<Luma<u16>, _> = ImageBuffer::from_fn(256, 256, |x, y| Luma([(y * 256 + x) as u16]));
    for format in [ImageFormat::Png, ImageFormat::Tiff] {
        let decoded = decode_bytes(&encoded(image.clone(), format), Path::new("grey")).unwrap();
        for (wide, Rgb(narrow)) in image.pixels().zip(decoded.pixels()) {
            assert_eq!(*narrow, [(f64::from(wide.0[0]) / 257.0).round() as u8; 3]);
        }
    }
}

#[test]
fn a_file_that_is_cut_anywhere_is_an_error_or_whole() {
    // Numbers written as text may be cut to other numbers, and no reader can tell.
    for (name, _, _) in expected().into_iter().filter(|(name, ..)| name != "ascii15.pgm") {
        let bytes = std::fs::read(goldens().join(&name)).unwrap();
        let whole = decode_bytes(&bytes, Path::new(&name)).unwrap();
        let mut refused = 0;
        for length in 0..bytes.len() {
            match decode_bytes(&bytes[..length], Path::new(&name)) {
                Err(_) => refused += 1,
                Ok(image) => assert!(image == whole, "{name} cut to {length} bytes"),
            }
        }
        assert!(refused > bytes.len() / 2, "{name}");
    }
    let jpeg = encoded(gradient(), ImageFormat::Jpeg);
    assert!(reason(&jpeg[..jpeg.len() / 2]).starts_with("some/image.jpg: truncated JPEG"));
    let png = encoded(gradient(), ImageFormat::Png);
    assert!(reason(&png[..png.len() / 2]).contains("truncated or damaged PNG"));
}

#[test]
fn what_is_no_image_is_said_in_one_line() {
    let cases: [(&[u8], &str); 10] = [
        (b"", "empty (0 bytes)"),
        (b"<!DOCTYPE html>\n<title>404</title>", "not an image but text, beginning \"<!DOCTYPE html>"),
        (b"BMW makes motor cars, and this is a text about them", "not an image but text, beginning \"BMW makes"),
        ("Bienen über Blüten".as_bytes(), "not an image but text, beginning \"Bienen über"),
        (b"GIF89a\x10\x00\x10\x00\x00", "GIF files are not read"),
        (b"\0\0\0\x20ftypheic\0\0\0\0", "HEIC files are not read"),
        (b"\x01\x02\x03\xff\xfe\x00\x00\x00\x00", "its first bytes are 01 02 03 ff fe 00 00 00;"),
        (b"\xff\xd8\xff\xe0\x00\x04ab\xff\xd9", "truncated or damaged JPEG"),
        (b"P6 0 5 255\n", "no pixels (0 x 5)"),
        (b"P6 70000 70000 255\n", "pixels"),
    ];
    for (bytes, expected) in cases {
        let message = reason(bytes);
        assert!(message.starts_with("some/image.jpg: ") && message.contains(expected), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
}

#[test]
fn an_image_of_absurd_size_is_refused_before_it_is_decoded() {
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::WebP, ImageFormat::Tiff] {
        let bytes = if format == ImageFormat::WebP {
            std::fs::read(goldens().join("lossless.webp")).unwrap()
        } else {
            encoded(gradient(), format)
        };
        let message = decode_within(&bytes, 100).unwrap_err();
        assert!(message.contains("pixels") && message.contains("shrink"), "{format:?}: {message}");
    }
    // A header that claims 65535 x 65535 pixels in a file of a few hundred bytes.
    let mut bomb = encoded(gradient(), ImageFormat::Jpeg);
    let frame = bomb.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    bomb[frame + 5..frame + 9].fill(0xff);
    assert!(reason(&bomb).contains("65535 x 65535 pixels"), "{}", reason(&bomb));
}

#[test]
fn a_missing_file_is_named() {
    let message = decode(Path::new("no/such.jpg")).unwrap_err().to_string();
    assert!(message.starts_with("no/such.jpg: cannot read the image: "), "{message}");
}

proptest! {
    /// Damage makes an error or another image, never a panic.
    #[test]
    fn damaged_files_do_not_panic(
        file in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let files = expected();
        let (name, ..) = file.get(&files);
        let mut bytes = std::fs::read(goldens().join(name)).unwrap();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = decode_within(&bytes, 1 << 16);
    }
}
