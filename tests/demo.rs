//! `regraft demo`, as small as it gets: it needs nothing but the weights that the set-up has fetched.

use std::path::Path;
use std::process::{Command, Stdio};

use super::support::{Scene, bytes, json, stderr, succeed};

const METHODS: [&str; 3] = ["scratch-1", "frozen-1", "fine-tuned-1"];

/// The demo at its smallest, in an empty folder, with a cache of its own that has the published weights in it.
fn demo(scene: &Scene, epochs: &str, more: &[&str]) -> Command {
    let words = ["demo", "--shots", "1", "--epochs", epochs, "--image-size", "32", "--device", "cpu"];
    let cache = scene.path("cache");
    if !cache.exists() {
        let weights = regraft::models::cache::locate("efficientnet_lite0")
            .expect("the weights of efficientnet_lite0 are not in the cache: run `make setup` first");
        std::fs::create_dir(&cache).expect("a folder");
        std::fs::copy(&weights, cache.join(weights.file_name().expect("a file"))).expect("a copy");
    }
    scene.command(&[&words[..], more].concat())
}

#[test]
fn it_compares_three_ways_and_repeats_nothing() {
    let scene = Scene::new(1);
    let output = demo(&scene, "1", &[]).output().expect("the program starts");
    succeed(&output);
    let text = String::from_utf8(output.stdout).expect("text");
    let picture = image::open(scene.path("runs/demo/learning-curve.png")).expect("a picture");
    assert!(picture.width() > 1000, "{}", picture.width());

    // What it prints is what the runs found.
    let found = json(&scene.path("runs/demo/demo.json"));
    assert_eq!(found["runs"].as_array().expect("a list").len(), 3);
    for (run, name) in found["runs"].as_array().expect("a list").iter().zip(METHODS) {
        let folder = scene.path("runs/demo").join(name);
        let result = json(&folder.join("result.json"));
        assert_eq!(run["accuracy"], result["metrics"]["accuracy"]);
        let shown = format!("{:.1}", run["accuracy"].as_f64().expect("a number") * 100.0);
        assert!(text.contains(&shown), "{shown} is not in\n{text}");
        assert!(has_events(&folder), "{name} has nothing for TensorBoard");
    }

    // The command that it recommends for the best model works.
    let line = text.lines().find(|line| line.contains("regraft evaluate")).expect("a recommendation");
    let words: Vec<&str> = line.split_whitespace().skip(1).chain(["--device", "cpu", "--json"]).collect();
    let mut evaluate = scene.command(&words);
    succeed(&evaluate.output().expect("the program starts"));

    // Again: finished runs stay, one that is gone is done anew and comes to the same bytes.
    let model = |name: &str| scene.path("runs/demo").join(name).join("model.safetensors");
    let before = bytes(&model("fine-tuned-1"));
    let kept = model("scratch-1").metadata().expect("a file").modified().expect("a time");
    std::fs::remove_dir_all(scene.path("runs/demo/fine-tuned-1")).expect("removed");
    succeed(&demo(&scene, "1", &["--quiet"]).output().expect("the program starts"));
    assert!(bytes(&model("fine-tuned-1")) == before);
    assert_eq!(model("scratch-1").metadata().expect("a file").modified().expect("a time"), kept);

    // Other options would mix two demos.
    let refused = demo(&scene, "1", &["--seed", "1"]).output().expect("the program starts");
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("other options"), "{}", stderr(&refused));
}

#[test]
fn interrupted_it_goes_on_when_started_again() {
    let scene = Scene::new(1);
    let long = || demo(&scene, "3", &["--quiet"]);
    let mut child = long().stderr(Stdio::piped()).spawn().expect("it starts");
    let log = scene.path("runs/demo/scratch-1/metrics.jsonl");
    while !std::fs::read_to_string(&log).is_ok_and(|log| log.contains("\"event\":\"started\"")) {
        assert!(child.try_wait().expect("its state").is_none(), "it ended before it had started");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.expect("kill runs").success());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("the same command goes on"), "{}", stderr(&output));
    succeed(&long().output().expect("the program starts"));
    for name in METHODS {
        assert!(scene.path("runs/demo").join(name).join("result.json").is_file(), "{name} is not finished");
    }
}

fn has_events(folder: &Path) -> bool {
    let mut entries = std::fs::read_dir(folder).expect("a folder").flatten();
    entries.any(|entry| entry.file_name().to_string_lossy().starts_with("events.out.tfevents"))
}
