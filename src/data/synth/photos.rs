//! Photographs that patches are cut from.

use std::path::Path;
use std::sync::Arc;

use image::RgbImage;
use image::imageops::{self, FilterType};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::data::{FolderSet, ImageSet, split};
use crate::{Error, Result};

/// Longest side in pixels: those of BSDS500 have 481. In a patch of a photograph of many megapixels nothing is to be seen.
const LONGEST: u32 = 640;
/// The most photographs that are kept in memory, about a GiB.
const MOST: usize = 1200;
/// From how many on the test has photographs of its own, and which share.
const ENOUGH: usize = 10;
const TEST_SHARE: f64 = 0.2;

/// Some photographs, in memory. Cheap to clone.
#[derive(Clone)]
pub(super) struct Photos(Vec<Arc<RgbImage>>);

impl Photos {
    /// Reads the photographs in `folder` and below it, of which patches of `side` × `side` pixels are wanted.
    ///
    /// # Errors
    /// A folder without images; an image that cannot be read, or is smaller than a patch.
    pub(super) fn open(folder: &Path, side: u32) -> Result<Self> {
        let mut files = FolderSet::empty(vec!["photograph".into()]);
        if !folder.is_dir() {
            return Err(Error::file(folder, "no such folder; expected a folder of photographs"));
        }
        files.add(folder, 0, &mut Vec::new())?;
        if files.is_empty() {
            return Err(Error::file(folder, "holds no images; expected a folder of photographs"));
        }
        let count = files.len().min(MOST);
        // of more, some from everywhere in the list
        let chosen = (0..count).into_par_iter().map(|number| number * files.len() / count);
        let photo = |index: usize| {
            let image = shrunk(files.load(index)?);
            let (width, height) = image.dimensions();
            if width.min(height) < side {
                return Err(Error::file(
                    files.name(index),
                    format!(
                        "is {width} x {height} pixels, and patches of {side} x {side} are cut from photographs; remove it"
                    ),
                ));
            }
            Ok(Arc::new(image))
        };
        chosen.map(photo).collect::<Result<Vec<_>>>().map(Self)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Those for training and those for the test, a fifth by `seed`; of fewer than ten photographs, all for both.
    ///
    /// # Errors
    /// None: the share is one that can be.
    pub(super) fn split(self, seed: u64) -> Result<(Self, Self)> {
        if self.len() < ENOUGH {
            return Ok((self.clone(), self));
        }
        let parts = split::stratified(&vec![0; self.len()], TEST_SHARE, seed)?;
        let of = |positions: &[usize]| Self(positions.iter().map(|&position| Arc::clone(&self.0[position])).collect());
        Ok((of(&parts.train), of(&parts.rest)))
    }

    /// A patch of `side` × `side` pixels from anywhere in any of them.
    pub(super) fn patch(&self, side: u32, random: &mut ChaCha8Rng) -> RgbImage {
        let photo = &self.0[random.random_range(0..self.0.len())];
        let (left, top) =
            (random.random_range(0..=photo.width() - side), random.random_range(0..=photo.height() - side));
        imageops::crop_imm(&**photo, left, top, side, side).to_image()
    }
}

/// The image, with a longest side of at most [`LONGEST`].
fn shrunk(image: RgbImage) -> RgbImage {
    let longest = image.width().max(image.height());
    if longest <= LONGEST {
        return image;
    }
    let scaled = |length: u32| (u64::from(length) * u64::from(LONGEST) / u64::from(longest)).max(1) as u32;
    imageops::resize(&image, scaled(image.width()), scaled(image.height()), FilterType::Triangle)
}

#[cfg(test)]
pub(super) mod tests {
    use rand::SeedableRng;

    use super::*;

    /// A folder of `count` photographs, the first of which all has the value 0, the second 1, and so on.
    pub(in super::super) fn folder(count: u8, width: u32, height: u32) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..count {
            let path = folder.path().join(format!("{number:03}.png"));
            RgbImage::from_pixel(width, height, image::Rgb([number; 3])).save(path).unwrap();
        }
        folder
    }

    #[test]
    fn the_test_has_photographs_of_its_own_where_there_are_ten() {
        let values = |photos: &Photos| photos.0.iter().map(|photo| photo.get_pixel(0, 0).0[0]).collect::<Vec<_>>();
        let few = folder(9, 3, 3);
        let (train, test) = Photos::open(few.path(), 3).unwrap().split(0).unwrap();
        assert_eq!((values(&train), values(&test)), ((0..9).collect(), (0..9).collect()));
        let many = folder(10, 3, 3);
        let (train, test) = Photos::open(many.path(), 3).unwrap().split(0).unwrap();
        assert_eq!((train.len(), test.len()), (8, 2));
        assert!(values(&test).iter().all(|value| !values(&train).contains(value)));
    }

    #[test]
    fn patches_come_from_everywhere_and_photographs_are_not_enlarged() {
        let folder = tempfile::tempdir().unwrap();
        let photo = RgbImage::from_fn(7, 5, |x, y| image::Rgb([x as u8, y as u8, 0]));
        photo.save(folder.path().join("a.png")).unwrap();
        let photos = Photos::open(folder.path(), 4).unwrap();
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut corners = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let patch = photos.patch(4, &mut random);
            let [left, top, _] = patch.get_pixel(0, 0).0;
            assert_eq!(patch.get_pixel(3, 3).0, [left + 3, top + 3, 0]);
            corners.insert((left, top));
        }
        assert_eq!(corners.len(), 4 * 2);
        let message = Photos::open(folder.path(), 6).err().unwrap().to_string();
        assert!(message.contains("a.png: is 7 x 5 pixels"), "{message}");
    }

    #[test]
    fn large_photographs_are_made_smaller_and_missing_ones_named() {
        assert_eq!(shrunk(RgbImage::new(2000, 999)).dimensions(), (640, 319));
        let empty = tempfile::tempdir().unwrap();
        let message = |path: &Path| Photos::open(path, 1).err().unwrap().to_string();
        assert!(message(empty.path()).contains("holds no images"));
        assert!(message(&empty.path().join("absent")).contains("absent: no such folder"));
    }
}
