//! `regraft matrix`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgMatches, Args};

use super::output;
use super::run_args::RunArgs;
use crate::methods::both_labelled::matrix::{self, MatrixOptions};

/// The command's arguments.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Every task is learned as a source with all its images; from there, every task is learned as a target, with few \
    images, and alone. Before that, LogME, H-score and LEEP forecast which source will help. Here \
    --shots N takes N images per class of those that are not held out, so that all runs on a task are tested on the same images. \
    Started again, it goes on where it was stopped.\n\n\
    Examples:\n  regraft matrix --task digits=mnist --task clothes=fashion --shots 20 --model small_cnn --from-scratch --epochs 60\n  \
    regraft matrix --task birds=birds --task cars=cars --task scans=scans,classes=ill+well --shots 10 --seeds 3 --out runs/table"
)]
pub struct MatrixArgs {
    #[command(flatten)]
    options: MatrixOptions,
    /// Folder of the table and its runs
    #[arg(long, value_name = "FOLDER", default_value = "runs/matrix", help_heading = "Run")]
    out: PathBuf,
    #[command(flatten)]
    run: RunArgs,
}

/// Runs the command.
///
/// # Errors
/// See [`matrix::run`].
pub fn run(args: &MatrixArgs, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (options, out) = (args.run.options(&args.options, matches)?, &args.out);
    if args.run.print_config {
        output::print_json(&options)?;
        return Ok(ExitCode::SUCCESS);
    }
    options.validate()?;
    output::fetch_if_missing(&options.finetune.model, args.run.quiet)?;
    let mut cells = args.run.cells(out);
    let outcome = matrix::run(&options, &mut cells, &mut |line| {
        if !args.run.quiet {
            eprintln!("{line}");
        }
    })?;
    if args.run.json {
        output::print_json(&outcome)?;
        return Ok(ExitCode::SUCCESS);
    }
    let folder = out.display();
    let mut text = format!("{}\n\neverything is in {folder}\n", outcome.text());
    for (what, file) in outcome.files() {
        text += &format!("  {what:<9}  {folder}/{file}\n");
    }
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}
