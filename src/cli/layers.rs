//! `regraft layers`: which layers transfer, and how far.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgMatches, Args};

use super::output::{print, print_json};
use super::run_args::RunArgs;
use super::{embedded, output};
use crate::methods::both_labelled::layers::{self, LayersOptions};

/// The command's arguments.
#[derive(Debug, Args)]
#[command(
    after_help = "Started again, it goes on where it was stopped. Without --data it uses the images that come with \
    regraft.\n\n\
    Examples:\n  regraft layers\n  \
    regraft layers --data photos --model resnet18 --image-size 64 --target-classes cat,dog,horse\n  \
    regraft layers --data photos --model efficientnet_lite0 --pretrained --curves AnB,AnB+ --seeds 1"
)]
pub struct LayersArgs {
    #[command(flatten)]
    options: LayersOptions,
    /// Folder for one run per network, the plots and layers.json
    #[arg(long, value_name = "FOLDER", default_value = "runs/layers", help_heading = "Run")]
    out: PathBuf,
    #[command(flatten)]
    run: RunArgs,
}

/// Runs the command.
///
/// # Errors
/// See [`layers::run`].
pub fn run(args: LayersArgs, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let mut options = args.run.options(&args.options, matches)?;
    if args.run.print_config {
        print_json(&options)?;
        return Ok(ExitCode::SUCCESS);
    }
    if options.finetune.data.data.is_none() {
        options.finetune.data.data = Some(args.out.join("fashion-mnist"));
        options.validate()?;
        embedded::unpack(&args.out.join("fashion-mnist"))?;
    }
    options.validate()?;
    if options.pretrained {
        output::fetch_if_missing(&options.finetune.model, args.run.quiet)?;
    }
    let outcome = layers::run(&options, &mut args.run.cells(&args.out))?;
    if args.run.json {
        print_json(&outcome)?;
        return Ok(ExitCode::SUCCESS);
    }
    for (end, plot) in options.ends.iter().zip(&outcome.plots) {
        print(&format!("{}\n\n{}\n\n", layers::table(&outcome, *end), plot.display()))?;
    }
    print(&format!(
        "share of B's held-out images named rightly, over {} seed(s); the runs are in {}\n",
        options.seeds,
        args.out.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}
