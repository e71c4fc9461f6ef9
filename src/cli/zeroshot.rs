//! `regraft zeroshot`: classes of which nobody has an image, named by what is said of them.

mod compare;
mod described;
mod evaluate;
mod predict;
mod side_by_side;
mod train;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgMatches, Args, Subcommand};
use tch::{Device, Tensor};

use super::forward::ForwardArgs;
use super::output;
use crate::data::PreprocessingOptions;
use crate::methods::source_labelled::zero_shot::Method;
use crate::methods::source_labelled::zero_shot::conse::{Conse, Mixtures};
use crate::methods::source_labelled::zero_shot::train::SavedClasses;
use crate::models::Classifier;
use crate::text::{ClassName, Described, describe};
use crate::{Error, Result};

/// Name what was never seen, by what is said of it.
#[derive(Debug, Args)]
pub struct ZeroshotArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say which of any classes images show
    Predict(predict::PredictArgs),
    /// Show what a source model, a trained network and ConSE make of the same images
    SideBySide(side_by_side::SideBySideArgs),
    /// Measure it on labelled images
    Evaluate(evaluate::EvaluateArgs),
    /// Learn where images meet what is said of their classes, and test on classes that nobody learned from
    Train(Box<train::TrainArgs>),
    /// Learn from some classes and test on others, by several methods
    Compare(Box<compare::CompareArgs>),
}

/// Runs the command.
///
/// # Errors
/// See the commands.
pub fn run(args: &ZeroshotArgs, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Predict(args) => predict::run(args),
        Command::SideBySide(args) => side_by_side::run(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Train(args) => {
            train::run(args, matches.subcommand_matches("train").expect("the command that was typed"))
        }
        Command::Compare(args) => compare::run(args),
    }
}

/// What ConSE needs.
#[derive(Debug, Clone, Args)]
struct ConseArgs {
    /// The model whose classes images are mixed of: a run's folder, a model's file, or a source model; or a run of zeroshot train,
    /// which knows what is said of classes, so that --descriptions, --prompt and --top are not for it
    #[arg(long, value_name = "RUN|FILE|NAME", default_value = "efficientnet_lite0")]
    model: PathBuf,
    /// What says what classes are like: a file of word vectors, the folder of a sentence encoder, or glove or minilm; several
    /// are put together [default: minilm]
    #[arg(long, value_name = "FILE|FOLDER|NAME,…", value_delimiter = ',')]
    descriptions: Vec<String>,
    /// What an encoder reads of a class [default: a photo of a {}]
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// The most of the model's classes that an image is mixed of [default: 10]
    #[arg(long, value_name = "T")]
    top: Option<usize>,
    /// How images are made ready.
    #[command(flatten, next_help_heading = "Images")]
    preprocessing: PreprocessingOptions,
    /// How the network runs.
    #[command(flatten)]
    forward: ForwardArgs,
}

/// A model, and what it compares images with.
struct Ready {
    model: Classifier,
    namer: Namer,
    /// The classes to tell apart.
    classes: Vec<ClassName>,
    /// What a user should know, one line each.
    notes: Vec<String>,
}

/// How outputs of a model become scores for classes.
enum Namer {
    /// As mixtures of the model's own classes; `targets: [C, D]`, rows of length 1.
    Conse { conse: Conse, targets: Tensor },
    /// As points among those of classes, `[C, E]`.
    Learned { points: Tensor, method: Method },
}

impl Namer {
    /// Scores `[N, C]`, and mixtures where that is how they are made.
    fn scores(&self, outputs: &Tensor) -> Result<(Tensor, Option<Mixtures>)> {
        Ok(match self {
            Self::Conse { conse, targets } => {
                let mixtures = conse.mix(outputs)?;
                (mixtures.compared_with(targets)?, Some(mixtures))
            }
            Self::Learned { points, method } => (method.scores(outputs, points)?, None),
        })
    }
}

impl ConseArgs {
    /// Whether the model is a run that learned from descriptions.
    fn is_trained(&self) -> bool {
        SavedClasses::find(&self.model).is_some()
    }

    /// Fetches, opens and describes everything; of a run that learned from descriptions all its classes where none is wanted.
    fn ready(&self, wanted: &[ClassName], quiet: bool) -> Result<Ready> {
        let prompt = self.prompt.as_deref().unwrap_or("a photo of a {}");
        if !prompt.contains("{}") {
            return Err(Error::Usage(format!("--prompt {prompt}: lacks {{}}, where the class's name goes")));
        }
        once(wanted)?;
        let device = self.forward.device()?;
        if let Some(file) = SavedClasses::find(&self.model) {
            let idle = [
                ("--descriptions", !self.descriptions.is_empty()),
                ("--prompt", self.prompt.is_some()),
                ("--top", self.top.is_some()),
            ];
            if let Some((flag, _)) = idle.into_iter().find(|(_, given)| *given) {
                let model = self.model.display();
                let reason = format!("{flag} is not for {model}, which knows what is said of classes; leave it out");
                return Err(Error::Usage(reason));
            }
            return self.learned(&SavedClasses::open(&file)?, wanted, device, quiet);
        }
        if wanted.is_empty() {
            return Err(Error::Usage("--classes NAME,… is missing: the classes that images may show".into()));
        }
        output::fetch_if_source(&self.model, quiet)?;
        let names = if self.descriptions.is_empty() { &["minilm".to_string()][..] } else { &self.descriptions };
        let sources = names.iter().map(|name| output::text_source(name, quiet)).collect::<Result<Vec<_>>>()?;
        let model = Classifier::open(&self.model, device, &self.preprocessing)?;
        let own: Vec<ClassName> = model.spec.classes.iter().map(|class| ClassName::plain(class)).collect();
        let all = [&own[..], wanted].concat();
        let described = describe(&sources, &all, prompt, device)?;
        let (sources, targets) = (own.len() as i64, wanted.len() as i64);
        let unknown: Vec<&str> = (own.len()..all.len())
            .filter(|class| described.unknown.contains(class))
            .map(|class| all[class].class.as_str())
            .collect();
        if !unknown.is_empty() {
            return Err(Error::Data(format!(
                "nothing is said of {}: no word of it is known; give others, as in --classes 'NAME=OTHER|WORDS'",
                unknown.join(", ")
            )));
        }
        let vectors = described.vectors.f_narrow(0, sources, targets)?;
        distinct(&vectors, wanted)?;
        let notes = notes(&described, &own, wanted);
        let conse = Conse::new(
            &described.vectors.f_narrow(0, 0, sources)?.f_to_device(device)?,
            &described.unknown,
            self.top.unwrap_or(10),
        )?;
        let namer = Namer::Conse { conse, targets: vectors.f_to_device(device)? };
        Ok(Ready { model, namer, classes: wanted.to_vec(), notes })
    }

    /// A run's network, and where it has these classes, or its own.
    fn learned(&self, saved: &SavedClasses, wanted: &[ClassName], device: Device, quiet: bool) -> Result<Ready> {
        let own = || saved.about.classes.iter().map(|class| ClassName::plain(class)).collect();
        let classes: Vec<ClassName> = if wanted.is_empty() { own() } else { wanted.to_vec() };
        if !saved.has(&classes) {
            saved.about.options.descriptions.iter().try_for_each(|name| output::text_source(name, quiet).map(drop))?;
        }
        let (points, mut notes) = saved.place(&classes, device)?;
        let model = Classifier::open(&self.model, device, &self.preprocessing)?;
        let known = ClassName::shared(&classes, &saved.about.classes[..saved.about.seen]);
        if !known.is_empty() && !wanted.is_empty() {
            notes.push(format!("not unseen: the model has learned {} from images", known.join(", ")));
        }
        let (numbers, outputs) = (points.size()[1], model.spec.classes.len() as i64);
        if numbers != outputs {
            return Err(Error::file(
                &self.model,
                format!(
                    "has a network of {outputs} outputs and classes of {numbers} numbers, which are of different runs"
                ),
            ));
        }
        let namer = Namer::Learned { points: points.f_to_device(device)?, method: saved.about.method };
        Ok(Ready { model, namer, classes, notes })
    }
}

/// Refuses a run whose network has no classes but meets them by what is said of them.
pub(super) fn refuse_trained(model: &std::path::Path) -> Result<()> {
    match SavedClasses::find(model) {
        Some(_) => Err(Error::file(
            model,
            "is a run of zeroshot train, whose outputs are no classes: use regraft zeroshot predict or zeroshot evaluate",
        )),
        None => Ok(()),
    }
}

/// Whether no class is named twice.
fn once(names: &[ClassName]) -> Result<()> {
    let twice = (1..names.len()).find(|&at| names[..at].iter().any(|other| other.class == names[at].class));
    twice.map_or(Ok(()), |at| Err(Error::Usage(format!("--classes names {} twice", names[at].class))))
}

/// Whether every two classes are told apart by what is said of them.
fn distinct(vectors: &Tensor, names: &[ClassName]) -> Result<()> {
    let cosines = Vec::<Vec<f64>>::try_from(&vectors.f_matmul(&vectors.f_tr()?)?.f_to_kind(tch::Kind::Double)?)?;
    for (one, row) in cosines.iter().enumerate() {
        if let Some(other) = (0..one).find(|&other| row[other] > 1.0 - 1e-6) {
            let (one, other) = (&names[one].class, &names[other].class);
            return Err(Error::Data(format!("the same is said of {other} and {one}, so nothing can tell them apart")));
        }
    }
    Ok(())
}

/// Words that are not known, classes that are left out, and classes that are no news to the model.
fn notes(described: &Described, own: &[ClassName], wanted: &[ClassName]) -> Vec<String> {
    let mut notes = vec![];
    let missing: BTreeMap<&str, String> = described
        .missing
        .iter()
        .filter(|(class, _)| **class >= own.len())
        .map(|(class, words)| (wanted[class - own.len()].class.as_str(), words.join(", ")))
        .collect();
    for (class, words) in missing {
        notes.push(format!("{class}: nothing is known of {words}, so the rest stands for it"));
    }
    let left_out = described.unknown.iter().filter(|class| **class < own.len()).count();
    if left_out > 0 {
        notes.push(format!(
            "{left_out} of the model's {} classes are left out: none of their words is known",
            own.len()
        ));
    }
    let own: Vec<String> = own.iter().map(|name| name.class.clone()).collect();
    let seen = ClassName::shared(wanted, &own);
    if !seen.is_empty() {
        notes.push(format!("not unseen: the model has learned {} from images", seen.join(", ")));
    }
    notes
}

/// The device's numbers as rows.
fn rows(x: &Tensor) -> Result<Vec<Vec<f64>>> {
    Ok(Vec::try_from(&x.f_to_device(Device::Cpu)?.f_to_kind(tch::Kind::Double)?)?)
}
