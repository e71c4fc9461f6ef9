//! Syn Numbers: printed digits, one of one to three in a row.
//!
//! Ganin et al., *Domain-Adversarial Training of Neural Networks*, JMLR 17 (2016), section 5.2.4, adapt to house numbers
//! in photographs (SVHN) from about 500,000 images of numbers in the fonts of Windows, which vary in the text, in place and
//! orientation, in the colours of ground and stroke, and in blur. As in SVHN the label is the digit in the middle, whatever
//! stands at its sides.
//!
//! # Differences from the paper
//! The fonts are those of the folder that is given, or of this system, so images of the same seed differ between systems
//! with different fonts. Ours are [`count`](DigitsOptions::count) images and a tenth as many for the test, of the same
//! fonts; how much each thing varies is our choice.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use image::RgbImage;
use kurbo::{Affine, BezPath, Cap, Join, Shape, Stroke, StrokeOpts};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::capture::{any_colour, from_afar, gradient, luma, noisy, normal, out_of_focus, pixel};
use super::fonts::{Digits, Fonts, HEIGHT};
use super::glyphs::Glyph;
use super::raster::{Outline, Raster, View};
use super::{Drawn, Made, Part, Recipe, in_turn, refuse};
use crate::Result;
use crate::data::ImageSet;

/// Width and height of the images, in pixels: those of SVHN.
const SIDE: u32 = 32;
/// How high digits are, in sides of the image.
const EXTENT: std::ops::Range<f64> = 0.5..0.95;
/// How much brighter or darker than its ground a digit is at least, in levels of 0..255.
const CONTRAST: f32 = 40.0;
/// From how far digits are seen that are turned.
const DISTANCE: f64 = 6.0 * HEIGHT;

/// How many digits, and in which fonts.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
pub struct DigitsOptions {
    /// Training images, all digits equally often; a tenth as many are for the test
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub count: usize,
    /// Folder of .ttf and .otf files; folders in it are searched too [default: the system's]
    #[arg(long, value_name = "FOLDER")]
    pub fonts: Option<PathBuf>,
    /// Fixes every random choice
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub seed: u64,
}

impl Default for DigitsOptions {
    fn default() -> Self {
        crate::options::defaults()
    }
}

impl Recipe for DigitsOptions {
    const NAME: &'static str = "digits";

    fn make(&self) -> Result<Made> {
        if !(10..=10_000_000).contains(&self.count) {
            refuse(vec![format!("--count {} must lie between 10, one of each digit, and ten million", self.count)])?;
        }
        let fonts = Fonts::find(self.fonts.as_deref())?;
        let notes = vec![fonts.note.clone()];
        let fonts = Arc::new(fonts);
        Ok(Made {
            train: self.part(Part::Train, self.count, &fonts),
            test: self.part(Part::Test, self.count.div_ceil(10).max(10), &fonts),
            notes,
        })
    }
}

impl DigitsOptions {
    fn part(&self, part: Part, count: usize, fonts: &Arc<Fonts>) -> Arc<dyn ImageSet> {
        let fonts = Arc::clone(fonts);
        let draw = move |index: usize, random: &mut ChaCha8Rng| picture(fonts.any(random), index % 10, random);
        let classes = (0..10).map(|digit| digit.to_string()).collect();
        Arc::new(Drawn { name: Self::NAME, part, classes, labels: in_turn(count, 10), seed: self.seed, draw })
    }
}

/// A picture of `label` in the middle, and others at its sides.
fn picture(face: &Digits, label: usize, random: &mut ChaCha8Rng) -> Result<RgbImage> {
    let text = row(face, label, random);
    let (ground, ink) = colours(random);
    let other = std::array::from_fn(|channel| ground[channel] + 25.0 * normal(random));
    let mut raster = Raster::over(&gradient(SIDE, ground, other, random))?;
    let view = view(random);
    if random.random_bool(0.2) {
        // a shadow, or letters that stand off the wall
        let beside = Affine::translate((random.random_range(-9.0..9.0), random.random_range(2.0..10.0)));
        raster.fill(&Outline::of(&(beside * &text)), &view, pixel(ground.map(|value| 0.5 * value)));
    }
    if random.random_bool(0.35) {
        let style = Stroke::new(random.random_range(6.0..20.0)).with_caps(Cap::Round).with_join(Join::Round);
        let around = kurbo::stroke(&text, &style, &StrokeOpts::default(), 0.1);
        raster.fill(&Outline::of(&around), &view, pixel(any_colour(random)));
    }
    raster.fill(&Outline::of(&text), &view, pixel(ink));
    let mut image = out_of_focus(raster.into_image(), (0.8 * normal(random)).abs());
    if random.random_bool(0.3) {
        image = from_afar(image, random.random_range(14..SIDE));
    }
    noisy(&mut image, random.random_range(0.0..8.0), random);
    Ok(image)
}

/// `label` around the origin, and none, one or two other digits next to it.
fn row(face: &Digits, label: usize, random: &mut ChaCha8Rng) -> BezPath {
    let middle = &face[label];
    let centre = middle.path.bounding_box().center();
    let mut text = Affine::translate(-centre.to_vec2()) * &middle.path;
    let gap = random.random_range(-0.05..0.2) * HEIGHT;
    // one on a side is as likely as one on either, or none
    let (left, right) = [(false, false), (true, false), (false, true), (true, true)][random.random_range(0..4)];
    let mut beside = |glyph: &Glyph, x: f64| text.extend(Affine::translate((x - centre.x, -centre.y)) * &glyph.path);
    if left {
        let glyph = &face[random.random_range(0..10)];
        beside(glyph, -glyph.advance - gap);
    }
    if right {
        beside(&face[random.random_range(0..10)], middle.advance + gap);
    }
    text
}

/// Where the digits are and how they are turned.
fn view(random: &mut ChaCha8Rng) -> View {
    let side = f64::from(SIDE);
    let scale = side * random.random_range(EXTENT) / HEIGHT;
    let mut middle = || side * random.random_range(0.42..0.58);
    let place = Affine::translate((middle(), middle()))
        * Affine::rotate(f64::from(normal(random)) * 0.12)
        * Affine::skew(random.random_range(-0.2..0.2), 0.0)
        * Affine::scale_non_uniform(scale * random.random_range(0.75..1.2), scale);
    View::turned(random.random_range(-0.5..0.5), random.random_range(-0.4..0.4), DISTANCE, place)
}

/// Of ground and digits; the one is brighter than the other.
fn colours(random: &mut ChaCha8Rng) -> ([f32; 3], [f32; 3]) {
    loop {
        let (ground, ink) = (any_colour(random), any_colour(random));
        if (luma(ground) - luma(ink)).abs() >= CONTRAST {
            return (ground, ink);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    /// A folder with one font, so that the tests do not depend on the machine.
    fn options(count: usize) -> (tempfile::TempDir, DigitsOptions) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ubuntu.ttf"), epaint_default_fonts::UBUNTU_LIGHT).unwrap();
        let fonts = Some(folder.path().to_path_buf());
        (folder, DigitsOptions { count, fonts, seed: 3 })
    }

    #[test]
    fn the_label_is_in_the_middle_whatever_stands_beside_it() {
        let (_folder, options) = options(10);
        let fonts = Fonts::find(options.fonts.as_deref()).unwrap();
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let face = fonts.any(&mut random);
        let mut widths = std::collections::BTreeSet::new();
        for label in (0..10).cycle().take(200) {
            let text = row(face, label, &mut random);
            let size = face[label].path.bounding_box().size();
            let first = text.iter().take(face[label].path.iter().count()).collect::<BezPath>().bounding_box();
            assert!(first.center().to_vec2().hypot() < 1e-6 && (first.size().width - size.width).abs() < 1e-6);
            widths.insert((text.bounding_box().width() / size.width).round() as u32);
        }
        assert!(widths.len() >= 3, "{widths:?}");
    }

    #[test]
    fn all_digits_are_there_equally_often_and_the_seed_fixes_them() {
        let (_folder, options) = options(40);
        let (made, again) = (options.make().unwrap(), options.make().unwrap());
        assert_eq!((made.train.len(), made.test.len()), (40, 10));
        let labels: Vec<usize> = (0..40).map(|index| made.train.label(index)).collect();
        assert!((0..10).all(|digit| labels.iter().filter(|&&label| label == digit).count() == 4));
        assert!(made.notes[0].starts_with("fonts: 1 of "));
        for index in [0, 17, 39] {
            let image = made.train.load(index).unwrap();
            assert_eq!((image.dimensions(), &image), ((32, 32), &again.train.load(index).unwrap()));
        }
        let other = DigitsOptions { seed: 4, ..options.clone() }.make().unwrap();
        assert!(made.train.load(0).unwrap() != other.train.load(0).unwrap());
        let message = DigitsOptions { count: 9, ..options }.make().err().unwrap().to_string();
        assert!(message.contains("--count 9"), "{message}");
    }

    #[test]
    fn digits_stand_out_from_their_ground() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        assert!((0..100).map(|_| colours(&mut random)).all(|(a, b)| (luma(a) - luma(b)).abs() >= CONTRAST));
    }
}
