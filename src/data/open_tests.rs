//! Tests of [`super`]: every layout, the split, and broken images.

use image::{Rgb, RgbImage};

use super::*;

fn add(root: &Path, class: &str, count: usize) {
    let folder = root.join(class);
    std::fs::create_dir_all(&folder).unwrap();
    for number in 0..count {
        RgbImage::from_pixel(1, 1, Rgb([number as u8; 3])).save(folder.join(format!("{number:03}.png"))).unwrap();
    }
}

fn data(classes: &[(&str, usize)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    classes.iter().for_each(|(class, count)| add(root.path(), class, *count));
    root
}

fn open(root: &Path) -> Result<Splits> {
    open_data(root, &OpenOptions::default())
}

fn message(root: &Path) -> String {
    open(root).err().expect("an error").to_string()
}

fn counts(data: &Labelled) -> Vec<usize> {
    data.class_counts().counts
}

#[test]
fn training_and_validation_folders_share_their_labels() {
    let root = data(&[("train/ant", 3), ("train/bee", 2), ("val/bee", 4), ("extra/cat", 1)]);
    std::fs::write(root.path().join("train/bee/notes.txt"), "").unwrap();
    RgbImage::new(1, 1).save(root.path().join("val/loose.png")).unwrap();
    let splits = open(root.path()).unwrap();
    assert_eq!(splits.classes, ["ant", "bee"]);
    assert_eq!((counts(&splits.train), counts(&splits.val)), (vec![3, 2], vec![0, 4]));
    let notes = splits.notes.join("\n");
    for expected in [
        "not used beside train/ and val/: extra",
        "1 .txt",
        "1 image(s) in no class folder",
        "no validation images of ant",
    ] {
        assert!(notes.contains(expected), "{notes}\nlacks: {expected}");
    }
}

#[test]
fn other_names_of_the_validation_folder_are_found_and_said() {
    for (name, other, said) in [("valid", "test", true), ("test", "others", true), ("Val", "test", false)] {
        let root = data(&[("train/a", 1), ("train/b", 1), (&format!("{name}/a"), 5), (&format!("{other}/a"), 7)]);
        let splits = open(root.path()).unwrap();
        assert_eq!(counts(&splits.val), [5, 0], "{name}");
        let noted = splits.notes.iter().any(|note| note.starts_with(&format!("{name}/ serves as the validation set")));
        assert_eq!(noted, said, "{:?}", splits.notes);
    }
}

#[test]
fn one_folder_is_divided_by_the_seed_alone() {
    let root = data(&[("a", 10), ("b", 5), ("c", 1)]);
    let names = |seed| -> Vec<String> {
        let splits = open_data(root.path(), &OpenOptions { seed, ..Default::default() }).unwrap();
        assert_eq!((counts(&splits.train), counts(&splits.val)), (vec![8, 4, 1], vec![2, 1, 0]));
        (0..3).map(|index| splits.val.name(index)).collect()
    };
    assert_eq!(names(3), names(3));
    assert!((0..4).any(|seed| names(seed) != names(3)));
    let no_fraction = OpenOptions { val_fraction: 0.0, ..Default::default() };
    assert_eq!(open_data(root.path(), &no_fraction).err().unwrap().exit_code(), 2);
}

#[test]
fn what_is_held_out_does_not_depend_on_how_many_are_learned_from_at_most() {
    let root = data(&[("a", 10), ("b", 5)]);
    let names = |set: &Labelled| -> Vec<String> { (0..set.len()).map(|index| set.name(index)).collect() };
    let of = |at_most| open_data(root.path(), &OpenOptions { at_most, seed: 3, ..Default::default() }).unwrap();
    let (all, six, two) = (of(None), of(Some(6)), of(Some(2)));
    assert_eq!((counts(&all.train), counts(&six.train), counts(&two.train)), (vec![8, 4], vec![6, 4], vec![2, 2]));
    assert!(names(&all.val) == names(&six.val) && names(&all.val) == names(&two.val));
    assert!(names(&two.train).iter().all(|name| names(&six.train).contains(name)));
}

#[test]
fn a_training_folder_alone_is_divided_but_trains_can_be_a_class() {
    let alone = data(&[("train/a", 5), ("train/b", 5)]);
    let splits = open(alone.path()).unwrap();
    assert_eq!((counts(&splits.train), counts(&splits.val)), (vec![4, 4], vec![1, 1]));
    assert!(splits.notes[0].starts_with("no val/ beside train/"));
    let vehicles = data(&[("bus", 5), ("train", 5)]);
    assert_eq!(open(vehicles.path()).unwrap().classes, ["bus", "train"]);
}

#[test]
fn a_broken_image_is_left_out_only_if_that_was_asked_for() {
    let root = data(&[("train/a", 3), ("train/b", 3), ("val/a", 2), ("val/b", 1)]);
    for broken in ["train/b/001.png", "val/a/000.png"] {
        std::fs::write(root.path().join(broken), b"").unwrap();
    }
    let splits = open(root.path()).unwrap();
    assert!(splits.broken.is_empty() && splits.train.len() == 6);
    assert!(splits.train.load(4).unwrap_err().to_string().contains("train/b/001.png: the file is empty"));

    let seen = std::cell::RefCell::new(Vec::new());
    let skip = OpenOptions { skip_broken: true, ..Default::default() };
    let splits = open_data_observed(root.path(), &skip, &|done, all| seen.borrow_mut().push((done, all))).unwrap();
    assert!(seen.into_inner().into_iter().eq((1..=9).map(|done| (done, 9))));
    assert_eq!((counts(&splits.train), counts(&splits.val)), (vec![3, 2], vec![1, 1]));
    let broken: Vec<_> = splits.broken.iter().map(|broken| (&broken.name[..], &broken.reason[..])).collect();
    assert!(broken[0].0.ends_with("train/b/001.png") && broken[1].0.ends_with("val/a/000.png"), "{broken:?}");
    assert_eq!(broken[0].1, "the file is empty (0 bytes)");
}

#[test]
fn a_class_that_loses_every_image_is_an_error_that_says_why() {
    let root = data(&[("a", 3), ("b", 1)]);
    std::fs::write(root.path().join("b/000.png"), b"x").unwrap();
    let skip = OpenOptions { skip_broken: true, ..Default::default() };
    let said = open_data(root.path(), &skip).err().unwrap().to_string();
    assert!(said.contains("class \"b\" has no image to train on (1 broken images were left out)"), "{said}");
    let single = data(&[("a", 1), ("b", 1)]);
    assert!(message(single.path()).contains("no image is left to validate with: every class has a single one"));
}

#[test]
fn idx_files_come_with_their_test_files_or_are_divided() {
    let root = tempfile::tempdir().unwrap();
    let write = |part: &str, labels: &[u8]| {
        let count = labels.len() as u8;
        let images = [&[0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 1, 0, 0, 0, 1], labels].concat();
        std::fs::write(root.path().join(format!("{part}-images-idx3-ubyte")), images).unwrap();
        let labels = [&[0, 0, 8, 1, 0, 0, 0, count], labels].concat();
        std::fs::write(root.path().join(format!("{part}-labels-idx1-ubyte")), labels).unwrap();
    };
    std::fs::write(root.path().join("classes.txt"), "shirt\nboot\n").unwrap();
    write("train", &[0, 1, 0, 1, 1, 0]);
    let splits = open(root.path()).unwrap();
    assert_eq!((counts(&splits.train), counts(&splits.val)), (vec![2, 2], vec![1, 1]));
    write("t10k", &[1, 1, 1]);
    let splits = open(root.path()).unwrap();
    assert_eq!((counts(&splits.train), counts(&splits.val)), (vec![3, 3], vec![0, 3]));
    assert_eq!((&splits.classes[..], splits.notes.len()), (&["shirt".to_string(), "boot".into()][..], 1));
    let file = open(&root.path().join("train-images-idx3-ubyte")).unwrap();
    assert_eq!(counts(&file.val), [1, 1]);
}

#[test]
fn a_missing_data_set_is_named() {
    assert!(message(Path::new("no/such/data")).starts_with("no/such/data: no such folder; expected one folder"));
}

#[test]
fn the_images_folder_of_a_domain_is_looked_into() {
    let root = data(&[("images/back_pack", 5), ("images/bike", 5)]);
    let splits = open(root.path()).unwrap();
    assert_eq!((splits.classes, counts(&splits.train)), (vec!["back_pack".to_string(), "bike".into()], vec![4, 4]));
    assert_eq!(splits.notes, ["images/ is looked into: it is the only folder"]);
    let classes = ["bike", "back_pack"].map(String::from);
    assert_eq!(open_for_evaluation(root.path(), &classes).unwrap().labels()[0], 1);
    // beside others it is a class
    let two = data(&[("images", 5), ("drawings", 5)]);
    assert_eq!(open(two.path()).unwrap().classes, ["drawings", "images"]);
}

#[test]
fn house_numbers_are_found_in_a_folder_or_as_a_file() {
    let root = tempfile::tempdir().unwrap();
    let write = |name: &str| std::fs::write(root.path().join(name), crate::data::svhn::tests::file()).unwrap();
    write("test_32x32.mat");
    assert_eq!(open_for_evaluation(root.path(), &["0".into(), "9".into()]).unwrap().labels(), [1, 0]);
    write("train_32x32.mat");
    let digits: Vec<String> = (0..10).map(|digit| digit.to_string()).collect();
    let nines = ["9", "0"].map(String::from);
    let options = OpenOptions { classes: nines.to_vec(), ..Default::default() };
    let splits = open_data(root.path(), &options).unwrap();
    assert_eq!((splits.train.labels(), splits.val.labels()), (vec![0, 1], vec![0, 1]));
    let file = root.path().join("train_32x32.mat");
    assert_eq!(open_for_evaluation(&file, &digits).unwrap().labels(), [9, 0]);
    let message = open_for_evaluation(&file, &["stop".into(), "go".into()]).err().unwrap().to_string();
    assert!(message.contains("but the model knows also stop"), "{message}");
}

#[test]
fn lists_say_what_is_trained_on() {
    let root = data(&[("sketch/ant", 3), ("sketch/bee", 3)]);
    let list = |numbers: [&str; 2]| -> String {
        let lines = ["ant", "bee"]
            .iter()
            .enumerate()
            .flat_map(|(label, class)| numbers.map(|number| format!("sketch/{class}/{number}.png {label}\n")));
        lines.collect()
    };
    std::fs::write(root.path().join("sketch_train.txt"), list(["000", "001"])).unwrap();
    let folder = root.path().join("sketch");
    let splits = open(&folder).unwrap();
    assert_eq!((counts(&splits.train), counts(&splits.val)), (vec![1, 1], vec![1, 1]));
    std::fs::write(root.path().join("sketch_test.txt"), list(["002", "002"])).unwrap();
    for path in [folder, root.path().join("sketch_train.txt")] {
        let splits = open(&path).unwrap();
        assert_eq!((counts(&splits.train), counts(&splits.val)), (vec![2, 2], vec![2, 2]));
        assert!(splits.val.name(0).ends_with("sketch/ant/002.png"));
    }
}
