//! Tests of [`super::decode_scaled`] through [`crate::data::decode`], against decoding in full.

use image::metadata::Orientation;
use image::{ImageEncoder, Rgb, RgbImage};
use proptest::prelude::*;

use crate::data::decode::{MAX_PIXELS, decode_within, part_within};
use crate::data::transform::resize_part;
use crate::data::{Interpolation, Part, Region};

/// Waves of several lengths and, if it is not to be `smooth`, short ones and edges.
fn picture(width: u32, height: u32, smooth: bool) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let wave = |length: f32, of: u32| ((of as f32 / length).sin() * 50.0) as i32;
        let edge = if (x / 97 + y / 61) % 2 == 0 { 40 } else { -40 };
        let (edge, short) = if smooth { (0, 0) } else { (edge, wave(9.0, x + y)) };
        let value = |wave: i32| (128 + wave + edge).clamp(0, 255) as u8;
        Rgb([value(wave(60.0, x)), value(wave(35.0, y) + short), value(wave(80.0, x + 2 * y))])
    })
}

/// The picture as JPEG, turned by the EXIF tag `orientation`.
fn jpeg(picture: &RgbImage, orientation: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 90);
    let exif = [b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", [orientation].as_slice(), &[0; 6]].concat();
    encoder.set_exif_metadata(exif).unwrap();
    encoder.encode_image(picture).unwrap();
    bytes
}

/// What `region` of the file becomes, decoded smaller, and decoded in full.
fn both(bytes: &[u8], region: Region, side: u32) -> (Part, Part) {
    let full = decode_within(bytes, MAX_PIXELS).unwrap();
    // The region is drawn from the upright size, so the same draw gives the same region either way.
    let mut choose = |size| {
        assert_eq!(size, full.dimensions());
        region
    };
    let scaled = part_within(bytes, MAX_PIXELS, side, &mut choose).unwrap();
    (scaled, Part::of(full, region))
}

fn resized(part: &Part, side: u32) -> Vec<u8> {
    let mut out = vec![];
    resize_part(part, side, Interpolation::Bilinear, &mut out).unwrap();
    out
}

fn mean_difference(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
}

#[test]
fn a_region_decoded_smaller_is_close_to_the_same_region_of_the_whole_in_every_orientation() {
    // A smooth picture tells whether all lies where it should, to a small part of a pixel.
    for (smooth, tolerance) in [(true, 0.6), (false, 3.0)] {
        let picture = picture(1501, 1003, smooth);
        for tag in 1..=8 {
            let bytes = jpeg(&picture, tag);
            for region in [
                Region { left: 101, top: 53, width: 801, height: 777 },
                Region { left: 0, top: 0, width: 1003, height: 1003 },
                Region { left: 403, top: 302, width: 600, height: 701 },
            ] {
                for side in [64, 112, 224] {
                    let (scaled, full) = both(&bytes, region, side);
                    assert!(scaled.image.width() * 2 <= region.width + 4, "decoded in full");
                    let difference = mean_difference(&resized(&scaled, side), &resized(&full, side));
                    assert!(difference < tolerance, "orientation {tag}, {region:?}, side {side}: {difference}");
                }
            }
        }
    }
}

#[test]
fn what_is_small_or_unusual_is_decoded_in_full() {
    let region = Region { left: 10, top: 20, width: 400, height: 300 };
    let bytes = jpeg(&picture(500, 375, false), 6);
    let (scaled, full) = both(&bytes, Region { width: 300, ..region }, 224);
    assert!(scaled == full);
    let golden = |name: &str| std::fs::read(format!("{}/tests/golden/decode/{name}", env!("CARGO_MANIFEST_DIR")));
    for entry in std::fs::read_dir(format!("{}/tests/golden/decode", env!("CARGO_MANIFEST_DIR"))).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".jpg") {
            let bytes = golden(&name).unwrap();
            let whole = |(width, height)| Region { left: 0, top: 0, width, height };
            let part = part_within(&bytes, MAX_PIXELS, 4, &mut |size| whole(size)).unwrap();
            let full = decode_within(&bytes, MAX_PIXELS).unwrap();
            let full = Part::of(full.clone(), whole(full.dimensions()));
            let difference = mean_difference(&resized(&part, 4), &resized(&full, 4));
            assert!(difference < 4.0, "{name}: {difference}");
            if ["progressive", "cmyk", "ycck"].iter().any(|unusual| name.contains(unusual)) {
                assert!(part == full, "{name}");
            }
        }
    }
}

#[test]
fn grey_stays_grey() {
    let grey = image::DynamicImage::ImageRgb8(picture(640, 480, false)).into_luma8();
    let mut bytes = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 90);
    encoder.write_image(grey.as_raw(), 640, 480, image::ExtendedColorType::L8).unwrap();
    let (scaled, full) = both(&bytes, Region { left: 8, top: 9, width: 500, height: 400 }, 50);
    assert!(scaled.image.width() < 100 && scaled.image.pixels().all(|Rgb([r, g, b])| r == g && g == b));
    assert!(mean_difference(&resized(&scaled, 50), &resized(&full, 50)) < 2.0);
}

#[test]
fn a_truncated_file_is_refused_as_ever() {
    let bytes = jpeg(&picture(640, 480, false), 1);
    let whole = &mut |_| Region { left: 0, top: 0, width: 640, height: 100 };
    for length in [20, 400, bytes.len() / 2, bytes.len() - 1] {
        let expected = decode_within(&bytes[..length], MAX_PIXELS).unwrap_err();
        assert_eq!(part_within(&bytes[..length], MAX_PIXELS, 40, whole).unwrap_err(), expected);
    }
}

#[test]
fn an_orientation_that_makes_no_sense_is_none() {
    assert_eq!(Orientation::from_exif(9), None);
    let bytes = jpeg(&picture(300, 200, false), 9);
    let (scaled, full) = both(&bytes, Region { left: 0, top: 0, width: 300, height: 200 }, 20);
    assert!(mean_difference(&resized(&scaled, 20), &resized(&full, 20)) < 2.0);
}

proptest! {
    /// Damage makes an error or another image, never a panic.
    #[test]
    fn damaged_files_do_not_panic(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = jpeg(&picture(80, 60, false), 5);
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let whole = &mut |(width, height)| Region { left: 0, top: 0, width, height };
        let _ = part_within(&bytes, 1 << 16, 8, whole);
    }
}
