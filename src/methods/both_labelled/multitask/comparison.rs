//! All tasks together beside each alone: with the images there are, or along a curve of shares of them.
//!
//! Every run is a cell in a folder of its own, `together` and `alone/TASK`, under `share-S/` for a curve and under `seed-N/`
//! for several seeds. A seed chooses the images of a share, the first weights and the order, the same for both.

use serde::Serialize;

use super::{CompareOptions, MultitaskOptions, cell};
use crate::eval::Spread;
use crate::methods::cells::Cells;
use crate::methods::options::seeds;
use crate::methods::tasks::Task;
use crate::report::{RunDir, RunResult};
use crate::{Error, Result};

/// One task, or the mean of all, at one share of the images.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskPoint {
    /// Its name, or `mean`.
    pub task: String,
    /// How many images it learned from; of all tasks for the mean.
    pub images: usize,
    /// Validation accuracy, learned with the others.
    pub together: Spread,
    /// Validation accuracy, learned alone.
    pub alone: Option<Spread>,
    /// Together less alone, seed by seed.
    pub difference: Option<Spread>,
}

/// Everything at one share of the images.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// The share; none where all options said how many images.
    pub share: Option<f64>,
    /// Optimizer steps of the run together.
    pub steps_together: u64,
    /// Optimizer steps of each task's run alone.
    pub steps_alone: Vec<u64>,
    /// Every task, and last the mean of all.
    pub tasks: Vec<TaskPoint>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The seeds.
    pub seeds: Vec<u64>,
    /// One for each share, in rising order.
    pub points: Vec<Point>,
    /// Training time of all runs, in seconds.
    pub seconds: f64,
    /// The folder of one model to use, below that of all runs: the first task's, of the run together with the most images.
    pub example: String,
}

/// Trains what is missing among `cells`, and compares; `done` hears of every run with its label.
///
/// # Errors
/// Options that make no sense; see [`run`](super::run).
pub fn compare(
    options: &MultitaskOptions,
    compare: &CompareOptions,
    cells: &mut Cells,
    done: &mut dyn FnMut(&str, &RunResult),
) -> Result<Comparison> {
    compare.validate(options)?;
    let mut shares: Vec<Option<f64>> = compare.shares.iter().copied().map(Some).collect();
    shares.sort_by(|a, b| a.partial_cmp(b).expect("shares are numbers"));
    if shares.is_empty() {
        shares.push(None);
    }
    let seeds: Vec<u64> = seeds(options.finetune.machine.seed, compare.seeds).map_err(Error::Usage)?.collect();
    let runs_each = 1 + if compare.no_baselines { 0 } else { options.tasks.len() };
    let (total, mut number, mut seconds) = (shares.len() * seeds.len() * runs_each, 0, 0.0);
    let (mut points, mut example) = (vec![], String::new());
    for share in shares {
        let (mut together, mut alone) = (vec![], vec![]);
        for &seed in &seeds {
            let mut options = share.map_or_else(|| options.clone(), |share| options.at(share));
            options.finetune.machine.seed = seed;
            let folder = folder(share, (seeds.len() > 1).then_some(seed));
            let mut train = |name: &str, options: &MultitaskOptions| -> Result<RunResult> {
                number += 1;
                let name = format!("{folder}{name}");
                let label = format!("[{number}/{total}] {name}");
                let result = cell(cells, &name, &label, options)?;
                seconds += result.seconds;
                done(&label, &result);
                Ok(result)
            };
            together.push(train("together", &options)?);
            example = format!("{folder}together/{}/{}", RunDir::TASKS, options.tasks[0].name);
            if !compare.no_baselines {
                let one = |task: &Task| train(&format!("alone/{}", task.name), &options.alone(task));
                alone.push(options.tasks.iter().map(one).collect::<Result<Vec<_>>>()?);
            }
        }
        points.push(point(options, share, &together, &alone));
    }
    Ok(Comparison { seeds, points, seconds, example })
}

/// Where the runs of one share and seed lie.
fn folder(share: Option<f64>, seed: Option<u64>) -> String {
    let share = share.map_or_else(String::new, |share| format!("share-{share}/"));
    share + &seed.map_or_else(String::new, |seed| format!("seed-{seed}/"))
}

/// Puts the results of all seeds at one share side by side.
fn point(options: &MultitaskOptions, share: Option<f64>, together: &[RunResult], alone: &[Vec<RunResult>]) -> Point {
    let metric = |result: &RunResult, name: &str| result.metrics.get(name).copied().unwrap_or(f64::NAN);
    let row = |task: String, images: usize, together: Spread, alone: Option<Spread>| {
        let difference = alone.as_ref().map(|alone| together.above(alone));
        TaskPoint { task, images, together, alone, difference }
    };
    let mut tasks = vec![];
    for (number, task) in options.tasks.iter().enumerate() {
        let accuracy = format!("accuracy/{}", task.name);
        let own = Spread::of(together.iter().map(|result| metric(result, &accuracy)));
        let by_itself: Vec<f64> = alone.iter().map(|results| metric(&results[number], &accuracy)).collect();
        let images = together.first().map_or(0.0, |result| metric(result, &format!("training_images/{}", task.name)));
        let by_itself = (!by_itself.is_empty()).then(|| Spread::of(by_itself));
        tasks.push(row(task.name.clone(), images as usize, own, by_itself));
    }
    let over_tasks = |spreads: Vec<&Spread>| {
        let mean = |seed: usize| spreads.iter().map(|spread| spread.values[seed]).sum::<f64>() / spreads.len() as f64;
        Spread::of((0..together.len()).map(mean))
    };
    let all_together = over_tasks(tasks.iter().map(|task| &task.together).collect());
    let all_alone: Option<Vec<&Spread>> = tasks.iter().map(|task| task.alone.as_ref()).collect();
    let all_alone = all_alone.map(over_tasks);
    tasks.push(row("mean".into(), tasks.iter().map(|task| task.images).sum(), all_together, all_alone));
    Point {
        share,
        steps_together: together.first().map_or(0, |result| result.steps),
        steps_alone: alone.first().map_or_else(Vec::new, |results| results.iter().map(|result| result.steps).collect()),
        tasks,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::report::Versions;

    fn result(accuracies: &[(&str, f64)]) -> RunResult {
        let metrics = accuracies.iter().flat_map(|(task, accuracy)| {
            [(format!("accuracy/{task}"), *accuracy), (format!("training_images/{task}"), 10.0)]
        });
        RunResult {
            method: "multitask".into(),
            metrics: metrics.collect(),
            epochs: 1,
            steps: 7,
            seconds: 0.0,
            images_per_second: 0.0,
            peak_memory_bytes: None,
            seed: 0,
            device: "cpu".into(),
            precision: "fp32".into(),
            versions: Versions::current(),
        }
    }

    /// Two tasks, two seeds, at this share.
    pub(in super::super) fn example(share: Option<f64>, gain: f64) -> Point {
        let tasks = ["a=x", "b=y"].map(|text| text.parse().unwrap()).to_vec();
        let options = MultitaskOptions { tasks, ..MultitaskOptions::default() };
        let together =
            [result(&[("a", 0.6 + gain), ("b", 0.5 + gain)]), result(&[("a", 0.8 + gain), ("b", 0.7 + gain)])];
        let alone = [(0.6, 0.5), (0.8, 0.7)].map(|(a, b)| vec![result(&[("a", a)]), result(&[("b", b)])]);
        point(&options, share, &together, &alone)
    }

    #[test]
    fn differences_are_taken_seed_by_seed() {
        let point = example(Some(0.05), 0.1);
        let names: Vec<&str> = point.tasks.iter().map(|task| task.task.as_str()).collect();
        assert_eq!(names, ["a", "b", "mean"]);
        assert_eq!(point.tasks.iter().map(|task| task.images).collect::<Vec<_>>(), [10, 10, 20]);
        for task in &point.tasks {
            let difference = task.difference.as_ref().unwrap();
            assert!((difference.mean - 0.1).abs() < 1e-12 && difference.std < 1e-12, "{task:?}");
            assert!(task.together.std > 0.1);
        }
        assert!((point.tasks[2].together.mean - 0.75).abs() < 1e-12);
        assert_eq!((point.steps_together, point.steps_alone), (7, vec![7, 7]));
    }

    #[test]
    fn folders_tell_shares_and_seeds_apart() {
        assert_eq!(folder(None, None), "");
        assert_eq!(folder(Some(0.05), None), "share-0.05/");
        assert_eq!(folder(Some(1.0), Some(3)), "share-1/seed-3/");
    }
}
