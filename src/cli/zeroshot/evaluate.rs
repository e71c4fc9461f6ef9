//! `regraft zeroshot evaluate`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use tch::{Kind, Tensor};

use super::{ConseArgs, once, output};
use crate::Result;
use crate::data::{ImageSet, LoaderOptions, classes_for_evaluation, open_for_evaluation};
use crate::eval::{Hierarchy, ZeroShotScores};
use crate::report::{Align, Table, format};
use crate::text::ClassName;
use crate::train::{ImageSource, inference};

/// Images that are compared at once.
const PART: i64 = 1024;

/// The command's arguments.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  regraft zeroshot evaluate --data photos --descriptions glove,minilm")]
pub(super) struct EvaluateArgs {
    /// Folder with one folder of images per class; of train/ and val/, val/ is taken
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// What the folders' classes go by, as NAME=PHRASE|PHRASE, separated by commas; others go by their folders' names. A class without
    /// a folder is one more to take images for
    #[arg(long, value_name = "NAME=PHRASE,…", value_delimiter = ',')]
    classes: Vec<ClassName>,
    /// A hierarchy of the classes, lines of child,parent: how near wrong answers are, as hierarchical precision
    #[arg(long, value_name = "FILE.csv")]
    hierarchy: Option<PathBuf>,
    /// How images are described.
    #[command(flatten)]
    conse: ConseArgs,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Found {
    #[serde(flatten)]
    scores: ZeroShotScores,
    /// By k.
    #[serde(skip_serializing_if = "Option::is_none")]
    hierarchical_precision: Option<BTreeMap<usize, f64>>,
}

/// Runs the command.
pub(super) fn run(args: &EvaluateArgs) -> anyhow::Result<ExitCode> {
    let names = names(args)?;
    let ready = args.conse.ready(&names, args.json)?;
    ready.notes.iter().for_each(|note| eprintln!("{note}"));
    let classes: Vec<String> = names.into_iter().map(|name| name.class).collect();
    let hierarchy = args.hierarchy.as_ref().map(|file| Hierarchy::open(file, &classes)).transpose()?;
    let images = open_for_evaluation(&args.data, &classes)?;
    let (model, forward) = (&ready.model, &args.conse.forward);
    let loader =
        LoaderOptions { batch_size: forward.batch_size, device: model.store.device(), ..LoaderOptions::default() };
    let mut source = ImageSource::evaluation(&images, &model.spec.preprocessing, loader)?;
    let bar = output::bar("images", ImageSet::len(&images), args.json);
    let mut advance = |images| {
        bar.inc(images as u64);
        Ok(())
    };
    let outputs = inference::over(&mut source, model.store.device(), forward.precision, &mut advance, |input| {
        inference::logits(model, input, false)
    })?;
    bar.finish_and_clear();
    // not in the precision of the forward pass, in which near cosines are equal
    let logits = outputs.values.f_to_kind(Kind::Float)?.f_div_scalar(model.spec.temperature)?;
    let parts =
        logits.f_split(PART, 0)?.iter().map(|part| Ok(ready.namer.scores(part)?.0)).collect::<Result<Vec<_>>>()?;
    let (scores, labels) = (Tensor::f_cat(&parts, 0)?, images.labels());
    let found = Found {
        scores: ZeroShotScores::of(&scores, &labels, &classes)?,
        hierarchical_precision: hierarchy.map(|hierarchy| precisions(&hierarchy, &scores, &labels)).transpose()?,
    };
    if args.json {
        output::print_json(&found)?
    } else {
        output::print(&render(&found))?
    }
    Ok(ExitCode::SUCCESS)
}

/// For the same numbers of best classes as in the paper, below all of them.
fn precisions(hierarchy: &Hierarchy, scores: &Tensor, labels: &[usize]) -> Result<BTreeMap<usize, f64>> {
    let classes = scores.size()[1] as usize;
    let of = |k| Ok((k, hierarchy.precision(scores, labels, k)?));
    [1, 2, 5, 10, 20].into_iter().filter(|&k| k == 1 || k < classes).map(of).collect()
}

/// All classes that images may be taken for: the folders', and those that are given beside.
fn names(args: &EvaluateArgs) -> Result<Vec<ClassName>> {
    let folders = classes_for_evaluation(&args.data)?;
    once(&args.classes)?;
    let given = |folder: &String| args.classes.iter().find(|name| name.class == *folder).cloned();
    let of_folders = folders.iter().map(|folder| given(folder).unwrap_or_else(|| ClassName::plain(folder)));
    let beside = args.classes.iter().filter(|name| !folders.contains(&name.class)).cloned();
    Ok(of_folders.chain(beside).collect())
}

/// A line for each class, then what all come to.
fn render(Found { scores, hierarchical_precision }: &Found) -> String {
    let mut table = Table::new([
        ("class", Align::Left),
        ("images", Align::Right),
        ("right", Align::Right),
        ("mostly taken for", Align::Left),
    ]);
    for (at, one) in scores.classes.iter().enumerate() {
        let wrong = scores.confusion[at].iter().enumerate().filter(|(other, count)| *other != at && **count > 0);
        let most = wrong.max_by_key(|(other, count)| (**count, std::cmp::Reverse(*other)));
        table.row([
            one.class.clone(),
            one.images.to_string(),
            one.accuracy.map_or("–".into(), format::percent),
            most.map_or(String::new(), |(other, count)| format!("{} ({count})", scores.classes[other].class)),
        ]);
    }
    let hits: Vec<String> =
        scores.hits.iter().skip(1).map(|(k, share)| format!("hit@{k} {}", format::percent(*share))).collect();
    let near: Vec<String> = hierarchical_precision
        .iter()
        .flatten()
        .map(|(k, share)| format!("hierarchical precision@{k} {}", format::percent(*share)))
        .collect();
    format!(
        "{table}\n\n{} of {} images right (chance {}), {} by the mean over classes{}{}; hubness {:.2}\n{}{}",
        format::percent(scores.accuracy),
        scores.images,
        format::percent(scores.chance),
        format::percent(scores.per_class_accuracy),
        if hits.is_empty() { "" } else { "; " },
        hits.join(", "),
        scores.hubness,
        near.join(", "),
        if near.is_empty() { "" } else { "\n" },
    )
}
