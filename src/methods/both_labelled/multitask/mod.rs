//! Multitask learning: one trunk and a head for each task, trained together (all tasks labelled).
//!
//! Task t has images x, classes y, a head h_t and, where it is wanted, stages of its own; what is left is the trunk f, which
//! all tasks share. Every step sees images of all tasks and goes down
//!
//! L = Σ_t w_t L_t,  L_t = the mean over the task's images of the cross-entropy of softmax(h_t(f(x))).
//!
//! | what | options | source |
//! |---|---|---|
//! | hard sharing of the trunk | a head per task | Caruana 1997, Multitask Learning, section 2 |
//! | own input, shared middle, own output | `--own first:1,last:1` | Huang et al. 2013, one trunk for several languages |
//! | weights fixed | `weight=` of a task | |
//! | weights by uncertainty | `--task-weights uncertainty` | Kendall et al. 2018, equation 10: [`uncertainty`](crate::loss::uncertainty_weighted) |
//! | weights by gradient norm | `--task-weights gradnorm=A` | Chen et al. 2018, algorithm 1: [`grad_norm`](crate::loss::grad_norm) |
//! | images of a task in a step | `--sampling` | p_t ∝ n_t^(1/T), as multilingual models take it; see [`Sampling`] |
//!
//! Everything else is fine-tuning's: the first weights (every task's own stages begin with the source model's as well), what
//! freezes, the rates, the schedule, augmentation, the loop. With one task it *is* fine-tuning, to the bit where the batch
//! size divides the images; that is what the runs `alone/` are, which a run is compared with.
//!
//! # Steps
//! Each task's images come in an endless sequence of shuffled passes, of which every step takes a fixed number. An epoch is
//! as many steps as see Σ_t n_t images. So every task is seen as often together as alone, and all alone take as many steps as
//! all together; the trunk takes each of them. A run on few images takes few steps: `--min-steps N` lengthens epochs until a
//! run of T tasks takes N · T steps in all, again the same number of images for each task and the same in sum. (With N steps
//! for T tasks as for one, each task would be seen a T-th as often together, and be trained less.)
//!
//! # Shapes
//! images of task t `[N_t, 3, H_t, W_t]` → own stages → where all shapes agree `[Σ N_t, …]` through the shared ones, so that a
//! batch norm there sees the mixture; otherwise one task after the other → logits `[N_t, K_t]`
//!
//! # Differences from the papers
//! GradNorm's weights follow plain gradient descent on L_grad / mean G_t, which makes their rate independent of the scale of
//! the losses, instead of sharing the network's optimizer. All heads, and all own stages from scratch, begin with the same values as
//! alone, so that the comparison is paired.

mod batches;
mod comparison;
mod model;
mod objective;
mod options;
mod outcome;
mod prepare;
mod report;
mod sampling;
#[cfg(test)]
mod tests;
mod weights;

use std::sync::atomic::AtomicBool;

pub use comparison::{Comparison, Point, TaskPoint, compare};
pub use model::Network;
pub use objective::Multitask;
pub use options::{CompareOptions, MultitaskOptions};
pub use outcome::Outcome;
pub use report::{plot, table};
pub use sampling::{Sampling, images_per_step};
pub use weights::{TaskWeights, Weighing};

use crate::Result;
use crate::methods::cells::Cells;
use crate::report::{RunDir, RunResult};
use crate::train::observe::{Event, Finished, Observer, Observers};
use crate::train::{Site, fit};

/// Trains in the folder `run`, and leaves there the log, the plots, a model of each task, and `result.json`.
///
/// # Errors
/// Whatever is wrong with options, data, weights or the folder; an interruption.
pub fn run(
    options: &MultitaskOptions,
    run: &RunDir,
    observers: &mut Observers,
    interrupted: &AtomicBool,
    resume: bool,
) -> Result<Outcome> {
    let mut prepared = prepare::prepare(options, run, resume, observers)?;
    if let Some(initial) = prepared.initial.as_ref().filter(|initial| !initial.is_random()) {
        run.write_json(RunDir::WEIGHTS, initial)?;
    }
    let config = serde_json::to_string_pretty(&prepared.options).expect("options are plain data");
    let seed = prepared.options.finetune.machine.seed;
    let site = Site { run, observers, config: &config, interrupted, seed, resume };
    let fitted = fit(&mut prepared.objective, &mut prepared.source, &prepared.options.finetune.fit, site)?;
    let outcome = outcome::finish(&mut prepared, &fitted, run)?;
    observers.observe(&Event::Finished(Finished { step: fitted.state.step as u64, seconds: fitted.state.seconds }))?;
    observers.flush()?;
    Ok(outcome)
}

/// Trains as the run `name` among `cells`, unless that is done already.
///
/// # Errors
/// As [`run`]; a folder that holds a run with other options.
pub fn cell(cells: &mut Cells, name: &str, label: &str, options: &MultitaskOptions) -> Result<RunResult> {
    options.validate(1)?;
    let (options, interrupted) = (options.resolved(), cells.interrupted);
    cells.run(name, label, &options, |folder, observers, resume| {
        Ok(run(&options, folder, observers, interrupted, resume)?.result)
    })
}
