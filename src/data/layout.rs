//! What lies at a path: which of the layouts of data sets, and where in it the parts are.
//!
//! | layout | training | validation |
//! |---|---|---|
//! | folders of classes | `train/`, or the folder itself | `val/`, `valid/`, `validation/` or `test/` |
//! | IDX files, as MNIST's | `train-images-idx3-ubyte` | `t10k-images-idx3-ubyte` |
//! | SVHN, cropped digits | `train_32x32.mat` | `test_32x32.mat` |
//! | lists, as DomainNet's | `sketch_train.txt` in or beside `sketch/` | `sketch_test.txt` |
//! | GTSRB as published | `Final_Training/Images/` | `Final_Test/Images/` with `GT-final_test.csv` |
//! | the test of GTSRB alone | a folder of images with `GT-final_test.csv` | |
//!
//! A folder whose only folder is `images/`, as a domain of Office-31 is, counts as that folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{FolderSet, IdxSet, ImageSet, SvhnSet, folder, gtsrb, lists};
use crate::Result;

/// Names of a validation folder beside `train`, the preferred first.
const VALIDATION: [&str; 4] = ["val", "valid", "validation", "test"];
/// What a domain of Office-31 keeps its classes in.
const IMAGES: &str = "images";

/// Where images are, and how they are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// A folder of class folders.
    Folders(PathBuf),
    /// An IDX file of images.
    Idx(PathBuf),
    /// A MATLAB file of SVHN.
    Svhn(PathBuf),
    /// A list of images and labels.
    List(PathBuf),
    /// A folder of images whose classes stand in a table.
    Table { images: PathBuf, table: PathBuf },
}

/// What lies at a path; without `val`, a share of `train` is held out.
pub(super) struct Layout {
    pub(super) train: Source,
    pub(super) val: Option<Source>,
}

impl Layout {
    /// Finds out what lies at `root`; `notes` are for what a user should know.
    ///
    /// # Errors
    /// Nothing that is known.
    pub(super) fn find(root: &Path, notes: &mut Vec<String>) -> Result<Self> {
        if root.is_file() {
            return Ok(Self::of_file(root));
        }
        let folders = folder::subfolders(root)?;
        if let Some(layout) = Self::of_named_folders(root, &folders, notes) {
            return Ok(layout);
        }
        if let Some(train) = IdxSet::find(root, "train") {
            return Ok(Self { train: Source::Idx(train), val: IdxSet::find(root, "t10k").map(Source::Idx) });
        }
        if let Some((train, test)) = SvhnSet::find(root) {
            return Ok(Self { train: Source::Svhn(train), val: test.map(Source::Svhn) });
        }
        if let Some((train, test)) = lists::find(root, &folders)? {
            notes.push(format!("{} says which images are trained on", train.display()));
            return Ok(Self { train: Source::List(train), val: test.map(Source::List) });
        }
        if let Some(layout) = Self::of_signs(root, &folders) {
            return Ok(layout);
        }
        if folders == [IMAGES]
            && folder::loose_images(root)? == 0
            && !folder::subfolders(&root.join(IMAGES))?.is_empty()
        {
            notes.push(format!("{IMAGES}/ is looked into: it is the only folder"));
            return Self::find(&root.join(IMAGES), notes);
        }
        Ok(Self { train: Source::Folders(root.to_path_buf()), val: None })
    }

    fn of_file(file: &Path) -> Self {
        let ending = file.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        match ending.as_deref() {
            Some("mat") => Self { train: Source::Svhn(file.into()), val: None },
            Some("txt") => Self { train: Source::List(file.into()), val: lists::test_of(file).map(Source::List) },
            _ => Self { train: Source::Idx(file.into()), val: None },
        }
    }

    fn of_named_folders(root: &Path, folders: &[String], notes: &mut Vec<String>) -> Option<Self> {
        let named = |name: &str| folders.iter().find(|folder| folder.eq_ignore_ascii_case(name));
        match (named("train"), VALIDATION.iter().find_map(|name| named(name))) {
            (Some(train), Some(val)) => {
                if !val.eq_ignore_ascii_case(VALIDATION[0]) {
                    notes.push(format!("{val}/ serves as the validation set: there is no val/"));
                }
                let unused: Vec<_> = folders.iter().filter(|&name| name != train && name != val).cloned().collect();
                if !unused.is_empty() {
                    notes.push(format!("not used beside {train}/ and {val}/: {}", unused.join(", ")));
                }
                let at = |name| Source::Folders(root.join(name));
                Some(Self { train: at(train), val: Some(at(val)) })
            }
            // Beside other folders, trains are a class like any other.
            (Some(train), None) if folders.len() == 1 => {
                notes.push(format!("no val/ beside {train}/: a share of {train}/ is held out"));
                Some(Self { train: Source::Folders(root.join(train)), val: None })
            }
            _ => None,
        }
    }

    /// The German signs as they are published, or their test alone.
    fn of_signs(root: &Path, folders: &[String]) -> Option<Self> {
        let part = |name: &str| Some(root.join(name).join("Images")).filter(|images| images.is_dir());
        let test = |images: PathBuf| gtsrb::table_of(&images).map(|table| Source::Table { images, table });
        let published = part("Final_Training").map(Source::Folders);
        match (published, part("Final_Test").and_then(test)) {
            (Some(train), val) => return Some(Self { train, val }),
            (None, Some(train)) => return Some(Self { train, val: None }),
            (None, None) => {}
        }
        let alone = match folders {
            [] => root.to_path_buf(),
            [only] if only.eq_ignore_ascii_case(IMAGES) => root.join(only),
            _ => return None,
        };
        test(alone).map(|train| Self { train, val: None })
    }
}

impl Source {
    /// Opens the images under the classes that they come with.
    ///
    /// # Errors
    /// See the sets.
    pub(super) fn open(&self, notes: &mut Vec<String>) -> Result<Arc<dyn ImageSet>> {
        Ok(match self {
            Self::Folders(root) => folders(root, FolderSet::open(root)?, notes)?,
            Self::Idx(images) => Arc::new(IdxSet::open(images)?),
            Self::Svhn(file) => Arc::new(SvhnSet::open(file)?),
            Self::List(file) => Arc::new(lists::open(file, None)?),
            Self::Table { images, table } => Arc::new(gtsrb::open_table(images, table, None)?),
        })
    }

    /// Opens the images under the `classes` of others, as a validation set is, or what a model is measured on. Sets that
    /// always have the same classes keep theirs.
    ///
    /// # Errors
    /// See the sets; also an image of another class.
    pub(super) fn open_with_classes(&self, classes: &[String], notes: &mut Vec<String>) -> Result<Arc<dyn ImageSet>> {
        Ok(match self {
            Self::Folders(root) => folders(root, FolderSet::open_with_classes(root, classes)?, notes)?,
            Self::Idx(_) | Self::Svhn(_) => self.open(notes)?,
            Self::List(file) => Arc::new(lists::open(file, Some(classes))?),
            Self::Table { images, table } => Arc::new(gtsrb::open_table(images, table, Some(classes))?),
        })
    }

    /// What messages are about.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Folders(path) | Self::Idx(path) | Self::Svhn(path) | Self::List(path) => path,
            Self::Table { table, .. } => table,
        }
    }
}

/// The images of `set`, or of GTSRB the signs in them, with what was left out in `notes`.
fn folders(root: &Path, set: FolderSet, notes: &mut Vec<String>) -> Result<Arc<dyn ImageSet>> {
    if let Some(left_out) = set.left_out() {
        notes.push(format!("{}: left out, not images by name: {left_out}", root.display()));
    }
    match folder::loose_images(root)? {
        0 => {}
        count => notes.push(format!("{}: left out, {count} image(s) in no class folder", root.display())),
    }
    gtsrb::cropped(root, set, notes)
}
