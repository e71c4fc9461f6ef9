//! `regraft zeroshot train`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgMatches, Args};

use super::super::{interrupt, output};
use crate::methods::source_labelled::zero_shot::train::{self, Outcome, TrainOptions};
use crate::report::{Align, RunDir, Table, format};
use crate::train::Checkpoint;
use crate::{Result, files, options};

/// The command's arguments.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:\n  regraft zeroshot train --data animals --attributes awa --unseen leopard,pig,raccoon,seal --freeze all --no-augment\n  \
    regraft zeroshot train --data photos --descriptions glove,minilm --unseen dog,house --method ale --epochs 10\n  \
    regraft zeroshot train --data animals --attributes awa --unseen leopard,pig --from-scratch --model resnet18 --image-size 64\n\n\
    Then: regraft zeroshot predict --model RUN IMAGE"
)]
pub(super) struct TrainArgs {
    #[command(flatten)]
    options: TrainOptions,
    /// Folder of the run [default: the next free runs/zeroshot-NNN]
    #[arg(long, value_name = "FOLDER", help_heading = "Run")]
    out: Option<PathBuf>,
    /// Goes on with this run from its last checkpoint, with the options it was started with
    #[arg(long, value_name = "RUN", conflicts_with_all = ["out", "force", "config"], help_heading = "Run")]
    resume: Option<PathBuf>,
    /// Overwrites a run that is in the folder already
    #[arg(long, help_heading = "Run")]
    force: bool,
    /// Reads options from a JSON file, as a run's config.json; what is typed takes precedence
    #[arg(long, value_name = "FILE", help_heading = "Run")]
    config: Option<PathBuf>,
    /// Prints all options as JSON and ends
    #[arg(long, help_heading = "Run")]
    print_config: bool,
    /// Prints what was found as JSON
    #[arg(long, help_heading = "Run")]
    json: bool,
    /// Shows no progress
    #[arg(long, short, help_heading = "Run")]
    quiet: bool,
}

/// Runs the command.
pub(super) fn run(args: &TrainArgs, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let options = match (&args.resume, &args.config) {
        (Some(run), _) => files::read_json(run.join("config.json"))?,
        (None, Some(file)) => options::from_file(file, &args.options, matches)?,
        (None, None) => args.options.clone(),
    };
    if args.print_config {
        output::print_json(&options.resolved())?;
        return Ok(ExitCode::SUCCESS);
    }
    options.validate()?;
    output::fetch_if_missing(&options.model, args.quiet)?;
    options.about.descriptions.iter().try_for_each(|name| output::text_source(name, args.quiet).map(drop))?;
    let (run, step) = folder(args, &options)?;
    let mut observers = interrupt::observers(&run, step, args.quiet)?;
    let outcome = train::run(&options, &run, &mut observers, interrupt::flag(), args.resume.is_some())?;
    if args.json {
        output::print_json(&outcome)?;
    } else {
        output::print(&render(&outcome, &run))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The folder of the run, and the step that it goes on from.
fn folder(args: &TrainArgs, options: &TrainOptions) -> Result<(RunDir, Option<u64>)> {
    if let Some(run) = &args.resume {
        let run = RunDir::open(run)?;
        let step = Checkpoint::read_state(&run.last())?.step as u64;
        return Ok((run, Some(step)));
    }
    let run = match &args.out {
        Some(out) => RunDir::create(out, args.force)?,
        None => RunDir::create_numbered("runs", "zeroshot")?,
    };
    run.write_config(&options.resolved())?;
    Ok((run, None))
}

fn render(outcome: &Outcome, run: &RunDir) -> String {
    let mut table = Table::new([("unseen class", Align::Left), ("images", Align::Right), ("right", Align::Right)]);
    for one in &outcome.unseen.classes {
        let right = one.accuracy.map_or("–".into(), format::percent);
        table.row([one.class.clone(), one.images.to_string(), right]);
    }
    let (unseen, seen, all) = (&outcome.unseen, &outcome.seen, outcome.all);
    let folder = run.path().display();
    let picture = run.plots().join("space.png");
    let look = if picture.is_file() { format!("  look at it  {}\n", picture.display()) } else { String::new() };
    format!(
        "{table}\n\namong unseen classes {} (chance {}), among seen ones {}; among all: U {}, S {}, H {}, AUSUC {:.3}\n(seen classes: on the \
         held-out images that chose the epoch)\n{} in {}; everything is in {folder}\n{look}  use it      regraft zeroshot predict --model \
         {folder} IMAGE\n",
        format::percent(unseen.per_class_accuracy),
        format::percent(unseen.chance),
        format::percent(seen.per_class_accuracy),
        format::percent(all.unseen),
        format::percent(all.seen),
        format::percent(all.harmonic()),
        outcome.ausuc,
        format::rate(outcome.result.images_per_second, "images"),
        format::seconds(outcome.result.seconds),
    )
}
