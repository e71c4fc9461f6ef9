//! Zero-shot learning where images of seen classes come too.
//!
//! Xian et al. 2018, section 3.3: U and S are the mean per-class accuracies of unseen and seen classes' images when each may be taken for any
//! class, and H = 2US/(U + S). Chao et al. 2016, "An empirical study and analysis of generalized zero-shot learning for object recognition in
//! the wild", equation 3: scores of seen classes, which tend to win, less a number γ (*calibrated stacking*); the area under the curve of S
//! over U for all γ (AUSUC) tells methods apart without choosing one.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::{Error, Result};

/// What scores are worth for one γ.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// What is taken off the scores of seen classes.
    pub gamma: f64,
    /// U: mean per-class accuracy of unseen classes.
    pub unseen: f64,
    /// S: mean per-class accuracy of seen classes.
    pub seen: f64,
}

impl Point {
    /// H = 2US/(U + S), 0 where both are 0.
    pub fn harmonic(&self) -> f64 {
        let sum = self.unseen + self.seen;
        if sum > 0.0 { 2.0 * self.unseen * self.seen / sum } else { 0.0 }
    }
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Generalised {
    /// From all images taken for seen classes to all taken for unseen ones: a point for every γ that changes an answer.
    pub curve: Vec<Point>,
    /// The area under S over U.
    pub ausuc: f64,
}

impl Generalised {
    /// Of scores for all classes, of which `seen` says which are seen.
    ///
    /// # Shapes
    /// `scores: [N, C]`, `labels: [N]` below C, `seen: [C]`
    ///
    /// # Errors
    /// Shapes that do not fit; no seen or no unseen class; no image of one of them.
    pub fn of(scores: &Tensor, labels: &[usize], seen: &[bool]) -> Result<Self> {
        let (images, classes) = scores.size2()?;
        if images != labels.len() as i64 || classes != seen.len() as i64 {
            let (labels, seen) = (labels.len(), seen.len());
            return Err(Error::Data(format!("{labels} labels and {seen} classes for scores [{images}, {classes}]")));
        }
        if let Some(label) = labels.iter().find(|&&label| label >= seen.len()) {
            return Err(Error::Data(format!("the label {label} is none of {classes} classes")));
        }
        let best = |wanted: bool| -> Result<(Vec<f64>, Vec<usize>)> {
            let places: Vec<i64> =
                (0..seen.len()).filter(|&class| seen[class] == wanted).map(|class| class as i64).collect();
            if places.is_empty() {
                return Err(Error::Data("a generalised score needs classes that are seen and others".into()));
            }
            let places = Tensor::f_from_slice(&places)?.f_to_device(scores.device())?;
            let (best, at) = scores.f_index_select(1, &places)?.f_to_kind(Kind::Double)?.f_max_dim(1, false)?;
            let class = Vec::<i64>::try_from(&places.f_index_select(0, &at)?)?;
            Ok((Vec::try_from(&best)?, class.into_iter().map(|class| class as usize).collect()))
        };
        let ((seen_best, seen_class), (unseen_best, unseen_class)) = (best(true)?, best(false)?);
        let mut sizes = vec![0.0; seen.len()];
        labels.iter().for_each(|&label| sizes[label] += 1.0);
        let with_images =
            |wanted: bool| (0..seen.len()).filter(|&class| seen[class] == wanted && sizes[class] > 0.0).count();
        let (of_seen, of_unseen) = (with_images(true) as f64, with_images(false) as f64);
        if of_seen == 0.0 || of_unseen == 0.0 {
            return Err(Error::Data("a generalised score needs images of seen and of unseen classes".into()));
        }
        // an image goes over to the unseen classes where γ reaches what its best seen class is ahead by
        let ahead = |image: usize| seen_best[image] - unseen_best[image];
        let mut order: Vec<usize> = (0..labels.len()).collect();
        order.sort_by(|&a, &b| ahead(a).total_cmp(&ahead(b)));
        let share = |image: usize| 1.0 / sizes[labels[image]] / if seen[labels[image]] { of_seen } else { of_unseen };
        let (mut u, mut s) = (0.0, 0.0);
        for &image in order.iter().filter(|&&image| seen_class[image] == labels[image]) {
            s += share(image);
        }
        let mut curve = vec![Point { gamma: f64::NEG_INFINITY, unseen: 0.0, seen: s }];
        for (at, &image) in order.iter().enumerate() {
            if seen_class[image] == labels[image] {
                s -= share(image);
            }
            if unseen_class[image] == labels[image] {
                u += share(image);
            }
            // those that go over together make one point
            if order.get(at + 1).is_none_or(|&next| ahead(next) > ahead(image)) {
                curve.push(Point { gamma: ahead(image), unseen: u, seen: s.max(0.0) });
            }
        }
        let area = |pair: &[Point]| (pair[1].unseen - pair[0].unseen) * (pair[0].seen + pair[1].seen) / 2.0;
        let ausuc = curve.windows(2).map(area).sum();
        Ok(Self { curve, ausuc })
    }

    /// U and S for a γ; that of 0 is plain.
    pub fn at(&self, gamma: f64) -> Point {
        let reached = self.curve.iter().rev().find(|point| point.gamma <= gamma);
        Point { gamma, ..*reached.expect("the first point's γ is below all") }
    }

    /// The point with the largest H: γ = 0 if none has a larger one, otherwise the smallest. Its γ is to be taken from classes that were held out, never
    /// from those that are tested.
    pub fn best(&self) -> Point {
        let better = |best: Point, point: &Point| if point.harmonic() > best.harmonic() { *point } else { best };
        self.curve.iter().fold(self.at(0.0), better)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_go_over_one_by_one() -> Result<()> {
        // classes 0 and 1 are seen, 2 is not
        let scores = Tensor::from_slice2(&[
            [3f64, 0.0, 2.0],
            [0.0, 3.0, 2.5],
            [5.0, 0.0, 1.0],
            [4.0, 0.0, 3.9],
            [0.0, 2.0, 3.0],
        ]);
        let found = Generalised::of(&scores, &[0, 1, 0, 2, 2], &[true, true, false])?;
        let plain = found.at(0.0);
        // of class 2 one of two is right; all seen images are
        assert_eq!((plain.unseen, plain.seen), (0.5, 1.0));
        assert!((plain.harmonic() - 2.0 / 3.0).abs() < 1e-12);
        // at 0.1 the other one too; at 0.5 the only image of class 1 is lost, at 1 one of two of class 0
        let near = |point: Point, unseen: f64, seen: f64| {
            assert!((point.unseen - unseen).abs() < 1e-12 && (point.seen - seen).abs() < 1e-12, "{point:?}");
        };
        near(found.at(0.2), 1.0, 1.0);
        near(found.at(0.5), 1.0, 0.5);
        near(found.at(1.0), 1.0, 0.25);
        near(found.at(100.0), 1.0, 0.0);
        near(found.at(-100.0), 0.0, 1.0);
        near(found.best(), 1.0, 1.0);
        assert!((found.best().gamma - 0.1).abs() < 1e-9 && (found.ausuc - 1.0).abs() < 1e-12);
        assert!(Generalised::of(&scores, &[0, 1, 0, 0, 0], &[true, true, false]).is_err());
        assert!(Generalised::of(&scores, &[0, 1, 0, 2, 2], &[true; 3]).is_err());
        assert!(Generalised::of(&scores, &[0, 1, 0, 2, 3], &[true, true, false]).is_err());
        // where nothing is ever right on both sides, nothing is taken off
        let wrong = Generalised::of(&scores, &[1, 0, 1, 2, 2], &[true, true, false])?;
        assert_eq!((wrong.best().gamma, wrong.best().harmonic()), (0.0, 0.0));
        Ok(())
    }
}
