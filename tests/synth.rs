//! Data sets that are made: each is written, looked at, learned from and measured on like any other.

use std::path::Path;

use image::{Rgb, RgbImage};
use regraft::data::{ImageSet, OpenOptions, open_data};
use serde_json::Value;

use super::support::{Scene, bytes, json, stderr, succeed};

/// Digits as MNIST has them, of which some are all alike, and photographs.
fn scene() -> Scene {
    let scene = Scene::new(1);
    std::fs::create_dir_all(scene.path("digits")).expect("a folder");
    std::fs::create_dir_all(scene.path("photos/deep")).expect("a folder");
    for (part, count) in [("train", 40u8), ("t10k", 20)] {
        let labels: Vec<u8> = (0..count).map(|index| index % 10).collect();
        let pixels = labels
            .iter()
            .flat_map(|&label| (0..16 * 16u32).map(move |at| if at / 16 == u32::from(label) { 255 } else { 0 }));
        let images = [vec![0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 16, 0, 0, 0, 16], pixels.collect()].concat();
        std::fs::write(scene.path(&format!("digits/{part}-images-idx3-ubyte")), images).expect("a file");
        let labels = [vec![0, 0, 8, 1, 0, 0, 0, count], labels].concat();
        std::fs::write(scene.path(&format!("digits/{part}-labels-idx1-ubyte")), labels).expect("a file");
    }
    for number in 0..12u32 {
        let photo = RgbImage::from_fn(60, 50, |x, y| Rgb([(x * 4) as u8, (y * 5) as u8, (number * 20) as u8]));
        photo.save(scene.path(&format!("photos/deep/{number}.png"))).expect("a photograph");
    }
    scene
}

/// What the command says as JSON, and the images that it wrote are these many.
fn made(scene: &Scene, words: &[&str], [train, test]: [usize; 2]) -> Value {
    let output = scene.run(&[&["synth"], words, &["--json", "--quiet"]].concat());
    succeed(&output);
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&found["train"], &found["test"]), (&train.into(), &test.into()));
    let folder = scene.path(found["folder"].as_str().expect("a folder"));
    let splits = open_data(&folder, &OpenOptions::default()).expect("a data set");
    assert_eq!((splits.train.len(), splits.val.len()), (train, test));
    let side = found["width"].as_u64().expect("a number") as u32;
    assert_eq!(splits.train.load(train - 1).expect("an image").dimensions(), (side, side));
    let sheet = image::open(folder.join("contact-sheet.png")).expect("a picture");
    assert!(sheet.width() >= 500);
    assert_eq!(json(&folder.join("synth.json"))["made"], found["made"]);
    found
}

fn files(folder: &Path) -> Vec<Vec<u8>> {
    ["train", "t10k"]
        .iter()
        .flat_map(|part| ["images-idx4", "labels-idx1"].map(|kind| bytes(&folder.join(format!("{part}-{kind}-ubyte")))))
        .collect()
}

#[test]
fn mnist_m_is_made_of_digits_and_photographs() {
    let scene = scene();
    let words = ["mnist-m", "--digits", "digits", "--photos", "photos", "--size", "16", "--out", "m"];
    let found = made(&scene, &words, [40, 20]);
    assert_eq!(found["notes"][0], "photographs: 10 for training, 2 for the test");
    let before = files(&scene.path("m"));
    // not twice, unless that is wanted, and then with the same bytes on any number of threads
    let again = scene.run(&[&["synth"], &words[..]].concat());
    assert_eq!(again.status.code(), Some(2), "{}", stderr(&again));
    assert!(stderr(&again).contains("m/train-images-idx4-ubyte is there already; --force"), "{}", stderr(&again));
    let mut one = scene.command(&[&["synth"], &words[..], &["--force", "--quiet"]].concat());
    succeed(&one.env("RAYON_NUM_THREADS", "1").output().expect("the program starts"));
    assert!(files(&scene.path("m")) == before);
    let other = [&words[..8], &["n", "--seed", "1"]].concat();
    made(&scene, &other, [40, 20]);
    assert!(files(&scene.path("n")) != before);
    // digits that would be read instead stay, with or without --force
    let into = scene.run(&[&["synth"], &words[..8], &["digits", "--force"]].concat());
    assert_eq!(into.status.code(), Some(1), "{}", stderr(&into));
    assert!(stderr(&into).contains("train-images-idx3-ubyte: would be read instead"), "{}", stderr(&into));

    // a network learns from it, and is measured on it
    let learn = ["finetune", "--data", "m", "--out", "run", "--model", "small_cnn", "--from-scratch", "--epochs", "1"];
    succeed(&scene.run(&[&learn[..], &["--image-size", "16", "--device", "cpu", "--quiet"]].concat()));
    succeed(&scene.run(&["inspect", "run"]));
    let output = scene.run(&["evaluate", "--model", "run", "--data", "m", "--device", "cpu", "--json"]);
    succeed(&output);
    let evaluation: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let classes = evaluation["classes"].as_array().expect("classes");
    assert_eq!(classes.iter().map(|class| class["support"].as_u64().expect("a count")).sum::<u64>(), 20);
}

#[test]
fn printed_digits_are_made_of_fonts() {
    let scene = scene();
    std::fs::create_dir_all(scene.path("fonts/a")).expect("a folder");
    std::fs::write(scene.path("fonts/a/words.otf"), "no font").expect("a file");
    let words = ["digits", "--count", "50", "--fonts", "fonts", "--out", "d"];
    let output = scene.run(&[&["synth"], &words[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("fonts: holds no font with digits"), "{}", stderr(&output));
    std::fs::write(scene.path("fonts/hack.ttf"), epaint_default_fonts::HACK_REGULAR).expect("a file");
    let found = made(&scene, &words, [50, 10]);
    assert_eq!((&found["width"], found["classes"].as_array().map(Vec::len)), (&32.into(), Some(10)));
    let note = found["notes"][0].as_str().expect("a note");
    assert!(note.starts_with("fonts: 1 of fonts; skipped 1: words.otf is no font"), "{note}");
}

#[test]
fn signs_have_the_classes_of_the_benchmark() {
    let scene = scene();
    let found = made(&scene, &["signs", "--per-class", "2", "--size", "24", "--out", "s"], [86, 43]);
    assert_eq!((&found["classes"][0], &found["classes"][42]), (&"00000".into(), &"00042".into()));
    let with_photos = ["signs", "--per-class", "1", "--photos", "photos", "--out", "p"];
    assert_eq!(made(&scene, &with_photos, [43, 43])["width"], 40);
    // what learned from them knows the folders of the benchmark
    let learn = ["finetune", "--data", "s", "--out", "run", "--model", "small_cnn", "--from-scratch", "--epochs", "1"];
    succeed(&scene.run(&[&learn[..], &["--image-size", "24", "--device", "cpu", "--quiet"]].concat()));
    std::fs::create_dir_all(scene.path("gtsrb/00007")).expect("a folder");
    RgbImage::new(30, 28).save(scene.path("gtsrb/00007/00000_00003.ppm")).expect("a picture");
    let output = scene.run(&["evaluate", "--model", "run", "--data", "gtsrb", "--device", "cpu", "--json"]);
    succeed(&output);
    let evaluation: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(evaluation["classes"][7]["support"], 1);
}

#[test]
fn what_is_wrong_is_said_at_once() {
    let scene = scene();
    let message = |words: &[&str]| {
        let output = scene.run(&[&["synth"], words, &["--out", "x"]].concat());
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(!scene.path("x").exists());
        stderr(&output)
    };
    let both = message(&["mnist-m"]);
    assert!(both.contains("--digits FOLDER is missing") && both.contains("--photos FOLDER is missing"), "{both}");
    assert!(message(&["digits", "--count", "3"]).contains("--count 3"));
    assert!(message(&["signs", "--size", "9", "--per-class", "0"]).contains("--per-class 0"));
    assert!(message(&["houses"]).contains("unrecognized subcommand 'houses'"));
}
