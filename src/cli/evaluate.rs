//! `regraft evaluate`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::forward::ForwardArgs;
use super::output;
use crate::data::{LoaderOptions, PreprocessingOptions, open_for_evaluation};
use crate::eval::Evaluation;
use crate::models::Classifier;
use crate::report::{evaluation_plots, evaluation_table};
use crate::train::{ImageSource, inference};

/// The command's arguments.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  regraft evaluate --model runs/finetune-001 --data photos --plots report")]
pub struct EvaluateArgs {
    /// A run's folder, a model's file (also TorchScript), or a source model with its ImageNet classes
    #[arg(long, value_name = "RUN|FILE|NAME")]
    model: PathBuf,
    /// Folder with one folder per class, named as the model's classes; of train/ and val/, val/ is taken
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// Does the task before instead: with the head that a run with --conserve or --source-data keeps, or with the model that a
    /// run with --beside keeps; given twice, the one before that
    #[arg(long, action = clap::ArgAction::Count)]
    earlier: u8,
    /// Writes confusion matrix, reliability plot and a gallery of mistakes to this folder
    #[arg(long, value_name = "FOLDER")]
    plots: Option<PathBuf>,
    /// How images are made ready.
    #[command(flatten, next_help_heading = "Images")]
    preprocessing: PreprocessingOptions,
    /// How the network runs.
    #[command(flatten)]
    forward: ForwardArgs,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// A model or images that cannot be read, or classes that the model does not know.
pub fn run(args: EvaluateArgs) -> anyhow::Result<ExitCode> {
    let device = args.forward.device()?;
    super::zeroshot::refuse_trained(&args.model)?;
    let model = Classifier::open(&args.model, device, &args.preprocessing)?;
    let model = (0..args.earlier).try_fold(model, |model, _| model.into_earlier())?;
    let images = open_for_evaluation(&args.data, &model.spec.classes)?;
    let loader = LoaderOptions { batch_size: args.forward.batch_size, device, ..LoaderOptions::default() };
    let mut source = ImageSource::evaluation(&images, &model.spec.preprocessing, loader)?;
    let bar = output::bar("images", crate::data::ImageSet::len(&images), args.json);
    let mut advance = |images| {
        bar.inc(images as u64);
        Ok(())
    };
    let outputs = inference::over(&mut source, device, args.forward.precision, &mut advance, |input| {
        Ok(inference::logits(&model, input, false)?.f_div_scalar(model.spec.temperature)?)
    })?;
    bar.finish_and_clear();
    let predictions = outputs.predictions()?;
    let evaluation = Evaluation::of(&predictions, &model.spec.classes)?;
    if let Some(folder) = &args.plots {
        std::fs::create_dir_all(folder).map_err(crate::Error::io(folder, "cannot create the folder"))?;
        evaluation_plots(folder, &predictions, &evaluation, &images)?;
    }
    if args.json {
        output::print_json(&evaluation)?;
    } else {
        output::print(&format!("{}\n", evaluation_table(&evaluation)))?;
    }
    Ok(ExitCode::SUCCESS)
}
