//! Decoded images that are kept, so that later epochs do not decode them again.
//!
//! A kept image is the whole one, as decoding gives it, so what comes out of a set does not depend on what was kept. Only
//! of large JPEG files is more decoded than [`ImageSet::load_part`] would decode without a cache; see there.
//!
//! Training images per second on two cores, 224 pixels, second epoch:
//!
//! | photographs | no cache | in memory | on the disk, its pages in memory |
//! |---|---|---|---|
//! | 227 × 227 | 2,110 | 5,330 | 5,630 |
//! | 500 × 375 | 740 | 3,690 | 2,930 |
//! | 4000 × 3000 | 188 | 306 | 66 |
//!
//! So large photographs, 36 MB each once decoded, are better not kept on the disk.

mod disk;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::{ImageSet, Labelled};
use crate::Result;
use disk::Disk;

/// Bytes in a GiB.
pub(crate) const GIB: f64 = (1u64 << 30) as f64;

/// Where decoded images are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum CacheImages {
    /// Nowhere: they are decoded each time
    #[default]
    None,
    /// In memory, for the epochs of this run
    Memory,
    /// In one file per data set beside the weights, for later runs too
    Disk,
}

/// The decoded images of several sets, under one limit.
pub struct ImageCache {
    sets: Vec<Labelled>,
    store: Store,
    limit: u64,
    /// What is still to be told.
    notes: Mutex<Vec<String>>,
    told_size: AtomicBool,
    told_limit: AtomicBool,
}

enum Store {
    Memory {
        images: Vec<OnceLock<Arc<RgbImage>>>,
        kept: AtomicUsize,
        bytes: AtomicU64,
        /// Whether an image did not fit.
        full: AtomicBool,
    },
    Disk(Disk),
}

impl ImageCache {
    /// Keeps images of `sets` in memory, at most `limit` bytes of them: those that are asked for first.
    pub fn in_memory(sets: &[&Labelled], limit: u64) -> Arc<Self> {
        let total = sets.iter().map(|set| set.len()).sum();
        let images = std::iter::repeat_with(OnceLock::new).take(total).collect();
        let (kept, bytes, full) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicBool::new(false));
        Self::new(sets, limit, Store::Memory { images, kept, bytes, full }, vec![])
    }

    /// Keeps images of `sets` in a file in `folder`, which is written first if an earlier run has not done so, by a thread
    /// per core. All files in the folder together take at most `limit` bytes: those that were not used for longest go.
    /// `progress` is called with the number of images that are done and of all images, and may end it with an error; no
    /// file is then left.
    ///
    /// # Errors
    /// An image file that is not there any more; a folder that cannot be written; what `progress` answers.
    pub fn on_disk(
        sets: &[&Labelled],
        folder: &Path,
        limit: u64,
        progress: &mut dyn FnMut(usize, usize) -> Result<()>,
    ) -> Result<Arc<Self>> {
        let (disk, notes) = Disk::open_or_write(sets, folder, limit, progress)?;
        Ok(Self::new(sets, limit, Store::Disk(disk), notes))
    }

    fn new(sets: &[&Labelled], limit: u64, store: Store, notes: Vec<String>) -> Arc<Self> {
        let sets = sets.iter().map(|&set| set.clone()).collect();
        let (told_size, told_limit) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { sets, store, limit, notes: Mutex::new(notes), told_size, told_limit })
    }

    /// The sets with this cache in front of them, in the order in which they were given.
    pub fn sets(self: &Arc<Self>) -> Vec<Labelled> {
        let mut first = 0;
        let cached = |set: &Labelled| {
            let cached = CachedSet { set: set.clone(), first, cache: Arc::clone(self) };
            first += set.len();
            Labelled::new(Arc::new(cached))
        };
        self.sets.iter().map(cached).collect()
    }

    /// What a user should know by now and was not told yet, a line each.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner));
        let all: usize = self.sets.iter().map(|set| set.len()).sum();
        let (kept, bytes, place, cut) = match &self.store {
            Store::Memory { kept, bytes, full, .. } => {
                (kept.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed), "in memory", full.load(Ordering::Relaxed))
            }
            Store::Disk(disk) => (disk.kept(), disk.bytes(), "on the disk", disk.is_cut()),
        };
        if !self.told_size.swap(true, Ordering::Relaxed) {
            let size = bytes as f64 / GIB;
            notes.push(format!("decoded images: {kept} of {all} are kept, {size:.2} GiB {place}"));
        }
        if cut && !self.told_limit.swap(true, Ordering::Relaxed) {
            notes.push(format!(
                "decoded images: {kept} of {all} reach the limit of {:.2} GiB {place} (--cache-limit); the others are \
                 decoded each time",
                self.limit as f64 / GIB
            ));
        }
        notes
    }

    fn note(&self, note: String) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(note);
    }

    /// Image `index` of `set`, which is image `number` of all.
    fn load(&self, set: &Labelled, index: usize, number: usize) -> Result<Arc<RgbImage>> {
        match &self.store {
            Store::Memory { images, kept, bytes, full } => {
                if let Some(image) = images[number].get() {
                    return Ok(Arc::clone(image));
                }
                let image = set.load_shared(index)?;
                let size = image.as_raw().capacity() as u64;
                let fits = |used: u64| used.checked_add(size).filter(|&sum| sum <= self.limit);
                if bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
                    full.store(true, Ordering::Relaxed);
                } else if images[number].set(Arc::clone(&image)).is_ok() {
                    kept.fetch_add(1, Ordering::Relaxed);
                } else {
                    // Another thread was faster.
                    bytes.fetch_sub(size, Ordering::Relaxed);
                }
                Ok(image)
            }
            Store::Disk(disk) => match disk.read(number) {
                Ok(Some(image)) => Ok(Arc::new(image)),
                Ok(None) => set.load_shared(index),
                Err(reason) => {
                    if let Some(note) = disk.give_up(&reason) {
                        self.note(note);
                    }
                    set.load_shared(index)
                }
            },
        }
    }
}

/// A set with a cache in front of it.
struct CachedSet {
    set: Labelled,
    /// Which image of all in the cache the set's first one is.
    first: usize,
    cache: Arc<ImageCache>,
}

impl ImageSet for CachedSet {
    fn len(&self) -> usize {
        self.set.len()
    }

    fn classes(&self) -> &[String] {
        self.set.classes()
    }

    fn label(&self, index: usize) -> usize {
        self.set.label(index)
    }

    fn name(&self, index: usize) -> String {
        self.set.name(index)
    }

    fn fingerprint(&self, index: usize) -> Result<String> {
        self.set.fingerprint(index)
    }

    fn load(&self, index: usize) -> Result<RgbImage> {
        self.load_shared(index).map(Arc::unwrap_or_clone)
    }

    fn load_shared(&self, index: usize) -> Result<Arc<RgbImage>> {
        self.cache.load(&self.set, index, self.first + index)
    }
}

/// The fingerprints of all images of `sets`, each once, and the place among them of every image.
fn fingerprints(sets: &[&Labelled]) -> Result<(Vec<String>, Vec<usize>)> {
    let of = |set: &&Labelled| (0..set.len()).map(|index| set.fingerprint(index)).collect::<Result<Vec<_>>>();
    let all: Vec<String> = sets.iter().map(of).collect::<Result<Vec<_>>>()?.concat();
    let sorted: Vec<String> = all.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    let places = all.iter().map(|one| sorted.partition_point(|other| other < one)).collect();
    Ok((sorted, places))
}

#[cfg(test)]
mod tests;
