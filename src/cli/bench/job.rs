//! The jobs, and what each program is told to do one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tch::Device;

use super::{inside, process, word};
use crate::train::Precision;
use crate::train::device::device_name;
use crate::{Error, Result, files};

const PEER: &str = include_str!("peer.py");
/// What the peer needs, as pip takes it.
const REQUIREMENTS: &str = include_str!("../../../benches/requirements.txt");

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// Training steps.
    Train,
    /// Domain-adversarial steps, on images of two domains.
    Adapt,
    /// The input pipeline alone.
    Input,
    /// From the start of the process to the end of the first step.
    Start,
    /// A process with one epoch of fine-tuning and its validation.
    Epoch,
    /// A process with ten epochs of a new head on a frozen network.
    Head,
    /// Saving and loading a checkpoint.
    File,
}

/// Who does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Variant {
    /// This program.
    Regraft,
    /// Python.
    Python,
    /// Python with torch.compile.
    Compiled,
}

/// One piece of work.
#[derive(Debug, Clone)]
pub(super) struct Work {
    pub(super) job: Job,
    pub(super) model: String,
    pub(super) precision: Precision,
}

/// What a run of it measured, by name.
pub(super) type Numbers = BTreeMap<String, f64>;

/// The Python that does the same work.
pub(super) struct Peer {
    program: PathBuf,
    script: PathBuf,
    /// Its versions.
    pub(super) about: Value,
}

impl Peer {
    /// Looks at a Python, and writes the script for it under `scratch`.
    ///
    /// # Errors
    /// One that lacks a package; the message says how to get it.
    pub(super) fn new(program: &Path, models: &[String], scratch: &Path) -> Result<Self> {
        let lite = models.iter().any(|model| model.starts_with("efficientnet_lite"));
        let look = format!(
            "import json, sys, torch, torchvision, PIL{}; print(json.dumps(dict(python=sys.version.split()[0], \
             torch=torch.__version__, torchvision=torchvision.__version__, threads=torch.get_num_threads())))",
            if lite { ", efficientnet_lite_pytorch" } else { "" }
        );
        let looked = process::run(Command::new(program).args(["-c", &look])).map_err(|error| {
            let packages: Vec<_> = REQUIREMENTS.lines().filter(|line| !line.starts_with('#')).collect();
            Error::Usage(format!(
                "--python {}: {error}; it needs: pip install '{}', or measure regraft with --alone",
                program.display(),
                packages.join("' '")
            ))
        })?;
        let about = serde_json::from_str(&looked.output).map_err(|error| Error::file(program, error.to_string()))?;
        let script = scratch.join("peer.py");
        files::write_bytes(&script, PEER.as_bytes())?;
        Ok(Self { program: program.to_path_buf(), script, about })
    }
}

/// Runs works.
pub(super) struct Runner<'a> {
    pub(super) peer: Option<Peer>,
    pub(super) images: &'a Path,
    pub(super) scratch: &'a Path,
    pub(super) batch_size: usize,
    pub(super) warmup: usize,
    pub(super) steps: usize,
    pub(super) device: Device,
}

impl Runner<'_> {
    /// One run of a work.
    ///
    /// # Errors
    /// A process that fails, or that does not say what it should.
    pub(super) fn run(&self, work: &Work, variant: Variant) -> Result<Numbers> {
        match variant {
            Variant::Regraft => self.regraft(work),
            Variant::Python | Variant::Compiled => self.python(work, variant == Variant::Compiled),
        }
    }

    /// Images per second that libjpeg-turbo decodes on all cores, which is all that such a loader could do.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(super) fn decode_limit(&self, work: &Work) -> Result<f64> {
        let peer = self.peer.as_ref().expect("asked for with a peer only");
        let process = process::run(&mut self.python_command(peer, "decode", work))?;
        Ok(numbers(&process.output)?["images_per_second"])
    }

    fn regraft(&self, work: &Work) -> Result<Numbers> {
        match work.job {
            Job::Input => return inside::input(self.images, &work.model, self.batch_size, self.warmup, self.steps),
            Job::File => return inside::file(&work.model, self.steps, self.scratch),
            _ => {}
        }
        let out = self.scratch.join("run");
        if out.exists() {
            std::fs::remove_dir_all(&out).map_err(Error::io(&out, "cannot remove"))?;
        }
        let process = process::run(&mut self.regraft_command(work, &out)?)?;
        // of several methods each has a folder of its own
        let log = if work.job == Job::Adapt { out.join("dann/seed-0") } else { out.clone() };
        let steps = || -> Result<Vec<Value>> {
            let file = log.join("metrics.jsonl");
            let text = std::fs::read_to_string(&file).map_err(Error::io(&file, "cannot read"))?;
            let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_default());
            Ok(events.filter(|event| event["event"] == "step").collect())
        };
        let number = |event: &Value, key: &str| {
            event[key].as_f64().ok_or_else(|| Error::file(&out, format!("its log has no number `{key}`")))
        };
        Ok(match work.job {
            Job::Train | Job::Adapt => {
                // Batches are alike, so the rate over the steps that count is the harmonic mean of their rates.
                let steps = steps()?;
                let counted = steps.get(self.warmup..).unwrap_or_default();
                let rates = counted.iter().map(|step| number(step, "images_per_second"));
                let inverse: f64 = rates.map(|rate| rate.map(|rate| 1.0 / rate)).sum::<Result<f64>>()?;
                let rate = counted.len() as f64 / inverse;
                BTreeMap::from([
                    ("images_per_second".into(), rate),
                    ("peak_memory_bytes".into(), process.peak_memory as f64),
                ])
            }
            Job::Start => {
                let first = steps()?.into_iter().next().unwrap_or_default();
                BTreeMap::from([("seconds".into(), number(&first, "time")? - process.began)])
            }
            _ => BTreeMap::from([("seconds".into(), process.seconds)]),
        })
    }

    /// The same work as the script does: random crops of 8 % of the area on, mirrored half of the time.
    fn regraft_command(&self, work: &Work, out: &Path) -> Result<Command> {
        let program = std::env::current_exe().map_err(Error::io("regraft", "cannot find the program"))?;
        let mut command = Command::new(program);
        let images = word(self.images);
        match work.job {
            Job::Adapt => command.args([
                "adapt",
                "--methods",
                "dann",
                "--pictured",
                "0",
                "--source",
                &images,
                "--target",
                &images,
            ]),
            _ => command.args(["finetune", "--data", &images]),
        };
        command.args(["--quiet", "--optimizer", "sgd", "--lr", "0.01", "--crop-scale", "0.08"]);
        command.args(["--out", &word(out), "--model", &work.model, "--log-every", "1"]);
        command.args(["--batch-size", &self.batch_size.to_string(), "--precision", &work.precision.to_string()]);
        command.args(["--device", &device_name(self.device)]);
        match work.job {
            Job::Start => command.args(["--epochs", "1", "--max-steps", "1"]),
            Job::Train | Job::Adapt => {
                let steps = self.warmup + self.steps;
                command.args(["--epochs", "1000", "--max-steps", &steps.to_string()])
            }
            Job::Head => {
                // frozen layers have to come from somewhere; here they are as random as the script's
                let weights = out.with_file_name("random.safetensors");
                inside::write_random(&work.model, &weights)?;
                command.args(["--epochs", "10", "--no-augment", "--freeze", "all", "--weights", &word(&weights)])
            }
            _ => command.args(["--epochs", "1"]),
        };
        command.args((work.job != Job::Head).then_some("--from-scratch"));
        // what earlier runs computed must not help
        command.env("REGRAFT_CACHE", out.with_extension("cache"));
        let cache = out.with_extension("cache");
        if cache.exists() {
            std::fs::remove_dir_all(&cache).map_err(Error::io(&cache, "cannot remove"))?;
        }
        Ok(command)
    }

    fn python(&self, work: &Work, compile: bool) -> Result<Numbers> {
        let peer = self.peer.as_ref().expect("asked for with a peer only");
        let job = work.job.to_possible_value().expect("no job is skipped");
        let mut command = self.python_command(peer, job.get_name(), work);
        command.args(compile.then_some("--compile"));
        let process = process::run(&mut command)?;
        let mut numbers = numbers(&process.output)?;
        if matches!(work.job, Job::Train | Job::Adapt) {
            numbers.insert("peak_memory_bytes".into(), process.peak_memory as f64);
        }
        Ok(numbers)
    }

    fn python_command(&self, peer: &Peer, job: &str, work: &Work) -> Command {
        let mut command = Command::new(&peer.program);
        command.args([&word(&peer.script), job, "--data", &word(self.images), "--model", &work.model]);
        command.args(["--batch-size", &self.batch_size.to_string(), "--precision", &work.precision.to_string()]);
        command.args(["--warmup", &self.warmup.to_string(), "--steps", &self.steps.to_string()]);
        command.args(["--workers", &process::cores().to_string(), "--device", &device_name(self.device)]);
        command
    }
}

/// The numbers in the last line of an output.
fn numbers(output: &str) -> Result<Numbers> {
    let line = output.lines().last().unwrap_or_default();
    serde_json::from_str(line).map_err(|error| Error::Training(format!("the Python half said {line:?}: {error}")))
}
