//! Line plots and scatter plots: learning curves, accuracy against shots, the learning-rate search.

use image::RgbImage;
use plotters::style::RGBColor;

use super::axis::{Axis, range_of};
use super::canvas::{Anchor, Canvas, FAINT, GREY, INK, PALETTE, render};
use crate::{Error, Result};

const TITLE: f64 = 32.0;
const LABEL: f64 = 26.0;
const TICK: f64 = 23.0;
const PAD: f64 = 28.0;
/// Up to this many points a series shows each as a dot.
const DOTS: usize = 40;
const DOT: f64 = 6.0;

/// Which numbers the y axis shows; what lies outside is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Range {
    /// All of the data.
    #[default]
    Fit,
    /// 0 to 1, for shares.
    Unit,
    /// Between two numbers.
    Between(f64, f64),
}

/// One line of a chart.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    /// Its name in the legend; a chart with one nameless series has no legend.
    pub name: String,
    /// x and y, in the order of x. The line has a gap where y is not finite.
    pub points: Vec<(f64, f64)>,
    /// For each point, how far a shaded band reaches above and below it, as a standard deviation; empty for no band.
    pub band: Vec<f64>,
    /// Whether the line is dashed.
    pub dashed: bool,
    /// Whether there is no line, but a dot for each point, in any order.
    pub scattered: bool,
}

/// A vertical line that points out one x.
#[derive(Debug, Clone, PartialEq)]
pub struct Marker {
    /// Where.
    pub x: f64,
    /// What is written at its top.
    pub text: String,
}

/// A line plot.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// What x is, with its unit.
    pub x_label: String,
    /// What y is, with its unit.
    pub y_label: String,
    /// Whether the x axis is logarithmic; points whose x is not positive are left out.
    pub log_x: bool,
    /// Whether the y axis is logarithmic; points whose y is not positive are left out.
    pub log_y: bool,
    /// Which y are shown.
    pub y_range: Range,
    /// The lines.
    pub series: Vec<Series>,
    /// A line that points out one x.
    pub marker: Option<Marker>,
}

/// Draws charts side by side: 1600 × 1000 pixels for one, 1200 × 900 each for more.
///
/// # Errors
/// There is no chart; a band has not as many numbers as its series has points; a range is empty.
pub fn curves(charts: &[Chart]) -> Result<RgbImage> {
    let (width, height) = if charts.len() == 1 { (1600.0, 1000.0) } else { (1200.0, 900.0) };
    if charts.is_empty() {
        return Err(Error::Data("plot: no chart to draw".into()));
    }
    charts.iter().try_for_each(check)?;
    render(width * charts.len() as f64, height, |canvas| {
        charts
            .iter()
            .enumerate()
            .try_for_each(|(index, chart)| draw(canvas, chart, index as f64 * width, width, height))
    })
}

fn check(chart: &Chart) -> Result<()> {
    if let Some(series) = chart.series.iter().find(|s| !s.band.is_empty() && s.band.len() != s.points.len()) {
        let (band, points) = (series.band.len(), series.points.len());
        return Err(Error::Data(format!("plot: series {:?} has {points} points, but {band} in its band", series.name)));
    }
    match chart.y_range {
        Range::Between(low, high) if !(low < high && low.is_finite() && high.is_finite()) => {
            Err(Error::Data(format!("plot: the range {low} to {high} of the y axis is empty")))
        }
        _ => Ok(()),
    }
}

fn draw(canvas: &mut Canvas, chart: &Chart, x0: f64, width: f64, height: f64) -> Result<()> {
    let x_shown = |x: f64| x.is_finite() && (!chart.log_x || x > 0.0);
    let points = || chart.series.iter().flat_map(|s| &s.points).filter(|(x, _)| x_shown(*x));
    let marked = chart.marker.iter().map(|marker| marker.x);
    let x_range = range_of(points().map(|p| p.0).chain(marked), chart.log_x, 0.02);
    let y_range = match chart.y_range {
        Range::Unit => (0.0, 1.0),
        Range::Between(low, high) => (low, high),
        Range::Fit => {
            let bands = chart.series.iter().flat_map(|s| s.points.iter().zip(&s.band));
            let bands = bands.flat_map(|((_, y), band)| [y - band, y + band]);
            range_of(points().map(|p| p.1).chain(bands), chart.log_y, 0.05)
        }
    };
    // first what is above and beside the plot, whose size decides the plot's
    let centre = x0 + width / 2.0;
    canvas.text(
        &canvas.fit(&chart.title, width - 2.0 * PAD, TITLE)?,
        (centre, PAD + 14.0),
        Anchor::Middle,
        TITLE,
        INK,
    )?;
    let top = legend(canvas, chart, x0, width, PAD + 52.0)? + 14.0;
    let bottom = height - PAD - 84.0;
    let mut y = Axis { range: y_range, pixels: (bottom, top), log: chart.log_y, whole: false };
    // a unit axis ends in round numbers, so the lines at its ends get room to be seen whole
    if chart.y_range == Range::Unit {
        y.pixels = (bottom - 4.0, top + 4.0);
    }
    let y_ticks = y.ticks(9);
    let mut widest: f64 = 0.0;
    for (_, text) in &y_ticks {
        widest = widest.max(canvas.width(text, TICK)?);
    }
    let (left, right) = (x0 + PAD + 44.0 + widest + 14.0, x0 + width - PAD - 16.0);
    let whole = points().all(|(x, _)| x.fract() == 0.0);
    let x = Axis { range: x_range, pixels: (left, right), log: chart.log_x, whole };

    for (value, text) in &y_ticks {
        let at = y.at(*value);
        canvas.line((left, at), (right, at), FAINT, 1.0)?;
        canvas.text(text, (left - 14.0, at), Anchor::End, TICK, INK)?;
    }
    for (value, text) in x.ticks(11) {
        let at = x.at(value);
        canvas.line((at, top), (at, bottom), FAINT, 1.0)?;
        canvas.text(&text, (at, bottom + 26.0), Anchor::Middle, TICK, INK)?;
    }
    canvas.text(&chart.x_label, ((left + right) / 2.0, bottom + 74.0), Anchor::Middle, LABEL, INK)?;
    canvas.text_upwards(&chart.y_label, (x0 + PAD + 12.0, (top + bottom) / 2.0), Anchor::Middle, LABEL, INK)?;
    for (index, series) in chart.series.iter().enumerate() {
        band(canvas, series, &x, &y, colour(index))?;
    }
    for (index, series) in chart.series.iter().enumerate() {
        line(canvas, series, &x, &y, index)?;
    }
    if let Some(marker) = chart.marker.as_ref().filter(|marker| x_shown(marker.x)) {
        let at = x.at(marker.x);
        canvas.dashes(&[(at, bottom), (at, top)], GREY, 2.0, 9.0)?;
        let fits_right = at + 14.0 + canvas.width(&marker.text, TICK)? < right;
        let (side, anchor) = if fits_right { (at + 14.0, Anchor::Start) } else { (at - 14.0, Anchor::End) };
        canvas.text(&marker.text, (side, top + 24.0), anchor, TICK, INK)?;
    }
    canvas.line((left, bottom), (right, bottom), INK, 1.5)?;
    canvas.line((left, top), (left, bottom), INK, 1.5)
}

fn colour(index: usize) -> RGBColor {
    PALETTE[index % PALETTE.len()]
}

/// Past the palette's end its colours come again, dashed.
fn is_dashed(series: &Series, index: usize) -> bool {
    series.dashed != ((index / PALETTE.len()) % 2 == 1)
}

/// Draws swatches and names in as many rows as they need; gives where the last row ends.
fn legend(canvas: &mut Canvas, chart: &Chart, x0: f64, width: f64, y: f64) -> Result<f64> {
    const SWATCH: f64 = 54.0;
    const ROW: f64 = 38.0;
    let (from, to) = (x0 + PAD + 16.0, x0 + width - PAD);
    let (mut x, mut y) = (from, y + ROW / 2.0);
    if chart.series.iter().all(|series| series.name.is_empty()) {
        return Ok(y);
    }
    for (index, series) in chart.series.iter().enumerate() {
        let name = canvas.fit(&series.name, to - from - SWATCH - 12.0, TICK)?;
        let needed = SWATCH + 12.0 + canvas.width(&name, TICK)?;
        if x > from && x + needed > to {
            (x, y) = (from, y + ROW);
        }
        let swatch = [(x, y), (x + SWATCH, y)];
        if series.scattered {
            canvas.dot((x + SWATCH / 2.0, y), DOT, colour(index))?;
        } else if is_dashed(series, index) {
            canvas.dashes(&swatch, colour(index), 4.0, 10.0)?;
        } else {
            canvas.path(&swatch, colour(index), 4.0)?;
        }
        canvas.text(&name, (x + SWATCH + 12.0, y), Anchor::Start, TICK, INK)?;
        x += needed + 36.0;
    }
    Ok(y + ROW / 2.0)
}

/// Runs of points without a gap, each with its half band width.
fn runs(series: &Series, x: &Axis, y: &Axis) -> Vec<Vec<(f64, f64, f64)>> {
    let log = x.log;
    let all = series.points.iter().enumerate();
    let all = all.map(move |(index, &(x, y))| (x, y, series.band.get(index).copied().unwrap_or(0.0)));
    let mut runs: Vec<Vec<_>> = vec![Vec::new()];
    for point in all.filter(|point| point.0.is_finite() && (!log || point.0 > 0.0)) {
        match (point.1.is_finite() && (!y.log || point.1 > 0.0), runs.last_mut()) {
            (true, Some(run)) => run.push(point),
            _ => runs.push(Vec::new()),
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

fn band(canvas: &mut Canvas, series: &Series, x: &Axis, y: &Axis, colour: RGBColor) -> Result<()> {
    if series.band.is_empty() {
        return Ok(());
    }
    let inside = |value: f64| y.at(value.clamp(y.range.0, y.range.1));
    for run in runs(series, x, y) {
        let finite = |half: f64| if half.is_finite() { half } else { 0.0 };
        let upper = run.iter().map(|&(at, mean, half)| (x.at(at), inside(mean + finite(half))));
        let lower = run.iter().rev().map(|&(at, mean, half)| (x.at(at), inside(mean - finite(half))));
        let outline: Vec<_> = upper.chain(lower).collect();
        if run.len() > 1 {
            canvas.polygon(&outline, colour, 0.16)?;
        } else {
            canvas.line(outline[0], outline[1], colour, 2.5)?;
        }
    }
    Ok(())
}

fn line(canvas: &mut Canvas, series: &Series, x: &Axis, y: &Axis, index: usize) -> Result<()> {
    let (colour, dashed) = (colour(index), is_dashed(series, index));
    let few = series.points.len() <= DOTS;
    let visible = |value: f64| (y.range.0..=y.range.1).contains(&value);
    for run in runs(series, x, y) {
        for piece in inside(&run, y.range).iter().filter(|_| !series.scattered) {
            let path: Vec<_> = piece.iter().map(|&(at, value)| (x.at(at), y.at(value))).collect();
            if dashed {
                canvas.dashes(&path, colour, 3.0, 12.0)?;
            } else {
                canvas.path(&path, colour, 3.0)?;
            }
        }
        for &(at, value, _) in
            run.iter().filter(|point| visible(point.1) && (few || series.scattered || run.len() == 1))
        {
            canvas.dot((x.at(at), y.at(value)), DOT, colour)?;
        }
    }
    Ok(())
}

/// The parts of a line that lie within `range`, ending where it leaves it.
fn inside(run: &[(f64, f64, f64)], (low, high): (f64, f64)) -> Vec<Vec<(f64, f64)>> {
    let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut joined = false;
    for pair in run.windows(2) {
        let ((xa, ya, _), (xb, yb, _)) = (pair[0], pair[1]);
        let crossing = |bound: f64| (bound - ya) / (yb - ya);
        let (mut from, mut to): (f64, f64) = (0.0, 1.0);
        if ya == yb {
            if !(low..=high).contains(&ya) {
                joined = false;
                continue;
            }
        } else {
            let (a, b) = (crossing(low), crossing(high));
            (from, to) = (from.max(a.min(b)), to.min(a.max(b)));
        }
        if from > to {
            joined = false;
            continue;
        }
        let at = |share: f64| (xa + (xb - xa) * share, ya + (yb - ya) * share);
        match pieces.last_mut().filter(|_| joined && from == 0.0) {
            Some(piece) => piece.push(at(to)),
            None => pieces.push(vec![at(from), at(to)]),
        }
        joined = to == 1.0;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::super::canvas::margins;
    use super::*;

    fn series(name: &str, ys: &[f64]) -> Series {
        let points = ys.iter().enumerate().map(|(x, &y)| (x as f64 + 1.0, y)).collect();
        Series { name: name.into(), points, ..Series::default() }
    }

    fn chart(series: Vec<Series>) -> Chart {
        Chart { title: "t".into(), x_label: "epoch".into(), y_label: "loss".into(), series, ..Chart::default() }
    }

    #[test]
    fn nothing_touches_the_edge() {
        let long = "a name that is much too long for its place, ".repeat(8);
        let many = (0..20).map(|n| series(&format!("{n} {long}"), &[1e-7, 123_456.0])).collect();
        for chart in
            [chart(many), chart(vec![]), chart(vec![series("", &[f64::NAN])]), chart(vec![series("one", &[0.5])])]
        {
            let image = curves(&[Chart { title: long.clone(), ..chart }]).unwrap();
            assert_eq!(image.dimensions(), (1600, 1000));
            let margins = margins(&image);
            assert!(margins.iter().all(|&margin| margin >= 10), "{margins:?}");
        }
    }

    #[test]
    fn what_is_scattered_has_dots_and_no_line() {
        let with = |scattered| {
            let image = curves(&[chart(vec![Series { scattered, ..series("", &[0.0, 1.0]) }])]).unwrap();
            image.pixels().filter(|pixel| pixel.0 == [PALETTE[0].0, PALETTE[0].1, PALETTE[0].2]).count()
        };
        let dots = with(true);
        // two discs of twelve pixels across, and beside them a line through the whole picture
        assert!((150..300).contains(&dots), "{dots}");
        assert!(with(false) > 5 * dots, "{}", with(false));
    }

    #[test]
    fn a_value_that_is_no_number_leaves_a_gap() {
        let axis = Axis { range: (0.0, 1.0), pixels: (0.0, 1.0), log: false, whole: false };
        let runs = runs(&series("a", &[1.0, f64::NAN, f64::NAN, 2.0, 3.0]), &axis, &axis);
        assert_eq!(runs.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn lines_end_where_they_leave_the_range() {
        let run = [(0.0, 0.5, 0.0), (1.0, 1.5, 0.0), (2.0, 1.5, 0.0), (3.0, -0.5, 0.0)];
        assert_eq!(inside(&run, (0.0, 1.0)), [vec![(0.0, 0.5), (0.5, 1.0)], vec![(2.25, 1.0), (2.75, 0.0)]]);
        let straight = [(0.0, 0.0, 0.0), (1.0, 0.5, 0.0), (2.0, 1.0, 0.0)];
        assert_eq!(inside(&straight, (0.0, 1.0)), [vec![(0.0, 0.0), (1.0, 0.5), (2.0, 1.0)]]);
    }

    #[test]
    fn mistakes_are_errors() {
        let band = Series { band: vec![0.1], ..series("a", &[1.0, 2.0]) };
        assert!(curves(&[chart(vec![band])]).unwrap_err().to_string().contains("2 points, but 1 in its band"));
        let empty = Chart { y_range: Range::Between(1.0, 1.0), ..chart(vec![]) };
        assert!(curves(&[empty]).unwrap_err().to_string().contains("range 1 to 1"));
        assert!(curves(&[]).is_err());
    }
}
