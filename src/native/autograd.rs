//! Operations with a backward of their own: autograd.cpp.

use std::ffi::c_int;

use tch::Tensor;
use torch_sys::C_tensor;

use super::check;
use crate::Result;

unsafe extern "C" {
    fn regraft_grad_reverse(x: *const C_tensor, factor: f64, out: *mut *mut C_tensor) -> c_int;
}

/// `x` itself; on the way back the gradient is multiplied by −`factor` (Ganin et al. 2016, equations 16 and 17).
///
/// What it gives is a view of `x`, so nothing may change it in place. TorchScript modules call it
/// `ops.regraft.grad_reverse(x, factor)`.
///
/// # Shapes
/// any → the same
///
/// # Errors
/// What libtorch refuses.
///
/// ```
/// use tch::{Kind, Tensor};
///
/// let x = Tensor::from_slice(&[1.0f64, -2.0]).set_requires_grad(true);
/// let y = regraft::native::grad_reverse(&x, 0.5)?;
/// assert_eq!(y, x);
/// (&y * &y).sum(Kind::Double).backward(); // 2x without the reversal
/// assert_eq!(Vec::<f64>::try_from(x.grad())?, [-1.0, 2.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn grad_reverse(x: &Tensor, factor: f64) -> Result<Tensor> {
    let mut out = std::ptr::null_mut();
    check(unsafe { regraft_grad_reverse(x.as_ptr(), factor, &mut out) })?;
    Ok(unsafe { Tensor::from_ptr(out) })
}

#[cfg(test)]
mod tests {
    use tch::{CModule, Device, Kind};

    use super::*;
    use crate::native::Autocast;

    /// Numbers that are not round, in double precision.
    fn numbers(count: i64) -> Tensor {
        (Tensor::arange(count, (Kind::Double, Device::Cpu)) + 0.3).sin()
    }

    fn leaf(x: &Tensor) -> Tensor {
        x.copy().set_requires_grad(true)
    }

    fn gradient(y: &Tensor, x: &Tensor, differentiable: bool) -> Tensor {
        Tensor::run_backward(&[y], &[x], differentiable, differentiable).remove(0)
    }

    /// The same without an operation of its own: forward x + 0, backward −factor.
    fn identity(x: &Tensor, factor: f64) -> Tensor {
        x.detach() - (x - x.detach()) * factor
    }

    #[test]
    fn it_is_the_identity_forward_and_turns_the_gradient_around() -> Result<()> {
        let (weight, start) = (numbers(12).reshape([3, 4]), numbers(8).reshape([2, 4]));
        for factor in [1.0, 0.1, 0.0, 3.5] {
            let loss = |y: &Tensor| (y.matmul(&weight.tr())).tanh().pow_tensor_scalar(2).sum(Kind::Double);
            let x = leaf(&start);
            let reversed = grad_reverse(&x, factor)?;
            assert_eq!(reversed, x);
            let found = gradient(&loss(&reversed), &x, false);
            let plain = gradient(&loss(&(&x * 1.0)), &x, false);
            // to the bit: this fails if backward is not called, whatever else is
            assert_eq!(found, plain * -factor);
            assert_eq!(found, gradient(&loss(&identity(&x, factor)), &x, false));
        }
        Ok(())
    }

    #[test]
    fn it_equals_differences_of_the_loss_with_the_sign_turned() -> Result<()> {
        let start = numbers(5);
        let loss = |y: &Tensor| (y.exp() * y.cos()).sum(Kind::Double);
        let x = leaf(&start);
        let found = Vec::<f64>::try_from(gradient(&loss(&grad_reverse(&x, 2.0)?), &x, false))?;
        for (index, found) in found.into_iter().enumerate() {
            let step = 1e-6 * Tensor::from_slice(&[index as i64]).one_hot(5).reshape([5]).to_kind(Kind::Double);
            let slope = f64::try_from(loss(&(&start + &step)) - loss(&(&start - &step)))? / 2e-6;
            assert!((found + 2.0 * slope).abs() < 1e-8 * slope.abs().max(1.0), "{found} for a slope of {slope}");
        }
        Ok(())
    }

    #[test]
    fn it_can_be_differentiated_twice() -> Result<()> {
        // d/dx of x³ through a reversal of 2 is −2 · 3x², whose derivative meets the reversal again: 4 · 6x
        let x = leaf(&numbers(4));
        let cube = grad_reverse(&x, 2.0)?.pow_tensor_scalar(3).sum(Kind::Double);
        let first = gradient(&cube, &x, true);
        assert_eq!(first.detach(), x.detach().pow_tensor_scalar(2) * -6.0);
        let second = gradient(&first.sum(Kind::Double), &x, false);
        let error = f64::try_from((second - x.detach() * 24.0).abs().max())?;
        assert!(error < 1e-13, "{error}");
        Ok(())
    }

    #[test]
    fn it_works_in_mixed_precision_and_on_parts_of_unequal_size() -> Result<()> {
        let (features, weight) = (
            leaf(&numbers(20).to_kind(Kind::Float).reshape([5, 4])),
            leaf(&numbers(4).to_kind(Kind::Float).reshape([1, 4])),
        );
        let of = |factor: Option<f64>| -> Result<Vec<Tensor>> {
            let _autocast = Autocast::begin(Device::Cpu, Kind::BFloat16)?;
            // two images of one domain and three of the other, of which only the latter are reversed
            let (one, other) = (features.narrow(0, 0, 2), features.narrow(0, 2, 3));
            let other = factor.map_or_else(|| Ok(other.shallow_clone()), |factor| grad_reverse(&other, factor))?;
            let logits = Tensor::cat(&[one, other], 0).linear(&weight, None::<Tensor>);
            assert_eq!(logits.kind(), Kind::BFloat16);
            let loss = logits.to_kind(Kind::Float).sigmoid().sum(Kind::Float);
            Ok(Tensor::run_backward(&[&loss], &[&features, &weight], false, false))
        };
        let (plain, reversed) = (of(None)?, of(Some(0.25))?);
        assert_eq!(plain[1], reversed[1], "what comes after the reversal learns as ever");
        assert_eq!(plain[0].narrow(0, 0, 2), reversed[0].narrow(0, 0, 2));
        assert_eq!(plain[0].narrow(0, 2, 3) * -0.25, reversed[0].narrow(0, 2, 3));
        Ok(())
    }

    #[test]
    fn a_torchscript_module_can_hold_it() -> Result<()> {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/autograd/reversing.pt");
        let module = CModule::load(file)?;
        // the executor looks at the first runs and then compiles: the gradient is right before and after
        for _ in 0..4 {
            let x = leaf(&numbers(6).to_kind(Kind::Float));
            let y = module.forward_ts(&[&x])?;
            assert_eq!(y.detach(), x.detach() * 3.0);
            assert_eq!(gradient(&y.sum(Kind::Float), &x, false), x.zeros_like() - 1.5);
        }
        Ok(())
    }
}
