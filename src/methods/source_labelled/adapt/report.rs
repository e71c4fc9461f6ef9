//! A comparison for people: its table and its plot.

use std::path::Path;

use super::Method;
use super::compare::{Comparison, MethodOutcome};
use crate::Result;
use crate::report::plot::{Bar, bars, save_png};
use crate::report::{Align, Table, format};

/// A row for every method. What only the target's labels can tell is headed oracle.
pub fn table(comparison: &Comparison) -> Table {
    let mut table = Table::new([
        ("method", Align::Left),
        ("source", Align::Right),
        ("target (oracle)", Align::Right),
        ("best epoch (oracle)", Align::Right),
        ("A-distance", Align::Right),
        ("time", Align::Right),
    ]);
    for one in &comparison.methods {
        let share = |spread: &Option<_>| spread.as_ref().map_or_else(|| "–".to_string(), format::spread);
        table.row([
            shown(one.method),
            format::spread(&one.source),
            share(&one.target),
            share(&one.best_epoch),
            distance(one),
            format::seconds(one.seconds),
        ]);
    }
    table
}

/// How far the features of the domains lay apart before, and at the end.
fn distance(one: &MethodOutcome) -> String {
    let both = one.a_distance_before.as_ref().zip(one.a_distance.as_ref());
    both.map_or_else(|| "–".into(), |(before, after)| format!("{:.2} → {:.2}", before.mean, after.mean))
}

/// The method as it is shown: what saw the target's labels says so.
fn shown(method: Method) -> String {
    match method {
        Method::Oracle => "oracle: trained on target".into(),
        method => method.name(),
    }
}

/// Draws the target's accuracy of every method as bars with standard deviations; nothing where no labels are known.
///
/// # Errors
/// The file cannot be written.
pub fn plot(comparison: &Comparison, file: &Path) -> Result<bool> {
    let bar = |one: &MethodOutcome| {
        let target = one.target.as_ref()?;
        Some(Bar {
            name: shown(one.method),
            value: target.mean,
            spread: target.std,
            pale: one.method == Method::Oracle,
        })
    };
    let all: Vec<Bar> = comparison.methods.iter().filter_map(bar).collect();
    if all.is_empty() {
        return Ok(false);
    }
    save_png(file, &bars("Accuracy on the target (oracle)", "share of the target's test images that is right", &all)?)?;
    Ok(true)
}
