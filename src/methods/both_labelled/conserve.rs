//! Conservative training: fine-tuning that stays close to the source model, in its answers, its weights or its features.
//!
//! With few target images a network of millions of weights fits them in many ways, most of which unlearn what the source
//! task taught. The loss of fine-tuning gets terms that hold it back,
//!
//! L = L_target + λ_o · KL_T(f_source(x), f(x)) + Ω_L2-SP(w; w⁰) + λ_f · Ω_DELTA(x),
//!
//! each of which may be left out:
//!
//! | `--conserve` | what stays close | loss | source |
//! |---|---|---|---|
//! | `outputs=λ` | the answers to the target's own images | [`distillation`] | Li & Hoiem 2016, Learning without Forgetting |
//! | `weights=α` | the weights, in L2 | [`StartingPoint`] | Li et al. 2018, L2-SP |
//! | `features=λ` | what every stage makes of the target's images | [`feature_distance`] | Li et al. 2019, DELTA |
//!
//! The source model sees the same batch, augmented in the same way, without a gradient. Where the target has other classes,
//! its head is kept beside the new one, as it was, so that the network can still do
//! the source task: with `--source-data` its accuracy there is measured before and after.
//!
//! Batch norm is held to the source model's statistics (`--batch-norm` says otherwise): statistics of the target alone undo what
//! these losses keep.
//!
//! Differences from the papers: Learning without Forgetting records the answers once, without augmentation, and first trains
//! the new head alone, which here `--freeze all --unfreeze-at` does, and lets the old head learn along: with Adam, whose steps are as long
//! for a weak loss as for a strong one, that moves it more than it keeps. DELTA's attention is left equal.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::loss::{StageFeatures, StartingPoint, distillation, feature_distance};
use crate::models::layers::Layer;
use crate::models::{Classifier, Store};
use crate::train::inference::Passed;
use crate::{Error, Result};

/// What stays close to the source model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Its answers.
    Outputs,
    /// Its weights.
    Weights,
    /// What its stages make of images.
    Features,
}

/// What stays close, and how strongly; written `weights=0.01` on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Closeness {
    /// What.
    pub kept: Kept,
    /// The factor on its loss.
    pub strength: f64,
}

/// The strengths if none is given: what costs about three points on PACS photo → sketch, of those that were tried with two
/// seeds (`notebooks/1-both-labelled.md`).
const NAMES: [(&str, Kept, f64); 3] =
    [("outputs", Kept::Outputs, 0.1), ("weights", Kept::Weights, 2.0), ("features", Kept::Features, 0.1)];

impl std::str::FromStr for Closeness {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let expected =
            || Error::Usage(format!("`{text}` is not outputs, weights or features, with =STRENGTH or without"));
        let (name, strength) = text.split_once('=').map_or((text, None), |(name, strength)| (name, Some(strength)));
        let (_, kept, usual) = *NAMES.iter().find(|(known, ..)| *known == name).ok_or_else(expected)?;
        let strength = strength.map_or(Ok(usual), |strength| strength.parse().map_err(|_| expected()))?;
        if strength > 0.0 && f64::is_finite(strength) {
            return Ok(Self { kept, strength });
        }
        Err(Error::Usage(format!("`{text}`: the strength must be positive; leave it out to keep nothing")))
    }
}

impl std::fmt::Display for Closeness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, ..) = NAMES.iter().find(|(_, kept, _)| *kept == self.kept).expect("every kind has a name");
        write!(f, "{name}={}", self.strength)
    }
}

crate::options::as_text!(Closeness);

/// What stays close to the source model, and how that is measured.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
pub struct ConserveOptions {
    /// Stays close to the source model in its outputs, weights or features; may be repeated. The strengths are 0.1, 2 and
    /// 0.1 if not given; beside weights, --weight-decay is best 0
    #[arg(long, value_name = "WHAT[=STRENGTH]")]
    #[serde(default)]
    pub conserve: Vec<Closeness>,
    /// Temperature at which outputs are compared: the higher, the more the improbable classes count
    #[arg(long, value_name = "NUMBER", default_value_t = 2.0)]
    #[serde(default = "temperature")]
    pub conserve_temperature: f64,
    /// L2 penalty on layers that the source model does not have, beside --conserve weights
    /// [default: 0.01]
    #[arg(long, value_name = "STRENGTH")]
    #[serde(default)]
    pub conserve_new: Option<f64>,
    /// Images of the source task, a folder per class: the accuracy on them is measured before and after
    #[arg(long, value_name = "FOLDER")]
    #[serde(default)]
    pub source_data: Option<PathBuf>,
}

fn temperature() -> f64 {
    2.0
}

impl ConserveOptions {
    /// Appends a line for everything that makes no sense.
    pub fn faults(&self, from_scratch: bool, faults: &mut Vec<String>) {
        if !(self.conserve_temperature > 0.0 && self.conserve_temperature.is_finite()) {
            faults.push(format!("--conserve-temperature {} must be positive", self.conserve_temperature));
        } else if self.conserve_temperature != temperature() && self.strength(Kept::Outputs).is_none() {
            faults.push("--conserve-temperature is about --conserve outputs, which is missing".into());
        }
        if let Some(new) = self.conserve_new.filter(|new| !(*new >= 0.0 && new.is_finite())) {
            faults.push(format!("--conserve-new {new} must be 0 or more"));
        }
        if self.conserve_new.is_some() && self.strength(Kept::Weights).is_none() {
            faults.push("--conserve-new is about --conserve weights, which is missing".into());
        }
        for (name, kept, _) in NAMES {
            if self.conserve.iter().filter(|closeness| closeness.kept == kept).count() > 1 {
                faults.push(format!("--conserve {name} is there twice; once is enough"));
            }
        }
        if from_scratch && self.wants_source() {
            faults.push("--conserve and --source-data are about a source model; leave --from-scratch out".into());
        }
    }

    /// Whether the source model is needed in training or after it.
    pub fn wants_source(&self) -> bool {
        !self.conserve.is_empty() || self.source_data.is_some()
    }

    /// The L2 penalty on layers that the source model does not have, beside L2 to its weights.
    pub fn on_new(&self) -> f64 {
        self.conserve_new.unwrap_or(0.01)
    }

    /// The factor on the loss that keeps this.
    pub fn strength(&self, kept: Kept) -> Option<f64> {
        self.conserve.iter().find(|closeness| closeness.kept == kept).map(|closeness| closeness.strength)
    }

    /// The weights that the copied layers of a model are held to: their values now, of convolutions and linear layers;
    /// scales, shifts and biases move freely, as in the authors' experiments. `copied` says which tensors came from the
    /// source model.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn starting_point(&self, store: &Store, copied: impl Fn(&str) -> bool) -> Result<Option<StartingPoint>> {
        let Some(strength) = self.strength(Kept::Weights) else { return Ok(None) };
        let copied = store.parameters().filter(|(name, tensor)| tensor.dim() > 1 && copied(name));
        StartingPoint::new(copied, strength, self.on_new()).map(Some)
    }
}

/// The terms that hold a network back.
#[derive(Debug)]
pub struct Conservation {
    options: ConserveOptions,
    source: Classifier,
    start: Option<StartingPoint>,
}

impl Conservation {
    /// Terms towards `source`, the model with its own head, and `start`, the first weights.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn new(options: ConserveOptions, mut source: Classifier, start: Option<StartingPoint>) -> Result<Self> {
        let all = source.store.parameters().map(|(name, _)| name.to_string()).collect();
        source.freeze(&all, true)?;
        Ok(Self { options, source, start })
    }

    /// The source model.
    pub fn source(&self) -> &Classifier {
        &self.source
    }

    /// Whether features are compared, so that those of all stages are needed.
    pub fn compares_stages(&self) -> bool {
        self.options.strength(Kept::Features).is_some()
    }

    /// The terms, each with its factor, for a batch that begins as `x` before stage `begun`, of which `model` has made
    /// `passed`.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn terms(
        &self,
        model: &Classifier,
        begun: usize,
        x: &Tensor,
        passed: &Passed,
    ) -> Result<Vec<(&'static str, Tensor)>> {
        let mut terms = vec![];
        let (outputs, features) = (self.options.strength(Kept::Outputs), self.options.strength(Kept::Features));
        if outputs.is_some() || features.is_some() {
            let _no_grad = tch::no_grad_guard();
            let theirs = Passed::through(&self.source, begun, x, false, self.compares_stages())?;
            let answers = outputs.map(|_| self.source.head().forward(&theirs.features, false)).transpose()?;
            drop(_no_grad);
            if let (Some(strength), Some(old)) = (outputs, answers) {
                let head = model.earlier_head().unwrap_or(model.head());
                let new = head.forward(&passed.features, true)?;
                let loss = distillation(&new, &old, self.options.conserve_temperature)?;
                terms.push(("outputs", loss.f_mul_scalar(strength)?));
            }
            if let Some(strength) = features {
                let pairs = passed.stages.iter().zip(&theirs.stages);
                // what frozen stages make is the same in both
                let learned = pairs.filter(|(new, _)| new.requires_grad());
                let stages: Vec<_> = learned.map(|(new, old)| StageFeatures { new, old, attention: None }).collect();
                if !stages.is_empty() {
                    terms.push(("features", feature_distance(&stages)?.f_mul_scalar(strength)?));
                }
            }
        }
        if let Some(start) = &self.start {
            let decayed = model.store.trainable().filter(|(_, tensor)| tensor.dim() > 1);
            terms.push(("weights", start.penalty(decayed)?));
        }
        Ok(terms)
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::models::{EarlierTask, Spec, small_classifier};

    fn options(words: &[&str]) -> ConserveOptions {
        let conserve = words.iter().map(|word| word.parse().unwrap()).collect();
        ConserveOptions { conserve, ..crate::options::defaults() }
    }

    fn images() -> Tensor {
        Tensor::arange(3 * 3 * 32 * 32, (Kind::Float, Device::Cpu)).sin().reshape([3, 3, 32, 32])
    }

    /// A model that keeps the head of `source` beside its own, and the terms that hold it back.
    fn pair(words: &[&str]) -> Result<(Classifier, Conservation)> {
        let source = small_classifier(&["a", "b", "c"], 1)?;
        let spec = Spec {
            classes: vec!["x".into(), "y".into()],
            earlier: Some(EarlierTask { head: source.spec.head, classes: source.spec.classes.clone() }),
            ..source.spec.clone()
        };
        let model = Classifier::new(spec, Device::Cpu, 1)?;
        let (head, values) = (model.outline().head, source.store.views());
        let is_new = |name: &str| head.iter().any(|head| head == name);
        for (name, entry) in model.store.entries().filter(|(name, _)| !is_new(name)) {
            if let Some(value) = values.get(name) {
                tch::no_grad(|| entry.tensor.shallow_clone().copy_(value));
            }
        }
        model.take_head(&source)?;
        let options = options(words);
        let start = options.starting_point(&model.store, |name| !is_new(name))?;
        Ok((model, Conservation::new(options, source, start)?))
    }

    /// The terms of a batch as evaluation sees it, so that nothing differs but the weights.
    fn terms(model: &Classifier, conservation: &Conservation) -> Result<Vec<(&'static str, Tensor)>> {
        let passed = Passed::through(model, 0, &images(), false, conservation.compares_stages())?;
        conservation.terms(model, 0, &images(), &passed)
    }

    #[test]
    fn what_is_written_is_read_back() {
        for (text, kept, strength) in
            [("outputs", Kept::Outputs, 0.1), ("weights=0.5", Kept::Weights, 0.5), ("features=2", Kept::Features, 2.0)]
        {
            let closeness: Closeness = text.parse().unwrap();
            assert_eq!(closeness, Closeness { kept, strength });
            assert_eq!(String::from(closeness).parse::<Closeness>().unwrap(), closeness);
        }
        for bad in ["", "output", "weights=", "weights=x", "weights=0", "features=-1", "outputs=inf"] {
            assert!(bad.parse::<Closeness>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let mut faults = vec![];
        options(&["weights"]).faults(false, &mut faults);
        assert!(faults.is_empty(), "{faults:?}");
        let wrong = ConserveOptions {
            conserve_temperature: 0.0,
            conserve_new: Some(-1.0),
            ..options(&["weights", "weights=2"])
        };
        wrong.faults(true, &mut faults);
        for (fault, part) in faults.iter().zip(["temperature 0", "new -1", "weights is there twice", "--from-scratch"])
        {
            assert!(fault.contains(part), "{fault}");
        }
        assert_eq!(faults.len(), 4);
        faults.clear();
        ConserveOptions { conserve_new: Some(0.1), ..options(&["outputs"]) }.faults(false, &mut faults);
        assert!(faults[0].contains("--conserve-new is about --conserve weights"), "{faults:?}");
        faults.clear();
        ConserveOptions { conserve_temperature: 3.0, ..options(&["weights"]) }.faults(false, &mut faults);
        assert!(faults[0].contains("--conserve-temperature is about --conserve outputs"), "{faults:?}");
    }

    #[test]
    fn a_model_that_is_its_source_is_not_held_back_and_one_that_moved_is() -> Result<()> {
        let (model, conservation) = pair(&["outputs=3", "weights=2", "features"])?;
        let value = |(_, term): &(&str, Tensor)| f64::try_from(term.detach()).unwrap();
        let start = terms(&model, &conservation)?;
        assert_eq!(start.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["outputs", "features", "weights"]);
        let new = model.store.get("fc.weight").unwrap();
        let norm = 0.5 * 0.01 * f64::try_from(new.detach().square().sum(Kind::Float))?;
        for (term, expected) in start.iter().zip([0.0, 0.0, norm]) {
            assert!((value(term) - expected).abs() < 1e-6, "{}: {}", term.0, value(term));
        }
        let weight = model.store.get("layer4.1.conv2.weight").unwrap();
        let _moved = tch::no_grad(|| weight.shallow_clone().g_mul_scalar_(3.0));
        let moved = terms(&model, &conservation)?;
        for (before, after) in start.iter().zip(&moved) {
            assert!(value(after) > value(before) + 1e-7, "{}", after.0);
        }
        for number in 0..moved.len() {
            weight.shallow_clone().zero_grad();
            let (name, term) = terms(&model, &conservation)?.swap_remove(number);
            term.f_backward()?;
            assert!(f64::try_from(weight.grad().abs().max())? > 0.0, "{name} does not pull");
        }
        assert!(conservation.source().store.trainable().next().is_none());
        Ok(())
    }

    #[test]
    fn frozen_stages_are_not_compared() -> Result<()> {
        let (mut model, conservation) = pair(&["features"])?;
        let backbone = model.outline().backbone().cloned().collect();
        model.freeze(&backbone, true)?;
        assert!(terms(&model, &conservation)?.is_empty());
        Ok(())
    }
}
