//! `regraft bench`: this program and the same work in Python, in turns, and the ratios.

mod complexity;
mod images;
mod inside;
mod job;
mod process;
mod results;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::output;
use crate::report::Versions;
use crate::train::Precision;
use crate::train::device::DeviceChoice;
use crate::{Error, Result};
use images::Images;
use job::{Job, Runner, Variant, Work};
use results::{Measured, Row};

/// The command's arguments.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  regraft bench --python .venv/bin/python\n  regraft bench --jobs train --models resnet50 \
    --precisions bf16 --compile --data photos\n  regraft bench --jobs input,epoch --alone\n  regraft bench --complexity epochs.png"
)]
pub struct BenchArgs {
    /// What is measured: train (steps, and the peak memory of that), adapt (domain-adversarial steps), input (the input pipeline alone), start (process to
    /// first step), epoch (a process with one epoch), head (one with ten epochs of a new head on a frozen network), file
    /// (saving and loading a checkpoint)
    #[arg(long, value_enum, value_delimiter = ',', default_value = "train,adapt,input,start,epoch,head,file")]
    jobs: Vec<Job>,
    /// Networks; all of them train, the first does the other jobs
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "efficientnet_lite0,resnet18,efficientnet_b0,resnet50"
    )]
    models: Vec<String>,
    /// Number formats; all of them in training, the first in the other jobs
    #[arg(long, value_enum, value_delimiter = ',', default_value = "fp32,bf16")]
    precisions: Vec<Precision>,
    /// A folder of classes; without it, JPEG of 500 × 375 pixels are made
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// How many of the images are used, a sixth of them to validate
    #[arg(long, value_name = "N", default_value_t = 384)]
    images: usize,
    /// Images per step
    #[arg(long, value_name = "N", default_value_t = 32)]
    batch_size: usize,
    /// Steps before the clock starts
    #[arg(long, value_name = "N", default_value_t = 2)]
    warmup: usize,
    /// Steps on the clock
    #[arg(long, value_name = "N", default_value_t = 6)]
    steps: usize,
    /// How often each is run
    #[arg(long, value_name = "N", default_value_t = 3)]
    repeat: usize,
    /// Where the networks run: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,
    /// The Python that has torch and torchvision
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: PathBuf,
    /// Measures torch.compile too, where training steps are measured; compiling takes minutes
    #[arg(long)]
    compile: bool,
    /// Measures this program alone
    #[arg(long, conflicts_with = "compile")]
    alone: bool,
    /// Draws the seconds that an epoch takes against the number of images, 100 to 100,000, and against cores, and ends
    #[arg(long, value_name = "FILE.png")]
    complexity: Option<PathBuf>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Where and on what it was measured.
#[derive(Debug, Serialize)]
struct About {
    processor: String,
    cores: usize,
    device: String,
    python: Option<serde_json::Value>,
    versions: Versions,
    images: String,
    batch_size: usize,
    load_before: f64,
}

/// Runs the command.
///
/// # Errors
/// Options that make no sense, a Python without what it needs, images that cannot be read, a run that fails.
pub fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    let positive = [("--batch-size", args.batch_size), ("--warmup", args.warmup), ("--steps", args.steps)];
    for (name, value) in positive.into_iter().chain([("--repeat", args.repeat)]) {
        if value == 0 {
            return Err(Error::Usage(format!("{name} must be at least 1")).into());
        }
    }
    let scratch = tempfile::tempdir().map_err(Error::io(std::env::temp_dir(), "cannot write"))?;
    if let Some(file) = &args.complexity {
        let curves = complexity::measure(scratch.path())?;
        complexity::draw(&curves, file)?;
        if args.json {
            output::print_json(&curves)?;
        } else {
            output::print(&format!("{}\n\nthe plot is {}\n", complexity::table(&curves), file.display()))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let peer = (!args.alone).then(|| job::Peer::new(&args.python, &args.models, scratch.path())).transpose()?;
    let device = args.device.resolve()?;
    let images = Images::prepare(args.data.as_deref(), args.images, args.batch_size, scratch.path())?;
    let about = About {
        processor: process::processor(),
        cores: process::cores(),
        device: args.device.describe(device),
        python: peer.as_ref().map(|peer| peer.about.clone()),
        versions: Versions::current(),
        images: images.about.clone(),
        batch_size: args.batch_size,
        load_before: process::load(),
    };
    let runner = Runner {
        peer,
        images: &images.folder,
        scratch: scratch.path(),
        batch_size: args.batch_size,
        warmup: args.warmup,
        steps: args.steps,
        device,
    };
    let rows = measure(&args, &runner)?;
    if args.json {
        output::print_json(&serde_json::json!({ "about": about, "rows": rows }))?;
    } else {
        output::print(&format!("{}\n\n{}\n", results::heading(&about, &args), results::table(&rows)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Every piece of work by everyone, in turns: whoever goes second finds the machine warm, so they take turns at that too.
fn measure(args: &BenchArgs, runner: &Runner) -> Result<Vec<Row>> {
    let works = works(args);
    let progress = output::bar("measured", works.len() * args.repeat, false);
    let mut rows = vec![];
    for work in works {
        let mut variants = vec![Variant::Regraft];
        if runner.peer.is_some() {
            variants.push(Variant::Python);
            variants.extend((args.compile && work.job == Job::Train).then_some(Variant::Compiled));
        }
        let mut measured: Vec<Measured> = vec![];
        for turn in 0..args.repeat {
            let mut order = variants.clone();
            order.rotate_left(turn % variants.len());
            let mut round = Measured::new();
            for variant in order {
                round.insert(variant, runner.run(&work, variant)?);
            }
            measured.push(round);
            progress.inc(1);
        }
        rows.extend(results::rows(&work, &measured));
        if work.job == Job::Input && runner.peer.is_some() {
            let limit = (0..args.repeat).map(|_| runner.decode_limit(&work)).collect::<Result<Vec<_>>>()?;
            rows.push(results::limit_row(&measured, &limit));
        }
    }
    progress.finish_and_clear();
    Ok(rows)
}

/// Training for every network and number format, the other jobs for the first.
fn works(args: &BenchArgs) -> Vec<Work> {
    let mut works = vec![];
    for &job in &args.jobs {
        let all = job == Job::Train;
        for model in args.models.iter().take(if all { usize::MAX } else { 1 }) {
            for &precision in args.precisions.iter().take(if all { usize::MAX } else { 1 }) {
                works.push(Work { job, model: model.clone(), precision });
            }
        }
    }
    works
}

/// The path as an argument of a command.
fn word(path: &Path) -> String {
    path.display().to_string()
}
