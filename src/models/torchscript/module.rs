//! A cut TorchScript module as a body of a backbone: it runs as a whole, and every part trains or evaluates by itself.

use std::cell::RefCell;

use tch::Tensor;

use super::super::Stage;
use super::super::statistics::Switch;
use crate::Result;
use crate::native::Script;

/// A module whose features are wanted.
pub(in crate::models) struct Module {
    script: Script,
    /// Of all submodules; the root's is empty.
    paths: Vec<String>,
    /// Batch-norm layers, with the switch that holds their statistics.
    norms: Vec<(String, Switch)>,
    /// What the submodules were last told: see [`Module::state`].
    told: RefCell<Vec<bool>>,
    /// Whether it takes images and weights whose channels lie side by side in memory.
    channels_last: bool,
}

impl Module {
    pub fn new(script: Script, paths: Vec<String>, norms: Vec<(String, Switch)>, channels_last: bool) -> Self {
        Self { script, paths, norms, told: RefCell::default(), channels_last }
    }

    /// The module itself.
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// Whether its tensors may be laid out in that way.
    pub fn takes_channels_last(&self) -> bool {
        self.channels_last
    }

    /// # Shapes
    /// `x: [N, 3, H, W]` normalised f32 → `[N, features]`
    pub fn forward(&self, x: &Tensor, train: bool, stages: &[Stage]) -> Result<Tensor> {
        let state = self.state(train, stages);
        if *self.told.borrow() != state {
            self.script.train(self.training(train, stages))?;
            self.told.replace(state);
        }
        if self.channels_last { self.script.features(x) } else { self.script.features(&x.f_contiguous()?) }
    }

    /// All that decides which submodules train.
    fn state(&self, train: bool, stages: &[Stage]) -> Vec<bool> {
        let held = self.norms.iter().map(|(_, held)| held.are_held());
        [train].into_iter().chain(stages.iter().map(|stage| stage.frozen)).chain(held).collect()
    }

    /// Paths of the submodules that train. Those that belong to no stage, the root among them, train with any stage.
    fn training(&self, train: bool, stages: &[Stage]) -> Vec<&str> {
        let under = |path: &str, above: &String| {
            path.strip_prefix(above.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let trains = |path: &&String| {
            let stage = stages.iter().find(|stage| stage.paths.iter().any(|above| under(path, above)));
            let held = self.norms.iter().any(|(norm, held)| norm == *path && held.are_held());
            !held && stage.map_or_else(|| stages.iter().any(|stage| !stage.frozen), |stage| !stage.frozen)
        };
        self.paths.iter().filter(|path| train && trains(path)).map(String::as_str).collect()
    }
}
