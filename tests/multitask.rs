//! Several tasks at once: models of each, runs beside each alone, and going on after a stop.

use std::path::Path;
use std::process::Output;

use super::support::{Scene, bytes, json, stderr, succeed};

/// Two tasks on the pictures of a scene, with other classes and other sizes: colours of 28 pixels, and warm colours of 36.
fn words<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["multitask", "--task", "all=data", "--task", "warm=data,classes=red+green,size=36"];
    words.extend(["--model", "small_cnn", "--from-scratch", "--device", "cpu", "--quiet", "--workers", "1"]);
    words.extend(["--batch-size", "6", "--no-augment", "--out", out]);
    words.extend(more);
    words
}

fn multitask(scene: &Scene, out: &str, more: &[&str]) -> Output {
    scene.run(&words(out, more))
}

#[test]
fn every_task_gets_an_ordinary_model_and_its_place_in_the_comparison() {
    let scene = Scene::new(10);
    let more = ["--own", "first:1", "--epochs", "4", "--calibrate", "--json"];
    let run = multitask(&scene, "runs/both", &more);
    succeed(&run);
    let printed: serde_json::Value = serde_json::from_slice(&run.stdout).expect("JSON");
    assert_eq!(printed, json(&scene.path("runs/both/multitask.json")));
    let result = json(&scene.path("runs/both/together/result.json"));
    let metric = |name: &str| result["metrics"][name].as_f64().unwrap_or_else(|| panic!("{name}: {result}"));
    assert_eq!((metric("training_images/all"), metric("training_images/warm")), (30.0, 20.0));
    assert!((metric("accuracy") - (metric("accuracy/all") + metric("accuracy/warm")) / 2.0).abs() < 1e-12);
    // 50 images in batches of 6, four times
    assert_eq!(result["steps"], 36);
    for (task, classes, number) in [("all", 3, 0), ("warm", 2, 1)] {
        let point = &printed["points"][0]["tasks"][number];
        assert_eq!(
            (&point["task"], &point["together"]["mean"]),
            (&task.into(), &metric(&format!("accuracy/{task}")).into())
        );
        let alone = json(&scene.path(&format!("runs/both/alone/{task}/result.json")));
        assert_eq!(point["alone"]["mean"], alone["metrics"]["accuracy"]);
        // the model is one that other commands take, and measures the same
        let folder = scene.path(&format!("runs/both/together/tasks/{task}"));
        let model = folder.display().to_string();
        let evaluated = scene.run(&["evaluate", "--model", &model, "--data", "data", "--device", "cpu", "--json"]);
        if task == "all" {
            succeed(&evaluated);
            let evaluation: serde_json::Value = serde_json::from_slice(&evaluated.stdout).expect("JSON");
            assert_eq!(evaluation["accuracy"], metric("accuracy/all"));
        }
        assert_eq!(json(&folder.join("evaluation.json"))["classes"].as_array().map(Vec::len), Some(classes));
        for plot in ["confusion", "reliability", "mistakes"] {
            assert!(image::open(folder.join(format!("plots/{plot}.png"))).is_ok(), "{plot}");
        }
        let inspected = scene.run(&["inspect", &model]);
        let text = String::from_utf8_lossy(&inspected.stdout).into_owned();
        assert!(text.contains("conv1") && !text.contains("tasks."), "{text}");
    }
    assert!(image::open(scene.path("runs/both/together/plots/curves.png")).is_ok());
    let tuned =
        ["finetune", "--data", "data", "--model", "runs/both/together/tasks/warm", "--device", "cpu", "--quiet"];
    succeed(&scene.run(&[&tuned[..], &["--epochs", "1", "--out", "runs/tuned"]].concat()));
    succeed(&scene.run(&["export", "runs/both/together/tasks/all", "--out", "all.pt"]));
    // what is done is not done again
    let before = std::fs::metadata(scene.path("runs/both/together/result.json")).expect("a file").modified().ok();
    succeed(&multitask(&scene, "runs/both", &more));
    assert_eq!(
        std::fs::metadata(scene.path("runs/both/together/result.json")).expect("a file").modified().ok(),
        before
    );
    let other = multitask(&scene, "runs/both", &["--own", "none", "--epochs", "4"]);
    assert!(other.status.code() == Some(2) && stderr(&other).contains("other options"), "{}", stderr(&other));
}

#[test]
fn alone_it_is_fine_tuning_to_the_bit() {
    let scene = Scene::new(10);
    // 30 and 20 images in batches of 5, varied and mixed
    let common = ["--model", "small_cnn", "--from-scratch", "--device", "cpu", "--quiet", "--batch-size", "5"];
    let more =
        ["--epochs", "3", "--mixup", "0.2", "--label-smoothing", "0.1", "--dropout", "0.2", "--lr-scale", "head=3"];
    let tasks = ["multitask", "--task", "all=data", "--task", "warm=data,classes=red+green", "--out", "runs/both"];
    succeed(&scene.run(&[&tasks[..], &common, &more, &["--own", "last:1", "--task-weights", "uncertainty"]].concat()));
    let tuned = ["finetune", "--data", "data", "--out", "runs/tuned"];
    succeed(&scene.run(&[&tuned[..], &common, &more].concat()));
    let [alone, tuned] =
        ["both/alone/all/tasks/all", "tuned"].map(|run| scene.path(&format!("runs/{run}/model.safetensors")));
    assert!(bytes(&alone) == bytes(&tuned));
}

/// The bytes of the models of all tasks, and of the last checkpoint with what weighs the tasks.
fn models(run: &Path) -> Vec<Vec<u8>> {
    let files = ["tasks/all/model.safetensors", "tasks/warm/model.safetensors", "checkpoints/last/model.safetensors"];
    files.iter().map(|file| bytes(&run.join(file))).collect()
}

#[test]
fn killed_and_started_again_it_ends_in_the_same_bytes() {
    let scene = Scene::new(10);
    for (number, rule) in ["gradnorm", "uncertainty"].into_iter().enumerate() {
        let more = [
            "--task-weights",
            rule,
            "--own",
            "first:1",
            "--epochs",
            "6",
            "--checkpoint-every",
            "1",
            "--no-baselines",
            "--sampling",
            "temperature=2",
            "--ema",
            "0.9",
            "--log-every",
            "1",
            "--min-steps",
            "35",
        ];
        let [whole, killed] = ["whole", "killed"].map(|name| format!("runs/{name}-{number}"));
        succeed(&multitask(&scene, &whole, &more));
        scene.kill_at(&words(&killed, &more), &format!("{killed}/together/checkpoints/last/state.json"));
        assert!(!scene.path(&killed).join("together/result.json").exists(), "killed too late to show anything");
        succeed(&multitask(&scene, &killed, &more));
        let [whole, killed] = [whole, killed].map(|run| scene.path(&run).join("together"));
        assert!(models(&whole) == models(&killed), "{rule}");
        assert_eq!(json(&whole.join("result.json"))["metrics"], json(&killed.join("result.json"))["metrics"]);
        let log = String::from_utf8(bytes(&killed.join("metrics.jsonl"))).expect("text");
        for part in ["loss/all", "loss/warm", "weight/all", "accuracy/warm"] {
            assert!(log.contains(&format!("\"{part}\":")), "{part}: {log}");
        }
        // for both tasks 70 steps, in 6 epochs of 12, though 50 images are seen in 9
        assert_eq!(json(&whole.join("result.json"))["steps"], 72);
    }
}

#[test]
fn a_curve_over_shares_has_a_run_for_each_seed_and_a_picture() {
    let scene = Scene::new(8);
    let more = ["--shares", "1,0.25", "--seeds", "2", "--min-steps", "3", "--epochs", "2"];
    let run = multitask(&scene, "runs/curve", &more);
    succeed(&run);
    let text = String::from_utf8(run.stdout).expect("text");
    assert!(text.contains("25 %") && text.contains("100 %") && text.contains("mean"), "{text}");
    let found = json(&scene.path("runs/curve/multitask.json"));
    let images = |point: usize| found["points"][point]["tasks"][2]["images"].as_u64();
    assert_eq!((images(0), images(1)), (Some(6 + 4), Some(24 + 16)));
    assert_eq!(found["points"][0]["steps_together"], 6);
    assert_eq!(found["points"][1]["tasks"][0]["alone"]["values"].as_array().map(Vec::len), Some(2));
    assert!(image::open(scene.path("runs/curve/multitask.png")).expect("a picture").width() >= 3600);
    assert!(scene.path("runs/curve/share-0.25/seed-1/alone/warm/tasks/warm/model.safetensors").is_file());
}

#[test]
fn what_makes_no_sense_is_said_before_anything_is_trained() {
    let scene = Scene::new(4);
    let module = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/torchscript/scripted.pt");
    let small = ["--model", "small_cnn", "--from-scratch", "--device", "cpu", "--quiet", "--out", "runs/refused"];
    let two = ["--task", "a=data", "--task", "b=data"];
    for (more, part) in [
        (vec!["--task", "a=data"], "1 --task given; at least 2"),
        (vec!["--task", "a=data", "--task", "a=data"], "two tasks have this name"),
        (vec!["--task", "a=data", "--task", "b"], "names no folder"),
        ([&two[..], &["--own", "conv9"]].concat(), "--own conv9"),
        ([&two[..], &["--own", "all"]].concat(), "leaves no stage"),
        ([&two[..], &["--sampling", "temperature=0"]].concat(), "temperature=T with a T above 0"),
        ([&two[..], &["--task-weights", "gradnorm=x"]].concat(), "gradnorm=EXPONENT"),
        (
            [&two[..], &["--task-weights", "gradnorm", "--freeze", "all", "--freeze-random"]].concat(),
            "no shared stage learns",
        ),
        ([&two[..], &["--batch-size", "1"]].concat(), "at least 2"),
        ([&two[..], &["--shares", "2"]].concat(), "--shares 2 must be"),
        ([&two[..], &["--conserve", "weights"]].concat(), "--conserve"),
        ([&two[..], &["--freeze", "first:1"]].concat(), "would freeze random weights"),
    ] {
        let refused = scene.run(&[&["multitask"], &small[..], &more].concat());
        let message = stderr(&refused);
        assert!(refused.status.code() == Some(2) && message.contains(part), "{part}: {message}");
        assert!(!scene.path("runs/refused/together/checkpoints/last").exists());
    }
    let missing = scene.run(&[&["multitask", "--task", "c=nowhere"], &small[..], &two].concat());
    assert!(!missing.status.success() && stderr(&missing).contains("nowhere"), "{}", stderr(&missing));
    let whole =
        ["multitask", "--model", module, "--image-size", "32", "--device", "cpu", "--quiet", "--out", "runs/module"];
    let refused = scene.run(&[&whole[..], &two].concat());
    assert!(stderr(&refused).contains("runs as a whole"), "{}", stderr(&refused));
}
