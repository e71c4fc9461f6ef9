//! A run that was killed at any moment and resumed ends with the same bytes as one that was not.

use std::time::Duration;

use super::support::{Scene, bytes, finetune_words, json, stderr, succeed};

/// Everything that could be forgotten: momentum, averages, the schedule, unfreezing, accumulation, mixing, erasing.
const OPTIONS: &[&str] = &[
    "--model",
    "mobilenet_v3_small",
    "--epochs",
    "4",
    "--accumulate",
    "2",
    "--ema",
    "0.9",
    "--unfreeze-at",
    "2:stage5",
    "--clip-grad",
    "1",
    "--mixup",
    "0.2",
    "--random-erasing",
    "0.3",
    "--checkpoint-every",
    "1",
    "--dropout",
    "0.2",
    "--log-every",
    "1",
    "--lr",
    "0.01",
];

fn options() -> Vec<&'static str> {
    // Frozen layers need weights that are worth keeping, or the options are refused: they come from a first run.
    let mut options = OPTIONS.to_vec();
    options.extend(["--weights", "runs/source/model.safetensors", "--freeze", "stage4,stage5"]);
    options
}

#[test]
fn killed_at_any_moment_and_resumed_it_ends_in_the_same_bytes() {
    let scene = Scene::new(10);
    succeed(&scene.finetune("source", &["--epochs", "1", "--model", "mobilenet_v3_small"]));
    succeed(&scene.finetune("whole", &options()));
    let expected = bytes(&scene.path("runs/whole/model.safetensors"));
    let data = scene.data();
    for delay in [900, 1300, 1700] {
        let run = format!("runs/killed-{delay}");
        let mut child = scene.command(&finetune_words(&data, &run, &options())).spawn().expect("it starts");
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
        // A kill between two renames leaves the checkpoint before under its other name.
        let checkpoint = ["last", "last.old"].map(|name| scene.path(&run).join("checkpoints").join(name).exists());
        if checkpoint == [false, false] {
            // Killed before the first checkpoint, or before there was a run at all: it says so.
            let expected = match scene.path(&run).join("config.json").exists() {
                true => "no checkpoint",
                false => "config.json",
            };
            let refused = scene.run(&["finetune", "--resume", &run, "--quiet"]);
            assert!(stderr(&refused).contains(expected), "{}", stderr(&refused));
            continue;
        }
        succeed(&scene.run(&["finetune", "--resume", &run, "--quiet"]));
        assert!(bytes(&scene.path(&run).join("model.safetensors")) == expected, "killed after {delay} ms");
        let log = std::fs::read_to_string(scene.path(&run).join("metrics.jsonl")).expect("a log");
        let whole = std::fs::read_to_string(scene.path("runs/whole/metrics.jsonl")).expect("a log");
        assert_eq!(steps(&log), steps(&whole));
    }
}

/// Which steps the log has lines for, in order.
fn steps(log: &str) -> Vec<u64> {
    let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("a line of JSON");
    log.lines().map(line).filter(|line| line["event"] == "step").map(|line| line["step"].as_u64().unwrap()).collect()
}

#[test]
fn epochs_without_an_assessment_change_nothing_but_the_log() {
    let scene = Scene::new(10);
    // 5 epochs: the second and the fourth are assessed because it is their turn, the fifth because it is the last.
    let options = ["--epochs", "5", "--keep", "last"];
    succeed(&scene.finetune("every", &options));
    succeed(&scene.finetune("second", &[&options[..], &["--eval-every", "2"]].concat()));
    let log = |run: &str| std::fs::read_to_string(scene.path(run).join("metrics.jsonl")).expect("a log");
    assert_eq!(assessed(&log("runs/every")), [0, 1, 2, 3, 4]);
    assert_eq!(assessed(&log("runs/second")), [1, 3, 4]);
    let model = |run: &str| bytes(&scene.path(run).join("model.safetensors"));
    assert!(model("runs/every") == model("runs/second"));
    for wrong in [&["--eval-every", "0"][..], &["--eval-every", "2", "--schedule", "plateau"]] {
        let refused = scene.finetune("refused", wrong);
        assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
        assert!(stderr(&refused).contains("--eval-every"), "{}", stderr(&refused));
    }
}

/// The epochs whose line in the log has measures of the validation images.
fn assessed(log: &str) -> Vec<u64> {
    let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("a line of JSON");
    let is_assessed = |line: &serde_json::Value| {
        line["event"] == "epoch" && line["validation"].as_object().is_some_and(|measures| !measures.is_empty())
    };
    log.lines().map(line).filter(is_assessed).map(|line| line["epoch"].as_u64().unwrap()).collect()
}

#[test]
fn an_interrupted_run_saves_says_so_and_goes_on() {
    let scene = Scene::new(10);
    let data = scene.data();
    let words = finetune_words(&data, "runs/interrupted", &["--epochs", "300"]);
    let mut child = scene.command(&words).stderr(std::process::Stdio::piped()).spawn().expect("it starts");
    let log = scene.path("runs/interrupted/metrics.jsonl");
    while !std::fs::read_to_string(&log).is_ok_and(|log| log.contains("\"event\":\"step\"")) {
        assert!(child.try_wait().expect("its state").is_none(), "it ended before its first step");
        std::thread::sleep(Duration::from_millis(50));
    }
    let interrupt = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.expect("kill runs").success());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("--resume"), "{}", stderr(&output));
    let state = json(&scene.path("runs/interrupted/checkpoints/last/state.json"));
    assert!(state["step"].as_u64().unwrap() > 0);
}
