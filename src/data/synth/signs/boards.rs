//! The boards of German traffic signs, without what stands on them.

use kurbo::{Affine, BezPath, Point};

use super::layer::Ink::{self, Black, Blue, Red, White, Yellow};
use super::layer::{Layer, Layers, bar, disc, filled, line, moved, thickened};

/// A red ring around white: what is forbidden.
pub(super) fn prohibition() -> Layers {
    vec![disc(White, (0.0, 0.0), 50.0), disc(Red, (0.0, 0.0), 48.5), disc(White, (0.0, 0.0), 35.0)]
}

/// A red triangle around white: what to look out for. What stands on it fits between y = −20 and 28.
pub(super) fn warning() -> Layers {
    [triangle(White, 51.0, 8.0), triangle(Red, 48.0, 7.0), triangle(White, 33.0, 3.0)].into_iter().flatten().collect()
}

/// The triangle that stands on its tip: give way.
pub(super) fn give_way() -> Layers {
    moved(warning(), Affine::FLIP_Y)
}

/// A blue disc: where to go.
pub(super) fn mandatory() -> Layers {
    vec![disc(White, (0.0, 0.0), 50.0), disc(Blue, (0.0, 0.0), 47.5)]
}

/// A white disc: what is over.
pub(super) fn end() -> Layers {
    vec![disc(Black, (0.0, 0.0), 50.0), disc(White, (0.0, 0.0), 48.0)]
}

/// The stripes across a board that say that something is over.
pub(super) fn stripes() -> Layers {
    let stripe = |offset: f64| {
        let half = (47.0f64.powi(2) - offset.powi(2)).sqrt();
        let path = format!("M{} {} L{} {}", -half, offset, half, offset);
        line(Black, 2.6, &path)
    };
    let level = [-8.0, -4.0, 0.0, 4.0, 8.0].map(stripe).into();
    moved(level, Affine::rotate(-0.85))
}

/// The yellow square on its corner.
pub(super) fn priority_road() -> Layers {
    let square =
        |half: f64| polygon([(0.0, -half), (half, 0.0), (0.0, half), (-half, 0.0)].map(Point::from).into_iter());
    let [edge, board, inner] = [(Black, 47.0, 7.0), (White, 46.0, 6.0), (Black, 29.5, 3.0)]
        .map(|(ink, half, rounding)| thickened(ink, square(half), rounding));
    edge.into_iter().chain(board).chain(inner).chain([filled(Yellow, square(29.5))]).collect()
}

/// The red disc with a white bar.
pub(super) fn no_entry() -> Layers {
    vec![disc(White, (0.0, 0.0), 50.0), disc(Red, (0.0, 0.0), 48.0), bar(White, (-37.0, -8.0), (37.0, 8.0))]
}

/// The red octagon.
pub(super) fn octagon() -> Layers {
    let octagon = |ink, radius: f64| {
        let corner = |number: usize| {
            let angle = (number as f64 + 0.5) * std::f64::consts::FRAC_PI_4;
            Point::new(radius * angle.cos(), radius * angle.sin())
        };
        filled(ink, polygon((0..8).map(corner)))
    };
    vec![octagon(White, 52.0), octagon(Red, 48.5)]
}

/// A triangle on its base with round corners, the same distance from the centre for all sizes.
fn triangle(ink: Ink, radius: f64, rounding: f64) -> [Layer; 2] {
    const CENTRE: f64 = 12.0;
    let corner = |number: usize| {
        let angle = (number as f64 * 4.0 - 3.0) * std::f64::consts::FRAC_PI_6;
        Point::new(radius * angle.cos(), CENTRE + radius * angle.sin())
    };
    thickened(ink, polygon((0..3).map(corner)), rounding)
}

fn polygon(corners: impl Iterator<Item = Point>) -> BezPath {
    let mut path = BezPath::new();
    for (index, corner) in corners.enumerate() {
        if index == 0 { path.move_to(corner) } else { path.line_to(corner) }
    }
    path.close_path();
    path
}
