//! The network in two parts: what makes features, which are to become alike, and what predicts labels from them.

use tch::{Kind, Tensor};

use crate::models::layers::Layer;
use crate::models::{BOTTLENECK_LAST, Classifier, HeadKind};
use crate::{Error, Result};

/// Where the feature extractor ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extractor {
    /// Behind so many stages of the backbone.
    Stages(usize),
    /// Before the last layer: at what [`Head::embed`](crate::models::Head::embed) gives.
    Embedding,
}

impl Extractor {
    /// The one that `stage` names, or the network's own.
    ///
    /// # Errors
    /// A stage that the network does not have, or cannot be cut at.
    pub fn of(model: &Classifier, stage: Option<&str>) -> Result<Self> {
        let backbone = model.backbone();
        let last = backbone.stages.len();
        let Some(wanted) = stage else {
            return Ok(if backbone.extractor < last { Self::Stages(backbone.extractor) } else { Self::Embedding });
        };
        if wanted == "head" {
            return Ok(Self::Embedding);
        }
        let names = || backbone.stages.iter().map(|stage| stage.name.as_str()).collect::<Vec<_>>().join(", ");
        let found = backbone.stages.iter().position(|stage| stage.name == wanted).map(|index| index + 1);
        let found = found.ok_or_else(|| {
            Error::Usage(format!(
                "--align {wanted}: no stage of {}; expected head, or one of {}",
                backbone.architecture,
                names()
            ))
        })?;
        if !backbone.is_cut_at(found) {
            return Err(Error::Usage(format!(
                "--align {wanted}: this network runs as a whole; leave it out, or give head"
            )));
        }
        Ok(Self::Stages(found))
    }

    /// Which parameters predict labels from the features.
    pub fn predictor(self, model: &Classifier) -> Vec<String> {
        let outline = model.outline();
        let behind = match self {
            Self::Stages(stages) => &outline.stages[stages..],
            Self::Embedding => &[],
        };
        // a bottleneck makes the features that are made alike
        let embeds = self == Self::Embedding && model.spec.head == HeadKind::Bottleneck;
        let last = format!("{}.{BOTTLENECK_LAST}.", model.backbone().head_path);
        let head = outline.head.iter().filter(|name| !embeds || name.starts_with(&last));
        behind.iter().flat_map(|(_, names)| names.iter()).chain(head).cloned().collect()
    }
}

/// The network in a step.
#[derive(Clone, Copy)]
pub struct Network<'a> {
    /// All of it.
    pub model: &'a Classifier,
    /// Where its features are made alike.
    pub extractor: Extractor,
    /// How many stages have made its input already.
    pub begun: usize,
}

/// What the network made of a batch.
#[derive(Debug)]
pub struct Passed {
    /// `[N, D]` f32.
    pub aligned: Tensor,
    /// `[N, E]`.
    pub embedded: Tensor,
    /// `[N, K]` f32.
    pub logits: Tensor,
}

impl Network<'_> {
    /// All that a batch becomes.
    ///
    /// # Shapes
    /// `x`: what the next stage takes
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn pass(&self, x: &Tensor, train: bool) -> Result<Passed> {
        let (backbone, head) = (self.model.backbone(), self.model.head());
        let last = backbone.stages.len();
        let middle = match self.extractor {
            Extractor::Stages(stages) => stages.max(self.begun),
            Extractor::Embedding => last,
        };
        let features = backbone.run(self.begun..middle, x, train)?;
        let behind = backbone.run(middle..last, &features, train)?;
        let embedded = head.embed(&behind, train)?;
        let logits = head.classify(&embedded, train)?.f_to_kind(Kind::Float)?;
        let aligned = match self.extractor {
            Extractor::Stages(_) => features,
            // of a map, what it says of the whole image
            Extractor::Embedding if embedded.dim() == 4 => embedded.f_mean_dim([2i64, 3].as_slice(), false, None)?,
            Extractor::Embedding => embedded.shallow_clone(),
        };
        Ok(Passed { aligned: aligned.f_flatten(1, -1)?.f_to_kind(Kind::Float)?, embedded, logits })
    }

    /// The logits alone.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn logits(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let backbone = self.model.backbone();
        let features = backbone.run(self.begun..backbone.stages.len(), x, train)?;
        Ok(self.model.head().forward(&features, train)?.f_to_kind(Kind::Float)?)
    }
}
