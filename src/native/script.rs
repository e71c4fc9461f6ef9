//! TorchScript modules: what the C++ shim does with them, without interpretation.

use std::ffi::{CString, c_char, c_int};
use std::path::Path;

use tch::{Device, Tensor};
use torch_sys::C_tensor;

use super::{c_path, c_string, check, index, pointers, text};
use crate::Result;

#[repr(C)]
struct Handle {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    fn regraft_script_load(
        path: *const c_char,
        device: c_int,
        extra: *const c_char,
        out: *mut *mut Handle,
        text: *mut *mut c_char,
    ) -> c_int;
    fn regraft_script_free(script: *mut Handle);
    fn regraft_script_list(script: *const Handle, text: *mut *mut c_char) -> c_int;
    fn regraft_script_analyse(script: *mut Handle, wanted: *const c_char, text: *mut *mut c_char) -> c_int;
    fn regraft_script_tensor(script: *const Handle, name: *const c_char, out: *mut *mut C_tensor) -> c_int;
    fn regraft_script_train(script: *mut Handle, paths: *const *const c_char, count: i64) -> c_int;
    fn regraft_script_features(script: *mut Handle, x: *const C_tensor, out: *mut *mut C_tensor) -> c_int;
    fn regraft_script_forward(script: *mut Handle, x: *const C_tensor, out: *mut *mut C_tensor) -> c_int;
    fn regraft_script_save(
        script: *const Handle,
        path: *const c_char,
        names: *const *const c_char,
        tensors: *const *const C_tensor,
        count: i64,
        extra: *const c_char,
        text: *const c_char,
    ) -> c_int;
    fn regraft_trace_begin(
        class: *const c_char,
        names: *const *const c_char,
        tensors: *const *const C_tensor,
        learn: *const c_int,
        count: i64,
        x: *const C_tensor,
        out: *mut *mut Handle,
    ) -> c_int;
    fn regraft_trace_end(script: *mut Handle, output: *const C_tensor) -> c_int;
    fn regraft_trace_abandon();
}

/// A TorchScript module in memory.
#[derive(Debug)]
pub struct Script {
    handle: *mut Handle,
}

// The module belongs to this value alone, and libtorch keeps nothing of it per thread.
unsafe impl Send for Script {}

impl Drop for Script {
    fn drop(&mut self) {
        unsafe { regraft_script_free(self.handle) };
    }
}

/// Owns the names for as long as C++ reads them.
struct Names {
    _owned: Vec<CString>,
    pointers: Vec<*const c_char>,
}

fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Names> {
    let owned = names.into_iter().map(c_string).collect::<Result<Vec<_>>>()?;
    let pointers = owned.iter().map(|name| name.as_ptr()).collect();
    Ok(Names { _owned: owned, pointers })
}

fn tensor(fill: impl FnOnce(*mut *mut C_tensor) -> c_int) -> Result<Tensor> {
    let mut out = std::ptr::null_mut();
    check(fill(&mut out))?;
    Ok(unsafe { Tensor::from_ptr(out) })
}

impl Script {
    /// Reads a file of `torch.jit.save`, and the text `extra` in it, empty where there is none.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn load(path: &Path, device: Device, extra: &str) -> Result<(Self, String)> {
        let (path, extra) = (c_path(path)?, c_string(extra)?);
        let mut handle = std::ptr::null_mut();
        let found = text(|text| unsafe {
            regraft_script_load(path.as_ptr(), index(device), extra.as_ptr(), &mut handle, text)
        })?;
        Ok((Self { handle }, found))
    }

    /// A line per module and tensor; see `regraft_script_list` in the shim.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn list(&self) -> Result<String> {
        text(|text| unsafe { regraft_script_list(self.handle, text) })
    }

    /// Finds the head, or takes the layer `wanted` for it, and prepares [`Script::features`]; a line per finding, see
    /// `regraft_script_analyse` in the shim.
    ///
    /// # Errors
    /// A module that is no classifier of images, with what it is instead.
    pub fn analyse(&mut self, wanted: Option<&str>) -> Result<String> {
        let wanted = wanted.map(c_string).transpose()?;
        let wanted = wanted.as_ref().map_or(std::ptr::null(), |wanted| wanted.as_ptr());
        text(|text| unsafe { regraft_script_analyse(self.handle, wanted, text) })
    }

    /// The parameter or buffer of that dotted name, sharing its values with the module.
    ///
    /// # Errors
    /// A name that is not there.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        let name = c_string(name)?;
        tensor(|out| unsafe { regraft_script_tensor(self.handle, name.as_ptr(), out) })
    }

    /// Lets exactly the modules at these paths train.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn train<'a>(&self, paths: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let paths = names(paths)?;
        check(unsafe { regraft_script_train(self.handle, paths.pointers.as_ptr(), paths.pointers.len() as i64) })
    }

    /// What the head is given for a batch.
    ///
    /// # Shapes
    /// `x: [N, 3, H, W]` → as the module has it, usually `[N, features]`
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn features(&self, x: &Tensor) -> Result<Tensor> {
        tensor(|out| unsafe { regraft_script_features(self.handle, x.as_ptr(), out) })
    }

    /// What the module itself answers, with its own head.
    ///
    /// # Shapes
    /// `x: [N, 3, H, W]` → `[N, classes]`
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        tensor(|out| unsafe { regraft_script_forward(self.handle, x.as_ptr(), out) })
    }

    /// Writes the module to `path` as `torch.jit.save` does, with `replaced` tensors instead of its own and `text` as the
    /// file `extra` in the archive; all on the CPU and in evaluation mode.
    ///
    /// # Errors
    /// A full disk, or a name that is not there.
    pub fn save(&self, path: &Path, replaced: &[(String, Tensor)], extra: &str, text: &str) -> Result<()> {
        let (path, extra, text) = (c_path(path)?, c_string(extra)?, c_string(text)?);
        let keys = names(replaced.iter().map(|(name, _)| name.as_str()))?;
        let tensors: Vec<_> = replaced.iter().map(|(_, tensor)| tensor.as_ptr()).collect();
        check(unsafe {
            regraft_script_save(
                self.handle,
                path.as_ptr(),
                keys.pointers.as_ptr(),
                tensors.as_ptr(),
                tensors.len() as i64,
                extra.as_ptr(),
                text.as_ptr(),
            )
        })
    }

    /// Writes down what `function` computes from `x` as a module of class `class` that holds `tensors` (name, tensor,
    /// whether it learns).
    ///
    /// # Errors
    /// What `function` answers, or what libtorch cannot write down.
    pub fn trace(
        class: &str,
        tensors: &[(&str, Tensor, bool)],
        x: &Tensor,
        function: impl FnOnce(&Tensor) -> Result<Tensor>,
    ) -> Result<Self> {
        let class = c_string(class)?;
        let keys = names(tensors.iter().map(|(name, ..)| *name))?;
        let values: Vec<Tensor> = tensors.iter().map(|(_, tensor, _)| tensor.shallow_clone()).collect();
        let learn: Vec<c_int> = tensors.iter().map(|(.., learns)| c_int::from(*learns)).collect();
        let mut handle = std::ptr::null_mut();
        check(unsafe {
            regraft_trace_begin(
                class.as_ptr(),
                keys.pointers.as_ptr(),
                pointers(&values).as_ptr(),
                learn.as_ptr(),
                learn.len() as i64,
                x.as_ptr(),
                &mut handle,
            )
        })?;
        let script = Self { handle };
        let _tracing = Tracing;
        let output = function(x)?;
        check(unsafe { regraft_trace_end(script.handle, output.as_ptr()) })?;
        Ok(script)
    }
}

/// Ends the trace of this thread, however its making ends.
struct Tracing;

impl Drop for Tracing {
    fn drop(&mut self) {
        unsafe { regraft_trace_abandon() };
    }
}
