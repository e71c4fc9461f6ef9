//! `regraft finetune`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgMatches, Args};

use super::{interrupt, output};
use crate::methods::both_labelled::finetune::{self, FinetuneOptions, Outcome};
use crate::report::RunDir;
use crate::train::Checkpoint;
use crate::{Error, options};

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
    /// Folder of the run [default: the next free runs/finetune-NNN]
    #[arg(long, value_name = "FOLDER", help_heading = "Run")]
    out: Option<PathBuf>,
    /// Goes on with this run from its last checkpoint, with the options it was started with
    #[arg(long, value_name = "RUN", conflicts_with_all = ["out", "force", "config", "seeds", "lr_find"], help_heading = "Run")]
    resume: Option<PathBuf>,
    /// Overwrites a run that is in the folder already
    #[arg(long, help_heading = "Run")]
    force: bool,
    /// Repeats with seeds SEED, SEED+1, … and reports mean ± standard deviation
    #[arg(long, value_name = "N", help_heading = "Run")]
    seeds: Option<u64>,
    /// Draws the loss against the learning rate instead of training, and suggests a rate
    #[arg(long, help_heading = "Run")]
    lr_find: bool,
    /// Reads options from a JSON file, as a run's config.json; what is typed takes precedence
    #[arg(long, value_name = "FILE", help_heading = "Run")]
    config: Option<PathBuf>,
    /// Prints all options as JSON and ends
    #[arg(long, help_heading = "Run")]
    print_config: bool,
    /// Prints the result as JSON
    #[arg(long, help_heading = "Run")]
    json: bool,
    /// Shows no progress
    #[arg(long, short, help_heading = "Run")]
    quiet: bool,
}

/// Runs the command.
///
/// # Errors
/// See [`finetune::run`].
pub fn run(args: FinetuneArgs, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    if let Some(folder) = &args.resume {
        let options = finetune::options_of(folder)?;
        let run = RunDir::open(folder)?;
        output::outcome(&train(&options, &run, &args)?, &run, args.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let options = match &args.config {
        Some(file) => options::from_file(file, &args.options, matches)?,
        None => args.options.clone(),
    };
    if args.print_config {
        output::print_json(&options.resolved())?;
        return Ok(ExitCode::SUCCESS);
    }
    options.validate()?;
    output::fetch_if_missing(&options.model, args.quiet)?;
    if args.lr_find {
        return find_rate(&options, &args);
    }
    match args.seeds {
        None => {
            let run = folder(&args, args.out.as_deref())?;
            output::outcome(&train(&options, &run, &args)?, &run, args.json)?;
        }
        Some(count) => repeat(&options, count, &args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn folder(args: &FinetuneArgs, out: Option<&Path>) -> crate::Result<RunDir> {
    match out {
        Some(out) => RunDir::create(out, args.force),
        None => RunDir::create_numbered("runs", "finetune"),
    }
}

fn train(options: &FinetuneOptions, run: &RunDir, args: &FinetuneArgs) -> crate::Result<Outcome> {
    let resume = args.resume.is_some();
    let step = if resume {
        Some(Checkpoint::read_state(&run.last())?.step as u64)
    } else {
        run.write_config(&options.resolved())?;
        None
    };
    let mut observers = interrupt::observers(run, step, args.quiet)?;
    finetune::run(options, run, &mut observers, interrupt::flag(), resume)
}

/// One run per seed, and the spread of what they found.
fn repeat(options: &FinetuneOptions, count: u64, args: &FinetuneArgs) -> anyhow::Result<()> {
    if count < 2 {
        return Err(Error::Usage(format!("--seeds {count}: a spread needs at least 2")).into());
    }
    // One folder holds the spread and a run per seed.
    let all = match &args.out {
        Some(out) => out.clone(),
        None => RunDir::next_free("runs", "finetune")?,
    };
    let mut outcomes = vec![];
    for seed in options.machine.seed..options.machine.seed + count {
        let mut options = options.clone();
        options.machine.seed = seed;
        let run = folder(args, Some(&all.join(format!("seed-{seed}"))))?;
        outcomes.push((seed, train(&options, &run, args)?));
    }
    output::spread(&outcomes, &all, args.json)?;
    Ok(())
}

fn find_rate(options: &FinetuneOptions, args: &FinetuneArgs) -> anyhow::Result<ExitCode> {
    let run = folder(args, args.out.as_deref())?;
    run.write_config(&options.resolved())?;
    let mut observers = interrupt::observers(&run, None, args.quiet)?;
    let found = finetune::find_rate(options, &run, &mut observers, interrupt::flag())?;
    output::rate(&found, args.json)?;
    Ok(ExitCode::SUCCESS)
}
