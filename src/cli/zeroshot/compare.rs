//! `regraft zeroshot compare`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::forward::ForwardArgs;
use super::super::interrupt;
use super::described::{DescribedImages, ImageArgs};
use super::output;
use crate::eval::Spread;
use crate::methods::options::seeds;
use crate::methods::source_labelled::zero_shot::{COMPARED, Course, Method, MethodScores, Place, Task, compare};
use crate::report::{Align, RunDir, Table, format};
use crate::{Error, Result, files};

/// The command's arguments.
#[derive(Debug, Args)]
#[command(after_help = "Started again with --out, it goes on where it was stopped.\n\n\
    Examples:\n  regraft zeroshot compare --features res101.mat --splits att_splits.mat --out runs/awa2\n  \
    regraft zeroshot compare --data animals --attributes awa --unseen-classes 4 --seeds 5 --out runs/animals\n  \
    regraft zeroshot compare --data photos --descriptions glove,minilm --unseen-classes 3 --methods devise,eszsl")]
pub(super) struct CompareArgs {
    /// A file of features and labels, as res101.mat
    #[arg(
        long,
        value_name = "FILE",
        requires = "splits",
        conflicts_with_all = ["data", "model", "prompt", "attributes", "descriptions", "image_size", "mean", "std", "device",
            "precision", "batch_size"],
        help_heading = "Features"
    )]
    features: Option<PathBuf>,
    /// Which of them are seen, and the classes' attributes, as att_splits.mat
    #[arg(long, value_name = "FILE", requires = "features", help_heading = "Features")]
    splits: Option<PathBuf>,
    /// Images of which a source model makes features.
    #[command(flatten, next_help_heading = "Images")]
    images: ImageArgs,
    /// Which methods, separated by commas
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        value_name = "METHOD,…",
        default_value = "dap,iap,joint,devise,ale,sje,eszsl,sae,cls-wgan"
    )]
    methods: Vec<Method>,
    /// The first seed: it draws which images and classes are held out
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// So many seeds
    #[arg(long, value_name = "N", default_value_t = 1)]
    seeds: u64,
    /// Folder for the numbers, and for a run of each method that learns by gradient
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Starts over what an earlier comparison left in the folder
    #[arg(long, requires = "out")]
    force: bool,
    /// How the network runs.
    #[command(flatten)]
    forward: ForwardArgs,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// The file of all numbers.
const NUMBERS: &str = "zeroshot.json";

/// What was found.
#[derive(Debug, Serialize)]
struct Comparison {
    options: Value,
    methods: Vec<Outcome>,
}

/// All seeds of one method.
#[derive(Debug, Serialize)]
struct Outcome {
    method: Method,
    chance: f64,
    t1: Spread,
    unseen: Spread,
    seen: Spread,
    harmonic: Spread,
    stacked_unseen: Spread,
    stacked_seen: Spread,
    stacked_harmonic: Spread,
    ausuc: Spread,
    runs: Vec<Run>,
}

/// One seed of it.
#[derive(Debug, Clone, Serialize)]
struct Run {
    seed: u64,
    unseen_classes: Vec<String>,
    #[serde(flatten)]
    scores: MethodScores,
}

/// One method with one seed, as it is kept: METHOD/seed-N.json.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    options: Value,
    unseen_classes: Vec<String>,
    scores: MethodScores,
}

impl Saved {
    fn file(folder: &Path, method: Method, seed: u64) -> PathBuf {
        folder.join(method.name()).join(format!("seed-{seed}.json"))
    }

    /// What an earlier comparison with these options found.
    fn find(args: &CompareArgs, options: &Value, method: Method, seed: u64) -> Result<Option<Self>> {
        let Some(folder) = args.out.as_ref().filter(|_| !args.force) else { return Ok(None) };
        let file = Self::file(folder, method, seed);
        if !file.is_file() {
            return Ok(None);
        }
        let saved: Self = files::read_json(&file)?;
        same_options(folder, &saved.options, options)?;
        Ok(Some(saved))
    }
}

/// Refuses a folder whose numbers were found with others.
fn same_options(folder: &Path, found: &Value, wanted: &Value) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    let reason = "is a comparison with other options; choose another --out, or start over with --force";
    Err(Error::Usage(format!("{}: {reason}", folder.display())))
}

/// Runs the command.
pub(super) fn run(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    let seeds = seeds(args.seed, args.seeds).map_err(Error::Usage)?;
    if let Some(twice) = (1..args.methods.len()).find(|&at| args.methods[..at].contains(&args.methods[at])) {
        return Err(Error::Usage(format!("--methods names {} twice", args.methods[twice].name())).into());
    }
    if args.features.is_none() && args.images.data.is_none() {
        let reason =
            "nothing to learn from: give --features with --splits, or --data with --attributes or --descriptions";
        return Err(Error::Usage(reason.into()).into());
    }
    let options = json!({
        "features": &args.features,
        "splits": &args.splits,
        "images": &args.images,
        "precision": args.forward.precision,
    });
    if let Some(folder) = args.out.as_ref().filter(|folder| !args.force && folder.join(NUMBERS).is_file()) {
        let found: Value = files::read_json(folder.join(NUMBERS))?;
        same_options(folder, &found["options"], &options)?;
    }
    let described = DescribedImages::of(&args.images, &args.forward, args.json)?;
    let published = match (&args.features, &args.splits) {
        (Some(features), Some(splits)) => Some(Task::of_files(features, splits, args.images.about.scaling)?),
        _ => None,
    };
    if let Some((_, left_out)) = published.as_ref().filter(|(_, left_out)| *left_out > 0) {
        eprintln!("{left_out} positions of train and val are not in trainval, and left out");
    }
    let settings = args.methods.iter().map(|method| method.settings().len()).sum::<usize>();
    let bar = output::bar("settings", settings * args.seeds as usize, args.json);
    let mut known = std::collections::BTreeSet::new();
    let mut all: Vec<Vec<Run>> = args.methods.iter().map(|_| vec![]).collect();
    for seed in seeds {
        let mut missing = vec![];
        for (&method, runs) in args.methods.iter().zip(&mut all) {
            match Saved::find(args, &options, method, seed)? {
                Some(Saved { unseen_classes, scores, .. }) => {
                    bar.inc(method.settings().len() as u64);
                    runs.push(Run { seed, unseen_classes, scores });
                }
                None => missing.push(method),
            }
        }
        let drawn = described.as_ref().map(|described| described.task(&args.images, seed)).transpose()?;
        let task = drawn.as_ref().or(published.as_ref().map(|(task, _)| task)).expect("the one or the other");
        let unseen = task.classes.iter().zip(&task.seen).filter(|(_, seen)| !**seen).map(|(class, _)| class.clone());
        let unseen: Vec<String> = unseen.collect();
        let of_model = described.iter().flat_map(|described| &described.learned);
        known.extend(of_model.filter(|class| unseen.contains(class)).cloned());
        let course = Course {
            seed,
            tried: &mut || bar.inc(1),
            place: &mut |method| place(args, method, seed),
            found: &mut |scores| {
                let at = args.methods.iter().position(|method| *method == scores.method).expect("one of these");
                all[at].push(Run { seed, unseen_classes: unseen.clone(), scores: scores.clone() });
                let Some(folder) = &args.out else { return Ok(()) };
                let (options, unseen_classes, scores) = (options.clone(), unseen.clone(), scores.clone());
                let file = Saved::file(folder, scores.method, seed);
                files::write_json(file, &Saved { options, unseen_classes, scores })
            },
            interrupted: interrupt::flag(),
        };
        compare(task, &missing, course).map_err(|error| match (error, &args.out) {
            (Error::Interrupted(_), Some(_)) => Error::Interrupted("the same command goes on from here".into()),
            (Error::Interrupted(_), None) => Error::Interrupted("without --out nothing is kept".into()),
            (other, _) => other,
        })?;
    }
    bar.finish_and_clear();
    if !known.is_empty() {
        eprintln!("not unseen: the model has learned {} from images", known.into_iter().collect::<Vec<_>>().join(", "));
    }
    let methods = args.methods.iter().zip(all).map(|(method, runs)| outcome(*method, runs)).collect();
    let comparison = Comparison { options, methods };
    if let Some(folder) = &args.out {
        files::write_json(folder.join(NUMBERS), &comparison)?;
    }
    if args.json {
        output::print_json(&comparison)?
    } else {
        output::print(&render(&comparison.methods))?
    }
    Ok(ExitCode::SUCCESS)
}

/// Where a method that learns by gradient keeps what it learned for its test: a run of its own in the folder.
fn place<'a>(args: &CompareArgs, method: Method, seed: u64) -> Result<Place<'a>> {
    let interrupted = interrupt::flag();
    let Some(folder) = args.out.as_ref().filter(|_| method.trains()) else { return Ok(Place::passing(interrupted)) };
    let folder = folder.join(method.name()).join(format!("seed-{seed}"));
    let run = RunDir::create(&folder, args.force || is_left(&folder))?;
    let observers = interrupt::observers(&run, None, true)?;
    Ok(Place { kept: Some((run, observers)), interrupted })
}

/// Whether what is there, if anything, was left by a comparison that was interrupted: without the others' numbers it counts for nothing.
fn is_left(folder: &Path) -> bool {
    let read = |file| files::read_json::<serde_json::Value>(folder.join(file));
    match (read("result.json"), read("config.json")) {
        (Ok(result), _) => result["method"] == COMPARED,
        // only runs of other commands name a model
        (_, Ok(config)) => config.get("model").is_none(),
        _ => true,
    }
}

fn outcome(method: Method, runs: Vec<Run>) -> Outcome {
    let over = |number: fn(&MethodScores) -> f64| Spread::of(runs.iter().map(|run| number(&run.scores)));
    Outcome {
        method,
        chance: over(|scores| scores.unseen.chance).mean,
        t1: over(|scores| scores.unseen.per_class_accuracy),
        unseen: over(|scores| scores.plain.unseen),
        seen: over(|scores| scores.plain.seen),
        harmonic: over(|scores| scores.harmonic),
        stacked_unseen: over(|scores| scores.stacked.unseen),
        stacked_seen: over(|scores| scores.stacked.seen),
        stacked_harmonic: over(|scores| scores.stacked_harmonic),
        ausuc: over(|scores| scores.ausuc),
        runs,
    }
}

fn render(outcomes: &[Outcome]) -> String {
    let columns = ["T1", "U", "S", "H", "U stacked", "S stacked", "H stacked"];
    let head = std::iter::once(("method", Align::Left)).chain(columns.map(|name| (name, Align::Right)));
    let mut table = Table::new(head.chain([("AUSUC", Align::Right)]));
    for one in outcomes {
        let share = |spread: &Spread| match spread.values.len() {
            1 => format::percent(spread.mean),
            _ => format!("{:.2} ± {:.2} %", 100.0 * spread.mean, 100.0 * spread.std),
        };
        let shares = [
            &one.t1,
            &one.unseen,
            &one.seen,
            &one.harmonic,
            &one.stacked_unseen,
            &one.stacked_seen,
            &one.stacked_harmonic,
        ];
        let cells = std::iter::once(one.method.name()).chain(shares.map(share));
        table.row(cells.chain([format!("{:.3}", one.ausuc.mean)]));
    }
    let chance = outcomes.first().map_or(0.0, |one| one.chance);
    format!(
        "{table}\n\nT1: among unseen classes alone (chance {}); U, S: images of unseen and of seen classes, taken for any; H: their harmonic \
         mean; stacked: with less for seen classes, as chosen on others\n",
        format::percent(chance)
    )
}
