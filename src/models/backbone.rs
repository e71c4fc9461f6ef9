//! A network without its head: named stages in order, each of which can be copied, frozen and probed by itself.

use std::ops::Range;

use tch::Tensor;

use super::layers::Layer;
use super::progressive::Columns;
use super::selector::{Outline, lies_under};
use super::store::Store;
use super::torchscript::Module;
use crate::{Error, Result};

/// One step of a backbone, such as ResNet's `layer3`.
#[derive(Debug)]
pub struct Stage {
    /// The name that selectors use.
    pub name: String,
    /// Paths whose tensors belong to this stage, as `conv1`; a tensor belongs where its path or a parent of it is.
    pub paths: Vec<String>,
    /// Whether nothing in it learns; it then runs as in evaluation even while the rest trains.
    pub frozen: bool,
}

impl Stage {
    /// A stage whose tensors lie under `paths`, and what it computes.
    pub fn new(name: impl Into<String>, paths: &[&str], layer: impl Layer + 'static) -> (Self, Box<dyn Layer>) {
        let paths = paths.iter().map(|path| path.to_string()).collect();
        (Self { name: name.into(), paths, frozen: false }, Box::new(layer))
    }

    /// Whether the tensor of that name belongs to it.
    pub fn owns(&self, name: &str) -> bool {
        self.paths.iter().any(|path| lies_under(name, path))
    }
}

/// What computes the features.
pub(super) enum Body {
    /// Our own layers, one for each stage.
    Native(Vec<Box<dyn Layer>>),
    /// A module from elsewhere, which runs as a whole.
    TorchScript(Module),
    /// Columns beside each other, which run as a whole; the stages are the newest's.
    Progressive(Columns),
}

/// What a backbone makes of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeatureForm {
    /// `[N, features]`: the source network's head is one linear layer.
    Vector,
    /// `[N, features, H, W]`: the source network's head is a 1×1 convolution, a ReLU, and the mean over all positions.
    Map,
}

/// A feature extractor: images in, features out.
pub struct Backbone {
    /// The registry's name of the architecture; `torchscript` for a module from elsewhere.
    pub architecture: String,
    /// The stages in the order in which they run; the last one ends in the features.
    pub stages: Vec<Stage>,
    /// How many features there are, of an image or at each position.
    pub features: i64,
    /// Whether they are a vector or a map.
    pub form: FeatureForm,
    /// Where the source network keeps its head, as `fc`.
    pub head_path: String,
    /// The share of features that the source network drops before its head.
    pub dropout: f64,
    /// After how many stages the features are that domain adaptation makes alike, where its paper says; usually all of them.
    pub extractor: usize,
    /// Paths in the source network's checkpoints that are left out on purpose, such as an auxiliary head's.
    pub ignored: &'static [&'static str],
    pub(super) body: Body,
}

impl Backbone {
    /// A network of our own layers that ends in vectors, drops nothing before its head, and uses all of its checkpoints.
    pub fn new(architecture: &str, stages: Vec<(Stage, Box<dyn Layer>)>, features: i64, head_path: &str) -> Self {
        let (stages, layers): (Vec<_>, Vec<_>) = stages.into_iter().unzip();
        Self {
            architecture: architecture.to_string(),
            extractor: stages.len(),
            stages,
            features,
            form: FeatureForm::Vector,
            head_path: head_path.to_string(),
            dropout: 0.0,
            ignored: &[],
            body: Body::Native(layers),
        }
    }

    /// Whether a tensor of that name in a checkpoint is left out on purpose.
    pub fn ignores(&self, name: &str) -> bool {
        self.ignored.iter().any(|path| name.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
    }

    /// Features of a batch.
    ///
    /// # Shapes
    /// `x: [N, 3, H, W]` normalised f32 → `[N, features]`, or `[N, features, H', W']` where the form is a map
    ///
    /// # Errors
    /// What libtorch refuses, as an image too small for the network.
    pub fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.run(0..self.stages.len(), x, train)
    }

    /// What the stages `which` make of what those before them made: all of them, or of our own layers any part; see
    /// [`is_cut_at`](Self::is_cut_at).
    ///
    /// # Shapes
    /// `x`: what stage `which.start` takes, from 0 on a batch of images → what the last of them gives
    ///
    /// # Errors
    /// A part of a network that runs as a whole; what libtorch refuses.
    pub fn run(&self, which: Range<usize>, x: &Tensor, train: bool) -> Result<Tensor> {
        match &self.body {
            Body::Native(layers) => layers[which.clone()]
                .iter()
                .zip(&self.stages[which])
                .try_fold(x.shallow_clone(), |x, (layer, stage)| layer.forward(&x, train && !stage.frozen)),
            _ if which.is_empty() => Ok(x.shallow_clone()),
            _ if which.len() < self.stages.len() => {
                let kind = if self.spans_columns() { "progressive network" } else { "TorchScript module" };
                Err(Error::Model(format!("stages {which:?} of a {kind} cannot run without the others")))
            }
            Body::TorchScript(module) => module.forward(x, train, &self.stages),
            Body::Progressive(columns) => columns.forward(x, train, &self.stages),
        }
    }

    /// Whether the first `stages` stages can run without the others.
    pub fn is_cut_at(&self, stages: usize) -> bool {
        matches!(self.body, Body::Native(_)) || stages == self.stages.len() || stages == 0
    }

    /// Whether other columns stand beside it.
    pub fn spans_columns(&self) -> bool {
        matches!(self.body, Body::Progressive(_))
    }

    /// Whether its tensors may lie in memory with their channels side by side.
    pub fn takes_channels_last(&self) -> bool {
        match &self.body {
            Body::Native(_) | Body::Progressive(_) => true,
            Body::TorchScript(module) => module.takes_channels_last(),
        }
    }

    /// The layers of its stages, to be put together anew; `None` where it runs as a whole.
    pub(crate) fn into_layers(self) -> Option<Vec<Box<dyn Layer>>> {
        match self.body {
            Body::Native(layers) => Some(layers),
            Body::TorchScript(_) | Body::Progressive(_) => None,
        }
    }

    /// Which of the store's parameters belong to which stage, and which to the head: what selectors select from.
    pub fn outline(&self, store: &Store) -> Outline {
        let stages = self.stages.iter().map(|stage| (stage.name.clone(), stage.paths.clone())).collect();
        Outline::new(stages, &self.head_path, store.parameters().map(|(name, _)| name.to_string()))
    }
}

impl std::fmt::Debug for Backbone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stages: Vec<_> = self.stages.iter().map(|stage| &stage.name).collect();
        f.debug_struct("Backbone").field("architecture", &self.architecture).field("stages", &stages).finish()
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::models::{Builder, architecture};

    #[test]
    fn a_network_in_two_parts_is_the_whole_network() -> Result<()> {
        for name in ["resnet18", "efficientnet_lite0", "mobilenet_v3_small", "densenet121", "squeezenet1_1", "vgg11_bn"]
        {
            let builder = Builder::new(Device::Cpu);
            let backbone = architecture::build(name, &builder.root())?;
            let images =
                Tensor::linspace(-1, 1, 2 * 3 * 64 * 64, (Kind::Float, Device::Cpu)).sin().view([2, 3, 64, 64]);
            let whole = backbone.forward(&images, false)?;
            for cut in 0..=backbone.stages.len() {
                let half = backbone.run(0..cut, &images, false)?;
                assert!(
                    backbone.is_cut_at(cut) && backbone.run(cut..backbone.stages.len(), &half, false)? == whole,
                    "{name} {cut}"
                );
            }
        }
        Ok(())
    }
}
