//! What the transfer table came to: `matrix.json`, and the tables for the terminal.

use std::path::PathBuf;

use serde::Serialize;

use super::agreement::{Agreement, Candidate, lost_at_random};
use super::{Forecast, MatrixOptions, Score, plots};
use crate::Result;
use crate::eval::Spread;
use crate::report::{Align, RunResult, Table, format};

/// The same run with several seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Runs {
    /// The share of validation images that is named rightly.
    pub accuracy: Spread,
    /// Optimizer steps of a run.
    pub steps: u64,
    /// How long all of them took.
    pub seconds: f64,
    /// Their folders.
    pub folders: Vec<PathBuf>,
}

impl Runs {
    pub(super) fn of(results: &[RunResult], folders: Vec<PathBuf>) -> Self {
        Self {
            accuracy: Spread::of(results.iter().map(|result| result.metrics["accuracy"])),
            steps: results.iter().map(|result| result.steps).max().unwrap_or(0),
            seconds: results.iter().map(|result| result.seconds).sum(),
            folders,
        }
    }
}

/// A task, with its images for the first seed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskImages {
    /// Its name.
    pub name: String,
    /// How many classes it has.
    pub classes: usize,
    /// Images that it is learned from as a target.
    pub target: usize,
    /// Images that every one of its runs is tested on.
    pub validation: usize,
    /// As a source, and how well it is then done.
    pub source: Runs,
    /// As a target without a source.
    pub alone: Runs,
}

/// A source and a target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair {
    /// The source's name.
    pub source: String,
    /// The target's name.
    pub target: String,
    /// Whether both are the same task, which is no transfer: the source has seen more images of it.
    pub same_task: bool,
    /// The transfers.
    #[serde(flatten)]
    pub runs: Runs,
    /// The accuracy less that of the target alone, seed by seed.
    pub gain: Spread,
    /// What was forecast with each seed.
    pub forecasts: Vec<Forecast>,
}

/// What the transfer table came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// All options.
    pub options: MatrixOptions,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// The tasks.
    pub tasks: Vec<TaskImages>,
    /// All pairs: the first source with every target, then the second.
    pub transfers: Vec<Pair>,
    /// How well each score forecast the order of the sources.
    pub forecast: Vec<Agreement>,
    /// What choosing a source at random costs, to compare `lost` with.
    pub lost_at_random: f64,
    /// How long all runs and forecasts took, whenever that was.
    pub seconds: f64,
}

impl Outcome {
    /// Puts together what was found.
    ///
    /// # Errors
    /// A forecast that is not finite.
    pub(super) fn new(options: MatrixOptions, tasks: Vec<TaskImages>, transfers: Vec<Pair>) -> Result<Self> {
        let candidates = |score: Score| -> Vec<(String, Vec<Candidate>)> {
            let of = |target: &TaskImages| {
                let pairs = transfers.iter().filter(|pair| pair.target == target.name && !pair.same_task);
                let candidate = |pair: &Pair| Candidate {
                    source: pair.source.clone(),
                    scores: pair.forecasts.iter().map(|forecast| forecast.of(score)).collect(),
                    accuracies: pair.runs.accuracy.values.clone(),
                };
                (target.name.clone(), pairs.map(candidate).collect())
            };
            tasks.iter().map(of).collect()
        };
        let forecast = Score::ALL.into_iter().map(|score| Agreement::of(score, &candidates(score)));
        let of_tasks: f64 = tasks.iter().map(|task| task.source.seconds + task.alone.seconds).sum();
        let looks = transfers.iter().flat_map(|pair| &pair.forecasts);
        let of_forecasts: f64 = looks.map(|look| look.seconds_of_network + look.seconds_of_scores).sum();
        let of_transfers: f64 = transfers.iter().map(|pair| pair.runs.seconds).sum();
        Ok(Self {
            seeds: options.all_seeds()?.collect(),
            forecast: forecast.collect::<Result<_>>()?,
            lost_at_random: lost_at_random(&candidates(Score::LogMe)),
            seconds: of_tasks + of_forecasts + of_transfers,
            options,
            tasks,
            transfers,
        })
    }

    /// What lies in the table's folder beside the runs, and what it is.
    pub fn files(&self) -> Vec<(&'static str, &'static str)> {
        let mut files = vec![("numbers", super::FILE), ("heat map", plots::HEAT_MAP)];
        if self.orders_sources() {
            files.push(("forecast", plots::FORECAST));
        }
        files
    }

    /// Whether a target has several sources, so that there is an order to forecast.
    pub(super) fn orders_sources(&self) -> bool {
        self.tasks.len() > 2
    }

    /// The pairs of a source.
    pub(super) fn of_source(&self, number: usize) -> &[Pair] {
        let count = self.tasks.len();
        &self.transfers[number * count..(number + 1) * count]
    }

    /// Sources down, targets across, and the targets alone below; what a task makes of itself in brackets.
    fn table(&self, cell: impl Fn(&Pair) -> String) -> Table {
        let columns = self.tasks.iter().map(|task| (task.name.clone(), Align::Right));
        let mut table = Table::new([("source".to_string(), Align::Left)].into_iter().chain(columns));
        for (number, source) in self.tasks.iter().enumerate() {
            let cells = self.of_source(number).iter().map(|pair| {
                let text = cell(pair);
                if pair.same_task { format!("({text})") } else { text }
            });
            table.row([source.name.clone()].into_iter().chain(cells));
        }
        table
    }

    /// Everything for people to read.
    pub fn text(&self) -> String {
        let mut accuracies =
            self.table(|pair| format::points(&pair.runs.accuracy, false).join(" ").trim_end().to_string());
        let alone =
            self.tasks.iter().map(|task| format::points(&task.alone.accuracy, false).join(" ").trim_end().to_string());
        accuracies.row(["alone".to_string()].into_iter().chain(alone));
        let gains = self.table(|pair| format::points(&pair.gain, true).join(" ").trim_end().to_string());
        let spread = if self.seeds.len() > 1 { ", mean ± standard deviation" } else { "" };
        format!(
            "Validation images named rightly, in %{spread}; down the source, across the target:\n\n{accuracies}\n\n\
             Gain over learning the target alone, in points:\n\n{gains}\n\n\
             (in brackets: the source's own task, of which it has seen {} images)\n\n{}",
            if self.options.source_share.is_some() || self.options.source_at_most.is_some() { "more" } else { "all" },
            self.forecast_text()
        )
    }

    fn forecast_text(&self) -> String {
        let sources = self.tasks.len() - 1;
        if !self.orders_sources() {
            return "Two tasks leave one source for each target: there is no order to forecast.".into();
        }
        let columns = ["score", "Spearman", "Kendall", "weighted", "pairs right", "by seed", "points lost"];
        let align = |number: usize| if number == 0 { Align::Left } else { Align::Right };
        let mut table = Table::new(columns.into_iter().enumerate().map(|(number, name)| (name, align(number))));
        let number = |value: Option<f64>| value.map_or("–".into(), |value| format::signed(value, 2));
        for agreement in &self.forecast {
            let pairs = |pairs: &super::Pairs| format!("{} of {}", pairs.right, pairs.all);
            table.row([
                agreement.score.title().to_string(),
                number(agreement.spearman),
                number(agreement.kendall),
                number(agreement.weighted_kendall),
                pairs(&agreement.pairs),
                pairs(&agreement.pairs_by_seed),
                format!("{:.1}", 100.0 * agreement.lost),
            ]);
        }
        let looks: Vec<&Forecast> = self.transfers.iter().flat_map(|pair| &pair.forecasts).collect();
        let mean = |of: fn(&Forecast) -> f64| looks.iter().map(|look| of(look)).sum::<f64>() / looks.len() as f64;
        let trained: Vec<f64> = self.transfers.iter().map(|pair| pair.runs.seconds / self.seeds.len() as f64).collect();
        format!(
            "The forecast from the target's training images, before any of it: rank correlation with the accuracies above,\n\
             mean over the targets, {sources} sources each (so it is weak evidence); pairs of sources in the right order,\n\
             of which chance has half; points lost by taking the source that it puts first ({:.1} by taking any):\n\n{table}\n\n\
             A forecast took {}, a transfer {}.",
            100.0 * self.lost_at_random,
            format::seconds(mean(|look| look.seconds_of_network + look.seconds_of_scores)),
            format::seconds(Spread::of(trained).mean),
        )
    }
}
