//! From a path that a user names to a training and a validation split, whatever the layout.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Broken, FolderSet, IdxSet, ImageSet, Labelled, check, folder, split};
use crate::{Error, Result};

/// Names of a validation folder beside `train`, the preferred first.
const VALIDATION: [&str; 4] = ["val", "valid", "validation", "test"];

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
/// class folders, a folder of IDX files, or an IDX file of images.
///
/// # Errors
/// A path at which none of these lies; see [`FolderSet`] and [`IdxSet`]. A class without an image to train on, or no
/// image at all to validate with.
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
    let part = |split: &dyn Fn(&[usize]) -> Result<split::Split>| -> Result<(Labelled, Labelled)> {
        let parts = split(&train.labels())?;
        Ok((train.subset(&parts.train), train.subset(&parts.rest)))
    };
    let (train, val) = match (options.shots, val) {
        (None, Some(val)) => (train, val),
        (None, None) => part(&|labels| split::stratified(labels, options.val_fraction, options.seed))?,
        (Some(shots), val) => {
            let (chosen, rest) = part(&|labels| split::shots(labels, train.classes(), shots, options.seed))?;
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
    match find(root, notes)? {
        Layout::Folders { train, val } => open_folders(&train, val.as_deref(), notes),
        Layout::Idx { train, val } => {
            let train: Arc<dyn ImageSet> = Arc::new(IdxSet::open(&train)?);
            let val = val.map(|path| IdxSet::open(&path)).transpose()?;
            Ok((Labelled::new(train), val.map(|set| Labelled::new(Arc::new(set)))))
        }
    }
}

/// Opens labelled images for a model that knows `classes`: a folder of class folders, the validation part of a data set
/// that has one, or IDX files, of which images of other classes are left out where the model knows some of them only.
///
/// # Errors
/// As [`open_data`]; also a class folder that the model does not know.
pub fn open_for_evaluation(root: &Path, classes: &[String]) -> Result<Labelled> {
    let set: Arc<dyn ImageSet> = match find(root, &mut Vec::new())? {
        Layout::Folders { train, val } => Arc::new(FolderSet::open_with_classes(&val.unwrap_or(train), classes)?),
        Layout::Idx { train, val } => {
            let path = val.unwrap_or(train);
            let set = Labelled::new(Arc::new(IdxSet::open(&path)?));
            if let Some(missing) = classes.iter().find(|class| !set.classes().contains(class)) {
                let found = set.classes().join(", ");
                return Err(Error::file(path, format!("has the classes {found}, but the model knows also {missing}")));
            }
            Arc::new(set.with_classes(classes)?)
        }
    };
    if set.is_empty() {
        return Err(Error::file(root, "holds no image of a class that the model knows"));
    }
    Ok(Labelled::new(set))
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

fn open_folders(train: &Path, val: Option<&Path>, notes: &mut Vec<String>) -> Result<(Labelled, Option<Labelled>)> {
    let mut note = |folder: &Path, set: &FolderSet| -> Result<()> {
        if let Some(left_out) = set.left_out() {
            notes.push(format!("{}: left out, not images by name: {left_out}", folder.display()));
        }
        match folder::loose_images(folder)? {
            0 => {}
            count => notes.push(format!("{}: left out, {count} image(s) in no class folder", folder.display())),
        }
        Ok(())
    };
    let train_set = FolderSet::open(train)?;
    note(train, &train_set)?;
    let val_set = val.map(|val| FolderSet::open_with_classes(val, train_set.classes())).transpose()?;
    if let (Some(val), Some(set)) = (val, &val_set) {
        note(val, set)?;
    }
    Ok((Labelled::new(Arc::new(train_set)), val_set.map(|set| Labelled::new(Arc::new(set)))))
}

/// What lies at a path; without `val`, a share of `train` is held out.
enum Layout {
    Folders { train: PathBuf, val: Option<PathBuf> },
    Idx { train: PathBuf, val: Option<PathBuf> },
}

fn find(root: &Path, notes: &mut Vec<String>) -> Result<Layout> {
    if root.is_file() {
        return Ok(Layout::Idx { train: root.to_path_buf(), val: None });
    }
    let folders = folder::subfolders(root)?;
    let named = |name: &str| folders.iter().find(|folder| folder.eq_ignore_ascii_case(name));
    let val = VALIDATION.iter().find_map(|name| named(name));
    match (named("train"), val) {
        (Some(train), Some(val)) => {
            if !val.eq_ignore_ascii_case(VALIDATION[0]) {
                notes.push(format!("{val}/ serves as the validation set: there is no val/"));
            }
            let unused: Vec<_> = folders.iter().filter(|&name| name != train && name != val).cloned().collect();
            if !unused.is_empty() {
                notes.push(format!("not used beside {train}/ and {val}/: {}", unused.join(", ")));
            }
            return Ok(Layout::Folders { train: root.join(train), val: Some(root.join(val)) });
        }
        // Beside other folders, trains are a class like any other.
        (Some(train), None) if folders.len() == 1 => {
            notes.push(format!("no val/ beside {train}/: a share of {train}/ is held out"));
            return Ok(Layout::Folders { train: root.join(train), val: None });
        }
        _ => {}
    }
    if let Some(train) = IdxSet::find(root, "train") {
        return Ok(Layout::Idx { train, val: IdxSet::find(root, "t10k") });
    }
    Ok(Layout::Folders { train: root.to_path_buf(), val: None })
}

#[cfg(test)]
#[path = "open_tests.rs"]
mod tests;
