//! How well a forecast ordered the sources of each target.
//!
//! Scores mean nothing across targets, so only orders within a target are compared, and only these are counted together. What
//! a task makes of itself is left out: that is no transfer, and every score finds it.
//!
//! With N tasks a target has N − 1 sources. Four tasks leave three, whose six orders an unrelated forecast finds by chance
//! one time in six; a rank correlation of three says little, and its mean over four targets not much more. The share of
//! [pairs](Pairs) that are ordered rightly uses the same evidence and is easier to read: 50 % is chance.

use serde::Serialize;

use super::Score;
use crate::Result;
use crate::eval::Spread;
use crate::eval::rank::{kendall, spearman, weighted_kendall};

/// How well one score ordered the sources.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agreement {
    /// Which.
    pub score: Score,
    /// For each target.
    pub targets: Vec<OnTarget>,
    /// Means over the targets that have an order.
    pub spearman: Option<f64>,
    /// The same of Kendall's τ-b.
    pub kendall: Option<f64>,
    /// The same of the weighted τ.
    pub weighted_kendall: Option<f64>,
    /// Pairs of sources of a target, by the means over the seeds.
    pub pairs: Pairs,
    /// Pairs of sources of a target with the same seed.
    pub pairs_by_seed: Pairs,
    /// Mean over the targets of what following the forecast costs.
    pub lost: f64,
}

/// How well one score ordered the sources of one target, by the means over the seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OnTarget {
    /// The target.
    pub target: String,
    /// Spearman's ρ; none where there is no order, as with a single source.
    pub spearman: Option<f64>,
    /// Kendall's τ-b.
    pub kendall: Option<f64>,
    /// The weighted τ, which counts the best sources more.
    pub weighted_kendall: Option<f64>,
    /// The source that the forecast puts first, the first of several.
    pub chosen: String,
    /// The accuracy of the best source less that of the chosen one, as a share; the mean where several are put first.
    pub lost: f64,
}

/// Pairs of sources whose accuracies differ.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Pairs {
    /// How many of them the forecast orders as the truth does; where it puts both on a par, that is half a pair.
    pub right: f64,
    /// How many there are.
    pub all: usize,
}

impl Pairs {
    fn count(&mut self, forecast: &[f64], truth: &[f64]) {
        for j in 0..truth.len() {
            for i in (0..j).filter(|&i| truth[i] != truth[j]) {
                self.all += 1;
                self.right += match (forecast[i] - forecast[j]) * (truth[i] - truth[j]) {
                    same if same > 0.0 => 1.0,
                    0.0 => 0.5,
                    _ => 0.0,
                };
            }
        }
    }

    /// The share that is right; none without a pair.
    pub fn share(&self) -> Option<f64> {
        (self.all > 0).then(|| self.right / self.all as f64)
    }
}

/// One source of a target: its name, its score and its accuracy for each seed.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub source: String,
    pub scores: Vec<f64>,
    pub accuracies: Vec<f64>,
}

impl Agreement {
    /// Compares a score with the truth, over the candidates of each target.
    ///
    /// # Errors
    /// A score that is not finite.
    pub(super) fn of(score: Score, targets: &[(String, Vec<Candidate>)]) -> Result<Self> {
        let (mut found, mut pairs, mut pairs_by_seed) = (vec![], Pairs::default(), Pairs::default());
        for (target, candidates) in targets {
            let mean = |of: fn(&Candidate) -> &Vec<f64>| -> Vec<f64> {
                candidates.iter().map(|candidate| Spread::of(of(candidate).iter().copied()).mean).collect()
            };
            let (scores, truth) = (mean(|c| &c.scores), mean(|c| &c.accuracies));
            pairs.count(&scores, &truth);
            for seed in 0..candidates.first().map_or(0, |first| first.scores.len()) {
                let at = |of: fn(&Candidate) -> &Vec<f64>| -> Vec<f64> {
                    candidates.iter().map(|candidate| of(candidate)[seed]).collect()
                };
                pairs_by_seed.count(&at(|c| &c.scores), &at(|c| &c.accuracies));
            }
            let highest = |values: &[f64]| values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let first: Vec<usize> = (0..scores.len()).filter(|&at| scores[at] == highest(&scores)).collect();
            let of_first: Vec<f64> = first.iter().map(|&at| truth[at]).collect();
            found.push(OnTarget {
                target: target.clone(),
                spearman: spearman(&scores, &truth)?,
                kendall: kendall(&scores, &truth)?,
                weighted_kendall: weighted_kendall(&scores, &truth)?,
                chosen: candidates[first[0]].source.clone(),
                lost: highest(&truth) - Spread::of(of_first).mean,
            });
        }
        let mean = |of: fn(&OnTarget) -> Option<f64>| {
            let values: Vec<f64> = found.iter().filter_map(of).collect();
            (!values.is_empty()).then(|| Spread::of(values).mean)
        };
        Ok(Self {
            score,
            spearman: mean(|target| target.spearman),
            kendall: mean(|target| target.kendall),
            weighted_kendall: mean(|target| target.weighted_kendall),
            pairs,
            pairs_by_seed,
            lost: mean(|target| Some(target.lost)).unwrap_or(0.0),
            targets: found,
        })
    }
}

/// Mean over the targets of what choosing a source at random costs: the best accuracy less the mean of all.
pub(super) fn lost_at_random(targets: &[(String, Vec<Candidate>)]) -> f64 {
    let lost: Vec<f64> = targets
        .iter()
        .map(|(_, candidates)| {
            let truth: Vec<f64> =
                candidates.iter().map(|candidate| Spread::of(candidate.accuracies.iter().copied()).mean).collect();
            truth.iter().copied().fold(f64::NEG_INFINITY, f64::max) - Spread::of(truth).mean
        })
        .collect();
    Spread::of(lost).mean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str, rows: &[(&str, [f64; 2], [f64; 2])]) -> (String, Vec<Candidate>) {
        let candidate = |&(source, scores, accuracies): &(&str, [f64; 2], [f64; 2])| Candidate {
            source: source.into(),
            scores: scores.to_vec(),
            accuracies: accuracies.to_vec(),
        };
        (name.into(), rows.iter().map(candidate).collect())
    }

    #[test]
    fn orders_are_compared_within_a_target_only() -> Result<()> {
        // for x all pairs are right; for y, whose scores and accuracies lie elsewhere altogether, none is
        let targets = [
            target("x", &[("a", [1.0, 1.0], [0.5, 0.5]), ("b", [2.0, 2.0], [0.6, 0.6]), ("c", [3.0, 3.0], [0.7, 0.7])]),
            target("y", &[("a", [-9.0, -9.0], [0.3, 0.1]), ("b", [-8.0, -8.0], [0.1, 0.1])]),
        ];
        let found = Agreement::of(Score::Leep, &targets)?;
        let close = |found: Option<f64>, expected: f64| found.is_some_and(|found| (found - expected).abs() < 1e-12);
        assert!(close(found.targets[0].spearman, 1.0) && close(found.targets[1].spearman, -1.0));
        assert!(close(found.spearman, 0.0) && close(found.kendall, 0.0));
        assert_eq!(found.pairs, Pairs { right: 3.0, all: 4 });
        // with the second seed y's accuracies are equal: no pair
        assert_eq!(found.pairs_by_seed, Pairs { right: 6.0, all: 7 });
        assert_eq!((found.targets[0].chosen.as_str(), found.targets[0].lost), ("c", 0.0));
        assert_eq!(found.targets[1].chosen, "b");
        assert!((found.targets[1].lost - 0.1).abs() < 1e-12 && (found.lost - 0.05).abs() < 1e-12);
        assert!((lost_at_random(&targets) - (0.1 + 0.05) / 2.0).abs() < 1e-12);
        Ok(())
    }

    #[test]
    fn a_score_that_tells_nothing_is_half_right_and_has_no_order() -> Result<()> {
        let same = target("x", &[("a", [1.0, 1.0], [0.5, 0.5]), ("b", [1.0, 1.0], [0.6, 0.7])]);
        let found = Agreement::of(Score::HScore, &[same])?;
        assert_eq!((found.spearman, found.pairs.share()), (None, Some(0.5)));
        assert!((found.lost - 0.075).abs() < 1e-12);
        let alone = Agreement::of(Score::HScore, &[target("x", &[("a", [1.0, 1.0], [0.5, 0.5])])])?;
        assert_eq!((alone.spearman, alone.pairs.share(), alone.lost), (None, None, 0.0));
        Ok(())
    }
}
