//! The transfer table: N labelled tasks, each as a source for each, against learning every one alone; and a forecast of it.
//!
//! Which task helps which? Every task i is learned as a *source*, with all its training images. From there every task j is
//! learned as a *target*, with few images (`--shots`), a new head, and all the options of [fine-tuning](super::finetune).
//! What the source was worth is the gain over learning j alone: with the same images, as many steps, and the same start that
//! the sources had, which is `--model`, or random weights with `--from-scratch`.
//!
//! | run | starts from | images | folder |
//! |---|---|---|---|
//! | source i | `--model` | all of i's, or `--source-at-most`, `--source-share` | `sources/i-seed-S` |
//! | target j alone | `--model` | few of j's | `alone/j-seed-S` |
//! | transfer i → j | source i | the same few of j's | `transfers/i/j-seed-S` |
//!
//! Before any target is learned, every source is shown the few images of every target, and [scores](Score) of what it makes
//! of them forecast which sources will help; [`Agreement`] says how well that went.
//!
//! What is equal, and what is not:
//!
//! * With one seed, all runs on a task have the same validation images, and of `--shots` the same images to learn from, which
//!   are among those of the source: validation images are held out first, whatever is learned from. Tasks that share images
//!   need a `val/` of their own, for each task is divided by itself.
//! * A transfer learns at the rates of its target alone: with `--from-scratch` at the full rate in all layers, otherwise at a
//!   tenth below the head. Fine-tuning itself would take a tenth for every transfer, which in few steps hardly moves the layers
//!   below; the table would then compare rates. `--backbone-lr` sets it for what starts from learned weights. What freezes
//!   layers or stays close to a source is for transfers, and for a target alone where that starts from learned weights. A source
//!   learns in all layers.
//! * The result of a run is its last epoch (unless `--keep best`), for the validation images are the test.
//! * The diagonal, i → i, is no transfer. Its source has seen more images of the task, among them those it is learned from
//!   again, though never a validation image; it shows about what more images would be worth, and is left out of the forecast.
//!
//! Sources: Zamir et al. 2018, "Taskonomy: disentangling task transfer learning" (a table of transfers between tasks); Nguyen et
//! al. 2020 (LEEP), You et al. 2021 (LogME), Bao et al. 2019 (H-score), see [`transferability`](crate::eval::transferability).
//!
//! Differences: Taskonomy trains a small network on frozen features and normalises each target's column; here everything that
//! fine-tuning can do is a transfer, and gains are in points.

mod agreement;
mod forecast;
mod options;
mod outcome;
mod plots;

use std::sync::atomic::Ordering;

pub use agreement::{Agreement, OnTarget, Pairs};
pub use forecast::{Forecast, Score, forecast};
pub use options::MatrixOptions;
pub use outcome::{Outcome, Pair, Runs, TaskImages};

use super::finetune::{self, FinetuneOptions};
use crate::data::{ImageSet, Splits};
use crate::methods::cells::Cells;
use crate::report::{RunResult, format};
use crate::{Error, Result, files};

/// What the table is written to, in its folder.
pub const FILE: &str = "matrix.json";

/// Makes the table in the folder of `cells`, and leaves `matrix.json` and the plots there; `told` hears, a line each, what was
/// found on the way.
///
/// # Errors
/// Whatever is wrong with options or data; a folder that holds runs with other options; an interruption.
pub fn run(options: &MatrixOptions, cells: &mut Cells, told: &mut dyn FnMut(&str)) -> Result<Outcome> {
    options.validate()?;
    let (tasks, seeds) = (&options.tasks, options.all_seeds()?.collect::<Vec<_>>());
    // what is wrong with the data is better known now than after hours
    let images: Vec<Vec<Splits>> = tasks
        .iter()
        .map(|task| seeds.iter().map(|&seed| options.target_images(task, seed)).collect())
        .collect::<Result<_>>()?;
    let count = tasks.len();
    let mut table = Cellwise { cells, told, done: 0, all: seeds.len() * count * (count + 2) };

    let mut sources = vec![];
    for task in tasks {
        let run = |table: &mut Cellwise, seed| {
            table.run(
                &options::source_name(task, seed),
                &format!("{} as a source", task.name),
                &options.source(task, seed),
            )
        };
        sources.push(table.over(&seeds, run, |seed| options::source_name(task, seed))?);
    }
    let mut forecasts = vec![];
    for source in tasks {
        for (target, images) in tasks.iter().zip(&images) {
            let mut of_pair = vec![];
            for (&seed, splits) in seeds.iter().zip(images) {
                table.go_on()?;
                let run = table.cells.path(&options::source_name(source, seed));
                let file =
                    table.cells.path("forecasts").join(&source.name).join(format!("{}-seed-{seed}.json", target.name));
                let transfer = options.transfer(&run, target, seed);
                of_pair.push(forecast::kept(&file, &transfer, &splits.train, table.cells.force)?);
            }
            forecasts.push(of_pair);
        }
    }
    (table.told)("all sources have been shown all targets; what they forecast is in forecasts/");
    let mut alone = vec![];
    for task in tasks {
        let run = |table: &mut Cellwise, seed| {
            table.run(&options::alone_name(task, seed), &format!("{} alone", task.name), &options.alone(task, seed))
        };
        alone.push(table.over(&seeds, run, |seed| options::alone_name(task, seed))?);
    }
    let mut transfers = vec![];
    for source in tasks {
        for (target, alone) in tasks.iter().zip(&alone) {
            let run = |table: &mut Cellwise, seed| {
                let from = table.cells.path(&options::source_name(source, seed));
                let name = options::transfer_name(source, target, seed);
                table.run(&name, &format!("{} → {}", source.name, target.name), &options.transfer(&from, target, seed))
            };
            let runs = table.over(&seeds, run, |seed| options::transfer_name(source, target, seed))?;
            transfers.push(Pair {
                source: source.name.clone(),
                target: target.name.clone(),
                same_task: source.name == target.name,
                gain: runs.accuracy.above(&alone.accuracy),
                forecasts: forecasts[transfers.len()].clone(),
                runs,
            });
        }
    }
    let about =
        tasks.iter().zip(&images).zip(sources.into_iter().zip(alone)).map(|((task, images), (source, alone))| {
            let Splits { train, val, classes, .. } = &images[0];
            let (classes, target, validation) = (classes.len(), train.len(), val.len());
            TaskImages { name: task.name.clone(), classes, target, validation, source, alone }
        });
    let outcome = Outcome::new(options.clone(), about.collect(), transfers)?;
    let root = &table.cells.root;
    plots::draw(&outcome, root)?;
    files::write_json(root.join(FILE), &outcome)?;
    Ok(outcome)
}

/// The runs of the table, one after another.
struct Cellwise<'a, 'b> {
    cells: &'a mut Cells<'b>,
    told: &'a mut dyn FnMut(&str),
    done: usize,
    all: usize,
}

impl Cellwise<'_, '_> {
    fn run(&mut self, name: &str, what: &str, options: &FinetuneOptions) -> Result<RunResult> {
        self.done += 1;
        let label = format!("[{}/{}] {what}, seed {}", self.done, self.all, options.machine.seed);
        let result = finetune::cell(self.cells, name, &label, options)?;
        let accuracy = format::percent(result.metrics["accuracy"]);
        (self.told)(&format!("{label}: {accuracy} in {}", format::seconds(result.seconds)));
        Ok(result)
    }

    /// A run for every seed.
    fn over(
        &mut self,
        seeds: &[u64],
        mut run: impl FnMut(&mut Self, u64) -> Result<RunResult>,
        name: impl Fn(u64) -> String,
    ) -> Result<Runs> {
        let results = seeds.iter().map(|&seed| run(self, seed)).collect::<Result<Vec<_>>>()?;
        Ok(Runs::of(&results, seeds.iter().map(|&seed| self.cells.path(&name(seed))).collect()))
    }

    fn go_on(&self) -> Result<()> {
        if self.cells.interrupted.load(Ordering::Relaxed) {
            return Err(Error::Interrupted("the same command goes on from here".into()));
        }
        Ok(())
    }
}
