//! The layer sweep.

use std::process::Output;

use super::support::{Scene, bytes, json, stderr, succeed};

/// Four classes: the three colours, and one of them under another name.
fn scene() -> Scene {
    let scene = Scene::new(6);
    for split in ["train", "val"] {
        let [from, to] = ["blue", "navy"].map(|class| scene.path(&format!("data/{split}/{class}")));
        std::fs::create_dir_all(&to).expect("a folder");
        for file in std::fs::read_dir(from).expect("a folder").filter_map(Result::ok) {
            std::fs::copy(file.path(), to.join(file.file_name())).expect("a copy");
        }
    }
    scene
}

fn sweep(scene: &Scene, more: &[&str]) -> Output {
    let words = ["layers", "--data", "data", "--image-size", "16", "--epochs", "1", "--batch-size", "8"];
    let rest = ["--device", "cpu", "--quiet", "--out", "sweep", "--no-augment"];
    scene.run(&[&words[..], &rest, more].concat())
}

#[test]
fn every_cell_copies_and_freezes_what_it_says_and_nothing_is_done_twice() {
    let scene = scene();
    let words = ["--seeds", "2", "--layers", "2,6", "--ends", "first,last", "--json"];
    let run = sweep(&scene, &words);
    succeed(&run);
    let found: serde_json::Value = serde_json::from_slice(&run.stdout).expect("JSON");
    assert_eq!(found, json(&scene.path("sweep/layers.json")));
    assert_eq!(found["points"].as_array().map(Vec::len), Some(2 * 5 * 2));
    assert_eq!(found["stages"].as_array().map(Vec::len), Some(6));
    for end in ["first", "last"] {
        image::open(scene.path(&format!("sweep/plots/layers-{end}.png"))).expect("a plot");
    }
    let tensor = |run: &str, name: &str| {
        let file = bytes(&scene.path(&format!("sweep/seed-0/{run}/model.safetensors")));
        let tensors = safetensors::SafeTensors::deserialize(&file).expect("safetensors");
        tensors.tensor(name).expect("the tensor").data().to_vec()
    };
    let layers = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6"];
    // frozen copies are the network's that they come from, all else is not
    for (cell, from, same) in [
        ("first/B2B", "base-B", &layers[..2]),
        ("first/A2B", "base-A", &layers[..2]),
        ("last/A2B", "base-A", &layers[4..]),
        ("first/A6B", "base-A", &layers[..]),
        ("first/A2B+", "base-A", &[]),
        ("first/random-2", "base-B", &[]),
    ] {
        for layer in layers {
            let name = format!("{layer}.weight");
            assert_eq!(tensor(cell, &name) == tensor(from, &name), same.contains(&layer), "{cell} {layer}");
        }
        assert_ne!(tensor(cell, "fc7.weight"), tensor(from, "fc7.weight"), "{cell}");
    }
    // started again, it trains nothing
    let file = scene.path("sweep/seed-1/last/A6B+/model.safetensors");
    let changed = || std::fs::metadata(&file).expect("the model").modified().expect("a time");
    let before = changed();
    let again = sweep(&scene, &words);
    succeed(&again);
    assert_eq!((again.stdout, changed()), (run.stdout, before));
    let other = sweep(&scene, &[&words[..], &["--lr", "0.01"]].concat());
    assert_eq!(other.status.code(), Some(2));
    assert!(stderr(&other).contains("other options"), "{}", stderr(&other));
}

#[test]
fn bad_input_is_said_before_anything_is_trained() {
    let scene = scene();
    for (words, message) in [
        (&["--layers", "7"][..], "--layers 7: small_cnn has 6 stages"),
        (&["--target-classes", "blue,pink"], "\"pink\" is none of the classes"),
        (&["--target-classes", "blue,red,green"], "at least two"),
        (&["--model", "resnet"], "there is no model"),
        (&["--model", "small_cnn", "--pretrained"], "small_cnn comes without learned weights"),
        (&["--freeze", "first:1", "--copy", "all"], "--freeze: the sweep decides"),
        (&["--classes", "blue,red,blue"], "named twice"),
    ] {
        let run = sweep(&scene, words);
        assert_eq!(run.status.code(), Some(2), "{words:?}: {}", stderr(&run));
        assert!(stderr(&run).contains(message), "{words:?}: {}", stderr(&run));
        assert!(!scene.path("sweep/seed-0").exists(), "{words:?}");
    }
}

#[test]
fn the_network_without_weights_is_shown_and_is_asked_for_them() {
    let scene = Scene::new(2);
    let shown = scene.run(&["inspect", "small_cnn"]);
    succeed(&shown);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(text.contains("conv1") && text.contains("fc6"), "{text}");
    for words in [&["predict", "--model", "small_cnn", "x.png"][..], &["models", "show", "small_cnn"]] {
        let refused = scene.run(words);
        assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
        assert!(stderr(&refused).contains("comes without learned weights"), "{}", stderr(&refused));
    }
}
