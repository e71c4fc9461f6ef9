//! MNIST-M: digits blended over patches of colour photographs.
//!
//! Ganin et al., *Domain-Adversarial Training of Neural Networks*, JMLR 17 (2016), section 5.2.4: for a digit `I1` and a
//! random patch `I2` of a random photograph of BSDS500, the image is `out[i, j, k] = |I1[i, j, k] − I2[i, j, k]|` for
//! the pixel `i, j` and the channel `k`. A digit is no longer the bright part of the image, only where the photograph is
//! inverted.
//!
//! # Differences from the paper
//! Every digit is taken, and stays as large as it is (MNIST: 28 pixels) where [`size`](MnistMOptions::size) does not
//! say otherwise. Of ten photographs or more, a fifth serves the test alone, so that no network sees a test background
//! in training; photographs that are longer than 640 pixels are made smaller first.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use image::RgbImage;
use image::imageops::{self, FilterType};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::photos::Photos;
use super::{Drawn, Made, Part, Recipe, refuse};
use crate::Result;
use crate::data::{ImageSet, Labelled, OpenOptions, open_data};

/// Which digits, and which photographs they are blended over.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
pub struct MnistMOptions {
    /// Digits: a folder of IDX files such as MNIST's, or any data set that --data takes elsewhere
    #[arg(long, value_name = "FOLDER")]
    pub digits: Option<PathBuf>,
    /// Photographs, as those of BSDS500; folders in this one are searched too
    #[arg(long, value_name = "FOLDER")]
    pub photos: Option<PathBuf>,
    /// Side of the images, in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 28)]
    pub size: u32,
    /// Fixes every random choice
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub seed: u64,
}

impl Default for MnistMOptions {
    fn default() -> Self {
        crate::options::defaults()
    }
}

impl Recipe for MnistMOptions {
    const NAME: &'static str = "mnist-m";

    fn make(&self) -> Result<Made> {
        let (digits, photos) = self.validate()?;
        let splits = open_data(digits, &OpenOptions { seed: self.seed, ..OpenOptions::default() })?;
        let photos = Photos::open(photos, self.size)?;
        let (train, test) = photos.clone().split(self.seed)?;
        let shared = if train.len() == photos.len() { ", all for training and test" } else { "" };
        let mut notes = vec![format!("photographs: {} for training, {} for the test{shared}", train.len(), test.len())];
        notes.extend(splits.notes);
        Ok(Made {
            train: self.part(Part::Train, splits.train, train),
            test: self.part(Part::Test, splits.val, test),
            notes,
        })
    }
}

impl MnistMOptions {
    fn validate(&self) -> Result<(&PathBuf, &PathBuf)> {
        let mut faults = vec![];
        if !(8..=512).contains(&self.size) {
            faults.push(format!("--size {} must lie between 8 and 512 pixels", self.size));
        }
        let missing = [
            (&self.digits, "--digits FOLDER is missing: a folder of IDX files such as MNIST's"),
            (&self.photos, "--photos FOLDER is missing: a folder of photographs such as BSDS500's"),
        ];
        faults.extend(missing.iter().filter(|(given, _)| given.is_none()).map(|(_, fault)| (*fault).to_string()));
        match (&self.digits, &self.photos, faults.is_empty()) {
            (Some(digits), Some(photos), true) => Ok((digits, photos)),
            _ => Err(refuse(faults).expect_err("there is a fault")),
        }
    }

    fn part(&self, part: Part, digits: Labelled, photos: Photos) -> Arc<dyn ImageSet> {
        let size = self.size;
        let (classes, labels) = (digits.classes().to_vec(), digits.labels());
        let draw = move |index: usize, random: &mut ChaCha8Rng| {
            let mut digit = digits.load(index)?;
            if digit.dimensions() != (size, size) {
                digit = imageops::resize(&digit, size, size, FilterType::Triangle);
            }
            Ok(difference(photos.patch(size, random), &digit))
        };
        Arc::new(Drawn { name: Self::NAME, part, classes, labels, seed: self.seed, draw })
    }
}

/// `|patch − digit|`, value by value.
fn difference(mut patch: RgbImage, digit: &RgbImage) -> RgbImage {
    patch.iter_mut().zip(digit.iter()).for_each(|(value, digit)| *value = value.abs_diff(*digit));
    patch
}

#[cfg(test)]
mod tests {
    use super::super::photos::tests::folder;
    use super::*;
    use crate::data::{SyntheticOptions, SyntheticSet, write_idx};

    /// 30 digits for training and as many for the test, and photographs.
    fn scene(photos: u8) -> (tempfile::TempDir, MnistMOptions) {
        let root = folder(photos, 20, 20);
        let digits = root.path().join("digits");
        let set = SyntheticSet::new(SyntheticOptions { classes: 10, per_class: 3, size: 12, ..Default::default() });
        for part in ["train", "t10k"] {
            write_idx(&digits, part, &set, &mut |_| Ok(())).unwrap();
        }
        let photos = Some(root.path().to_path_buf());
        (root, MnistMOptions { digits: Some(digits), photos, size: 12, seed: 5 })
    }

    #[test]
    fn a_value_is_the_distance_between_digit_and_photograph() {
        let patch = RgbImage::from_raw(1, 2, vec![0, 100, 255, 9, 9, 9]).unwrap();
        let digit = RgbImage::from_raw(1, 2, vec![255, 101, 255, 0, 8, 10]).unwrap();
        assert_eq!(difference(patch, &digit).into_raw(), [255, 1, 0, 9, 1, 1]);
    }

    #[test]
    fn every_digit_keeps_its_place_and_label_and_every_photograph_its_side() {
        let (_root, options) = scene(20);
        let made = options.make().unwrap();
        let digits = open_data(options.digits.as_ref().unwrap(), &OpenOptions::default()).unwrap();
        assert!(made.notes[0].contains("16 for training, 4 for the test"), "{:?}", made.notes);
        let mut backgrounds = vec![];
        for (set, digits) in [(&made.train, &digits.train), (&made.test, &digits.val)] {
            assert_eq!((0..set.len()).map(|index| set.label(index)).collect::<Vec<_>>(), digits.labels());
            let mut found = std::collections::BTreeSet::new();
            for index in 0..set.len() {
                let (image, digit) = (set.load(index).unwrap(), digits.load(index).unwrap());
                // the photographs are flat, so one value was subtracted everywhere
                let fits =
                    |photo: u8| image.iter().zip(digit.iter()).all(|(made, digit)| *made == digit.abs_diff(photo));
                found.insert((0..20).find(|&photo| fits(photo)).expect("a photograph"));
            }
            backgrounds.push(found);
        }
        assert!(backgrounds[0].len() > 5 && backgrounds[0].is_disjoint(&backgrounds[1]), "{backgrounds:?}");
    }

    #[test]
    fn the_seed_fixes_the_images() {
        let (_root, options) = scene(9);
        let images = |seed| {
            let made = MnistMOptions { seed, ..options.clone() }.make().unwrap();
            (0..30).map(|index| made.train.load(index).unwrap()).collect::<Vec<_>>()
        };
        assert!(images(1) == images(1) && images(1) != images(2));
        let made = MnistMOptions { size: 9, ..options }.make().unwrap();
        assert_eq!(made.test.load(3).unwrap().dimensions(), (9, 9));
        assert!(made.notes[0].contains("9 for training, 9 for the test, all for"), "{:?}", made.notes);
    }

    #[test]
    fn all_faults_are_said_at_once() {
        let message = MnistMOptions { size: 3, ..Default::default() }.make().err().unwrap().to_string();
        for word in ["--size 3", "--digits FOLDER is missing", "--photos FOLDER is missing"] {
            assert!(message.contains(word), "{message}");
        }
    }
}
