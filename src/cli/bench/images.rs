//! The images that everyone works on: the user's, or some that are made.

use std::path::{Path, PathBuf};

use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, resize};
use image::{Rgb, RgbImage};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::files;
use crate::{Error, Result};

/// Every so many images one is for validation.
const VALIDATION: usize = 6;
const CLASSES: usize = 4;

/// A folder with `train/CLASS` and `val/CLASS` in it, as both programs read it.
pub(super) struct Images {
    pub(super) folder: PathBuf,
    /// What they are, in a few words.
    pub(super) about: String,
}

impl Images {
    /// Links to `count` images of `data` under `scratch`, or so many new ones there.
    ///
    /// # Errors
    /// A folder without classes of images, or with too few for a batch.
    pub(super) fn prepare(data: Option<&Path>, count: usize, batch_size: usize, scratch: &Path) -> Result<Self> {
        let training = count - count / VALIDATION;
        if training < batch_size {
            return Err(Error::Usage(format!(
                "--images {count}: {training} of them train, which is less than a batch of {batch_size}"
            )));
        }
        let folder = scratch.join("images");
        let about = match data {
            Some(data) => {
                let (used, all) = link(data, count, &folder)?;
                if used - used / VALIDATION < batch_size {
                    return Err(Error::file(data, format!("holds {all} images, too few for a batch of {batch_size}")));
                }
                format!("{used} of the {all} images in {}", data.display())
            }
            None => {
                make(count, &folder)?;
                format!("{count} JPEG of 500 × 375 pixels that were made for it")
            }
        };
        Ok(Self { folder, about })
    }
}

/// The files in a folder, or the folders in it, sorted by name.
fn entries(folder: &Path, folders: bool) -> Result<Vec<PathBuf>> {
    let read = std::fs::read_dir(folder).map_err(Error::io(folder, "cannot read"))?;
    let mut paths: Vec<PathBuf> = read.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.is_dir() == folders);
    paths.sort();
    Ok(paths)
}

/// Links to the first images of every class; gives how many, and how many there are.
fn link(data: &Path, count: usize, folder: &Path) -> Result<(usize, usize)> {
    let data = data.canonicalize().map_err(Error::io(data, "cannot read"))?;
    let data = if data.join("train").is_dir() { data.join("train") } else { data };
    let is_image = |path: &PathBuf| {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        extension.is_some_and(|extension| ["jpg", "jpeg", "png"].contains(&extension.as_str()))
    };
    let mut classes = vec![];
    for class in entries(&data, true)? {
        let images: Vec<PathBuf> = entries(&class, false)?.into_iter().filter(is_image).collect();
        classes.push((class, images));
    }
    let all = classes.iter().map(|(_, images)| images.len()).sum();
    let each = count.div_ceil(classes.len().max(1));
    let mut used = 0;
    for (class, images) in &classes {
        for (number, image) in images.iter().take(each).enumerate() {
            let link = place(folder, number, class.file_name().expect("a folder has a name"), image)?;
            std::os::unix::fs::symlink(image, &link).map_err(Error::io(&link, "cannot link"))?;
            used += 1;
        }
    }
    Ok((used, all))
}

/// Where image `number` of a class goes.
fn place(folder: &Path, number: usize, class: impl AsRef<Path>, image: &Path) -> Result<PathBuf> {
    let part = if number % VALIDATION == VALIDATION - 1 { "val" } else { "train" };
    let folder = folder.join(part).join(class);
    std::fs::create_dir_all(&folder).map_err(Error::io(&folder, "cannot create the folder"))?;
    Ok(folder.join(image.file_name().expect("a file has a name")))
}

/// Smooth random pictures with a little noise, of the size of ImageNet's, and about as long in bytes.
fn make(count: usize, folder: &Path) -> Result<()> {
    let mut random = ChaCha8Rng::seed_from_u64(0);
    for number in 0..count {
        let coarse = RgbImage::from_fn(16, 12, |_, _| Rgb(random.random()));
        let mut image = resize(&coarse, 500, 375, FilterType::CatmullRom);
        for value in image.iter_mut() {
            *value = value.saturating_add_signed(random.random_range(-9..=9));
        }
        let name = format!("{number:05}.jpg");
        let file = place(folder, number / CLASSES, format!("class{}", number % CLASSES), Path::new(&name))?;
        let mut bytes = vec![];
        let encoded = JpegEncoder::new_with_quality(&mut bytes, 90).encode_image(&image);
        encoded.map_err(|error| Error::file(&file, error.to_string()))?;
        files::write_bytes(&file, &bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(folder: &Path) -> usize {
        entries(folder, true).unwrap().iter().map(|class| entries(class, false).unwrap().len()).sum()
    }

    #[test]
    fn images_are_made_or_linked_with_a_sixth_for_validation() {
        let scratch = tempfile::tempdir().unwrap();
        let made = Images::prepare(None, 48, 8, scratch.path()).unwrap();
        assert_eq!([count(&made.folder.join("train")), count(&made.folder.join("val"))], [40, 8]);
        let other = tempfile::tempdir().unwrap();
        let linked = Images::prepare(Some(&made.folder), 24, 8, other.path()).unwrap();
        assert_eq!([count(&linked.folder.join("train")), count(&linked.folder.join("val"))], [20, 4]);
        assert!(linked.about.starts_with("24 of the 40 images"), "{}", linked.about);
        let few = Images::prepare(Some(&made.folder), 48, 39, tempfile::tempdir().unwrap().path());
        assert!(few.err().unwrap().to_string().contains("too few for a batch of 39"));
        assert!(Images::prepare(None, 8, 8, scratch.path()).is_err());
    }
}
