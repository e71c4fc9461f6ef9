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
    /// Any classes, separated by commas; NAME=PHRASE|PHRASE for one that goes by other phrases than its name
    #[arg(long, required = true, value_name = "NAME,…", value_delimiter = ',')]
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
    mixture: Vec<Part>,
}

#[derive(Debug, Serialize)]
struct Guess {
    class: String,
    cosine: f64,
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

/// The image, the classes under it with their cosines, and what it was taken for a mixture of.
fn block(answer: &Answer) -> String {
    let line = |Guess { class, cosine }: &Guess| format!("  {cosine:>6.3}  {class}\n");
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
    format!("{image}\n{lines}  {} → {best}\n", parts.join(" + "))
}

fn name(ready: &Ready, images: Images, args: &PredictArgs) -> Result<Vec<Answer>> {
    let (paths, logits) = args.conse.forward.logits(&ready.model, images)?;
    let mixtures = ready.conse.mix(&logits)?;
    let (cosines, shares) = (rows(&mixtures.compared_with(&ready.targets)?)?, rows(&mixtures.shares)?);
    let parts = Vec::<Vec<i64>>::try_from(&mixtures.classes)?;
    let mut answers = vec![];
    for (at, path) in paths.into_iter().enumerate() {
        let guess = |(name, &cosine): (&ClassName, &f64)| Guess { class: name.class.clone(), cosine };
        let mut classes: Vec<Guess> = args.classes.iter().zip(&cosines[at]).map(guess).collect();
        classes.sort_by(|a, b| b.cosine.total_cmp(&a.cosine));
        classes.truncate(args.show);
        let own = &ready.model.spec.classes;
        let part = |(&class, &share): (&i64, &f64)| Part { class: own[class as usize].clone(), share };
        let mixture = parts[at].iter().zip(&shares[at]).map(part).collect();
        answers.push(Answer { image: path.to_path_buf(), classes, mixture });
    }
    Ok(answers)
}
