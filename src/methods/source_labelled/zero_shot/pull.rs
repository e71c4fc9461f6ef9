//! Attraction alone, to see it fail: images are pulled to their classes, and nothing pushes (source labelled, target known by descriptions alone).
//!
//! The networks of the [joint embedding](super::joint), with L = ‖f(xⁿ) − g(yⁿ)‖² alone. Where both sides learn, the shortest way to no distance is to
//! make everything the same: classes move together until nothing tells them apart. The run says so when it happens.

use super::embedding::{Aim, Form};

/// Two networks; nothing but their distance.
pub(super) const FORM: Form = Form { aim: Aim::Pull, hidden: Some(512), space: Some(128) };
