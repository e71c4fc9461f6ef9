//! SVHN's cropped digits (Netzer et al., *Reading Digits in Natural Images with Unsupervised Feature Learning*, NIPS
//! workshop 2011): MATLAB files with images `X [32, 32, 3, N] u8` and labels `y [N, 1]`, in which 10 stands for the digit 0.

use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};

use super::ImageSet;
use super::idx::digest;
use super::mat::{MatFile, Values};
use crate::{Error, Result};

const CHANNELS: usize = 3;

/// The images and labels of one file, in memory.
pub struct SvhnSet {
    path: PathBuf,
    height: usize,
    width: usize,
    /// Image after image, channel after channel, column after column.
    pixels: Vec<u8>,
    labels: Vec<u8>,
    classes: Vec<String>,
}

impl SvhnSet {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// A file that is no MATLAB file of version 5, or lacks `X` or `y`, or has something else in them.
    pub fn open(path: &Path) -> Result<Self> {
        let file = MatFile::open(path)?;
        if let Some(missing) = ["X", "y"].iter().find(|name| !file.names().any(|found| found == **name)) {
            let found: Vec<&str> = file.names().collect();
            return Err(Error::file(
                path,
                format!(
                    "holds {}, but no {missing}; of MATLAB files only SVHN's are data sets of images: X [32, 32, 3, N] and y [N, 1]",
                    found.join(", ")
                ),
            ));
        }
        let images = file.get("X")?;
        let wrong = |what: String| file.wrong("X", format!("is {what}; expected uint8 [height x width x 3 x images]"));
        let dims = images.dims().to_vec();
        // a single image has no fourth dimension
        let (height, width, count) = match dims[..] {
            [height, width, CHANNELS] => (height, width, 1),
            [height, width, CHANNELS, count] => (height, width, count),
            _ => return Err(wrong(images.describe())),
        };
        let about = images.describe();
        let Values::U8(pixels) = images.into_values() else { return Err(wrong(about)) };
        if pixels.is_empty() {
            return Err(wrong(about));
        }
        let found = file.get("y")?;
        let digits = found.to_whole().unwrap_or_default();
        if digits.len() != count {
            return Err(
                file.wrong("y", format!("is {}; expected a label for each of the {count} images", found.describe()))
            );
        }
        if let Some((index, other)) = digits.iter().enumerate().find(|(_, digit)| **digit > 10) {
            return Err(file
                .wrong("y", format!("has label {other} for image {index}; expected 1 to 9, and 10 for the digit 0")));
        }
        let labels = digits.into_iter().map(|digit| (digit % 10) as u8).collect();
        let classes = (0..10).map(|digit| digit.to_string()).collect();
        Ok(Self { path: path.to_path_buf(), height, width, pixels, labels, classes })
    }

    /// The files for training and for the test in `folder`, if the first of them is there.
    pub(super) fn find(folder: &Path) -> Option<(PathBuf, Option<PathBuf>)> {
        let file = |part: &str| Some(folder.join(format!("{part}_32x32.mat"))).filter(|path| path.is_file());
        match (file("train"), file("test")) {
            (Some(train), test) => Some((train, test)),
            (None, Some(test)) => Some((test, None)),
            (None, None) => None,
        }
    }

    fn values(&self, index: usize) -> &[u8] {
        let size = self.height * self.width * CHANNELS;
        &self.pixels[index * size..][..size]
    }
}

impl ImageSet for SvhnSet {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> usize {
        usize::from(self.labels[index])
    }

    fn name(&self, index: usize) -> String {
        format!("{}[{index}]", self.path.display())
    }

    fn fingerprint(&self, index: usize) -> Result<String> {
        Ok(digest(self.values(index)))
    }

    fn load(&self, index: usize) -> Result<RgbImage> {
        let values = self.values(index);
        Ok(RgbImage::from_fn(self.width as u32, self.height as u32, |x, y| {
            let at = |channel| values[(channel * self.width + x as usize) * self.height + y as usize];
            Rgb(std::array::from_fn(at))
        }))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::mat::tests::Writer;
    use super::*;

    /// Two images of 2 × 3 pixels, of a nine and a zero, whose pixels are 100 × image + 10 × column + row, and whose
    /// channels are 3 apart.
    pub(in super::super) fn file() -> Vec<u8> {
        let mut pixels = vec![];
        for image in 0..2u8 {
            for channel in 0..3u8 {
                (0..3u8).for_each(|x| (0..2u8).for_each(|y| pixels.push(100 * image + 10 * x + y + 3 * channel)));
            }
        }
        file_of(&[2, 3, 3, 2], &pixels, &[9, 10])
    }

    fn file_of(dims: &[u32], pixels: &[u8], labels: &[u8]) -> Vec<u8> {
        let writer = Writer { big_endian: false };
        let x = writer.matrix(9, dims, "X", &writer.element(2, pixels));
        writer.file(&[x, writer.matrix(9, &[labels.len() as u32, 1], "y", &writer.element(2, labels))])
    }

    fn open(bytes: &[u8]) -> Result<SvhnSet> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train_32x32.mat");
        std::fs::write(&path, bytes).unwrap();
        SvhnSet::open(&path)
    }

    #[test]
    fn columns_become_rows_and_ten_is_zero() {
        let set = open(&file()).unwrap();
        assert_eq!((set.len(), set.label(0), set.label(1), set.classes()[0].as_str()), (2, 9, 0, "0"));
        let image = set.load(1).unwrap();
        assert_eq!(image.dimensions(), (3, 2));
        for (x, y, pixel) in image.enumerate_pixels() {
            let red = 100 + 10 * x as u8 + y as u8;
            assert_eq!(pixel.0, [red, red + 3, red + 6]);
        }
        assert_ne!(set.fingerprint(0).unwrap(), set.fingerprint(1).unwrap());
    }

    #[test]
    fn other_matlab_files_are_named() {
        let message = |bytes: Vec<u8>| open(&bytes).err().unwrap().to_string();
        let writer = Writer { big_endian: false };
        let other = writer.file(&[writer.matrix(9, &[1, 1], "fts", &writer.element(2, &[1]))]);
        assert!(message(other).contains("holds fts, but no X; of MATLAB files only SVHN's"));
        for (bytes, expected) in [
            (file_of(&[2, 2], &[0; 4], &[1]), "variable \"X\" is uint8 [2 x 2]; expected uint8"),
            (file_of(&[1, 1, 3, 0], &[], &[]), "variable \"X\" is uint8 [1 x 1 x 3 x 0]"),
            (
                file_of(&[1, 1, 3, 2], &[0; 6], &[1]),
                "variable \"y\" is uint8 [1 x 1]; expected a label for each of the 2",
            ),
            (file_of(&[1, 1, 3, 2], &[0; 6], &[1, 11]), "has label 11 for image 1; expected 1 to 9"),
        ] {
            let message = message(bytes);
            assert!(message.contains(expected), "{message}\nlacks: {expected}");
        }
    }
}
