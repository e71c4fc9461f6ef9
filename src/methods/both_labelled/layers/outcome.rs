//! What the sweep found: a table, JSON, and a plot for each end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::plan::{Cell, Tasks};
use super::{Curve, End, LayersOptions};
use crate::eval::Spread;
use crate::report::plot::{Chart, Series, curves, save_png};
use crate::report::{Align, Table, format};
use crate::{Result, files};

/// The accuracy on B of networks that copied so many layers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// From which end.
    pub end: End,
    /// From where, and whether they learned on.
    pub curve: Curve,
    /// How many layers.
    pub layers: usize,
    /// The accuracy.
    pub accuracy: Spread,
}

/// What the sweep found.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The network.
    pub model: String,
    /// Its stages below the head, first to last.
    pub stages: Vec<String>,
    /// The first seed.
    pub first_seed: u64,
    tasks: Vec<Tasks>,
    /// The network of B, which copied nothing.
    pub base: Spread,
    /// All others.
    pub points: Vec<Point>,
    /// The numbers of layers, ascending.
    pub counts: Vec<usize>,
    /// From which ends.
    pub ends: Vec<End>,
    /// Which curves.
    pub curves: Vec<Curve>,
    /// Whether the network of A has published weights.
    pub pretrained: bool,
    /// The plots.
    pub plots: Vec<PathBuf>,
}

impl Outcome {
    pub(super) fn new(
        options: &LayersOptions,
        stages: Vec<String>,
        counts: Vec<usize>,
        tasks: &[Tasks],
        found: &BTreeMap<Cell, Vec<f64>>,
    ) -> Self {
        let point = |(cell, values): (&Cell, &Vec<f64>)| match *cell {
            Cell::Base => None,
            Cell::Copied { end, curve, count } => {
                Some(Point { end, curve, layers: count, accuracy: Spread::of(values.iter().copied()) })
            }
        };
        Self {
            model: options.finetune.model.model.clone(),
            stages,
            first_seed: options.first_seed(),
            tasks: tasks.to_vec(),
            base: Spread::of(found[&Cell::Base].iter().copied()),
            points: found.iter().filter_map(point).collect(),
            plots: vec![],
            counts,
            ends: options.ends.clone(),
            curves: options.curves.clone(),
            pretrained: options.pretrained,
        }
    }

    /// The accuracy at a place of the sweep.
    pub fn at(&self, end: End, curve: Curve, layers: usize) -> Option<&Spread> {
        let here = |point: &&Point| (point.end, point.curve, point.layers) == (end, curve, layers);
        self.points.iter().find(here).map(|point| &point.accuracy)
    }

    /// Draws the plots, and writes `layers.json`.
    pub(super) fn write(&mut self, root: &Path) -> Result<()> {
        self.plots.clear();
        for end in self.ends.clone() {
            let file = root.join("plots").join(format!("layers-{}.png", end.name()));
            save_png(&file, &curves(&[self.chart(end)])?)?;
            self.plots.push(file);
        }
        files::write_json(root.join("layers.json"), self)
    }

    fn chart(&self, end: End) -> Chart {
        let source = if self.pretrained { "published weights" } else { "other half" };
        let meaning = |curve| match curve {
            Curve::OwnFrozen => "BnB: own layers, frozen".to_string(),
            Curve::OwnTuned => "BnB+: own, fine-tuned".to_string(),
            Curve::OtherFrozen => format!("AnB: {source}, frozen"),
            Curve::OtherTuned => format!("AnB+: {source}, fine-tuned"),
            Curve::Random => "random, frozen".to_string(),
        };
        let line = |&curve: &Curve| {
            let places = self.counts.iter().filter_map(|&n| Some((n as f64, self.at(end, curve, n)?)));
            let all: Vec<_> = std::iter::once((0.0, &self.base)).chain(places).collect();
            Series {
                name: meaning(curve),
                points: all.iter().map(|(n, found)| (*n, found.mean)).collect(),
                band: if self.base.values.len() > 1 {
                    all.iter().map(|(_, found)| found.std).collect()
                } else {
                    vec![]
                },
                dashed: matches!(curve, Curve::OwnTuned | Curve::OtherTuned),
                ..Series::default()
            }
        };
        Chart {
            title: format!("What the {} n layers of {} are worth on another task", end.name(), self.model),
            x_label: format!("n: {} stages copied, the rest begins at random", end.name()),
            y_label: if self.base.values.len() > 1 { "accuracy on B, mean ± std" } else { "accuracy on B" }.into(),
            series: self.curves.iter().map(line).collect(),
            ..Chart::default()
        }
    }
}

/// The accuracies by number of layers, a column for each curve.
pub fn table(outcome: &Outcome, end: End) -> Table {
    let cell = |found: Option<&Spread>| found.map_or("–".to_string(), format::spread);
    let header = [("n".to_string(), Align::Right), (format!("{} stages", end.name()), Align::Left)];
    let curves = outcome.curves.iter().map(|curve| (curve.name().to_string(), Align::Right));
    let mut table = Table::new(header.into_iter().chain(curves));
    let all = outcome.curves.iter().map(|_| cell(Some(&outcome.base)));
    table.row(["0".to_string(), "none (network of B)".to_string()].into_iter().chain(all));
    for &count in &outcome.counts {
        let stage = match end {
            End::First => format!("… {}", outcome.stages[count - 1]),
            End::Last => format!("{} …", outcome.stages[outcome.stages.len() - count]),
        };
        let cells = outcome.curves.iter().map(|&curve| cell(outcome.at(end, curve, count)));
        table.row([count.to_string(), stage].into_iter().chain(cells));
    }
    table
}
