//! `regraft finetune`, `evaluate`, `predict` and `inspect` on a folder of images.

use super::support::{Scene, bytes, json, stderr, succeed};

#[test]
fn a_run_learns_and_leaves_what_was_promised() {
    let scene = Scene::new(12);
    succeed(&scene.finetune("run", &["--epochs", "12", "--lr", "0.001", "--calibrate", "--no-augment"]));
    let run = scene.path("runs/run");
    let result = json(&run.join("result.json"));
    assert!(result["metrics"]["accuracy"].as_f64().unwrap() > 0.9, "{result}");
    assert_eq!(result["method"], "finetune");
    for file in ["config.json", "metrics.jsonl", "model.safetensors", "checkpoints/last/state.json"] {
        assert!(run.join(file).is_file(), "{file}");
    }
    for plot in ["confusion.png", "reliability.png", "curves.png"] {
        image::open(run.join("plots").join(plot)).unwrap_or_else(|error| panic!("{plot}: {error}"));
    }
    let events = std::fs::read_dir(&run).unwrap().filter_map(Result::ok);
    assert!(events.into_iter().any(|file| file.file_name().to_string_lossy().contains("tfevents")));

    let evaluated = scene.run(&["evaluate", "--model", "runs/run", "--data", "data", "--device", "cpu", "--json"]);
    succeed(&evaluated);
    let evaluation: serde_json::Value = serde_json::from_slice(&evaluated.stdout).expect("JSON");
    assert_eq!(evaluation["accuracy"], result["metrics"]["accuracy"]);

    let image = "data/val/green/001.png";
    let predicted = scene.run(&["predict", "--model", "runs/run", image, "--device", "cpu", "--json", "--top", "2"]);
    succeed(&predicted);
    let answers: serde_json::Value = serde_json::from_slice(&predicted.stdout).expect("JSON");
    assert_eq!(answers[0]["classes"][0]["class"], "green");
    assert_eq!(answers[0]["classes"].as_array().unwrap().len(), 2);

    // the fitted temperature is in both
    let images: Vec<String> = ["blue", "green", "red"]
        .iter()
        .flat_map(|class| (0..4).map(move |number| format!("data/val/{class}/{number:03}.png")))
        .collect();
    let mut words = vec!["predict", "--model", "runs/run", "--device", "cpu", "--json"];
    words.extend(images.iter().map(String::as_str));
    let predicted = scene.run(&words);
    succeed(&predicted);
    let answers: serde_json::Value = serde_json::from_slice(&predicted.stdout).expect("JSON");
    let mean = images.iter().zip(answers.as_array().unwrap()).map(|(image, answer)| {
        let mut guesses = answer["classes"].as_array().unwrap().iter();
        let right = guesses.find(|guess| image.contains(guess["class"].as_str().unwrap())).unwrap();
        -right["probability"].as_f64().unwrap().ln() / images.len() as f64
    });
    let expected = evaluation["negative_log_likelihood"].as_f64().unwrap();
    let mean: f64 = mean.sum();
    assert!((mean - expected).abs() < 1e-4 * expected.max(0.01), "{mean} {expected}");

    let inspected = scene.run(&["inspect", "runs/run", "--select", "last:1,head"]);
    succeed(&inspected);
    let text = String::from_utf8_lossy(&inspected.stdout).into_owned();
    assert!(text.contains("conv5") && text.contains("small_cnn") && text.contains("selected"), "{text}");
}

#[test]
fn the_same_configuration_gives_the_same_bytes() {
    let scene = Scene::new(5);
    succeed(&scene.finetune("first", &["--epochs", "2", "--seed", "7", "--workers", "1"]));
    let config = scene.path("runs/first/config.json").display().to_string();
    let again = ["finetune", "--config", &config, "--out", "runs/second", "--workers", "3", "--quiet"];
    succeed(&scene.run(&again));
    let model = |name: &str| bytes(&scene.path(&format!("runs/{name}/model.safetensors")));
    assert!(model("first") == model("second"));
    let other = ["finetune", "--config", &config, "--out", "runs/third", "--seed", "8", "--quiet"];
    succeed(&scene.run(&other));
    assert!(model("first") != model("third"));
}

#[test]
fn a_profile_says_where_the_time_went_and_changes_nothing() {
    let scene = Scene::new(5);
    succeed(&scene.finetune("plain", &["--epochs", "2"]));
    let profiled = scene.finetune("profiled", &["--epochs", "2", "--profile", "4"]);
    succeed(&profiled);
    assert_eq!(stderr(&profiled), "");
    let run = scene.path("runs/profiled");
    let table = String::from_utf8(bytes(&run.join("profile.txt"))).expect("text");
    for row in ["data", "forward", "backward", "optimizer", "assessment", "aten::convolution_backward"] {
        assert!(table.contains(row), "{table}");
    }
    let trace = json(&run.join("profile.pt.trace.json"));
    let count = |name: &str| trace["traceEvents"].as_array().unwrap().iter().filter(|e| e["name"] == name).count();
    assert_eq!((count("step: backward"), count("step: assessment")), (4, 1));
    assert!(bytes(&scene.path("runs/plain/model.safetensors")) == bytes(&run.join("model.safetensors")));
}

#[test]
fn a_frozen_backbone_trains_on_features_that_are_computed_once() {
    let scene = Scene::new(6);
    succeed(&scene.finetune("source", &["--epochs", "1"]));
    let words = ["--weights", "runs/source/model.safetensors", "--freeze", "all", "--no-augment", "--epochs", "3"];
    succeed(&scene.finetune("features", &words));
    let models = std::fs::read_dir(scene.path("cache/features")).expect("a cache");
    assert_eq!(models.count(), 1);
    let fewer = scene.finetune("fewer", &[&words[..], &["--shots", "2"]].concat());
    succeed(&fewer);
    let log = std::fs::read_to_string(scene.path("runs/fewer/metrics.jsonl")).expect("a log");
    assert!(log.contains("features of 6 images come from") && !log.contains("computed once"), "{log}");
    // Without the cache the same numbers come out of the images themselves.
    let kept = bytes(&scene.path("runs/features/model.safetensors"));
    std::fs::remove_dir_all(scene.path("cache")).expect("it can be removed");
    succeed(&scene.finetune("again", &words));
    assert!(kept == bytes(&scene.path("runs/again/model.safetensors")));
}

#[test]
fn what_frozen_stages_make_is_computed_once_even_while_later_ones_learn() {
    let scene = Scene::new(6);
    succeed(&scene.finetune("source", &["--epochs", "1"]));
    let run = |name: &str, more: &[&str]| {
        let mut words = vec!["--weights", "runs/source/model.safetensors", "--epochs", "3"];
        if !more.contains(&"--freeze") {
            words.extend(["--freeze", "first:3"]);
        }
        succeed(&scene.finetune(name, &[&words[..], more].concat()));
        std::fs::read_to_string(scene.path(&format!("runs/{name}/metrics.jsonl"))).expect("a log")
    };
    // varied images are other images in every epoch, but those of the validation are not
    let log = run("varied", &[]);
    assert!(log.contains("features of 12 images computed once") && !log.contains("features of 18"), "{log}");
    let log = run("same", &["--no-augment"]);
    assert!(log.contains("features of 18 images computed once") && log.contains("features of 12 images come"), "{log}");
    // the cache of a whole backbone is another one
    let log = run("all", &["--no-augment", "--freeze", "all"]);
    assert!(log.contains("features of 18 images computed once"), "{log}");
    let same = bytes(&scene.path("runs/same/model.safetensors"));
    std::fs::remove_dir_all(scene.path("cache")).expect("it can be removed");
    run("again", &["--no-augment"]);
    assert!(same == bytes(&scene.path("runs/again/model.safetensors")));
}

#[test]
fn one_shot_prototypes_need_no_training() {
    let scene = Scene::new(6);
    succeed(&scene.finetune("source", &["--epochs", "10", "--lr", "0.001", "--no-augment"]));
    let words = ["--weights", "runs/source/model.safetensors", "--freeze", "all", "--no-augment"];
    let mut words = words.to_vec();
    words.extend(["--head", "prototype", "--shots", "1"]);
    succeed(&scene.finetune("prototypes", &words));
    let result = json(&scene.path("runs/prototypes/result.json"));
    assert_eq!(result["steps"], 0);
    assert!(result["metrics"]["accuracy"].as_f64().unwrap() > 0.6, "{result}");
}

#[test]
fn several_seeds_give_a_spread() {
    let scene = Scene::new(5);
    let output = scene.finetune("runs", &["--epochs", "1", "--seeds", "2"]);
    succeed(&output);
    let summary = json(&scene.path("runs/runs/seeds.json"));
    assert_eq!(summary["seeds"], serde_json::json!([0, 1]));
    assert_eq!(summary["metrics"]["accuracy"]["values"].as_array().unwrap().len(), 2);
}

#[test]
fn the_learning_rate_finder_draws_its_curve() {
    let scene = Scene::new(8);
    let output = scene.finetune("rate", &["--lr-find", "--json"]);
    succeed(&output);
    let curve: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(curve["suggestion"].as_f64().unwrap() > 0.0, "{}", stderr(&output));
    image::open(scene.path("runs/rate/plots/lr_find.png")).expect("a plot");
}
