//! Which networks the sweep trains, and how: a pure function of options, seed and cell.

use std::path::Path;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::{Curve, End, LayersOptions};
use crate::methods::both_labelled::finetune::{FinetuneOptions, Keep};
use crate::models::Selector;
use crate::{Error, Result};

/// How far the seeds of networks that copy are above those of what they copy from.
const ABOVE: u64 = 1_000_000;

/// A network of the sweep, for all seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cell {
    /// The network of B: no layer is copied.
    Base,
    /// So many layers are copied.
    Copied {
        /// From which end.
        end: End,
        /// From where, and whether they learn.
        curve: Curve,
        /// How many.
        count: usize,
    },
}

/// All networks that copy layers.
pub(super) fn cells(options: &LayersOptions, counts: &[usize]) -> impl Iterator<Item = Cell> {
    let of_end = move |&end| {
        options
            .curves
            .iter()
            .flat_map(move |&curve| counts.iter().map(move |&count| Cell::Copied { end, curve, count }))
    };
    options.ends.iter().flat_map(of_end)
}

/// The classes of the two tasks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Tasks {
    /// Of the source task; empty where its network comes ready.
    pub a: Vec<String>,
    /// Of the target task.
    pub b: Vec<String>,
}

impl Tasks {
    /// The tasks of a seed, out of all `classes`.
    pub(super) fn of(options: &LayersOptions, classes: &[String], seed: u64) -> Result<Self> {
        if options.pretrained {
            return Ok(Self { a: vec![], b: classes.to_vec() });
        }
        let named = |names: &[String], flag: &str| match names.iter().find(|name| !classes.contains(name)) {
            Some(unknown) => {
                Err(Error::Usage(format!("{flag}: {unknown:?} is none of the classes {}", classes.join(", "))))
            }
            None => Ok(()),
        };
        named(&options.target_classes, "--target-classes")?;
        named(&options.source_classes, "--source-classes")?;
        let tasks = if options.target_classes.is_empty() {
            let mut shuffled = classes.to_vec();
            shuffled.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
            let mut b = shuffled.split_off(classes.len() / 2);
            shuffled.sort_unstable();
            b.sort_unstable();
            Self { a: shuffled, b }
        } else {
            let rest = || classes.iter().filter(|class| !options.target_classes.contains(class)).cloned().collect();
            let a = if options.source_classes.is_empty() { rest() } else { options.source_classes.clone() };
            Self { a, b: options.target_classes.clone() }
        };
        if let Some(few) = [&tasks.a, &tasks.b].into_iter().find(|half| half.len() < 2) {
            return Err(Error::Usage(format!(
                "a task of {} class(es), out of {}: both A and B need at least two",
                few.len(),
                classes.len()
            )));
        }
        Ok(tasks)
    }
}

/// A network of one task, from random weights.
pub(super) fn base(options: &LayersOptions, classes: &[String], seed: u64) -> FinetuneOptions {
    let mut run = options.finetune.clone();
    run.data.classes = classes.to_vec();
    run.data.split_seed = run.data.split_seed.or(Some(seed));
    run.machine.seed = seed;
    run.model.from_scratch = true;
    // the held-out images are the test, so nothing is chosen by them
    run.keep = Some(run.keep.unwrap_or(Keep::Last));
    if run.keep == Some(Keep::Last) && run.fit.patience.is_none() {
        run.fit.eval_every = run.resolved().fit.epochs.unwrap_or(1);
    }
    run
}

/// A network of B into which layers are copied from the run or file `from`.
pub(super) fn copied(
    options: &LayersOptions,
    classes: &[String],
    seed: u64,
    end: End,
    curve: Curve,
    count: usize,
    from: &Path,
) -> FinetuneOptions {
    let mut run = base(options, classes, seed);
    let layers: Selector = format!("{}:{count}", end.name()).parse().expect("a selector");
    // unlike the base's, or the layers above would begin as those that the copied ones grew up with
    run.machine.seed = seed + ABOVE;
    if curve.freezes() {
        run.freezing.freeze = layers.clone();
    }
    if curve == Curve::Random {
        run.freezing.freeze_random = true;
    } else {
        run.model.copy = vec![layers];
        run.model.from = vec![from.to_path_buf()];
    }
    run
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> LayersOptions {
        let mut options: LayersOptions = crate::options::defaults();
        options.finetune.data.data = Some("photos".into());
        options
    }

    fn classes() -> Vec<String> {
        ["ant", "bee", "cat", "dog", "elk"].map(String::from).to_vec()
    }

    #[test]
    fn random_halves_differ_between_seeds_and_part_all_classes() -> Result<()> {
        let tasks: Vec<Tasks> = (0..8).map(|seed| Tasks::of(&options(), &classes(), seed)).collect::<Result<_>>()?;
        for Tasks { a, b } in &tasks {
            let mut all = [a.as_slice(), b].concat();
            all.sort();
            assert_eq!((all, a.len()), (classes(), 2));
        }
        assert!(tasks.iter().any(|other| other != &tasks[0]));
        assert_eq!(Tasks::of(&options(), &classes(), 3)?, tasks[3]);
        Ok(())
    }

    #[test]
    fn lists_are_taken_as_they_are_and_checked() -> Result<()> {
        let of = |b: &[&str], a: &[&str]| {
            let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
            Tasks::of(&LayersOptions { target_classes: names(b), source_classes: names(a), ..options() }, &classes(), 0)
        };
        assert_eq!(of(&["dog", "cat"], &[])?.a, ["ant", "bee", "elk"]);
        assert_eq!(of(&["dog", "cat"], &["elk", "ant"])?.a, ["elk", "ant"]);
        assert!(of(&["dog", "cow"], &[]).unwrap_err().to_string().contains("\"cow\" is none of the classes"));
        assert!(of(&["ant", "bee", "cat", "dog"], &[]).unwrap_err().to_string().contains("at least two"));
        let pretrained = LayersOptions { pretrained: true, ..options() };
        assert_eq!(Tasks::of(&pretrained, &classes(), 0)?, Tasks { a: vec![], b: classes() });
        Ok(())
    }

    #[test]
    fn cells_differ_from_their_base_in_layers_and_in_the_seed_of_the_rest_alone() {
        let options = options();
        let base = base(&options, &classes(), 5);
        for curve in Curve::ALL {
            let mut run = copied(&options, &classes(), 5, End::Last, curve, 2, Path::new("there"));
            run.validate().unwrap();
            assert_eq!(run.freezing.freeze.to_string(), if curve.freezes() { "last:2" } else { "none" });
            assert_eq!(run.model.copy.is_empty(), curve == Curve::Random);
            assert_ne!(run.machine.seed, base.machine.seed);
            assert_eq!(run.data, base.data);
            run.machine.seed = base.machine.seed;
            (run.freezing, run.model) = (base.freezing.clone(), base.model.clone());
            assert_eq!(run, base);
        }
        assert_eq!(cells(&options, &[1, 2, 3]).count(), 15);
    }
}
