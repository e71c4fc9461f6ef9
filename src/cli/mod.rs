//! The command line: one file per command. Words become validated options, the library does the work, and what it
//! found becomes a table or JSON.

pub mod adapt;
pub mod bench;
pub mod demo;
pub mod doctor;
pub mod evaluate;
pub mod export;
pub mod finetune;
pub mod inspect;
pub mod layers;
pub mod matrix;
pub mod models;
pub mod multitask;
pub mod predict;
pub mod progressive;
pub mod synth;
pub mod zeroshot;

mod embedded;
mod forward;
mod help;
mod interrupt;
mod output;
mod run_args;
mod run_bar;

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, Parser, Subcommand};

use crate::train::{cuda, memory};

/// Transfer learning on libtorch: graft what a network learned on one task onto another.
#[derive(Debug, Parser)]
#[command(name = "regraft", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Teach a pretrained network your classes
    Finetune(Box<finetune::FinetuneArgs>),
    /// Find out which layers transfer, and how far
    Layers(Box<layers::LayersArgs>),
    /// Teach a network several tasks at once, and compare with each alone
    Multitask(Box<multitask::MultitaskArgs>),
    /// Teach one task after the other without forgetting: a column each, which takes from those before
    Progressive(Box<progressive::ProgressiveArgs>),
    /// Transfer between all of several tasks, against learning each alone, and forecast it
    Matrix(Box<matrix::MatrixArgs>),
    /// Carry over what labelled images teach to unlabelled ones that look different
    Adapt(Box<adapt::AdaptArgs>),
    /// Name what was never seen, by what is said of it
    Zeroshot(Box<zeroshot::ZeroshotArgs>),
    /// Measure a trained model on labelled images
    Evaluate(evaluate::EvaluateArgs),
    /// Name what is in images
    Predict(predict::PredictArgs),
    /// Write a model for other programs: TorchScript, safetensors, .pth
    Export(export::ExportArgs),
    /// Show what a model or checkpoint file holds: stages, shapes, parameters
    Inspect(inspect::InspectArgs),
    /// List, show and fetch source models
    Models(models::ModelsArgs),
    /// From scratch, frozen and fine-tuned side by side, on images that come with regraft
    Demo(demo::DemoArgs),
    /// Measure training, reading and starting, beside Python on the same work
    Bench(Box<bench::BenchArgs>),
    /// Make data sets to adapt from and to: digits on photographs, printed digits, drawn traffic signs
    Synth(synth::SynthArgs),
    /// Check this installation and this machine
    Doctor(doctor::DoctorArgs),
}

/// The command line's grammar.
pub fn command() -> clap::Command {
    // the sweep trains many networks from scratch, for which a small one does
    let grammar = Cli::command()
        .mut_subcommand("layers", |layers| layers.mut_arg("model", |model| model.default_value("small_cnn")));
    help::fitted(grammar)
}

/// Runs a command; `matches` tells what was typed from what was left to its default.
///
/// # Errors
/// What the command ends in; see [`crate::Error::exit_code`].
pub fn run(cli: Cli, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    // before anything is asked of libtorch; who needs CUDA hears of a failure when a device is chosen
    let _loaded = cuda::load();
    memory::pool_memory()?;
    let typed = |name: &str| matches.subcommand_matches(name).expect("this is that command");
    match cli.command {
        Command::Finetune(args) => finetune::run(*args, typed("finetune")),
        Command::Layers(args) => layers::run(*args, typed("layers")),
        Command::Multitask(args) => multitask::run(*args, typed("multitask")),
        Command::Progressive(args) => progressive::run(*args, typed("progressive")),
        Command::Matrix(args) => matrix::run(&args, typed("matrix")),
        Command::Adapt(args) => adapt::run(&args, typed("adapt")),
        Command::Zeroshot(args) => zeroshot::run(&args, typed("zeroshot")),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Predict(args) => predict::run(args),
        Command::Export(args) => export::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Models(args) => models::run(&args),
        Command::Demo(args) => demo::run(args),
        Command::Bench(args) => bench::run(*args),
        Command::Synth(args) => synth::run(&args),
        Command::Doctor(args) => doctor::run(args),
    }
}

/// Whether the error is that nobody reads the output any more, as in `regraft … | head`.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    };
    error.chain().any(io)
}
