//! Methods side by side, over several seeds.

use std::path::PathBuf;

use serde::Serialize;

use super::objective::ORACLE;
use super::{AdaptOptions, Method, cell};
use crate::eval::Spread;
use crate::methods::cells::Cells;
use crate::report::RunResult;
use crate::{Error, Result};

/// What one method came to, over all seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MethodOutcome {
    /// Which.
    pub method: Method,
    /// Accuracy on the source's validation images; for the oracle, the target's.
    pub source: Spread,
    /// Accuracy on the target's test, at the epoch that was chosen without labels.
    #[serde(rename = "oracle_target")]
    pub target: Option<Spread>,
    /// The same at the epoch that was best, which nobody can know without labels.
    #[serde(rename = "oracle_best_epoch")]
    pub best_epoch: Option<Spread>,
    /// Proxy A-distance of the features before the first step; not of a handful of images.
    pub a_distance_before: Option<Spread>,
    /// And at the end.
    pub a_distance: Option<Spread>,
    /// Training time of all seeds, in seconds.
    pub seconds: f64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The seeds.
    pub seeds: Vec<u64>,
    /// One for each method, in the order asked for.
    pub methods: Vec<MethodOutcome>,
    /// Methods that do not work on this network, and why.
    pub left_out: Vec<(Method, String)>,
    /// The run of one model to use, below the folder of all runs: the first seed of the last method that is not the oracle.
    pub example: String,
}

/// Runs what is missing among `cells`, and compares; `done` hears of every run with its label.
///
/// # Errors
/// Options that make no sense; see [`run`](super::run).
pub fn compare(
    options: &AdaptOptions,
    seeds: u64,
    cells: &mut Cells,
    done: &mut dyn FnMut(&str, &RunResult),
) -> Result<Comparison> {
    options.validate()?;
    let seeds: Vec<u64> = crate::methods::options::seeds(options.machine.seed, seeds).map_err(Error::Usage)?.collect();
    let wanted = options.methods.list();
    // what others go out from is run even where it was not asked for
    let mut order: Vec<Method> = vec![];
    for &method in wanted {
        let before = if options.begin.is_some() { None } else { method.begins_with() };
        for one in before.into_iter().chain([method]) {
            if !order.contains(&one) {
                order.push(one);
            }
        }
    }
    let (total, mut number) = (order.len() * seeds.len(), 0);
    let mut left_out = vec![];
    let mut results: Vec<(Method, Vec<RunResult>)> = vec![];
    for method in order {
        let mut of_method = vec![];
        let lacking = |before: &Method| left_out.iter().any(|(method, _)| method == before);
        let before = if options.begin.is_some() { None } else { method.begins_with() };
        if let Some(before) = before.filter(lacking) {
            number += seeds.len();
            left_out.push((method, format!("goes out from {}, which is left out", before.name())));
            continue;
        }
        for &seed in &seeds {
            number += 1;
            let begin: Option<PathBuf> = before.map(|before| cells.path(&name(before, seed)));
            // what is wrong with a run that is there already is no reason to leave a method out
            let is_new = !cells.path(&name(method, seed)).join("config.json").exists();
            let label = format!("[{number}/{total}] {}, seed {seed}", method.name());
            let run = cell(cells, &name(method, seed), &label, &options.of(method, seed, begin));
            match run {
                Ok(result) => {
                    done(&label, &result);
                    of_method.push(result);
                }
                Err(Error::Usage(why)) if is_new && options.methods.are_all() && method != Method::SourceOnly => {
                    left_out.push((method, why));
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        if of_method.len() == seeds.len() {
            results.push((method, of_method));
        }
    }
    let shown: Vec<_> = results.iter().filter(|(method, _)| wanted.contains(method)).collect();
    let example = shown.iter().rev().find(|(method, _)| *method != Method::Oracle).or(shown.last());
    let example = example.map_or_else(String::new, |(method, _)| name(*method, seeds[0]));
    let methods = shown.into_iter().map(|(method, results)| outcome(*method, results)).collect();
    Ok(Comparison { seeds, methods, left_out, example })
}

/// Where the run of a method lies.
fn name(method: Method, seed: u64) -> String {
    format!("{}/seed-{seed}", method.name())
}

fn outcome(method: Method, results: &[RunResult]) -> MethodOutcome {
    let known = |name: &str| {
        let values: Option<Vec<f64>> = results.iter().map(|result| result.metrics.get(name).copied()).collect();
        values.map(Spread::of)
    };
    MethodOutcome {
        method,
        source: known("source/accuracy").unwrap_or_else(|| Spread::of([])),
        target: known(ORACLE),
        best_epoch: known("oracle/best_epoch"),
        a_distance_before: known("a_distance_before"),
        a_distance: known("a_distance"),
        seconds: results.iter().map(|result| result.seconds).sum(),
    }
}
