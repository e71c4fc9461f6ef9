//! The lateral connection of progressive networks: what an earlier column knows, on its way into a later one.
//!
//! Rusu et al. 2016, "Progressive neural networks", eq. 2, for one earlier column j and the stage i of column k:
//! `U σ(V (α h))`, where h is what stage i − 1 of column j made, α a learned number that adjusts its scale, V a projection onto
//! fewer channels, σ the ReLU, and U brings them to the width of column k. On maps V and U are 1×1 convolutions.
//!
//! | | paper | here |
//! |---|---|---|
//! | α at the start | a small random number | 1: what is small at the start is U |
//! | U at the start | not said | 0: a new column begins as if it were alone, and stays so where that is best |
//! | width between V and U | so that all adapters have as many weights as a column | half of the width that U ends in |
//! | one V for | all earlier columns side by side | each earlier column, so that each can be switched off and measured |
//! | where U's output is added | before the nonlinearity of layer i | to the input of stage i, which may be many layers |

use tch::Tensor;

use super::Init;
use super::layers::{GlobalPool, Layer};
use super::store::Scope;
use crate::{Error, Result};

/// What is learned between a stage of an earlier column and the next stage of a later one.
#[derive(Debug)]
pub(super) struct Lateral {
    alpha: Tensor,
    down: (Tensor, Tensor),
    up: Tensor,
}

/// Where the channels of what a stage makes are: of tokens, `[N, tokens, C]`, last.
fn channels(size: &[i64]) -> i64 {
    if size.len() == 3 { size[2] } else { size[1] }
}

impl Lateral {
    /// The connection from something of the size `from` to something of the size `to`, both with the batch first: `alpha: []`,
    /// `down.weight: [to/2, from]`, `down.bias: [to/2]`, `up.weight: [to, to/2]`, on maps with `[1, 1]` behind the weights'.
    ///
    /// # Errors
    /// Sizes between which there is no connection; what libtorch refuses.
    pub fn new(scope: &Scope, from: &[i64], to: &[i64]) -> Result<Self> {
        let tokens = from.len() == 3 || to.len() == 3;
        if tokens && (from.len() != to.len() || from[1] != to[1]) {
            return Err(Error::Usage(format!(
                "--beside: a stage that makes {from:?} cannot be connected to one that makes {to:?}; the columns must be of one \
                 kind, with equally many tokens"
            )));
        }
        let (inputs, outputs) = (channels(from), channels(to));
        let between = (outputs / 2).max(1);
        let shape = |outputs, inputs| if to.len() == 4 { vec![outputs, inputs, 1, 1] } else { vec![outputs, inputs] };
        let down = scope.at("down");
        Ok(Self {
            alpha: scope.parameter("alpha", &[], Init::Constant(1.0))?,
            down: (
                down.parameter("weight", &shape(between, inputs), Init::he_fan_in(inputs))?,
                down.parameter("bias", &[between], Init::Constant(0.0))?,
            ),
            up: scope.at("up").parameter("weight", &shape(outputs, between), Init::Constant(0.0))?,
        })
    }

    /// What is to be added to `own`.
    ///
    /// # Shapes
    /// `theirs`: what the stage of the earlier column made; `own`: what that of this column made, as `[N, C, H, W]` → the shape
    /// of `own`, or `[N, C, 1, 1]` for a map where theirs is a vector
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn forward(&self, theirs: &Tensor, own: &Tensor) -> Result<Tensor> {
        let x = fitted(theirs, own)?.f_mul(&self.alpha)?;
        let hidden = apply(&x, &self.down.0, Some(&self.down.1))?.f_relu()?;
        apply(&hidden, &self.up, None)
    }
}

/// Theirs with the positions of `own`: means over as many cells, or over all where `own` has none.
fn fitted(theirs: &Tensor, own: &Tensor) -> Result<Tensor> {
    Ok(match (theirs.dim(), own.dim()) {
        (4, 4) if theirs.size()[2..] == own.size()[2..] => theirs.shallow_clone(),
        (4, 4) => theirs.f_adaptive_avg_pool2d(&own.size()[2..])?,
        (4, 2) => GlobalPool.forward(theirs, false)?,
        (2, 4) => theirs.f_unsqueeze(-1)?.f_unsqueeze(-1)?,
        _ => theirs.shallow_clone(),
    })
}

fn apply(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    if x.dim() == 4 { Ok(x.f_conv2d(weight, bias, [1; 2], [0; 2], [1; 2], 1)?) } else { Ok(x.f_linear(weight, bias)?) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tch::Device;

    use super::*;
    use crate::models::{Builder, Store};

    fn lateral(from: &[i64], to: &[i64]) -> Result<(Lateral, Store)> {
        let builder = Builder::new(Device::Cpu);
        let lateral = Lateral::new(&builder.root(), from, to)?;
        Ok((lateral, builder.finish()))
    }

    /// The tensors of a case of `tests/golden/laterals`.
    fn golden(case: &str) -> BTreeMap<String, Tensor> {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/laterals/data.safetensors");
        let all = Tensor::read_safetensors(file).expect("the golden file is there").into_iter();
        all.filter_map(|(name, tensor)| Some((name.strip_prefix(case)?.strip_prefix('/')?.to_string(), tensor)))
            .collect()
    }

    #[test]
    fn values_and_gradients_are_pytorchs() -> Result<()> {
        for case in ["maps", "smaller", "vectors", "map_to_vector", "vector_to_map", "tokens"] {
            let golden = golden(case);
            let (theirs, own) = (&golden["theirs"], &golden["own"]);
            let (lateral, store) = lateral(&theirs.size(), &own.size())?;
            for (name, tensor) in store.views() {
                tch::no_grad(|| tensor.shallow_clone().copy_(&golden[&name]));
            }
            let sum = own.f_add(&lateral.forward(theirs, own)?)?;
            assert!(sum.allclose(&golden["sum"], 1e-5, 1e-6, false), "{case}");
            (sum * &golden["cotangent"]).sum(tch::Kind::Float).f_backward()?;
            for (name, tensor) in store.views() {
                let expected = &golden[&format!("gradient/{name}")];
                assert!(tensor.grad().allclose(expected, 1e-4, 1e-5, false), "{case}: {name}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_new_connection_says_nothing_and_can_begin_to_speak() -> Result<()> {
        let (lateral, store) = lateral(&[2, 6, 4, 4], &[2, 8, 4, 4])?;
        let (theirs, own) =
            (Tensor::ones([2, 6, 4, 4], tch::kind::FLOAT_CPU), Tensor::ones([2, 8, 4, 4], tch::kind::FLOAT_CPU));
        let out = lateral.forward(&theirs, &own)?;
        assert_eq!(out.size(), own.size());
        assert_eq!(f64::try_from(out.abs().max())?, 0.0);
        out.sum(tch::Kind::Float).f_backward()?;
        assert!(f64::try_from(store.get("up.weight").unwrap().grad().abs().max())? > 0.0);
        Ok(())
    }

    #[test]
    fn tokens_and_maps_cannot_be_connected() {
        let message = lateral(&[1, 50, 8], &[1, 8, 4, 4]).unwrap_err().to_string();
        assert!(message.contains("[1, 50, 8]") && message.contains("[1, 8, 4, 4]"), "{message}");
    }
}
