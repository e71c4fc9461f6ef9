//! libtorch's profiler.

use std::ffi::{c_char, c_int, c_void};
use std::marker::PhantomData;
use std::path::Path;

use tch::Device;

use super::{c_path, c_string, check, text};
use crate::{Error, Result};

unsafe extern "C" {
    fn regraft_profile_begin(cuda: c_int) -> c_int;
    fn regraft_profile_end(path: *const c_char, text: *mut *mut c_char) -> c_int;
    fn regraft_range_begin(name: *const c_char) -> *mut c_void;
    fn regraft_range_end(range: *mut c_void);
}

/// What this thread does is recorded as long as this lives.
#[derive(Debug)]
pub struct Profile {
    /// The profiler belongs to the thread that began it.
    _thread: PhantomData<*const ()>,
}

/// Something that took time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// An operator, a kernel, or the name of a [`Range`].
    pub name: String,
    /// When it began, in nanoseconds since some moment.
    pub start: u64,
    /// When it ended.
    pub end: u64,
    /// Which thread it ran on; means nothing where it ran on the device.
    pub thread: u64,
    /// Whether it ran on the accelerator.
    pub on_device: bool,
}

impl Profile {
    /// Begins to record; kernels too if `device` is an accelerator.
    ///
    /// # Errors
    /// What libtorch refuses, as a second profile at the same time.
    pub fn begin(device: Device) -> Result<Self> {
        check(unsafe { regraft_profile_begin(device.is_cuda().into()) })?;
        Ok(Self { _thread: PhantomData })
    }

    /// Stops, and writes what was recorded to `path`, as JSON that chrome://tracing and TensorBoard read.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn end(self, path: &Path) -> Result<Vec<Recorded>> {
        let file = c_path(path)?;
        std::mem::forget(self);
        let lines = text(|text| unsafe { regraft_profile_end(file.as_ptr(), text) })?;
        // libtorch logs that it could not write, and goes on
        std::fs::metadata(path).map_err(Error::io(path, "cannot write the trace"))?;
        lines.lines().map(|line| parse(line).ok_or_else(|| Error::Torch(format!("not an event: {line:?}")))).collect()
    }
}

impl Drop for Profile {
    /// What was recorded so far is of no use to anyone.
    fn drop(&mut self) {
        let _thrown_away = text(|text| unsafe { regraft_profile_end(std::ptr::null(), text) });
    }
}

fn parse(line: &str) -> Option<Recorded> {
    // names may hold anything, even tabs
    let mut fields = line.rsplitn(5, '\t');
    let on_device = fields.next()? == "1";
    let thread = fields.next()?.parse().ok()?;
    let end = fields.next()?.parse().ok()?;
    let start = fields.next()?.parse().ok()?;
    Some(Recorded { name: fields.next()?.to_string(), start, end, thread, on_device })
}

/// A named range of the trace, from its making to its end; nothing where no profile is being made.
#[derive(Debug)]
pub struct Range(*mut c_void);

impl Range {
    /// Begins a range.
    pub fn begin(name: &str) -> Self {
        Self(c_string(name).map_or(std::ptr::null_mut(), |name| unsafe { regraft_range_begin(name.as_ptr()) }))
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        unsafe { regraft_range_end(self.0) };
    }
}
