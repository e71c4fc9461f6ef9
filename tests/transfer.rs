//! Weights of other libraries and layers of other networks: `--weights`, `--strict`, `--copy`, `--from`, `--map`.

use std::path::Path;

use regraft::models::formats::{StateDict, write_safetensors};
use regraft::models::{Builder, build};

use super::support::{Scene, bytes, finetune_words, json, stderr, succeed};

/// The first layers of a ResNet-34 as part of some larger network, under `encoder.`.
fn encoder(file: &Path) -> StateDict {
    let builder = Builder::new(tch::Device::Cpu);
    build("resnet34", &builder.root()).expect("a network");
    let mut dict = builder.finish().snapshot().expect("its tensors");
    dict.tensors.retain(|name, _| !name.starts_with("layer3") && !name.starts_with("layer4"));
    for (name, tensor) in &dict.tensors {
        if name.ends_with("running_mean") {
            let _ = tensor.shallow_clone().fill_(0.125);
        }
    }
    dict.tensors = dict.tensors.into_iter().map(|(name, tensor)| (format!("encoder.{name}"), tensor)).collect();
    write_safetensors(file, &dict).expect("a file");
    dict
}

const NETWORK: &[&str] = &["--model", "resnet18"];
const COPY: &[&str] = &["--copy", "first:2", "--from", "encoder.safetensors", "--map", "encoder.* -> *"];

#[test]
fn layers_of_another_network_are_copied_frozen_and_repeated() {
    let scene = Scene::new(4);
    let theirs = encoder(&scene.path("encoder.safetensors"));
    let words = [NETWORK, COPY, &["--freeze", "first:2", "--epochs", "1"]].concat();
    succeed(&scene.finetune("first", &words));
    let model = StateDict::read(scene.path("runs/first/model.safetensors")).expect("a model");
    for name in ["conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight", "layer1.1.bn2.running_mean"] {
        assert_eq!(model.get(name), theirs.get(&format!("encoder.{name}")), "{name}");
    }
    let weights = json(&scene.path("runs/first/weights.json"));
    let copy = &weights["copies"][0];
    assert_eq!((&copy["selector"], &weights["report"]), (&"first:2".into(), &serde_json::Value::Null));
    let copied = copy["report"]["loaded"].as_array().unwrap().len();
    assert_eq!(copied, 5 * 6, "five convolutions, each with the five tensors of its batch norm");
    assert_eq!(copy["unused"].as_u64().unwrap() as usize + copied, theirs.tensors.len());

    let config = scene.path("runs/first/config.json").display().to_string();
    succeed(&scene.run(&["finetune", "--config", &config, "--out", "runs/second", "--quiet"]));
    let model = |name: &str| bytes(&scene.path(&format!("runs/{name}/model.safetensors")));
    assert!(model("first") == model("second"));
    // a run's folder is a checkpoint too, of names that need no rule
    let words = ["--copy", "all", "--from", "runs/first", "--freeze", "all", "--epochs", "1"];
    succeed(&scene.finetune("third", &[NETWORK, &words].concat()));
}

#[test]
fn a_run_that_goes_on_needs_no_file_any_more() {
    let scene = Scene::new(6);
    encoder(&scene.path("encoder.safetensors"));
    let words = [NETWORK, COPY, &["--freeze", "first:2", "--epochs", "2", "--checkpoint-every", "1"]].concat();
    succeed(&scene.finetune("whole", &words));
    let data = scene.data();
    scene.kill_at(&finetune_words(&data, "runs/killed", &words), "runs/killed/checkpoints/last/state.json");
    assert!(!scene.path("runs/killed/result.json").exists(), "killed too late to show anything");
    std::fs::remove_file(scene.path("encoder.safetensors")).expect("it can be removed");
    succeed(&scene.run(&["finetune", "--resume", "runs/killed", "--quiet"]));
    let model = |name: &str| bytes(&scene.path(&format!("runs/{name}/model.safetensors")));
    assert!(model("whole") == model("killed"));
}

/// What Hugging Face calls a tensor of ResNet-18.
fn hugging_face(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    let kind = |module: &str| if module.starts_with("bn") { "normalization" } else { "convolution" };
    match parts.as_slice() {
        ["fc", rest] => format!("classifier.1.{rest}"),
        [module @ ("conv1" | "bn1"), rest] => format!("resnet.embedder.embedder.{}.{rest}", kind(module)),
        [layer, block, module, rest @ ..] => {
            let stage = layer[5..].parse::<usize>().expect("a number") - 1;
            let place = format!("resnet.encoder.stages.{stage}.layers.{block}");
            match (*module, rest) {
                ("downsample", ["0", rest]) => format!("{place}.shortcut.convolution.{rest}"),
                ("downsample", [_, rest]) => format!("{place}.shortcut.normalization.{rest}"),
                (module, rest) => {
                    let number = module[module.len() - 1..].parse::<usize>().expect("a number") - 1;
                    format!("{place}.layer.{number}.{}.{}", kind(module), rest[0])
                }
            }
        }
        _ => panic!("{name}"),
    }
}

#[test]
fn weights_in_another_librarys_names_are_the_same_weights() {
    let scene = Scene::new(4);
    succeed(&scene.finetune("source", &[NETWORK, &["--epochs", "1"]].concat()));
    let mut dict = StateDict::read(scene.path("runs/source/model.safetensors")).expect("a model");
    dict.tensors = dict.tensors.into_iter().map(|(name, tensor)| (hugging_face(&name), tensor)).collect();
    dict.tensors.insert("ema.decay".into(), tch::Tensor::from(0.5f32));
    write_safetensors(scene.path("theirs.safetensors"), &dict).expect("a file");

    let freeze = [NETWORK, &["--freeze", "all", "--no-augment", "--epochs", "1"]].concat();
    succeed(
        &scene.finetune("ours", &[&["--weights", "runs/source/model.safetensors", "--strict"], &freeze[..]].concat()),
    );
    let theirs = ["--weights", "theirs.safetensors", "--weights-report"];
    succeed(&scene.finetune("theirs", &[&theirs, &freeze[..]].concat()));
    let tensors = |run: &str| StateDict::read(scene.path(run).join("model.safetensors")).expect("a model").tensors;
    assert!(tensors("runs/ours") == tensors("runs/theirs"));
    let log = std::fs::read_to_string(scene.path("runs/theirs/metrics.jsonl")).expect("a log");
    for word in ["names of transformers mapped", "1 unexpected", "resnet.embedder.embedder.convolution.weight"] {
        assert!(log.contains(word), "{word}: {log}");
    }
    let report = &json(&scene.path("runs/theirs/weights.json"))["report"];
    assert_eq!((&report["dialect"], &report["unexpected"][0]), (&"transformers".into(), &"ema.decay".into()));

    let refused = scene.finetune("strict", &[&theirs[..2], &["--strict"], &freeze[..]].concat());
    let message = stderr(&refused);
    assert_eq!(refused.status.code(), Some(1), "{message}");
    assert!(message.contains("theirs.safetensors") && message.contains("renamed") && message.contains("--strict"));
}

#[test]
fn what_cannot_be_copied_is_said() {
    let scene = Scene::new(2);
    encoder(&scene.path("encoder.safetensors"));
    for (words, code, expected) in [
        (
            &["--copy", "stem", "--from", "encoder.safetensors"][..],
            1,
            &["--map 'encoder.* -> *'", "first `bn1.bias`"][..],
        ),
        (
            &["--copy", "layer3", "--from", "encoder.safetensors", "--map", "encoder.* -> *"],
            1,
            &["25 of 30", "near in name"],
        ),
        (&["--copy", "stem", "--from", "nowhere.pth"], 1, &["nowhere.pth"]),
        (&["--copy", "stem"], 2, &["--from FILE"]),
        (&["--from", "encoder.safetensors"], 2, &["--copy SELECTOR"]),
        (&["--copy", "stem", "--from", "a", "--from", "b", "--lr", "-1"], 2, &["1 times and --from 2 times", "--lr"]),
        (&["--copy", "stem", "--from", "a", "--map", "b{n} -> c{stage(n)}"], 2, &["stage()"]),
        (&["--copy", "stem", "--from", "a", "--map", "b.* -> c"], 2, &["same number of `*`"]),
        (&["--copy", "stage9", "--from", "encoder.safetensors"], 2, &["stage9", "layer4"]),
        (&["--strict"], 2, &["--strict", "--from-scratch"]),
        (&[COPY, &["--freeze", "first:3"]].concat(), 2, &["--freeze", "layer2", "--copy"]),
    ] {
        let output = scene.finetune("refused", &[NETWORK, words, &["--force"]].concat());
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {message}");
        for word in expected {
            assert!(message.contains(word), "{words:?} does not say {word:?}: {message}");
        }
    }
}
