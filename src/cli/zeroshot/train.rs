//! `regraft zeroshot train`.

use std::process::ExitCode;

use clap::{ArgMatches, Args};

use super::super::run_args::SingleArgs;
use super::super::{interrupt, output};
use crate::methods::source_labelled::zero_shot::train::{self, Outcome, TrainOptions};
use crate::report::{Align, RunDir, Table, format};

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
    #[command(flatten)]
    single: SingleArgs,
}

/// Runs the command.
pub(super) fn run(args: &TrainArgs, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let options = args.single.options(&args.options, matches)?;
    if args.single.run.print_config {
        output::print_json(&options.resolved())?;
        return Ok(ExitCode::SUCCESS);
    }
    options.validate()?;
    // a checkpoint is all that the network needs to go on; what is said of classes is read again
    if args.single.resume.is_none() {
        output::fetch_if_missing(&options.model, args.single.run.quiet)?;
    }
    options
        .about
        .descriptions
        .iter()
        .try_for_each(|name| output::text_source(name, args.single.run.quiet).map(drop))?;
    let (run, step) = args.single.folder("zeroshot", args.single.out.as_deref(), &options.resolved())?;
    let mut observers = interrupt::observers(&run, step, args.single.run.quiet)?;
    let outcome = train::run(&options, &run, &mut observers, interrupt::flag(), step.is_some())?;
    if args.single.run.json {
        output::print_json(&outcome)?;
    } else {
        output::print(&render(&outcome, &run))?;
    }
    Ok(ExitCode::SUCCESS)
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
