//! Which images and classes are seen, as the files of Xian et al. 2018 say it (`att_splits.mat`, `sent_splits.mat`).
//!
//! The lists hold positions of images, from 1 in the file and from 0 here: of the seen classes `trainval` to learn from and `test_seen` to
//! test on, of the unseen ones `test_unseen`. To choose settings, `trainval` is parted by class into `train` and `val`. In the published files
//! these two also have the images of `test_seen`, on which nothing may be chosen; they are left out.

use std::collections::HashSet;
use std::path::Path;

use super::class_table::ClassTable;
use super::mat::MatFile;
use crate::{Error, Result};

/// Seen and unseen images of a set, and what is said of its classes.
#[derive(Debug)]
pub struct ZeroShotSplits {
    /// The classes.
    pub table: ClassTable,
    /// Images to learn from: all of seen classes.
    pub trainval: Vec<usize>,
    /// Those to learn from while settings are chosen.
    pub train: Vec<usize>,
    /// Those to choose settings on, of other classes.
    pub val: Vec<usize>,
    /// Images of seen classes to test on.
    pub test_seen: Vec<usize>,
    /// Images of unseen classes to test on.
    pub test_unseen: Vec<usize>,
    /// How many positions of the file's `train` and `val` are left out, because `trainval` does not have them.
    pub left_out: usize,
}

impl ZeroShotSplits {
    /// Reads the file.
    ///
    /// # Errors
    /// A file that cannot be read or lacks a list; an image that is both learned from and tested on.
    pub fn open(path: &Path) -> Result<Self> {
        let table = ClassTable::open(path)?;
        let file = MatFile::open(path)?;
        let list = |name: &str| -> Result<Vec<usize>> {
            let array = file.get(name)?;
            let whole = array.to_whole().filter(|list| list.iter().all(|&at| at > 0));
            let whole =
                whole.ok_or_else(|| file.wrong(name, format!("is {}; expected positions from 1", array.describe())))?;
            Ok(whole.into_iter().map(|at| at - 1).collect())
        };
        let trainval = list("trainval_loc")?;
        let learned: HashSet<usize> = trainval.iter().copied().collect();
        let mut left_out = 0;
        let mut within = |name: &str| -> Result<Vec<usize>> {
            let all = list(name)?;
            let kept: Vec<usize> = all.iter().copied().filter(|at| learned.contains(at)).collect();
            left_out += all.len() - kept.len();
            Ok(kept)
        };
        let (train, val) = (within("train_loc")?, within("val_loc")?);
        let (test_seen, test_unseen) = (list("test_seen_loc")?, list("test_unseen_loc")?);
        let splits = Self { table, trainval, train, val, test_seen, test_unseen, left_out };
        let tested = splits.test_seen.iter().chain(&splits.test_unseen);
        if let Some(both) = tested.into_iter().find(|at| learned.contains(at)) {
            return Err(Error::file(path, format!("has image {} both to learn from and to test on", both + 1)));
        }
        Ok(splits)
    }

    /// Which classes are seen, by the labels of all images: those of images to learn from.
    ///
    /// # Errors
    /// An image without a label, a class that `train` and `val` share, or that images to learn from and unseen ones share.
    pub fn seen(&self, labels: &[usize]) -> Result<Vec<bool>> {
        let classes = self.table.classes.len();
        let all = [&self.trainval, &self.train, &self.val, &self.test_seen, &self.test_unseen];
        if let Some(&at) = all.into_iter().flatten().find(|&&at| labels.get(at).is_none_or(|&label| label >= classes)) {
            return Err(Error::Data(format!(
                "the splits name image {}, of which the features have no row, or no class among {classes}",
                at + 1
            )));
        }
        let of_train: HashSet<usize> = self.train.iter().map(|&at| labels[at]).collect();
        if let Some(&at) = self.val.iter().find(|&&at| of_train.contains(&labels[at])) {
            let class = &self.table.classes[labels[at]];
            return Err(Error::Data(format!("the splits have {class} in train and in val, where it is to be unseen")));
        }
        let mut seen = vec![false; classes];
        self.trainval.iter().for_each(|&at| seen[labels[at]] = true);
        let wrong = |at: &usize, expected: bool| seen[labels[*at]] != expected;
        if let Some(&at) = self.test_unseen.iter().find(|at| wrong(at, false)) {
            return Err(Error::Data(format!(
                "{} is a class to learn from, and image {} of it is said to be unseen",
                self.table.classes[labels[at]],
                at + 1
            )));
        }
        if let Some(&at) = self.test_seen.iter().find(|at| wrong(at, true)) {
            return Err(Error::Data(format!(
                "{} is no class to learn from, and image {} of it is said to be of a seen one",
                self.table.classes[labels[at]],
                at + 1
            )));
        }
        Ok(seen)
    }
}
