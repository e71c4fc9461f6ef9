//! The arrows on blue boards.

use kurbo::{Affine, Arc, Cap, Join, Shape, Vec2};

use super::layer::Ink::White;
use super::layer::{Layers, arrow, filled, head, line, moved, shape, stroked};

/// How wide the lines are.
const WIDTH: f64 = 9.0;

pub(super) fn ahead() -> Layers {
    arrow(White, WIDTH + 1.0, (0.0, 32.0), (0.0, -33.0), 24.0).into()
}

pub(super) fn to_the_right() -> Layers {
    vec![
        line(White, WIDTH + 1.0, "M-14 30 L-14 4 C-14 -8 -8 -11 2 -11 L24 -11"),
        head(White, WIDTH + 1.0, (30.0, -11.0), (1.0, 0.0), 24.0),
    ]
}

pub(super) fn ahead_or_right() -> Layers {
    let mut layers: Layers = arrow(White, WIDTH, (-8.0, 35.0), (-8.0, -36.0), 19.0).into();
    layers.push(line(White, WIDTH, "M-8 30 C-8 16 -4 9 8 9 L24 9"));
    layers.push(head(White, WIDTH, (31.0, 9.0), (1.0, 0.0), 19.0));
    layers
}

pub(super) fn keep_right() -> Layers {
    arrow(White, WIDTH + 2.0, (-27.0, -22.0), (27.0, 22.0), 26.0).into()
}

/// Three arrows around the centre, the way that the traffic goes where it keeps to the right.
pub(super) fn roundabout() -> Layers {
    const RADIUS: f64 = 25.0;
    // to smaller angles, as the y axis points down
    let (begin, end, tip) = (0.5, -0.75, -1.3);
    let arc = Arc::new((0.0, 0.0), Vec2::new(RADIUS, RADIUS), begin, end - begin, 0.0).to_path(0.05);
    let at = |radius: f64, angle: f64| format!("{} {}", radius * angle.cos(), radius * angle.sin());
    let head = format!("M{} L{} L{} Z", at(RADIUS + 12.0, end), at(RADIUS, tip), at(RADIUS - 12.0, end));
    let one = || vec![filled(White, stroked(&arc, 7.5, Cap::Butt, Join::Miter)), shape(White, &head)];
    (0..3).flat_map(|number| moved(one(), Affine::rotate(f64::from(number) * std::f64::consts::TAU / 3.0))).collect()
}
