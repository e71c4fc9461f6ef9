//! `result.json`: the outcome of a run in numbers, and what is needed to compare it with another.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tch::Device;

use crate::{Result, native};

/// The outcome of a finished run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// The command that ran, as in `finetune`.
    pub method: String,
    /// What was measured, by name; finite numbers.
    pub metrics: BTreeMap<String, f64>,
    /// Epochs trained.
    pub epochs: u64,
    /// Optimizer steps taken.
    pub steps: u64,
    /// Wall time, over all resumptions.
    pub seconds: f64,
    /// Training images over training time.
    pub images_per_second: f64,
    /// See [`peak_memory_bytes`]; absent where the system does not tell.
    pub peak_memory_bytes: Option<u64>,
    /// The seed that fixes the run.
    pub seed: u64,
    /// Where it ran, as in `cpu` or `cuda:0`.
    pub device: String,
    /// In which precision, as in `fp32`.
    pub precision: String,
    /// What it ran on.
    pub versions: Versions,
}

/// Versions of what determines the numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// This crate.
    pub regraft: String,
    /// The libtorch that was linked.
    pub libtorch: String,
    /// The binding to it.
    pub tch: String,
}

impl Versions {
    /// The versions of this program.
    pub fn current() -> Self {
        let [regraft, libtorch] = [env!("CARGO_PKG_VERSION"), env!("REGRAFT_LIBTORCH_VERSION")];
        Self { regraft: regraft.into(), libtorch: libtorch.into(), tch: "0.24.0".into() }
    }
}

/// The most memory this process has taken so far, in bytes: on CUDA what tensors took on the device, on the CPU the peak
/// resident set of the whole process (`VmHWM` in `/proc/self/status`), which counts the program and its libraries too.
/// `None` where the system keeps no such number.
///
/// # Errors
/// libtorch cannot tell for the CUDA device.
pub fn peak_memory_bytes(device: Device) -> Result<Option<u64>> {
    match device {
        Device::Cuda(_) => native::peak(device).map(Some),
        _ => Ok(std::fs::read_to_string("/proc/self/status").ok().as_deref().and_then(high_water_mark)),
    }
}

fn high_water_mark(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_the_documented_keys() {
        let result = RunResult {
            method: "finetune".into(),
            metrics: BTreeMap::from([("accuracy".into(), 0.95)]),
            epochs: 2,
            steps: 20,
            seconds: 1.5,
            images_per_second: 100.0,
            peak_memory_bytes: Some(1),
            seed: 0,
            device: "cpu".into(),
            precision: "fp32".into(),
            versions: Versions::current(),
        };
        let json = serde_json::to_value(&result).unwrap();
        let keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let first = ["method", "metrics", "epochs", "steps", "seconds", "images_per_second", "peak_memory_bytes"];
        assert_eq!(keys[..7], first);
        assert_eq!(keys[7..], ["seed", "device", "precision", "versions"]);
        assert_eq!(json["versions"]["regraft"], env!("CARGO_PKG_VERSION"));
        assert_eq!(serde_json::from_value::<RunResult>(json).unwrap(), result);
    }

    #[test]
    fn the_peak_is_read_in_bytes() {
        assert_eq!(high_water_mark("VmPeak:\t 9 kB\nVmHWM:\t  1234 kB\n"), Some(1234 * 1024));
        assert_eq!(high_water_mark("VmPeak:\t 9 kB\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_peak_of_this_process_is_plausible() {
        let peak = peak_memory_bytes(Device::Cpu).unwrap().unwrap();
        assert!((1 << 20..1 << 40).contains(&peak), "{peak}");
    }

    #[test]
    fn the_version_of_tch_is_the_one_that_is_linked() {
        let manifest = include_str!("../../Cargo.toml");
        assert!(manifest.contains(&format!("tch = \"={}\"", Versions::current().tch)));
    }
}
