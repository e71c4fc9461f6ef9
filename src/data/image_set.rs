//! What every labelled set of images can do, wherever its pixels come from.

use std::sync::Arc;

use image::RgbImage;

use super::{Part, Region};
use crate::{Error, Result};

/// Names the region that is wanted of an image of the given width and height; asked once.
pub type Choose<'a> = &'a mut dyn FnMut((u32, u32)) -> Region;

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

    /// The same, without a copy where the set keeps decoded images.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    fn load_shared(&self, index: usize) -> Result<Arc<RgbImage>> {
        self.load(index).map(Arc::new)
    }

    /// The region of image `index` that `choose` names, maybe smaller than it is, where that takes less time; but not
    /// smaller than `side` pixels in either direction.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    fn load_part(&self, index: usize, side: u32, choose: Choose) -> Result<Part> {
        let _unused = side;
        let image = self.load_shared(index)?;
        let region = choose(image.dimensions());
        Ok(Part::of(image, region))
    }
}
