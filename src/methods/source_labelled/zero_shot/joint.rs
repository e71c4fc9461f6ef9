//! Joint embedding: two networks bring images and descriptions into one space (source labelled, target known by descriptions alone).
//!
//! With f a network on images and g one on descriptions, and (xⁿ, yⁿ) the pairs of the source,
//!
//! f*, g* = arg min Σₙ max(0, k − f(xⁿ)·g(yⁿ) + max_{m ≠ n} f(xⁿ)·g(yᵐ))
//!
//! so that an image fits its own class better than any other by k. Without the last term all of f and g may go to one point, which is as near
//! as pairs can be: see [`pull`](super::pull).
//!
//! Here m runs over the classes, of which each is one description; f has a hidden layer of 512 and g is linear, both into a space of 128; k is
//! chosen on classes that are held out.

use super::embedding::{Aim, Form};
use crate::loss::Ranking;

/// Two networks; the one class that is closest.
pub(super) const FORM: Form = Form { aim: Aim::Rank(Ranking::Hardest), hidden: Some(512), space: Some(128) };
