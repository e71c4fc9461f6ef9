//! Filled shapes on an image, seen from anywhere: the plane that they lie in is projected onto the pixels.

use image::RgbImage;
use kurbo::{Affine, BezPath, PathEl, Point};
use tiny_skia::{FillRule, Paint, PathBuilder, Pixmap, Transform};

use crate::{Error, Result};

/// How far a straight line may be from the curve that it stands for, in units of the plane.
const TOLERANCE: f64 = 0.1;

/// What is inside of some closed lines that wind around it.
#[derive(Debug, Clone)]
pub(super) struct Outline(Vec<Vec<Point>>);

impl Outline {
    /// The inside of `path`.
    pub(super) fn of(path: &BezPath) -> Self {
        let mut lines: Vec<Vec<Point>> = vec![];
        kurbo::flatten(path, TOLERANCE, |element| match element {
            PathEl::MoveTo(point) => lines.push(vec![point]),
            PathEl::LineTo(point) => lines.last_mut().expect("a path begins with a point").push(point),
            _ => {}
        });
        Self(lines)
    }
}

/// From points of a plane to pixels: a matrix for homogeneous coordinates `(x, y, 1)`.
#[derive(Debug, Clone, Copy)]
pub(super) struct View([[f64; 3]; 3]);

impl View {
    /// The plane without perspective.
    pub(super) fn flat(affine: Affine) -> Self {
        let [a, b, c, d, e, f] = affine.as_coeffs();
        Self([[a, c, e], [b, d, f], [0.0, 0.0, 1.0]])
    }

    /// The plane turned by `yaw` about its vertical and by `pitch` about its horizontal axis, in radians, seen from
    /// `distance` above its origin, and then moved by `affine`. Lengths at the origin stay as they are.
    pub(super) fn turned(yaw: f64, pitch: f64, distance: f64, affine: Affine) -> Self {
        let ((sin_yaw, cos_yaw), (sin_pitch, cos_pitch)) = (yaw.sin_cos(), pitch.sin_cos());
        let seen = [
            [cos_yaw, 0.0, 0.0],
            [sin_yaw * sin_pitch, cos_pitch, 0.0],
            [-sin_yaw * cos_pitch / distance, sin_pitch / distance, 1.0],
        ];
        let Self(moved) = Self::flat(affine);
        let product = |row: usize, column: usize| (0..3).map(|inner| moved[row][inner] * seen[inner][column]).sum();
        Self(std::array::from_fn(|row| std::array::from_fn(|column| product(row, column))))
    }

    /// Where `point` is seen; nowhere if it is behind who looks.
    fn of(&self, point: Point) -> Option<Point> {
        let [x, y, w] = self.0.map(|row| row[0] * point.x + row[1] * point.y + row[2]);
        (w > 1e-6).then(|| Point::new(x / w, y / w))
    }
}

/// An image that is drawn on.
pub(super) struct Raster(Pixmap);

impl Raster {
    /// Begins with `background`.
    ///
    /// # Errors
    /// An image without pixels.
    pub(super) fn over(background: &RgbImage) -> Result<Self> {
        let mut pixmap = Pixmap::new(background.width(), background.height())
            .ok_or_else(|| Error::Data("an image without pixels cannot be drawn on".into()))?;
        for (to, from) in pixmap.data_mut().chunks_exact_mut(4).zip(background.pixels()) {
            to.copy_from_slice(&[from.0[0], from.0[1], from.0[2], 255]);
        }
        Ok(Self(pixmap))
    }

    /// Fills `outline` with `colour`, as `view` shows it; what is partly behind who looks is left out.
    pub(super) fn fill(&mut self, outline: &Outline, view: &View, colour: [u8; 3]) {
        let mut builder = PathBuilder::new();
        for line in &outline.0 {
            let Some(points) = line.iter().map(|&point| view.of(point)).collect::<Option<Vec<Point>>>() else { return };
            for (index, point) in points.iter().enumerate() {
                let (x, y) = (point.x as f32, point.y as f32);
                if index == 0 { builder.move_to(x, y) } else { builder.line_to(x, y) }
            }
            builder.close();
        }
        let mut paint = Paint { anti_alias: true, ..Paint::default() };
        paint.set_color_rgba8(colour[0], colour[1], colour[2], 255);
        // a shape of no extent has no path, and nothing of it is to be seen
        if let Some(path) = builder.finish() {
            self.0.fill_path(&path, &paint, FillRule::Winding, Transform::identity(), None);
        }
    }

    /// What was drawn.
    pub(super) fn into_image(self) -> RgbImage {
        let (width, height) = (self.0.width(), self.0.height());
        let pixels = self.0.data().chunks_exact(4);
        let rgb = pixels.flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
        RgbImage::from_raw(width, height, rgb).expect("three values for each pixel")
    }
}

#[cfg(test)]
mod tests {
    use kurbo::{Rect, Shape};

    use super::*;

    /// How much of each pixel of an image of 8 × 8 the rectangle covers, in 255ths.
    fn drawn(view: &View, rectangle: Rect) -> RgbImage {
        let mut raster = Raster::over(&RgbImage::new(8, 8)).unwrap();
        raster.fill(&Outline::of(&rectangle.to_path(0.1)), view, [255, 9, 0]);
        raster.into_image()
    }

    #[test]
    fn a_shape_is_where_the_view_puts_it() {
        let image = drawn(&View::flat(Affine::translate((2.0, 3.0))), Rect::new(0.0, 0.0, 4.0, 2.0));
        for (x, y, pixel) in image.enumerate_pixels() {
            let inside = (2..6).contains(&x) && (3..5).contains(&y);
            assert_eq!(pixel.0, if inside { [255, 9, 0] } else { [0; 3] }, "{x}, {y}");
        }
    }

    #[test]
    fn what_is_turned_is_narrower_and_its_far_side_smaller() {
        let view = View::turned(1.0, 0.0, 10.0, Affine::translate((4.0, 4.0)));
        let at = |x, y| view.of(Point::new(x, y)).unwrap();
        assert!((at(0.0, 2.0) - Point::new(4.0, 6.0)).hypot() < 1e-12, "lengths at the origin stay");
        let height = |x| at(x, 1.0).y - at(x, -1.0).y;
        assert!(height(-3.0) < 2.0 && 2.0 < height(3.0));
        assert!(at(3.0, 0.0).x - at(-3.0, 0.0).x < 6.0);
        assert_eq!(view.of(Point::new(100.0, 0.0)), None);
        let seen = drawn(&view, Rect::new(-100.0, -1.0, 100.0, 1.0));
        assert!(seen.iter().all(|&value| value == 0), "what is behind is left out");
    }
}
