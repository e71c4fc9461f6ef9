//! Why CUDA can or cannot be used, and how to mend it: the most repeated question of everyone who builds on libtorch.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::native;

/// What has to be true before a network can run on a CUDA device, in the order in which it becomes true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CudaState {
    /// libtorch's folder holds `libtorch_cuda.so`; `None` where the loaded libraries cannot be listed.
    pub built: Option<bool>,
    /// Why `libtorch_cuda.so` could not be loaded.
    pub failure: Option<String>,
    /// libtorch has its CUDA part.
    pub loaded: bool,
    /// The kernel's side of the NVIDIA driver is there: `/dev/nvidiactl`.
    pub device_nodes: bool,
    /// The driver's library is there: `libcuda.so.1`.
    pub driver_library: Option<PathBuf>,
    /// The value of `CUDA_VISIBLE_DEVICES`.
    pub visible: Option<String>,
    /// The number of devices that libtorch can use.
    pub devices: usize,
}

/// What stands between the user and a working device, and what to do about it; each is one line.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Obstacle {
    /// What is wrong.
    pub what: String,
    /// How to mend it.
    pub mend: String,
}

impl CudaState {
    /// Looks at this process and this machine.
    pub fn probe() -> Self {
        let failure = load().err();
        let libraries = loaded_libraries();
        let built = library(&libraries).map(|library| library.exists());
        // libtorch remembers the first answer to this for good, so it is not asked before the library is there
        let loaded = find(&libraries, LIBRARY).is_some() && tch::utils::has_cudart();
        let devices = if loaded && tch::Cuda::is_available() { tch::Cuda::device_count().max(0) as usize } else { 0 };
        Self {
            built,
            failure,
            loaded,
            device_nodes: has_device_nodes(),
            driver_library: find_driver_library(&libraries),
            visible: std::env::var("CUDA_VISIBLE_DEVICES").ok(),
            devices,
        }
    }

    /// Why no CUDA device can be used; `None` when one can.
    pub fn obstacle(&self) -> Option<Obstacle> {
        let says = |what: &str, mend: &str| Some(Obstacle { what: what.into(), mend: mend.into() });
        if self.devices > 0 {
            None
        } else if self.built == Some(false) {
            says(
                "this libtorch was built without CUDA",
                "unset LIBTORCH and run `make setup`, or export LIBTORCH=/path/to/a/libtorch-2.11.0 built with CUDA, and build again",
            )
        } else if let Some(failure) = &self.failure {
            says(
                &format!("libtorch's CUDA part cannot be loaded: {failure}"),
                "run `make setup` again, or export LIBTORCH=/path/to/a/libtorch-2.11.0 that is whole, and build again",
            )
        } else if !self.device_nodes && self.driver_library.is_none() {
            says(
                "this machine has no NVIDIA driver",
                "install the driver of the GPU, or start the container with its GPUs (`--gpus all`)",
            )
        } else if !self.device_nodes {
            says(
                "the NVIDIA driver is installed but shows no device: there is no /dev/nvidiactl",
                "run `nvidia-smi`; load the kernel module (`modprobe nvidia`), or start the container with `--gpus all`",
            )
        } else if !self.loaded {
            says(
                "libtorch was used before its CUDA part was loaded",
                "let the program call `regraft::train::cuda::load()` first",
            )
        } else if self.driver_library.is_none() {
            says(
                "the GPU is there but the driver's library libcuda.so.1 is not found",
                "install the driver's user-space package of the same version, or add its folder to LD_LIBRARY_PATH",
            )
        } else if self
            .visible
            .as_deref()
            .is_some_and(|list| list.trim().is_empty() || list.trim_start().starts_with('-'))
        {
            says("CUDA_VISIBLE_DEVICES hides every device", "unset CUDA_VISIBLE_DEVICES")
        } else {
            says(
                "the driver is there but libtorch can use no device",
                "run `nvidia-smi`; the driver must be as new as libtorch's CUDA (version 580 or newer for CUDA 13)",
            )
        }
    }
}

const LIBRARY: &str = "libtorch_cuda.so";

/// Loads libtorch's CUDA part, if this machine has an NVIDIA driver and libtorch such a part; once for the process.
///
/// It is not linked, because loading it takes longer than everything else in a short command, and a third of a gigabyte.
/// Call it before anything else is asked of libtorch, which looks for CUDA only once; [`CudaState::probe`] calls it too.
///
/// # Errors
/// What the system says about the library, in one line.
pub fn load() -> Result<(), String> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    LOADED
        .get_or_init(|| {
            let libraries = loaded_libraries();
            let driver = has_device_nodes() || find_driver_library(&libraries).is_some();
            match library(&libraries).filter(|library| library.exists()) {
                Some(library) if driver => native::load_library(&library),
                _ => Ok(()),
            }
        })
        .clone()
}

/// Where libtorch's CUDA part is, if there is one.
fn library(libraries: &[PathBuf]) -> Option<PathBuf> {
    Some(libtorch_folder(libraries)?.join("lib").join(LIBRARY))
}

fn has_device_nodes() -> bool {
    Path::new("/dev/nvidiactl").exists() || Path::new("/dev/dxg").exists()
}

/// The files that are mapped into this process, sorted; empty where `/proc` does not exist.
pub fn loaded_libraries() -> Vec<PathBuf> {
    parse_maps(&std::fs::read_to_string("/proc/self/maps").unwrap_or_default())
}

/// The folder of the libtorch that is loaded: the parent of the `lib` folder that `libtorch_cpu.so` came from.
pub fn libtorch_folder(libraries: &[PathBuf]) -> Option<PathBuf> {
    let library = find(libraries, "libtorch_cpu.so")?;
    Some(library.parent()?.parent()?.to_path_buf())
}

/// The loaded library whose file name is `name`, or `name` followed by a version.
pub fn find<'a>(libraries: &'a [PathBuf], name: &str) -> Option<&'a Path> {
    let is = |file: &str| file.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    libraries.iter().map(PathBuf::as_path).find(|path| path.file_name().and_then(|f| f.to_str()).is_some_and(is))
}

/// The shared libraries named in the text of `/proc/PID/maps`: its sixth column, which may hold spaces.
fn parse_maps(text: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let start = line.find('/')?;
        let path = line[start..].trim_end_matches(" (deleted)");
        path.contains(".so").then(|| PathBuf::from(path))
    };
    text.lines().filter_map(path).collect::<BTreeSet<_>>().into_iter().collect()
}

fn find_driver_library(loaded: &[PathBuf]) -> Option<PathBuf> {
    const FOLDERS: [&str; 8] = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
        "/usr/local/nvidia/lib64",
        "/usr/local/cuda/compat",
        "/usr/lib/wsl/lib",
        "/run/opengl-driver/lib",
    ];
    if let Some(path) = find(loaded, "libcuda.so") {
        return Some(path.to_path_buf());
    }
    let from_environment = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    std::env::split_paths(&from_environment)
        .filter(|folder| !folder.as_os_str().is_empty())
        .chain(FOLDERS.map(PathBuf::from))
        .map(|folder| folder.join("libcuda.so.1"))
        .find(|file| file.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
55d0-55d1 r--p 00000000 08:01 11 /opt/regraft
7f10-7f20 r-xp 00000000 08:01 12                  /opt/my torch/lib/libtorch_cpu.so
7f20-7f30 rw-p 00010000 08:01 12                  /opt/my torch/lib/libtorch_cpu.so
7f30-7f40 r-xp 00000000 08:01 13                  /opt/my torch/lib/libc10.so (deleted)
7f40-7f50 r-xp 00000000 08:01 14                  /usr/lib/libcudart.so.13
7ffd-7ffe rw-p 00000000 00:00 0                   [stack]
7fff-7fff rw-p 00000000 00:00 0
";

    fn good() -> CudaState {
        CudaState {
            built: Some(true),
            failure: None,
            loaded: true,
            device_nodes: true,
            driver_library: Some("/usr/lib/libcuda.so.1".into()),
            visible: None,
            devices: 1,
        }
    }

    #[test]
    fn maps_name_each_library_once_with_the_spaces_of_its_path() {
        let libraries = parse_maps(MAPS);
        let names: Vec<_> = libraries.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(
            names,
            ["/opt/my torch/lib/libc10.so", "/opt/my torch/lib/libtorch_cpu.so", "/usr/lib/libcudart.so.13"]
        );
        assert_eq!(libtorch_folder(&libraries), Some(PathBuf::from("/opt/my torch")));
        assert_eq!(find(&libraries, "libcudart.so"), Some(Path::new("/usr/lib/libcudart.so.13")));
        assert_eq!(find(&libraries, "libcuda.so"), None);
    }

    #[test]
    fn this_process_has_libtorch_loaded() {
        tch::manual_seed(0);
        let folder = libtorch_folder(&loaded_libraries()).expect("libtorch_cpu.so is mapped");
        assert!(folder.join("lib/libtorch_cpu.so").exists());
    }

    #[test]
    fn every_missing_piece_is_a_different_obstacle() {
        assert_eq!(good().obstacle(), None);
        let none = |change: fn(&mut CudaState)| {
            let mut state = CudaState { devices: 0, ..good() };
            change(&mut state);
            state.obstacle().expect("no device, so there is an obstacle")
        };
        let obstacles = [
            none(|s| (s.built, s.loaded) = (Some(false), false)),
            none(|s| (s.failure, s.loaded) = (Some("no such symbol".into()), false)),
            none(|s| s.loaded = false),
            none(|s| (s.device_nodes, s.driver_library) = (false, None)),
            none(|s| s.device_nodes = false),
            none(|s| s.driver_library = None),
            none(|s| s.visible = Some(String::new())),
            none(|_| ()),
        ];
        let kinds: BTreeSet<_> = obstacles.iter().map(|obstacle| &obstacle.what).collect();
        assert_eq!(kinds.len(), obstacles.len());
        assert!(obstacles.iter().all(|o| !o.mend.contains('\n') && !o.what.contains('\n')));
        assert_eq!(none(|s| s.visible = Some("-1".into())), obstacles[6]);
        assert_eq!(none(|s| s.visible = Some("0".into())), obstacles[7]);
    }
}
