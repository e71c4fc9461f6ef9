//! Frozen means frozen: no byte of a frozen layer changes, statistics included, whatever the optimizer does.

use super::support::{Scene, bytes, json, succeed};
use safetensors::SafeTensors;

const NETWORK: [&str; 2] = ["--model", "resnet18"];

fn changed(before: &[u8], after: &[u8]) -> Vec<String> {
    let (before, after) = (SafeTensors::deserialize(before).unwrap(), SafeTensors::deserialize(after).unwrap());
    let mut names: Vec<String> = before
        .names()
        .into_iter()
        .filter(|name| before.tensor(name).unwrap().data() != after.tensor(name).unwrap().data())
        .map(|name| name.to_string())
        .collect();
    names.sort();
    names
}

#[test]
fn frozen_stages_keep_every_byte_and_the_others_learn() {
    let scene = Scene::new(6);
    succeed(&scene.finetune("source", &[&NETWORK[..], &["--epochs", "1"]].concat()));
    let source = scene.path("runs/source/model.safetensors");
    let options = ["--weights", "runs/source/model.safetensors", "--epochs", "2", "--keep", "last"];
    let learning = ["--optimizer", "sgd", "--lr", "0.1", "--weight-decay", "0.1", "--momentum", "0.9"];
    for (freeze, frozen) in [("first:3", ["conv1", "layer2"]), ("layer3,layer4", ["layer3", "layer4"])] {
        let name = format!("frozen-{}", freeze.replace([':', ','], "-"));
        let mut words = options.to_vec();
        words.extend(learning);
        words.extend(NETWORK);
        words.extend(["--freeze", freeze]);
        succeed(&scene.finetune(&name, &words));
        let changed = changed(&bytes(&source), &bytes(&scene.path(&format!("runs/{name}/model.safetensors"))));
        for stage in frozen {
            assert!(!changed.iter().any(|name| name.starts_with(stage)), "{freeze}: {changed:?}");
        }
        let free = if freeze == "first:3" { "layer4" } else { "layer1" };
        assert!(changed.iter().any(|name| name.starts_with(free) && name.ends_with("running_mean")), "{changed:?}");
        assert!(changed.iter().any(|name| name.starts_with(free) && name.ends_with("conv1.weight")), "{changed:?}");
    }
}

#[test]
fn held_statistics_stay_while_scale_and_shift_learn() {
    let scene = Scene::new(6);
    succeed(&scene.finetune("source", &[&NETWORK[..], &["--epochs", "1"]].concat()));
    let source = scene.path("runs/source/model.safetensors");
    let weights = ["--weights", "runs/source/model.safetensors", "--epochs", "1", "--keep", "last"];
    for (policy, affine) in [("hold-statistics", true), ("freeze", false)] {
        let mut words = weights.to_vec();
        words.extend(NETWORK);
        words.extend(["--batch-norm", policy]);
        succeed(&scene.finetune(policy, &words));
        let changed = changed(&bytes(&source), &bytes(&scene.path(&format!("runs/{policy}/model.safetensors"))));
        assert!(!changed.iter().any(|name| name.contains("running_")), "{policy}: {changed:?}");
        assert_eq!(changed.iter().any(|name| name == "layer1.0.bn1.weight"), affine, "{policy}: {changed:?}");
        assert!(changed.iter().any(|name| name == "layer1.0.conv1.weight"), "{policy}: {changed:?}");
    }
}

#[test]
fn layers_learn_from_the_epoch_in_which_they_are_unfrozen() {
    let scene = Scene::new(6);
    succeed(&scene.finetune("source", &[&NETWORK[..], &["--epochs", "1"]].concat()));
    let words = ["--weights", "runs/source/model.safetensors", "--freeze", "all", "--unfreeze-at", "1:layer4"];
    succeed(&scene.finetune("two", &[&words[..], &NETWORK, &["--epochs", "2", "--keep", "last"]].concat()));
    let [source, two] = ["source", "two"].map(|run| bytes(&scene.path(&format!("runs/{run}/model.safetensors"))));
    let changed = changed(&source, &two);
    assert!(changed.iter().any(|name| name.starts_with("layer4")), "{changed:?}");
    assert!(!changed.iter().any(|name| name.starts_with("layer3")), "{changed:?}");
    assert!(json(&scene.path("runs/two/result.json"))["metrics"]["accuracy"].is_number());
}
