//! The images that come with the program: 200 for training and 100 for testing of each of ten kinds of clothes.

use std::path::Path;

use crate::files;
use crate::{Error, Result};

macro_rules! embedded {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../data/fashion-mnist/", $name)))),+]
    };
}

/// Names and contents of the files; the licence asks to go with them.
const FILES: &[(&str, &[u8])] = embedded![
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
    "classes.txt",
    "LICENSE",
];

/// Puts the images in `folder`; files that are there already are left alone, so that cached features stay valid.
///
/// # Errors
/// The folder cannot be written.
pub(super) fn unpack(folder: &Path) -> Result<()> {
    for (name, content) in FILES {
        let file = folder.join(name);
        match std::fs::read(&file) {
            Ok(found) if found == *content => continue,
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(&file, "cannot read")(error));
            }
            _ => files::write_bytes(&file, content)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ImageSet, OpenOptions, open_data};

    #[test]
    fn what_is_unpacked_is_a_balanced_data_set_and_is_written_once() -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        unpack(folder.path())?;
        let time = || folder.path().join("t10k-images-idx3-ubyte.gz").metadata().unwrap().modified().unwrap();
        let before = time();
        let splits = open_data(folder.path(), &OpenOptions::default())?;
        assert_eq!((splits.train.len(), splits.val.len(), splits.classes.len()), (2000, 1000, 10));
        let mut counts = [0; 10];
        splits.val.labels().into_iter().for_each(|label| counts[label] += 1);
        assert_eq!(counts, [100; 10]);
        std::fs::write(folder.path().join("classes.txt"), "damaged").unwrap();
        unpack(folder.path())?;
        assert_eq!(time(), before);
        assert!(std::fs::read_to_string(folder.path().join("classes.txt")).unwrap().len() > 60);
        Ok(())
    }
}
