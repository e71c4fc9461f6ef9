//! Image sets as IDX files: `[N, H, W, 3]` images and `[N]` labels, as [`super::IdxSet`] reads them.

use std::io::Write;
use std::path::Path;

use image::RgbImage;
use rayon::prelude::*;

use super::BYTE;
use crate::data::ImageSet;
use crate::files::{write_atomically, write_bytes};
use crate::{Error, Result};

/// How many images are in memory at once.
const AT_ONCE: usize = 512;

/// Writes the images of `set` to `folder` as `{part}-images-idx4-ubyte`, in colour, and their labels as
/// `{part}-labels-idx1-ubyte`; `part` is `train` or `t10k` for a set that [`super::super::open_data`] finds.
///
/// The images are loaded on all cores; what is written is the same for any number of them. `progress` is called with the
/// number of images that are done, and its error ends the work; nothing is left of a file that is not whole.
///
/// # Errors
/// A set without images, with images of several sizes, or with more than the 256 classes that a byte can tell apart; an
/// image that cannot be loaded; a folder that cannot be written.
pub fn write_idx(
    folder: &Path,
    part: &str,
    set: &dyn ImageSet,
    progress: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<()> {
    let labels: Vec<u8> = (0..set.len()).map_while(|index| u8::try_from(set.label(index)).ok()).collect();
    if labels.len() < set.len() {
        let classes = set.classes().len();
        return Err(Error::Data(format!(
            "{classes} classes: a label of an IDX file is a byte, which has room for 256"
        )));
    }
    let (images, labels_path) = (format!("{part}-images-idx4-ubyte"), format!("{part}-labels-idx1-ubyte"));
    let size = if set.is_empty() { (0, 0) } else { set.load(0)?.dimensions() };
    if size.0 == 0 || size.1 == 0 {
        return Err(Error::file(folder.join(images), "there are no images to write"));
    }
    // what an error of a set is in the form of one of writing
    let mut failed = None;
    let written = write_atomically(folder.join(images), |file| {
        file.write_all(&header(&[set.len(), size.1 as usize, size.0 as usize, 3]))?;
        each(set, size, file, progress).map_err(|fault| match fault {
            Fault::Write(error) => error,
            Fault::Set(error) => {
                failed = Some(error);
                std::io::ErrorKind::Interrupted.into()
            }
        })
    });
    written.map_err(|error| failed.unwrap_or(error))?;
    write_bytes(folder.join(labels_path), &[header(&[labels.len()]), labels].concat())
}

enum Fault {
    Write(std::io::Error),
    Set(Error),
}

fn each(
    set: &dyn ImageSet,
    size: (u32, u32),
    file: &mut dyn Write,
    progress: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<(), Fault> {
    for from in (0..set.len()).step_by(AT_ONCE) {
        let to = (from + AT_ONCE).min(set.len());
        let images: Result<Vec<RgbImage>> = (from..to).into_par_iter().map(|index| set.load(index)).collect();
        for (image, index) in images.map_err(Fault::Set)?.into_iter().zip(from..) {
            if image.dimensions() != size {
                let ((width, height), (found_width, found_height)) = (size, image.dimensions());
                return Err(Fault::Set(Error::file(
                    set.name(index),
                    format!(
                        "is {found_width} x {found_height} pixels, and the first image {width} x {height}; images of an IDX file \
                         have one size"
                    ),
                )));
            }
            file.write_all(&image).map_err(Fault::Write)?;
        }
        progress(to).map_err(Fault::Set)?;
    }
    Ok(())
}

/// The first bytes of a file of bytes with these dimensions, which fit into 32 bits as long as memory does.
fn header(dims: &[usize]) -> Vec<u8> {
    let dims_bytes = dims.iter().flat_map(|&dim| (dim as u32).to_be_bytes());
    [0, 0, BYTE, dims.len() as u8].into_iter().chain(dims_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::super::IdxSet;
    use super::*;
    use crate::data::{Labelled, SyntheticOptions, SyntheticSet};

    #[test]
    fn what_is_written_is_read_back_whatever_the_number_of_threads() {
        let options = SyntheticOptions { classes: 5, per_class: 210, size: 6, ..Default::default() };
        let set = SyntheticSet::new(options);
        let folder = tempfile::tempdir().unwrap();
        let mut seen = vec![];
        let write = |folder: &Path, seen: &mut Vec<usize>| {
            let mut progress = |done| {
                seen.push(done);
                Ok(())
            };
            write_idx(folder, "train", &set, &mut progress).unwrap();
        };
        write(folder.path(), &mut seen);
        assert_eq!(seen, [512, 1024, 1050]);
        let path = folder.path().join("train-images-idx4-ubyte");
        let read = IdxSet::open(&path).unwrap();
        assert_eq!(read.len(), 1050);
        for index in [0, 511, 512, 1049] {
            assert_eq!((read.load(index).unwrap(), read.label(index)), (set.load(index).unwrap(), set.label(index)));
        }
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        one.install(|| write(&folder.path().join("again"), &mut seen));
        assert!(
            std::fs::read(&path).unwrap()
                == std::fs::read(folder.path().join("again").join("train-images-idx4-ubyte")).unwrap()
        );
    }

    #[test]
    fn what_an_idx_file_cannot_hold_is_said_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let message =
            |set: &dyn ImageSet| write_idx(folder.path(), "t10k", set, &mut |_| Ok(())).unwrap_err().to_string();
        let many = SyntheticSet::new(SyntheticOptions { classes: 257, per_class: 1, size: 2, ..Default::default() });
        assert!(message(&many).contains("257 classes"), "{}", message(&many));
        let none = Labelled::new(std::sync::Arc::new(many)).subset(&[]);
        assert!(message(&none).contains("no images to write"));
        let few = SyntheticSet::new(SyntheticOptions { size: 2, ..Default::default() });
        let stop = |_| Err(Error::Interrupted("enough".into()));
        let stopped = write_idx(folder.path(), "t10k", &few, &mut { stop }).unwrap_err();
        assert_eq!(stopped.to_string(), "interrupted; enough");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
