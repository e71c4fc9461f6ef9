//! AdaBN: the statistics of batch norm taken from the target (source labelled, target not; nothing is learned).
//!
//! Li et al. 2017, "Revisiting batch normalization for practical domain adaptation". Every batch-norm layer of the network that the
//! source has taught gets mean and variance of the target's images. They are averaged over all batches with equal weight; the
//! paper does the same image by image.

use super::adapt::{Adaptation, Images, Setup};
use crate::models::{Classifier, torchscript};
use crate::{Error, Result};

/// Nothing of its own.
pub(super) struct AdaBn;

impl AdaBn {
    pub(super) fn new(setup: &Setup) -> Result<Self> {
        let (model, name) = (setup.model, &setup.model.spec.architecture);
        let why = if name == torchscript::ARCHITECTURE {
            "keeps the statistics of its batch norms to itself"
        } else if model.store.norm_layers().next().is_none() {
            "has no batch norm, so there are no statistics to take from the target"
        } else {
            setup.require_begin()?;
            return Ok(Self);
        };
        Err(Error::Usage(format!("ada-bn: {name} {why}; choose another --model or method")))
    }
}

impl Adaptation for AdaBn {
    fn settle(&mut self, _model: &Classifier, images: Images) -> Result<()> {
        (images.show_target)()
    }
}
