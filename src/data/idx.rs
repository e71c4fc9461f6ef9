//! IDX files, the format of MNIST and its kin: images and labels in a file each, plain or gzipped.
//!
//! Layout (<http://yann.lecun.com/exdb/mnist>): two zeros, the type of a value (8 for a byte), the number of
//! dimensions, each dimension as 4 bytes, big end first, then the values. Images are `[N, H, W]` grey or, beyond the
//! original, `[N, H, W, 3]` colour; labels are `[N]`.

mod write;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use image::RgbImage;
use sha2::{Digest, Sha256};

pub use write::write_idx;

use super::{ImageSet, MAX_PIXELS};
use crate::{Error, Result};

/// The most values that a file may hold: an IDX set is kept in memory.
const MAX_VALUES: u64 = 1 << 32;
const BYTE: u8 = 8;

/// Images and labels of a pair of IDX files, held in memory as the bytes they are.
pub struct IdxSet {
    path: PathBuf,
    height: usize,
    width: usize,
    channels: usize,
    pixels: Vec<u8>,
    labels: Vec<u8>,
    classes: Vec<String>,
}

impl IdxSet {
    /// Reads the file `images` and the labels beside it: `train-images-idx3-ubyte` goes with `train-labels-idx1-ubyte`,
    /// each with or without `.gz`.
    ///
    /// The classes are the lines of `classes.txt` beside them or, without that file, the digits `0` to `9`.
    ///
    /// # Errors
    /// A missing file; one that is not IDX, or holds more or less than it says; not one label for each image; a label
    /// beyond the classes.
    pub fn open(images: &Path) -> Result<Self> {
        let Idx { dims, values: pixels } = read_file(images, &[3, 4])?;
        let (height, width, channels) = (dims[1], dims[2], dims.get(3).copied().unwrap_or(1));
        if dims.len() == 4 && channels != 3 {
            return Err(Error::file(
                images,
                format!("holds images of {channels} channels; expected [N, H, W] or [N, H, W, 3]"),
            ));
        }
        if dims[0] == 0 || height == 0 || width == 0 || (height * width) as u64 > MAX_PIXELS {
            return Err(Error::file(images, format!("holds {} images of {height} x {width} pixels", dims[0])));
        }
        let labels_path = labels_beside(images)?;
        let labels = read_file(&labels_path, &[1])?.values;
        if labels.len() != dims[0] {
            return Err(Error::file(
                &labels_path,
                format!("holds {} labels for the {} images of {}", labels.len(), dims[0], images.display()),
            ));
        }
        let (classes, source) = read_classes(images)?;
        if let Some(index) = labels.iter().position(|&label| usize::from(label) >= classes.len()) {
            return Err(Error::file(
                &labels_path,
                format!(
                    "label {} of image {index} is beyond the {} classes of {source}; name every class in {}, one per line",
                    labels[index],
                    classes.len(),
                    images.with_file_name("classes.txt").display()
                ),
            ));
        }
        Ok(Self { path: images.to_path_buf(), height, width, channels, pixels, labels, classes })
    }

    /// The image file of the `part` (`train` or `t10k`) in `folder`, if there is one.
    pub(super) fn find(folder: &Path, part: &str) -> Option<PathBuf> {
        ["-idx3-ubyte", "-idx4-ubyte", ".idx3-ubyte", ".idx4-ubyte"]
            .iter()
            .flat_map(|kind| ["", ".gz"].map(|packed| folder.join(format!("{part}-images{kind}{packed}"))))
            .find(|path| path.is_file())
    }
}

impl IdxSet {
    fn values(&self, index: usize) -> &[u8] {
        let size = self.height * self.width * self.channels;
        &self.pixels[index * size..][..size]
    }
}

impl ImageSet for IdxSet {
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
        let rgb =
            if self.channels == 3 { values.to_vec() } else { values.iter().flat_map(|&grey| [grey; 3]).collect() };
        RgbImage::from_raw(self.width as u32, self.height as u32, rgb)
            .ok_or_else(|| Error::file(&self.path, format!("image {index} cannot be laid out")))
    }
}

/// What changes when the values of an image change.
pub(super) fn digest(values: &[u8]) -> String {
    Sha256::digest(values).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The label file that belongs to the image file `images`.
fn labels_beside(images: &Path) -> Result<PathBuf> {
    let name = images.file_name().unwrap_or_default().to_string_lossy();
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    if !plain.contains("images") {
        return Err(Error::file(images, "expected an IDX file named like train-images-idx3-ubyte or …-ubyte.gz"));
    }
    let labels = plain.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1");
    let plain = images.with_file_name(&labels);
    let packed = images.with_file_name(format!("{labels}.gz"));
    [&plain, &packed].into_iter().find(|path| path.is_file()).cloned().ok_or_else(|| {
        Error::file(images, format!("its labels are missing: expected {} or {labels}.gz", plain.display()))
    })
}

/// The classes' names and where they come from.
fn read_classes(images: &Path) -> Result<(Vec<String>, String)> {
    let path = images.with_file_name("classes.txt");
    if !path.exists() {
        return Ok(((0..10).map(|digit| digit.to_string()).collect(), "an IDX file without names, 0 to 9".into()));
    }
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path, "cannot read the classes' names"))?;
    let classes: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(String::from).collect();
    if let Some(twice) = classes.iter().enumerate().find_map(|(at, name)| classes[..at].contains(name).then_some(name))
    {
        return Err(Error::file(&path, format!("names class {twice:?} twice; expected one name per line, each once")));
    }
    if classes.len() < 2 {
        return Err(Error::file(&path, format!("names {} classes; at least two are needed", classes.len())));
    }
    Ok((classes, path.display().to_string()))
}

/// An IDX file of bytes.
#[derive(Debug, PartialEq, Eq)]
struct Idx {
    dims: Vec<usize>,
    values: Vec<u8>,
}

/// Reads the file at `path`, unpacking it if it is gzipped, and asks for one of `ranks` as its number of dimensions.
fn read_file(path: &Path, ranks: &[u8]) -> Result<Idx> {
    let file = File::open(path).map_err(Error::io(path, "cannot open the IDX file"))?;
    let length = file.metadata().map_err(Error::io(path, "cannot read the IDX file"))?.len();
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let start = std::io::BufRead::fill_buf(&mut reader).map_err(Error::io(path, "cannot read the IDX file"))?;
    let idx = if start.starts_with(&[0x1f, 0x8b]) {
        parse(MultiGzDecoder::new(reader), None, ranks)
    } else {
        parse(reader, Some(length), ranks)
    };
    idx.map_err(|reason| Error::file(path, reason))
}

/// Reads an IDX file from `reader`, which is to hold `length` bytes where that is known.
///
/// Memory is taken as bytes arrive, never because a header says so.
fn parse(mut reader: impl Read, length: Option<u64>, ranks: &[u8]) -> Result<Idx, String> {
    let mut magic = [0; 4];
    read_header(&mut reader, &mut magic)?;
    let [0, 0, kind, rank] = magic else {
        return Err(format!(
            "not an IDX file: it begins with {magic:02x?}, expected two zeros; a data set is a folder or an IDX file of images"
        ));
    };
    if kind != BYTE {
        return Err(format!("holds values of IDX type 0x{kind:02x}; only bytes (0x08) are read"));
    }
    if !ranks.contains(&rank) {
        let expected: Vec<String> = ranks.iter().map(u8::to_string).collect();
        return Err(format!("holds {rank} dimensions; expected {}", expected.join(" or ")));
    }
    let mut dims = Vec::with_capacity(usize::from(rank));
    for _ in 0..rank {
        let mut dim = [0; 4];
        read_header(&mut reader, &mut dim)?;
        dims.push(u32::from_be_bytes(dim) as usize);
    }
    let shape = dims.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
    let count = dims
        .iter()
        .try_fold(1u64, |product, &dim| product.checked_mul(dim as u64))
        .filter(|&count| count <= MAX_VALUES)
        .ok_or_else(|| {
            format!("claims {shape} values; at most {MAX_VALUES} are read: use a folder of images instead")
        })?;
    let found = length.map(|length| length.saturating_sub(4 + 4 * u64::from(rank)));
    let mut values = Vec::with_capacity(found.map_or(0, |found| found.min(count)) as usize);
    reader.by_ref().take(count).read_to_end(&mut values).map_err(|error| unreadable(&error))?;
    if (values.len() as u64) < count {
        return Err(format!("truncated: its header says {shape} = {count} values, but it holds {}", values.len()));
    }
    if reader.read(&mut [0]).map_err(|error| unreadable(&error))? > 0 {
        return Err(format!("holds more than the {shape} = {count} values that its header says"));
    }
    Ok(Idx { dims, values })
}

fn read_header(reader: &mut impl Read, buffer: &mut [u8; 4]) -> Result<(), String> {
    reader.read_exact(buffer).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "truncated: it ends within its header".into(),
        _ => unreadable(&error),
    })
}

fn unreadable(error: &std::io::Error) -> String {
    format!("cannot be read or unpacked, it may be truncated ({error}); fetch the file again")
}

#[cfg(test)]
#[path = "idx_tests.rs"]
mod tests;
