//! `regraft zeroshot`: classes of which nobody has an image, named by what is said of them.

mod compare;
mod evaluate;
mod predict;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use tch::{Device, Tensor};

use super::forward::ForwardArgs;
use super::output;
use crate::data::PreprocessingOptions;
use crate::methods::source_labelled::zero_shot::conse::Conse;
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
    /// Measure it on labelled images
    Evaluate(evaluate::EvaluateArgs),
    /// Learn from some classes and test on others, by several methods
    Compare(Box<compare::CompareArgs>),
}

/// Runs the command.
///
/// # Errors
/// See the commands.
pub fn run(args: &ZeroshotArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Predict(args) => predict::run(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Compare(args) => compare::run(args),
    }
}

/// What ConSE needs.
#[derive(Debug, Args)]
struct ConseArgs {
    /// The model whose classes images are mixed of: a run's folder, a model's file, or a source model
    #[arg(long, value_name = "RUN|FILE|NAME", default_value = "efficientnet_lite0")]
    model: PathBuf,
    /// What says what classes are like: a file of word vectors, the folder of a sentence encoder, or glove or minilm; several
    /// are put together
    #[arg(long, value_name = "FILE|FOLDER|NAME,…", value_delimiter = ',', default_value = "minilm")]
    descriptions: Vec<String>,
    /// What an encoder reads of a class
    #[arg(long, value_name = "TEXT", default_value = "a photo of a {}")]
    prompt: String,
    /// The most of the model's classes that an image is mixed of
    #[arg(long, value_name = "T", default_value_t = 10)]
    top: usize,
    /// How images are made ready.
    #[command(flatten, next_help_heading = "Images")]
    preprocessing: PreprocessingOptions,
    /// How the network runs.
    #[command(flatten)]
    forward: ForwardArgs,
}

/// A model, what is said of its classes, and what is said of those to tell apart.
struct Ready {
    model: Classifier,
    conse: Conse,
    /// `[C, D]`, rows of length 1, on the model's device.
    targets: Tensor,
    /// What a user should know, one line each.
    notes: Vec<String>,
}

impl ConseArgs {
    /// Fetches, opens and describes everything.
    fn ready(&self, wanted: &[ClassName], quiet: bool) -> Result<Ready> {
        if !self.prompt.contains("{}") {
            return Err(Error::Usage(format!("--prompt {}: lacks {{}}, where the class's name goes", self.prompt)));
        }
        once(wanted)?;
        let device = self.forward.device()?;
        output::fetch_if_source(&self.model, quiet)?;
        let sources =
            self.descriptions.iter().map(|name| output::text_source(name, quiet)).collect::<Result<Vec<_>>>()?;
        let model = Classifier::open(&self.model, device, &self.preprocessing)?;
        let own: Vec<ClassName> = model.spec.classes.iter().map(|class| name_of(class)).collect();
        let all = [&own[..], wanted].concat();
        let described = describe(&sources, &all, &self.prompt, device)?;
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
        let conse =
            Conse::new(&described.vectors.f_narrow(0, 0, sources)?.f_to_device(device)?, &described.unknown, self.top)?;
        Ok(Ready { model, conse, targets: vectors.f_to_device(device)?, notes })
    }
}

/// Whether no class is named twice.
fn once(names: &[ClassName]) -> Result<()> {
    let twice = (1..names.len()).find(|&at| names[..at].iter().any(|other| other.class == names[at].class));
    twice.map_or(Ok(()), |at| Err(Error::Usage(format!("--classes names {} twice", names[at].class))))
}

/// A class by its plain name: no sign in it means anything.
fn name_of(class: &str) -> ClassName {
    let plain = class.replace(['=', '|'], " ");
    let phrases = plain.parse::<ClassName>().map_or_else(|_| vec![class.to_string()], |name| name.phrases);
    ClassName { class: class.to_string(), phrases }
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
    let seen: Vec<&str> = wanted
        .iter()
        .filter(|name| own.iter().any(|known| known.phrases.iter().any(|phrase| name.phrases.contains(phrase))))
        .map(|name| name.class.as_str())
        .collect();
    if !seen.is_empty() {
        notes.push(format!("not unseen: the model has learned {} from images", seen.join(", ")));
    }
    notes
}

/// The device's numbers as rows.
fn rows(x: &Tensor) -> Result<Vec<Vec<f64>>> {
    Ok(Vec::try_from(&x.f_to_device(Device::Cpu)?.f_to_kind(tch::Kind::Double)?)?)
}
