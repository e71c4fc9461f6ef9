//! Data sets that are made instead of collected: the synthetic domains on which domain adaptation is measured.
//!
//! | recipe | what | the paper adapts |
//! |---|---|---|
//! | [`MnistMOptions`] | digits on photographs, MNIST-M | from MNIST to it |
//! | [`DigitsOptions`] | printed digits, Syn Numbers | from it to SVHN |
//! | [`SignsOptions`] | drawn traffic signs, Syn Signs | from it to GTSRB |
//!
//! All three are those of Ganin et al., *Domain-Adversarial Training of Neural Networks*, JMLR 17 (2016), section 5.2.4,
//! made again from what is said there. An image is a function of the seed, its part of the set and its number, whatever
//! the number of threads. [`Made::write`] writes IDX files that [`open_data`](super::open_data) reads.

mod capture;
mod digits;
mod fonts;
mod glyphs;
mod mnist_m;
mod photos;
mod raster;
mod signs;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

pub use digits::DigitsOptions;
pub use mnist_m::MnistMOptions;
pub use signs::SignsOptions;

use super::idx::{IdxSet, digest};
use super::{ImageSet, Purpose, stream, write_idx};
use crate::{Error, Result, files};

/// What a data set is made by.
pub trait Recipe: Serialize {
    /// What the set is called.
    const NAME: &'static str;

    /// Gets ready what the images are made of; nothing is drawn yet.
    ///
    /// # Errors
    /// Options that make no sense, all at once; files that are missing or cannot be read.
    fn make(&self) -> Result<Made>;
}

/// A data set that is made: an image is drawn when it is loaded.
pub struct Made {
    /// What is trained on.
    pub train: Arc<dyn ImageSet>,
    /// What is not.
    pub test: Arc<dyn ImageSet>,
    /// What a user should know about how it is made, a line each.
    pub notes: Vec<String>,
}

/// The names of the two parts in files, as MNIST has them.
const PARTS: [&str; 2] = ["train", "t10k"];

impl Made {
    /// Draws all images and writes them to `folder` as IDX files with their `classes.txt`, and in `synth.json` how they
    /// were made. `progress` is called with the number of images that are done, and its error ends the work.
    ///
    /// # Errors
    /// A folder that cannot be written, or in which lies an IDX file that would be read instead; see also [`write_idx`].
    pub fn write<R: Recipe>(
        &self,
        recipe: &R,
        folder: &Path,
        progress: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<()> {
        if let Some(other) = Self::in_the_way(folder) {
            return Err(Error::file(
                other,
                "would be read instead of what is made; choose another folder, or remove it",
            ));
        }
        let (train, test) = (&*self.train, &*self.test);
        write_idx(folder, PARTS[0], train, progress)?;
        write_idx(folder, PARTS[1], test, &mut |done| progress(train.len() + done))?;
        files::write_bytes(folder.join("classes.txt"), (train.classes().join("\n") + "\n").as_bytes())?;
        files::write_json(
            folder.join("synth.json"),
            &serde_json::json!({
                "made": R::NAME,
                "options": recipe,
                "train": train.len(),
                "test": test.len(),
                "notes": self.notes,
                "regraft": env!("CARGO_PKG_VERSION"),
            }),
        )
    }

    /// An earlier IDX file in `folder`, if there is one.
    pub fn found(folder: &Path) -> Option<PathBuf> {
        PARTS.iter().find_map(|part| IdxSet::find(folder, part))
    }

    /// An IDX file in `folder` whose name comes before those that are written.
    fn in_the_way(folder: &Path) -> Option<PathBuf> {
        let ours = |part: &str| folder.join(format!("{part}-images-idx4-ubyte"));
        PARTS.iter().find_map(|part| IdxSet::find(folder, part).filter(|found| *found != ours(part)))
    }
}

/// Which part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Train = 0,
    Test = 1,
}

/// Images that `draw` makes of their number and a stream of their own.
struct Drawn<F> {
    /// The recipe's name, for messages.
    name: &'static str,
    part: Part,
    classes: Vec<String>,
    labels: Vec<usize>,
    seed: u64,
    draw: F,
}

impl<F> ImageSet for Drawn<F>
where
    F: Fn(usize, &mut ChaCha8Rng) -> Result<RgbImage> + Send + Sync,
{
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> usize {
        self.labels[index]
    }

    fn name(&self, index: usize) -> String {
        format!("{} {}[{index}]", self.name, PARTS[self.part as usize])
    }

    fn fingerprint(&self, index: usize) -> Result<String> {
        Ok(digest(&self.load(index)?))
    }

    fn load(&self, index: usize) -> Result<RgbImage> {
        (self.draw)(index, &mut stream(self.seed, Purpose::Synthesis, self.part as u64, index as u64))
    }
}

/// Labels of `count` images, every class in turn.
fn in_turn(count: usize, classes: usize) -> Vec<usize> {
    (0..count).map(|index| index % classes).collect()
}

/// An error with all faults, if there are any.
fn refuse(faults: Vec<String>) -> Result<()> {
    if faults.is_empty() { Ok(()) } else { Err(Error::Usage(faults.join("; "))) }
}
