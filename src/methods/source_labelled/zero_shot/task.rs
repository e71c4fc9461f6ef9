//! What zero-shot learning starts from: images as features, what is said of all classes, and which images may be learned from.

use std::path::Path;

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::data::{ClassTable, FeatureSet, Purpose, ZeroShotSplits, stream};
use crate::{Error, Result};

/// Share of a seen class's images that is kept for tests, and of those to learn from that settings are chosen on.
const HELD: f64 = 0.2;
/// Share of the seen classes that stand for unseen ones while settings are chosen.
const HELD_CLASSES: f64 = 0.25;

/// Features, descriptions and who sees what. Positions are rows of the features.
#[derive(Debug)]
pub struct Task {
    /// `[N, D]` f64.
    pub features: Tensor,
    /// The class of each row.
    pub labels: Vec<usize>,
    /// The classes.
    pub classes: Vec<String>,
    /// `[C, A]` f64.
    pub descriptions: Tensor,
    /// The same before they were scaled.
    pub unscaled: Tensor,
    /// Which classes are seen.
    pub seen: Vec<bool>,
    /// Images of seen classes to learn from.
    pub trainval: Vec<usize>,
    /// Those of them to learn from while settings are chosen.
    pub train: Vec<usize>,
    /// Those to choose settings on, of classes that `train` has none of.
    pub val: Vec<usize>,
    /// Images of seen classes to test on.
    pub test_seen: Vec<usize>,
    /// Images of unseen classes to test on.
    pub test_unseen: Vec<usize>,
}

/// How the numbers of a description are scaled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Scaling {
    /// Every class's numbers together to length 1
    #[default]
    Length,
    /// Every attribute to mean 0 and standard deviation 1 over the classes
    Standard,
    /// As they are
    None,
}

impl Scaling {
    /// The descriptions so scaled.
    ///
    /// # Shapes
    /// `[C, A]` → the same, f64
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn apply(self, descriptions: &Tensor) -> Result<Tensor> {
        let x = descriptions.f_to_kind(Kind::Double)?;
        Ok(match self {
            Self::Length => x.f_div(&x.f_norm_scalaropt_dim(2, [1i64], true)?.f_clamp_min(1e-12)?)?,
            Self::Standard => {
                let apart = x.f_sub(&x.f_mean_dim([0i64].as_slice(), true, Kind::Double)?)?;
                let spread = apart.f_square()?.f_mean_dim([0i64].as_slice(), true, Kind::Double)?.f_sqrt()?;
                apart.f_div(&spread.f_clamp_min(1e-12)?)?
            }
            Self::None => x,
        })
    }
}

impl Task {
    /// Of files as Xian et al. 2018 publish them: features with labels (`res101.mat`) and splits with attributes (`att_splits.mat`);
    /// and how many positions of the splits are left out, see [`ZeroShotSplits`].
    ///
    /// # Errors
    /// Files that cannot be read or do not belong together; two classes with the same attributes.
    pub fn of_files(features: &Path, splits: &Path, scaling: Scaling) -> Result<(Self, usize)> {
        let (set, splits) = (FeatureSet::open(features)?, ZeroShotSplits::open(splits)?);
        // a class without an image has no label, so labels are the splits' by their names, or by their numbers from 1
        let classes = &splits.table.classes;
        let place = |class: &String| {
            let number = || class.parse::<usize>().ok().filter(|number| (1..=classes.len()).contains(number));
            classes.iter().position(|name| name == class).or_else(|| number().map(|number| number - 1))
        };
        let places: Option<Vec<usize>> = set.classes.iter().map(place).collect();
        let places = places.ok_or_else(|| {
            Error::file(features, format!("has labels that are none of the splits' {} classes", classes.len()))
        })?;
        let labels: Vec<usize> = set.labels.iter().map(|&label| places[label]).collect();
        let seen = splits.seen(&labels)?;
        let (table, _) = splits.table.filled()?;
        let unscaled = table.values.f_to_kind(Kind::Double)?;
        let table = ClassTable { values: scaling.apply(&table.values)?, ..table };
        table.require_distinct()?;
        let task = Self {
            features: set.features.f_to_kind(Kind::Double)?,
            labels,
            classes: table.classes,
            descriptions: table.values,
            unscaled,
            seen,
            trainval: splits.trainval,
            train: splits.train,
            val: splits.val,
            test_seen: splits.test_seen,
            test_unseen: splits.test_unseen,
        };
        Ok((task, splits.left_out))
    }

    /// Of features of images, of which the classes in `unseen` are only tested on. Of the seen ones a fifth of each class's images is
    /// for tests; a quarter of them stands for unseen ones while settings are chosen. `seed` draws all of it.
    ///
    /// # Shapes
    /// `features: [N, D]`, `labels: [N]` below C, descriptions `[C, A]`, scaled and before
    ///
    /// # Errors
    /// Fewer than four seen or two unseen classes; a class that is not there.
    pub fn of_features(
        features: &Tensor,
        labels: Vec<usize>,
        classes: Vec<String>,
        (descriptions, unscaled): (Tensor, Tensor),
        unseen: &[String],
        seed: u64,
    ) -> Result<Self> {
        if let Some(other) = unseen.iter().find(|name| !classes.contains(name)) {
            return Err(Error::Usage(format!("--unseen {other}: none of the classes {}", classes.join(", "))));
        }
        let seen: Vec<bool> = classes.iter().map(|class| !unseen.contains(class)).collect();
        let mut of_seen: Vec<usize> = (0..classes.len()).filter(|&class| seen[class]).collect();
        let without = classes.len() - of_seen.len();
        if of_seen.len() < 4 || without < 2 {
            let (seen, unseen) = (of_seen.len(), without);
            return Err(Error::Usage(format!(
                "{seen} seen classes and {unseen} unseen (--unseen, --unseen-classes); expected at least 4 and 2"
            )));
        }
        let mut random = stream(seed, Purpose::Choose, 0, 0);
        of_seen.shuffle(&mut random);
        let held = ((of_seen.len() as f64 * HELD_CLASSES).round() as usize).max(2);
        let stand_in: std::collections::BTreeSet<usize> = of_seen[..held].iter().copied().collect();
        let mut task = Self {
            features: features.f_to_kind(Kind::Double)?,
            descriptions,
            unscaled,
            seen,
            trainval: vec![],
            train: vec![],
            val: vec![],
            test_seen: vec![],
            test_unseen: (0..labels.len()).filter(|&at| unseen.contains(&classes[labels[at]])).collect(),
            labels,
            classes,
        };
        for class in (0..task.classes.len()).filter(|&class| task.seen[class]) {
            let mut members: Vec<usize> = (0..task.labels.len()).filter(|&at| task.labels[at] == class).collect();
            members.shuffle(&mut random);
            let tested = held_of(members.len());
            task.test_seen.extend(&members[..tested]);
            task.trainval.extend(&members[tested..]);
            let list = if stand_in.contains(&class) { &mut task.val } else { &mut task.train };
            list.extend(&members[tested..]);
        }
        for list in [&mut task.trainval, &mut task.train, &mut task.val, &mut task.test_seen] {
            list.sort_unstable();
        }
        Ok(task)
    }

    /// The rows at these positions, and their labels.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn rows(&self, positions: &[usize]) -> Result<(Tensor, Vec<usize>)> {
        let index: Vec<i64> = positions.iter().map(|&at| at as i64).collect();
        let rows =
            self.features.f_index_select(0, &Tensor::f_from_slice(&index)?.f_to_device(self.features.device())?)?;
        Ok((rows, positions.iter().map(|&at| self.labels[at]).collect()))
    }

    /// `positions` in two: those to learn from, and of each class a fifth to try on, drawn by `seed`.
    pub fn halves(&self, positions: &[usize], seed: u64) -> (Vec<usize>, Vec<usize>) {
        let mut random = stream(seed, Purpose::Choose, 1, 0);
        let (mut learned, mut tried) = (vec![], vec![]);
        for class in 0..self.classes.len() {
            let mut members: Vec<usize> = positions.iter().copied().filter(|&at| self.labels[at] == class).collect();
            members.shuffle(&mut random);
            let held = held_of(members.len());
            tried.extend(&members[..held]);
            learned.extend(&members[held..]);
        }
        learned.sort_unstable();
        tried.sort_unstable();
        (learned, tried)
    }
}

/// How many of a class's images are held out; a class with a single one keeps it.
fn held_of(images: usize) -> usize {
    if images < 2 { 0 } else { ((images as f64 * HELD).round() as usize).max(1) }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn nobody_learns_from_what_is_tested_or_held_out() -> Result<()> {
        let labels: Vec<usize> = (0..120).map(|at| at % 10).collect();
        let classes: Vec<String> = (0..10).map(|class| format!("c{class}")).collect();
        let zeros = |rows: i64| Tensor::zeros([rows, 3], (Kind::Float, Device::Cpu));
        let of = |unseen: &[&str]| {
            let unseen: Vec<String> = unseen.iter().map(|name| name.to_string()).collect();
            Task::of_features(&zeros(120), labels.clone(), classes.clone(), (zeros(10), zeros(10)), &unseen, 7)
        };
        let task = of(&["c3", "c8"])?;
        let set = |list: &[usize]| list.iter().map(|&at| task.labels[at]).collect::<std::collections::BTreeSet<_>>();
        assert_eq!((task.test_unseen.len(), set(&task.test_unseen)), (24, [3, 8].into()));
        assert_eq!((task.test_seen.len(), task.trainval.len()), (8 * 2, 8 * 10));
        assert!(task.test_seen.iter().all(|at| !task.trainval.contains(at)));
        assert_eq!((set(&task.val).len(), set(&task.train).len()), (2, 6));
        assert!(set(&task.val).is_disjoint(&set(&task.train)));
        let (learned, tried) = task.halves(&task.train, 1);
        assert_eq!((learned.len(), tried.len(), set(&tried).len()), (48, 12, 6));
        assert!(of(&["c3"]).is_err() && of(&["c3", "c3"]).is_err() && of(&["c3", "x"]).is_err());
        Ok(())
    }

    #[test]
    fn descriptions_are_scaled() -> Result<()> {
        let x = Tensor::from_slice2(&[[3f64, 4.0], [0.0, 2.0]]);
        let rows = |x: Tensor| Vec::<Vec<f64>>::try_from(&x).unwrap();
        assert_eq!(rows(Scaling::Length.apply(&x)?), [[0.6, 0.8], [0.0, 1.0]]);
        assert_eq!(rows(Scaling::Standard.apply(&x)?), [[1.0, 1.0], [-1.0, -1.0]]);
        assert_eq!(rows(Scaling::None.apply(&x)?), [[3.0, 4.0], [0.0, 2.0]]);
        Ok(())
    }
}
