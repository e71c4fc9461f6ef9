//! What learns when: a pure function of the epoch, so a resumed run cannot forget what was unfrozen.

use std::collections::BTreeSet;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::models::{Entry, Outline, Role, Selector, Store};
use crate::{Error, Result};

/// What batch-norm layers do while a model is fine-tuned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum NormPolicy {
    /// A frozen layer keeps its statistics, one that learns takes them from the batches.
    Follow,
    /// All keep the source model's statistics; scale and shift learn where their layer does.
    HoldStatistics,
    /// All keep statistics, scale and shift.
    Freeze,
}

/// A selector with something attached, written `LEFT:SELECTOR` or `SELECTOR=RIGHT` on the command line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnfreezeAt {
    /// The first epoch, counted from 0, in which the layers learn.
    pub epoch: usize,
    /// Which layers.
    pub layers: Selector,
}

impl std::str::FromStr for UnfreezeAt {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let expected = || Error::Usage(format!("`{text}` is not EPOCH:SELECTOR, as in 3:last:2"));
        let (epoch, layers) = text.split_once(':').ok_or_else(expected)?;
        Ok(Self { epoch: epoch.parse().map_err(|_| expected())?, layers: layers.parse()? })
    }
}

/// How much faster or slower some layers learn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LrScale {
    /// Which layers.
    pub layers: Selector,
    /// The factor on their learning rate.
    pub factor: f64,
}

impl std::str::FromStr for LrScale {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let expected = || Error::Usage(format!("`{text}` is not SELECTOR=FACTOR, as in head=10"));
        let (layers, factor) = text.rsplit_once('=').ok_or_else(expected)?;
        let factor: f64 = factor.parse().map_err(|_| expected())?;
        if !(factor > 0.0 && factor.is_finite()) {
            return Err(Error::Usage(format!("`{text}`: the factor must be positive; to stop layers use --freeze")));
        }
        Ok(Self { layers: layers.parse()?, factor })
    }
}

impl std::fmt::Display for UnfreezeAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.epoch, self.layers)
    }
}

impl std::fmt::Display for LrScale {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.layers, self.factor)
    }
}

crate::options::as_text!(UnfreezeAt, LrScale);

/// Which layers learn, when, and how fast.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
pub struct Freezing {
    /// Layers that keep the source model's weights: all, first:N, last:N, a stage or a glob, separated by commas
    #[arg(long, value_name = "SELECTOR", default_value = "none")]
    pub freeze: Selector,
    /// Lets --freeze hold random weights: a control, which shows what layers are worth that learned nothing
    #[arg(long)]
    #[serde(default)]
    pub freeze_random: bool,
    /// Lets layers learn from an epoch on (counted from 0), as 3:last:2; may be repeated for gradual unfreezing
    #[arg(long, value_name = "EPOCH:SELECTOR")]
    pub unfreeze_at: Vec<UnfreezeAt>,
    /// Multiplies the learning rate of all layers below the head [default: 0.1, or 1 with --from-scratch]
    #[arg(long, value_name = "FACTOR")]
    pub backbone_lr: Option<f64>,
    /// Multiplies the learning rate of layers, as head=10; may be repeated, and factors multiply
    #[arg(long, value_name = "SELECTOR=FACTOR")]
    pub lr_scale: Vec<LrScale>,
    /// Multiplies the learning rate by this once per stage below the head (layer-wise decay), as 0.8
    #[arg(long, value_name = "FACTOR")]
    pub layer_decay: Option<f64>,
    /// What batch-norm layers do [default: follow, or hold-statistics with --conserve]
    #[arg(long, value_enum)]
    pub batch_norm: Option<NormPolicy>,
}

impl Freezing {
    /// What batch-norm layers do; they follow if nothing is said.
    fn norm_policy(&self) -> NormPolicy {
        self.batch_norm.unwrap_or(NormPolicy::Follow)
    }

    pub(crate) fn faults(&self, epochs: usize, faults: &mut Vec<String>) {
        for UnfreezeAt { epoch, layers } in &self.unfreeze_at {
            if *epoch >= epochs {
                faults.push(format!("--unfreeze-at {epoch}:{layers} never happens in {epochs} epochs"));
            }
        }
        if let Some(factor) = self.backbone_lr.filter(|factor| *factor <= 0.0 || !factor.is_finite()) {
            faults.push(format!("--backbone-lr {factor} must be positive; to stop layers use --freeze"));
        }
        if let Some(decay) = self.layer_decay.filter(|decay| !(*decay > 0.0 && *decay <= 1.0)) {
            faults.push(format!("--layer-decay {decay} must be above 0 and at most 1"));
        }
    }

    /// The plan for one model.
    ///
    /// # Errors
    /// A selector that matches nothing, or layers to unfreeze that are not frozen.
    pub fn plan(&self, outline: &Outline, store: &Store) -> Result<Plan> {
        let mut frozen = self.freeze.select(outline)?;
        if self.norm_policy() == NormPolicy::Freeze {
            frozen.extend(store.parameters().map(|(name, _)| name.to_string()).filter(|name| store.is_norm(name)));
        }
        frozen.extend(outline.beside.iter().cloned());
        let mut thaws = vec![];
        for UnfreezeAt { epoch, layers } in &self.unfreeze_at {
            let mut names = layers.select(outline)?;
            if self.norm_policy() == NormPolicy::Freeze {
                names.retain(|name| !store.is_norm(name));
            }
            if frozen.is_disjoint(&names) {
                return Err(Error::Usage(format!("--unfreeze-at {epoch}:{layers}: these layers are not frozen")));
            }
            thaws.push((*epoch, names));
        }
        let mut multipliers = std::collections::BTreeMap::new();
        for (name, _) in store.parameters() {
            let below_head = outline.stages.len() - outline.depth(name);
            let backbone = if below_head > 0 { self.backbone_lr.unwrap_or(1.0) } else { 1.0 };
            let decay = self.layer_decay.unwrap_or(1.0).powi(below_head as i32);
            multipliers.insert(name.to_string(), backbone * decay);
        }
        for LrScale { layers, factor } in &self.lr_scale {
            for name in layers.select(outline)? {
                *multipliers.get_mut(&name).expect("selectors give names of the store") *= factor;
            }
        }
        Ok(Plan { frozen, thaws, multipliers, hold_statistics: self.norm_policy() != NormPolicy::Follow })
    }
}

/// What learns in each epoch, by parameter name.
#[derive(Debug, Clone)]
pub struct Plan {
    frozen: BTreeSet<String>,
    thaws: Vec<(usize, BTreeSet<String>)>,
    multipliers: std::collections::BTreeMap<String, f64>,
    hold_statistics: bool,
}

impl Plan {
    /// Also keeps these parameters as they are throughout.
    pub fn hold(&mut self, names: impl IntoIterator<Item = String>) {
        self.frozen.extend(names);
    }

    /// Names of what is frozen in `epoch`.
    pub fn frozen(&self, epoch: usize) -> BTreeSet<String> {
        let mut frozen = self.frozen.clone();
        for (_, names) in self.thaws.iter().filter(|(from, _)| *from <= epoch) {
            frozen.retain(|name| !names.contains(name));
        }
        frozen
    }

    /// Whether what is frozen changes at the start of `epoch`.
    pub fn changes_at(&self, epoch: usize) -> bool {
        epoch > 0 && self.thaws.iter().any(|(from, _)| *from == epoch)
    }

    /// Names of the tensors that must be the same at the end as at the start: parameters that never learn, and the
    /// statistics of batch-norm layers that are held throughout.
    pub fn always_frozen(&self, store: &Store) -> Vec<String> {
        let frozen = self.frozen(usize::MAX);
        let held = |name: &str| {
            let layer = name.rsplit_once('.').map_or("", |(layer, _)| layer);
            store.is_norm(name) && (self.hold_statistics || frozen.contains(&format!("{layer}.weight")))
        };
        let fixed = |(name, entry): &(&str, &Entry)| match entry.role {
            Role::Parameter => frozen.contains(*name),
            Role::Buffer => held(name),
        };
        store.entries().filter(fixed).map(|(name, _)| name.to_string()).collect()
    }

    /// How many of the backbone's first stages never learn or change, and nothing that feeds them.
    pub fn held_stages(&self, outline: &Outline) -> usize {
        let frozen = self.frozen(usize::MAX);
        if outline.laterals.iter().any(|name| !frozen.contains(name)) {
            return 0;
        }
        outline.stages.iter().take_while(|(_, names)| names.iter().all(|name| frozen.contains(name))).count()
    }

    /// Whether all batch-norm layers keep their statistics.
    pub fn holds_statistics(&self) -> bool {
        self.hold_statistics
    }

    /// The factor on the learning rate of a parameter.
    pub fn multiplier(&self, name: &str) -> f64 {
        self.multipliers.get(name).copied().unwrap_or(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{Builder, Init};

    /// Two stages of a convolution and a batch norm, and a head.
    fn network() -> Result<(Outline, Store)> {
        let builder = Builder::new(tch::Device::Cpu);
        for stage in ["one", "two"] {
            let (conv, norm) = (builder.root().at(stage).at("conv"), builder.root().at(stage).at("norm"));
            let _weight = conv.parameter("weight", &[2, 2], Init::Constant(1.0))?;
            let _scale = norm.parameter("weight", &[2], Init::Constant(1.0))?;
            let _mean = norm.buffer("running_mean", &[2], 0.0, tch::Kind::Float)?;
            let _held = norm.norm_layer();
        }
        let _head = builder.root().at("head").parameter("weight", &[2, 2], Init::Constant(1.0))?;
        let store = builder.finish();
        let stages = ["one", "two"].map(|stage| (stage.to_string(), vec![stage.to_string()])).into();
        let outline = Outline::new(stages, "head", store.parameters().map(|(name, _)| name.to_string()));
        Ok((outline, store))
    }

    fn freezing(freeze: &str) -> Freezing {
        Freezing { freeze: freeze.parse().unwrap(), ..crate::options::defaults() }
    }

    const ONE: [&str; 2] = ["one.conv.weight", "one.norm.weight"];
    const TWO: [&str; 2] = ["two.conv.weight", "two.norm.weight"];

    #[test]
    fn layers_thaw_in_their_epoch_and_stay_so() -> Result<()> {
        let (outline, store) = network()?;
        let at = |text: &str| text.parse::<UnfreezeAt>().unwrap();
        let plan =
            Freezing { unfreeze_at: vec![at("2:one"), at("1:two")], ..freezing("all") }.plan(&outline, &store)?;
        for (epoch, frozen) in [(0, [ONE, TWO].concat()), (1, ONE.to_vec()), (2, vec![]), (9, vec![])] {
            assert!(plan.frozen(epoch).iter().eq(&frozen), "epoch {epoch}");
        }
        assert_eq!([0, 1, 2, 3].map(|epoch| plan.changes_at(epoch)), [false, true, true, false]);
        assert!(plan.held_stages(&outline) == 0 && plan.always_frozen(&store).is_empty());
        Ok(())
    }

    #[test]
    fn what_never_learns_is_listed_with_its_statistics() -> Result<()> {
        let (outline, store) = network()?;
        let plan = freezing("first:1").plan(&outline, &store)?;
        assert_eq!(plan.always_frozen(&store), ["one.conv.weight", "one.norm.running_mean", "one.norm.weight"]);
        for (selector, stages) in [("all", 2), ("first:1", 1), ("two", 0)] {
            assert_eq!(freezing(selector).plan(&outline, &store)?.held_stages(&outline), stages, "{selector}");
        }
        let held = |policy| Freezing { batch_norm: Some(policy), ..freezing("none") }.plan(&outline, &store);
        let statistics = ["one.norm.running_mean", "two.norm.running_mean"];
        assert_eq!(held(NormPolicy::HoldStatistics)?.always_frozen(&store), statistics);
        let norms = ["one.norm.weight", "two.norm.weight"];
        let mut fixed = [statistics, norms].concat();
        fixed.sort_unstable();
        assert_eq!(held(NormPolicy::Freeze)?.always_frozen(&store), fixed);
        assert!(held(NormPolicy::Follow)?.always_frozen(&store).is_empty());
        Ok(())
    }

    #[test]
    fn rates_fall_with_the_depth_below_the_head_and_factors_multiply() -> Result<()> {
        let (outline, store) = network()?;
        let scale = |text: &str| text.parse::<LrScale>().unwrap();
        let lr_scale = vec![scale("head=10"), scale("*.norm.*=3"), scale("two=2")];
        let plan = Freezing { layer_decay: Some(0.5), lr_scale, ..freezing("none") }.plan(&outline, &store)?;
        let multiplier = |name| plan.multiplier(name);
        assert_eq!([ONE[0], ONE[1], TWO[0], TWO[1], "head.weight"].map(multiplier), [0.25, 0.75, 1.0, 3.0, 10.0]);
        Ok(())
    }

    #[test]
    fn words_that_make_no_sense_are_quoted() -> Result<()> {
        for text in ["last:2", "x:head", "-1:head", ":head", "3:"] {
            assert!(text.parse::<UnfreezeAt>().is_err(), "{text}");
        }
        for text in ["head", "head=", "head=fast", "head=0", "head=-1", "head=inf", "=2"] {
            assert!(text.parse::<LrScale>().is_err(), "{text}");
        }
        for text in ["3:last:2", "0:head"] {
            assert_eq!(String::from(text.parse::<UnfreezeAt>()?), text);
        }
        let (outline, store) = network()?;
        let early = Freezing { unfreeze_at: vec!["1:two".parse()?], ..freezing("one") };
        assert!(early.plan(&outline, &store).unwrap_err().to_string().contains("1:two"));
        let mut faults = vec![];
        Freezing { layer_decay: Some(1.5), ..early }.faults(1, &mut faults);
        assert!(
            faults[0].starts_with("--unfreeze-at 1:two") && faults[1].starts_with("--layer-decay 1.5"),
            "{faults:?}"
        );
        Ok(())
    }
}
