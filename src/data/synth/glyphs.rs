//! Characters as shapes.

use ab_glyph::{Font, OutlineCurve, Point as FontPoint};
use kurbo::{Affine, BezPath, Point, Shape};

/// The shape of a character on its base line, which is y = 0; y points down.
#[derive(Debug, Clone)]
pub(super) struct Glyph {
    pub(super) path: BezPath,
    /// How far the next character is to the right.
    pub(super) advance: f64,
}

impl Glyph {
    /// The shape of `character` in the units of `font`, unless it has none.
    pub(super) fn of(font: &impl Font, character: char) -> Option<Self> {
        let id = font.glyph_id(character);
        let outline = font.outline(id).filter(|outline| id.0 != 0 && !outline.curves.is_empty())?;
        let point = |FontPoint { x, y }| Point::new(x.into(), (-y).into());
        let mut path = BezPath::new();
        // the curves of a font say where they begin, and a new outline begins where the last curve does not end
        let mut last = None;
        for curve in &outline.curves {
            let (OutlineCurve::Line(from, _) | OutlineCurve::Quad(from, ..) | OutlineCurve::Cubic(from, ..)) = *curve;
            if last != Some(from) {
                if last.is_some() {
                    path.close_path();
                }
                path.move_to(point(from));
            }
            last = Some(match *curve {
                OutlineCurve::Line(_, to) => {
                    path.line_to(point(to));
                    to
                }
                OutlineCurve::Quad(_, by, to) => {
                    path.quad_to(point(by), point(to));
                    to
                }
                OutlineCurve::Cubic(_, by, then, to) => {
                    path.curve_to(point(by), point(then), point(to));
                    to
                }
            });
        }
        path.close_path();
        let shape = Self { path, advance: font.h_advance_unscaled(id).into() };
        (shape.height() > 0.0 && shape.advance > 0.0).then_some(shape)
    }

    /// How high the shape is.
    pub(super) fn height(&self) -> f64 {
        self.path.bounding_box().height()
    }

    /// How many closed lines bound the shape: one, and one more for each hole.
    pub(super) fn outlines(&self) -> usize {
        self.path.iter().filter(|element| matches!(element, kurbo::PathEl::MoveTo(_))).count()
    }

    /// The same, `factor` times as large.
    pub(super) fn scaled(self, factor: f64) -> Self {
        Self { path: Affine::scale(factor) * self.path, advance: self.advance * factor }
    }
}

/// The shapes of `text` next to one another, `tracking` times as far as the font says, in letters whose first is 1 high,
/// around the origin; none if the font lacks one of them.
pub(super) fn word(font: &impl Font, text: &str, tracking: f64) -> Option<BezPath> {
    let glyphs = text.chars().map(|character| Glyph::of(font, character)).collect::<Option<Vec<Glyph>>>()?;
    let unit = 1.0 / glyphs.first()?.height();
    let (mut path, mut x) = (BezPath::new(), 0.0);
    for glyph in glyphs {
        let glyph = glyph.scaled(unit);
        path.extend(Affine::translate((x, 0.0)) * glyph.path);
        x += glyph.advance * tracking;
    }
    let centre = path.bounding_box().center();
    Some(Affine::translate(-centre.to_vec2()) * path)
}

#[cfg(test)]
mod tests {
    use ab_glyph::FontRef;

    use super::*;

    fn font() -> FontRef<'static> {
        FontRef::try_from_slice(epaint_default_fonts::UBUNTU_LIGHT).unwrap()
    }

    #[test]
    fn a_shape_has_its_holes_and_stands_on_the_base_line() {
        let outlines = |character| Glyph::of(&font(), character).unwrap().outlines();
        assert_eq!(['1', '0', '8', 'S', 'P'].map(outlines), [1, 2, 3, 1, 2]);
        let bounds = Glyph::of(&font(), 'T').unwrap().path.bounding_box();
        assert!(bounds.y1.abs() < 1e-9 && bounds.y0 < 0.0, "{bounds:?}");
        assert!(Glyph::of(&font(), ' ').is_none() && Glyph::of(&font(), '\u{10FFFF}').is_none());
    }

    #[test]
    fn a_word_is_centred_and_one_high() {
        let bounds = word(&font(), "TT", 1.0).unwrap().bounding_box();
        assert!((bounds.height() - 1.0).abs() < 1e-9 && bounds.center().to_vec2().hypot() < 1e-9);
        let wide = word(&font(), "TT", 2.0).unwrap().bounding_box();
        assert!(wide.width() > 1.3 * bounds.width());
        assert!(word(&font(), "", 1.0).is_none() && word(&font(), "T\u{10FFFF}", 1.0).is_none());
    }
}
