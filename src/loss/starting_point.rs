//! L2-SP: weight decay towards the weights that were copied rather than towards zero, so that fine-tuning does not go further
//! from the source network than the target's data ask for.
//!
//! Ω(w) = α/2 ‖w_S − w⁰_S‖² + β/2 ‖w_N‖²,
//!
//! with w_S the layers that were copied from the source network, w⁰ their values at the start (the *starting point*), and w_N
//! new layers, as the head, which have none. Its gradient is α (w_S − w⁰_S) and β w_N.
//!
//! Source: Li, Grandvalet & Davoine, *Explicit Inductive Bias for Transfer Learning with Convolutional Networks*, ICML 2018,
//! section 3. With α = 0.1 and β = 0.01, the authors' training code hands over the weights of convolutions and linear layers
//! and leaves biases and batch norm free; which parameters count here is the caller's choice as well.
//!
//! It takes the place of weight decay: with both, the copied layers are pulled to zero as well. Frozen parameters cannot move,
//! contribute nothing, and are skipped.
//!
//! Every tensor costs one operation forward and one backward, which keep nothing but the tensors themselves: the squared
//! error to the starting point, which is zero for a new layer.

use std::collections::BTreeMap;

use tch::{Kind, Reduction, Tensor};

use crate::{Error, Result};

/// The weights that a network started from, and how strongly it is held to them.
#[derive(Debug)]
pub struct StartingPoint {
    values: BTreeMap<String, Tensor>,
    copied_strength: f64,
    new_strength: f64,
}

impl StartingPoint {
    /// Starts at the values that the `copied` parameters have now, as deep copies; `copied_strength` is α, `new_strength` β.
    ///
    /// # Errors
    /// A strength that is below 0 or no number.
    pub fn new<'a>(
        copied: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
        copied_strength: f64,
        new_strength: f64,
    ) -> Result<Self> {
        if let Some(wrong) = [copied_strength, new_strength].into_iter().find(|s| !(*s >= 0.0 && s.is_finite())) {
            return Err(Error::Usage(format!("starting point: a strength is {wrong}, expected a number from 0 on")));
        }
        let values = copied.into_iter().map(|(name, tensor)| (name.to_string(), tensor.detach().copy())).collect();
        Ok(Self { values, copied_strength, new_strength })
    }

    /// The starting point itself, for a checkpoint: made anew from these values, it is the same.
    pub fn values(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.values.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Ω of the parameters, of which those with a starting point are the copied ones and all others new.
    ///
    /// # Shapes
    /// any → `[]`
    ///
    /// # Errors
    /// A parameter of another shape than its starting point.
    pub fn penalty<'a>(&self, parameters: impl IntoIterator<Item = (&'a str, &'a Tensor)>) -> Result<Tensor> {
        let (mut copied, mut new) = (vec![], vec![]);
        for (name, parameter) in parameters.into_iter().filter(|(_, parameter)| parameter.requires_grad()) {
            let shape = parameter.size();
            match self.values.get(name) {
                Some(start) if start.size() != shape => {
                    return Err(Error::Model(format!(
                        "starting point: {name} has shape {shape:?}, but started with {:?}",
                        start.size()
                    )));
                }
                Some(start) => copied.push(parameter.f_mse_loss(start, Reduction::Sum)?),
                None => {
                    let zero = Tensor::f_zeros([0i64; 0], (parameter.kind(), parameter.device()))?;
                    new.push(parameter.f_mse_loss(&zero.f_expand(&shape, false)?, Reduction::Sum)?);
                }
            }
        }
        match (half(self.copied_strength, &copied)?, half(self.new_strength, &new)?) {
            (Some(copied), Some(new)) => Ok(copied.f_add(&new)?),
            (Some(penalty), None) | (None, Some(penalty)) => Ok(penalty),
            (None, None) => Ok(Tensor::f_zeros([0i64; 0], tch::kind::FLOAT_CPU)?),
        }
    }
}

/// Half of `strength` times the sum, unless there is nothing to sum.
fn half(strength: f64, parts: &[Tensor]) -> Result<Option<Tensor>> {
    if parts.is_empty() {
        return Ok(None);
    }
    Ok(Some(Tensor::f_stack(parts, 0)?.f_sum(None::<Kind>)?.f_mul_scalar(strength / 2.0)?))
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::super::golden::{close, golden, leaf};
    use super::*;

    type Named = BTreeMap<String, Tensor>;

    /// The starting point of a golden case, its parameters now, and what is expected.
    fn case(name: &str, kind: Kind) -> Result<(StartingPoint, Named, Named)> {
        let golden = golden(&format!("starting_point/{name}/"));
        let part = |prefix: &str| -> Named {
            let of = |(name, tensor): (&String, &Tensor)| {
                Some((name.strip_prefix(prefix)?.to_string(), leaf(&tensor.to_kind(kind))))
            };
            golden.iter().filter_map(of).collect()
        };
        let (start, now) = (part("start/"), part("now/"));
        let _frozen = now["body.bias"].set_requires_grad(false);
        let strengths = Vec::<f64>::try_from(&golden["strengths"])?;
        Ok((StartingPoint::new(views(&start), strengths[0], strengths[1])?, now, golden))
    }

    fn views(tensors: &Named) -> impl Iterator<Item = (&str, &Tensor)> {
        tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    #[test]
    fn value_and_gradients_equal_pytorchs() -> Result<()> {
        for (name, kind, tolerance) in
            [("both", Kind::Float, 1e-5), ("both", Kind::Double, 1e-12), ("strong", Kind::Double, 1e-12)]
        {
            let (start, now, golden) = case(name, kind)?;
            let penalty = start.penalty(views(&now))?;
            penalty.f_backward()?;
            close(&penalty, &golden["value"], tolerance, name);
            for (layer, tensor) in now.iter().filter(|(_, tensor)| tensor.requires_grad()) {
                close(&tensor.grad(), &golden[&format!("gradient/{layer}")], tolerance, layer);
            }
        }
        Ok(())
    }

    #[test]
    fn at_the_start_there_is_no_penalty_and_no_pull() -> Result<()> {
        let (start, now, _) = case("both", Kind::Float)?;
        let again: Named = start.values().map(|(name, tensor)| (name.to_string(), leaf(tensor))).collect();
        let penalty = start.penalty(views(&again))?;
        penalty.f_backward()?;
        assert_eq!(f64::try_from(penalty)?, 0.0);
        assert!(again.values().all(|tensor| tensor.grad().count_nonzero(None::<i64>).int64_value(&[]) == 0));
        // made from its own values it is the same
        let restored = StartingPoint::new(start.values(), 0.1, 0.01)?;
        assert_eq!(restored.penalty(views(&now))?, start.penalty(views(&now))?);
        Ok(())
    }

    #[test]
    fn the_starting_point_stays_where_it_was() -> Result<()> {
        let mut weight = leaf(&Tensor::from_slice(&[1f32, 2.0]));
        let start = StartingPoint::new([("w", &weight)], 1.0, 0.0)?;
        let _moved = tch::no_grad(|| weight.f_add_scalar_(1.0))?;
        assert_eq!(f64::try_from(start.penalty([("w", &weight)])?)?, 1.0); // ½ (1² + 1²)
        Ok(())
    }

    #[test]
    fn what_is_frozen_contributes_nothing() -> Result<()> {
        let (start, now, _) = case("both", Kind::Float)?;
        let whole = start.penalty(views(&now))?;
        let without = start.penalty(views(&now).filter(|(name, _)| *name != "body.bias"))?;
        assert_eq!(whole, without);
        for tensor in now.values() {
            let _frozen = tensor.set_requires_grad(false);
        }
        assert_eq!(f64::try_from(start.penalty(views(&now))?)?, 0.0);
        Ok(())
    }

    #[test]
    fn bad_input_is_named() {
        let [short, long] = [2, 3].map(|length| leaf(&Tensor::zeros([length], (Kind::Float, Device::Cpu))));
        let start = StartingPoint::new([("w", &short)], 1.0, 1.0).unwrap();
        let error = start.penalty([("w", &long)]).unwrap_err().to_string();
        assert!(error.contains("w has shape [3], but started with [2]"), "{error}");
        assert!(StartingPoint::new([], -1.0, 0.0).unwrap_err().to_string().contains("a strength is -1"));
        assert!(StartingPoint::new([], 0.0, f64::NAN).is_err());
    }
}
