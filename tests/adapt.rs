//! Domain adaptation: what carries over without a label of the target, and that none is seen.

use std::path::Path;
use std::process::Output;

use regraft::models::formats::{StateDict, write_safetensors};
use serde_json::Value;
use tch::{Device, Kind, Tensor};

use super::support::{Scene, bytes, json, stderr, succeed};

const COMMON: [&str; 8] = ["--no-augment", "--device", "cpu", "--quiet", "--workers", "1", "--batch-size", "5"];

/// A target, and a network with batch norm.
const NORMED: [&str; 10] = [
    "--target",
    "data",
    "--model",
    "mobilenet_v3_small",
    "--image-size",
    "32",
    "--epochs",
    "1",
    "--head",
    "bottleneck",
];

fn adapt(scene: &Scene, out: &str, methods: &str, more: &[&str]) -> Output {
    scene.run(&adapt_words(out, methods, more))
}

fn adapt_words<'a>(out: &'a str, methods: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut words = [&["adapt", "--source", "data", "--out", out, "--methods", methods], &COMMON[..], more].concat();
    if !more.contains(&"--begin") {
        words.push("--from-scratch");
    }
    words
}

/// Writes IDX files: 8 × 8 grey images that are brighter the higher their class, and these labels.
fn write_idx(folder: &Path, part: &str, shown: &[u8], labels: &[u8], dark: u8) {
    std::fs::create_dir_all(folder).expect("a folder");
    let mut images = vec![0, 0, 8, 3];
    for size in [shown.len() as u32, 8, 8] {
        images.extend(size.to_be_bytes());
    }
    for (number, class) in shown.iter().enumerate() {
        images.extend((0..64u8).map(|pixel| dark + class * 60 + ((usize::from(pixel) * (number % 7 + 1)) % 30) as u8));
    }
    let mut list = vec![0, 0, 8, 1];
    list.extend((labels.len() as u32).to_be_bytes());
    list.extend(labels);
    std::fs::write(folder.join(format!("{part}-images-idx3-ubyte")), images).expect("a file");
    std::fs::write(folder.join(format!("{part}-labels-idx1-ubyte")), list).expect("a file");
    std::fs::write(folder.join("classes.txt"), "low\nmiddle\nhigh\n").expect("a file");
}

/// A source in the scene's `data`, and two targets with the same images and other labels.
fn grey(scene: &Scene) {
    std::fs::remove_dir_all(scene.path("data")).expect("the colours go");
    let classes: Vec<u8> = (0..30).map(|image| image % 3).collect();
    let turned: Vec<u8> = classes.iter().map(|class| (class + 1) % 3).collect();
    let same: Vec<u8> = vec![1; 30];
    for part in ["train", "t10k"] {
        write_idx(&scene.path("data"), part, &classes, &classes, 10);
        write_idx(&scene.path("true"), part, &classes, &classes, 60);
        write_idx(&scene.path("turned"), part, &classes, &turned, 60);
        write_idx(&scene.path("one"), part, &classes, &same, 60);
    }
}

/// The log of a run without times, and without what the labels of the target tell.
fn log(run: &Path) -> Vec<Value> {
    let text = String::from_utf8(bytes(&run.join("metrics.jsonl"))).expect("text");
    let clean = |line: &str| {
        let mut line: Value = serde_json::from_str(line).expect("JSON");
        let line_map = line.as_object_mut().expect("an object");
        ["time", "seconds", "images_per_second", "data_wait", "config"]
            .iter()
            .for_each(|key| drop(line_map.remove(*key)));
        if let Some(Value::Object(validation)) = line_map.get_mut("validation") {
            validation.retain(|name, _| !name.starts_with("oracle/"));
        }
        line
    };
    text.lines().map(clean).filter(|line| matches!(line["event"].as_str(), Some("step" | "epoch"))).collect()
}

#[test]
fn labels_of_the_target_change_nothing_but_the_oracle() {
    let scene = Scene::new(1);
    grey(&scene);
    let methods = "source-only,dann,cdan,mcc,self-training,mean-teacher,vada,sa,coral";
    let more =
        ["--model", "small_cnn", "--image-size", "12", "--epochs", "3", "--discriminator", "8", "--threshold", "0.4"];
    for target in ["true", "turned", "one"] {
        succeed(&adapt(&scene, &format!("runs/{target}"), methods, &[&more[..], &["--target", target]].concat()));
    }
    for method in methods.split(',') {
        let [right, turned, one] =
            ["true", "turned", "one"].map(|target| scene.path(&format!("runs/{target}/{method}/seed-0")));
        for other in [&turned, &one] {
            for file in
                ["model.safetensors", "checkpoints/last/model.safetensors", "checkpoints/best/model.safetensors"]
            {
                assert!(bytes(&right.join(file)) == bytes(&other.join(file)), "{method}: {file}");
            }
            assert_eq!(log(&right), log(other), "{method}");
            let results = [&right, other].map(|run| json(&run.join("result.json"))["metrics"].clone());
            let known = results.clone().map(|metrics| {
                let metrics = metrics.as_object().expect("an object").clone();
                metrics.into_iter().filter(|(name, _)| !name.starts_with("oracle/")).collect::<Vec<_>>()
            });
            assert_eq!(known[0], known[1], "{method}");
        }
        // the oracle does know: what is right for one set of labels is wrong for the other
        let oracle =
            |run: &Path| json(&run.join("result.json"))["metrics"]["oracle/accuracy"].as_f64().expect("a number");
        assert!(oracle(&right) + oracle(&turned) <= 1.0 && !log(&right).is_empty(), "{method}");
    }
}

#[test]
fn all_methods_stand_in_one_table() {
    let scene = Scene::new(6);
    let more =
        ["--target", "data", "--model", "small_cnn", "--image-size", "16", "--epochs", "1", "--discriminator", "8"];
    let output = adapt(&scene, "runs/all", "all", &[&more[..], &["--seeds", "2"]].concat());
    succeed(&output);
    let text = String::from_utf8(output.stdout).expect("text");
    for word in ["target (oracle)", "oracle: trained on target", "dirt-t", "±", "left out: ada-bn"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let found = json(&scene.path("runs/all/adapt.json"));
    let methods = found["methods"].as_array().expect("a list");
    assert_eq!((methods.len(), found["left_out"].as_array().map(Vec::len)), (16, Some(1)));
    for one in methods {
        let name = one["method"].as_str().expect("a name");
        for (number, seed) in ["seed-0", "seed-1"].into_iter().enumerate() {
            let result = json(&scene.path(&format!("runs/all/{name}/{seed}/result.json")));
            assert_eq!(result["metrics"]["oracle/accuracy"], one["oracle_target"]["values"][number], "{name}");
            assert_eq!(result["method"], name);
        }
    }
    assert!(image::open(scene.path("runs/all/adapt.png")).is_ok());
    for plot in ["curves", "features-before", "features-after"] {
        assert!(image::open(scene.path(&format!("runs/all/dann/seed-0/plots/{plot}.png"))).is_ok(), "{plot}");
    }
    let projector = String::from_utf8(bytes(&scene.path("runs/all/dann/seed-0/projector_config.pbtxt"))).expect("text");
    for file in projector.split('"').filter(|word| word.ends_with(".tsv")) {
        // 12 of the source's images, all 18 of the target's, and maybe a heading
        let lines = String::from_utf8(bytes(&scene.path(&format!("runs/all/dann/seed-0/{file}")))).expect("text");
        assert_eq!(lines.lines().count(), 30 + usize::from(file.ends_with("-labels.tsv")), "{file}");
    }
    // each is a model like any other
    succeed(&scene.run(&["predict", "--model", "runs/all/dann/seed-0", "data/val/red/000.png"]));
    succeed(&scene.run(&["evaluate", "--model", "runs/all/sa/seed-1", "--data", "data"]));
    // what is done is not done again
    let changed = || std::fs::metadata(scene.path("runs/all/vada/seed-1/result.json")).expect("a file").modified().ok();
    let before = changed();
    succeed(&adapt(&scene, "runs/all", "vada", &[&more[..], &["--seeds", "2"]].concat()));
    assert_eq!(changed(), before);
    let other = adapt(&scene, "runs/all", "vada", &[&more[..], &["--radius", "3"]].concat());
    assert!(other.status.code() == Some(2) && stderr(&other).contains("other options"), "{}", stderr(&other));
}

#[test]
fn the_statistics_of_the_target_take_the_place_of_the_sources() {
    let scene = Scene::new(6);
    succeed(&adapt(&scene, "runs/bn", "source-only,ada-bn", &NORMED));
    let [before, after] = ["source-only", "ada-bn"].map(|method| {
        let file = scene.path(&format!("runs/bn/{method}/seed-0/model.safetensors"));
        safetensors::SafeTensors::deserialize(&bytes(&file))
            .expect("safetensors")
            .tensors()
            .into_iter()
            .map(|(name, tensor)| (name, tensor.data().to_vec()))
            .collect::<std::collections::BTreeMap<_, _>>()
    });
    for (name, values) in &before {
        let moved =
            name.ends_with("running_mean") || name.ends_with("running_var") || name.ends_with("num_batches_tracked");
        assert_eq!(values != &after[name], moved, "{name}");
    }
}

#[test]
fn killed_and_started_again_it_ends_in_the_same_bytes() {
    let scene = Scene::new(10);
    let common = ["--target", "data", "--image-size", "16", "--discriminator", "8"];
    let long = ["--epochs", "6", "--checkpoint-every", "1", "--log-every", "1"];
    let network = ["--model", "small_cnn", "--dropout", "0.2"];
    let more = [&common[..], &long, &network].concat();
    // a teacher is part of the checkpoint too
    succeed(&adapt(&scene, "runs/whole", "dann,dirt-t,mean-teacher", &more));
    // what frozen stages make depends on weights that come from elsewhere
    succeed(&adapt(
        &scene,
        "runs/other",
        "source-only",
        &[&common[..], &network, &["--epochs", "1", "--seed", "7"]].concat(),
    ));
    let frozen = [&common[..], &long, &["--begin", "runs/other/source-only/seed-7", "--freeze", "first:3"]].concat();
    succeed(&adapt(&scene, "runs/whole", "cdan", &frozen));
    for method in ["dann", "dirt-t", "mean-teacher", "cdan"] {
        let more = if method == "cdan" { &frozen } else { &more };
        let killed = format!("runs/killed-{method}");
        if method == "dirt-t" {
            succeed(&adapt(&scene, &killed, "vada", more));
        }
        let run = format!("{killed}/{method}/seed-0");
        scene.kill_at(&adapt_words(&killed, method, more), &format!("{run}/checkpoints/last/state.json"));
        let run = scene.path(&run);
        assert!(!run.join("result.json").exists(), "{method}: killed too late to show anything");
        succeed(&adapt(&scene, &killed, method, more));
        let whole = scene.path(&format!("runs/whole/{method}/seed-0"));
        for file in ["model.safetensors", "checkpoints/last/model.safetensors"] {
            assert!(bytes(&whole.join(file)) == bytes(&run.join(file)), "{method}: {file}");
        }
        let metrics = [&whole, &run].map(|run| json(&run.join("result.json"))["metrics"].clone());
        assert_eq!(metrics[0], metrics[1], "{method}");
    }
}

#[test]
fn a_target_without_labels_is_adapted_to_and_not_scored() {
    let scene = Scene::new(6);
    let plain = scene.path("plain");
    std::fs::create_dir_all(&plain).expect("a folder");
    for (number, class) in ["blue", "green", "red"].iter().enumerate() {
        for image in 0..3 {
            let from = scene.path(&format!("data/train/{class}/{image:03}.png"));
            std::fs::copy(from, plain.join(format!("{number}-{image}.png"))).expect("a copy");
        }
    }
    let more =
        ["--target", "plain", "--model", "small_cnn", "--image-size", "16", "--epochs", "1", "--discriminator", "8"];
    let output = adapt(&scene, "runs/plain", "source-only,dann", &more);
    succeed(&output);
    let metrics = json(&scene.path("runs/plain/dann/seed-0/result.json"))["metrics"].clone();
    assert!(metrics["oracle/accuracy"].is_null() && metrics["source/accuracy"].is_number());
    assert!(!scene.path("runs/plain/adapt.png").exists());
    // nor can there be an oracle, which costs those no table that ask for all
    let oracle = adapt(&scene, "runs/plain", "oracle", &more);
    assert!(oracle.status.code() == Some(2) && stderr(&oracle).contains("has no labels"), "{}", stderr(&oracle));
    let all = adapt(&scene, "runs/all", "all", &more);
    succeed(&all);
    let text = String::from_utf8(all.stdout).expect("text");
    assert!(text.contains("left out: oracle") && text.contains("dirt-t"), "{text}");
}

#[test]
fn what_is_measured_is_the_model_that_is_kept() {
    // stages that do not learn are run once; the statistics of the target must come before
    let scene = Scene::new(6);
    let frozen = [&NORMED[..], &["--freeze", "all", "--freeze-random"]].concat();
    succeed(&adapt(&scene, "runs/bn", "source-only,ada-bn,sa,coral,dann", &frozen));
    for method in ["source-only", "ada-bn", "sa", "coral", "dann"] {
        let run = format!("runs/bn/{method}/seed-0");
        let output = scene.run(&["evaluate", "--model", &run, "--data", "data", "--device", "cpu", "--json"]);
        succeed(&output);
        let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let kept = json(&scene.path(&format!("{run}/result.json")))["metrics"]["oracle/accuracy"].clone();
        assert_eq!(found["accuracy"], kept, "{method}");
        let loss = json(&scene.path(&format!("{run}/evaluation.json")))["negative_log_likelihood"].clone();
        let [found, kept] = [&found["negative_log_likelihood"], &loss].map(|loss| loss.as_f64().expect("a number"));
        assert!((found - kept).abs() < 1e-4 * kept.abs(), "{method}: {found}, kept {kept}");
    }
    let linear = [&NORMED[..8], &["--freeze", "all", "--freeze-random"]].concat();
    let none = adapt(&scene, "runs/none", "adda", &linear);
    assert!(none.status.code() == Some(2) && stderr(&none).contains("frozen"), "{}", stderr(&none));
}

#[test]
fn what_makes_no_sense_is_said_in_one_line() {
    let scene = Scene::new(3);
    std::fs::write(scene.path("a.mat"), "features").expect("a file");
    let cases: [(&[&str], &str); 14] = [
        (&["adapt", "--target", "data"], "--source FOLDER is missing"),
        (&["adapt", "--source", "data"], "--target FOLDER is missing"),
        (&["adapt", "--source", "data", "--target", "data", "--methods", "dnn"], "there is no method"),
        (&["adapt", "--source", "data", "--target", "data", "--methods", "dann,dann"], "twice"),
        (&["adapt", "--source", "data", "--target", "data", "--mixup", "0.2"], "--mixup"),
        (&["adapt", "--source", "data", "--target", "data", "--head", "prototype"], "--head prototype"),
        (&["adapt", "--source", "data", "--target", "data", "--threshold", "1.5"], "--threshold 1.5"),
        (&["adapt", "--source", "data", "--target", "data", "--seeds", "0"], "--seeds"),
        (&["adapt", "--source", "data", "--target", "data", "--align", "conv9"], "--align conv9"),
        (&["adapt", "--source", "data", "--target", "nowhere"], "nowhere"),
        (&["adapt", "--source", "data", "--target", "data", "--seeds", "18446744073709551615"], "at most 10000"),
        (&["adapt", "--source", "data", "--target", "data", "--classifier", "nearest"], "--classifier is about files"),
        (&["adapt", "--source", "a.mat", "--target", "b.mat"], "is about images"),
        (&["adapt", "--source", "data", "--target", "data", "--methods", "ada-bn"], "no batch norm"),
    ];
    let said = stderr(&adapt(&scene, "runs/x", "dann", &["--target", "data", "--begin", "runs/y", "--head", "mlp"]));
    assert!(said.contains("--begin <RUN>' cannot be used with '--head"), "{said}");
    for (words, expected) in cases {
        let mut words = words.to_vec();
        words.extend([
            "--model",
            "small_cnn",
            "--from-scratch",
            "--image-size",
            "16",
            "--epochs",
            "1",
            "--device",
            "cpu",
            "--quiet",
        ]);
        let output = scene.run(&words);
        let said = stderr(&output);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{words:?}: {said}");
        // what the command line itself refuses is followed by a hint
        let lines = said.trim_end().lines().filter(|line| !line.is_empty() && !line.starts_with("For more")).count();
        assert!(said.contains(expected) && lines == 1, "{words:?}: {said}");
    }
}

/// Rows of two classes that lie along the first of three numbers, `shift` away.
fn write_features(path: &Path, shift: f64) {
    let labels = Tensor::arange(24, (Kind::Int64, Device::Cpu)).remainder(2);
    let waves = |speed: f64| (Tensor::arange(24, (Kind::Double, Device::Cpu)) * speed).sin();
    let rows = [labels.to_kind(Kind::Double) * 6.0 + waves(1.3), waves(2.1), waves(3.7)];
    let tensors = [("features".to_string(), Tensor::stack(&rows, 1) + shift), ("labels".to_string(), labels)];
    write_safetensors(path, &StateDict::new(tensors.into(), Default::default())).expect("a file");
}

#[test]
fn files_of_features_are_adapted_and_their_configuration_repeats_it() {
    let scene = Scene::new(1);
    write_features(&scene.path("a.safetensors"), 0.0);
    write_features(&scene.path("b.safetensors"), -9.0);
    let words =
        ["adapt", "--source", "a.safetensors", "--target", "b.safetensors", "--methods", "all", "--subspace", "2"];
    let rows = ["--classifier", "nearest", "--rows-per-class", "6", "--seeds", "3", "--seed", "4"];
    succeed(&scene.run(&[&words[..], &rows, &["--out", "first"]].concat()));
    let found = json(&scene.path("first/features.json"));
    assert_eq!(found.as_array().map(Vec::len), Some(3));
    for one in found.as_array().expect("a list") {
        assert_eq!(one["oracle_target"]["values"].as_array().map(Vec::len), Some(3));
        assert!(one["oracle_target"]["mean"].as_f64().expect("a number") > 0.9, "{one}");
    }
    assert_eq!(bytes(&scene.path("first/sa.txt")).split(|byte| *byte == b'\n').count(), 25);
    let config = json(&scene.path("first/config.json"));
    let mut keys: Vec<&str> = config.as_object().expect("options").keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["classifier", "methods", "rows_per_class", "seed", "seeds", "source", "subspace", "target"]);
    succeed(&scene.run(&["adapt", "--config", "first/config.json", "--out", "second", "--quiet"]));
    for file in ["features.json", "config.json", "coral.txt"] {
        assert!(bytes(&scene.path("first").join(file)) == bytes(&scene.path("second").join(file)), "{file}");
    }
    let said = stderr(&scene.run(&["adapt", "--config", "first/config.json", "--out", "second"]));
    assert!(said.contains("features.json: is there already"), "{said}");
    // of images the configuration says nothing of files of features
    let printed = scene.run(&["adapt", "--source", "data", "--target", "data", "--seeds", "2", "--print-config"]);
    let printed: Value = serde_json::from_slice(&printed.stdout).expect("JSON");
    assert!(printed["seeds"] == 2 && printed["epochs"] == 10 && printed.get("classifier").is_none(), "{printed}");
}
