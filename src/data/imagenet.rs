//! Labelled images of ImageNet in the layouts that its exports have, to measure a source model with.
//!
//! A folder is one class: its name is the class's WordNet id (`n01440764`, also with something after it, as in
//! `n01440764_tench`), its number (`0`) or its name (`great white shark`, `great_white_shark`). Images may also lie loose
//! with the WordNet id in the file's name, between underscores and dots: `n01440764_tench.JPEG`, `ILSVRC2012_val_1_n01440764.JPEG`.

use std::path::Path;

use super::folder::{FolderSet, entries, is_image, some_of};
use super::{ImageSet, Labelled};
use crate::{Error, Result};

/// Images whose class is known, and what lay beside them.
pub struct Imagenet {
    /// The images; labels are positions among all classes, whether or not there are images of them.
    pub images: Labelled,
    /// Folders that name none of the classes, sorted; their images are left out.
    pub unknown_folders: Vec<String>,
    /// How many loose images name none of the classes; they are left out.
    pub unknown_images: usize,
}

/// Opens the images at `root`. `wnids` and `classes` are the WordNet ids and the names of all classes, in the order of
/// their labels.
///
/// # Errors
/// A folder that is missing or cannot be read, or that holds no image whose class is known; the message names what was
/// found instead.
pub fn open_imagenet(root: &Path, wnids: &[&str], classes: &[&str]) -> Result<Imagenet> {
    let mut set = FolderSet::empty(classes.iter().map(|name| name.to_string()).collect());
    let (mut unknown_folders, mut unknown_images) = (vec![], 0);
    for entry in entries(root)? {
        let name = entry.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if entry.is_folder {
            match class_of_folder(&name, wnids, classes) {
                Some(label) => set.add(&entry.path, label, &mut vec![])?,
                None => unknown_folders.push(name),
            }
        } else if is_image(&entry.path) {
            match class_by_id(&name, wnids) {
                Some(label) => set.push(entry.path, label),
                None => unknown_images += 1,
            }
        }
    }
    if set.is_empty() {
        let found = match (unknown_folders.len(), unknown_images) {
            (0, 0) => "it is empty".to_string(),
            (0, images) => format!("found {images} image(s), none with a WordNet id in its name"),
            (folders, _) => format!("found {folders} folder(s) ({})", some_of(&unknown_folders)),
        };
        return Err(Error::file(
            root,
            format!(
                "no image whose class is known: {found}; expected folders named by WordNet id (n01440764), by class \
                 number (0 to {}) or by class name, or files like n01440764_1.JPEG",
                classes.len() - 1
            ),
        ));
    }
    Ok(Imagenet { images: Labelled::new(std::sync::Arc::new(set)), unknown_folders, unknown_images })
}

fn class_of_folder(name: &str, wnids: &[&str], classes: &[&str]) -> Option<usize> {
    let number = || name.parse().ok().filter(|number| *number < classes.len());
    let spaced = name.replace('_', " ");
    let named = || classes.iter().position(|class| class.eq_ignore_ascii_case(&spaced));
    class_by_id(name, wnids).or_else(number).or_else(named)
}

/// The class whose WordNet id is one of the parts between underscores and dots.
fn class_by_id(name: &str, wnids: &[&str]) -> Option<usize> {
    name.split(['_', '.']).find_map(|part| wnids.iter().position(|id| *id == part))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [&str; 3] = ["n01440764", "n01443537", "n01484850"];
    const CLASSES: [&str; 3] = ["tench", "goldfish", "great white shark"];

    /// Opens a folder with these (empty) files in it.
    fn open(files: &[&str]) -> Result<Imagenet> {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        open_imagenet(folder.path(), &IDS, &CLASSES)
    }

    #[test]
    fn a_class_is_known_by_id_number_and_name() -> Result<()> {
        for (file, label) in [
            ("n01443537/a.jpg", 1),
            ("n01443537_goldfish/deep/a.jpg", 1),
            ("2/a.JPEG", 2),
            ("Great_White_Shark/a.png", 2),
            ("great white shark/a.png", 2),
            ("n01440764_7.JPEG", 0),
            ("ILSVRC2012_val_00000001_n01484850.JPEG", 2),
        ] {
            let found = open(&[file])?;
            assert_eq!((found.images.labels(), found.images.classes().len()), (vec![label], 3), "{file}");
            assert!(found.unknown_folders.is_empty() && found.unknown_images == 0, "{file}");
        }
        Ok(())
    }

    #[test]
    fn what_is_not_known_is_counted_and_named() -> Result<()> {
        let found = open(&["tench/1.jpg", "trout/1.jpg", "3/1.jpg", "1.jpg", "2.jpg", "notes.txt"])?;
        assert_eq!(found.images.labels(), [0]);
        assert_eq!((found.unknown_folders, found.unknown_images), (vec!["3".to_string(), "trout".to_string()], 2));
        Ok(())
    }

    #[test]
    fn without_any_known_class_the_error_says_what_was_found() {
        let message = |files: &[&str]| open(files).err().unwrap().to_string();
        assert!(message(&["trout/1.jpg", "pike/1.jpg"]).contains("2 folder(s) (pike, trout)"));
        assert!(message(&["1.jpg"]).contains("1 image(s), none with a WordNet id"));
        assert!(message(&["tench/notes.txt"]).contains("expected folders named by WordNet id"));
        assert!(open_imagenet(Path::new("/nowhere"), &IDS, &CLASSES).err().unwrap().to_string().contains("no such"));
    }
}
