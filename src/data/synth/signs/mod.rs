//! Syn Signs: German traffic signs, drawn, and seen as a camera in a car sees them.
//!
//! Ganin et al., *Domain-Adversarial Training of Neural Networks*, JMLR 17 (2016), section 5.2.4, adapt from 100,000
//! images that were made to imitate various conditions of imaging (after Moiseev et al., *Evaluation of Traffic Sign
//! Recognition Methods Trained on Synthetically Generated Data*, ACIVS 2013) to the German Traffic Sign Recognition
//! Benchmark. The forty-three classes have the numbers of that benchmark, in five digits, as its folders are named: what
//! learned from these images can be measured on those.
//!
//! An image is a sign on its pole, often with another sign above or below, turned, tilted and seen in perspective, with
//! faded colours, before a street that is hinted at or a patch of a photograph; in light from dusk to glare, out of focus,
//! in motion or from afar, and with noise.
//!
//! # Differences from the paper
//! The signs are our own drawings, and how strongly they are distorted is our choice: the paper says neither.

mod boards;
mod catalogue;
mod directions;
mod layer;
mod pictograms;
mod scene;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::photos::Photos;
use super::raster::Outline;
use super::{Drawn, Made, Part, Recipe, in_turn, refuse};
use crate::Result;
use crate::data::ImageSet;
use layer::Ink;

/// How many signs, and what is behind them.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
pub struct SignsOptions {
    /// Training images of each of the 43 classes; a tenth as many are for the test
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub per_class: usize,
    /// Photographs to be seen behind the signs, instead of streets that are hinted at
    #[arg(long, value_name = "FOLDER")]
    pub photos: Option<PathBuf>,
    /// Side of the images, in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 40)]
    pub size: u32,
    /// Fixes every random choice
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub seed: u64,
}

impl Default for SignsOptions {
    fn default() -> Self {
        crate::options::defaults()
    }
}

/// The layers of a sign, ready to be filled.
type Sign = Vec<(Ink, Outline)>;

impl Recipe for SignsOptions {
    const NAME: &'static str = "signs";

    fn make(&self) -> Result<Made> {
        let mut faults = vec![];
        if !(16..=512).contains(&self.size) {
            faults.push(format!("--size {} must lie between 16 and 512 pixels", self.size));
        }
        if !(1..=1_000_000).contains(&self.per_class) {
            faults.push(format!("--per-class {} must lie between 1 and a million", self.per_class));
        }
        refuse(faults)?;
        let mut notes = vec![];
        let [train, test] = match &self.photos {
            None => [None, None],
            Some(folder) => {
                let (train, test) = Photos::open(folder, self.size)?.split(self.seed)?;
                notes.push(format!("photographs: {} for training, {} for the test", train.len(), test.len()));
                [Some(train), Some(test)]
            }
        };
        let outlines = |layers: layer::Layers| layers.iter().map(|layer| (layer.ink, layer.outline())).collect();
        let signs: Arc<Vec<Sign>> = Arc::new(catalogue::all().into_iter().map(outlines).collect());
        Ok(Made {
            train: self.part(Part::Train, self.per_class, &signs, train),
            test: self.part(Part::Test, self.per_class.div_ceil(10), &signs, test),
            notes,
        })
    }
}

impl SignsOptions {
    fn part(&self, part: Part, per_class: usize, signs: &Arc<Vec<Sign>>, photos: Option<Photos>) -> Arc<dyn ImageSet> {
        let (size, signs) = (self.size, Arc::clone(signs));
        let draw = move |index: usize, random: &mut ChaCha8Rng| {
            let background = photos.as_ref().map(|photos| photos.patch(size, random));
            scene::picture(&signs[index % signs.len()], size, background, random)
        };
        let classes = (0..catalogue::SIGNS).map(|number| format!("{number:05}")).collect();
        let labels = in_turn(per_class * catalogue::SIGNS, catalogue::SIGNS);
        Arc::new(Drawn { name: Self::NAME, part, classes, labels, seed: self.seed, draw })
    }
}

#[cfg(test)]
mod tests {
    use super::super::photos::tests::folder;
    use super::*;

    #[test]
    fn every_class_has_its_images_and_the_seed_fixes_them() {
        let options = SignsOptions { per_class: 2, size: 24, ..Default::default() };
        let made = options.make().unwrap();
        assert_eq!((made.train.len(), made.test.len()), (86, 43));
        assert_eq!((made.train.classes()[7].as_str(), made.train.label(50)), ("00007", 7));
        let again = options.make().unwrap();
        for index in [0, 42, 85] {
            let image = made.train.load(index).unwrap();
            assert_eq!(image, again.train.load(index).unwrap());
            assert_eq!(image.dimensions(), (24, 24));
        }
        assert_ne!(made.train.load(3).unwrap(), made.test.load(3).unwrap());
        let other = SignsOptions { seed: 1, ..options }.make().unwrap();
        assert_ne!(made.train.load(3).unwrap(), other.train.load(3).unwrap());
    }

    #[test]
    fn photographs_are_behind_the_signs() {
        let photos = folder(12, 40, 40);
        let options = SignsOptions { per_class: 1, photos: Some(photos.path().into()), ..Default::default() };
        let made = options.make().unwrap();
        assert_eq!(made.notes, ["photographs: 10 for training, 2 for the test"]);
        // they are nearly black, and no sign reaches the corner
        let dark = (0..43).filter(|&index| made.train.load(index).unwrap().get_pixel(0, 0).0.iter().all(|&v| v < 60));
        assert!(dark.count() > 30);
    }

    #[test]
    fn all_faults_are_said_at_once() {
        let message = SignsOptions { per_class: 0, size: 3, ..Default::default() }.make().err().unwrap().to_string();
        assert!(message.contains("--size 3") && message.contains("--per-class 0"), "{message}");
    }
}
