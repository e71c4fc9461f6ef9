//! Photographs on a finished sheet, so that their pixels are not resampled twice.

use image::RgbImage;
use image::imageops::{self, FilterType};

/// Puts `image` into the middle of the square of `side` pixels whose upper left corner is `at`: as large as fits, small ones
/// enlarged with their pixels kept square. An image without pixels leaves the square as it is.
pub(super) fn place(sheet: &mut RgbImage, image: &RgbImage, at: (f64, f64), side: f64) {
    if image.width() == 0 || image.height() == 0 {
        return;
    }
    let small = fitted(image, side);
    let centred = |from: f64, length: u32| (from + (side - f64::from(length)) / 2.0).round() as i64;
    imageops::replace(sheet, &small, centred(at.0, small.width()), centred(at.1, small.height()));
}

fn fitted(image: &RgbImage, side: f64) -> RgbImage {
    let longest = f64::from(image.width().max(image.height()));
    let scale = side / longest;
    let (scale, filter) =
        if scale >= 2.0 { (scale.floor(), FilterType::Nearest) } else { (scale, FilterType::Lanczos3) };
    let resized = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    imageops::resize(image, resized(image.width()), resized(image.height()), filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_as_large_as_fits() {
        let size = |width, height| fitted(&RgbImage::new(width, height), 240.0).dimensions();
        assert_eq!((size(4000, 30), size(28, 28), size(1, 900)), ((240, 2), (224, 224), (1, 240)));
    }

    #[test]
    fn a_picture_is_in_the_middle_of_its_square() {
        let mut sheet = RgbImage::new(10, 10);
        place(&mut sheet, &RgbImage::from_pixel(2, 1, image::Rgb([9; 3])), (3.0, 2.0), 4.0);
        place(&mut sheet, &RgbImage::new(0, 0), (0.0, 0.0), 4.0);
        let drawn: Vec<_> =
            sheet.enumerate_pixels().filter(|(.., pixel)| pixel.0[0] > 0).map(|(x, y, _)| (x, y)).collect();
        assert_eq!((drawn.len(), drawn[0], drawn[7]), (8, (3, 3), (6, 4)));
    }
}
