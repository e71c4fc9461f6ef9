//! SJE: a linear map from features into the space of descriptions, trained against the closest other class (source labelled, target known by
//! descriptions alone).
//!
//! Akata et al. 2015, "Evaluation of output embeddings for fine-grained image classification", equation 4: F(x, y) = θ(x)ᵀ W φ(y), and the image's
//! loss is max(0, max_{m ≠ y} (Δ + F(x, m)) − F(x, y)), that of a structured support vector machine.
//!
//! Differences from the paper: batches and AdamW instead of single images and plain gradient descent; Δ, 1 there, is chosen on classes that are held
//! out; the map has a bias.

use super::embedding::{Aim, Form};
use crate::loss::Ranking;

/// A linear map; the one class that is closest.
pub(super) const FORM: Form = Form { aim: Aim::Rank(Ranking::Hardest), hidden: None, space: None };
