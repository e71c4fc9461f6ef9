//! ALE: a linear map from features into the space of descriptions, trained to rank the true class high (source labelled, target known by
//! descriptions alone).
//!
//! Akata et al. 2016, "Label-embedding for image classification", equations 4 and 12: F(x, y) = θ(x)ᵀ W φ(y), and with r the number of classes
//! that are less than Δ behind the true one, the image's loss is (1/r) Σᵢ₌₁ʳ 1/i times the sum of what they are too close by: the first ranks weigh
//! most.
//!
//! Differences from the paper: all classes are looked at in every step instead of drawing them until one is too close; batches and AdamW instead of
//! single images and plain gradient descent; Δ, 1 there, is chosen on classes that are held out; the map has a bias.

use super::embedding::{Aim, Form};
use crate::loss::Ranking;

/// A linear map; the sum over all classes that are too close, weighed by their ranks.
pub(super) const FORM: Form = Form { aim: Aim::Rank(Ranking::Weighted), hidden: None, space: None };
