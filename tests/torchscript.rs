//! Modules of `torch.jit.save` go in, learn, and come out as themselves.

use std::path::Path;

use super::support::{Scene, bytes, json, stderr, succeed};

fn module(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/torchscript/{name}.pt")).display().to_string()
}

/// Fine-tunes a module on the scene's three colours.
fn finetune(scene: &Scene, name: &str, model: &str, more: &[&str]) -> std::process::Output {
    let (data, out) = (scene.data(), format!("runs/{name}"));
    let words = ["finetune", "--data", &data, "--out", &out, "--model", model, "--image-size", "32", "--device", "cpu"];
    scene.run(&[&words[..], &["--batch-size", "4", "--lr", "0.01", "--quiet"], more].concat())
}

#[test]
fn scripted_and_traced_modules_learn_and_come_out_as_themselves() {
    let scene = Scene::new(12);
    for name in ["scripted", "traced_eval"] {
        let words = ["--epochs", "12", "--no-augment", "--backbone-lr", "1"];
        succeed(&finetune(&scene, name, &module(name), &words));
        let run = scene.path(&format!("runs/{name}"));
        let result = json(&run.join("result.json"));
        assert!(result["metrics"]["accuracy"].as_f64().unwrap() > 0.9, "{name}: {result}");
        assert!(run.join("model.pt").is_file() && !run.join("model.safetensors").exists());

        let run = format!("runs/{name}");
        let evaluated = scene.run(&["evaluate", "--model", &run, "--data", "data", "--device", "cpu", "--json"]);
        succeed(&evaluated);
        let evaluation: serde_json::Value = serde_json::from_slice(&evaluated.stdout).expect("JSON");
        assert_eq!(evaluation["accuracy"], result["metrics"]["accuracy"]);

        succeed(&scene.run(&["export", &run, "--out", "out.pt", "--force"]));
        let image = "data/val/green/001.png";
        let answer = |model: &str| {
            let predicted = scene.run(&["predict", "--model", model, image, "--device", "cpu", "--json"]);
            succeed(&predicted);
            serde_json::from_slice::<serde_json::Value>(&predicted.stdout).expect("JSON")
        };
        assert_eq!(answer("out.pt"), answer(&run));
        assert_eq!(answer("out.pt")[0]["classes"][0]["class"], "green");

        let inspected = scene.run(&["inspect", &run, "--select", "first:1", "--json"]);
        succeed(&inspected);
        let report: serde_json::Value = serde_json::from_slice(&inspected.stdout).expect("JSON");
        let stages = report["stages"].as_array().unwrap().iter().map(|stage| stage["name"].as_str().unwrap());
        assert_eq!(stages.collect::<Vec<_>>(), ["conv1", "layer1", "layer2", "head"]);
        assert_eq!((&report["stages"][0]["selected"], &report["stages"][1]["selected"]), (&174.into(), &0.into()));
        assert_eq!(report["module"]["extra_files"], serde_json::json!(["regraft.json"]));
    }
}

#[test]
fn what_is_frozen_in_a_module_stays_and_a_killed_run_goes_on_to_the_same_bytes() {
    let scene = Scene::new(10);
    let words = ["--epochs", "8", "--freeze", "first:2", "--unfreeze-at", "4:layer1", "--checkpoint-every", "1"];
    succeed(&finetune(&scene, "whole", &module("traced_train"), &words));
    let (data, model) = (scene.data(), module("traced_train"));
    let line = ["finetune", "--data", &data, "--out", "runs/killed", "--model", &model, "--image-size", "32"];
    let line = [&line[..], &["--device", "cpu", "--batch-size", "4", "--lr", "0.01", "--quiet"], &words].concat();
    scene.kill_at(&line, "runs/killed/checkpoints/last/state.json");
    assert!(!scene.path("runs/killed/result.json").exists());
    succeed(&scene.run(&["finetune", "--resume", "runs/killed", "--quiet"]));
    assert!(bytes(&scene.path("runs/whole/model.pt")) == bytes(&scene.path("runs/killed/model.pt")));
}

#[test]
fn every_head_and_a_second_round_work_on_a_module() {
    let scene = Scene::new(6);
    for (name, head) in [
        ("scripted", "mlp"),
        ("flattened", "mlp"),
        ("traced_eval", "prototype"),
        ("scripted", "linear@fc"),
        ("flattened", "fc"),
    ] {
        succeed(&finetune(&scene, "run", &module(name), &["--epochs", "1", "--head", head, "--force"]));
        // what was trained is a source model in its turn
        succeed(&finetune(&scene, "again", "runs/run", &["--epochs", "1", "--force"]));
        let predicted = scene.run(&["predict", "--model", "runs/again", "data/val/red/001.png", "--device", "cpu"]);
        succeed(&predicted);
    }
}

#[test]
fn a_native_model_is_exported_in_every_format() {
    let scene = Scene::new(4);
    let network = ["--model", "mobilenet_v3_small"];
    succeed(&scene.finetune("run", &[&network[..], &["--epochs", "1"]].concat()));
    let answer = |model: &str| {
        let predicted = scene.run(&["predict", "--model", model, "data/val/red/001.png", "--device", "cpu", "--json"]);
        succeed(&predicted);
        serde_json::from_slice::<serde_json::Value>(&predicted.stdout).expect("JSON")
    };
    let expected = answer("runs/run");
    for format in ["torchscript", "safetensors"] {
        succeed(&scene.run(&["export", "runs/run", "--format", format, "--out", format]));
        let found = answer(format);
        let probability = |answer: &serde_json::Value| answer[0]["classes"][0]["probability"].as_f64().unwrap();
        assert!((probability(&found) - probability(&expected)).abs() < 1e-5, "{format}: {found}");
        assert_eq!(found[0]["classes"][0]["class"], expected[0]["classes"][0]["class"]);
    }
    succeed(&scene.run(&["export", "runs/run", "--format", "pth"]));
    let words = ["--epochs", "1", "--weights", "runs/run/export.pth", "--strict"];
    succeed(&scene.finetune("next", &[&network[..], &words].concat()));
    let refused = scene.run(&["export", "runs/run", "--format", "pth"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("runs/run/export.pth: exists"), "{}", stderr(&refused));
}

#[test]
fn what_cannot_be_used_is_said_in_one_line() {
    let scene = Scene::new(4);
    for (name, more, code, expected) in [
        ("pair", &[][..], 1, "returns Tuple[Tensor, Tensor]"),
        ("convolutional", &[], 1, "holds no linear layer"),
        ("foreign", &[], 1, "calls the operator torchvision::nms"),
        ("normalising", &[], 1, "--mean 0,0,0 --std 1,1,1"),
        ("scripted", &["--head", "nowhere"], 1, "does not use a layer `nowhere`"),
        ("scripted", &["--from-scratch"], 2, "comes with its weights"),
    ] {
        let output = finetune(&scene, "run", &module(name), &[more, &["--force"]].concat());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(expected) && said.trim().lines().count() == 1, "{name}: {said}");
    }
    succeed(&finetune(&scene, "told", &module("normalising"), &["--mean", "0,0,0", "--std", "1,1,1", "--epochs", "1"]));
    let inspected = scene.run(&["inspect", &module("restoring")]);
    succeed(&inspected);
    let inspected = String::from_utf8_lossy(&inspected.stdout).into_owned();
    // libtorch would run it, and it says so
    assert!(inspected.contains("__setstate__") && !inspected.contains("this ran"), "{inspected}");
    let inspected = scene.run(&["inspect", &module("foreign")]);
    succeed(&inspected);
    assert!(String::from_utf8_lossy(&inspected.stdout).contains("torchvision::nms (not part of libtorch)"));
}
