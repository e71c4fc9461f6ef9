//! `regraft predict`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use tch::Kind;

use super::forward::{ForwardArgs, Images};
use super::output;
use crate::data::PreprocessingOptions;
use crate::models::Classifier;
use crate::{Error, Result};

/// The command's arguments.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  regraft predict photo.jpg\n  regraft predict --model runs/finetune-001 --top 3 *.jpg --json"
)]
pub struct PredictArgs {
    /// The images
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// A run's folder, a model's file (also TorchScript), or a source model with its ImageNet classes
    #[arg(long, value_name = "RUN|FILE|NAME", default_value = "efficientnet_lite0")]
    model: PathBuf,
    /// Does the task before instead: with the head that a run with --conserve or --source-data keeps, or with the model that a
    /// run with --beside keeps; given twice, the one before that
    #[arg(long, action = clap::ArgAction::Count)]
    earlier: u8,
    /// How many of the most probable classes are shown
    #[arg(long, value_name = "K", default_value_t = 5)]
    top: usize,
    /// How images are made ready.
    #[command(flatten, next_help_heading = "Images")]
    preprocessing: PreprocessingOptions,
    /// How the network runs.
    #[command(flatten)]
    forward: ForwardArgs,
    /// Prints JSON, one array element per image
    #[arg(long)]
    json: bool,
}

/// What the model says of one image.
#[derive(Debug, Serialize)]
struct Answer {
    image: PathBuf,
    classes: Vec<Guess>,
}

#[derive(Debug, Serialize)]
struct Guess {
    class: String,
    probability: f64,
}

/// Runs the command; an image that cannot be read does not keep the others from being named, but ends in exit code 1.
///
/// # Errors
/// A model that cannot be read, or what libtorch refuses.
pub fn run(args: PredictArgs) -> anyhow::Result<ExitCode> {
    if args.top == 0 {
        return Err(Error::Usage("--top must be at least 1".into()).into());
    }
    let device = args.forward.device()?;
    output::fetch_if_source(&args.model, false)?;
    super::zeroshot::refuse_trained(&args.model)?;
    let model = Classifier::open(&args.model, device, &args.preprocessing)?;
    let model = (0..args.earlier).try_fold(model, |model, _| model.into_earlier())?;
    let mut answers = vec![];
    let mut failed = false;
    for paths in args.images.chunks(args.forward.batch_size) {
        let (read, all) = Images::read(paths, &model)?;
        failed |= !all;
        if !read.is_empty() {
            answers.extend(name(&model, read, &args)?);
        }
    }
    if args.json {
        output::print_json(&answers)?;
    } else {
        output::print(&render(&answers))?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Each image, and under it its classes with their probabilities.
fn render(answers: &[Answer]) -> String {
    let line = |Guess { class, probability }: &Guess| format!("  {:>6.2} %  {class}\n", 100.0 * probability);
    let block = |answer: &Answer| {
        format!("{}\n{}", answer.image.display(), answer.classes.iter().map(line).collect::<String>())
    };
    answers.iter().map(block).collect()
}

fn name(model: &Classifier, images: Images, args: &PredictArgs) -> Result<Vec<Answer>> {
    let (paths, logits) = args.forward.logits(model, images)?;
    let top = args.top.min(model.spec.classes.len()) as i64;
    let (probabilities, classes) = logits.f_softmax(-1, Kind::Float)?.f_topk(top, -1, true, true)?;
    let probabilities = Vec::<Vec<f64>>::try_from(probabilities.f_to_kind(Kind::Double)?)?;
    let classes = Vec::<Vec<i64>>::try_from(classes)?;
    let guess = |(class, probability)| Guess { class: model.spec.classes[class as usize].clone(), probability };
    let answer = |((path, classes), probabilities): ((&Path, Vec<i64>), Vec<f64>)| Answer {
        image: path.to_path_buf(),
        classes: classes.into_iter().zip(probabilities).map(guess).collect(),
    };
    Ok(paths.into_iter().zip(classes).zip(probabilities).map(answer).collect())
}
