//! From a path that a user names to a training and a validation split, whatever the layout.

use std::path::Path;

use super::layout::{Layout, Source};
use super::{Broken, ImageSet, Labelled, check, gtsrb, split};
use crate::{Error, Result};

/// How [`open_data`] divides and checks what it finds.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenOptions {
    /// The share of each class that is held out where the set comes without validation images, above 0 and below 1.
    pub val_fraction: f64,
    /// Which images that share consists of.
    pub seed: u64,
    /// Train on this many images of each class, chosen by `seed`; without a validation folder, all others validate.
    pub shots: Option<usize>,
    /// Train on this share of what is to be trained on, the same of each class, chosen by `seed`.
    pub share: Option<f64>,
    /// Train on at most this many images of each class of what is to be trained on, chosen by `seed`.
    pub at_most: Option<usize>,
    /// Only these classes, in this order; all of them if there are none here.
    pub classes: Vec<String>,
    /// Decode every image now and leave out those that cannot be; otherwise the first one that is met is an error.
    pub skip_broken: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            val_fraction: 0.2,
            seed: 0,
            shots: None,
            share: None,
            at_most: None,
            classes: vec![],
            skip_broken: false,
        }
    }
}

/// A data set, ready for training.
#[derive(Clone)]
pub struct Splits {
    /// What is trained on; every class has an image here.
    pub train: Labelled,
    /// What is not; a class may be missing here.
    pub val: Labelled,
    /// The classes' names, in the order of their labels.
    pub classes: Vec<String>,
    /// What was left out because it cannot be decoded, with [`OpenOptions::skip_broken`].
    pub broken: Vec<Broken>,
    /// What a user should know about how the set was read, a line each.
    pub notes: Vec<String>,
}

/// Opens the data set at `root`: a folder with `train/` and `val/` (or `valid/`, `validation/`, `test/`), one folder of
/// class folders, IDX files, SVHN's MATLAB files, lists of images as DomainNet's, or the German traffic signs as published;
/// also a file of any of them.
///
/// Where images are frames of tracks, as those of the German traffic signs, whole tracks are held out; `shots` are then
/// chosen from the others.
///
/// # Errors
/// A path at which none of these lies; see [`FolderSet`](super::FolderSet), [`IdxSet`](super::IdxSet) and
/// [`SvhnSet`](super::SvhnSet). A class without an image to train on, or no image at all to validate with.
pub fn open_data(root: &Path, options: &OpenOptions) -> Result<Splits> {
    open_data_observed(root, options, &|_, _| ())
}

/// [`open_data`], which calls `progress` with the number of checked images and of all images while it decodes them.
///
/// # Errors
/// As [`open_data`].
pub fn open_data_observed(root: &Path, options: &OpenOptions, progress: &dyn Fn(usize, usize)) -> Result<Splits> {
    let mut notes = Vec::new();
    let (mut train, mut val) = read(root, &mut notes)?;
    if !options.classes.is_empty() {
        train = train.with_classes(&options.classes)?;
        val = val.map(|val| val.with_classes(&options.classes)).transpose()?;
    }
    let mut broken = Vec::new();
    if options.skip_broken {
        let (first, all) = (train.len(), train.len() + val.as_ref().map_or(0, ImageSet::len));
        (train, broken) = check::leave_out_broken(&train, &|done, _| progress(done, all));
        if let Some(unchecked) = val {
            let (sound, more) = check::leave_out_broken(&unchecked, &|done, _| progress(first + done, all));
            broken.extend(more);
            val = Some(sound);
        }
    }
    let tracks = if val.is_none() { gtsrb::tracks(&train) } else { None };
    if tracks.is_some() {
        notes.push(
            "frames of a track (00012_00003.ppm) all but repeat one another: tracks are held out as a whole".into(),
        );
    }
    let part = |set: &Labelled, split: split::Split| (set.subset(&split.train), set.subset(&split.rest));
    let choose = |set: &Labelled, shots| split::shots(&set.labels(), set.classes(), shots, options.seed);
    let hold_out = |set: &Labelled| match &tracks {
        Some(tracks) => split::stratified_groups(&set.labels(), tracks, options.val_fraction, options.seed),
        None => split::stratified(&set.labels(), options.val_fraction, options.seed),
    };
    let (train, val) = match (options.shots, val) {
        (None, Some(val)) => (train, val),
        (None, None) => part(&train, hold_out(&train)?),
        (Some(shots), None) if tracks.is_some() => {
            let (train, val) = part(&train, hold_out(&train)?);
            (part(&train, choose(&train, shots)?).0, val)
        }
        (Some(shots), val) => {
            let (chosen, rest) = part(&train, choose(&train, shots)?);
            (chosen, val.unwrap_or(rest))
        }
    };
    let train = match options.share {
        Some(share) => train.subset(&split::share(&train.labels(), share, options.seed)?.train),
        None => train,
    };
    let train = match options.at_most {
        Some(most) => train.subset(&split::at_most(&train.labels(), most, options.seed)?.train),
        None => train,
    };
    require_images(root, &train, &val, broken.len())?;
    let missing: Vec<String> = val.class_counts().empty().map(String::from).collect();
    if !missing.is_empty() {
        notes.push(format!("no validation images of {}", missing.join(", ")));
    }
    let classes = train.classes().to_vec();
    Ok(Splits { train, val, classes, broken, notes })
}

/// All images to train on that lie at `root`, and those to validate with where they lie apart.
pub(super) fn read(root: &Path, notes: &mut Vec<String>) -> Result<(Labelled, Option<Labelled>)> {
    let layout = Layout::find(root, notes)?;
    let train = Labelled::new(layout.train.open(notes)?);
    let val = layout.val.map(|source| source.open_with_classes(train.classes(), notes)).transpose()?;
    Ok((train, val.map(Labelled::new)))
}

/// Opens labelled images for a model that knows `classes`: a folder of class folders, the validation part of a data set
/// that has one, or files, of which images of other classes are left out where the model knows some of them only.
///
/// # Errors
/// As [`open_data`]; also a class folder that the model does not know.
pub fn open_for_evaluation(root: &Path, classes: &[String]) -> Result<Labelled> {
    let layout = Layout::find(root, &mut Vec::new())?;
    let source = layout.val.unwrap_or(layout.train);
    let mut set = Labelled::new(source.open_with_classes(classes, &mut Vec::new())?);
    if matches!(source, Source::Idx(_) | Source::Svhn(_)) {
        if let Some(missing) = classes.iter().find(|class| !set.classes().contains(class)) {
            let found = set.classes().join(", ");
            let reason = format!("has the classes {found}, but the model knows also {missing}");
            return Err(Error::file(source.path(), reason));
        }
        set = set.with_classes(classes)?;
    }
    if set.is_empty() {
        return Err(Error::file(root, "holds no image of a class that the model knows"));
    }
    Ok(set)
}

/// The classes of the images that [`open_for_evaluation`] would take from `root`.
///
/// # Errors
/// As [`open_data`].
pub fn classes_for_evaluation(root: &Path) -> Result<Vec<String>> {
    let layout = Layout::find(root, &mut Vec::new())?;
    Ok(layout.val.unwrap_or(layout.train).open(&mut Vec::new())?.classes().to_vec())
}

fn require_images(root: &Path, train: &Labelled, val: &Labelled, broken: usize) -> Result<()> {
    let but = if broken > 0 { format!(" ({broken} broken images were left out)") } else { String::new() };
    if let Some(empty) = train.class_counts().empty().next() {
        return Err(Error::file(
            root,
            format!("class {empty:?} has no image to train on{but}; add images or remove it"),
        ));
    }
    if val.is_empty() {
        return Err(Error::file(
            root,
            format!(
                "no image is left to validate with{but}: every class has a single one; add images or a val/ folder"
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
#[path = "open_tests.rs"]
mod tests;
