//! `regraft finetune`.

use std::path::Path;
use std::process::ExitCode;

use clap::{ArgMatches, Args};

use super::run_args::SingleArgs;
use super::{interrupt, output};
use crate::Error;
use crate::methods::both_labelled::finetune::{self, FinetuneOptions, Outcome};
use crate::methods::options::seeds;
use crate::report::RunDir;

/// The command's arguments.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Selectors: all, none, first:N, last:N, head, laterals (with --beside), a stage (`regraft inspect` lists \
    them), or a glob over parameter names such as 'layer4.*'; several separated by commas.\n\n\
    Rules of --map: PATTERN -> NAME, where * is any text, {i} a number, {i:1|2} one of these numbers, {i+1} and {2*i} \
    arithmetic on them; `| reshape` after it allows another shape with as many elements.\n\n\
    Examples:\n  regraft finetune --data photos\n  regraft finetune --data photos --freeze all --no-augment --head linear\n  \
    regraft finetune --data photos --freeze all --unfreeze-at 2:last:2 --lr-scale head=10\n  \
    regraft finetune --data photos --shots 5 --freeze all --head prototype --no-augment\n  \
    regraft finetune --data photos --copy first:3 --from encoder.pth --map 'encoder.* -> *' --freeze first:3"
)]
pub struct FinetuneArgs {
    #[command(flatten)]
    options: FinetuneOptions,
    /// Repeats with seeds SEED, SEED+1, … and reports mean ± standard deviation
    #[arg(long, value_name = "N", conflicts_with = "resume", help_heading = "Run")]
    seeds: Option<u64>,
    /// Draws the loss against the learning rate instead of training, and suggests a rate
    #[arg(long, conflicts_with_all = ["resume", "seeds"], help_heading = "Run")]
    lr_find: bool,
    #[command(flatten)]
    single: SingleArgs,
}

/// Runs the command.
///
/// # Errors
/// See [`finetune::run`].
pub fn run(args: FinetuneArgs, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let options = args.single.options(&args.options, matches)?;
    if args.single.run.print_config {
        output::print_json(&options.resolved())?;
        return Ok(ExitCode::SUCCESS);
    }
    options.validate()?;
    // a checkpoint is all that a run needs to go on
    if args.single.resume.is_none() {
        output::fetch_if_missing(&options.model, args.single.run.quiet)?;
    }
    if args.lr_find {
        find_rate(&options, &args)?;
    } else if let Some(count) = args.seeds {
        repeat(&options, count, &args)?;
    } else {
        let (run, outcome) = train(&options, &args, args.single.out.as_deref())?;
        output::outcome(&outcome, &run, args.single.run.json)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn train(options: &FinetuneOptions, args: &FinetuneArgs, out: Option<&Path>) -> crate::Result<(RunDir, Outcome)> {
    let (run, step) = args.single.folder("finetune", out, &options.resolved())?;
    let mut observers = interrupt::observers(&run, step, args.single.run.quiet)?;
    let outcome = finetune::run(options, &run, &mut observers, interrupt::flag(), step.is_some())?;
    Ok((run, outcome))
}

/// One run per seed, and the spread of what they found.
fn repeat(options: &FinetuneOptions, count: u64, args: &FinetuneArgs) -> anyhow::Result<()> {
    if count < 2 {
        return Err(Error::Usage(format!("--seeds {count}: a spread needs at least 2")).into());
    }
    let seeds = seeds(options.machine.seed, count).map_err(Error::Usage)?;
    // One folder holds the spread and a run per seed.
    let all = match &args.single.out {
        Some(out) => out.clone(),
        None => RunDir::next_free("runs", "finetune")?,
    };
    let mut outcomes = vec![];
    for seed in seeds {
        let mut options = options.clone();
        options.machine.seed = seed;
        let (_, outcome) = train(&options, args, Some(&all.join(format!("seed-{seed}"))))?;
        outcomes.push((seed, outcome));
    }
    output::spread(&outcomes, &all, args.single.run.json)?;
    Ok(())
}

fn find_rate(options: &FinetuneOptions, args: &FinetuneArgs) -> anyhow::Result<()> {
    let (run, _) = args.single.folder("finetune", args.single.out.as_deref(), &options.resolved())?;
    let mut observers = interrupt::observers(&run, None, args.single.run.quiet)?;
    let found = finetune::find_rate(options, &run, &mut observers, interrupt::flag())?;
    output::rate(&found, args.single.run.json)
}
