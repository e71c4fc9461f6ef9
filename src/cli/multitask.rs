//! `regraft multitask`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgMatches, Args};
use serde::{Deserialize, Serialize};

use super::output;
use super::run_args::RunArgs;
use crate::methods::both_labelled::multitask::{self, CompareOptions, MultitaskOptions};
use crate::report::format;

/// The command's arguments.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Started again, it goes on where it was stopped. Fine-tuning's options hold for all tasks.\n\n\
    Examples:\n  regraft multitask --task cats=photos/cats --task dogs=photos/dogs\n  \
    regraft multitask --task digits=data/mnist --task clothes=data/fashion --own first:1 --task-weights uncertainty\n  \
    regraft multitask --task low=data/mnist,classes=0+1+2+3+4 --task high=data/mnist,classes=5+6+7+8+9 \
    --model small_cnn --from-scratch --shares 0.01,0.05,0.25,1 --seeds 3"
)]
pub struct MultitaskArgs {
    #[command(flatten)]
    options: Options,
    /// Folder of all runs
    #[arg(long, value_name = "FOLDER", default_value = "runs/multitask", help_heading = "Run")]
    out: PathBuf,
    #[command(flatten)]
    run: RunArgs,
}

/// All options.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
struct Options {
    #[command(flatten)]
    #[serde(flatten)]
    of_run: MultitaskOptions,
    #[command(flatten)]
    #[serde(flatten)]
    compare: CompareOptions,
}

/// Runs the command.
///
/// # Errors
/// See [`multitask::compare`].
pub fn run(args: MultitaskArgs, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let options = args.run.options(&args.options, matches)?;
    if args.run.print_config {
        output::print_json(&Options { of_run: options.of_run.resolved(), ..options })?;
        return Ok(ExitCode::SUCCESS);
    }
    let Options { of_run: options, compare } = options;
    compare.validate(&options)?;
    output::fetch_if_missing(&options.finetune.model, args.run.quiet)?;
    let out = &args.out;
    let mut cells = args.run.cells(out);
    let found = multitask::compare(&options, &compare, &mut cells, &mut |label, result| {
        if !args.run.quiet {
            let accuracy = format::percent(result.metrics["accuracy"]);
            eprintln!("{label}: {accuracy} after {} steps in {}", result.steps, format::seconds(result.seconds));
        }
    })?;
    crate::files::write_json(out.join("multitask.json"), &found)?;
    let picture = out.join("multitask.png");
    let is_curve = !compare.shares.is_empty();
    if is_curve {
        multitask::plot(&found, &picture)?;
    }
    if args.run.json {
        output::print_json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let folder = out.display();
    let picture = if is_curve { format!("  curve      {}\n", picture.display()) } else { String::new() };
    output::print(&format!(
        "{}\n\nShare of validation images named rightly; {}; everything is in {folder}\n{picture}  numbers    \
         {folder}/multitask.json\n  use one    regraft predict --model {} IMAGE\n",
        multitask::table(&found),
        format::seconds(found.seconds),
        cells.path(&found.example).display(),
    ))?;
    Ok(ExitCode::SUCCESS)
}
