//! The transfer table: every task as a source for every task, with its forecast.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::SystemTime;

use serde_json::Value;

use super::support::{Scene, bytes, json, stderr, succeed};

/// Three tasks of a few images: colours, two of them under other names, and two more without a `val/`.
fn scene() -> Scene {
    let scene = Scene::new(6);
    let copy = |from: &str, to: &str| {
        let (from, to) = (scene.path(from), scene.path(to));
        std::fs::create_dir_all(&to).expect("a folder");
        for file in std::fs::read_dir(from).expect("a folder").filter_map(Result::ok) {
            std::fs::copy(file.path(), to.join(file.file_name())).expect("a copy");
        }
    };
    for (from, to) in [("blue", "cold"), ("red", "warm")] {
        ["train", "val"].iter().for_each(|split| copy(&format!("data/{split}/{from}"), &format!("heat/{split}/{to}")));
    }
    for colour in ["blue", "green"] {
        copy(&format!("data/train/{colour}"), &format!("sea/{colour}"));
    }
    scene
}

const TASKS: [&str; 3] = ["colours=data,size=32", "heat=heat", "sea=sea"];

fn words<'a>(tasks: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["matrix", "--out", "table", "--model", "small_cnn", "--from-scratch", "--device", "cpu"];
    words.extend(["--batch-size", "4", "--quiet", "--epochs", "1", "--shots", "2", "--workers", "1"]);
    tasks.iter().for_each(|task| words.extend(["--task", task]));
    words.extend(more);
    words
}

fn matrix(scene: &Scene, tasks: &[&str], more: &[&str]) -> Output {
    scene.run(&words(tasks, more))
}

/// All files of the runs and forecasts below the table's folder, with what tells whether they were touched.
fn files(folder: &Path) -> Vec<(PathBuf, SystemTime, Vec<u8>)> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).expect("a folder").filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let changed = entry.metadata().expect("a file").modified().expect("a time");
            found.push((path.clone(), changed, bytes(&path)));
        }
    }
    found.sort();
    found
}

fn runs(scene: &Scene) -> Vec<(PathBuf, SystemTime, Vec<u8>)> {
    ["sources", "alone", "transfers", "forecasts"]
        .iter()
        .flat_map(|part| files(&scene.path("table").join(part)))
        .collect()
}

#[test]
fn the_table_is_complete_and_is_not_made_twice() {
    let scene = scene();
    let output = matrix(&scene, &TASKS, &["--source-epochs", "2"]);
    succeed(&output);
    let text = String::from_utf8(output.stdout).expect("text");
    let found = json(&scene.path("table/matrix.json"));
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{value} is no number"));

    // every number of the table is that of its runs
    let [tasks, transfers] = ["tasks", "transfers"].map(|name| list(&found[name]));
    assert_eq!((tasks.len(), transfers.len()), (3, 9));
    let accuracy = |folder: &Value| {
        let file = scene.path(folder.as_str().expect("a folder")).join("result.json");
        number(&json(&file)["metrics"]["accuracy"])
    };
    for task in &tasks {
        for kind in ["source", "alone"] {
            for (folder, value) in list(&task[kind]["folders"]).iter().zip(list(&task[kind]["accuracy"]["values"])) {
                assert_eq!(accuracy(folder), number(&value));
            }
        }
    }
    for (index, pair) in transfers.iter().enumerate() {
        let (source, target) = (&tasks[index / 3], &tasks[index % 3]);
        assert_eq!((&pair["source"], &pair["target"]), (&source["name"], &target["name"]));
        assert_eq!(pair["same_task"], source["name"] == target["name"]);
        let [folders, values, gains] =
            [&pair["folders"], &pair["accuracy"]["values"], &pair["gain"]["values"]].map(list);
        assert_eq!((folders.len(), values.len(), list(&pair["forecasts"]).len()), (1, 1, 1));
        let alone = number(&target["alone"]["accuracy"]["values"][0]);
        assert_eq!(accuracy(&folders[0]), number(&values[0]));
        assert!((number(&gains[0]) - (number(&values[0]) - alone)).abs() < 1e-12);
        // as many steps as the target alone, from what its source learned
        let of_run = |folder: &Value, file: &str, key: &str| {
            json(&scene.path(folder.as_str().expect("a folder")).join(file))[key].clone()
        };
        let (from, own) = (&source["source"]["folders"][0], &target["alone"]["folders"][0]);
        assert_eq!(&of_run(&folders[0], "config.json", "model"), from);
        assert_eq!(of_run(&folders[0], "config.json", "backbone_lr"), of_run(own, "config.json", "backbone_lr"));
        assert_eq!(of_run(&folders[0], "result.json", "steps"), of_run(own, "result.json", "steps"));
        for score in ["log_me", "shrunk_h_score", "h_score", "leep", "nce"] {
            assert!(number(&pair["forecasts"][0][score]).is_finite(), "{score}: {pair}");
        }
    }
    // 6 images of each colour: a fifth is held out where there is no val/, whatever is learned from
    assert_eq!((&tasks[0]["target"], &tasks[0]["validation"]), (&6.into(), &12.into()));
    assert_eq!((&tasks[2]["target"], &tasks[2]["validation"]), (&4.into(), &2.into()));
    let validation = |folder: &str| -> Vec<u64> {
        let evaluation = json(&scene.path("table").join(folder).join("evaluation.json"));
        list(&evaluation["classes"]).iter().map(|class| class["support"].as_u64().expect("a count")).collect()
    };
    for folder in ["sources/sea-seed-0", "alone/sea-seed-0", "transfers/heat/sea-seed-0", "transfers/sea/sea-seed-0"] {
        assert_eq!(validation(folder), [1, 1], "{folder}");
    }
    let scores: Vec<Value> = list(&found["forecast"]).iter().map(|one| one["score"].clone()).collect();
    assert_eq!(scores, ["log_me", "shrunk_h_score", "h_score", "leep", "nce"]);
    for part in ["alone", "Gain over", "LogME", "LEEP", "Spearman", "points lost"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    for plot in ["heat-map", "forecast"] {
        let picture = image::open(scene.path(&format!("table/plots/{plot}.png"))).expect("a picture");
        assert!(picture.width() > 1000, "{}", picture.width());
    }

    // again: nothing is touched, and the same is found
    let before = runs(&scene);
    assert_eq!(before.iter().filter(|(path, ..)| path.ends_with("result.json")).count(), 3 + 3 + 9);
    let again = matrix(&scene, &TASKS, &["--source-epochs", "2", "--json"]);
    succeed(&again);
    assert!(runs(&scene) == before);
    let again: Value = serde_json::from_slice(&again.stdout).expect("JSON");
    assert_eq!(again, found);
    assert_eq!(again, json(&scene.path("table/matrix.json")));

    // a run that is gone comes back with the same bytes
    let model = scene.path("table/transfers/heat/sea-seed-0/model.safetensors");
    let learned = bytes(&model);
    std::fs::remove_dir_all(model.parent().expect("a folder")).expect("removed");
    // other options would mix two tables
    let refused = matrix(&scene, &TASKS, &["--source-epochs", "2", "--label-smoothing", "0.1"]);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("--force"), "{}", stderr(&refused));
    succeed(&matrix(&scene, &TASKS, &["--source-epochs", "2"]));
    assert!(bytes(&model) == learned);
}

#[test]
fn force_starts_over_with_other_options() {
    let scene = scene();
    succeed(&matrix(&scene, &TASKS[..2], &[]));
    let config = || json(&scene.path("table/transfers/heat/colours-seed-0/config.json"))["label_smoothing"].clone();
    assert_eq!(config(), 0.0);
    let forced = matrix(&scene, &TASKS[..2], &["--label-smoothing", "0.1", "--seeds", "2", "--force"]);
    succeed(&forced);
    assert_eq!(config(), 0.1);
    // two tasks leave nothing to order
    let text = String::from_utf8(forced.stdout).expect("text");
    assert!(text.contains("no order to forecast") && !text.contains("forecast.png"), "{text}");
    let found = json(&scene.path("table/matrix.json"));
    assert_eq!(found["seeds"], serde_json::json!([0, 1]));
    // every seed has runs of its own, and a gain over the target alone with the same seed
    let pair = &found["transfers"][2];
    assert_eq!((&pair["source"], &pair["target"]), (&"heat".into(), &"colours".into()));
    for seed in 0..2 {
        assert!(pair["folders"][seed].as_str().expect("a folder").ends_with(&format!("heat/colours-seed-{seed}")));
        let [with, without] = [&pair["accuracy"], &found["tasks"][0]["alone"]["accuracy"]]
            .map(|accuracy| accuracy["values"][seed].as_f64().expect("a number"));
        assert!((pair["gain"]["values"][seed].as_f64().expect("a number") - (with - without)).abs() < 1e-12);
    }
    assert_eq!(found["forecast"][0]["pairs"]["all"], 0);
    assert!(found["forecast"][0]["spearman"].is_null());
}

#[test]
fn what_makes_no_table_is_said_before_anything_is_learned() {
    let scene = scene();
    let message = |tasks: &[&str], more: &[&str]| {
        let output = matrix(&scene, tasks, more);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(!scene.path("table/sources").exists());
        stderr(&output)
    };
    assert!(message(&TASKS[..1], &[]).contains("1 --task given; at least 2"));
    assert!(message(&TASKS, &["--data", "data"]).contains("--data is for one task"));
    assert!(message(&["a=data", "a=heat"], &[]).contains("two tasks have this name"));
    let unknown = message(&["a=data,classes=blue+pink", "b=heat"], &[]);
    assert!(unknown.contains("--task a") && unknown.contains("\"pink\" is none of"), "{unknown}");
    let few = message(&["a=sea,shots=6", "b=heat"], &[]);
    assert!(few.contains("--task a: class \"blue\" has only 5 image(s) besides those that are held out"), "{few}");
    assert!(message(&TASKS, &["--seeds", "0", "--head", "keep"]).contains("--head keep"));
}
