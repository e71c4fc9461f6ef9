//! `regraft zeroshot side-by-side`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::super::forward::Images;
use super::{ConseArgs, Ready, output, rows};
use crate::Error;
use crate::report::{Align, Table};
use crate::text::ClassName;

/// The command's arguments.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  regraft zeroshot side-by-side --trained runs/zeroshot-001 --classes zebra,okapi,tapir *.jpg"
)]
pub(super) struct SideBySideArgs {
    /// The images
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// A run of zeroshot train
    #[arg(long, value_name = "RUN")]
    trained: PathBuf,
    /// Any classes, separated by commas [default: those of the run]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    classes: Vec<ClassName>,
    /// How many guesses of each are shown
    #[arg(long, value_name = "K", default_value_t = 3)]
    show: usize,
    /// What mixes.
    #[command(flatten)]
    conse: ConseArgs,
    /// Prints JSON, one array element per image
    #[arg(long)]
    json: bool,
}

/// The best guesses of each for one image.
#[derive(Debug, Serialize)]
struct Guesses {
    image: PathBuf,
    softmax: Vec<String>,
    trained: Vec<String>,
    conse: Vec<String>,
}

/// Runs the command; an image that cannot be read does not keep the others from being named, but ends in exit code 1.
pub(super) fn run(args: &SideBySideArgs) -> anyhow::Result<ExitCode> {
    if args.show == 0 {
        return Err(Error::Usage("--show must be at least 1".into()).into());
    }
    // the other options are about what mixes
    let of_run =
        ConseArgs { model: args.trained.clone(), descriptions: vec![], prompt: None, top: None, ..args.conse.clone() };
    if !of_run.is_trained() {
        let run = args.trained.display();
        return Err(Error::Usage(format!("--trained {run}: is no run of zeroshot train")).into());
    }
    if args.conse.is_trained() {
        let model = args.conse.model.display();
        let reason =
            "is a run of zeroshot train; expected a model that knows classes, whose softmax is shown and mixed";
        return Err(Error::Usage(format!("--model {model}: {reason}")).into());
    }
    let trained = of_run.ready(&args.classes, args.json)?;
    let conse = args.conse.ready(&trained.classes, args.json)?;
    trained.notes.iter().chain(&conse.notes).for_each(|note| eprintln!("{note}"));
    let (mut all, mut failed) = (vec![], false);
    for paths in args.images.chunks(args.conse.forward.batch_size) {
        let (images, complete) = Images::read(paths, &conse.model)?;
        failed |= !complete;
        if images.is_empty() {
            continue;
        }
        let (paths, logits) = args.conse.forward.logits(&conse.model, images)?;
        let mixed = best(&rows(&conse.namer.scores(&logits)?.0)?, &names(&conse), args.show);
        let softmax = best(&rows(&logits)?, &conse.model.spec.classes, args.show);
        let found: Vec<PathBuf> = paths.iter().map(|path| path.to_path_buf()).collect();
        // each network takes images its own way
        let (images, _) = Images::read(&found, &trained.model)?;
        let (_, outputs) = args.conse.forward.logits(&trained.model, images)?;
        let learned = best(&rows(&trained.namer.scores(&outputs)?.0)?, &names(&trained), args.show);
        for (((image, softmax), trained), conse) in found.into_iter().zip(softmax).zip(learned).zip(mixed) {
            all.push(Guesses { image, softmax, trained, conse });
        }
    }
    if args.json {
        output::print_json(&all)?;
    } else {
        let columns = ["image", "softmax", "trained", "ConSE"].map(|name| (name, Align::Left));
        let mut table = Table::new(columns);
        for one in &all {
            let name = one.image.file_name().unwrap_or_default().to_string_lossy().into_owned();
            for line in 0..args.show {
                let guess = |of: &[String]| of.get(line).cloned().unwrap_or_default();
                let image = if line == 0 { name.clone() } else { String::new() };
                table.row([image, guess(&one.softmax), guess(&one.trained), guess(&one.conse)]);
            }
        }
        output::print(&format!("{table}\n"))?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn names(ready: &Ready) -> Vec<String> {
    ready.classes.iter().map(|name| name.class.clone()).collect()
}

/// The names with the highest scores of each row, the best first.
fn best(scores: &[Vec<f64>], names: &[String], show: usize) -> Vec<Vec<String>> {
    let of = |row: &Vec<f64>| {
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
        order.into_iter().take(show).map(|at| names[at].clone()).collect()
    };
    scores.iter().map(of).collect()
}
