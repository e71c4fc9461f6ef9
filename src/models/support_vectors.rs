//! Linear support vector machines, one for each pair of classes: a classifier of features that others computed.
//!
//! For classes a and b (y = ±1) it minimises ½ ‖w‖² + C Σ max(0, 1 − y w·x), x with a one at its end, in the dual by coordinate descent
//! (Hsieh et al. 2008, algorithm 1); the class with the most won pairs is the answer, the first of several (as LIBSVM does it). C is
//! the caller's, or the best of a grid by cross-validation.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor};

use crate::{Error, Result};

/// It ends where no coordinate's gradient breaks its bounds by more, or after so many passes.
const TOLERANCE: f64 = 1e-3;
const PASSES: usize = 1000;
/// What cross-validation tries for C, and on how many parts.
const GRID: [f64; 7] = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 1e-1, 1.0];
const FOLDS: usize = 5;

/// A machine for each pair of classes.
#[derive(Debug)]
pub struct SupportVectors {
    /// Classes of each machine, the first on the positive side.
    pairs: Vec<(usize, usize)>,
    /// `[pairs, D + 1]` f64.
    weights: Tensor,
    classes: usize,
}

/// Rows with a one at their end, as numbers.
fn rows(features: &Tensor) -> Result<Vec<Vec<f64>>> {
    let x = features.detach().f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?;
    let ones = Tensor::f_ones([x.size2()?.0, 1], (Kind::Double, Device::Cpu))?;
    Ok(Vec::<Vec<f64>>::try_from(&Tensor::f_cat(&[x, ones], 1)?)?)
}

impl SupportVectors {
    /// Machines for these rows, with this C. A class without a row wins no pair.
    ///
    /// # Shapes
    /// `features: [N, D]`, `labels: [N]` below `classes`
    ///
    /// # Errors
    /// Not one label for each row, rows of fewer than two classes.
    pub fn fit(features: &Tensor, labels: &[usize], classes: usize, c: f64) -> Result<Self> {
        Self::on(&rows(features)?, labels, classes, c)
    }

    /// The same with the C that cross-validation on these rows finds best, the smallest of several; and that C. `seed` deals the rows
    /// out.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn cross_validated(features: &Tensor, labels: &[usize], classes: usize, seed: u64) -> Result<(Self, f64)> {
        let x = rows(features)?;
        let fold = folds(labels, classes, seed);
        let mut best = (0, GRID[0]);
        for c in GRID {
            let mut right = 0;
            for out in 0..FOLDS {
                let part =
                    |inside: bool| -> Vec<usize> { (0..x.len()).filter(|&row| (fold[row] == out) != inside).collect() };
                let (train, test) = (part(true), part(false));
                let pick = |list: &[usize]| -> (Vec<Vec<f64>>, Vec<usize>) {
                    list.iter().map(|&row| (x[row].clone(), labels[row])).unzip()
                };
                let ((x, y), (tested, truth)) = (pick(&train), pick(&test));
                let Ok(machines) = Self::on(&x, &y, classes, c) else { continue };
                right += machines.classify(&tested)?.iter().zip(&truth).filter(|(a, b)| a == b).count();
            }
            if right > best.0 {
                best = (right, c);
            }
        }
        Ok((Self::on(&x, labels, classes, best.1)?, best.1))
    }

    fn on(x: &[Vec<f64>], labels: &[usize], classes: usize, c: f64) -> Result<Self> {
        if x.len() != labels.len() || labels.iter().any(|&label| label >= classes) {
            return Err(Error::Data(format!("{} labels for {} rows of features", labels.len(), x.len())));
        }
        let members: Vec<Vec<usize>> =
            (0..classes).map(|class| (0..x.len()).filter(|&row| labels[row] == class).collect()).collect();
        let (mut pairs, mut weights) = (vec![], vec![]);
        for first in 0..classes {
            for second in first + 1..classes {
                if members[first].is_empty() || members[second].is_empty() {
                    continue;
                }
                let side = |class: usize, sign: f64| members[class].iter().map(move |&row| (row, sign));
                let all: Vec<(&[f64], f64)> =
                    side(first, 1.0).chain(side(second, -1.0)).map(|(row, sign)| (x[row].as_slice(), sign)).collect();
                pairs.push((first, second));
                weights.push(machine(&all, c));
            }
        }
        if pairs.is_empty() {
            return Err(Error::Data("a support vector machine needs rows of at least two classes".into()));
        }
        Ok(Self { pairs, weights: Tensor::from_slice2(&weights), classes })
    }

    /// The class of each row.
    ///
    /// # Shapes
    /// `features: [N, D]` → N
    ///
    /// # Errors
    /// Another number of features.
    pub fn predict(&self, features: &Tensor) -> Result<Vec<usize>> {
        self.classify(&rows(features)?)
    }

    fn classify(&self, x: &[Vec<f64>]) -> Result<Vec<usize>> {
        if x.is_empty() {
            return Ok(vec![]);
        }
        let sides = Vec::<Vec<f64>>::try_from(&Tensor::from_slice2(x).f_matmul(&self.weights.f_tr()?)?)?;
        let winner = |sides: &Vec<f64>| {
            let mut won = vec![0; self.classes];
            for (&(first, second), &side) in self.pairs.iter().zip(sides) {
                won[if side > 0.0 { first } else { second }] += 1;
            }
            let most = won.iter().max().copied().unwrap_or(0);
            won.iter().position(|&count| count == most).unwrap_or(0)
        };
        Ok(sides.iter().map(winner).collect())
    }
}

/// Deals the rows of every class out to the folds.
fn folds(labels: &[usize], classes: usize, seed: u64) -> Vec<usize> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut fold = vec![0; labels.len()];
    for class in 0..classes {
        let mut members: Vec<usize> = (0..labels.len()).filter(|&row| labels[row] == class).collect();
        members.shuffle(&mut random);
        members.iter().enumerate().for_each(|(place, &row)| fold[row] = place % FOLDS);
    }
    fold
}

/// w of one machine.
fn machine(rows: &[(&[f64], f64)], c: f64) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let squares: Vec<f64> = rows.iter().map(|(x, _)| dot(x, x)).collect();
    let (mut w, mut alpha) = (vec![0.0; rows[0].0.len()], vec![0.0; rows.len()]);
    for _ in 0..PASSES {
        let mut worst = 0.0f64;
        for (row, &(x, y)) in rows.iter().enumerate() {
            let slope = y * dot(&w, x) - 1.0;
            let before: f64 = alpha[row];
            let projected = match before {
                b if b <= 0.0 => slope.min(0.0),
                b if b >= c => slope.max(0.0),
                _ => slope,
            };
            worst = worst.max(projected.abs());
            if projected != 0.0 {
                alpha[row] = (before - slope / squares[row]).clamp(0.0, c);
                let step = (alpha[row] - before) * y;
                w.iter_mut().zip(x).for_each(|(w, x)| *w += step * x);
            }
        }
        if worst <= TOLERANCE {
            break;
        }
    }
    w
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three groups that overlap a little.
    fn data(rows: i64) -> (Tensor, Vec<usize>) {
        let labels: Vec<usize> = (0..rows as usize).map(|row| row % 3).collect();
        let noise = (Tensor::arange(rows * 4, (Kind::Double, Device::Cpu)) * 1.37).sin().reshape([rows, 4]);
        let centres = Tensor::from_slice2(&[[2.0f64, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0]]);
        let index: Vec<i64> = labels.iter().map(|&label| label as i64).collect();
        (noise + centres.index_select(0, &Tensor::from_slice(&index)), labels)
    }

    #[test]
    fn groups_are_told_apart() -> Result<()> {
        let (x, labels) = data(90);
        for machines in
            [SupportVectors::fit(&x, &labels, 3, 1.0)?, SupportVectors::cross_validated(&x, &labels, 3, 0)?.0]
        {
            let right = machines.predict(&x)?.iter().zip(&labels).filter(|(a, b)| a == b).count();
            assert!(right > 80, "{right}");
        }
        Ok(())
    }

    #[test]
    fn a_machine_is_at_the_minimum_of_its_loss() {
        let (x, labels) = data(60);
        let x = rows(&x).unwrap();
        let two: Vec<(&[f64], f64)> = (0..60)
            .filter(|&row| labels[row] < 2)
            .map(|row| (x[row].as_slice(), if labels[row] == 0 { 1.0 } else { -1.0 }))
            .collect();
        let loss = |w: &[f64]| {
            let hinge = |(x, y): &(&[f64], f64)| (1.0 - y * x.iter().zip(w).map(|(a, b)| a * b).sum::<f64>()).max(0.0);
            0.5 * w.iter().map(|w| w * w).sum::<f64>() + 0.3 * two.iter().map(hinge).sum::<f64>()
        };
        let w = machine(&two, 0.3);
        let best = loss(&w);
        for at in 0..w.len() {
            for step in [-0.02, 0.02] {
                let mut other = w.clone();
                other[at] += step;
                assert!(loss(&other) > best - 1e-4, "{at} {step}");
            }
        }
    }

    #[test]
    fn a_class_without_rows_wins_nothing_and_one_class_is_no_task() -> Result<()> {
        let (x, labels) = data(60);
        let machines = SupportVectors::fit(&x, &labels, 5, 1.0)?;
        assert!(machines.predict(&x)?.iter().all(|&class| class < 3));
        assert!(SupportVectors::fit(&x, &vec![1; 60], 5, 1.0).is_err());
        assert!(SupportVectors::fit(&x, &labels[1..], 3, 1.0).is_err());
        Ok(())
    }
}
