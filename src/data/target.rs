//! The target of domain adaptation: images to adapt to, whose labels nobody sees, and images to test on.

use std::path::Path;
use std::sync::Arc;

use rand::seq::SliceRandom;

use super::folder::{loose_images, some_of, subfolders};
use super::layout::{Layout, Source};
use super::open::read;
use super::random::{Purpose, stream};
use super::{FolderSet, HeldOut, ImageSet, Labelled, Unlabelled};
use crate::{Error, Result};

/// Images of the target domain.
#[derive(Clone)]
pub struct Target {
    /// What is adapted to.
    pub images: Unlabelled,
    /// What scores are taken on, where the images come with labels.
    pub test: Option<(Unlabelled, HeldOut)>,
    /// Whether the test is on the images that are adapted to.
    pub is_transductive: bool,
    /// What a user should know about how they were read, a line each.
    pub notes: Vec<String>,
}

/// Opens the images at `root`: whatever [`open_data`](super::open_data) reads, or a folder of images without class folders. At
/// most so `many` of them are adapted to, chosen by `seed` and by nothing else.
///
/// Where there are class folders (or label files), labels go to the scores alone, under the names that they share with the
/// source's `classes`. The test is on the images of a `test/` or `val/` folder where there is one, and on those adapted to
/// otherwise, which for a target without labels is no cheating.
///
/// # Errors
/// What cannot be read; no image; class folders of which none is a class of the source.
pub fn open_target(root: &Path, classes: &[String], many: Option<usize>, seed: u64) -> Result<Target> {
    let mut notes = vec![];
    let is_plain = matches!(Layout::find(root, &mut vec![])?.train, Source::Folders(folder) if folder == root);
    if is_plain && subfolders(root)?.is_empty() && loose_images(root)? > 0 {
        let mut images = FolderSet::empty(vec![String::new()]);
        images.add(root, 0, &mut vec![])?;
        let (images, _) = Labelled::new(Arc::new(images)).forget_labels();
        notes.push(format!("{}: images without class folders: nothing to score by", root.display()));
        let images = images.subset(&some(images.len(), many, seed));
        return Ok(Target { images, test: None, is_transductive: false, notes });
    }
    let (train, test) = read(root, &mut notes)?;
    let own = train.classes().to_vec();
    let unknown: Vec<String> = own.iter().filter(|class| !classes.contains(class)).cloned().collect();
    if unknown.len() == own.len() {
        return Err(Error::file(
            root,
            format!(
                "its classes ({}) are none of the source's ({}); name them alike, or put all images into one folder",
                some_of(&own),
                some_of(classes)
            ),
        ));
    }
    if !unknown.is_empty() {
        notes.push(format!(
            "{}: not among the source's classes, and left out of scores: {}",
            root.display(),
            some_of(&unknown)
        ));
    }
    let missing: Vec<String> = classes.iter().filter(|class| !own.contains(class)).cloned().collect();
    if !missing.is_empty() {
        notes.push(format!("{}: no folder for classes of the source: {}", root.display(), some_of(&missing)));
    }
    let is_transductive = test.is_none();
    let (images, labels) = train.forget_labels_among(classes);
    let chosen = some(images.len(), many, seed);
    let images = images.subset(&chosen);
    let test = match test {
        Some(test) => test.forget_labels_among(classes),
        None => (images.clone(), labels.subset(&chosen)),
    };
    Ok(Target { images, test: Some(test), is_transductive, notes })
}

/// What is to be said of a folder that seems to hold several domains: folders that hold the same folders, as photo/dog and
/// sketch/dog. Read as classes they are told apart by what must not matter.
///
/// # Errors
/// A folder that cannot be read.
pub(crate) fn looks_like_domains(root: &Path) -> Result<Option<String>> {
    if !root.is_dir() {
        return Ok(None);
    }
    let folders = subfolders(root)?;
    let inner: Vec<Vec<String>> = folders.iter().map(|folder| subfolders(&root.join(folder))).collect::<Result<_>>()?;
    // train/ and val/ hold the same folders too
    let parts = folders.iter().any(|folder| folder.eq_ignore_ascii_case("train"));
    let same = inner.len() > 1 && inner[0].len() > 1 && inner.iter().all(|classes| *classes == inner[0]);
    let note = || {
        format!(
            "{}: its folders ({}) all hold the same folders ({}); if they are domains and not classes, give one of them",
            root.display(),
            some_of(&folders),
            some_of(&inner[0])
        )
    };
    Ok((same && !parts).then(note))
}

/// At most so `many` of `count` positions, ascending; all where nothing is said.
pub(crate) fn some(count: usize, many: Option<usize>, seed: u64) -> Vec<usize> {
    let mut positions: Vec<usize> = (0..count).collect();
    if let Some(many) = many.filter(|many| *many < count) {
        positions.shuffle(&mut stream(seed, Purpose::Choose, 0, 0));
        positions.truncate(many);
        positions.sort_unstable();
    }
    positions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::oracle_accuracy;

    fn folder(images: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (number, name) in images.iter().enumerate() {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            image::RgbImage::from_pixel(4, 4, image::Rgb([number as u8; 3])).save(path).unwrap();
        }
        folder
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn labels_serve_the_score_and_nothing_else() {
        let root = folder(&["ant/1.png", "bee/1.png", "bee/2.png", "cow/1.png"]);
        let target = open_target(root.path(), &names(&["bee", "ant", "dog"]), None, 0).unwrap();
        assert!(target.is_transductive && target.images.len() == 4);
        let (images, labels) = target.test.unwrap();
        assert_eq!(images.name(3), target.images.name(3));
        // ant is 1, bee is 0; what the cow is called does not count
        assert_eq!(oracle_accuracy(&labels, &[1, 0, 0, 2]).unwrap(), 1.0);
        assert!(
            target.notes.iter().any(|note| note.contains("cow"))
                && target.notes.iter().any(|note| note.contains("dog"))
        );
        let other = open_target(root.path(), &names(&["x", "y"]), None, 0).err().unwrap().to_string();
        assert!(other.contains("none of the source's"), "{other}");
    }

    #[test]
    fn a_test_folder_is_what_is_tested_on() {
        let root = folder(&["train/a/1.png", "train/b/1.png", "test/a/2.png", "test/b/2.png", "test/b/3.png"]);
        let target = open_target(root.path(), &names(&["a", "b"]), None, 0).unwrap();
        assert_eq!((target.images.len(), target.test.unwrap().0.len(), target.is_transductive), (2, 3, false));
    }

    #[test]
    fn a_picture_beside_idx_files_is_not_the_target() {
        let root = folder(&["contact-sheet.png"]);
        for (name, header, values) in [
            ("train-images-idx3-ubyte", &[0u8, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1][..], [7u8, 9]),
            ("train-labels-idx1-ubyte", &[0, 0, 8, 1, 0, 0, 0, 2], [0, 1]),
        ] {
            std::fs::write(root.path().join(name), [header, &values].concat()).unwrap();
        }
        let target = open_target(root.path(), &names(&["0", "1"]), None, 0).unwrap();
        assert!(target.images.len() == 2 && target.test.is_some());
    }

    #[test]
    fn plain_images_are_adapted_to_without_a_score() {
        let root = folder(&["1.png", "2.png", "3.png"]);
        let target = open_target(root.path(), &names(&["a", "b"]), Some(2), 3).unwrap();
        assert!(target.test.is_none() && target.images.len() == 2);
    }

    #[test]
    fn several_domains_in_one_folder_are_noticed() {
        let domains = folder(&["photo/dog/1.png", "photo/cat/1.png", "sketch/dog/1.png", "sketch/cat/1.png"]);
        let said = looks_like_domains(domains.path()).unwrap().unwrap();
        assert!(said.contains("photo, sketch") && said.contains("cat, dog"), "{said}");
        for fine in [&["train/a/1.png", "train/b/1.png", "val/a/1.png", "val/b/1.png"][..], &["a/x/1.png", "b/1.png"]] {
            assert_eq!(looks_like_domains(folder(fine).path()).unwrap(), None);
        }
    }

    #[test]
    fn a_choice_depends_on_the_seed_alone() {
        assert_eq!(some(5, None, 1), [0, 1, 2, 3, 4]);
        assert_eq!(some(100, Some(10), 1), some(100, Some(10), 1));
        assert_ne!(some(100, Some(10), 1), some(100, Some(10), 2));
        assert!(some(100, Some(10), 1).is_sorted());
    }
}
