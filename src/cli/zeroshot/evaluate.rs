//! `regraft zeroshot evaluate`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tch::{Kind, Tensor};

use super::{ConseArgs, name_of, once, output};
use crate::Result;
use crate::data::{ImageSet, LoaderOptions, classes_for_evaluation, open_for_evaluation};
use crate::eval::ZeroShotScores;
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
    /// How images are described.
    #[command(flatten)]
    conse: ConseArgs,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: &EvaluateArgs) -> anyhow::Result<ExitCode> {
    let names = names(args)?;
    let ready = args.conse.ready(&names, args.json)?;
    ready.notes.iter().for_each(|note| eprintln!("{note}"));
    let classes: Vec<String> = names.into_iter().map(|name| name.class).collect();
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
    let parts = logits
        .f_split(PART, 0)?
        .iter()
        .map(|part| ready.conse.mix(part)?.compared_with(&ready.targets))
        .collect::<Result<Vec<_>>>()?;
    let scores = ZeroShotScores::of(&Tensor::f_cat(&parts, 0)?, &images.labels(), &classes)?;
    if args.json {
        output::print_json(&scores)?
    } else {
        output::print(&render(&scores))?
    }
    Ok(ExitCode::SUCCESS)
}

/// All classes that images may be taken for: the folders', and those that are given beside.
fn names(args: &EvaluateArgs) -> Result<Vec<ClassName>> {
    let folders = classes_for_evaluation(&args.data)?;
    once(&args.classes)?;
    let given = |folder: &String| args.classes.iter().find(|name| name.class == *folder).cloned();
    let of_folders = folders.iter().map(|folder| given(folder).unwrap_or_else(|| name_of(folder)));
    let beside = args.classes.iter().filter(|name| !folders.contains(&name.class)).cloned();
    Ok(of_folders.chain(beside).collect())
}

/// A line for each class, then what all come to.
fn render(scores: &ZeroShotScores) -> String {
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
    format!(
        "{table}\n\n{} of {} images right (chance {}), {} by the mean over classes{}{}; hubness {:.2}\n",
        format::percent(scores.accuracy),
        scores.images,
        format::percent(scores.chance),
        format::percent(scores.per_class_accuracy),
        if hits.is_empty() { "" } else { "; " },
        hits.join(", "),
        scores.hubness,
    )
}
