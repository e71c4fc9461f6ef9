//! What the sweep is over.

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::methods::both_labelled::finetune::FinetuneOptions;
use crate::methods::options::seeds;
use crate::{Error, Result};

/// From which end of the network layers are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// The first layers, as images transfer.
    First,
    /// The last layers below the head, as speech transfers.
    Last,
}

impl End {
    /// How folders and selectors are named.
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Last => "last",
        }
    }
}

/// Where the layers come from, and whether they go on learning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
pub enum Curve {
    /// From the network of the same task, frozen.
    #[value(name = "BnB")]
    #[serde(rename = "BnB")]
    OwnFrozen,
    /// From the network of the same task, trained with the rest.
    #[value(name = "BnB+")]
    #[serde(rename = "BnB+")]
    OwnTuned,
    /// From the other network, frozen.
    #[value(name = "AnB")]
    #[serde(rename = "AnB")]
    OtherFrozen,
    /// From the other network, trained with the rest.
    #[value(name = "AnB+")]
    #[serde(rename = "AnB+")]
    OtherTuned,
    /// Random and frozen.
    #[value(name = "random")]
    #[serde(rename = "random")]
    Random,
}

impl Curve {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::OwnFrozen, Self::OwnTuned, Self::OtherFrozen, Self::OtherTuned, Self::Random];

    /// The paper's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::OwnFrozen => "BnB",
            Self::OwnTuned => "BnB+",
            Self::OtherFrozen => "AnB",
            Self::OtherTuned => "AnB+",
            Self::Random => "random",
        }
    }

    /// The name with a number of layers in its place, as A3B+.
    pub fn cell_name(self, count: usize) -> String {
        match self {
            Self::Random => format!("random-{count}"),
            curve => curve.name().replace('n', &count.to_string()),
        }
    }

    /// Whether the layers are the network of B's.
    pub(super) fn copies_own(self) -> bool {
        matches!(self, Self::OwnFrozen | Self::OwnTuned)
    }

    /// Whether the layers stay as they are.
    pub(super) fn freezes(self) -> bool {
        matches!(self, Self::OwnFrozen | Self::OtherFrozen | Self::Random)
    }
}

/// All options of the sweep: fine-tuning's for every network that it trains, and what is swept.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
pub struct LayersOptions {
    /// Classes of task B, separated by commas [default: a random half, another for each seed]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', help_heading = "Sweep")]
    pub target_classes: Vec<String>,
    /// Classes of task A [default: all that are not task B's]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', help_heading = "Sweep")]
    pub source_classes: Vec<String>,
    /// Takes the published weights of --model as the network of A, and all classes as B
    #[arg(long, help_heading = "Sweep")]
    pub pretrained: bool,
    /// From which end layers are copied
    #[arg(long, value_enum, value_delimiter = ',', default_value = "first", help_heading = "Sweep")]
    pub ends: Vec<End>,
    /// How many layers are copied, several numbers separated by commas [default: 1 to all stages below the head]
    #[arg(long, value_name = "N,…", value_delimiter = ',', help_heading = "Sweep")]
    pub layers: Vec<usize>,
    /// Which curves, separated by commas
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        ignore_case = true,
        help_heading = "Sweep",
        default_value = "BnB,BnB+,AnB,AnB+,random"
    )]
    pub curves: Vec<Curve>,
    /// Repeats everything with seeds SEED, SEED+1, …
    #[arg(long, value_name = "N", default_value_t = 3, help_heading = "Sweep")]
    pub seeds: u64,
    /// How each network is trained.
    #[command(flatten)]
    #[serde(flatten)]
    pub finetune: FinetuneOptions,
}

impl LayersOptions {
    /// The seed of the first repetition.
    pub(super) fn first_seed(&self) -> u64 {
        self.finetune.machine.seed
    }

    /// Whether the options make sense together.
    ///
    /// # Errors
    /// All faults at once.
    pub fn validate(&self) -> Result<()> {
        let (mut faults, run) = (vec![], &self.finetune);
        for (flag, given) in [
            ("--beside", run.model.beside.is_some()),
            ("--copy", !run.model.copy.is_empty()),
            ("--freeze", run.freezing.freeze.to_string() != "none"),
            ("--unfreeze-at", !run.freezing.unfreeze_at.is_empty()),
            ("--from-scratch", run.model.from_scratch),
            ("--weights", run.model.weights.is_some()),
            ("--conserve and --source-data", run.conserve.wants_source()),
            ("--head keep", run.model.head.keep),
        ] {
            if given {
                faults.push(format!("{flag}: the sweep decides that for every network itself; leave it out"));
            }
        }
        if self.pretrained && !(self.target_classes.is_empty() && self.source_classes.is_empty()) {
            faults.push(
                "--pretrained takes all classes as task B; choose among them with --classes, not --target-classes"
                    .into(),
            );
        }
        if self.target_classes.is_empty() && !self.source_classes.is_empty() {
            faults.push("--source-classes needs --target-classes beside it".into());
        }
        if let Some(both) = self.target_classes.iter().find(|class| self.source_classes.contains(class)) {
            faults.push(format!("class {both:?} is in --source-classes and in --target-classes"));
        }
        faults.extend(seeds(self.first_seed(), self.seeds).err());
        if self.curves.is_empty() || self.ends.is_empty() {
            faults.push("--curves and --ends must name at least one each".into());
        }
        // what a run of the sweep would say of the rest
        let mut alone = run.clone();
        alone.model.from_scratch = true;
        if let Err(error) = alone.validate() {
            faults.push(error.to_string());
        }
        if faults.is_empty() { Ok(()) } else { Err(Error::Usage(faults.join("; "))) }
    }

    /// The numbers of layers, ascending.
    pub(super) fn counts(&self, stages: usize) -> Result<Vec<usize>> {
        if self.layers.is_empty() {
            return Ok((1..=stages).collect());
        }
        let mut counts = self.layers.clone();
        counts.sort_unstable();
        counts.dedup();
        match counts.iter().find(|count| !(1..=stages).contains(*count)) {
            Some(count) => Err(Error::Usage(format!(
                "--layers {count}: {} has {stages} stages below its head; expected 1 to {stages}",
                self.finetune.model.model
            ))),
            None => Ok(counts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_have_the_papers_names() {
        assert_eq!(Curve::ALL.map(|curve| curve.cell_name(3)), ["B3B", "B3B+", "A3B", "A3B+", "random-3"]);
        for curve in Curve::ALL {
            assert_eq!(serde_json::to_value(curve).unwrap(), curve.name());
            assert_eq!(curve.to_possible_value().unwrap().get_name(), curve.name());
        }
    }

    #[test]
    fn what_the_sweep_decides_itself_is_refused() {
        let mut options: LayersOptions = crate::options::defaults();
        options.finetune.data.data = Some("photos".into());
        options.validate().unwrap();
        assert_eq!(options.curves, Curve::ALL);
        assert_eq!(options.counts(3).unwrap(), [1, 2, 3]);
        options.layers = vec![4, 2, 2];
        assert_eq!(options.counts(4).unwrap(), [2, 4]);
        assert!(options.counts(3).unwrap_err().to_string().contains("expected 1 to 3"));
        options.finetune.model.from_scratch = true;
        options.finetune.freezing.freeze = "first:2".parse().unwrap();
        options.target_classes = vec!["cat".into()];
        options.source_classes = vec!["cat".into()];
        options.pretrained = true;
        options.seeds = 0;
        let message = options.validate().unwrap_err().to_string();
        for part in
            ["--from-scratch: the sweep", "--freeze: the sweep", "\"cat\" is in", "--seeds", "--pretrained takes"]
        {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
}
