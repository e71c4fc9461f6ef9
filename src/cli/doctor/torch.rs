//! What libtorch says about itself: its version, its libraries, its threads.

use std::path::PathBuf;

use serde::Serialize;

use super::Problem;
use crate::train::cuda::{libtorch_folder, loaded_libraries};

/// The libtorch this process runs on.
#[derive(Debug, Serialize)]
pub(super) struct Torch {
    /// The version that is loaded, as in `2.11.0`.
    pub version: Option<String>,
    /// The version this program was compiled against.
    pub built_against: &'static str,
    /// The folder whose `lib` is loaded.
    pub folder: Option<PathBuf>,
    /// The CUDA version it was built with.
    pub cuda: Option<String>,
    /// The cuDNN version it was built with.
    pub cudnn: Option<String>,
    /// Its BLAS: `mkl`, `open`, …
    pub blas: Option<String>,
    /// The MKL it was linked with.
    pub mkl: Option<String>,
    /// The oneDNN it was linked with: convolutions and bf16 on the CPU.
    pub onednn: Option<String>,
    /// The instruction set its own kernels use, as in `AVX512`.
    pub capability: Option<String>,
    /// What runs its parallel loops, as in `OpenMP`.
    pub parallel: Option<String>,
    /// Threads inside one operation.
    pub threads: usize,
    /// Threads between operations.
    pub interop_threads: usize,
}

impl Torch {
    pub(super) fn probe() -> Self {
        let text = crate::native::build_report();
        Self {
            folder: libtorch_folder(&loaded_libraries()),
            threads: tch::get_num_threads().max(0) as usize,
            interop_threads: tch::get_num_interop_threads().max(0) as usize,
            ..Self::from_build_report(&text)
        }
    }

    /// The part that libtorch prints.
    fn from_build_report(text: &str) -> Self {
        let setting = |name: &str| {
            let key = format!("{name}=");
            let fields = text.lines().filter_map(|line| line.trim().strip_prefix("- Build settings:"));
            let value = fields.flat_map(|line| line.split(',')).find_map(|field| field.trim().strip_prefix(&key));
            value.filter(|value| !value.is_empty()).map(str::to_string)
        };
        let after = |mark: &str| {
            let value = text.lines().find_map(|line| line.split_once(mark))?.1;
            let value = value.split(['(', '-']).next().unwrap_or(value).trim();
            (!value.is_empty()).then(|| value.to_string())
        };
        Self {
            version: setting("TORCH_VERSION"),
            built_against: env!("REGRAFT_LIBTORCH_VERSION"),
            folder: None,
            cuda: setting("CUDA_VERSION"),
            cudnn: setting("CUDNN_VERSION"),
            blas: setting("BLAS_INFO"),
            mkl: after("Math Kernel Library Version "),
            onednn: after("MKL-DNN v").or_else(|| after("oneDNN v")),
            capability: after("CPU capability usage: ").or_else(|| after("CPU capability: ")),
            parallel: after("ATen parallel backend: "),
            threads: 0,
            interop_threads: 0,
        }
    }

    /// What is wrong with this libtorch, on a machine with so many cores.
    pub(super) fn problems(&self, cores: usize, exported: Option<PathBuf>) -> Vec<Problem> {
        let mut problems = Vec::new();
        let release = |version: &str| version.split('+').next().unwrap_or_default().to_string();
        let built_against = Some(self.built_against).filter(|version| *version != "unknown");
        if let (Some(loaded), Some(built)) = (&self.version, built_against)
            && release(loaded) != release(built)
        {
            problems.push(Problem::new(
                format!("libtorch {loaded} is loaded, but regraft was built against {built}"),
                "take other versions out of LD_LIBRARY_PATH, or run `cargo clean -p torch-sys` and build again",
            ));
        }
        let exported = exported.and_then(|folder| folder.canonicalize().ok());
        let loaded = self.folder.as_ref().and_then(|folder| folder.canonicalize().ok());
        if let (Some(exported), Some(loaded)) = (exported, loaded)
            && exported != loaded
        {
            problems.push(Problem::new(
                format!("LIBTORCH names {}, but libtorch was loaded from {}", exported.display(), loaded.display()),
                "build again in this shell, or unset LIBTORCH",
            ));
        }
        if self.threads == 1 && cores > 1 {
            problems.push(Problem::new(
                format!("libtorch computes on 1 of {cores} cores"),
                "unset OMP_NUM_THREADS and MKL_NUM_THREADS, or set them to the number of cores",
            ));
        } else if self.threads > cores {
            problems.push(Problem::new(
                format!(
                    "libtorch computes with {} threads on {cores} cores, which is slower than {cores}",
                    self.threads
                ),
                format!("export OMP_NUM_THREADS={cores}"),
            ));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "\
PyTorch built with:
  - GCC 13.3
  - Intel(R) oneAPI Math Kernel Library Version 2024.2-Product Build 20240605 for Intel(R) 64 architecture
  - Intel(R) MKL-DNN v3.10.2 (Git Hash f1d471)
  - CPU capability usage: AVX512
  - Build settings: BLAS_INFO=mkl, CUDA_VERSION=13.0, CUDNN_VERSION=9.19.0, CXX_FLAGS= -O2 -DX=1, TORCH_VERSION=2.11.0, 
ATen parallel backend: OpenMP
";

    #[test]
    fn the_build_report_is_read() {
        let torch = Torch::from_build_report(REPORT);
        assert_eq!(torch.version.as_deref(), Some("2.11.0"));
        assert_eq!(torch.cuda.as_deref(), Some("13.0"));
        assert_eq!(torch.cudnn.as_deref(), Some("9.19.0"));
        assert_eq!(torch.blas.as_deref(), Some("mkl"));
        assert_eq!(torch.mkl.as_deref(), Some("2024.2"));
        assert_eq!(torch.onednn.as_deref(), Some("3.10.2"));
        assert_eq!(torch.capability.as_deref(), Some("AVX512"));
        assert_eq!(torch.parallel.as_deref(), Some("OpenMP"));
        assert_eq!(Torch::from_build_report("").version, None);
    }

    #[test]
    fn the_loaded_libtorch_is_the_one_it_was_built_against() {
        let torch = Torch::probe();
        assert!(torch.version.is_some() && torch.folder.is_some() && torch.threads > 0, "{torch:?}");
        assert_eq!(torch.problems(torch.threads, torch.folder.clone()), []);
    }

    #[test]
    fn wrong_versions_folders_and_threads_are_problems() {
        let mut torch = Torch::from_build_report(REPORT);
        torch.threads = 4;
        torch.built_against = "2.11.0+cu130";
        assert_eq!(torch.problems(4, None), []);
        assert!(torch.problems(2, None)[0].mend.contains("OMP_NUM_THREADS=2"));
        torch.threads = 1;
        assert_eq!(torch.problems(1, None), []);
        assert!(torch.problems(8, None)[0].what.contains("1 of 8"));
        torch.built_against = "2.10.0";
        assert!(torch.problems(1, None)[0].what.contains("2.10.0"));
        torch.built_against = "unknown";
        torch.folder = Some(std::env::temp_dir());
        assert!(torch.problems(1, Some("/".into()))[0].what.contains("LIBTORCH names /,"));
    }
}
