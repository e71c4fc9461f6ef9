//! What every labelled set of images can do, wherever its pixels come from.

use image::RgbImage;

use crate::{Error, Result};

/// Images with a class each. Nothing is decoded before [`load`](Self::load), and several threads load at once.
pub trait ImageSet: Send + Sync {
    /// How many images there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The classes' names in the order of their labels: a label is an index into them. Folders are sorted by name.
    fn classes(&self) -> &[String];

    /// The class of image `index`.
    fn label(&self, index: usize) -> usize;

    /// What a message calls image `index`: its path, or `file[number]`.
    fn name(&self, index: usize) -> String;

    /// What changes when the pixels of image `index` change: for a file its path, size and time of change.
    ///
    /// # Errors
    /// A file that is not there any more.
    fn fingerprint(&self, index: usize) -> Result<String> {
        let name = self.name(index);
        let about = std::fs::metadata(&name).map_err(Error::io(&name, "cannot read"))?;
        let changed = about.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        Ok(format!("{name} {} {:?}", about.len(), changed))
    }

    /// Decodes image `index`, upright, to 8-bit RGB.
    ///
    /// # Errors
    /// A file that cannot be read or decoded, named.
    fn load(&self, index: usize) -> Result<RgbImage>;
}
