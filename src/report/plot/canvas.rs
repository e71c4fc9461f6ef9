//! A white sheet to draw on: `plotters`' bitmap at twice the size, averaged down at the end.
//!
//! Lengths and positions are pixels of the finished picture, x to the right and y down.

use std::sync::LazyLock;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;
use plotters::prelude::{BitMapBackend, DrawingBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color, FontStyle, FontTransform, IntoFont, RGBAColor, RGBColor, ShapeStyle, TextStyle, register_font,
};

use crate::data::resample::resample;
use crate::{Error, Result};

/// How much larger than the finished picture everything is drawn.
const OVERSAMPLING: u32 = 2;
/// The type face, and the one for what it lacks, as arrows.
const FACE: &str = "regraft";
const SYMBOLS: &str = "regraft symbols";
/// Height of capitals over the size of the type, by which a line of text is centred.
const CAPITALS: f64 = 0.58;

/// Text, axes.
pub(super) const INK: RGBColor = RGBColor(34, 34, 34);
/// What should be seen last.
pub(super) const FAINT: RGBColor = RGBColor(218, 218, 218);
/// Notes.
pub(super) const GREY: RGBColor = RGBColor(110, 110, 110);
pub(super) const WHITE: RGBColor = RGBColor(255, 255, 255);
pub(super) const BLUE: RGBColor = RGBColor(0, 114, 178);
pub(super) const VERMILLION: RGBColor = RGBColor(213, 94, 0);
pub(super) const GREEN: RGBColor = RGBColor(0, 158, 115);
/// Okabe and Ito's colours that show on white, the most different first.
pub(super) const PALETTE: [RGBColor; 7] = [
    BLUE,
    VERMILLION,
    GREEN,
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];

/// Which part of a line of text lies at the given point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// The sheet, while it is drawn on.
pub(super) struct Canvas<'a> {
    backend: BitMapBackend<'a>,
}

/// Draws a picture of `width` × `height` pixels.
pub(super) fn render(width: f64, height: f64, draw: impl FnOnce(&mut Canvas) -> Result<()>) -> Result<RgbImage> {
    static REGISTERED: LazyLock<bool> = LazyLock::new(|| {
        let faces = [(FACE, epaint_default_fonts::UBUNTU_LIGHT), (SYMBOLS, epaint_default_fonts::HACK_REGULAR)];
        faces.into_iter().all(|(name, bytes)| register_font(name, FontStyle::Normal, bytes).is_ok())
    });
    if !*REGISTERED {
        return Err(Error::Data("plot: the built-in type face cannot be read".into()));
    }
    let (width, height) = (width.ceil() as u32, height.ceil() as u32);
    let (wide, high) = (width * OVERSAMPLING, height * OVERSAMPLING);
    let mut pixels = vec![255; wide as usize * high as usize * 3];
    draw(&mut Canvas { backend: BitMapBackend::with_buffer(&mut pixels, (wide, high)) })?;
    let mut averaged = vec![0; width as usize * height as usize * 3];
    let sheet = TypedImageRef::<U8x3>::from_buffer(wide, high, &pixels).map_err(failed)?;
    let picture = TypedImage::<U8x3>::from_buffer(width, height, &mut averaged).map_err(failed)?;
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Box));
    resample(&mut Resizer::new(), sheet, None, picture, &options)?;
    RgbImage::from_raw(width, height, averaged).ok_or_else(|| failed("no pixels"))
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Data(format!("plot: cannot draw: {error}"))
}

fn device(length: f64) -> i32 {
    (length * f64::from(OVERSAMPLING)).round() as i32
}

fn style(colour: RGBAColor, width: f64) -> ShapeStyle {
    ShapeStyle { color: colour, filled: true, stroke_width: device(width).max(1) as u32 }
}

fn text_style(face: &'static str, size: f64, colour: RGBColor) -> TextStyle<'static> {
    let font = (face, size * f64::from(OVERSAMPLING)).into_font();
    let mut style = TextStyle::from(font).pos(Pos::new(HPos::Left, VPos::Top));
    style.color = colour.to_backend_color();
    style
}

impl Canvas<'_> {
    /// A filled rectangle between two corners.
    pub(super) fn rectangle(&mut self, from: (f64, f64), to: (f64, f64), colour: RGBColor) -> Result<()> {
        let (left, right) = (device(from.0.min(to.0)), device(from.0.max(to.0)));
        let (top, bottom) = (device(from.1.min(to.1)), device(from.1.max(to.1)));
        // the backend counts neither the last row nor the last column
        self.backend.draw_rect((left, top), (right, bottom), &style(colour.to_rgba(), 1.0), true).map_err(failed)
    }

    /// The outline of a rectangle.
    pub(super) fn frame(&mut self, from: (f64, f64), to: (f64, f64), colour: RGBColor, width: f64) -> Result<()> {
        let corners = [from, (to.0, from.1), to, (from.0, to.1)];
        (0..4).try_for_each(|side| self.line(corners[side], corners[(side + 1) % 4], colour, width))
    }

    /// A straight line.
    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: RGBColor, width: f64) -> Result<()> {
        self.path(&[from, to], colour, width)
    }

    /// A line through several points.
    pub(super) fn path(&mut self, points: &[(f64, f64)], colour: RGBColor, width: f64) -> Result<()> {
        let mut points: Vec<_> = points.iter().map(|&(x, y)| (device(x), device(y))).collect();
        points.dedup();
        if points.len() < 2 {
            return Ok(());
        }
        self.backend.draw_path(points, &style(colour.to_rgba(), width)).map_err(failed)
    }

    /// A line through several points, with gaps; `dash` and the gap after it are equally long.
    pub(super) fn dashes(&mut self, points: &[(f64, f64)], colour: RGBColor, width: f64, dash: f64) -> Result<()> {
        let mut along = 0.0;
        for pair in points.windows(2) {
            let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
            let length = (x1 - x0).hypot(y1 - y0);
            let at = |distance: f64| (x0 + (x1 - x0) * distance / length, y0 + (y1 - y0) * distance / length);
            let mut done = 0.0;
            while done < length {
                let phase: f64 = (along + done) % (2.0 * dash);
                let left = if phase < dash { dash - phase } else { 2.0 * dash - phase };
                let end = (done + left.max(0.01)).min(length);
                if phase < dash {
                    self.line(at(done), at(end), colour, width)?;
                }
                done = end;
            }
            along += length;
        }
        Ok(())
    }

    /// A filled polygon.
    pub(super) fn polygon(&mut self, points: &[(f64, f64)], colour: RGBColor, alpha: f64) -> Result<()> {
        let points: Vec<_> = points.iter().map(|&(x, y)| (device(x), device(y))).collect();
        self.backend.fill_polygon(points, &style(colour.mix(alpha), 1.0)).map_err(failed)
    }

    /// A filled circle.
    pub(super) fn dot(&mut self, centre: (f64, f64), radius: f64, colour: RGBColor) -> Result<()> {
        let centre = (device(centre.0), device(centre.1));
        let radius = device(radius).max(1) as u32;
        self.backend.draw_circle(centre, radius, &style(colour.to_rgba(), 1.0), true).map_err(failed)
    }

    /// The outline of a circle.
    pub(super) fn ring(&mut self, centre: (f64, f64), radius: f64, colour: RGBColor) -> Result<()> {
        let centre = (device(centre.0), device(centre.1));
        let radius = device(radius).max(1) as u32;
        self.backend.draw_circle(centre, radius, &style(colour.to_rgba(), 1.0), false).map_err(failed)
    }

    /// A line of text whose capitals are centred on `at.1`.
    pub(super) fn text(
        &mut self,
        text: &str,
        at: (f64, f64),
        anchor: Anchor,
        size: f64,
        colour: RGBColor,
    ) -> Result<()> {
        let mut x = at.0 - self.share_before(text, anchor, size)?;
        // plotters puts the base line half a size below the point
        let y = at.1 + CAPITALS * size / 2.0 - size / 2.0;
        for (face, run) in by_face(text) {
            let style = text_style(face, size, colour);
            self.backend.draw_text(run, &style, (device(x), device(y))).map_err(failed)?;
            x += self.width(run, size)?;
        }
        Ok(())
    }

    /// A line of text that reads upwards, whose capitals are centred on `at.0`.
    pub(super) fn text_upwards(
        &mut self,
        text: &str,
        at: (f64, f64),
        anchor: Anchor,
        size: f64,
        colour: RGBColor,
    ) -> Result<()> {
        let mut y = at.1 + self.share_before(text, anchor, size)?;
        let x = at.0 + CAPITALS * size / 2.0 - size / 2.0;
        for (face, run) in by_face(text) {
            let style = text_style(face, size, colour).transform(FontTransform::Rotate270);
            self.backend.draw_text(run, &style, (device(x), device(y))).map_err(failed)?;
            y -= self.width(run, size)?;
        }
        Ok(())
    }

    /// How wide a line of text is.
    pub(super) fn width(&self, text: &str, size: f64) -> Result<f64> {
        let mut width = 0;
        for (face, run) in by_face(text) {
            width += self.backend.estimate_text_size(run, &text_style(face, size, INK)).map_err(failed)?.0;
        }
        Ok(f64::from(width) / f64::from(OVERSAMPLING))
    }

    /// `text`, cut and ended with `…` where it is wider than `limit`.
    pub(super) fn fit(&self, text: &str, limit: f64, size: f64) -> Result<String> {
        let mut text = text.replace(|c: char| c.is_control(), " ");
        if self.width(&text, size)? <= limit {
            return Ok(text);
        }
        while text.pop().is_some() {
            let cut = format!("{}…", text.trim_end());
            if self.width(&cut, size)? <= limit {
                return Ok(cut);
            }
        }
        Ok(String::new())
    }

    fn share_before(&self, text: &str, anchor: Anchor, size: f64) -> Result<f64> {
        Ok(match anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => self.width(text, size)? / 2.0,
            Anchor::End => self.width(text, size)?,
        })
    }
}

/// `text` in runs of one face each: letters and punctuation, and whatever else there is.
fn by_face(text: &str) -> Vec<(&'static str, &str)> {
    let face = |c: char| if matches!(c, '\0'..='\u{52f}' | '\u{2010}'..='\u{203a}' | '€') { FACE } else { SYMBOLS };
    let mut runs = Vec::new();
    let mut from = 0;
    for (at, c) in text.char_indices() {
        let next = at + c.len_utf8();
        if text[next..].chars().next().is_none_or(|after| face(after) != face(c)) {
            runs.push((face(c), &text[from..next]));
            from = next;
        }
    }
    runs
}

/// `from` for a share of 0, `to` for 1, and what lies between.
pub(super) fn blend(from: RGBColor, to: RGBColor, share: f64) -> RGBColor {
    let mix = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * share.clamp(0.0, 1.0)).round() as u8;
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

/// Where ink lies in a picture: how many pixels from each edge are white, in the order left, top, right, bottom.
#[cfg(test)]
pub(super) fn margins(image: &RgbImage) -> [u32; 4] {
    let inked = || image.enumerate_pixels().filter(|(_, _, pixel)| pixel.0 != [255; 3]);
    let (xs, ys): (Vec<u32>, Vec<u32>) = inked().map(|(x, y, _)| (x, y)).unzip();
    let range = |values: &[u32]| (*values.iter().min().expect("ink"), *values.iter().max().expect("ink"));
    let ((left, right), (top, bottom)) = (range(&xs), range(&ys));
    [left, top, image.width() - 1 - right, image.height() - 1 - bottom]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_where_it_was_put() {
        let [start, end] = [Anchor::Start, Anchor::End]
            .map(|anchor| render(200.0, 60.0, |canvas| canvas.text("HEH", (100.0, 30.0), anchor, 20.0, INK)).unwrap());
        let [left, top, _, bottom] = margins(&start);
        assert!((99..=103).contains(&left), "{left}");
        assert!(top.abs_diff(bottom) <= 2, "capitals are centred: {top} above, {bottom} below");
        let [.., right, _] = margins(&end);
        assert!((97..=103).contains(&right), "{right}");
        let upwards =
            render(60.0, 200.0, |canvas| canvas.text_upwards("HEH", (30.0, 100.0), Anchor::End, 20.0, INK)).unwrap();
        let [left, top, right, _] = margins(&upwards);
        assert!(left.abs_diff(right) <= 2, "{left} {right}");
        assert!((97..=103).contains(&top), "{top}");
    }

    #[test]
    fn symbols_have_a_face_of_their_own() {
        assert_eq!(by_face("é → ü…"), [(FACE, "é "), (SYMBOLS, "→"), (FACE, " ü…")]);
        assert_eq!(by_face(""), []);
    }

    #[test]
    fn rectangles_that_touch_neither_overlap_nor_leave_a_gap() {
        let image = render(20.0, 20.0, |canvas| {
            canvas.rectangle((2.0, 2.0), (18.0, 7.5), BLUE)?;
            canvas.rectangle((2.0, 7.5), (18.0, 18.0), BLUE)
        })
        .unwrap();
        assert_eq!(margins(&image), [2; 4]);
        let column: Vec<_> = (2..18).map(|y| image.get_pixel(10, y).0).collect();
        assert!(column.iter().all(|pixel| *pixel == column[0]), "{column:?}");
    }

    #[test]
    fn long_text_ends_in_an_ellipsis_and_fits() {
        render(300.0, 20.0, |canvas| {
            let fitted = canvas.fit("a very long class name, indeed", 100.0, 16.0)?;
            assert!(fitted.ends_with('…') && canvas.width(&fitted, 16.0)? <= 100.0);
            assert_eq!(canvas.fit("short", 100.0, 16.0)?, "short");
            assert_eq!(canvas.fit("short", 1.0, 16.0)?, "");
            Ok(())
        })
        .unwrap();
    }
}
