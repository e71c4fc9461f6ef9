//! What plots of a matrix share: cells with names beside and below them, a title, and a scale of colours.

use plotters::style::RGBColor;

use super::canvas::{Anchor, BLUE, Canvas, FAINT, INK, WHITE, blend, render};
use crate::Result;

const TITLE: f64 = 32.0;
const LABEL: f64 = 26.0;
const TICK: f64 = 18.0;
const PAD: f64 = 30.0;
/// Below this size names are left out.
const SMALLEST_NAME: f64 = 9.0;
/// The widest that names may be.
const LONGEST_NAME: f64 = 300.0;
const SCALE: f64 = 130.0;
/// Cells that are narrower have no lines between them.
const NARROWEST_WITH_LINES: f64 = 8.0;

/// White for 0, the palette's blue on the way, a dark one for 1.
pub(super) fn heat(share: f64) -> RGBColor {
    const DARK: RGBColor = RGBColor(3, 45, 84);
    if share < 0.6 { blend(WHITE, BLUE, share / 0.6) } else { blend(BLUE, DARK, (share - 0.6) / 0.4) }
}

/// A matrix on its sheet.
pub(super) struct Grid<'a> {
    pub(super) title: &'a str,
    pub(super) row_label: &'a str,
    pub(super) column_label: &'a str,
    pub(super) rows: &'a [String],
    pub(super) columns: &'a [String],
    /// Width and height of a cell.
    pub(super) cell: (f64, f64),
    /// Size of the names.
    pub(super) name_size: f64,
    /// Whether the columns' names read upwards.
    pub(super) upwards: bool,
    /// The colour of each share of the scale, 0 at its bottom and 1 at its top.
    pub(super) colour: &'a dyn Fn(f64) -> RGBColor,
    /// Which shares of the scale are named, and how.
    pub(super) ticks: &'a [(f64, String)],
}

/// Where everything lies.
#[derive(Debug, Clone, Default)]
pub(super) struct Layout {
    /// The names that are shown.
    rows: Vec<String>,
    columns: Vec<String>,
    /// How much room the columns' names take below the cells.
    below: f64,
    /// Where the content begins, which is in the middle of a sheet that is wider.
    edge: f64,
    /// The upper left corner of the cells.
    pub(super) corner: (f64, f64),
    /// The sheet.
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Grid<'_> {
    fn size(&self) -> (f64, f64) {
        (self.cell.0 * self.columns.len() as f64, self.cell.1 * self.rows.len() as f64)
    }

    /// Whether names are large enough to be read.
    pub(super) fn shows_names(&self) -> bool {
        self.name_size >= SMALLEST_NAME
    }

    /// Where everything lies on a sheet of its own.
    pub(super) fn layout(&self) -> Result<Layout> {
        let mut layout = Layout::default();
        let (mut beside, mut widest) = (0.0, 0.0);
        // text is measured on a sheet, so a small one is made for that
        render(1.0, 1.0, |canvas| {
            let most = if self.upwards { LONGEST_NAME } else { self.cell.0 - 8.0 };
            let sides = [
                (self.rows, LONGEST_NAME, &mut layout.rows, &mut beside),
                (self.columns, most, &mut layout.columns, &mut widest),
            ];
            for (names, most, shown, width) in sides {
                for name in names.iter().filter(|_| self.shows_names()) {
                    let name = canvas.fit(name, most, self.name_size)?;
                    *width = f64::max(*width, canvas.width(&name, self.name_size)?);
                    shown.push(name);
                }
            }
            Ok(())
        })?;
        layout.below = if self.upwards { widest } else { self.name_size };
        let (wide, high) = self.size();
        let needed = PAD + 44.0 + beside + 14.0 + wide + SCALE + PAD;
        // a small matrix is centred on a sheet on which its title has room
        layout.width = needed.max(760.0);
        layout.edge = (layout.width - needed) / 2.0;
        layout.corner = (layout.edge + PAD + 44.0 + beside + 14.0, PAD + 66.0);
        layout.height = (layout.corner.1 + high + 14.0 + layout.below + 52.0 + PAD).max(520.0);
        Ok(layout)
    }

    /// Draws everything, `x` to the right of the sheet's left edge; `paint` draws the cell of a row and a column between two
    /// corners.
    pub(super) fn draw(
        &self,
        canvas: &mut Canvas,
        layout: &Layout,
        x: f64,
        mut paint: impl FnMut(&mut Canvas, (usize, usize), (f64, f64), (f64, f64)) -> Result<()>,
    ) -> Result<()> {
        let ((left, top), (wide, high), size) = (layout.corner, self.size(), self.name_size);
        let left = left + x;
        let title = canvas.fit(self.title, layout.width - 2.0 * PAD, TITLE)?;
        canvas.text(&title, (x + layout.width / 2.0, PAD + 14.0), Anchor::Middle, TITLE, INK)?;
        for row in 0..self.rows.len() {
            for column in 0..self.columns.len() {
                let at = (left + column as f64 * self.cell.0, top + row as f64 * self.cell.1);
                paint(canvas, (row, column), at, (at.0 + self.cell.0, at.1 + self.cell.1))?;
            }
        }
        self.lines(canvas, (left, top))?;
        for (row, name) in layout.rows.iter().enumerate() {
            let middle = top + (row as f64 + 0.5) * self.cell.1;
            canvas.text(name, (left - 12.0, middle), Anchor::End, size, INK)?;
        }
        for (column, name) in layout.columns.iter().enumerate() {
            let middle = left + (column as f64 + 0.5) * self.cell.0;
            if self.upwards {
                canvas.text_upwards(name, (middle, top + high + 12.0), Anchor::End, size, INK)?;
            } else {
                canvas.text(name, (middle, top + high + 12.0 + size / 2.0), Anchor::Middle, size, INK)?;
            }
        }
        let below = top + high + 14.0 + layout.below + 38.0;
        canvas.text(self.column_label, (left + wide / 2.0, below), Anchor::Middle, LABEL, INK)?;
        let beside = (x + layout.edge + PAD + 10.0, top + high / 2.0);
        canvas.text_upwards(self.row_label, beside, Anchor::Middle, LABEL, INK)?;
        self.scale(canvas, (left + wide + 36.0, top), high.min(700.0))
    }

    fn lines(&self, canvas: &mut Canvas, (left, top): (f64, f64)) -> Result<()> {
        let (wide, high) = self.size();
        if self.cell.0 >= NARROWEST_WITH_LINES {
            for line in 1..self.columns.len() {
                let at = left + line as f64 * self.cell.0;
                canvas.line((at, top), (at, top + high), FAINT, 1.0)?;
            }
            for line in 1..self.rows.len() {
                let at = top + line as f64 * self.cell.1;
                canvas.line((left, at), (left + wide, at), FAINT, 1.0)?;
            }
        }
        canvas.frame((left, top), (left + wide, top + high), INK, 1.5)
    }

    /// What the colours mean.
    fn scale(&self, canvas: &mut Canvas, (left, top): (f64, f64), height: f64) -> Result<()> {
        const STEPS: usize = 200;
        let at = |share: f64| top + height * (1.0 - share);
        for step in 0..STEPS {
            let [from, to] = [step, step + 1].map(|step| step as f64 / STEPS as f64);
            canvas.rectangle((left, at(from)), (left + 22.0, at(to)), (self.colour)(from))?;
        }
        canvas.frame((left, top), (left + 22.0, top + height), INK, 1.5)?;
        for (share, text) in self.ticks {
            canvas.text(text, (left + 30.0, at(*share)), Anchor::Start, TICK, INK)?;
        }
        Ok(())
    }
}
