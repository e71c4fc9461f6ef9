//! What signs are drawn with: filled shapes, lines and arrows, each in one of a few colours.
//!
//! Coordinates are those of a board whose centre is the origin, about 100 units wide; x to the right, y down.

use kurbo::{Affine, BezPath, Cap, Circle, Join, Point, Rect, Shape, Stroke, StrokeOpts, Vec2};

use super::super::raster::Outline;

/// How far curves may be from what they stand for, in units.
const TOLERANCE: f64 = 0.05;

/// The colours of signs; which pixels they come out as is for the light to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    White,
    Black,
    Grey,
    Red,
    Blue,
    Yellow,
    Green,
}

/// A shape in one colour, over what was drawn before.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) ink: Ink,
    path: BezPath,
}

impl Layer {
    /// The outline that is filled.
    pub(super) fn outline(&self) -> Outline {
        Outline::of(&self.path)
    }
}

/// Several layers, the lowest first.
pub(super) type Layers = Vec<Layer>;

/// The inside of a path in the notation of SVG.
pub(super) fn shape(ink: Ink, path: &str) -> Layer {
    filled(ink, svg(path))
}

pub(super) fn filled(ink: Ink, path: BezPath) -> Layer {
    Layer { ink, path }
}

pub(super) fn disc(ink: Ink, centre: (f64, f64), radius: f64) -> Layer {
    filled(ink, Circle::new(centre, radius).to_path(TOLERANCE))
}

pub(super) fn bar(ink: Ink, from: (f64, f64), to: (f64, f64)) -> Layer {
    filled(ink, Rect::from_points(from, to).to_path(TOLERANCE))
}

/// A ring of `width` whose middle has `radius`.
pub(super) fn ring(ink: Ink, centre: (f64, f64), radius: f64, width: f64) -> Layer {
    filled(ink, stroked(&Circle::new(centre, radius).to_path(TOLERANCE), width, Cap::Butt, Join::Round))
}

/// Lines of `width` with square ends and corners along a path in the notation of SVG.
pub(super) fn line(ink: Ink, width: f64, path: &str) -> Layer {
    filled(ink, stroked(&svg(path), width, Cap::Butt, Join::Miter))
}

/// The same with round ends and corners.
pub(super) fn limb(ink: Ink, width: f64, path: &str) -> Layer {
    filled(ink, stroked(&svg(path), width, Cap::Round, Join::Round))
}

/// The outline of `path`, `width` wide, and its inside: thicker all around by half of that.
pub(super) fn thickened(ink: Ink, path: BezPath, width: f64) -> [Layer; 2] {
    [filled(ink, stroked(&path, width, Cap::Round, Join::Round)), filled(ink, path)]
}

/// The head of an arrow: two barbs of `length` that meet at `tip`, which points in the `direction`.
pub(super) fn head(ink: Ink, width: f64, tip: (f64, f64), direction: (f64, f64), length: f64) -> Layer {
    let (tip, back) = (Point::from(tip), -Vec2::from(direction).normalize() * length);
    let barb = |angle: f64| tip + (Affine::rotate(angle) * back.to_point()).to_vec2();
    let mut path = BezPath::new();
    path.move_to(barb(BARB));
    path.line_to(tip);
    path.line_to(barb(-BARB));
    filled(ink, stroked(&path, width, Cap::Butt, Join::Miter))
}

/// The angle between an arrow and its barbs.
const BARB: f64 = 0.8;

/// A straight arrow.
pub(super) fn arrow(ink: Ink, width: f64, from: (f64, f64), to: (f64, f64), barbs: f64) -> [Layer; 2] {
    let (start, tip) = (Point::from(from), Point::from(to));
    let direction = (tip - start).normalize();
    let mut shaft = BezPath::new();
    shaft.move_to(start);
    shaft.line_to(tip - direction * (width / 2.0));
    [
        filled(ink, stroked(&shaft, width, Cap::Butt, Join::Miter)),
        head(ink, width, to, (direction.x, direction.y), barbs),
    ]
}

/// The layers, moved.
pub(super) fn moved(layers: Layers, by: Affine) -> Layers {
    layers.into_iter().map(|layer| Layer { path: by * layer.path, ..layer }).collect()
}

/// The layers as in a mirror, left and right exchanged.
pub(super) fn mirrored(layers: Layers) -> Layers {
    moved(layers, Affine::FLIP_X)
}

/// The layers with another colour in place of every one.
pub(super) fn in_ink(layers: Layers, ink: impl Fn(Ink) -> Ink) -> Layers {
    layers.into_iter().map(|layer| Layer { ink: ink(layer.ink), ..layer }).collect()
}

fn svg(path: &str) -> BezPath {
    BezPath::from_svg(path).expect("paths of signs are drawn by a test")
}

pub(super) fn stroked(path: &BezPath, width: f64, cap: Cap, join: Join) -> BezPath {
    let style = Stroke::new(width).with_caps(cap).with_join(join);
    kurbo::stroke(path, &style, &StrokeOpts::default(), TOLERANCE)
}
