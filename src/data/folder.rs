//! A folder of images, one folder per class.
//!
//! Classes are the folders' names and, like the images of a class, sorted byte by byte, so that every machine numbers
//! them alike. Folders within a class are searched too. Hidden files, and files whose name does not end as an image's
//! does, are left out and counted; links are followed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use image::RgbImage;

use super::decode::{decode, decode_part};
use super::{Choose, ImageSet, Part};
use crate::{Error, Result};

/// How names of image files end, in lower case.
const ENDINGS: [&str; 14] =
    ["bmp", "dib", "jfif", "jpe", "jpeg", "jpg", "pbm", "pgm", "png", "pnm", "ppm", "tif", "tiff", "webp"];
const EXPECTED: &str = "expected one folder of images per class, as in flowers/rose/1.jpg";

/// Images in class folders. Nothing is decoded before it is asked for, so opening costs no more than listing.
pub struct FolderSet {
    classes: Vec<String>,
    images: Vec<(PathBuf, usize)>,
    left_out: BTreeMap<String, usize>,
}

impl FolderSet {
    /// Lists the images in the folder `root`, whose folders are the classes.
    ///
    /// # Errors
    /// A folder that is missing, is none, or cannot be read; no class folder, only one, or one without images.
    pub fn open(root: &Path) -> Result<Self> {
        let folders = class_folders(root)?;
        if let [only] = folders.as_slice() {
            return Err(Error::file(root, format!("holds one class only, {only:?}; at least two are needed")));
        }
        let set = Self::list(root, &folders, folders.clone())?;
        let mut counts = vec![0; set.classes.len()];
        set.images.iter().for_each(|(_, label)| counts[*label] += 1);
        if let Some(empty) = counts.iter().position(|&count| count == 0) {
            let folder = root.join(&set.classes[empty]);
            let besides = Self::list(root, &folders[empty..=empty], folders[empty..=empty].to_vec())?.left_out();
            let besides = besides.map_or(String::new(), |besides| format!(" but {besides}"));
            return Err(Error::file(
                &folder,
                format!("this class has no images{besides}; add images or remove the folder"),
            ));
        }
        Ok(set)
    }

    /// Lists the images in the folder `root` under the `classes` of another set, as a validation folder needs it.
    ///
    /// Classes without a folder or without images are allowed, and show in the counts.
    ///
    /// # Errors
    /// As [`open`](Self::open), and a folder that is none of the `classes`.
    pub fn open_with_classes(root: &Path, classes: &[String]) -> Result<Self> {
        let folders = class_folders(root)?;
        if let Some(unknown) = folders.iter().find(|folder| !classes.contains(folder)) {
            return Err(Error::file(
                root.join(unknown),
                format!(
                    "class {unknown:?} is none of the {} classes expected here ({})",
                    classes.len(),
                    some_of(classes)
                ),
            ));
        }
        let set = Self::list(root, &folders, classes.to_vec())?;
        if set.is_empty() {
            let besides = set.left_out().map_or(String::new(), |besides| format!(" but {besides}"));
            return Err(Error::file(root, format!("its class folders hold no images{besides}")));
        }
        Ok(set)
    }

    /// What was left out because its name does not end as an image's does, as in `2 .gif, 1 .txt`, if anything was.
    pub fn left_out(&self) -> Option<String> {
        let parts: Vec<String> = self.left_out.iter().map(|(ending, count)| format!("{count} {ending}")).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    fn list(root: &Path, folders: &[String], classes: Vec<String>) -> Result<Self> {
        let mut set = Self::empty(classes);
        for folder in folders {
            let label = set.classes.iter().position(|class| class == folder);
            let label = label.ok_or_else(|| Error::file(root.join(folder), "is none of the classes"))?;
            set.add(&root.join(folder), label, &mut Vec::new())?;
        }
        Ok(set)
    }

    /// Without an image yet.
    pub(super) fn empty(classes: Vec<String>) -> Self {
        Self { classes, images: Vec::new(), left_out: BTreeMap::new() }
    }

    /// Adds one image.
    pub(super) fn push(&mut self, image: PathBuf, label: usize) {
        self.images.push((image, label));
    }

    /// Adds the images in `folder` and below it; `above` are the folders on the way here.
    pub(super) fn add(&mut self, folder: &Path, label: usize, above: &mut Vec<PathBuf>) -> Result<()> {
        let real = folder.canonicalize().map_err(Error::io(folder, "cannot open the folder"))?;
        if above.contains(&real) {
            return Err(Error::file(folder, "links back to a folder that it lies in; remove the link"));
        }
        above.push(real);
        for entry in entries(folder)? {
            let ending = ending(&entry.path);
            if entry.is_folder {
                self.add(&entry.path, label, above)?;
            } else if is_image(&entry.path) {
                self.push(entry.path, label);
            } else {
                *self.left_out.entry(ending.map_or("without ending".into(), |e| format!(".{e}"))).or_default() += 1;
            }
        }
        above.pop();
        Ok(())
    }
}

impl ImageSet for FolderSet {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> usize {
        self.images[index].1
    }

    fn name(&self, index: usize) -> String {
        self.images[index].0.display().to_string()
    }

    fn load(&self, index: usize) -> Result<RgbImage> {
        decode(&self.images[index].0)
    }

    fn load_part(&self, index: usize, side: u32, choose: Choose) -> Result<Part> {
        decode_part(&self.images[index].0, side, choose)
    }
}

/// The names of the class folders in `root`, sorted; at least one.
fn class_folders(root: &Path) -> Result<Vec<String>> {
    let entries = entries(root)?;
    let folders = folder_names(&entries)?;
    if folders.is_empty() {
        let images = entries.iter().filter(|entry| is_image(&entry.path)).count();
        return Err(Error::file(
            root,
            match images {
                0 => format!("holds no class folders; {EXPECTED}"),
                _ => format!("{images} image(s) lie directly in it; move them into a folder per class: {EXPECTED}"),
            },
        ));
    }
    Ok(folders)
}

/// The names of the folders among `entries` that can be classes.
fn folder_names(entries: &[Entry]) -> Result<Vec<String>> {
    // What unpacking an archive made on a Mac leaves behind.
    let folders = entries.iter().filter(|entry| entry.is_folder && !entry.path.ends_with("__MACOSX"));
    let name = |entry: &Entry| match entry.path.file_name().and_then(|name| name.to_str()) {
        Some(name) => Ok(name.to_string()),
        None => Err(Error::file(&entry.path, "the folder's name is not UTF-8, so it cannot name a class; rename it")),
    };
    folders.map(name).collect()
}

/// The names of the folders in `root`, sorted.
pub(super) fn subfolders(root: &Path) -> Result<Vec<String>> {
    folder_names(&entries(root)?)
}

/// How many images lie directly in `root`.
pub(super) fn loose_images(root: &Path) -> Result<usize> {
    Ok(entries(root)?.iter().filter(|entry| !entry.is_folder && is_image(&entry.path)).count())
}

/// A file or folder in a folder.
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) is_folder: bool,
}

/// What lies in `folder` and is not hidden, sorted by name.
pub(super) fn entries(folder: &Path) -> Result<Vec<Entry>> {
    const ACTION: &str = "cannot list the folder";
    match std::fs::metadata(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::file(folder, format!("no such folder; {EXPECTED}")));
        }
        Ok(found) if !found.is_dir() => return Err(Error::file(folder, format!("not a folder; {EXPECTED}"))),
        _ => {}
    }
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder, ACTION))? {
        let entry = entry.map_err(Error::io(folder, ACTION))?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        let kind = entry.file_type().map_err(Error::io(&path, "cannot look at the file"))?;
        // A link that leads nowhere counts as a file, and reading it says what is wrong.
        let is_folder = if kind.is_symlink() { path.is_dir() } else { kind.is_dir() };
        entries.push(Entry { path, is_folder });
    }
    entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// The ending of a file's name in lower case, without the dot.
fn ending(path: &Path) -> Option<String> {
    path.extension().map(|ending| ending.to_string_lossy().to_lowercase())
}

pub(super) fn is_image(path: &Path) -> bool {
    ending(path).is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

/// The first few of many names, for a message.
pub(super) fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let more = if names.len() > SHOWN { ", …" } else { "" };
    names[..names.len().min(SHOWN)].join(", ") + more
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
