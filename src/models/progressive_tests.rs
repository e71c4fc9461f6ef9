use std::collections::BTreeSet;

use tch::Device;

use super::*;
use crate::data::{Interpolation, Preprocessing, PreprocessingOptions};
use crate::models::formats::write_safetensors;
use crate::models::{HeadKind, small_classifier};

/// A new column for `classes`, of the network `architecture`, beside `model`.
fn column(architecture: &str, classes: &[&str], seed: u64, model: Option<&Classifier>) -> Result<Classifier> {
    let spec = Spec {
        architecture: architecture.into(),
        source: "random".into(),
        head: HeadKind::Linear,
        head_path: None,
        dropout: Some(0.0),
        classes: classes.iter().map(|name| name.to_string()).collect(),
        preprocessing: Preprocessing {
            resize: 32,
            crop: 32,
            interpolation: Interpolation::Bilinear,
            mean: [0.5; 3],
            std: [0.25; 3],
        },
        temperature: 1.0,
        earlier: None,
        beside: model.map(|model| Box::new(model.spec.clone())),
    };
    let new = Classifier::new(spec, Device::Cpu, seed)?;
    model.map(|model| new.take_beside(model)).transpose()?;
    Ok(new)
}

/// Three columns of ResNet-18, whose connections say something.
fn three(network: &str) -> Result<[Classifier; 3]> {
    let first = column(network, &["a", "b"], 1, None)?;
    let second = column(network, &["c", "d", "e"], 2, Some(&first))?;
    speak(&second);
    let third = column(network, &["f", "g"], 3, Some(&second))?;
    speak(&third);
    Ok([first, second, third])
}

/// Gives every connection into the newest column a voice.
fn speak(model: &Classifier) {
    for (name, tensor) in model.store.parameters().filter(|(name, _)| name.starts_with("laterals.")) {
        if name.ends_with("up.weight") {
            let values = Tensor::arange(tensor.numel() as i64, tch::kind::FLOAT_CPU).cos() * 0.05;
            tch::no_grad(|| tensor.shallow_clone().copy_(&values.reshape(tensor.size())));
        }
    }
}

/// Drawn from no generator: tests that run at the same time share libtorch's.
fn images() -> Tensor {
    Tensor::arange(4 * 3 * 32 * 32, tch::kind::FLOAT_CPU).sin().reshape([4, 3, 32, 32])
}

#[test]
fn a_new_column_begins_as_if_it_were_alone() -> Result<()> {
    for network in ["small_cnn", "resnet18"] {
        let first = column(network, &["a", "b"], 1, None)?;
        let alone = column(network, &["c", "d", "e"], 2, None)?;
        let new = column(network, &["c", "d", "e"], 2, Some(&first))?;
        // tests that run at the same time share libtorch's generator, so the same seed is not enough
        let own = alone.store.views();
        for (name, tensor) in new.store.views().into_iter().filter(|(name, _)| own.contains_key(name)) {
            tch::no_grad(|| tensor.shallow_clone().copy_(&own[&name]));
        }
        for train in [false, true] {
            assert_eq!(new.forward(&images(), train)?, alone.forward(&images(), train)?, "{network}");
        }
    }
    Ok(())
}

#[test]
fn the_whole_network_does_every_task_as_its_column_did() -> Result<()> {
    let [first, second, third] = three("resnet18")?;
    let logits = third.logits_of_columns(&images())?;
    assert_eq!(logits[0], first.forward(&images(), false)?);
    assert_eq!(logits[1], second.forward(&images(), false)?);
    assert_eq!(logits[2], third.forward(&images(), false)?);
    let names: Vec<_> = third.laterals().into_iter().map(|LateralName { into, column }| (into, column)).collect();
    let expected =
        ["layer1", "layer2", "layer3", "layer4", "head"].map(|into| [(into.to_string(), 1), (into.to_string(), 2)]);
    assert_eq!(names, expected.concat());
    let back = third.into_earlier()?;
    assert_eq!(back.spec.classes, second.spec.classes);
    assert_eq!(back.forward(&images(), false)?, logits[1]);
    let back = back.into_earlier()?;
    assert_eq!(back.forward(&images(), false)?, logits[0]);
    assert!(back.into_earlier().unwrap_err().to_string().contains("no head of an earlier task"));
    Ok(())
}

#[test]
fn only_the_new_column_and_its_connections_learn() -> Result<()> {
    let [_, _, mut third] = three("resnet18")?;
    // whatever is asked for, what is beside it stays
    third.freeze(&BTreeSet::new(), false)?;
    let beside = |model: &Classifier| model.store.digest(|name| name.starts_with("beside."));
    let before = beside(&third)?;
    third.forward(&images(), true)?.sum(Kind::Float).f_backward()?;
    assert_eq!(beside(&third)?, before);
    for (name, tensor) in third.store.parameters() {
        let gradient = tensor.grad();
        let moved = gradient.defined() && f64::try_from(gradient.abs().max())? > 0.0;
        assert_eq!(moved, !name.starts_with("beside."), "{name}");
        assert_eq!(tensor.requires_grad(), !name.starts_with("beside."), "{name}");
    }
    let moved = third.store.digest(|name| name.contains("running_mean") && !name.starts_with("beside."))?;
    let _moves = third.forward(&images(), true)?;
    assert_ne!(third.store.digest(|name| name.contains("running_mean") && !name.starts_with("beside."))?, moved);
    Ok(())
}

#[test]
fn selectors_reach_the_connections_and_not_what_is_beside() -> Result<()> {
    let [_, _, third] = three("small_cnn")?;
    let outline = third.outline();
    let select = |text: &str| text.parse::<crate::models::Selector>().unwrap().select(&outline);
    assert_eq!(select("laterals")?.len(), 6 * 2 * 4);
    assert_eq!(select("laterals.head.2.*")?.len(), 4);
    assert!(select("*")?.iter().all(|name| !name.starts_with("beside.")));
    assert!(select("all")?.iter().all(|name| !name.starts_with("laterals.")));
    assert!(select("beside.*").unwrap_err().to_string().contains("head, laterals"));
    assert_eq!(outline.beside.len(), third.store.parameters().filter(|(name, _)| name.starts_with("beside.")).count());
    Ok(())
}

#[test]
fn three_columns_are_saved_and_read_back() -> Result<()> {
    let [_, _, third] = three("small_cnn")?;
    let folder = tempfile::tempdir().unwrap();
    let mut dict = third.store.snapshot()?;
    dict.metadata = third.metadata();
    write_safetensors(folder.path().join("model.safetensors"), &dict)?;
    let back = Classifier::open(folder.path(), Device::Cpu, &PreprocessingOptions::default())?;
    assert_eq!((&back.spec, back.columns()), (&third.spec, 3));
    assert_eq!(back.logits_of_columns(&images())?, third.logits_of_columns(&images())?);
    Ok(())
}

#[test]
fn a_connection_that_is_switched_off_is_one_without_a_voice() -> Result<()> {
    let [first, _, third] = three("small_cnn")?;
    let logits = third.logits_without_each(&images())?;
    assert_eq!(logits.size(), [4, 1 + 12, 2]);
    assert_eq!(logits.select(1, 0), third.forward(&images(), false)?);
    for (number, LateralName { into, column }) in (1..).zip(third.laterals()) {
        assert_ne!(logits.select(1, number), logits.select(1, 0), "{into} {column}");
        let up = third.store.get(&format!("laterals.{into}.{column}.up.weight")).unwrap();
        let kept = up.detach().copy();
        let _silent = tch::no_grad(|| up.shallow_clone().zero_());
        assert_eq!(logits.select(1, number), third.forward(&images(), false)?, "{into} {column}");
        tch::no_grad(|| up.shallow_clone().copy_(&kept));
    }
    let ordinary = first;
    assert_eq!(ordinary.logits_without_each(&images())?.size(), [4, 1, 2]);
    Ok(())
}

#[test]
fn networks_that_cannot_stand_beside_each_other_are_refused() -> Result<()> {
    let first = small_classifier(&["a", "b"], 1)?;
    let message = column("small_cnn", &["c"], 1, Some(&first)).unwrap_err().to_string();
    assert!(message.contains("small_cnn has 6 stages and the network beside it 5"), "{message}");
    // another network with as many stages does, though its maps have other channels
    let other = column("densenet121", &["c"], 1, Some(&first))?;
    assert_eq!(other.forward(&images(), false)?.size(), [4, 1]);
    Ok(())
}
