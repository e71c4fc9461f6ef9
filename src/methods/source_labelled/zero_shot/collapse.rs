//! Whether classes go on being told apart while an embedding learns.

use std::cell::Cell;

use tch::{Kind, Tensor};

use crate::Result;

/// Where classes lie closer together than this share of how they lay at first, they are no longer told apart.
const COLLAPSED: f64 = 0.1;

/// How far apart classes lay at first, and whether a collapse was spoken of.
#[derive(Debug, Default)]
pub(super) struct Collapse {
    first: Cell<Option<f64>>,
    told: Cell<bool>,
}

impl Collapse {
    /// Remembers how classes lie before anything is learned.
    ///
    /// # Shapes
    /// `classes: [C, E]`
    pub(super) fn begin(&self, classes: &Tensor) -> Result<()> {
        if self.first.get().is_none() {
            self.first.set(Some(spread(classes)?));
        }
        Ok(())
    }

    /// What a user should know of where classes lie now, if that was not said.
    ///
    /// # Shapes
    /// `classes: [C, E]`
    pub(super) fn note(&self, classes: &Tensor) -> Result<Option<String>> {
        let (spread, first) = (spread(classes)?, self.first.get().unwrap_or(0.0));
        if spread >= COLLAPSED * first || self.told.replace(true) {
            return Ok(None);
        }
        Ok(Some(format!(
            "the classes have all but become one: they lie {spread:.1e} of their length apart, at first {first:.2}; pairs that only \
             attract collapse, other classes have to push"
        )))
    }
}

/// How far apart they lie, as a share of how long they are: 0 where all are the same.
fn spread(classes: &Tensor) -> Result<f64> {
    let classes = classes.detach();
    let apart = classes.f_sub(&classes.f_mean_dim([0i64].as_slice(), true, Kind::Float)?)?;
    let length = |x: &Tensor| -> Result<f64> { Ok(f64::try_from(x.f_square()?.f_mean(Kind::Float)?)?.sqrt()) };
    Ok(length(&apart)? / length(&classes)?.max(1e-12))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collapse_is_told_once() -> Result<()> {
        let watch = Collapse::default();
        let (apart, close) =
            (Tensor::from_slice2(&[[1f32, 0.0], [0.0, 1.0]]), Tensor::from_slice2(&[[1f32, 1.0], [1.0, 1.01]]));
        watch.begin(&apart)?;
        assert!(watch.note(&apart)?.is_none());
        assert!(watch.note(&close)?.is_some_and(|note| note.contains("all but become one")));
        assert!(watch.note(&close)?.is_none());
        Ok(())
    }
}
