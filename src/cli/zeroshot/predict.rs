//! `regraft zeroshot predict`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::super::forward::Images;
use super::{ConseArgs, Ready, output, rows};
use crate::text::ClassName;
use crate::{Error, Result};

/// The command's arguments.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  regraft zeroshot predict --classes zebra,okapi,tapir photo.jpg\n  \
    regraft zeroshot predict --classes 'liger,german shepherd=alsatian|German shepherd dog' --descriptions glove *.jpg --json")]
pub(super) struct PredictArgs {
    /// The images
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Any classes, separated by commas; NAME=PHRASE|PHRASE for one that goes by other phrases than its name [default: those of a
    /// run of zeroshot train]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    classes: Vec<ClassName>,
    /// How many of the classes are shown
    #[arg(long, value_name = "K", default_value_t = 5)]
    show: usize,
    /// How the image is described.
    #[command(flatten)]
    conse: ConseArgs,
    /// Prints JSON, one array element per image
    #[arg(long)]
    json: bool,
}

/// What is said of one image.
#[derive(Debug, Serialize)]
struct Answer {
    image: PathBuf,
    classes: Vec<Guess>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mixture: Vec<Part>,
}

#[derive(Debug, Serialize)]
struct Guess {
    class: String,
    /// The cosine with its mixture, or what a trained network makes of it.
    score: f64,
}

#[derive(Debug, Serialize)]
struct Part {
    class: String,
    share: f64,
}

/// Runs the command; an image that cannot be read does not keep the others from being named, but ends in exit code 1.
pub(super) fn run(args: &PredictArgs) -> anyhow::Result<ExitCode> {
    if args.show == 0 {
        return Err(Error::Usage("--show must be at least 1".into()).into());
    }
    let ready = args.conse.ready(&args.classes, args.json)?;
    ready.notes.iter().for_each(|note| eprintln!("{note}"));
    let (mut answers, mut failed) = (vec![], false);
    for paths in args.images.chunks(args.conse.forward.batch_size) {
        let (images, all) = Images::read(paths, &ready.model)?;
        failed |= !all;
        if !images.is_empty() {
            answers.extend(name(&ready, images, args)?);
        }
    }
    if args.json {
        output::print_json(&answers)?;
    } else {
        output::print(&answers.iter().map(block).collect::<String>())?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The image, the classes under it with their scores, and what it was taken for a mixture of, if it was.
fn block(answer: &Answer) -> String {
    let line = |Guess { class, score }: &Guess| format!("  {score:>6.3}  {class}\n");
    let parts: Vec<String> = answer
        .mixture
        .iter()
        .filter(|part| part.share >= 0.005)
        .take(5)
        .map(|Part { class, share }| format!("{share:.2} {class}"))
        .collect();
    let best = answer.classes.first().map_or("", |guess| guess.class.as_str());
    let image = answer.image.display();
    let lines: String = answer.classes.iter().map(line).collect();
    let mixed = if parts.is_empty() { String::new() } else { format!("  {} → {best}\n", parts.join(" + ")) };
    format!("{image}\n{lines}{mixed}")
}

fn name(ready: &Ready, images: Images, args: &PredictArgs) -> Result<Vec<Answer>> {
    let (paths, logits) = args.conse.forward.logits(&ready.model, images)?;
    let (scores, mixtures) = ready.namer.scores(&logits)?;
    let (scores, mut mixed) = (rows(&scores)?, vec![]);
    if let Some(mixtures) = &mixtures {
        let own = &ready.model.spec.classes;
        let part = |(&class, &share): (&i64, &f64)| Part { class: own[class as usize].clone(), share };
        let (classes, shares) = (Vec::<Vec<i64>>::try_from(&mixtures.classes)?, rows(&mixtures.shares)?);
        mixed = classes
            .iter()
            .zip(&shares)
            .map(|(classes, shares)| classes.iter().zip(shares).map(part).collect())
            .collect();
    }
    let mut mixed = mixed.into_iter();
    let mut answers = vec![];
    for (path, scores) in paths.into_iter().zip(scores) {
        let guess = |(name, score): (&ClassName, f64)| Guess { class: name.class.clone(), score };
        let mut classes: Vec<Guess> = ready.classes.iter().zip(scores).map(guess).collect();
        classes.sort_by(|a, b| b.score.total_cmp(&a.score));
        classes.truncate(args.show);
        answers.push(Answer { image: path.to_path_buf(), classes, mixture: mixed.next().unwrap_or_default() });
    }
    Ok(answers)
}
