//! `regraft zeroshot compare`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use rand::seq::SliceRandom;
use serde::Serialize;
use tch::{Device, Tensor};

use super::super::forward::ForwardArgs;
use super::{name_of, output};
use crate::data::{
    ClassTable, ImageSet, LoaderOptions, PreprocessingOptions, Purpose, classes_for_evaluation, open_for_evaluation,
    stream,
};
use crate::eval::Spread;
use crate::methods::source_labelled::zero_shot::{Method, MethodScores, Scaling, Task, compare};
use crate::models::Classifier;
use crate::report::{Align, Table, format};
use crate::train::{ImageSource, inference};
use crate::{Error, Result, files};

/// The command's arguments.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  regraft zeroshot compare --features res101.mat --splits att_splits.mat --out runs/awa2\n  \
    regraft zeroshot compare --data animals --attributes awa --unseen-classes 4 --seeds 5 --out runs/animals"
)]
pub(super) struct CompareArgs {
    /// A file of features and labels, as res101.mat
    #[arg(long, value_name = "FILE", requires = "splits", conflicts_with = "data", help_heading = "Features")]
    features: Option<PathBuf>,
    /// Which of them are seen, and the classes' attributes, as att_splits.mat
    #[arg(long, value_name = "FILE", requires = "features", help_heading = "Features")]
    splits: Option<PathBuf>,
    /// A folder with one folder of images per class, or with such a val/, of which a source model makes features
    #[arg(long, value_name = "FOLDER", requires = "attributes", help_heading = "Images")]
    data: Option<PathBuf>,
    /// What their classes are like: a folder of attributes, .csv, .json, .mat or a predicate matrix
    #[arg(long, value_name = "FILE|FOLDER", requires = "data", help_heading = "Images")]
    attributes: Option<PathBuf>,
    /// The classes that nobody learns from, separated by commas
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', requires = "data", help_heading = "Images")]
    unseen: Vec<String>,
    /// So many of them, drawn anew for each seed
    #[arg(long, value_name = "N", conflicts_with = "unseen", requires = "data", help_heading = "Images")]
    unseen_classes: Option<usize>,
    /// The model that makes features of images: a run's folder, a model's file, or a source model
    #[arg(long, value_name = "RUN|FILE|NAME", default_value = "efficientnet_lite0", help_heading = "Images")]
    model: PathBuf,
    /// How images are made ready.
    #[command(flatten, next_help_heading = "Images")]
    preprocessing: PreprocessingOptions,
    /// Which methods, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', value_name = "METHOD,…", default_value = "eszsl,sae")]
    methods: Vec<Method>,
    /// How the attributes' numbers are scaled
    #[arg(long, value_enum, default_value = "length")]
    scaling: Scaling,
    /// The first seed: it draws which images and classes are held out
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// So many seeds
    #[arg(long, value_name = "N", default_value_t = 1)]
    seeds: u64,
    /// Folder for the numbers
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// How the network runs.
    #[command(flatten)]
    forward: ForwardArgs,
    /// Prints JSON
    #[arg(long)]
    json: bool,
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
#[derive(Debug, Serialize)]
struct Run {
    seed: u64,
    unseen_classes: Vec<String>,
    #[serde(flatten)]
    scores: MethodScores,
}

/// Runs the command.
pub(super) fn run(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    if args.seeds == 0 {
        return Err(Error::Usage("--seeds must be at least 1".into()).into());
    }
    if args.features.is_none() && args.data.is_none() {
        let reason = "nothing to learn from: give --features with --splits, or --data with --attributes";
        return Err(Error::Usage(reason.into()).into());
    }
    if args.data.is_some() && args.unseen.is_empty() && args.unseen_classes.is_none() {
        return Err(Error::Usage("no class is unseen: give --unseen NAME,… or --unseen-classes N".into()).into());
    }
    let described = args.data.as_ref().map(|data| Described::of(args, data)).transpose()?;
    let published = match (&args.features, &args.splits) {
        (Some(features), Some(splits)) => Some(Task::of_files(features, splits, args.scaling)?),
        _ => None,
    };
    if let Some((_, left_out)) = published.as_ref().filter(|(_, left_out)| *left_out > 0) {
        eprintln!("{left_out} positions of train and val are not in trainval, and left out");
    }
    let settings = args.methods.iter().map(|method| method.settings().len()).sum::<usize>();
    let bar = output::bar("settings", settings * args.seeds as usize, args.json);
    let mut known = std::collections::BTreeSet::new();
    let mut all: Vec<Vec<Run>> = args.methods.iter().map(|_| vec![]).collect();
    for seed in args.seed..args.seed + args.seeds {
        let drawn = described.as_ref().map(|described| described.task(args, seed)).transpose()?;
        let task = drawn.as_ref().or(published.as_ref().map(|(task, _)| task)).expect("the one or the other");
        let unseen = task.classes.iter().zip(&task.seen).filter(|(_, seen)| !**seen).map(|(class, _)| class.clone());
        let unseen: Vec<String> = unseen.collect();
        let of_model = described.iter().flat_map(|described| &described.learned);
        known.extend(of_model.filter(|class| unseen.contains(class)).cloned());
        let found = compare(task, &args.methods, seed, &mut || bar.inc(1))?;
        for (runs, scores) in all.iter_mut().zip(found) {
            runs.push(Run { seed, unseen_classes: unseen.clone(), scores });
        }
    }
    bar.finish_and_clear();
    if !known.is_empty() {
        eprintln!("not unseen: the model has learned {} from images", known.into_iter().collect::<Vec<_>>().join(", "));
    }
    let outcomes: Vec<Outcome> = args.methods.iter().zip(all).map(|(method, runs)| outcome(*method, runs)).collect();
    if let Some(folder) = &args.out {
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "cannot create the folder"))?;
        files::write_json(folder.join("zeroshot.json"), &outcomes)?;
    }
    if args.json {
        output::print_json(&outcomes)?
    } else {
        output::print(&render(&outcomes))?
    }
    Ok(ExitCode::SUCCESS)
}

/// Images as features, and what is said of their classes.
struct Described {
    features: Tensor,
    labels: Vec<usize>,
    classes: Vec<String>,
    descriptions: Tensor,
    /// Classes that the model has learned from images.
    learned: Vec<String>,
}

impl Described {
    fn of(args: &CompareArgs, data: &std::path::Path) -> Result<Self> {
        let path = args.attributes.as_ref().expect("required by --data");
        let (table, unknown) = ClassTable::open(path)?.filled()?;
        if unknown > 0 {
            eprintln!(
                "{}: {unknown} numbers are not known; the mean over the other classes stands for them",
                path.display()
            );
        }
        let classes = classes_for_evaluation(data)?;
        let images = open_for_evaluation(data, &classes)?;
        let descriptions = args.scaling.apply(&table.rows_of(&classes)?)?;
        ClassTable { classes: classes.clone(), attributes: vec![], values: descriptions.shallow_clone() }
            .require_distinct()?;
        let device = args.forward.device()?;
        output::fetch_if_source(&args.model, args.json)?;
        let model = Classifier::open(&args.model, device, &args.preprocessing)?;
        let phrases = |class: &str| name_of(class).phrases;
        let own: Vec<Vec<String>> = model.spec.classes.iter().map(|class| phrases(class)).collect();
        let learned = classes.iter().filter(|class| own.contains(&phrases(class))).cloned().collect();
        let loader = LoaderOptions { batch_size: args.forward.batch_size, device, ..LoaderOptions::default() };
        let mut source = ImageSource::evaluation(&images, &model.spec.preprocessing, loader)?;
        let bar = output::bar("images", ImageSet::len(&images), args.json);
        let mut advance = |images| {
            bar.inc(images as u64);
            Ok(())
        };
        let stages = model.backbone().stages.len();
        let outputs = inference::over(&mut source, device, args.forward.precision, &mut advance, |input| {
            Ok(model.head().embed(&inference::features(&model, input, stages)?, false)?.f_flatten(1, -1)?)
        })?;
        bar.finish_and_clear();
        let features = outputs.values.f_to_device(Device::Cpu)?;
        Ok(Self { features, labels: images.labels(), classes, descriptions, learned })
    }

    fn task(&self, args: &CompareArgs, seed: u64) -> Result<Task> {
        let mut unseen = args.unseen.clone();
        if let Some(many) = args.unseen_classes {
            unseen = self.classes.clone();
            unseen.shuffle(&mut stream(seed, Purpose::Choose, 2, 0));
            unseen.truncate(many);
        }
        Task::of_features(
            &self.features,
            self.labels.clone(),
            self.classes.clone(),
            self.descriptions.shallow_clone(),
            &unseen,
            seed,
        )
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
        let name = clap::ValueEnum::to_possible_value(&one.method).expect("every method has a name");
        let cells = std::iter::once(name.get_name().to_string()).chain(shares.map(share));
        table.row(cells.chain([format!("{:.3}", one.ausuc.mean)]));
    }
    let chance = outcomes.first().map_or(0.0, |one| one.chance);
    format!(
        "{table}\n\nT1: among unseen classes alone (chance {}); U, S: images of unseen and of seen classes, taken for any; H: their harmonic \
         mean; stacked: with less for seen classes, as chosen on others\n",
        format::percent(chance)
    )
}
