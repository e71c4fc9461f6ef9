//! SGD and AdamW on libtorch's fused kernels, with a state that can be saved.
//!
//! Differs from tch's optimizers in four ways: a schedule multiplies each group's rate instead of overwriting all of
//! them, the state is kept by parameter name (so it survives unfreezing and resuming), frozen parameters are not in it
//! at all, and one call steps a whole group.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::models::Store;
use crate::native::{self, AdamWRates, AdamWState, SgdRates};
use crate::{Error, Result};

/// Which rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Gradient descent with momentum.
    Sgd,
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019).
    Adamw,
}

/// The optimizer and its numbers.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
pub struct OptimizerOptions {
    /// The rule that turns gradients into steps
    #[arg(long, value_enum, default_value = "adamw")]
    pub optimizer: Rule,
    /// The highest learning rate; the schedule and --lr-scale multiply it
    #[arg(long, value_name = "RATE", default_value_t = 1e-3)]
    pub lr: f64,
    /// Weight decay; biases and normalisation layers get none
    #[arg(long, value_name = "DECAY", default_value_t = 1e-4)]
    pub weight_decay: f64,
    /// Momentum of SGD: the decay of its running gradient
    #[arg(long, value_name = "DECAY", default_value_t = 0.9)]
    pub momentum: f64,
    /// Lets SGD look ahead along its momentum
    #[arg(long)]
    pub nesterov: bool,
    /// Decay of AdamW's first moment
    #[arg(long, value_name = "DECAY", default_value_t = 0.9)]
    pub beta1: f64,
    /// Decay of AdamW's second moment
    #[arg(long, value_name = "DECAY", default_value_t = 0.999)]
    pub beta2: f64,
    /// AdamW's ε: what keeps its denominator from 0
    #[arg(long, value_name = "NUMBER", default_value = "1e-8")]
    pub eps: f64,
}

impl OptimizerOptions {
    pub(crate) fn faults(&self, faults: &mut Vec<String>) {
        let mut check = |name: &str, value: f64, good: bool, expected: &str| {
            if !good {
                faults.push(format!("--{name} {value} must be {expected}"));
            }
        };
        check("lr", self.lr, self.lr > 0.0 && self.lr.is_finite(), "positive");
        let decay = self.weight_decay;
        check("weight-decay", decay, decay >= 0.0 && decay.is_finite(), "0 or more");
        for (name, value) in [("momentum", self.momentum), ("beta1", self.beta1), ("beta2", self.beta2)] {
            check(name, value, (0.0..1.0).contains(&value), "at least 0 and below 1");
        }
        check("eps", self.eps, self.eps > 0.0, "positive");
        if self.nesterov && self.momentum == 0.0 {
            faults.push("--nesterov needs a --momentum above 0".into());
        }
    }
}

/// Parameters that share a rate.
#[derive(Debug)]
struct Group {
    lr_multiplier: f64,
    weight_decay: f64,
    names: Vec<String>,
}

/// Steps the trainable parameters of a store.
#[derive(Debug)]
pub struct Optimizer {
    options: OptimizerOptions,
    groups: Vec<Group>,
    parameters: BTreeMap<String, Tensor>,
    /// Per parameter that has been stepped: the momentum, or both moments and the step.
    state: BTreeMap<String, Vec<Tensor>>,
}

impl Optimizer {
    /// An optimizer for what learns in `store` now; `lr_multiplier` gives each parameter's factor.
    ///
    /// Parameters of at most one dimension (biases, normalisation) get no weight decay.
    pub fn new(options: OptimizerOptions, store: &Store, lr_multiplier: impl Fn(&str) -> f64) -> Self {
        let mut optimizer = Self { options, groups: vec![], parameters: BTreeMap::new(), state: BTreeMap::new() };
        optimizer.regroup(store, lr_multiplier);
        optimizer
    }

    /// Takes up what has begun to learn since; what is known keeps its state.
    pub fn regroup(&mut self, store: &Store, lr_multiplier: impl Fn(&str) -> f64) {
        self.groups.clear();
        self.parameters = store.trainable().map(|(name, tensor)| (name.to_string(), tensor.shallow_clone())).collect();
        for (name, tensor) in &self.parameters {
            let weight_decay = if tensor.dim() > 1 { self.options.weight_decay } else { 0.0 };
            let lr_multiplier = lr_multiplier(name);
            let same = |group: &&mut Group| (group.lr_multiplier, group.weight_decay) == (lr_multiplier, weight_decay);
            match self.groups.iter_mut().find(same) {
                Some(group) => group.names.push(name.clone()),
                None => self.groups.push(Group { lr_multiplier, weight_decay, names: vec![name.clone()] }),
            }
        }
    }

    /// The distinct learning rates at a schedule's `factor`, highest first: `lr`, or `lr x0.5` for layers at half of it.
    pub fn rates(&self, factor: f64) -> Vec<(String, f64)> {
        let mut multipliers: Vec<f64> = self.groups.iter().map(|group| group.lr_multiplier).collect();
        multipliers.sort_by(|a, b| b.total_cmp(a));
        multipliers.dedup();
        let name = |multiplier| if multiplier == 1.0 { "lr".to_string() } else { format!("lr x{multiplier:.4}") };
        multipliers.into_iter().map(|m| (name(m), self.options.lr * factor * m)).collect()
    }

    /// The gradients there are now, in the order of names.
    pub fn gradients(&self) -> Vec<Tensor> {
        self.parameters.values().map(Tensor::grad).filter(Tensor::defined).collect()
    }

    /// Forgets all gradients, and gives their memory back.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn forget_gradients(&self) -> Result<()> {
        let parameters: Vec<_> = self.parameters.values().map(Tensor::shallow_clone).collect();
        native::forget_gradients(&parameters)
    }

    /// One step at `factor` times the base rate; a parameter without a gradient stays as it is.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn step(&mut self, factor: f64) -> Result<()> {
        let OptimizerOptions { optimizer, lr, momentum, nesterov, beta1, beta2, eps, .. } = self.options;
        for group in &self.groups {
            let (mut params, mut grads, mut slots) = (vec![], vec![], vec![vec![], vec![], vec![]]);
            for name in &group.names {
                let tensor = &self.parameters[name];
                let grad = tensor.grad();
                if !grad.defined() {
                    continue;
                }
                if !self.state.contains_key(name) {
                    self.state.insert(name.clone(), fresh(optimizer, tensor)?);
                }
                for (list, slot) in slots.iter_mut().zip(&self.state[name]) {
                    list.push(slot.shallow_clone());
                }
                params.push(tensor.shallow_clone());
                grads.push(grad);
            }
            if params.is_empty() {
                continue;
            }
            let lr = lr * factor * group.lr_multiplier;
            let weight_decay = group.weight_decay;
            match optimizer {
                Rule::Sgd => {
                    // Buffers start at zero, so the first step needs no flag: momentum · 0 + gradient.
                    let rates = SgdRates { lr, momentum, weight_decay, nesterov };
                    native::fused_sgd(&params, &grads, &slots[0], rates, false)?;
                }
                Rule::Adamw => {
                    let state = AdamWState { first: &slots[0], second: &slots[1], steps: &slots[2] };
                    let rates = AdamWRates { lr, betas: (beta1, beta2), weight_decay, eps };
                    native::fused_adamw(&params, &grads, state, rates)?;
                }
            }
        }
        Ok(())
    }

    /// A deep copy of the state on the CPU, under `name.slot`.
    pub fn snapshot(&self) -> BTreeMap<String, Tensor> {
        let mut saved = BTreeMap::new();
        for (name, slots) in &self.state {
            for (slot, tensor) in slots.iter().enumerate() {
                saved.insert(format!("{name}.{slot}"), tensor.to_device(tch::Device::Cpu).contiguous().copy());
            }
        }
        saved
    }

    /// Takes a saved state back.
    ///
    /// # Errors
    /// A state of a parameter that does not learn, or of another rule or shape.
    pub fn restore(&mut self, saved: &BTreeMap<String, Tensor>) -> Result<()> {
        self.state.clear();
        for key in saved.keys().filter(|key| key.ends_with(".0")) {
            let name = &key[..key.len() - 2];
            let parameter = self.parameters.get(name).ok_or_else(|| {
                Error::Model(format!("the checkpoint holds an optimizer state of {name}, which does not learn here"))
            })?;
            let other =
                || Error::Model(format!("the checkpoint's optimizer state of {name} is of another rule or shape"));
            let mut slots = fresh(self.options.optimizer, parameter)?;
            if saved.contains_key(&format!("{name}.{}", slots.len())) {
                return Err(other());
            }
            for (index, slot) in slots.iter_mut().enumerate() {
                let saved = saved.get(&format!("{name}.{index}")).filter(|saved| saved.size() == slot.size());
                slot.f_copy_(saved.ok_or_else(other)?)?;
            }
            self.state.insert(name.to_string(), slots);
        }
        Ok(())
    }
}

/// The state before the first step, laid out in memory like the parameter.
fn fresh(rule: Rule, parameter: &Tensor) -> Result<Vec<Tensor>> {
    let zeros = || parameter.detach().f_zeros_like();
    Ok(match rule {
        Rule::Sgd => vec![zeros()?],
        Rule::Adamw => vec![zeros()?, zeros()?, Tensor::f_zeros([0i64; 0], (Kind::Float, parameter.device()))?],
    })
}

#[cfg(test)]
#[path = "optimizer_tests.rs"]
mod tests;
