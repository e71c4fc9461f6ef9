//! DeViSE: a linear map from features into the space of descriptions, trained against every other class (source labelled, target known by
//! descriptions alone).
//!
//! Frome et al. 2013, "DeViSE: a deep visual-semantic embedding model", equation 1: with M the map, t(y) the description of class y (of length 1 there, here as scaled),
//!
//! L = Σ_{m ≠ y} max(0, Δ − t(y)ᵀ M x + t(m)ᵀ M x)
//!
//! Differences from the paper: all other classes count, not those up to the first that is too close; Δ, 0.1 there, is chosen on classes that are
//! held out, as the rate and the number of epochs; the map has a bias.

use super::embedding::{Aim, Form};
use crate::loss::Ranking;

/// A linear map; the sum over all classes that are too close.
pub(super) const FORM: Form = Form { aim: Aim::Rank(Ranking::Sum), hidden: None, space: None };
