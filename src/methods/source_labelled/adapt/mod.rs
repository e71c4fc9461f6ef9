//! Unsupervised domain adaptation: labelled source, unlabelled target, the same classes, other pictures (source labelled, target
//! not).
//!
//! A network G, then a label predictor; the source teaches both by cross-entropy, and a [`Method`] adds what makes G's features of both
//! domains alike, or the predictions on the target trustworthy. All of them share this module: data, batches, assessment, the choice
//! of the epoch, the comparison.
//!
//! | method | what it adds | file |
//! |---|---|---|
//! | `source-only` | nothing: the lower bound | `source_only.rs` |
//! | `ada-bn` | batch-norm statistics of the target | `ada_bn.rs` |
//! | `sa` | principal directions turned onto the target's; closed form | `subspace_alignment.rs` |
//! | `coral` | the source's features with the target's covariance; closed form | `coral.rs` |
//! | `deep-coral` | distance of covariances | `deep_coral.rs` |
//! | `dan`, `jan` | distance of means in a kernel's space, of features or of features with predictions | `dan.rs`, `jan.rs` |
//! | `dann`, `cdan` | a domain classifier behind a gradient reversal | `dann.rs`, `cdan.rs` |
//! | `adda` | a network of the target's own that deceives a domain classifier | `adda.rs` |
//! | `mcd` | two classifiers that disagree and features on which they cannot | `mcd.rs` |
//! | `mcc` | little confusion between classes | `mcc.rs` |
//! | `self-training` | confident predictions as labels | `self_training.rs` |
//! | `mean-teacher` | predictions that other views of an image do not change | `mean_teacher.rs` |
//! | `vada`, `dirt-t` | smooth and certain predictions, then without the source | `vada.rs`, `dirt_t.rs` |
//! | `oracle` | the target's labels: the upper bound, marked wherever it shows | `source_only.rs` |
//!
//! # Which labels are seen
//! The target is [`Unlabelled`](crate::data::Unlabelled) from the moment it is read; its labels, where it has any, are
//! [`HeldOut`](crate::data::HeldOut), and only [`crate::eval`] opens them, for scores named `oracle/…`. The epoch is chosen by
//! [`Selection`](crate::eval::Selection), which knows none. Other labels on the target change no byte of a model.
//!
//! # Shapes
//! images `[N, 3, H, W]` of each domain → features `[2N, D]` behind the [`Extractor`] → logits `[2N, K]`

mod batches;
mod compare;
mod discriminator;
mod features;
mod method;
mod methods;
mod network;
mod objective;
mod options;
mod outcome;
mod prepare;
mod report;
mod standardised;
mod teacher;
#[cfg(test)]
mod tests;
mod views;

use std::sync::atomic::AtomicBool;

pub use compare::{Comparison, MethodOutcome, compare};
pub use discriminator::{Discriminator, adversary, domain_accuracy, domain_loss, ramp};
pub use method::{Adaptation, Images, Method, Sees, Setup, Side, Step, Terms};
pub use methods::Methods;
pub use network::{Extractor, Network, Passed};
pub use objective::{Adapt, ORACLE};
pub use options::{AdaptOptions, Strengths};
pub use outcome::Outcome;
pub use report::{plot, table};
pub use standardised::Standardised;
pub use teacher::Teacher;
pub use views::{Change, view};

use crate::Result;
use crate::methods::cells::Cells;
use crate::report::{RunDir, RunResult};
use crate::train::observe::{Event, Finished, Observer, Observers};
use crate::train::{Site, fit};

/// Runs one method in the folder `run`, and leaves there the model, the plots, the log and `result.json`.
///
/// # Errors
/// Whatever is wrong with options, data, weights or the folder; an interruption.
pub fn run(
    options: &AdaptOptions,
    run: &RunDir,
    observers: &mut Observers,
    interrupted: &AtomicBool,
    resume: bool,
) -> Result<Outcome> {
    let mut prepared = prepare::prepare(options, run, resume, observers)?;
    if let Some(initial) = prepared.initial.as_ref().filter(|initial| !initial.is_random()) {
        run.write_json(RunDir::WEIGHTS, initial)?;
    }
    if !resume {
        outcome::measure_before(&mut prepared, run)?;
    }
    let config = serde_json::to_string_pretty(&prepared.options).expect("options are plain data");
    let seed = prepared.options.machine.seed;
    let site = Site { run, observers, config: &config, interrupted, seed, resume };
    let fitted = fit(&mut prepared.objective, &mut prepared.domains, &prepared.options.fit, site)?;
    let outcome = outcome::finish(&mut prepared, &fitted, run, observers)?;
    observers.observe(&Event::Finished(Finished { step: fitted.state.step as u64, seconds: fitted.state.seconds }))?;
    observers.flush()?;
    Ok(outcome)
}

/// Runs one method as the run `name` among `cells`, unless that is done already.
///
/// # Errors
/// As [`run`]; a folder that holds a run with other options.
pub fn cell(cells: &mut Cells, name: &str, label: &str, options: &AdaptOptions) -> Result<RunResult> {
    options.validate()?;
    let (options, interrupted) = (options.resolved(), cells.interrupted);
    cells.run(name, label, &options, |folder, observers, resume| {
        Ok(run(&options, folder, observers, interrupted, resume)?.result)
    })
}
