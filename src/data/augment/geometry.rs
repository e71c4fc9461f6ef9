//! Flip, shear, translate and rotate, with Pillow's nearest-neighbour sampling; what comes from outside is black.

/// Mirrors every row.
pub(super) fn flip(pixels: &mut [u8], width: usize) {
    for row in pixels.chunks_exact_mut(width * 3) {
        let (mut left, mut right) = (0, row.len());
        while right - left >= 6 {
            right -= 3;
            let (head, tail) = row.split_at_mut(right);
            head[left..left + 3].swap_with_slice(&mut tail[..3]);
            left += 3;
        }
    }
}

/// Moves a row `level` pixels to the left per row below the first (to the right where negative).
pub(super) fn shear_x(pixels: &mut [u8], width: usize, level: f64) {
    affine(pixels, width, [1.0, level, 0.0, 0.0, 1.0, 0.0]);
}

/// Moves a column `level` pixels up per column right of the first (down where negative).
pub(super) fn shear_y(pixels: &mut [u8], width: usize, level: f64) {
    affine(pixels, width, [1.0, 0.0, 0.0, level, 1.0, 0.0]);
}

/// Moves the image by whole pixels to the right and down.
pub(super) fn translate(pixels: &mut [u8], width: usize, right: i32, down: i32) {
    affine(pixels, width, [1.0, 0.0, -f64::from(right), 0.0, 1.0, -f64::from(down)]);
}

/// Turns the image about its centre, counter-clockwise.
pub(super) fn rotate(pixels: &mut [u8], width: usize, degrees: f64) {
    let height = pixels.len() / (width * 3);
    let (x, y) = (width as f64 / 2.0, height as f64 / 2.0);
    let (sin, cos) = (-degrees.to_radians()).sin_cos();
    affine(pixels, width, [cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y]);
}

/// Fetches every pixel (x, y) from (a·x + b·y + c, d·x + e·y + f), where centres of pixels lie at halves, in 16.16 fixed
/// point. Good for sides and moves below 32768 pixels.
fn affine(pixels: &mut [u8], width: usize, [a, b, c, d, e, f]: [f64; 6]) {
    let fixed = |value: f64| (value * 65536.0 + 0.5).floor() as i64;
    let height = pixels.len() / (width * 3);
    let source = pixels.to_vec();
    let (step_x, step_y) = (fixed(a), fixed(d));
    let (mut row_x, mut row_y) = (fixed(c + a * 0.5 + b * 0.5), fixed(f + d * 0.5 + e * 0.5));
    for row in pixels.chunks_exact_mut(width * 3) {
        let (mut x, mut y) = (row_x, row_y);
        for target in row.chunks_exact_mut(3) {
            let (from_x, from_y) = (x >> 16, y >> 16);
            // A negative position turns into a huge one, so one comparison checks both ends.
            if (from_x as usize) < width && (from_y as usize) < height {
                let from = (from_y as usize * width + from_x as usize) * 3;
                target.copy_from_slice(&source[from..from + 3]);
            } else {
                target.fill(0);
            }
            x += step_x;
            y += step_y;
        }
        row_x += fixed(b);
        row_y += fixed(e);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(width: u8, height: u8) -> Vec<u8> {
        (1..=width * height).flat_map(|value| [value; 3]).collect()
    }

    #[test]
    fn a_flip_mirrors_rows_and_undoes_itself() {
        for width in 1..6 {
            let image = numbered(width, 3);
            let mut flipped = image.clone();
            flip(&mut flipped, width.into());
            assert_eq!(flipped[0], width);
            flip(&mut flipped, width.into());
            assert_eq!(flipped, image);
        }
    }

    #[test]
    fn nothing_moves_by_nothing() {
        let image = numbered(5, 4);
        let mut moved = image.clone();
        shear_x(&mut moved, 5, 0.0);
        shear_y(&mut moved, 5, 0.0);
        translate(&mut moved, 5, 0, 0);
        rotate(&mut moved, 5, 0.0);
        assert_eq!(moved, image);
    }

    #[test]
    fn translating_moves_and_blackens() {
        let mut image = numbered(3, 2);
        translate(&mut image, 3, 1, -1);
        let values: Vec<u8> = image.chunks_exact(3).map(|pixel| pixel[0]).collect();
        assert_eq!(values, [0, 4, 5, 0, 0, 0]);
    }
}
