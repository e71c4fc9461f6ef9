//! Batches on their way to a CUDA device: upload.cpp.

use std::ffi::{c_int, c_void};

use tch::{Device, Tensor};
use torch_sys::C_tensor;

use super::check;
use crate::{Error, Result};

unsafe extern "C" {
    fn regraft_empty_pinned(size: *const i64, dimensions: i64, out: *mut *mut C_tensor) -> c_int;
    fn regraft_upload_begin(x: *const C_tensor, device: c_int, out: *mut *mut c_void) -> c_int;
    fn regraft_upload_end(begun: *mut c_void, out: *mut *mut C_tensor) -> c_int;
    fn regraft_upload_free(begun: *mut c_void);
}

/// A new tensor of bytes on the CPU that a CUDA device reads by itself; what is in it is left to chance.
///
/// # Shapes
/// `size` → `[size…] u8`
pub fn empty_pinned(size: &[i64]) -> Result<Tensor> {
    let mut out = std::ptr::null_mut();
    check(unsafe { regraft_empty_pinned(size.as_ptr(), size.len() as i64, &mut out) })?;
    Ok(unsafe { Tensor::from_ptr(out) })
}

/// `x` on `device`. Unlike tch's `to_device` this does not make the host wait for what a CUDA device is computing.
///
/// # Shapes
/// As `x`, on the CPU
pub fn send(x: &Tensor, device: Device) -> Result<Tensor> {
    match device {
        Device::Cuda(_) if x.device() == Device::Cpu => Upload::begin(x, device)?.end(),
        _ => Ok(x.f_to_device(device)?),
    }
}

/// A copy to a CUDA device that has begun, on a stream of its own.
#[derive(Debug)]
pub struct Upload(*mut c_void);

impl Upload {
    /// Begins to copy `x`, best out of [pinned](empty_pinned) memory: from other memory it is copied there first.
    pub fn begin(x: &Tensor, device: Device) -> Result<Self> {
        let Device::Cuda(index) = device else {
            return Err(Error::Device(format!("batches are uploaded to CUDA devices, not to {device:?}")));
        };
        let mut begun = std::ptr::null_mut();
        check(unsafe { regraft_upload_begin(x.as_ptr(), index as c_int, &mut begun) })?;
        Ok(Self(begun))
    }

    /// The tensor on the device. What is computed from it waits for the copy, the host does not.
    pub fn end(mut self) -> Result<Tensor> {
        let begun = std::mem::replace(&mut self.0, std::ptr::null_mut());
        let mut out = std::ptr::null_mut();
        check(unsafe { regraft_upload_end(begun, &mut out) })?;
        Ok(unsafe { Tensor::from_ptr(out) })
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        unsafe { regraft_upload_free(self.0) };
    }
}
