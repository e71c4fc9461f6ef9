//! The machine: processor, memory, disk, NVIDIA driver.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

/// The processor, as far as it decides how fast a network trains on it.
#[derive(Debug, Serialize)]
pub(super) struct Processor {
    /// Its name.
    pub model: Option<String>,
    /// The cores this process may use.
    pub cores: usize,
    /// Those of its instruction sets that libtorch makes use of, sorted.
    pub features: BTreeSet<String>,
}

/// The instruction sets that matter here: x86's, then Arm's.
const FEATURES: [&str; 13] = [
    "avx2",
    "avx512f",
    "avx512_bf16",
    "avx512_fp16",
    "avx512_vnni",
    "amx_bf16",
    "amx_fp16",
    "amx_int8",
    "asimd",
    "bf16",
    "fphp",
    "i8mm",
    "sve",
];

impl Processor {
    pub(super) fn probe() -> Self {
        Self::from_cpuinfo(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
    }

    fn from_cpuinfo(text: &str) -> Self {
        let field = |names: &[&str]| {
            let pairs = text.lines().filter_map(|line| line.split_once(':'));
            pairs.map(|(key, value)| (key.trim(), value.trim())).find(|(key, _)| names.contains(key)).map(|(_, v)| v)
        };
        let flags = field(&["flags", "Features"]).unwrap_or_default();
        Self {
            model: field(&["model name", "Model"]).map(str::to_string),
            cores: std::thread::available_parallelism().map_or(1, |count| count.get()),
            features: flags.split_whitespace().filter(|flag| FEATURES.contains(flag)).map(str::to_string).collect(),
        }
    }

    /// What `--precision bf16` comes to on this processor.
    pub(super) fn bf16(&self) -> &'static str {
        let has = |feature| self.features.contains(feature);
        if has("amx_bf16") {
            "in hardware (AMX): --precision bf16 is worth it"
        } else if has("avx512_bf16") || has("bf16") {
            "in hardware (vector instructions)"
        } else {
            "emulated: keep --precision fp32 on the CPU"
        }
    }
}

/// The bytes that are free on the disk of `path`, or of its nearest parent that exists.
pub(super) fn disk_free(path: &Path) -> Option<u64> {
    let existing = path.ancestors().find(|folder| folder.exists())?;
    let output = Command::new("df").arg("-Pk").arg(existing).env("LC_ALL", "C").output().ok()?;
    parse_df(&String::from_utf8_lossy(&output.stdout))
}

/// The fourth column of the second line, in KiB; the first column may hold spaces, so count from the percentage.
fn parse_df(text: &str) -> Option<u64> {
    let words: Vec<_> = text.lines().nth(1)?.split_whitespace().collect();
    let percent = words.iter().position(|word| word.ends_with('%') && word.len() <= 4)?;
    Some(words.get(percent.checked_sub(1)?)?.parse::<u64>().ok()? * 1024)
}

/// The NVIDIA driver's version, if its kernel module is loaded.
pub(super) fn driver_version() -> Option<String> {
    parse_driver_version(&std::fs::read_to_string("/proc/driver/nvidia/version").ok()?)
}

fn parse_driver_version(text: &str) -> Option<String> {
    let version = |word: &&str| word.contains('.') && word.split('.').all(|part| part.parse::<u32>().is_ok());
    text.lines().next()?.split_whitespace().find(version).map(str::to_string)
}

/// The names of the GPUs that the NVIDIA driver knows, in the order of their bus addresses.
pub(super) fn gpu_names() -> Vec<String> {
    let Ok(folder) = std::fs::read_dir("/proc/driver/nvidia/gpus") else { return Vec::new() };
    let mut files: Vec<_> = folder.filter_map(|entry| Some(entry.ok()?.path().join("information"))).collect();
    files.sort();
    let name = |text: String| Some(text.lines().find_map(|line| line.strip_prefix("Model:"))?.trim().to_string());
    files.iter().filter_map(|file| name(std::fs::read_to_string(file).ok()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_both_architectures_are_read() {
        let x86 = Processor::from_cpuinfo(
            "processor\t: 0\nmodel name\t: Xeon: fast\nflags\t\t: fpu avx2 avx512f amx_bf16\n\nprocessor\t: 1\nflags\t: fpu\n",
        );
        assert_eq!(x86.model.as_deref(), Some("Xeon: fast"));
        assert_eq!(x86.features.iter().map(String::as_str).collect::<Vec<_>>(), ["amx_bf16", "avx2", "avx512f"]);
        assert!(x86.bf16().contains("AMX"));
        let arm = Processor::from_cpuinfo("processor\t: 0\nFeatures\t: fp asimd bf16 sve\n");
        assert_eq!((arm.model.as_deref(), arm.features.len()), (None, 3));
        assert!(arm.bf16().contains("vector"));
        let old = Processor::from_cpuinfo("");
        assert!(old.features.is_empty() && old.cores > 0 && old.bf16().contains("fp32"));
    }

    #[test]
    fn the_free_disk_is_the_column_before_the_percentage() {
        let text = "Filesystem     1024-blocks     Used Available Capacity Mounted on\nmy disk 100 60 40 60% /a b\n";
        assert_eq!(parse_df(text), Some(40 * 1024));
        assert_eq!(parse_df("nothing"), None);
        assert!(disk_free(Path::new("/no/such/folder")).is_some_and(|bytes| bytes > 0));
    }

    #[test]
    fn the_driver_version_is_found_in_its_line() {
        let text =
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\nGCC version:  12.2.0\n";
        assert_eq!(parse_driver_version(text).as_deref(), Some("580.65.06"));
        assert_eq!(parse_driver_version("NVRM version: none\nGCC version: 12.2.0"), None);
    }
}
