//! `regraft export`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use tch::Device;

use super::output;
use crate::Error;
use crate::data::PreprocessingOptions;
use crate::models::{Classifier, ExportFormat};
use crate::report::format;

/// The command's arguments.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  regraft export runs/finetune-001                       # runs/finetune-001/export.pt, for torch.jit.load
  regraft export runs/finetune-001 --format pth --out classifier.pth
  regraft export efficientnet_lite0 --out lite0.pt

The images that a TorchScript file takes are [N, 3, H, W] float32, normalised as its extra file regraft.json says.
ONNX is not written: in Python, load the .pth into the network and call torch.onnx.export.")]
pub struct ExportArgs {
    /// A run's folder, a model's file (also TorchScript), or the name of a source model
    #[arg(value_name = "RUN|FILE|NAME")]
    model: PathBuf,
    /// What is written
    #[arg(long, value_enum, default_value = "torchscript")]
    format: ExportFormat,
    /// The file to write, its folder made where there is none [default: export.pt, .safetensors or .pth in the run's folder;
    /// NAME.pt for a source model and NAME-export.pt for a file NAME.pt, here]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Overwrites a file that is there
    #[arg(long)]
    force: bool,
    /// How images are made ready.
    #[command(flatten, next_help_heading = "Images")]
    preprocessing: PreprocessingOptions,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Exported {
    file: PathBuf,
    format: ExportFormat,
    bytes: u64,
    classes: usize,
}

/// Runs the command.
///
/// # Errors
/// A model that cannot be read, a file that is there already or cannot be written.
pub fn run(args: ExportArgs) -> anyhow::Result<ExitCode> {
    let out = args.out.clone().unwrap_or_else(|| default_out(&args));
    if out.exists() && !args.force {
        return Err(Error::Usage(format!(
            "{}: exists; choose another --out, or overwrite it with --force",
            out.display()
        ))
        .into());
    }
    output::fetch_if_source(&args.model, args.json)?;
    let model = Classifier::open(&args.model, Device::Cpu, &args.preprocessing)?;
    model.export(args.format, &out)?;
    let bytes = std::fs::metadata(&out).map_err(Error::io(&out, "cannot read")).map(|facts| facts.len())?;
    if args.json {
        let classes = model.spec.classes.len();
        output::print_json(&Exported { file: out, format: args.format, bytes, classes })?;
    } else {
        output::print(&format!("{}: {}\n{}", out.display(), format::bytes(bytes), usage(&args, &out)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn default_out(args: &ExportArgs) -> PathBuf {
    let extension = args.format.extension();
    if args.model.is_dir() {
        return args.model.join("export").with_extension(extension);
    }
    let stem = args.model.file_stem().map(PathBuf::from).unwrap_or_default();
    if args.model.is_file() {
        PathBuf::from(format!("{}-export.{extension}", stem.display()))
    } else {
        stem.with_extension(extension)
    }
}

/// How the file is read in Python.
fn usage(args: &ExportArgs, out: &Path) -> String {
    let file = serde_json::to_string(&out.display().to_string()).expect("a text");
    match args.format {
        ExportFormat::TorchScript => format!(
            "  in Python   extra = {{\"regraft.json\": \"\"}}; model = torch.jit.load({file}, _extra_files=extra)\n  here        \
             regraft predict --model {} IMAGE\n",
            output::shell_word(out)
        ),
        ExportFormat::Safetensors => format!("  in Python   safetensors.torch.load_file({file})\n"),
        ExportFormat::Pth => format!("  in Python   model.load_state_dict(torch.load({file}, weights_only=True))\n"),
    }
}
