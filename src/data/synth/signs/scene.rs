//! A sign where it stands, and how a camera in a car sees it.

use image::{Rgb, RgbImage};
use kurbo::{Affine, BezPath, Circle, Point, Rect, Shape};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::layer::Ink;
use crate::Result;
use crate::data::synth::capture::{from_afar, gradient, in_motion, lit, noisy, normal, out_of_focus, pixel};
use crate::data::synth::raster::{Outline, Raster, View};

/// How much of the image a sign takes, from side to side.
const EXTENT: std::ops::Range<f64> = 0.74..0.92;
/// How far its centre is from that of the image at most, in sides of the image.
const OFF: f64 = 0.05;
/// From how far it is seen, in its own units: about six times its width.
const DISTANCE: f64 = 600.0;
/// The darkest and the brightest light, times that in which white is white.
const LIGHT: std::ops::Range<f32> = 0.25..2.2;
/// How much light falls on a sign, of what falls on its surroundings.
const SHADE: std::ops::Range<f32> = 0.35..1.1;
/// What is to be seen behind signs: sky, walls, woods.
const SCENERY: [[f32; 3]; 8] = [
    [225.0, 232.0, 240.0],
    [150.0, 180.0, 220.0],
    [70.0, 95.0, 50.0],
    [35.0, 45.0, 30.0],
    [120.0, 105.0, 90.0],
    [150.0, 90.0, 70.0],
    [130.0, 130.0, 130.0],
    [30.0, 30.0, 35.0],
];

/// What the colours of signs look like in white light.
#[derive(Debug, Clone)]
pub(super) struct Palette([[f32; 3]; 7]);

/// That of new signs.
pub(super) const CLEAN: Palette = Palette([
    [240.0, 240.0, 240.0],
    [20.0, 20.0, 24.0],
    [120.0, 120.0, 124.0],
    [190.0, 25.0, 35.0],
    [20.0, 70.0, 165.0],
    [245.0, 180.0, 20.0],
    [20.0, 140.0, 80.0],
]);

impl Palette {
    /// The colours after some years, each a little off, and all more or less grey; often in shade, before what is not.
    fn aged(random: &mut ChaCha8Rng) -> Self {
        let faded = random.random_range(0.0..0.45f32).powi(2) * 2.0;
        let shade = random.random_range(SHADE);
        Self(CLEAN.0.map(|colour| {
            let tint: [f32; 3] = std::array::from_fn(|_| 8.0 * normal(random));
            std::array::from_fn(|channel| ((colour[channel] + tint[channel]) * (1.0 - faded) + 150.0 * faded) * shade)
        }))
    }

    pub(super) fn of(&self, ink: Ink) -> [u8; 3] {
        pixel(self.0[ink as usize])
    }
}

/// A picture of `size` × `size` pixels of the sign that consists of `layers`, before `background` or one that is made up.
///
/// # Errors
/// A `size` of 0.
pub(super) fn picture(
    layers: &[(Ink, Outline)],
    size: u32,
    background: Option<RgbImage>,
    random: &mut ChaCha8Rng,
) -> Result<RgbImage> {
    let background = match background {
        Some(background) => background,
        None => scenery(size, random)?,
    };
    let mut raster = Raster::over(&background)?;
    let side = f64::from(size);
    let scale = side * random.random_range(EXTENT) / 100.0;
    let mut centre = || side * (0.5 + random.random_range(-OFF..OFF));
    let place = Affine::translate((centre(), centre()))
        * Affine::rotate(f64::from(normal(random)) * 0.07)
        * Affine::scale_non_uniform(scale, scale * random.random_range(0.95..1.05));
    let view = View::turned(random.random_range(-0.6..0.6), random.random_range(-0.3..0.3), DISTANCE, place);
    for (outline, colour) in surroundings(random) {
        raster.fill(&outline, &view, colour);
    }
    let palette = Palette::aged(random);
    for (ink, outline) in layers {
        raster.fill(outline, &view, palette.of(*ink));
    }
    Ok(photographed(raster.into_image(), random))
}

/// Light, blur, distance and noise.
fn photographed(mut image: RgbImage, random: &mut ChaCha8Rng) -> RgbImage {
    let pixels = image.width() as f32 / 40.0;
    if random.random_bool(0.25) {
        let (length, angle) = (random.random_range(1.0..4.0) * pixels, random.random_range(0.0..std::f32::consts::PI));
        image = in_motion(&image, length, angle);
    }
    image = out_of_focus(image, (0.7 * normal(random)).abs() * pixels);
    if random.random_bool(0.4) {
        let side = random.random_range(14..=40) as f32 * pixels;
        image = from_afar(image, side.round() as u32);
    }
    let light = random.random_range(LIGHT.start.ln()..LIGHT.end.ln()).exp();
    let gain = std::array::from_fn(|_| light * (0.06 * normal(random)).exp());
    lit(&mut image, gain, random.random_range(-0.25..0.25));
    noisy(&mut image, random.random_range(0.0..6.0), random);
    image
}

/// What stands around a sign: its pole, and often another one above or below.
fn surroundings(random: &mut ChaCha8Rng) -> Vec<(Outline, [u8; 3])> {
    let mut found = vec![];
    let rectangle = |x: f64, from: f64, to: f64| Outline::of(&Rect::new(-x, from, x, to).to_path(0.1));
    if random.random_bool(0.7) {
        let grey = random.random_range(50.0..200.0);
        found.push((rectangle(random.random_range(2.5..5.0), 0.0, 200.0), pixel([grey; 3])));
    }
    if random.random_bool(0.2) {
        found.push((rectangle(random.random_range(35.0..48.0), 54.0, 90.0), CLEAN.of(Ink::White)));
    }
    if random.random_bool(0.2) {
        let above = if random.random_bool(0.5) { -103.0 } else { 103.0 };
        let disc = |radius: f64| Outline::of(&Circle::new((0.0, above), radius).to_path(0.1));
        let ink = if random.random_bool(0.6) { Ink::Red } else { Ink::Blue };
        found.push((disc(50.0), CLEAN.of(ink)));
        if ink == Ink::Red {
            found.push((disc(35.0), CLEAN.of(Ink::White)));
        }
    }
    found
}

/// Something like a street without details: a gradient with a few angular patches.
fn scenery(size: u32, random: &mut ChaCha8Rng) -> Result<RgbImage> {
    let side = f64::from(size);
    let colour = |random: &mut ChaCha8Rng| {
        let from = SCENERY[random.random_range(0..SCENERY.len())];
        from.map(|value| value + 14.0 * normal(random))
    };
    let (from, to) = (colour(random), colour(random));
    let mut raster = Raster::over(&gradient(size, from, to, random))?;
    for _ in 0..random.random_range(0..12) {
        let centre = Point::new(random.random_range(0.0..side), random.random_range(0.0..side));
        let mut path = BezPath::new();
        for corner in 0..random.random_range(3..6) {
            let reach = |random: &mut ChaCha8Rng| random.random_range(-0.4..0.4) * side;
            let point = centre + kurbo::Vec2::new(reach(random), reach(random));
            if corner == 0 { path.move_to(point) } else { path.line_to(point) }
        }
        raster.fill(&Outline::of(&path), &View::flat(Affine::IDENTITY), pixel(colour(random)));
    }
    let mut image = raster.into_image();
    // leaves and stones
    let rough = random.random_range(0.0..25.0f32);
    for value in image.pixels_mut() {
        let darker = rough * normal(random);
        *value = Rgb(pixel(value.0.map(|value| f32::from(value) + darker)));
    }
    Ok(image)
}
