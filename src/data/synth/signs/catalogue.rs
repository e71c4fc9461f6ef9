//! The forty-three signs of the German Traffic Sign Recognition Benchmark (Stallkamp et al., *Man vs. computer*, Neural
//! Networks 32, 2012), in its numbering.

use ab_glyph::FontRef;
use kurbo::Affine;

use super::boards::{end, give_way, mandatory, no_entry, octagon, priority_road, prohibition, stripes, warning};
use super::layer::Ink::{self, Black, Grey, Red, White};
use super::layer::{Layers, in_ink, mirrored, moved, thickened};
use super::{directions, pictograms};
use crate::data::synth::glyphs::word;

/// How many signs there are.
pub(super) const SIGNS: usize = 43;

/// Every sign, in the order of its number.
pub(super) fn all() -> Vec<Layers> {
    (0..SIGNS).map(sign).collect()
}

fn sign(number: usize) -> Layers {
    use directions as to;
    use pictograms as of;
    match number {
        0..=5 => on(prohibition(), speed(["20", "30", "50", "60", "70", "80"][number], 38.0)),
        6 => over(speed("80", 46.0)),
        7 => on(prohibition(), speed("100", 29.0)),
        8 => on(prohibition(), speed("120", 29.0)),
        9 => on(prohibition(), side_by_side(of::car())),
        10 => on(prohibition(), side_by_side(of::lorry())),
        11 => look_out(of::crossing_with_priority()),
        12 => priority_road(),
        13 => give_way(),
        14 => on(octagon(), text(White, "STOP", 31.0, 0.66, 1.08)),
        15 => prohibition(),
        16 => on(prohibition(), of::lorry_from_the_side()),
        17 => no_entry(),
        18 => look_out(of::exclamation_mark()),
        19 => look_out(of::bend_to_the_left()),
        20 => look_out(of::bend_to_the_right()),
        21 => look_out(of::two_bends()),
        22 => look_out(of::bumps()),
        23 => look_out(of::skidding_car()),
        24 => look_out(of::narrow_on_the_right()),
        25 => look_out(of::road_works()),
        26 => look_out(of::traffic_lights()),
        27 => look_out(of::pedestrian()),
        28 => look_out(of::children()),
        29 => look_out(of::bicycle()),
        30 => look_out(of::snowflake()),
        31 => look_out(of::deer()),
        32 => over(vec![]),
        33 => on(mandatory(), to::to_the_right()),
        34 => on(mandatory(), mirrored(to::to_the_right())),
        35 => on(mandatory(), to::ahead()),
        36 => on(mandatory(), to::ahead_or_right()),
        37 => on(mandatory(), mirrored(to::ahead_or_right())),
        38 => on(mandatory(), to::keep_right()),
        39 => on(mandatory(), mirrored(to::keep_right())),
        40 => on(mandatory(), to::roundabout()),
        41 => over(side_by_side(of::car())),
        _ => over(side_by_side(of::lorry())),
    }
}

fn on(board: Layers, picture: Layers) -> Layers {
    board.into_iter().chain(picture).collect()
}

/// A warning of what is on `picture`, which leaves a margin.
fn look_out(picture: Layers) -> Layers {
    let centre = Affine::translate((0.0, 9.0));
    on(warning(), moved(picture, centre * Affine::scale(0.9) * centre.inverse()))
}

/// The sign that says that `picture` no longer holds.
fn over(picture: Layers) -> Layers {
    let faint = in_ink(picture, |ink| if ink == White { White } else { Grey });
    on(on(end(), faint), stripes())
}

/// Who overtakes, in red on the left, and a car on the right.
fn side_by_side(left: Layers) -> Layers {
    let red = in_ink(left, |ink| if ink == Black { Red } else { ink });
    let place = |layers, x: f64| moved(layers, Affine::translate((x, 2.0)) * Affine::scale(1.08));
    on(place(red, -16.5), place(pictograms::car(), 16.5))
}

fn speed(number: &str, height: f64) -> Layers {
    text(Black, number, height, 0.88, 1.06)
}

/// Bold letters of that `height`, `width` times as wide as they are.
fn text(ink: Ink, text: &str, height: f64, width: f64, tracking: f64) -> Layers {
    let font = FontRef::try_from_slice(epaint_default_fonts::UBUNTU_LIGHT).expect("the built-in type face");
    let letters = word(&font, text, tracking).expect("the built-in type face has letters and digits");
    let large = Affine::scale_non_uniform(width * height, height) * letters;
    // the type face is a light one
    thickened(ink, large, 0.08 * height).into()
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::super::super::raster::{Raster, View};
    use super::*;

    /// The sign without light or blur.
    pub(crate) fn plain(layers: &Layers) -> RgbImage {
        let mut raster = Raster::over(&RgbImage::from_pixel(40, 40, Rgb([128, 0, 128]))).unwrap();
        let view = View::flat(Affine::translate((20.0, 20.0)) * Affine::scale(0.4));
        for layer in layers {
            raster.fill(&layer.outline(), &view, super::super::scene::CLEAN.of(layer.ink));
        }
        raster.into_image()
    }

    /// A forgotten or a doubled picture would be a class that no network can learn.
    #[test]
    fn all_signs_differ_and_lie_on_their_board() {
        let images: Vec<RgbImage> = all().iter().map(plain).collect();
        for (number, image) in images.iter().enumerate() {
            let corners = [(0, 0), (39, 0), (0, 39), (39, 39)].map(|(x, y)| image.get_pixel(x, y).0);
            assert_eq!(corners, [[128, 0, 128]; 4], "sign {number}");
            for (other, another) in images[..number].iter().enumerate() {
                let unequal = image.iter().zip(another.iter()).filter(|(a, b)| a.abs_diff(**b) > 100).count();
                assert!(unequal > 60, "signs {other} and {number} differ in {unequal} values");
            }
        }
    }
}
