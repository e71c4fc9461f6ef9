//! What commands print, and the bars they draw.

use std::io::Write;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::json;

use crate::eval::Spread;
use crate::methods::both_labelled::finetune::Outcome;
use crate::methods::options::ModelOptions;
use crate::models::{cache, registry};
use crate::report::{Align, RunDir, Table, evaluation_table, format};
use crate::text::{TextSource, published};
use crate::train::RateCurve;
use crate::{Error, Result};

/// Writes to standard output; an error, as when its reader has gone, ends the command instead of the program.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Writes a value to standard output as indented JSON.
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&(serde_json::to_string_pretty(value)? + "\n"))
}

/// A path as it can be pasted into a shell.
pub(super) fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if text.chars().all(plain) && !text.is_empty() { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// A bar over `total` things on standard error, where that is a terminal.
pub(super) fn bar(what: &'static str, total: usize, quiet: bool) -> ProgressBar {
    let bar = ProgressBar::new(total as u64).with_message(what);
    if quiet {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} {per_sec} ETA {eta}");
    bar.with_style(style.expect("a valid template"))
}

/// The outcome of one run.
pub(super) fn outcome(outcome: &Outcome, run: &RunDir, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return print_json(&outcome.result);
    }
    let folder = run.path().display();
    let parent = run.path().parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    print(&format!(
        "{}\n\n{}{} in {} ({}{}); everything is in {folder}\n  curves     tensorboard --logdir {}\n  plots      {}\n  \
         use it     regraft predict --model {folder} IMAGE\n",
        evaluation_table(&outcome.evaluation),
        outcome.source.map_or(String::new(), |source| format!(
            "the source task: {} before, {} now\n",
            format::percent(source.before),
            format::percent(source.after)
        )),
        format::percent(outcome.evaluation.accuracy),
        format::seconds(outcome.result.seconds),
        format::rate(outcome.result.images_per_second, "images"),
        outcome.result.peak_memory_bytes.map_or(String::new(), |bytes| format!(", {} of memory", format::bytes(bytes))),
        parent.display(),
        run.plots().display(),
    ))
}

/// Mean and standard deviation over seeds; also written into their folder.
pub(super) fn spread(outcomes: &[(u64, Outcome)], folder: &Path, as_json: bool) -> anyhow::Result<()> {
    let mut table = Table::new([("metric", Align::Left), ("mean", Align::Right), ("std", Align::Right)]);
    let mut rows = serde_json::Map::new();
    for (index, metric) in outcomes[0].1.metrics().into_iter().enumerate() {
        let spread = Spread::of(outcomes.iter().map(|(_, outcome)| outcome.metrics()[index].value));
        table.row([metric.name.clone(), format!("{:.4}", spread.mean), format!("{:.4}", spread.std)]);
        rows.insert(metric.name, json!(spread));
    }
    let seeds: Vec<u64> = outcomes.iter().map(|(seed, _)| *seed).collect();
    let summary = json!({ "seeds": seeds, "metrics": rows });
    crate::files::write_json(folder.join("seeds.json"), &summary)?;
    if as_json {
        return print_json(&summary);
    }
    print(&format!("{table}\nover seeds {seeds:?}; the runs are in {}\n", folder.display()))
}

/// What the learning-rate range test found.
pub(super) fn rate(found: &(RateCurve, std::path::PathBuf), as_json: bool) -> anyhow::Result<()> {
    let (curve, plot) = found;
    if as_json {
        return print_json(curve);
    }
    print(&format!("the loss falls fastest at --lr {:.1e}; the curve is {}\n", curve.suggestion, plot.display()))
}

/// Fetches the source model's weights where options need them and they are not here.
pub(super) fn fetch_if_missing(options: &ModelOptions, quiet: bool) -> Result<()> {
    options.beside.as_deref().map_or(Ok(()), |model| fetch_if_source(model, quiet))?;
    if options.from_scratch || options.weights.is_some() {
        Ok(())
    } else {
        fetch_if_source(Path::new(&options.model), quiet)
    }
}

/// Fetches a source model that is named instead of a file, where it is not here.
pub(super) fn fetch_if_source(model: &Path, quiet: bool) -> Result<()> {
    let Some(name) = model.to_str().filter(|name| !model.exists() && registry::find(name).is_ok()) else {
        return Ok(());
    };
    if cache::locate(name).is_some() { Ok(()) } else { announce(name, quiet) }
}

fn announce(name: &str, quiet: bool) -> Result<()> {
    let file = fetch(name, quiet)?;
    if !quiet {
        eprintln!("weights of {name} are in {}", file.display());
    }
    Ok(())
}

/// What describes classes: the user's file or folder, or what is published under that name, which is fetched where it is not here.
pub(super) fn text_source(name: &str, quiet: bool) -> Result<TextSource> {
    match published::find(name).filter(|_| !Path::new(name).exists()) {
        Some(model) => Ok(TextSource::published(model, fetch_text(name, quiet)?)),
        None => TextSource::find(name),
    }
}

/// Fetches published word vectors or an encoder under a bar.
pub(super) fn fetch_text(name: &str, quiet: bool) -> Result<PathBuf> {
    let model =
        published::find(name).ok_or_else(|| Error::Usage(format!("{name}: nothing of that name is published")))?;
    fetched(quiet, |progress| model.fetch(progress))
}

/// Fetches weights under a bar.
pub(super) fn fetch(name: &str, quiet: bool) -> Result<PathBuf> {
    fetched(quiet, |progress| cache::fetch(name, progress))
}

fn fetched(quiet: bool, fetch: impl FnOnce(&mut cache::Progress) -> Result<PathBuf>) -> Result<PathBuf> {
    let bar = bar("fetching weights", 0, quiet);
    let style = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} ETA {eta}");
    bar.set_style(style.expect("a valid template"));
    let fetched = fetch(&mut |done, total| {
        bar.set_length(total.unwrap_or(done));
        bar.set_position(done);
    });
    bar.finish_and_clear();
    fetched
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_take_apart_is_quoted() {
        for (path, expected) in
            [("runs/a-1.pt", "runs/a-1.pt"), ("my run/a.pt", "'my run/a.pt'"), ("it's", r"'it'\''s'")]
        {
            assert_eq!(shell_word(Path::new(path)), expected);
        }
    }
}
