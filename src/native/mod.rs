//! The door to libtorch behind tch: gradient reversal, precision, memory layout, fused optimizers and normalisation, memory, the profiler, TorchScript.
//!
//! This module and those in it are the only ones with `unsafe` code. Every C++ function catches its exceptions and leaves
//! a message, which becomes an [`Error`].
#![allow(unsafe_code)]

mod autograd;
mod memory;
mod norm;
mod profile;
mod script;
mod upload;

use std::ffi::{CStr, CString, c_char, c_int};
use std::path::Path;

use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

pub use autograd::grad_reverse;
pub use memory::{filled, map, read_at, write_bytes};
pub use norm::{Activation, NormState, norm};
pub use profile::{Profile, Range, Recorded};
pub use script::Script;
pub use upload::{Upload, empty_pinned, send};

use crate::error::without_backtrace;
use crate::{Error, Result};

unsafe extern "C" {
    fn regraft_last_error() -> *const c_char;
    fn regraft_text_free(text: *mut c_char);
    fn regraft_build_report() -> *const c_char;
    fn regraft_autocast_begin(device: c_int, kind: c_int, was_enabled: *mut c_int, was_kind: *mut c_int) -> c_int;
    fn regraft_autocast_end(device: c_int, was_enabled: c_int, was_kind: c_int) -> c_int;
    fn regraft_to_channels_last(x: *const C_tensor, out: *mut *mut C_tensor) -> c_int;
    fn regraft_is_channels_last(x: *const C_tensor, out: *mut c_int) -> c_int;
    fn regraft_set_data(x: *mut C_tensor, data: *const C_tensor) -> c_int;
    fn regraft_forget_gradients(tensors: *const *const C_tensor, count: i64) -> c_int;
    fn regraft_set_deterministic(on: c_int) -> c_int;
    fn regraft_set_tf32(on: c_int) -> c_int;
    fn regraft_pool_memory(bytes: i64) -> c_int;
    fn regraft_pool_taken(reset: c_int, now: *mut i64, peak: *mut i64) -> c_int;
    fn regraft_device_taken(device: c_int, reset: c_int, now: *mut i64, peak: *mut i64) -> c_int;
    fn regraft_device_free(device: c_int, bytes: *mut i64) -> c_int;
    fn regraft_fused_adamw(
        params: *const *const C_tensor,
        grads: *const *const C_tensor,
        first: *const *const C_tensor,
        second: *const *const C_tensor,
        steps: *const *const C_tensor,
        count: i64,
        lr: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        eps: f64,
    ) -> c_int;
    fn regraft_fused_sgd(
        params: *const *const C_tensor,
        grads: *const *const C_tensor,
        momenta: *const *const C_tensor,
        count: i64,
        lr: f64,
        momentum: f64,
        weight_decay: f64,
        nesterov: c_int,
        first_step: c_int,
    ) -> c_int;
    fn regraft_foreach_norm(tensors: *const *const C_tensor, count: i64, out: *mut *mut C_tensor) -> c_int;
}

fn check(status: c_int) -> Result<()> {
    if status == 0 { Ok(()) } else { Err(last_error()) }
}

/// What went wrong in the last call of this thread that failed.
fn last_error() -> Error {
    // The pointer stays valid until this thread's next failing call, and the text is copied before that.
    let message = unsafe { CStr::from_ptr(regraft_last_error()) }.to_string_lossy();
    tch::TchError::Torch(without_backtrace(&message)).into()
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text)
        .map_err(|_| Error::Model(format!("{text:?} holds a zero byte, which libtorch takes for its end")))
}

fn c_path(path: &Path) -> Result<CString> {
    c_string(path.to_str().ok_or_else(|| Error::file(path, "libtorch reads only paths that are UTF-8"))?)
}

fn text(fill: impl FnOnce(*mut *mut c_char) -> c_int) -> Result<String> {
    let mut text = std::ptr::null_mut();
    check(fill(&mut text))?;
    let copy = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    unsafe { regraft_text_free(text) };
    Ok(copy)
}

fn pointers(tensors: &[Tensor]) -> Vec<*const C_tensor> {
    tensors.iter().map(Tensor::as_ptr).collect()
}

fn index(device: Device) -> c_int {
    match device {
        Device::Cuda(n) => n as c_int,
        _ => -1,
    }
}

/// Loads a shared library for the rest of the process, and lets those that come after it use its symbols.
///
/// # Errors
/// What the system's loader says, in one line.
pub fn load_library(path: &Path) -> std::result::Result<(), String> {
    let path = c_path(path).map_err(|error| error.to_string())?;
    if !unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) }.is_null() {
        return Ok(());
    }
    let said = unsafe { libc::dlerror() };
    let said =
        if said.is_null() { "no reason given".into() } else { unsafe { CStr::from_ptr(said) }.to_string_lossy() };
    Err(said.lines().next().unwrap_or_default().to_string())
}

/// How libtorch was built, its thread settings and the processor capability it uses, as libtorch words them.
pub fn build_report() -> String {
    unsafe { CStr::from_ptr(regraft_build_report()) }.to_string_lossy().into_owned()
}

/// Mixed precision for as long as this value lives; what was set before comes back when it is dropped.
#[derive(Debug)]
pub struct Autocast {
    device: c_int,
    was_enabled: c_int,
    was_kind: c_int,
}

impl Autocast {
    /// Lets libtorch run what is safe in `kind` (`BFloat16`, or `Half` on CUDA) on `device`.
    pub fn begin(device: Device, kind: Kind) -> Result<Self> {
        let kind = match kind {
            Kind::BFloat16 => 15, // as in c10/core/ScalarType.h
            Kind::Half => 5,
            other => {
                return Err(Error::Device(format!("autocast to {other:?} is not possible, only to BFloat16 or Half")));
            }
        };
        let device = index(device);
        let (mut was_enabled, mut was_kind) = (0, 0);
        check(unsafe { regraft_autocast_begin(device, kind, &mut was_enabled, &mut was_kind) })?;
        Ok(Self { device, was_enabled, was_kind })
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        unsafe { regraft_autocast_end(self.device, self.was_enabled, self.was_kind) };
    }
}

/// `x` with its channels as the innermost dimension in memory; the shape stays.
///
/// # Shapes
/// `x: [N, C, H, W]` → `[N, C, H, W]`
pub fn to_channels_last(x: &Tensor) -> Result<Tensor> {
    let mut out = std::ptr::null_mut();
    check(unsafe { regraft_to_channels_last(x.as_ptr(), &mut out) })?;
    Ok(unsafe { Tensor::from_ptr(out) })
}

/// Whether `x` lies in memory as [`to_channels_last`] leaves it.
pub fn is_channels_last(x: &Tensor) -> Result<bool> {
    let mut out = 0;
    check(unsafe { regraft_is_channels_last(x.as_ptr(), &mut out) })?;
    Ok(out != 0)
}

/// Gives `x`, and everything that shares it, the storage of `data`, as PyTorch's `x.data = data` does. It stays the
/// same leaf of the graph, so optimizers and layers that hold it go on with the new values.
pub fn set_data(x: &Tensor, data: &Tensor) -> Result<()> {
    check(unsafe { regraft_set_data(x.as_ptr().cast_mut(), data.as_ptr()) })
}

/// Takes the gradients off `tensors`, as PyTorch's `zero_grad(set_to_none=True)`; tch can only fill them with zeros.
pub fn forget_gradients(tensors: &[Tensor]) -> Result<()> {
    check(unsafe { regraft_forget_gradients(pointers(tensors).as_ptr(), tensors.len() as i64) })
}

/// Asks libtorch for deterministic kernels; where there is none it warns on standard error.
pub fn set_deterministic(on: bool) -> Result<()> {
    check(unsafe { regraft_set_deterministic(on.into()) })
}

/// Lets CUDA use TF32 in matrix products and convolutions of f32.
pub fn set_tf32(on: bool) -> Result<()> {
    check(unsafe { regraft_set_tf32(on.into()) })
}

/// Lets tensors on the CPU take their memory from a pool of at most so many bytes, which keeps what they give back.
pub fn pool_memory(bytes: u64) -> Result<()> {
    check(unsafe { regraft_pool_memory(i64::try_from(bytes).unwrap_or(i64::MAX)) })
}

/// Bytes that tensors take on a device: now, and at the most since the last call with `reset`. On the CPU those that the
/// [pool](pool_memory) has given.
fn taken(device: Device, reset: bool) -> Result<(u64, u64)> {
    let (mut now, mut peak) = (0, 0);
    check(match device {
        Device::Cuda(index) => unsafe { regraft_device_taken(index as c_int, reset.into(), &mut now, &mut peak) },
        _ => unsafe { regraft_pool_taken(reset.into(), &mut now, &mut peak) },
    })?;
    Ok((now.max(0) as u64, peak.max(0) as u64))
}

/// Bytes that tensors take on a device now; on the CPU large ones from the [pool](pool_memory).
pub fn taken_memory(device: Device) -> Result<u64> {
    Ok(taken(device, false)?.0)
}

/// The most bytes that tensors have taken on a device so far, or since [`reset_peak`].
pub fn peak(device: Device) -> Result<u64> {
    Ok(taken(device, false)?.1)
}

/// Lets [`peak`] begin anew.
pub fn reset_peak(device: Device) -> Result<()> {
    taken(device, true).map(|_| ())
}

/// Bytes that are free on a CUDA device.
pub fn free_memory(cuda: usize) -> Result<u64> {
    let mut bytes = 0;
    check(unsafe { regraft_device_free(cuda as c_int, &mut bytes) })?;
    Ok(bytes.max(0) as u64)
}

/// What AdamW keeps for each parameter; all four lists have the same length and order.
#[derive(Debug)]
pub struct AdamWState<'a> {
    /// First moments, shaped like the parameters.
    pub first: &'a [Tensor],
    /// Second moments, shaped like the parameters.
    pub second: &'a [Tensor],
    /// Steps taken: 0-dimensional f32 tensors, advanced by the call.
    pub steps: &'a [Tensor],
}

/// AdamW's numbers for one group of parameters.
#[derive(Debug, Clone, Copy)]
pub struct AdamWRates {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first and of the second moment.
    pub betas: (f64, f64),
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Added to the denominator.
    pub eps: f64,
}

/// One AdamW step in libtorch's fused kernel.
pub fn fused_adamw(params: &[Tensor], grads: &[Tensor], state: AdamWState, rates: AdamWRates) -> Result<()> {
    let count = params.len();
    assert!(
        [grads.len(), state.first.len(), state.second.len(), state.steps.len()] == [count; 4],
        "lists of one length"
    );
    check(unsafe {
        regraft_fused_adamw(
            pointers(params).as_ptr(),
            pointers(grads).as_ptr(),
            pointers(state.first).as_ptr(),
            pointers(state.second).as_ptr(),
            pointers(state.steps).as_ptr(),
            count as i64,
            rates.lr,
            rates.betas.0,
            rates.betas.1,
            rates.weight_decay,
            rates.eps,
        )
    })
}

/// SGD's numbers for one group of parameters.
#[derive(Debug, Clone, Copy)]
pub struct SgdRates {
    /// Learning rate.
    pub lr: f64,
    /// Momentum; 0 keeps no buffers.
    pub momentum: f64,
    /// Weight decay, added to the gradient.
    pub weight_decay: f64,
    /// Whether to look ahead along the momentum.
    pub nesterov: bool,
}

/// One SGD step in libtorch's fused kernel; on the `first` step the buffers are set rather than averaged.
pub fn fused_sgd(params: &[Tensor], grads: &[Tensor], momenta: &[Tensor], rates: SgdRates, first: bool) -> Result<()> {
    let count = params.len();
    assert!(grads.len() == count && (rates.momentum == 0.0 || momenta.len() == count), "lists of one length");
    check(unsafe {
        regraft_fused_sgd(
            pointers(params).as_ptr(),
            pointers(grads).as_ptr(),
            pointers(momenta).as_ptr(),
            count as i64,
            rates.lr,
            rates.momentum,
            rates.weight_decay,
            rates.nesterov.into(),
            first.into(),
        )
    })
}

/// The 2-norm of all tensors together, as a 0-dimensional tensor on their device; zero for an empty list.
pub fn total_norm(tensors: &[Tensor]) -> Result<Tensor> {
    if tensors.is_empty() {
        return Ok(Tensor::from(0f32));
    }
    let mut out = std::ptr::null_mut();
    check(unsafe { regraft_foreach_norm(pointers(tensors).as_ptr(), tensors.len() as i64, &mut out) })?;
    Ok(unsafe { Tensor::from_ptr(out) })
}
