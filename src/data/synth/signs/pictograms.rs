//! What stands on warnings and prohibitions: our own drawings, as simple as can be told apart on forty pixels.

use kurbo::Affine;

use super::layer::Ink::{Black, Green, Red, White, Yellow};
use super::layer::{Layers, bar, disc, limb, line, mirrored, moved, ring, shape};

/// A car from behind, about 27 wide, whose centre is the origin.
pub(super) fn car() -> Layers {
    vec![
        shape(Black, "M-8.5 -10 L8.5 -10 L11.5 -2 L13.5 0 L13.5 7 L-13.5 7 L-13.5 0 L-11.5 -2 Z"),
        shape(White, "M-7 -8 L7 -8 L9 -2.5 L-9 -2.5 Z"),
        bar(Black, (-12.5, 7.0), (-7.5, 11.0)),
        bar(Black, (7.5, 7.0), (12.5, 11.0)),
        disc(White, (-9.5, 2.5), 1.9),
        disc(White, (9.5, 2.5), 1.9),
    ]
}

/// A lorry from behind, about 27 wide, whose wheels stand where those of [`car`] do.
pub(super) fn lorry() -> Layers {
    vec![
        bar(Black, (-13.5, -20.0), (13.5, 4.0)),
        bar(Black, (-12.5, 5.5), (12.5, 8.0)),
        bar(Black, (-11.5, 7.0), (-5.5, 11.0)),
        bar(Black, (5.5, 7.0), (11.5, 11.0)),
    ]
}

/// A lorry from the side, which goes to the left.
pub(super) fn lorry_from_the_side() -> Layers {
    vec![
        bar(Black, (-9.0, -15.0), (29.0, 8.0)),
        shape(Black, "M-29 8 L-29 -1 L-26 -9 L-11 -9 L-11 8 Z"),
        shape(White, "M-26.5 -1 L-24 -7 L-17 -7 L-17 -1 Z"),
        bar(Black, (-29.0, 7.0), (29.0, 10.5)),
        disc(White, (-19.0, 11.5), 6.5),
        disc(Black, (-19.0, 11.5), 5.0),
        disc(White, (18.0, 11.5), 6.5),
        disc(Black, (18.0, 11.5), 5.0),
    ]
}

/// The road that has priority, and a narrow one across.
pub(super) fn crossing_with_priority() -> Layers {
    vec![shape(Black, "M0 -16 L9 -5 L9 28 L0 22 L-9 28 L-9 -5 Z"), bar(Black, (-21.0, 7.0), (21.0, 12.5))]
}

pub(super) fn exclamation_mark() -> Layers {
    vec![shape(Black, "M-4.5 -18 L4.5 -18 L2.8 14 L-2.8 14 Z"), disc(Black, (0.0, 22.5), 4.5)]
}

pub(super) fn bend_to_the_left() -> Layers {
    vec![line(Black, 8.0, "M8 28 L8 16 C8 8 4 5 -4 5 L-6 5"), shape(Black, "M-16 5 L-5 -4 L-5 14 Z")]
}

/// Two bends, the first to the left.
pub(super) fn two_bends() -> Layers {
    vec![line(Black, 7.5, "M7 28 L7 3 L-6 9 L-6 -7"), shape(Black, "M-6 -16 L1 -7 L-13 -7 Z")]
}

pub(super) fn bumps() -> Layers {
    vec![shape(
        Black,
        "M-24 27 L-24 22 L-19 22 C-15 22 -14 11 -10 11 C-6 11 -5 20 0 20 C5 20 6 11 10 11 C14 11 15 22 19 22 L24 22 L24 27 Z",
    )]
}

/// A car that leaves wavy tracks.
pub(super) fn skidding_car() -> Layers {
    let car = vec![
        shape(Black, "M-7 -12 L7 -12 L9.5 -5 L11 -4 L11 4 L-11 4 L-11 -4 L-9.5 -5 Z"),
        shape(White, "M-5.5 -10 L5.5 -10 L7 -5.5 L-7 -5.5 Z"),
        bar(Black, (-10.0, 4.0), (-5.5, 7.5)),
        bar(Black, (5.5, 4.0), (10.0, 7.5)),
    ];
    let mut layers = moved(car, Affine::translate((0.0, 3.0)) * Affine::rotate(0.15));
    layers.push(limb(Black, 2.6, "M-9 14 C-17 18 -1 21 -10 28"));
    layers.push(limb(Black, 2.6, "M9 16 C1 19 17 22 9 28"));
    layers
}

pub(super) fn narrow_on_the_right() -> Layers {
    vec![line(Black, 5.0, "M-8 -11 L-8 25"), line(Black, 5.0, "M4 -13 L4 3 L10 11 L10 25")]
}

/// A man with a shovel before a heap.
pub(super) fn road_works() -> Layers {
    vec![
        disc(Black, (-2.0, -13.0), 4.0),
        limb(Black, 6.5, "M-3 -5 L-7 8"),
        limb(Black, 4.5, "M-7 9 L-15 26"),
        limb(Black, 4.5, "M-7 9 L1 16 L0 26"),
        limb(Black, 3.0, "M-2 -4 L4 5 L-4 7"),
        limb(Black, 2.2, "M-4 3 L15 19"),
        shape(Black, "M6 28 L26 28 L20 15 L15 14 Z"),
    ]
}

pub(super) fn traffic_lights() -> Layers {
    vec![disc(Red, (0.0, -9.0), 5.5), disc(Yellow, (0.0, 6.0), 5.5), disc(Green, (0.0, 21.0), 5.5)]
}

pub(super) fn pedestrian() -> Layers {
    vec![
        disc(Black, (0.0, -15.0), 3.8),
        limb(Black, 8.0, "M0 -7 L0 6"),
        limb(Black, 3.2, "M-2 -8 L-9 6"),
        limb(Black, 3.2, "M2 -8 L9 5"),
        limb(Black, 4.2, "M-1 8 L-9 27"),
        limb(Black, 4.2, "M1 8 L9 27"),
    ]
}

/// Two of them, who run hand in hand.
pub(super) fn children() -> Layers {
    vec![
        disc(Black, (5.0, -12.0), 4.0),
        limb(Black, 6.5, "M5 -4 L6 8"),
        limb(Black, 3.0, "M5 -5 L16 -9"),
        limb(Black, 3.0, "M5 -5 L-3 5 L-8 8"),
        limb(Black, 3.8, "M6 9 L15 15 L20 26"),
        limb(Black, 3.8, "M6 9 L2 19 L-5 24"),
        disc(Black, (-13.0, 2.0), 3.4),
        limb(Black, 5.0, "M-13 9 L-13 16"),
        limb(Black, 2.6, "M-13 8 L-20 14"),
        limb(Black, 3.2, "M-13 17 L-9 27"),
        limb(Black, 3.2, "M-13 17 L-18 21 L-23 27"),
    ]
}

pub(super) fn bicycle() -> Layers {
    vec![
        ring(Black, (-12.0, 18.0), 8.5, 2.6),
        ring(Black, (12.0, 18.0), 8.5, 2.6),
        limb(Black, 2.4, "M-12 18 L-6 5 L7 5 L12 18"),
        limb(Black, 2.4, "M-6 5 L0 18 L7 5"),
        limb(Black, 2.4, "M-12 18 L0 18"),
        limb(Black, 2.4, "M7 5 L5 -1 L10 -2"),
        limb(Black, 3.0, "M-10 1 L-4 1"),
        limb(Black, 2.4, "M-6 5 L-7 1"),
    ]
}

/// A snowflake.
pub(super) fn snowflake() -> Layers {
    let arm = || vec![limb(Black, 3.4, "M0 0 L0 -17"), limb(Black, 2.6, "M-5 -16 L0 -10 L5 -16")];
    let place =
        |number: u32| Affine::translate((0.0, 9.0)) * Affine::rotate(f64::from(number) * std::f64::consts::FRAC_PI_3);
    (0..6).flat_map(|number| moved(arm(), place(number))).collect()
}

/// A deer that leaps to the left.
pub(super) fn deer() -> Layers {
    let deer = vec![
        shape(
            Black,
            "M-9 -6 C-4 2 8 4 15 14 L17 12 L18 16 L13 21 C8 19 0 17 -5 12 C-8 8 -9 2 -11 -2 L-17 1 L-18 -2 L-12 -8 Z",
        ),
        limb(Black, 2.0, "M-11 -7 L-10 -13 L-14 -19"),
        limb(Black, 2.0, "M-10 -13 L-4 -17 M-7 -15 L-7 -20"),
        limb(Black, 2.8, "M-5 11 L-15 12 L-19 17"),
        limb(Black, 2.8, "M-4 12 L-12 18 L-13 22"),
        limb(Black, 3.2, "M13 19 L15 25 L22 28"),
        limb(Black, 3.2, "M11 18 L8 24 L15 29"),
    ];
    moved(deer, Affine::translate((0.0, 2.5)) * Affine::scale(0.88))
}

/// The bends of the other side.
pub(super) fn bend_to_the_right() -> Layers {
    mirrored(bend_to_the_left())
}
