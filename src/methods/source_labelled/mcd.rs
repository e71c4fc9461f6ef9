//! MCD: two classifiers that disagree wherever they can, and features on which they cannot (source labelled, target not).
//!
//! Saito et al. 2018, "Maximum classifier discrepancy for unsupervised domain adaptation", equations 3 to 7. Two heads F₁ and F₂
//! on the same features, with predictions p₁, p₂ (softmax) on the target:
//!
//! L = L_y(F₁, source) + L_y(F₂, source) − w · mean |p₁ − p₂|, where the features get the discrepancy's gradient reversed
//!
//! So the heads raise the discrepancy and the features lower it. w is `--trade-off` (1).
//!
//! Differences from the paper: it takes the three moves one after another, the last one four times; here a reversal makes them one
//! step. The second head begins with other values, and predictions are the first one's. The heads are those of `--head`: with one
//! linear layer they have little room to disagree, `--head mlp` gives them more.

use tch::{Kind, Tensor};

use super::adapt::{Adaptation, Setup, Step, Terms};
use crate::Result;
use crate::loss::CrossEntropy;
use crate::models::{Head, HeadKind};
use crate::native;

/// The second head.
pub(super) struct Mcd {
    second: Head,
    criterion: CrossEntropy,
    strength: f64,
}

impl Mcd {
    pub(super) fn new(setup: &Setup) -> Result<Self> {
        let (model, spec) = (setup.model, &setup.model.spec);
        let (scope, backbone) = (setup.builder.root().at("adapt").at("second"), model.backbone());
        // what lies before the last layer is the feature extractor's
        let kind = if spec.head == HeadKind::Bottleneck { HeadKind::Linear } else { spec.head };
        let dropout = spec.dropout.unwrap_or(backbone.dropout);
        let inputs = model.head().embedded(backbone.features);
        let second = Head::new(&scope, kind, backbone.form, inputs, spec.classes.len() as i64, dropout)?;
        let criterion = CrossEntropy::new(None, 0.0, model.store.device());
        Ok(Self { second, criterion, strength: setup.strengths.trade_off(1.0) })
    }
}

/// # Shapes
/// `first`, `second`: logits `[N, K]` → `[]`
pub(super) fn disagreement(first: &Tensor, second: &Tensor) -> Result<Tensor> {
    let [first, second] = [first, second].map(|logits| logits.f_softmax(-1, Kind::Float));
    Ok(first?.f_sub(&second?)?.f_abs()?.f_mean(Kind::Float)?)
}

impl Adaptation for Mcd {
    fn terms(&mut self, step: &Step) -> Result<Terms> {
        let (source, target) = step.both()?;
        let own = self.second.classify(&source.embedded, true)?.f_to_kind(Kind::Float)?;
        let also = self.criterion.hard(&own, step.labels)?;
        let reversed = native::grad_reverse(&target.embedded, 1.0)?;
        let first = step.network.model.head().classify(&reversed, true)?;
        let second = self.second.classify(&reversed, true)?;
        let apart = disagreement(&first, &second)?.f_mul_scalar(-self.strength)?;
        Ok(Terms {
            losses: vec![("cross_entropy_second".into(), also), ("disagreement".into(), apart)],
            shares: vec![],
        })
    }
}
