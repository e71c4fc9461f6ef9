//! Batch normalisation, an addition and an activation in one operation: norm.cpp and its loops in kernels/.

use std::ffi::c_int;

use tch::Tensor;
use torch_sys::C_tensor;

use super::check;
use crate::Result;

unsafe extern "C" {
    fn regraft_norm_takes(
        x: *const C_tensor,
        weight: *const C_tensor,
        running_mean: *const C_tensor,
        added: *const C_tensor,
        out: *mut c_int,
    ) -> c_int;
    fn regraft_norm(
        x: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        running_mean: *const C_tensor,
        running_variance: *const C_tensor,
        added: *const C_tensor,
        train: c_int,
        momentum: f64,
        eps: f64,
        activation: c_int,
        out: *mut *mut C_tensor,
    ) -> c_int;
}

/// What may follow a normalisation; the numbers are those of kernels/norm.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Activation {
    /// x
    Linear = 0,
    /// max(x, 0)
    Relu = 1,
    /// min(max(x, 0), 6)
    Relu6 = 2,
    /// x · σ(x)
    Silu = 3,
    /// x · min(max(x + 3, 0), 6) / 6
    Hardswish = 4,
}

/// A batch normalisation: its parameters, statistics and numbers.
#[derive(Debug, Clone, Copy)]
pub struct NormState<'a> {
    /// γ: `[C]` f32.
    pub weight: &'a Tensor,
    /// β: `[C]` f32.
    pub bias: &'a Tensor,
    /// Running mean: `[C]` f32, moved in training.
    pub mean: &'a Tensor,
    /// Running variance: `[C]` f32, moved in training.
    pub variance: &'a Tensor,
    /// The weight of a new batch in the running statistics.
    pub momentum: f64,
    /// Added to the variance.
    pub eps: f64,
}

fn optional(x: Option<&Tensor>) -> *const C_tensor {
    x.map_or(std::ptr::null(), Tensor::as_ptr)
}

/// activation(γ · (x − mean) / √(variance + ε) + β + added), by the batch's statistics where `train`, else by the running
/// ones. Unlike libtorch's operations in a row it keeps only `x` for the gradient (and `added`, where an activation follows).
///
/// `None` where it does not apply, which is for libtorch's own operations to do: away from the CPU, for a map whose
/// channels are not innermost, for other kinds than f32 and bf16, and while a graph is traced.
///
/// # Shapes
/// `x`, `added`: `[N, C, H, W]` f32 or bf16 → `[N, C, H, W]`
pub fn norm(
    x: &Tensor,
    state: NormState,
    added: Option<&Tensor>,
    activation: Activation,
    train: bool,
) -> Result<Option<Tensor>> {
    let NormState { weight, bias, mean, variance, momentum, eps } = state;
    let mut takes = 0;
    check(unsafe { regraft_norm_takes(x.as_ptr(), weight.as_ptr(), mean.as_ptr(), optional(added), &mut takes) })?;
    if takes == 0 {
        return Ok(None);
    }
    let mut out = std::ptr::null_mut();
    check(unsafe {
        regraft_norm(
            x.as_ptr(),
            weight.as_ptr(),
            bias.as_ptr(),
            mean.as_ptr(),
            variance.as_ptr(),
            optional(added),
            train.into(),
            momentum,
            eps,
            activation as c_int,
            &mut out,
        )
    })?;
    Ok(Some(unsafe { Tensor::from_ptr(out) }))
}
