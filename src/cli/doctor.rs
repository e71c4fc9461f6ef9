//! `regraft doctor`: what this installation and this machine can do, and how to mend what is wrong.

mod cache;
mod host;
mod torch;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use tch::{Device, Kind, Tensor};

use super::output;
use crate::train::cuda::{CudaState, Obstacle as Problem};
use crate::train::device::DeviceChoice;
use crate::train::memory::Memory;
use cache::Cache;
use host::Processor;
use torch::Torch;

/// Say what this installation can do, and how to mend what is wrong
///
/// Exits with 1 if --device names a CUDA device that cannot be had, else with 0.
#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// The device that is wanted: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: DeviceChoice,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

/// Prints the report.
///
/// # Errors
/// Only when the report cannot be written; what is wrong with the machine is part of the report.
pub fn run(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let report = Report::probe(args.device);
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&report.render())?;
    }
    Ok(if report.device.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// CUDA, as far as it got.
#[derive(Debug, Serialize)]
struct Cuda {
    /// `libtorch_cuda.so` lies in libtorch's folder; `None` if that is unknown.
    built: Option<bool>,
    /// libtorch has it: it is loaded where there is a driver.
    loaded: bool,
    /// A device can be used.
    usable: bool,
    /// How many.
    devices: usize,
    /// cuDNN can be used.
    cudnn: bool,
    /// The GPUs the driver knows.
    gpus: Vec<String>,
    /// The driver's version.
    driver: Option<String>,
    /// The driver's library.
    driver_library: Option<PathBuf>,
    /// Why no device can be used.
    obstacle: Option<Problem>,
}

#[derive(Debug, Serialize)]
struct Report {
    regraft: &'static str,
    /// What `--device` came to; `None` if it cannot be had.
    device: Option<String>,
    libtorch: Torch,
    cuda: Cuda,
    processor: Processor,
    memory: Option<Memory>,
    weights_cache: Cache,
    /// Free bytes on the disk of the current folder.
    disk_free: Option<u64>,
    problems: Vec<Problem>,
}

impl Problem {
    fn new(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { what: what.into(), mend: mend.into() }
    }
}

impl Report {
    fn probe(choice: DeviceChoice) -> Self {
        let state = CudaState::probe();
        let (libtorch, processor, memory) = (Torch::probe(), Processor::probe(), Memory::probe());
        let (weights_cache, disk_free) = (Cache::probe(), host::disk_free(std::path::Path::new(".")));

        let mut problems = libtorch.problems(processor.cores, std::env::var_os("LIBTORCH").map(PathBuf::from));
        let device = match choice.choose(&state).and_then(try_out) {
            Ok(device) => Some(choice.describe(device)),
            Err(error) => {
                problems.push(cuda_problem(choice, &state, &error));
                None
            }
        };
        // where there is a GPU, not being able to use it is wrong, even if nobody asked for it
        problems.extend(state.obstacle().filter(|_| device.is_some() && state.device_nodes));
        problems.extend(weights_cache.problems());
        if let Some(free) = disk_free.filter(|bytes| *bytes < 1 << 30) {
            let what =
                format!("the disk of the current folder has only {} left; a run's checkpoints need more", size(free));
            problems.push(Problem::new(what, "free some, or write runs elsewhere"));
        }
        let usable = state.devices > 0;
        let cuda = Cuda {
            built: state.built,
            loaded: state.loaded,
            usable,
            devices: state.devices,
            cudnn: usable && tch::Cuda::cudnn_is_available(),
            gpus: host::gpu_names(),
            driver: host::driver_version(),
            obstacle: state.obstacle(),
            driver_library: state.driver_library,
        };
        let regraft = env!("CARGO_PKG_VERSION");
        Self { regraft, device, libtorch, cuda, processor, memory, weights_cache, disk_free, problems }
    }

    fn render(&self) -> String {
        let mut text = format!("regraft {}\n", self.regraft);
        let mut section = |title: &str, rows: Vec<(&str, String)>| {
            let _ = writeln!(text, "\n{title}");
            for (name, value) in rows {
                let _ = writeln!(text, "  {name:<14}{value}");
            }
        };
        section("device", vec![("chosen", self.device.clone().unwrap_or_else(|| "none: see below".into()))]);
        section("libtorch", self.libtorch_rows());
        section("CUDA", self.cuda_rows());
        section("processor", self.processor_rows());
        section("weights cache", self.cache_rows());
        match self.problems.len() {
            0 => text += "\nnothing is wrong\n",
            1 => text += "\none thing is wrong\n",
            count => text += &format!("\n{count} things are wrong\n"),
        }
        for problem in &self.problems {
            let _ = writeln!(text, "  {}\n    -> {}", problem.what, problem.mend);
        }
        text
    }

    fn libtorch_rows(&self) -> Vec<(&'static str, String)> {
        let t = &self.libtorch;
        let version = format!("{} (built against {})", or_unknown(&t.version), t.built_against);
        let libraries = [("MKL", &t.mkl), ("oneDNN", &t.onednn)];
        let libraries = libraries.iter().filter_map(|(name, version)| Some(format!(", {name} {}", version.as_ref()?)));
        let threads = format!("{} in an operation, {} between operations", t.threads, t.interop_threads);
        vec![
            ("version", version),
            ("folder", t.folder.as_ref().map_or("unknown".into(), |folder| folder.display().to_string())),
            ("BLAS", or_unknown(&t.blas) + &libraries.collect::<String>()),
            ("kernels for", or_unknown(&t.capability)),
            ("threads", format!("{threads} ({})", or_unknown(&t.parallel))),
        ]
    }

    fn cuda_rows(&self) -> Vec<(&'static str, String)> {
        let (c, t) = (&self.cuda, &self.libtorch);
        let built = match (c.built, &t.cuda) {
            (Some(true), Some(version)) => format!("yes, for CUDA {version}, cuDNN {}", or_unknown(&t.cudnn)),
            (Some(true), None) => "yes".into(),
            (Some(false), _) => "no: a libtorch for the CPU alone".into(),
            (None, _) => "unknown".into(),
        };
        let usable = match &c.obstacle {
            None => format!("yes, {} device(s), cuDNN {}", c.devices, yes_no(c.cudnn)),
            Some(obstacle) => format!("no: {}", obstacle.what),
        };
        let driver = match (&c.driver, &c.driver_library) {
            (None, None) => "none found".into(),
            (version, library) => {
                let library =
                    library.as_ref().map_or("libcuda.so.1 not found".into(), |path| path.display().to_string());
                format!("{} ({library})", version.as_deref().unwrap_or("version unknown"))
            }
        };
        let mut rows =
            vec![("built", built), ("loaded", yes_no(c.loaded).into()), ("usable", usable), ("driver", driver)];
        rows.extend(c.gpus.iter().map(|name| ("GPU", name.clone())));
        rows
    }

    fn processor_rows(&self) -> Vec<(&'static str, String)> {
        let p = &self.processor;
        let mut rows = vec![
            ("model", or_unknown(&p.model)),
            ("cores", p.cores.to_string()),
            ("instructions", p.features.iter().map(String::as_str).collect::<Vec<_>>().join(" ")),
            ("bf16", p.bf16().into()),
        ];
        if let Some(m) = &self.memory {
            let limit = m.limit.map_or(String::new(), |bytes| format!(", limited to {}", size(bytes)));
            rows.push(("memory", format!("{} of {} available{limit}", size(m.available), size(m.total))));
        }
        rows.push(("disk here", self.disk_free.map_or("unknown".into(), |bytes| format!("{} free", size(bytes)))));
        rows
    }

    fn cache_rows(&self) -> Vec<(&'static str, String)> {
        let c = &self.weights_cache;
        let folder = c.folder.as_ref().map_or("none".into(), |folder| folder.display().to_string());
        let writable = c.unwritable.as_ref().map_or("yes".into(), |reason| format!("no: {reason}"));
        let total: u64 = c.files.iter().map(|(_, bytes)| bytes).sum();
        let mut rows = vec![("folder", folder), ("writable", writable)];
        rows.push(("free", c.free.map_or("unknown".into(), size)));
        rows.push(match c.files.len() {
            0 => ("files", "none yet: `regraft models fetch NAME` brings them".into()),
            count => ("files", format!("{count}, {} together", size(total))),
        });
        rows.extend(c.files.iter().map(|(name, bytes)| ("", format!("{name}  {}", size(*bytes)))));
        rows
    }
}

/// One small product on the device: a GPU that libtorch lists may still be too old for its kernels.
fn try_out(device: Device) -> crate::Result<Device> {
    let ones = Tensor::f_ones([8, 8], (Kind::Float, device))?;
    let sum = f64::try_from(ones.f_matmul(&ones)?.f_sum(Kind::Float)?)?;
    if sum == 512.0 {
        Ok(device)
    } else {
        Err(crate::Error::Device(format!("a product on {device:?} came out as {sum}")))
    }
}

fn cuda_problem(choice: DeviceChoice, state: &CudaState, error: &crate::Error) -> Problem {
    match state.obstacle() {
        Some(obstacle) => Problem::new(format!("--device {choice} cannot be had: {}", obstacle.what), obstacle.mend),
        None => Problem::new(
            error.to_string(),
            format!("choose another of the {} device(s), or a libtorch made for this GPU", state.devices),
        ),
    }
}

fn or_unknown(value: &Option<String>) -> String {
    value.clone().unwrap_or_else(|| "unknown".into())
}

fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// `12.3 GiB`, `45.6 MiB`, `7 KiB`.
fn size(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{} KiB", bytes.div_ceil(1024)),
        0x10_0000..0x4000_0000 => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_always_had_and_computes() {
        let report = Report::probe(DeviceChoice::Cpu);
        assert_eq!(report.device.as_deref(), Some("cpu"));
        let text = report.render();
        for part in ["libtorch", "2.11.0", "CUDA", "bf16", "weights cache"] {
            assert!(text.contains(part), "no {part} in\n{text}");
        }
    }

    #[test]
    fn a_cuda_device_that_cannot_be_had_is_a_problem_with_its_mend() {
        let report = Report::probe(DeviceChoice::Cuda(4096));
        assert_eq!(report.device, None);
        let problem = report.problems.iter().find(|problem| problem.what.contains("cuda:4096")).expect("named");
        assert!(!problem.mend.is_empty() && report.render().contains(&problem.mend));
    }

    #[test]
    fn the_json_has_the_documented_sections() {
        let json = serde_json::to_value(Report::probe(DeviceChoice::Cpu)).unwrap();
        for key in ["regraft", "device", "libtorch", "cuda", "processor", "memory", "weights_cache", "problems"] {
            assert!(json.get(key).is_some(), "{key}");
        }
    }

    #[test]
    fn sizes_carry_the_unit_that_suits_them() {
        assert_eq!(size(1), "1 KiB");
        assert_eq!(size(3 << 19), "1.5 MiB");
        assert_eq!(size(5 << 29), "2.5 GiB");
    }
}
