//! `regraft predict`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use tch::{Kind, Tensor};

use super::forward::ForwardArgs;
use super::output;
use crate::data::{EvaluationTransform, PreprocessingOptions, decode, normalise};
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
    let model = Classifier::open(&args.model, device, &args.preprocessing)?;
    let model = (0..args.earlier).try_fold(model, |model, _| model.into_earlier())?;
    let mut answers = vec![];
    let mut failed = false;
    for paths in args.images.chunks(args.forward.batch_size) {
        let (good, bad): (Vec<_>, Vec<_>) = pixels(paths, &model)?.into_iter().partition(|(_, pixels)| pixels.is_ok());
        for (_, error) in bad {
            failed = true;
            eprintln!("regraft: {}", error.expect_err("partitioned"));
        }
        if !good.is_empty() {
            answers.extend(name(&model, good, &args)?);
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

type Pixels<'a> = Vec<(&'a Path, Result<Vec<u8>>)>;

/// Decodes and resizes on all cores; the answers are in the order of `paths`.
fn pixels<'a>(paths: &'a [PathBuf], model: &Classifier) -> Result<Pixels<'a>> {
    let transform = EvaluationTransform::new(&model.spec.preprocessing)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let read = |path: &'a PathBuf| {
        let mut out = vec![];
        let made = decode(path).and_then(|image| transform.apply(&image, &mut out));
        (path.as_path(), made.map(|()| out))
    };
    Ok(std::thread::scope(|scope| {
        let per_core = paths.len().div_ceil(cores).max(1);
        let threads: Vec<_> =
            paths.chunks(per_core).map(|part| scope.spawn(|| part.iter().map(read).collect::<Vec<_>>())).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("decoding does not panic")).collect()
    }))
}

fn name(model: &Classifier, images: Pixels, args: &PredictArgs) -> Result<Vec<Answer>> {
    let side = i64::from(model.spec.preprocessing.crop);
    let (paths, bytes): (Vec<_>, Vec<_>) =
        images.into_iter().map(|(path, pixels)| (path, pixels.expect("good"))).unzip();
    let batch = Tensor::f_from_slice(&bytes.concat())?.f_view([paths.len() as i64, side, side, 3])?;
    let _no_grad = tch::no_grad_guard();
    let logits = {
        let _autocast = args.forward.precision.autocast(model.store.device())?;
        model.forward(&normalise(&batch, &model.spec.preprocessing, model.store.device())?, false)?
    };
    let logits = logits.f_to_kind(Kind::Float)?.f_div_scalar(model.spec.temperature)?;
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
