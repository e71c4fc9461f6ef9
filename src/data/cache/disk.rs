//! Decoded images in one file.
//!
//! The file's name is the SHA-256 of the images' names, sizes and times of change, so what is in it cannot be stale. It
//! begins with a head (40 bytes) and an entry per image (32 bytes), in the order of their fingerprints, all numbers being
//! little-endian; pixels follow:
//!
//! | head | | entry | |
//! |---|---|---|---|
//! | 0 | `regraft images 1` | 0 | where its pixels begin, 0 if they are not kept |
//! | 16 | length of the file | 8 | width (4 bytes), height (4 bytes) |
//! | 24 | the limit that cut it short, or 0 | 16 | CRC-32 of the pixels |
//! | 32 | CRC-32 of everything before the pixels but this | | |

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, SystemTime};

use image::RgbImage;
use sha2::{Digest, Sha256};

use super::fingerprints;
use crate::data::{ImageSet, Labelled};
use crate::files::{TEMPORARY, write_path_atomically};
use crate::{Error, Result};

const MAGIC: &[u8; 16] = b"regraft images 1";
const HEAD: usize = 40;
const ENTRY: usize = 32;
const ENDING: &str = "pixels";
/// After this time a run that makes a temporary file has surely locked it.
const LEFT: Duration = Duration::from_secs(60);

/// The file, open.
pub(super) struct Disk {
    path: PathBuf,
    file: File,
    /// Where the pixels of every image are, by its place in the file.
    entries: Vec<Entry>,
    /// For every image of all sets its place.
    places: Vec<usize>,
    length: u64,
    /// Which limit left images out; 0 if none did.
    cut: u64,
    /// Whether the file turned out to be damaged.
    given_up: AtomicBool,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    start: u64,
    width: u32,
    height: u32,
    crc: u32,
}

impl Entry {
    fn bytes(&self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        bytes[..8].copy_from_slice(&self.start.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.width.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.height.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> Self {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let start = u64::from(word(0)) | u64::from(word(4)) << 32;
        Self { start, width: word(8), height: word(12), crc: word(16) }
    }

    fn length(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height) * 3
    }
}

impl Disk {
    /// The file for these sets, written first where there is none that serves; and what a user should know of that.
    pub(super) fn open_or_write(
        sets: &[&Labelled],
        folder: &Path,
        limit: u64,
        progress: &mut dyn FnMut(usize, usize) -> Result<()>,
    ) -> Result<(Self, Vec<String>)> {
        let (sorted, places) = fingerprints(sets)?;
        // Another version may decode otherwise.
        let about = format!("{} {}\n{}", env!("CARGO_PKG_VERSION"), sorted.len(), sorted.join("\n"));
        let digest: String = Sha256::digest(about).iter().map(|byte| format!("{byte:02x}")).collect();
        let path = folder.join(&digest[..32]).with_extension(ENDING);
        let mut notes = vec![];
        match Self::open(&path, &places, sorted.len()) {
            Ok(disk) if disk.length <= limit && (disk.cut == 0 || disk.cut >= limit) => {
                // Says that it is used; who cannot say so loses nothing but its turn.
                let _ignored = disk.file.set_modified(SystemTime::now());
                return Ok((disk, notes));
            }
            Ok(_) => {}
            Err(_) if !path.exists() => {}
            Err(reason) => notes.push(format!("decoded images are written again: {reason}")),
        }
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "cannot make the folder"))?;
        let room = Mutex::new(Room::new(folder, &path, limit, (HEAD + ENTRY * sorted.len()) as u64)?);
        write_path_atomically(&path, |temporary| write(temporary, sets, &places, &room, sorted.len(), progress))?;
        let gone = room.into_inner().unwrap_or_else(PoisonError::into_inner).gone;
        if gone > 0 {
            notes.push(format!("decoded images: {gone} file(s) of other data sets made room in {}", folder.display()));
        }
        Ok((Self::open(&path, &places, sorted.len())?, notes))
    }

    /// Opens the file if it is whole.
    fn open(path: &Path, places: &[usize], count: usize) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path, "cannot open"))?;
        let mut head = vec![0; HEAD + ENTRY * count];
        let damaged = || Error::file(path, "the file of decoded images is damaged");
        let length = file.metadata().map_err(Error::io(path, "cannot read"))?.len();
        file.read_exact_at(&mut head, 0).map_err(|_| damaged())?;
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| head[at + byte]));
        if !head.starts_with(MAGIC) || number(16) != length || number(32) != u64::from(checksum(&head)) {
            return Err(damaged());
        }
        let entries: Vec<Entry> = head[HEAD..].chunks_exact(ENTRY).map(Entry::read).collect();
        let inside = |entry: &Entry| entry.start.checked_add(entry.length()).is_some_and(|end| end <= length);
        if !entries.iter().all(inside) {
            return Err(damaged());
        }
        let (places, cut, given_up) = (places.to_vec(), number(24), AtomicBool::new(false));
        Ok(Self { path: path.into(), file, entries, places, length, cut, given_up })
    }

    /// How many of the images are kept.
    pub(super) fn kept(&self) -> usize {
        self.places.iter().filter(|&&place| self.entries[place].start > 0).count()
    }

    /// The size of the file.
    pub(super) fn bytes(&self) -> u64 {
        self.length
    }

    /// Whether images were left out for want of room.
    pub(super) fn is_cut(&self) -> bool {
        self.cut > 0
    }

    /// The pixels of an image; `None` if they are not kept, or a reason not to believe the file.
    pub(super) fn read(&self, number: usize) -> std::result::Result<Option<RgbImage>, String> {
        let entry = self.entries[self.places[number]];
        if entry.start == 0 || self.given_up.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let mut pixels = vec![0; entry.length() as usize];
        self.file.read_exact_at(&mut pixels, entry.start).map_err(|error| error.to_string())?;
        if crc32fast::hash(&pixels) != entry.crc {
            return Err("pixels in it are not those that were written".into());
        }
        Ok(RgbImage::from_raw(entry.width, entry.height, pixels))
    }

    /// Uses the file no more, and deletes it so that the next run writes it again; says so the first time.
    pub(super) fn give_up(&self, reason: &str) -> Option<String> {
        if self.given_up.swap(true, Ordering::Relaxed) {
            return None;
        }
        let deleted = match std::fs::remove_file(&self.path) {
            Ok(()) => "it is deleted, and the next run writes it again".to_string(),
            Err(error) => format!("delete it ({error})"),
        };
        Some(format!(
            "the file of decoded images {} is damaged ({reason}); this run decodes each time; {deleted}",
            self.path.display()
        ))
    }
}

/// Of everything before the pixels, the checksum itself left out.
fn checksum(head: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&head[..32]);
    hasher.update(&head[HEAD..]);
    hasher.finalize()
}

/// How much there may still be in the folder.
struct Room {
    limit: u64,
    /// The length of the new file so far.
    length: u64,
    /// The other files, the one that was used last first, with their sizes.
    others: Vec<(SystemTime, PathBuf, u64)>,
    /// How many of them were deleted.
    gone: usize,
    cut: bool,
}

impl Room {
    fn new(folder: &Path, path: &Path, limit: u64, length: u64) -> Result<Self> {
        let mut others = vec![];
        for entry in std::fs::read_dir(folder).map_err(Error::io(folder, "cannot list the folder"))?.flatten() {
            let (other, name) = (entry.path(), entry.file_name());
            let Ok(about) = entry.metadata() else { continue };
            if name.to_string_lossy().starts_with(TEMPORARY) {
                // What a killed run left is not locked any more; a new one is not locked yet.
                let old = about.modified().is_ok_and(|time| time.elapsed().is_ok_and(|age| age > LEFT));
                if old && File::open(&other).is_ok_and(|file| file.try_lock().is_ok()) {
                    let _ignored = std::fs::remove_file(&other);
                }
            } else if other.extension().is_some_and(|ending| ending == ENDING) && other != path {
                others.push((about.modified().unwrap_or(SystemTime::UNIX_EPOCH), other, about.len()));
            }
        }
        others.sort_by(|a, b| b.cmp(a));
        Ok(Self { limit, length, others, gone: 0, cut: false })
    }

    /// Where `bytes` more may be written, if they may. A file that another run reads stays readable for it.
    fn take(&mut self, bytes: u64) -> Option<u64> {
        let end = self.length + bytes;
        while end + self.others.iter().map(|(_, _, size)| size).sum::<u64>() > self.limit {
            if end > self.limit {
                self.cut = true;
                return None;
            }
            let (_, path, _) = self.others.pop()?;
            if std::fs::remove_file(path).is_ok() {
                self.gone += 1;
            }
        }
        Some(std::mem::replace(&mut self.length, end))
    }
}

/// Decodes all images and writes those for which there is room. What cannot be decoded is an error when its turn comes.
fn write(
    path: &Path,
    sets: &[&Labelled],
    places: &[usize],
    room: &Mutex<Room>,
    count: usize,
    progress: &mut dyn FnMut(usize, usize) -> Result<()>,
) -> Result<()> {
    let failed = |error| Error::io(path, "cannot write")(error);
    let file = File::options().write(true).open(path).map_err(failed)?;
    // Tells other runs that this file is being written.
    file.lock().map_err(failed)?;
    let images: Vec<(&Labelled, usize)> =
        sets.iter().flat_map(|&set| (0..set.len()).map(move |at| (set, at))).collect();
    // An image may be in the sets more than once.
    let mut first: Vec<Option<usize>> = vec![None; count];
    places.iter().enumerate().for_each(|(number, &place)| first[place] = first[place].or(Some(number)));
    let (next, threads) = (AtomicUsize::new(0), std::thread::available_parallelism().map_or(1, usize::from));
    let one = |place: usize| -> std::io::Result<Entry> {
        let Some((set, index)) = first[place].map(|number| images[number]) else { return Ok(Entry::default()) };
        let Ok(image) = set.load(index) else { return Ok(Entry::default()) };
        let (width, height, pixels) = (image.width(), image.height(), image.into_raw());
        let start = room.lock().unwrap_or_else(PoisonError::into_inner).take(pixels.len() as u64);
        let Some(start) = start else { return Ok(Entry::default()) };
        file.write_all_at(&pixels, start)?;
        Ok(Entry { start, width, height, crc: crc32fast::hash(&pixels) })
    };
    let mut entries = vec![Entry::default(); count];
    std::thread::scope(|scope| {
        let (sender, written) = mpsc::channel();
        for _ in 0..threads {
            let (next, sender, one) = (&next, sender.clone(), &one);
            scope.spawn(move || {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    // Nobody listens any more once one image could not be written.
                    if place >= count || sender.send((place, one(place))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (done, (place, entry)) in written.into_iter().enumerate() {
            entries[place] = entry.map_err(failed)?;
            progress(done + 1, count)?;
        }
        Ok::<(), Error>(())
    })?;
    let room = room.lock().unwrap_or_else(PoisonError::into_inner);
    let mut head = [MAGIC.as_slice(), &room.length.to_le_bytes()].concat();
    head.extend(if room.cut { room.limit } else { 0 }.to_le_bytes());
    head.resize(HEAD, 0);
    head.extend(entries.iter().flat_map(Entry::bytes));
    let checksum = u64::from(checksum(&head));
    head[32..HEAD].copy_from_slice(&checksum.to_le_bytes());
    file.write_all_at(&head, 0).map_err(failed)?;
    file.set_len(room.length).map_err(failed)
}
