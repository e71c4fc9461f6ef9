//! Tests of [`super`]: what is listed and in which order, and what is wrong with a folder.

use image::{Rgb, RgbImage};

use super::*;

/// A folder with the files, each a tiny PNG whatever it is called.
fn folder(files: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in files {
        let path = root.path().join(file);
        if file.ends_with('/') {
            std::fs::create_dir_all(path).unwrap();
        } else {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let shade = Rgb([files.len() as u8; 3]);
            RgbImage::from_pixel(2, 1, shade).save_with_format(path, image::ImageFormat::Png).unwrap();
        }
    }
    root
}

fn listed(root: &Path, set: &FolderSet) -> Vec<(String, usize)> {
    let short = |index| set.name(index)[root.display().to_string().len() + 1..].to_string();
    (0..set.len()).map(|index| (short(index), set.label(index))).collect()
}

fn message(result: Result<FolderSet>) -> String {
    result.err().expect("an error").to_string()
}

#[test]
fn classes_and_images_are_sorted_and_folders_within_a_class_searched() {
    let root = folder(&["b/2.png", "b/10.JPEG", "a/z.webp", "a/deep/er/1.TIF", "a/Y.pgm", "B/x.bmp"]);
    let set = FolderSet::open(root.path()).unwrap();
    assert_eq!(set.classes(), ["B", "a", "b"]);
    let expected =
        [("B/x.bmp", 0), ("a/Y.pgm", 1), ("a/deep/er/1.TIF", 1), ("a/z.webp", 1), ("b/10.JPEG", 2), ("b/2.png", 2)];
    assert_eq!(listed(root.path(), &set), expected.map(|(name, label)| (name.to_string(), label)));
    assert_eq!(set.load(0).unwrap().dimensions(), (2, 1));
    assert_eq!(set.left_out(), None);
}

#[test]
fn what_is_hidden_or_no_image_is_left_out_and_counted() {
    let root = folder(&[
        "a/1.png",
        "b/1.png",
        "a/.hidden.png",
        ".checkpoints/1.png",
        "a/.cache/2.png",
        "__MACOSX/1.png",
        "a/notes.txt",
        "a/Thumbs.db",
        "b/x.GIF",
        "b/y.gif",
        "b/README",
    ]);
    let set = FolderSet::open(root.path()).unwrap();
    assert_eq!(listed(root.path(), &set), [("a/1.png".to_string(), 0), ("b/1.png".to_string(), 1)]);
    assert_eq!(set.left_out().unwrap(), "1 .db, 2 .gif, 1 .txt, 1 without ending");
}

#[test]
fn what_is_wrong_with_a_folder_is_said() {
    let cases: [(&[&str], &str, &str); 6] = [
        (&["a/1.png"], "missing", "missing: no such folder; expected one folder of images per class"),
        (&["a/1.png"], "a/1.png", "a/1.png: not a folder; expected one folder"),
        (&["empty/"], "empty", "empty: holds no class folders; expected one folder"),
        (&["all/1.png", "all/2.png", "all/3.txt"], "all", "all: 2 image(s) lie directly in it; move them"),
        (&["x/only/1.png"], "x", "holds one class only, \"only\"; at least two"),
        (&["x/full/1.png", "x/empty/1.heic"], "x", "empty: this class has no images but 1 .heic; add images"),
    ];
    for (files, root, expected) in cases {
        let folder = folder(files);
        let message = message(FolderSet::open(&folder.path().join(root)));
        assert!(message.contains(expected), "{message}\nlacks: {expected}");
    }
}

#[test]
fn a_validation_folder_keeps_the_training_labels() {
    let classes = ["a", "b", "c"].map(String::from);
    let root = folder(&["c/1.png", "b/1.png", "b/2.png"]);
    let set = FolderSet::open_with_classes(root.path(), &classes).unwrap();
    assert_eq!(set.classes(), classes);
    assert_eq!((0..set.len()).map(|index| set.label(index)).collect::<Vec<_>>(), [1, 1, 2]);

    let unknown = folder(&["b/1.png", "d/1.png"]);
    let said = message(FolderSet::open_with_classes(unknown.path(), &classes));
    assert!(said.contains("class \"d\" is none of the 3 classes expected here (a, b, c)"), "{said}");
    let empty = folder(&["b/"]);
    assert!(message(FolderSet::open_with_classes(empty.path(), &classes)).contains("hold no images"));
}

#[test]
fn a_broken_image_is_found_when_it_is_loaded_and_named() {
    let root = folder(&["a/1.png", "b/1.png"]);
    std::fs::write(root.path().join("b/1.png"), "no image").unwrap();
    let set = FolderSet::open(root.path()).unwrap();
    let error = set.load(1).unwrap_err().to_string();
    assert!(error.contains("b/1.png: not an image but text, beginning \"no image\""), "{error}");
}

#[cfg(unix)]
#[test]
fn links_are_followed_unless_they_lead_in_circles() {
    use std::os::unix::fs::symlink;
    let elsewhere = folder(&["b/1.png"]);
    let root = folder(&["a/1.png"]);
    symlink(elsewhere.path().join("b"), root.path().join("b")).unwrap();
    symlink(root.path().join("a/1.png"), root.path().join("a/2.png")).unwrap();
    symlink("nowhere", root.path().join("a/3.png")).unwrap();
    let set = FolderSet::open(root.path()).unwrap();
    assert_eq!(set.len(), 4);
    assert_eq!(set.load(1).unwrap(), set.load(0).unwrap());
    assert!(set.load(2).unwrap_err().to_string().contains("a/3.png"));

    symlink(root.path(), root.path().join("a/up")).unwrap();
    assert!(message(FolderSet::open(root.path())).contains("links back to a folder that it lies in"));
}
