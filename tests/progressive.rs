//! Progressive networks: a column per task, nothing forgotten, and each column a run like any other.

use std::path::Path;
use std::process::Output;

use safetensors::SafeTensors;

use super::support::{Scene, bytes, json, stderr, succeed};

/// A scene with a folder for each pair of colours.
fn scene() -> Scene {
    let scene = Scene::new(8);
    for (folder, classes) in [("cold", ["blue", "green"]), ("warm", ["green", "red"]), ("both", ["blue", "red"])] {
        for (split, class) in ["train", "val"].into_iter().flat_map(|split| classes.map(|class| (split, class))) {
            let to = scene.path(&format!("{folder}/{split}/{class}"));
            std::fs::create_dir_all(&to).expect("a folder");
            for file in std::fs::read_dir(scene.path(&format!("data/{split}/{class}"))).expect("a folder").flatten() {
                std::fs::copy(file.path(), to.join(file.file_name())).expect("a copy");
            }
        }
    }
    scene
}

const NETWORK: [&str; 11] = [
    "--model",
    "small_cnn",
    "--from-scratch",
    "--image-size",
    "32",
    "--batch-size",
    "4",
    "--device",
    "cpu",
    "--quiet",
    "--no-augment",
];
const TASKS: [&str; 6] = ["--task", "cold=cold", "--task", "warm=warm", "--task", "both=both,shots=3"];

fn finetune(scene: &Scene, data: &str, name: &str, more: &[&str]) -> Output {
    let out = format!("runs/{name}");
    scene.run(&[&["finetune", "--data", data, "--out", &out], &NETWORK[..], more].concat())
}

/// The tensors of one file that are in another under these names with `prefix`, and whether their bytes are the same.
fn same_under(prefix: &str, inner: &Path, outer: &Path) -> bool {
    let (inner, outer) = (bytes(inner), bytes(outer));
    let [inner, outer] = [&inner, &outer].map(|bytes| SafeTensors::deserialize(bytes).expect("a model"));
    let same = |name: &str| {
        outer.tensor(&format!("{prefix}{name}")).expect("it is there").data() == inner.tensor(name).unwrap().data()
    };
    inner.len() > 3 && inner.names().into_iter().all(same)
}

#[test]
fn three_tasks_are_learned_and_none_is_forgotten() {
    let scene = scene();
    let all = [&["progressive", "--out", "out", "--epochs", "3", "--lr", "0.003"], &NETWORK[..], &TASKS].concat();
    succeed(&scene.run(&all));
    let found = json(&scene.path("out/progressive.json"));
    let list = |name: &str| found[name].as_array().unwrap_or_else(|| panic!("{name}: {found}")).clone();
    let proofs: Vec<_> =
        list("proofs").iter().map(|one| [&one["task"], &one["after"]].map(|name| name.to_string())).collect();
    assert_eq!(proofs, [["\"cold\"", "\"warm\""], ["\"cold\"", "\"both\""], ["\"warm\"", "\"both\""]]);
    for (proof, task) in list("proofs").iter().zip([0, 0, 1]) {
        assert!(proof["identical"] == true && proof["images"] == 8, "{proof}");
        assert_eq!(proof["accuracy"], list("tasks")[task]["progressive"]["mean"]);
    }
    let connections: Vec<_> = list("ablation").iter().map(|one| one["laterals"].as_array().unwrap().len()).collect();
    assert_eq!(connections, [6, 12]);
    assert_eq!(list("ablation")[1]["accuracy"], list("tasks")[2]["progressive"]["mean"]);
    assert_eq!(list("forgetting").len(), 3);
    assert_eq!((&found["trained"], &list("tasks")[2]["training_images"]), (&7.into(), &6.into()));
    for plot in ["ablation.png", "last-task.png"] {
        assert!(scene.path("out/plots").join(plot).is_file(), "{plot}");
    }
    // every column holds those before it, to the byte
    let model = |run: &str| scene.path(&format!("out/{run}/model.safetensors"));
    let [first, second, third] = ["1-cold-column", "2-warm-column", "3-both-column"].map(model);
    assert!(same_under("beside.", &first, &second) && same_under("beside.", &second, &third));
    assert!(same_under("beside.beside.", &first, &third));
    // and does their tasks
    for (data, more, task) in
        [("both", &[][..], 2), ("warm", &["--earlier"], 1), ("cold", &["--earlier", "--earlier"], 0)]
    {
        let words = ["evaluate", "--model", "out/3-both-column", "--data", data, "--device", "cpu", "--json"];
        let evaluated = scene.run(&[&words[..], more].concat());
        succeed(&evaluated);
        let evaluation: serde_json::Value = serde_json::from_slice(&evaluated.stdout).expect("JSON");
        assert_eq!(evaluation["accuracy"], list("tasks")[task]["progressive"]["mean"], "{data}");
    }
    // other programs get all columns
    let words = ["export", "out/3-both-column", "--out", "both.pt"];
    succeed(&scene.run(&words));
    succeed(&scene.run(&[
        "evaluate",
        "--model",
        "both.pt",
        "--data",
        "warm",
        "--earlier",
        "--device",
        "cpu",
        "--json",
    ]));
    let inspected = scene.run(&["inspect", "out/3-both-column"]);
    let text = String::from_utf8_lossy(&inspected.stdout).into_owned();
    assert!(text.contains("\nlaterals ") && text.contains("beside        small_cnn, 2 classes: green, red"), "{text}");
    // started again, it has everything already
    let again = scene.run(&[&all[..], &["--json"]].concat());
    succeed(&again);
    let again: serde_json::Value = serde_json::from_slice(&again.stdout).expect("JSON");
    for part in ["tasks", "proofs", "ablation", "forgetting"] {
        assert_eq!(again[part], found[part]);
    }
    let other = scene.run(&[&all[..], &["--weight-decay", "0.1"]].concat());
    assert!(stderr(&other).contains("other options"), "{}", stderr(&other));
}

#[test]
fn seeds_are_repeated_and_networks_to_compare_with_left_out() {
    let scene = scene();
    let words = ["progressive", "--out", "out", "--epochs", "1", "--seeds", "2", "--no-baselines", "--json"];
    let run = scene.run(&[&words[..], &NETWORK[..], &TASKS[..4]].concat());
    succeed(&run);
    let found: serde_json::Value = serde_json::from_slice(&run.stdout).expect("JSON");
    assert_eq!(found["tasks"][1]["progressive"]["values"].as_array().map(Vec::len), Some(2), "{found}");
    assert!(found["tasks"][1].get("alone").is_none() && found["forgetting"] == serde_json::json!([]));
    assert!(scene.path("out/seed-1/2-warm-column/result.json").is_file());
}

#[test]
fn a_killed_column_goes_on_without_the_one_beside_it_to_the_same_bytes() {
    let scene = scene();
    succeed(&finetune(&scene, "cold", "first", &["--epochs", "2"]));
    let more = ["--beside", "runs/first", "--epochs", "10", "--checkpoint-every", "1", "--ema", "0.9"];
    succeed(&finetune(&scene, "warm", "whole", &more));
    let words = [&["finetune", "--data", "warm", "--out", "runs/killed"], &NETWORK[..], &more].concat();
    scene.kill_at(&words, "runs/killed/checkpoints/last/state.json");
    assert!(!scene.path("runs/killed/result.json").exists());
    std::fs::rename(scene.path("runs/first"), scene.path("gone")).expect("it can be moved");
    succeed(&scene.run(&["finetune", "--resume", "runs/killed", "--quiet"]));
    let [whole, killed] = ["whole", "killed"].map(|name| scene.path(&format!("runs/{name}/model.safetensors")));
    assert!(bytes(&whole) == bytes(&killed));
    assert!(same_under("beside.", &scene.path("gone/model.safetensors"), &whole));
}

#[test]
fn batch_norm_beside_a_column_stays_and_frozen_stages_take_from_it_all_the_same() {
    let scene = scene();
    let network = ["--model", "resnet18", "--image-size", "32", "--batch-size", "4", "--device", "cpu", "--quiet"];
    let run = |data: &str, out: &str, more: &[&str]| {
        succeed(
            &scene.run(&[&["finetune", "--data", data, "--out", out, "--epochs", "1"], &network[..], more].concat()),
        );
    };
    run("cold", "runs/first", &["--from-scratch"]);
    // the new column begins as the first and stays so, but for its head and what flows in
    let weights = ["--weights", "runs/first/model.safetensors", "--freeze", "all", "--beside", "runs/first"];
    run("warm", "runs/second", &weights);
    let [first, second] = ["first", "second"].map(|name| scene.path(&format!("runs/{name}/model.safetensors")));
    assert!(same_under("beside.", &first, &second));
    let file = bytes(&second);
    let tensors = SafeTensors::deserialize(&file).expect("a model");
    let is_moved = |name: &str| tensors.tensor(name).expect("it is there").data().iter().any(|byte| *byte != 0);
    assert!(is_moved("laterals.layer4.1.up.weight") && is_moved("laterals.head.1.up.weight"));
    let [own, beside] =
        ["layer4.1.conv2.weight", "beside.layer4.1.conv2.weight"].map(|name| tensors.tensor(name).unwrap().data());
    assert!(own == beside);
    // all of it frozen, the features are computed once
    let more = [&weights[..], &["--freeze", "all,laterals", "--freeze-random", "--no-augment"]].concat();
    let more: Vec<_> = more.iter().enumerate().filter(|(at, _)| ![2, 3].contains(at)).map(|(_, word)| *word).collect();
    run("warm", "runs/third", &more);
}

#[test]
fn what_cannot_be_is_said() {
    let scene = scene();
    succeed(&finetune(&scene, "cold", "first", &["--epochs", "1"]));
    let refused = |output: Output, parts: &[&str], code| {
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{message}");
        assert!(parts.iter().all(|part| message.contains(part)) && message.trim().lines().count() == 1, "{message}");
    };
    let column = |more: &[&str]| finetune(&scene, "warm", "refused", more);
    refused(column(&["--beside", "runs/none"]), &["runs/none", "not found"], 1);
    refused(column(&["--beside", "runs/first", "--mean", "0,0,0"]), &["--beside runs/first", "--mean", "32 × 32"], 2);
    refused(column(&["--beside", "runs/first", "--conserve", "weights"]), &["--beside", "--conserve"], 2);
    let module = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/torchscript/scripted.pt");
    refused(column(&["--beside", module]), &["--beside", "TorchScript"], 2);
    let other =
        ["finetune", "--data", "warm", "--out", "runs/refused", "--beside", "runs/first", "--quiet", "--device", "cpu"];
    let other = |model: &[&str]| scene.run(&[&other[..], model].concat());
    refused(other(&["--model", "resnet18", "--from-scratch"]), &["resnet18 has 5 stages", "6"], 2);
    refused(other(&["--model", module]), &["--beside", "TorchScript"], 2);
    succeed(&finetune(&scene, "warm", "second", &["--beside", "runs/first", "--epochs", "1"]));
    refused(other(&["--model", "runs/second"]), &["--model", "columns beside it", "--beside"], 2);

    let progressive = |more: &[&str]| scene.run(&[&["progressive", "--out", "out"], &NETWORK[..], more].concat());
    refused(progressive(&TASKS[..2]), &["1 --task given; at least 2"], 2);
    let faults = [
        &TASKS[..],
        &["--task", "last=warm,size=40,weight=2", "--seeds", "0", "--beside", "runs/first", "--data", "x"],
    ]
    .concat();
    refused(
        progressive(&faults),
        &["last: images of another size", "--seeds", "--beside:", "--data is for one", "weight="],
        2,
    );
    refused(progressive(&[&TASKS[..], &["--lr", "-1"]].concat()), &["--lr -1"], 2);
}
