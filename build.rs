//! Finds the libtorch that `torch-sys` found, compiles the C++ shim in `src/native` against it, and sees to it that
//! whatever is linked from this package finds the same libtorch when it runs.

use std::path::{Path, PathBuf};

/// The one libtorch that tch 0.24 is made for.
const TORCH_VERSION: &str = "2.11.0";

fn main() {
    // Set by torch-sys, and only for packages that depend on it directly.
    let lib = PathBuf::from(std::env::var("DEP_TCH_LIBTORCH_LIB").expect("torch-sys did not say where libtorch lies"));
    let lib = lib.canonicalize().unwrap_or(lib);
    let root = lib.parent().expect("libtorch's lib folder has a parent").to_path_buf();
    let version = version_of(&root);
    if let Some(version) = version.as_deref().filter(|found| !found.starts_with(TORCH_VERSION)) {
        panic!(
            "libtorch {version} lies in {}; regraft needs {TORCH_VERSION}. Export LIBTORCH=/path/to/libtorch-{TORCH_VERSION}, \
             or unset it and run `make setup`",
            root.display()
        );
    }
    compile_shim(&root.join("include"));
    compile_kernels();

    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
    // libtorch_cuda.so is not linked: `train::cuda` loads it on a machine with an NVIDIA driver.
    println!("cargo:rustc-link-search=native={}", lib.display());
    println!("cargo:rustc-env=REGRAFT_LIBTORCH_VERSION={}", version.as_deref().unwrap_or("unknown"));
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
}

fn compile_shim(include: &Path) {
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").warnings(false).flag("-Wall").flag("-O1");
    build.flag("-isystem").flag(include).flag("-isystem").flag(include.join("torch/csrc/api/include"));
    build.file("src/native/shim.cpp").compile("regraft_shim");
    // what it includes is beside it, and that of the kernels below
    for entry in std::fs::read_dir("src/native").expect("the package has this folder").flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "cpp" || extension == "h") {
            println!("cargo:rerun-if-changed={}", entry.path().display());
        }
    }
}

const AVX2: [&str; 2] = ["-mavx2", "-mfma"];
const AVX512: [&str; 6] = ["-mavx2", "-mfma", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"];

/// Loops that vector instructions make fast: once for every kind of processor that libtorch tells apart.
fn compile_kernels() {
    let levels: &[(&str, &[&str])] = match std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("x86_64") => &[("base", &[]), ("avx2", &AVX2), ("avx512", &AVX512)],
        _ => &[("base", &[])],
    };
    for file in ["norm.cpp", "norm.h"] {
        println!("cargo:rerun-if-changed=src/native/kernels/{file}");
    }
    for (level, flags) in levels {
        let mut build = cc::Build::new();
        build
            .cpp(true)
            .std("c++17")
            .warnings(false)
            .flag("-Wall")
            .opt_level(3)
            .flag("-fno-trapping-math")
            .flag("-fno-math-errno");
        build.flags(*flags);
        build.define("REGRAFT_KERNELS", format!("kernels_{level}").as_str()).file("src/native/kernels/norm.cpp");
        build.compile(&format!("regraft_kernels_{level}"));
    }
}

/// `2.11.0+cu130` out of the archive's `build-version`, or of a Python wheel's `version.py`.
fn version_of(root: &Path) -> Option<String> {
    if let Ok(text) = std::fs::read_to_string(root.join("build-version")) {
        return Some(text.trim().to_string());
    }
    let text = std::fs::read_to_string(root.join("version.py")).ok()?;
    let line = text.lines().find(|line| line.starts_with("__version__"))?;
    line.split(['\'', '"']).nth(1).map(str::to_string)
}
