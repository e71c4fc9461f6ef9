//! `regraft adapt`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgMatches, Args};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::output;
use super::run_args::RunArgs;
use crate::data::FeatureSet;
use crate::methods::options::seeds;
use crate::methods::source_labelled::adapt::{self, AdaptOptions, ORACLE};
use crate::methods::source_labelled::on_features::{self, FeatureOptions};
use crate::report::{Align, Table, format};
use crate::{Error, options};

/// The command's arguments.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Methods: source-only, ada-bn, sa, coral, deep-coral, dan, jan, dann, cdan, adda, mcd, mcc, self-training, mean-teacher, vada, dirt-t, oracle, \
    or all. No method sees a label of the target, and neither does what chooses the epoch; scores that need them are headed oracle. \
    Started again, it goes on where it was stopped.\n\n\
    Examples:\n  regraft adapt --source photos --target sketches --head bottleneck\n  \
    regraft adapt --source photos --target sketches --methods all --seeds 3 --freeze all --no-augment\n  \
    regraft adapt --source mnist --target mnist-m --model dann_mnist --from-scratch --no-augment --discriminator 100 \
    --optimizer sgd --lr 0.01 --schedule inverse --batch-size 64 --epochs 50\n  \
    regraft adapt --source amazon.mat --target webcam.mat --methods all --rows-per-class 20 --classifier nearest --seeds 20"
)]
pub struct AdaptArgs {
    #[command(flatten)]
    options: Options,
    /// Folder of all runs
    #[arg(long, value_name = "FOLDER", default_value = "runs/adapt", help_heading = "Run")]
    out: PathBuf,
    #[command(flatten)]
    run: RunArgs,
}

/// All options, for images and for files of features.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
struct Options {
    #[command(flatten)]
    #[serde(flatten)]
    images: AdaptOptions,
    /// Repeats everything with seeds SEED, SEED+1, … and reports mean ± standard deviation
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Run")]
    seeds: u64,
    #[command(flatten)]
    #[serde(flatten)]
    features: FeatureOptions,
}

impl Options {
    /// Both files of features, where that is what is to be adapted.
    fn files(&self) -> Option<(&Path, &Path)> {
        let files = (self.images.source.as_deref()?, self.images.target.as_deref()?);
        FeatureSet::lies_at(files.0).then_some(files)
    }

    /// What of them has an effect, to be read with `--config`.
    fn config(&self) -> Map<String, Value> {
        let all = Self { images: self.images.resolved(), ..self.clone() };
        let Value::Object(mut all) = serde_json::to_value(all).expect("options are plain data") else {
            unreachable!("options are structs")
        };
        let of_features = self.files().is_some();
        all.retain(|key, _| {
            let flag = format!("--{}", key.replace('_', "-"));
            if of_features { OF_FEATURES.contains(&flag.as_str()) } else { !ONLY_FEATURES.contains(&flag.as_str()) }
        });
        all
    }
}

/// Runs the command.
///
/// # Errors
/// See [`adapt::compare`].
pub fn run(args: &AdaptArgs, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let options = args.run.options(&args.options, matches)?;
    if args.run.print_config {
        output::print_json(&options.config())?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(files) = options.files() {
        refuse(matches, |flag| !OF_FEATURES.contains(&flag), "is about images, and these are files of features")?;
        return features(args, &options, files);
    }
    refuse(matches, |flag| ONLY_FEATURES.contains(&flag), "is about files of features")?;
    let Options { images: options, seeds, .. } = options;
    options.validate()?;
    if options.begin.is_none() {
        output::fetch_if_missing(&options.model, args.run.quiet)?;
    }
    let out = &args.out;
    let mut cells = args.run.cells(out);
    let found = adapt::compare(&options, seeds, &mut cells, &mut |label, result| {
        if !args.run.quiet {
            let source = format::percent(result.metrics["source/accuracy"]);
            let target = result
                .metrics
                .get(ORACLE)
                .map_or_else(String::new, |&accuracy| format!(", target (oracle) {}", format::percent(accuracy)));
            eprintln!("{label}: source {source}{target} in {}", format::seconds(result.seconds));
        }
    })?;
    crate::files::write_json(out.join("adapt.json"), &found)?;
    let picture = out.join("adapt.png");
    let has_picture = adapt::plot(&found, &picture)?;
    if args.run.json {
        output::print_json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!("{}\n", adapt::table(&found));
    for (method, why) in &found.left_out {
        text += &format!("\nleft out: {}: {why}", method.name());
    }
    let folder = out.display();
    text += &format!("\nsource: share of its validation images named rightly; everything is in {folder}\n");
    if has_picture {
        text += &format!("  bars       {}\n", picture.display());
    }
    text += &format!("  numbers    {folder}/adapt.json\n");
    text += &format!("  use one    regraft predict --model {} IMAGE\n", cells.path(&found.example).display());
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// What is of use only where others computed the features.
const ONLY_FEATURES: [&str; 2] = ["--classifier", "--rows-per-class"];

/// What is of use there.
const OF_FEATURES: [&str; 13] = [
    "--source",
    "--target",
    "--methods",
    "--subspace",
    "--classifier",
    "--rows-per-class",
    "--seed",
    "--seeds",
    "--out",
    "--force",
    "--config",
    "--json",
    "--quiet",
];

/// Refuses what stands on the command line to no effect.
fn refuse(matches: &ArgMatches, is_idle: impl Fn(&str) -> bool, why: &str) -> crate::Result<()> {
    match options::typed(matches).iter().find(|flag| is_idle(flag)) {
        Some(flag) => Err(Error::Usage(format!("{flag} {why}; leave it out"))),
        None => Ok(()),
    }
}

/// The same with features that others computed.
fn features(args: &AdaptArgs, options: &Options, (source, target): (&Path, &Path)) -> anyhow::Result<ExitCode> {
    let AdaptOptions { methods, strengths, machine, .. } = &options.images;
    let (out, numbers) = (&args.out, args.out.join("features.json"));
    if numbers.is_file() && !args.run.force {
        let reason = "is there already; choose another --out, or start over with --force";
        return Err(Error::file(numbers, reason).into());
    }
    let seeds = seeds(machine.seed, options.seeds).map_err(Error::Usage)?;
    let found = on_features::run(source, target, methods, strengths.subspace, &options.features, seeds)?;
    crate::files::write_json(out.join("config.json"), &options.config())?;
    crate::files::write_json(&numbers, &found)?;
    for one in &found {
        let text = one.predicted.join("\n") + "\n";
        crate::files::write_bytes(out.join(format!("{}.txt", one.method.name())), text.as_bytes())?;
    }
    if args.run.json {
        output::print_json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new([("method", Align::Left), ("target (oracle)", Align::Right)]);
    for one in &found {
        table.row([one.method.name(), format::spread(&one.target)]);
    }
    let folder = out.display();
    output::print(&format!(
        "{table}\n\nThe class of each of the target's rows is in {folder}/METHOD.txt, the numbers in {folder}/features.json\n"
    ))?;
    Ok(ExitCode::SUCCESS)
}
