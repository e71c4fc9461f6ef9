//! `regraft models verify`: a source model's accuracy as it is here, beside the one that its publisher states.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::cli::forward::ForwardArgs;
use crate::cli::output;
use crate::data::{ImageSet, Imagenet, Labelled, LoaderOptions, open_imagenet};
use crate::eval::{accuracy, top_k_accuracy};
use crate::models::{Classifier, registry};
use crate::report::{Align, Table, format};
use crate::train::{ImageSource, inference};
use crate::{Error, Result};

/// The command's arguments.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  regraft models verify efficientnet_lite0 --data imagenet/val --limit 5000")]
pub struct VerifyArgs {
    /// A name from the list
    name: String,
    /// Folder of labelled ImageNet images: folders named by WordNet id, class number or class name, or files named
    /// n01440764_*.JPEG
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// Measures on so many images only, evenly spaced among all
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// How the network runs.
    #[command(flatten)]
    forward: ForwardArgs,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// What was measured; shares of images in percent.
#[derive(Debug, Serialize)]
struct Verified<'a> {
    name: &'a str,
    images: usize,
    classes: usize,
    top1: f64,
    top5: f64,
    /// Standard error of `top1`: how far it would lie from the accuracy on all images, by chance.
    top1_error: f64,
    published_top1: f64,
    published_at: &'a str,
    unknown_folders: Vec<String>,
    unknown_images: usize,
}

/// Runs the command.
///
/// # Errors
/// An unknown name, weights that cannot be fetched, images that cannot be read or whose classes are not known.
pub(super) fn run(args: &VerifyArgs) -> anyhow::Result<()> {
    let entry = registry::find(&args.name)?;
    let device = args.forward.device()?;
    let (wnids, classes) = (registry::imagenet_wnids(), registry::imagenet_classes());
    let Imagenet { images, unknown_folders, unknown_images } = open_imagenet(&args.data, wnids, classes)?;
    let images = limited(images, args.limit)?;
    output::fetch_if_source(Path::new(&entry.name), false)?;
    let model = Classifier::source(entry, None, device)?;
    let loader = LoaderOptions { batch_size: args.forward.batch_size, device, ..LoaderOptions::default() };
    let mut source = ImageSource::evaluation(&images, &model.spec.preprocessing, loader)?;
    let bar = output::bar("images", images.len(), args.json);
    let mut advance = |images| {
        bar.inc(images as u64);
        Ok(())
    };
    let outputs = inference::over(&mut source, device, args.forward.precision, &mut advance, |input| {
        inference::logits(&model, input, false)
    })?;
    bar.finish_and_clear();
    let predictions = outputs.predictions()?;
    let top1 = accuracy(&predictions);
    let verified = Verified {
        name: &entry.name,
        images: images.len(),
        classes: images.labels().into_iter().collect::<BTreeSet<_>>().len(),
        top1: 100.0 * top1,
        top5: 100.0 * top_k_accuracy(&predictions, 5),
        top1_error: 100.0 * (top1 * (1.0 - top1) / images.len() as f64).sqrt(),
        published_top1: entry.published_top1,
        published_at: &entry.published_at,
        unknown_folders,
        unknown_images,
    };
    if args.json { output::print_json(&verified) } else { output::print(&render(&verified)) }
}

/// So many of the images, evenly spaced, so that no class is favoured where they lie by class.
fn limited(images: Labelled, limit: Option<usize>) -> Result<Labelled> {
    let all = images.len();
    match limit {
        Some(0) => Err(Error::Usage("--limit must be at least 1".into())),
        Some(limit) if limit < all => {
            Ok(images.subset(&(0..limit).map(|index| index * all / limit).collect::<Vec<_>>()))
        }
        _ => Ok(images),
    }
}

fn render(verified: &Verified) -> String {
    let Verified { name, images, classes, top1, top5, top1_error, published_top1, published_at, .. } = verified;
    let right = Align::Right;
    let mut table = Table::new([("", Align::Left), ("measured", right), ("published", right)]);
    table.row(["top-1".into(), format!("{top1:.1} % ± {top1_error:.1} %"), format!("{published_top1:.1} %")]);
    table.row(["top-5".into(), format!("{top5:.1} %"), "–".into()]);
    let (images, classes) = (format::count(*images as u64), format::count(*classes as u64));
    let mut text =
        format!("{name} on {images} images of {classes} classes\n\n{table}\n\npublished at {published_at}\n");
    if !verified.unknown_folders.is_empty() {
        let folders = &verified.unknown_folders;
        let (count, shown) = (folders.len(), folders[..folders.len().min(5)].join(", "));
        let more = if count > 5 { ", …" } else { "" };
        text += &format!("left out: {count} folder(s) that name no class of ImageNet ({shown}{more})\n");
    }
    if verified.unknown_images > 0 {
        text += &format!("left out: {} image(s) without a WordNet id in their name\n", verified.unknown_images);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::data::{SyntheticOptions, SyntheticSet};

    #[test]
    fn a_limit_takes_images_of_all_classes() -> Result<()> {
        let set = SyntheticSet::new(SyntheticOptions { classes: 5, per_class: 4, ..Default::default() });
        let set = Labelled::new(Arc::new(set));
        let (all, mut few) = (set.labels(), limited(set.clone(), Some(5))?.labels());
        few.dedup();
        assert_eq!(few.len(), 5, "{few:?} of {all:?}");
        assert_eq!(limited(set.clone(), Some(100))?.len(), 20);
        assert_eq!(limited(set, Some(0)).err().map(|error| error.exit_code()), Some(2));
        Ok(())
    }
}
