//! Fine-tuning that stays close to its source model, and the source task beside the new one.

use super::support::{Scene, bytes, finetune_words, json, stderr, succeed};

/// A network with batch norm.
const NETWORK: &str = "mobilenet_v3_small";

/// A scene with a model of the three colours, and the same images under two other names.
fn scene() -> Scene {
    let scene = Scene::new(10);
    succeed(&scene.finetune("source", &["--model", NETWORK, "--epochs", "8", "--lr", "0.001", "--no-augment"]));
    for split in ["train", "val"] {
        for (from, to) in [("blue", "cold"), ("red", "warm")] {
            let (from, to) = [from, to].map(|name| scene.path(&format!("data/{split}/{name}"))).into();
            let to = to.to_string_lossy().replace("/data/", "/other/");
            std::fs::create_dir_all(&to).expect("a folder");
            for file in std::fs::read_dir(from).expect("a folder").filter_map(Result::ok) {
                std::fs::copy(file.path(), std::path::Path::new(&to).join(file.file_name())).expect("a copy");
            }
        }
    }
    scene
}

/// The words of a run on the other classes, which begins with the model of the three colours.
fn words<'a>(data: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut words = finetune_words(data, out, &[&["--model", "runs/source"], more].concat());
    words.retain(|word| *word != "--from-scratch");
    words
}

fn finetune(scene: &Scene, name: &str, data: &str, more: &[&str]) -> std::process::Output {
    let (data, out) = (scene.path(data).display().to_string(), format!("runs/{name}"));
    scene.run(&words(&data, &out, more))
}

const ALL: [&str; 6] = ["--conserve", "outputs", "--conserve", "weights=0.1", "--conserve", "features"];

#[test]
fn the_source_task_is_measured_before_and_after_and_stays_usable() {
    let scene = scene();
    let run = finetune(&scene, "near", "other", &[&ALL[..], &["--source-data", "data", "--epochs", "3"]].concat());
    succeed(&run);
    let result = json(&scene.path("runs/near/result.json"));
    let metric = |name: &str| result["metrics"][name].as_f64().unwrap_or_else(|| panic!("{name}: {result}"));
    assert_eq!(metric("source_accuracy_before"), json(&scene.path("runs/source/result.json"))["metrics"]["accuracy"]);
    assert!((metric("source_accuracy_before") - metric("source_accuracy") - metric("forgetting")).abs() < 1e-12);
    let log = String::from_utf8(bytes(&scene.path("runs/near/metrics.jsonl"))).expect("text");
    for part in ["cross_entropy", "outputs", "weights", "features"] {
        assert!(log.contains(&format!("\"{part}\":")), "{part}: {log}");
    }
    // with the head that was kept, the model still does the source task
    let words = ["evaluate", "--model", "runs/near", "--data", "data", "--earlier", "--device", "cpu", "--json"];
    let evaluated = scene.run(&words);
    succeed(&evaluated);
    let evaluation: serde_json::Value = serde_json::from_slice(&evaluated.stdout).expect("JSON");
    assert_eq!(evaluation["accuracy"], result["metrics"]["source_accuracy"]);
    let refused = scene.run(&["evaluate", "--model", "runs/source", "--data", "data", "--earlier"]);
    assert!(stderr(&refused).contains("keeps no head of an earlier task"), "{}", stderr(&refused));
    let inspected = scene.run(&["inspect", "runs/near"]);
    let text = String::from_utf8_lossy(&inspected.stdout).into_owned();
    assert!(text.contains("earlier head  3 classes: blue, green, red"), "{text}");
    // other programs get the new task alone
    succeed(&scene.run(&["export", "runs/near", "--format", "pth", "--out", "near.pth"]));
    succeed(&scene.run(&["export", "runs/near", "--out", "near.pt"]));
    let inspected = scene.run(&["inspect", "near.pth"]);
    assert!(!String::from_utf8_lossy(&inspected.stdout).contains("earlier_head"));
}

#[test]
fn a_model_that_is_held_firmly_does_not_move() {
    let scene = scene();
    let distance = |name: &str, more: &[&str]| {
        let always = [
            "--epochs",
            "3",
            "--lr",
            "0.003",
            "--no-augment",
            "--weight-decay",
            "0",
            "--batch-norm",
            "hold-statistics",
        ];
        succeed(&finetune(&scene, name, "other", &[&always[..], more].concat()));
        let read = |run: &str| {
            let file = scene.path(&format!("runs/{run}/model.safetensors"));
            let tensors = tch::Tensor::read_safetensors(file).expect("a model");
            tensors.into_iter().find(|(name, _)| name == "features.12.0.weight").expect("a weight").1
        };
        f64::try_from((read(name) - read("source")).norm()).expect("a number")
    };
    let free = distance("free", &[]);
    let held = distance("held", &["--conserve", "weights=1000"]);
    assert!(held < 0.7 * free, "{held}, free {free}");
}

#[test]
fn a_killed_run_goes_on_without_its_source_to_the_same_bytes() {
    let scene = scene();
    let more = [&ALL[..], &["--epochs", "6", "--checkpoint-every", "1", "--source-data", "data"]].concat();
    succeed(&finetune(&scene, "whole", "other", &more));
    let data = scene.path("other").display().to_string();
    scene.kill_at(&words(&data, "runs/killed", &more), "runs/killed/checkpoints/last/state.json");
    assert!(!scene.path("runs/killed/result.json").exists(), "killed too late to show anything");
    std::fs::rename(scene.path("runs/source"), scene.path("gone")).expect("it can be moved");
    succeed(&scene.run(&["finetune", "--resume", "runs/killed", "--quiet"]));
    let [whole, killed] = ["whole", "killed"].map(|name| scene.path(&format!("runs/{name}")));
    assert!(bytes(&whole.join("model.safetensors")) == bytes(&killed.join("model.safetensors")));
    let metrics = |run: &std::path::Path| json(&run.join("result.json"))["metrics"].clone();
    assert_eq!(metrics(&whole), metrics(&killed));
}

#[test]
fn a_head_is_kept_for_the_same_classes_alone() {
    let scene = scene();
    let refused = finetune(&scene, "kept", "other", &["--head", "keep"]);
    assert_eq!(refused.status.code(), Some(2));
    let message = stderr(&refused);
    assert!(
        message.contains("--head keep") && message.contains("blue, green, red") && message.contains("cold, warm"),
        "{message}"
    );
    // a rate that moves nothing leaves what the source model answers
    let words = ["--head", "keep", "--epochs", "1", "--lr", "1e-30", "--batch-norm", "freeze"];
    succeed(&finetune(&scene, "same", "data", &words));
    let [source, same] = ["source", "same"].map(|run| json(&scene.path(&format!("runs/{run}/result.json"))));
    assert_eq!(source["metrics"], same["metrics"]);
}

#[test]
fn a_torchscript_module_can_be_stayed_close_to() {
    let scene = Scene::new(6);
    let module = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/torchscript/scripted.pt");
    let (data, out) = (scene.data(), "runs/module");
    let words = ["finetune", "--data", &data, "--out", out, "--model", module, "--image-size", "32", "--device", "cpu"];
    succeed(&scene.run(&[&words[..], &["--batch-size", "4", "--epochs", "2", "--quiet"], &ALL].concat()));
    let log = String::from_utf8(bytes(&scene.path("runs/module/metrics.jsonl"))).expect("text");
    assert!(log.contains("\"features\":") && log.contains("\"outputs\":"), "{log}");
    assert!(scene.path("runs/module/model.pt").is_file());
}
