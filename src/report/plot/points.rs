//! Points in the plane, coloured by what they are: projections of features.

use image::RgbImage;
use plotters::style::RGBColor;

use super::canvas::{Anchor, Canvas, FAINT, INK, PALETTE, render};
use crate::{Error, Result};

const SIDE: f64 = 760.0;
const PAD: f64 = 24.0;
const TITLE: f64 = 28.0;
const KEY: f64 = 21.0;
const ROW: f64 = 32.0;
const DOT: f64 = 4.0;
/// Groups that the key names; those beyond are points without a name.
const NAMED: usize = 12;

/// A cloud of points.
#[derive(Debug, Clone, PartialEq)]
pub struct Points {
    /// What it shows.
    pub title: String,
    /// Where they are; both axes without a unit.
    pub at: Vec<(f64, f64)>,
    /// The group of each, a number into `groups`.
    pub group: Vec<usize>,
    /// Whether each is drawn as a ring instead of a disc.
    pub ring: Vec<bool>,
    /// The groups' names.
    pub groups: Vec<String>,
    /// Points that are drawn large, with a name, by their positions.
    pub marked: Vec<(usize, String)>,
}

/// Draws clouds in rows of two, each in a square that its points fill.
///
/// # Errors
/// There is none, or one without points, with lists of unequal length, or with points that are not finite.
pub fn points(clouds: &[Points]) -> Result<RgbImage> {
    let sound = |cloud: &Points| {
        let count = cloud.at.len();
        count > 0
            && (cloud.group.len(), cloud.ring.len()) == (count, count)
            && cloud.group.iter().all(|&group| group < cloud.groups.len())
            && cloud.marked.iter().all(|(point, _)| *point < count)
            && cloud.at.iter().all(|(x, y)| x.is_finite() && y.is_finite())
    };
    if clouds.is_empty() || !clouds.iter().all(sound) {
        return Err(Error::Data("plot: no points to draw, or points without a place or a group".into()));
    }
    let across = clouds.len().min(2);
    let key = clouds.iter().map(|cloud| cloud.groups.len().min(NAMED)).max().unwrap_or(0).div_ceil(4) as f64;
    let height = PAD + 50.0 + SIDE + key * ROW + PAD;
    render((SIDE + 2.0 * PAD) * across as f64, height * clouds.len().div_ceil(across) as f64, |canvas| {
        for (number, cloud) in clouds.iter().enumerate() {
            let (column, row) = ((number % across) as f64, (number / across) as f64);
            draw(canvas, cloud, (column * (SIDE + 2.0 * PAD) + PAD, row * height + PAD))?;
        }
        Ok(())
    })
}

fn colour(group: usize, groups: usize) -> RGBColor {
    if groups <= PALETTE.len() {
        return PALETTE[group];
    }
    // around the circle of hues, in steps that keep neighbours apart
    let hue = (group as f64 * 0.618_033_988_75).fract() * 6.0;
    let (low, high) = (40.0, 215.0);
    let wave = |shift: f64| {
        let place = (hue + shift).rem_euclid(6.0);
        let share = if place < 1.0 {
            place
        } else if place < 3.0 {
            1.0
        } else if place < 4.0 {
            4.0 - place
        } else {
            0.0
        };
        (low + (high - low) * share) as u8
    };
    RGBColor(wave(2.0), wave(0.0), wave(4.0))
}

fn draw(canvas: &mut Canvas, cloud: &Points, (left, top): (f64, f64)) -> Result<()> {
    let title = canvas.fit(&cloud.title, SIDE, TITLE)?;
    canvas.text(&title, (left + SIDE / 2.0, top + 16.0), Anchor::Middle, TITLE, INK)?;
    let top = top + 50.0;
    let range = |of: &dyn Fn(&(f64, f64)) -> f64| {
        let values = cloud.at.iter().map(of);
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        (low, (high - low).max(1e-12))
    };
    let ((x0, width), (y0, height)) = (range(&|point| point.0), range(&|point| point.1));
    let place = |(x, y): (f64, f64)| {
        let inside = |share: f64| 14.0 + share * (SIDE - 28.0);
        (left + inside((x - x0) / width), top + SIDE - inside((y - y0) / height))
    };
    for ((&point, &group), &ring) in cloud.at.iter().zip(&cloud.group).zip(&cloud.ring) {
        let colour = colour(group, cloud.groups.len());
        if ring { canvas.ring(place(point), DOT, colour)? } else { canvas.dot(place(point), DOT, colour)? }
    }
    for (point, name) in &cloud.marked {
        let (x, y) = place(cloud.at[*point]);
        canvas.dot((x, y), 3.0 * DOT, INK)?;
        canvas.dot((x, y), 2.4 * DOT, colour(cloud.group[*point], cloud.groups.len()))?;
        // inside of the frame, whichever side has room
        let (anchor, x) =
            if x > left + SIDE * 0.75 { (Anchor::End, x - 4.0 * DOT) } else { (Anchor::Start, x + 4.0 * DOT) };
        canvas.text(name, (x, y), anchor, KEY, INK)?;
    }
    canvas.frame((left, top), (left + SIDE, top + SIDE), FAINT, 1.5)?;
    let cell = SIDE / 4.0;
    for (number, name) in cloud.groups.iter().take(NAMED).enumerate() {
        let (x, y) = (left + (number % 4) as f64 * cell, top + SIDE + 22.0 + (number / 4) as f64 * ROW);
        canvas.dot((x + 8.0, y), 7.0, colour(number, cloud.groups.len()))?;
        let name = canvas.fit(name, cell - 30.0, KEY)?;
        canvas.text(&name, (x + 22.0, y), Anchor::Start, KEY, INK)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::canvas::margins;
    use super::*;

    fn cloud(groups: usize) -> Points {
        let at: Vec<(f64, f64)> = (0..60).map(|i| (f64::from(i).sin() * 9.0, f64::from(i * i).cos())).collect();
        Points {
            title: "points, ".repeat(20),
            group: (0..60).map(|i| i % groups).collect(),
            ring: (0..60).map(|i| i % 2 == 0).collect(),
            groups: (0..groups).map(|group| format!("group number {group} ").repeat(3)).collect(),
            at,
            marked: vec![(3, "a name".into()), (7, "one at the edge".into())],
        }
    }

    #[test]
    fn clouds_fit_their_sheet() {
        for clouds in [vec![cloud(2)], vec![cloud(2), cloud(10)], vec![cloud(2), cloud(43), cloud(7), cloud(1)]] {
            let margins = margins(&points(&clouds).unwrap());
            assert!(margins.iter().all(|&margin| margin >= 5), "{margins:?}");
        }
        assert!(points(&[]).is_err() && points(&[Points { ring: vec![], ..cloud(2) }]).is_err());
    }

    #[test]
    fn groups_have_colours_of_their_own() {
        for groups in [2, 7, 10, 43] {
            let mut all: Vec<_> = (0..groups).map(|group| colour(group, groups)).map(|c| (c.0, c.1, c.2)).collect();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), groups);
        }
    }
}
