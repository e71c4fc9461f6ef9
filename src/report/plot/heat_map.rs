//! Heat maps: a table of numbers, coloured, with what they are written into the cells.
//!
//! Numbers with a sign are blue above zero and orange below it, which people with any kind of colour vision tell apart, and white
//! at zero. A cell without a number is grey.

use image::RgbImage;
use plotters::style::RGBColor;

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, INK, VERMILLION, WHITE, blend, render};
use super::grid::{Grid, Layout, heat};
use crate::{Error, Result};

/// Room that one cell has, in pixels.
const CELL: (f64, f64) = (150.0, 96.0);
const NAME: f64 = 25.0;
const TEXT: f64 = 30.0;
const SMALLER: f64 = 19.0;
const FRAME: f64 = 4.0;
const NOTHING: RGBColor = RGBColor(236, 236, 236);

/// Which colour a number has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Colours {
    /// From white for the lower number to dark blue for the higher one.
    Between(f64, f64),
    /// Orange below zero, white for it, and blue above it, as far as the number farthest from zero.
    AroundZero,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HeatCell {
    /// What decides its colour; nothing for a cell that is not there.
    pub value: Option<f64>,
    /// What stands in it, the first line large.
    pub lines: Vec<String>,
    /// Whether it has a frame, as what is not like the others.
    pub framed: bool,
}

/// A table of numbers as a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    /// What it shows.
    pub title: String,
    /// What a row is.
    pub row_label: String,
    /// What a column is.
    pub column_label: String,
    /// The rows' names.
    pub rows: Vec<String>,
    /// The columns' names.
    pub columns: Vec<String>,
    /// The cells, row by row.
    pub cells: Vec<Vec<HeatCell>>,
    /// Which colours they have.
    pub colours: Colours,
    /// What stands behind the numbers of the scale, as ` %`.
    pub unit: String,
}

/// Draws heat maps side by side.
///
/// # Errors
/// There is none; one without cells, or with another number of cells than rows times columns; a value that is not finite; a
/// range that is empty.
pub fn heat_maps(maps: &[HeatMap]) -> Result<RgbImage> {
    if maps.is_empty() {
        return Err(Error::Data("plot: no heat map to draw".into()));
    }
    let scales = maps.iter().map(Scale::of).collect::<Result<Vec<_>>>()?;
    let all: Vec<_> = maps.iter().zip(&scales).collect();
    let layouts = all.iter().map(|(map, scale)| grid(map, scale, |grid| grid.layout())).collect::<Result<Vec<_>>>()?;
    let width = layouts.iter().map(|layout| layout.width).sum();
    let height = layouts.iter().map(|layout| layout.height).fold(0.0, f64::max);
    render(width, height, |canvas| {
        let mut x = 0.0;
        for ((map, scale), layout) in all.into_iter().zip(&layouts) {
            draw(canvas, map, scale, layout, x)?;
            x += layout.width;
        }
        Ok(())
    })
}

/// Which shares of a scale the numbers have.
struct Scale {
    colours: Colours,
    range: (f64, f64),
    ticks: Vec<(f64, String)>,
}

impl Scale {
    fn of(map: &HeatMap) -> Result<Self> {
        let (rows, columns) = (map.rows.len(), map.columns.len());
        let whole = map.cells.len() == rows && map.cells.iter().all(|row| row.len() == columns);
        if rows == 0 || columns == 0 || !whole {
            let lengths: Vec<usize> = map.cells.iter().map(Vec::len).collect();
            return Err(Error::Data(format!(
                "plot: a heat map of {rows} × {columns} names with rows of {lengths:?} cells"
            )));
        }
        let values = || map.cells.iter().flatten().filter_map(|cell| cell.value);
        if let Some(value) = values().find(|value| !value.is_finite()) {
            return Err(Error::Data(format!("plot: a heat map with the value {value}; leave such a cell empty")));
        }
        let range = match map.colours {
            Colours::Between(low, high) => (low, high),
            Colours::AroundZero => {
                let most = values().map(f64::abs).fold(0.0, f64::max);
                // where all is zero there is nothing to tell apart, but there is a scale
                let most = if most > 0.0 { most } else { 1.0 };
                (-most, most)
            }
        };
        let (low, high) = range;
        if !(low < high && low.is_finite() && high.is_finite()) {
            return Err(Error::Data(format!("plot: the range {low} to {high} of a heat map is empty")));
        }
        let signed = map.colours == Colours::AroundZero;
        let axis = Axis { range, pixels: (0.0, 1.0), log: false, whole: false };
        let tick = |(value, text): (f64, String)| {
            let sign = if signed && value > 0.0 && !text.trim_matches(['0', '.']).is_empty() { "+" } else { "" };
            (axis.at(value), format!("{sign}{text}{}", map.unit))
        };
        Ok(Self { colours: map.colours, range, ticks: axis.ticks(7).into_iter().map(tick).collect() })
    }

    /// Where a value lies between the lowest and the highest number.
    fn share(&self, value: f64) -> f64 {
        ((value - self.range.0) / (self.range.1 - self.range.0)).clamp(0.0, 1.0)
    }

    fn colour(&self, share: f64) -> RGBColor {
        match self.colours {
            Colours::Between(..) => heat(share),
            Colours::AroundZero => diverging(2.0 * share - 1.0),
        }
    }
}

/// Blue for 1, white for 0, orange for −1; each darker at its end.
fn diverging(value: f64) -> RGBColor {
    const DARK: RGBColor = RGBColor(102, 40, 0);
    match -value {
        below if below <= 0.0 => heat(value),
        below if below < 0.6 => blend(WHITE, VERMILLION, below / 0.6),
        below => blend(VERMILLION, DARK, (below - 0.6) / 0.4),
    }
}

/// What is read best on a colour.
fn ink(on: RGBColor) -> RGBColor {
    let linear = |part: u8| (f64::from(part) / 255.0).powf(2.2);
    let luminance = 0.2126 * linear(on.0) + 0.7152 * linear(on.1) + 0.0722 * linear(on.2);
    if luminance < 0.3 { WHITE } else { INK }
}

fn grid<T>(map: &HeatMap, scale: &Scale, then: impl FnOnce(&Grid) -> T) -> T {
    then(&Grid {
        title: &map.title,
        row_label: &map.row_label,
        column_label: &map.column_label,
        rows: &map.rows,
        columns: &map.columns,
        cell: CELL,
        name_size: NAME,
        upwards: false,
        colour: &|share| scale.colour(share),
        ticks: &scale.ticks,
    })
}

fn draw(canvas: &mut Canvas, map: &HeatMap, scale: &Scale, layout: &Layout, x: f64) -> Result<()> {
    let paint = |canvas: &mut Canvas, (row, column): (usize, usize), from: (f64, f64), to: (f64, f64)| {
        let cell: &HeatCell = &map.cells[row][column];
        let colour = cell.value.map_or(NOTHING, |value| scale.colour(scale.share(value)));
        canvas.rectangle(from, to, colour)?;
        let (ink, centre) = (ink(colour), ((from.0 + to.0) / 2.0, (from.1 + to.1) / 2.0));
        if cell.framed {
            for (inset, colour) in [(FRAME, ink), (2.0 * FRAME, colour)] {
                canvas.rectangle((from.0 + inset, from.1 + inset), (to.0 - inset, to.1 - inset), colour)?;
            }
        }
        let lines: Vec<&String> = cell.lines.iter().filter(|line| !line.is_empty()).collect();
        let size = |number: usize| if number == 0 { TEXT } else { SMALLER };
        let height: f64 = (0..lines.len()).map(|number| 1.25 * size(number)).sum();
        let mut top = centre.1 - height / 2.0;
        for (number, line) in lines.into_iter().enumerate() {
            let size = size(number);
            let line = canvas.fit(line, CELL.0 - 4.0 * FRAME, size)?;
            canvas.text(&line, (centre.0, top + 1.25 * size / 2.0), Anchor::Middle, size, ink)?;
            top += 1.25 * size;
        }
        Ok(())
    };
    grid(map, scale, |grid| grid.draw(canvas, layout, x, paint))
}

#[cfg(test)]
mod tests {
    use super::super::canvas::margins;
    use super::*;

    fn map(values: &[&[Option<f64>]], colours: Colours) -> HeatMap {
        let names = |count: usize, of: &str| (0..count).map(|number| format!("{of} {number}")).collect();
        let cell = |value: &Option<f64>| HeatCell { value: *value, ..HeatCell::default() };
        HeatMap {
            title: "Gain".into(),
            row_label: "source".into(),
            column_label: "target".into(),
            rows: names(values.len(), "row"),
            columns: names(values[0].len(), "column"),
            cells: values.iter().map(|row| row.iter().map(cell).collect()).collect(),
            colours,
            unit: String::new(),
        }
    }

    /// The colour in a corner of the cell, where nothing is written.
    fn colour_at(image: &RgbImage, map: &HeatMap, row: usize, column: usize, x: f64) -> RGBColor {
        let layout = grid(map, &Scale::of(map).unwrap(), |grid| grid.layout()).unwrap();
        let at = |corner: f64, index: usize, size: f64| (corner + (index as f64 + 0.1) * size) as u32;
        let pixel = image.get_pixel(at(layout.corner.0 + x, column, CELL.0), at(layout.corner.1, row, CELL.1));
        RGBColor(pixel.0[0], pixel.0[1], pixel.0[2])
    }

    #[test]
    fn every_cell_has_the_colour_of_its_value_where_it_belongs() {
        let gains = map(&[&[Some(-8.0), Some(0.0), Some(4.8)], &[None, Some(8.0), Some(-4.8)]], Colours::AroundZero);
        let shares = map(&[&[Some(10.0), Some(50.0)]], Colours::Between(10.0, 50.0));
        let image = heat_maps(&[gains.clone(), shares.clone()]).unwrap();
        let expected = [
            (0, 0, diverging(-1.0)),
            (0, 1, WHITE),
            (0, 2, super::super::canvas::BLUE),
            (1, 0, NOTHING),
            (1, 1, heat(1.0)),
            (1, 2, VERMILLION),
        ];
        for (row, column, colour) in expected {
            assert_eq!(colour_at(&image, &gains, row, column, 0.0), colour, "row {row}, column {column}");
        }
        let width = f64::from(heat_maps(&[gains]).unwrap().width());
        assert_eq!(colour_at(&image, &shares, 0, 0, width), WHITE);
        assert_eq!(colour_at(&image, &shares, 0, 1, width), heat(1.0));
        assert_eq!(image.width(), width as u32 + heat_maps(&[shares]).unwrap().width());
    }

    #[test]
    fn what_is_written_can_be_read_on_every_colour() {
        let linear = |part: u8| (f64::from(part) / 255.0).powf(2.2);
        let luminance = |c: RGBColor| 0.2126 * linear(c.0) + 0.7152 * linear(c.1) + 0.0722 * linear(c.2);
        for step in -20..=20 {
            let colour = diverging(f64::from(step) / 20.0);
            let (a, b) = (luminance(colour) + 0.05, luminance(ink(colour)) + 0.05);
            // what the accessibility guidelines ask of large text
            assert!(a.max(b) / a.min(b) >= 3.0, "{step}: {colour:?}");
        }
    }

    #[test]
    fn nothing_touches_the_edge() {
        let mut long = map(&[&[Some(1.0), Some(2.0)], &[Some(3.0), None]], Colours::Between(0.0, 4.0));
        long.title = "a rather long title that nobody would want ".repeat(5);
        long.rows[0] = "a rather long name that nobody would want ".repeat(3);
        long.columns[1] = long.rows[0].clone();
        long.cells[0][0].lines = vec![long.rows[0].clone(), "± 1.0".into()];
        long.cells[0][0].framed = true;
        let margins = margins(&heat_maps(&[long]).unwrap());
        assert!(margins.iter().all(|&margin| margin >= 10), "{margins:?}");
    }

    #[test]
    fn mistakes_are_errors() {
        let message = |map: HeatMap| heat_maps(&[map]).unwrap_err().to_string();
        let good = map(&[&[Some(1.0)]], Colours::AroundZero);
        assert!(heat_maps(&[]).is_err());
        assert!(message(HeatMap { rows: vec![], ..good.clone() }).contains("0 × 1 names"));
        assert!(message(map(&[&[Some(f64::NAN)]], Colours::AroundZero)).contains("value NaN"));
        assert!(message(HeatMap { colours: Colours::Between(2.0, 2.0), ..good.clone() }).contains("2 to 2"));
        let ticks = Scale::of(&good).unwrap().ticks;
        assert!(
            ticks.iter().any(|(share, text)| *share == 0.5 && text.trim_matches(['0', '.']).is_empty()),
            "{ticks:?}"
        );
        assert!(ticks.iter().any(|(_, text)| text.starts_with('+')), "{ticks:?}");
    }
}
