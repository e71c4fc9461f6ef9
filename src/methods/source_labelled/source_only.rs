//! Nothing but the source's labels: what every method is compared with. With the target's labels in their place it is the oracle.

use super::adapt::{Adaptation, Sees};

/// Adds nothing.
pub(super) struct SourceOnly;

impl Adaptation for SourceOnly {
    fn sees(&self) -> Sees {
        Sees::Source
    }
}
