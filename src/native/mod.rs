//! The door to libtorch behind tch: precision, memory layout, fused optimizers, memory statistics, TorchScript.
//!
//! This is the only module with `unsafe` code. Every C++ function catches its exceptions and leaves a message,
//! which becomes an [`Error`].
#![allow(unsafe_code)]

mod script;

use std::ffi::{CStr, c_char, c_int};
use std::fs::File;
use std::os::fd::AsRawFd;

use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

pub use script::Script;

use crate::error::without_backtrace;
use crate::{Error, Result};

unsafe extern "C" {
    fn regraft_last_error() -> *const c_char;
    fn regraft_build_report() -> *const c_char;
    fn regraft_autocast_begin(device: c_int, kind: c_int, was_enabled: *mut c_int, was_kind: *mut c_int) -> c_int;
    fn regraft_autocast_end(device: c_int, was_enabled: c_int, was_kind: c_int) -> c_int;
    fn regraft_to_channels_last(x: *const C_tensor, out: *mut *mut C_tensor) -> c_int;
    fn regraft_is_channels_last(x: *const C_tensor, out: *mut c_int) -> c_int;
    fn regraft_set_data(x: *mut C_tensor, data: *const C_tensor) -> c_int;
    fn regraft_set_deterministic(on: c_int) -> c_int;
    fn regraft_set_tf32(on: c_int) -> c_int;
    fn regraft_peak_memory(device: c_int, bytes: *mut i64) -> c_int;
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

fn pointers(tensors: &[Tensor]) -> Vec<*const C_tensor> {
    tensors.iter().map(Tensor::as_ptr).collect()
}

fn index(device: Device) -> c_int {
    match device {
        Device::Cuda(n) => n as c_int,
        _ => -1,
    }
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

/// Copies `bytes` into the memory of `x`, from its byte `offset` on; unlike tch's own ways to fill a tensor this does not
/// clear the memory first, starts no threads, and fills a tensor piece by piece.
///
/// # Shapes
/// `x: [...] u8`, contiguous, on the CPU
pub fn write_bytes(x: &Tensor, offset: usize, bytes: &[u8]) -> Result<()> {
    let fits = offset.checked_add(bytes.len()).is_some_and(|end| end <= x.numel());
    if !fits || x.kind() != Kind::Uint8 || x.device() != Device::Cpu || !x.is_contiguous() {
        return Err(Error::Torch(format!(
            "cannot write {} bytes at {offset} into {x:?}, expected a contiguous u8 tensor on the CPU that holds them",
            bytes.len()
        )));
    }
    // The checks above make the target valid; a slice that is being read cannot be memory that libtorch owns.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), x.data_ptr().cast::<u8>().add(offset), bytes.len()) };
    Ok(())
}

/// A new CPU tensor whose memory `fill` is handed as bytes, so that what is read from a file need not be copied.
///
/// # Shapes
/// `size` → `[size…]` of `kind`, zero where `fill` writes nothing
pub fn filled(size: &[i64], kind: Kind, fill: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<Tensor> {
    let tensor = Tensor::f_empty(size, (kind, Device::Cpu))?;
    match tensor.numel() * kind.elt_size_in_bytes() {
        0 => fill(&mut [])?,
        bytes => {
            let memory = tensor.data_ptr().cast::<u8>();
            // A fresh tensor is contiguous and nothing else refers to its memory while `fill` runs. Zeroing it here
            // rather than with libtorch keeps its threads, which wait for busy cores, out of reading a file.
            fill(unsafe {
                memory.write_bytes(0, bytes);
                std::slice::from_raw_parts_mut(memory, bytes)
            })?;
        }
    }
    Ok(tensor)
}

/// How much is read from a file at a time: what is in the processor's cache when it is looked at.
const PIECE: usize = 1 << 18;

/// A new CPU tensor of the bytes that `file` has from `offset` on, and `seen` is shown in turn as they come. The memory
/// is written once, by the operating system, and nothing is cleared before.
///
/// # Shapes
/// `size` → `[size…]` of `kind`
pub fn read_at(file: &File, offset: u64, size: &[i64], kind: Kind, mut seen: impl FnMut(&[u8])) -> Result<Tensor> {
    let cannot = |error: std::io::Error| Error::Model(format!("cannot read: {error}"));
    let tensor = Tensor::f_empty(size, (kind, Device::Cpu))?;
    let bytes = tensor.numel() * kind.elt_size_in_bytes();
    let end = offset.checked_add(bytes as u64).and_then(|end| libc::off_t::try_from(end).ok());
    end.ok_or_else(|| cannot(std::io::ErrorKind::FileTooLarge.into()))?;
    let mut done = 0;
    while done < bytes {
        let piece = PIECE.min(bytes - done);
        // A fresh tensor is contiguous and holds `bytes` bytes; no reference to them exists before they are written.
        let read = unsafe {
            let memory = tensor.data_ptr().cast::<u8>().add(done);
            let at = (offset + done as u64) as libc::off_t;
            match libc::pread(file.as_raw_fd(), memory.cast(), piece, at) {
                read @ 1.. => std::slice::from_raw_parts(memory, read as usize),
                0 => return Err(cannot(std::io::ErrorKind::UnexpectedEof.into())),
                _ => match std::io::Error::last_os_error() {
                    error if error.kind() == std::io::ErrorKind::Interrupted => &[],
                    error => return Err(cannot(error)),
                },
            }
        };
        seen(read);
        done += read.len();
    }
    Ok(tensor)
}

/// The first `length` bytes of `file` as they lie in the operating system's cache: nothing is read before it is touched, and
/// what is written stays in this process. The file must not be cut shorter while the tensor lives; one that is replaced
/// (renamed over) may.
///
/// # Shapes
/// → `[length] u8`
pub fn map(file: &File, length: u64) -> Result<Tensor> {
    // libtorch opens files by name; this is the name of one that is open, whatever has become of its own
    let name = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(Tensor::f_from_file(&name, false, length as i64, (Kind::Uint8, Device::Cpu))?)
}

/// Asks libtorch for deterministic kernels; where there is none it warns on standard error.
pub fn set_deterministic(on: bool) -> Result<()> {
    check(unsafe { regraft_set_deterministic(on.into()) })
}

/// Lets CUDA use TF32 in matrix products and convolutions of f32.
pub fn set_tf32(on: bool) -> Result<()> {
    check(unsafe { regraft_set_tf32(on.into()) })
}

/// The most memory that tensors have taken on a CUDA device so far, in bytes.
pub fn peak_memory(cuda: usize) -> Result<u64> {
    let mut bytes = 0;
    check(unsafe { regraft_peak_memory(cuda as c_int, &mut bytes) })?;
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
