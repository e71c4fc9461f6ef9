//! The architectures beside Python's, on weights that a formula makes (`tests/golden/backbones/generate.py`): logits
//! in both modes, how batch norm's statistics move, and the gradients of every stage.

use std::collections::BTreeMap;

use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use super::layers::{Layer, Linear};
use super::{Backbone, Builder, Role, Scope, Store, build, efficientnet_lite};
use crate::Result;

const TOLERANCE: f64 = 1e-4;
/// The seeds of the formula, beside a tensor's position among all sorted names.
const IMAGES: u64 = 1000;
const COTANGENT: u64 = 2000;
const PROBE: u64 = 5000;

#[derive(Deserialize)]
struct Golden {
    name: String,
    size: i64,
    batch: i64,
    eval_logits: Vec<f64>,
    train_logits: Vec<f64>,
    gradients: Summary,
    statistics_moved: Summary,
}

#[derive(Deserialize)]
struct Goldens {
    cases: Vec<Golden>,
}

/// Per stage: the norm of its tensors and their product with noise.
type Summary = BTreeMap<String, (f64, f64)>;

/// Numbers in −1..1 from integer arithmetic alone: the same in every language.
fn noise(seed: u64, count: usize) -> Tensor {
    const MASK: u64 = 0xFFFF_FFFF;
    let number = |i: u64| {
        let mut x = (i * 2_654_435_761 + (seed + 1) * 40_503 * 65_537) & MASK;
        for _ in 0..2 {
            x = ((x ^ (x >> 16)) * 0x45D_9F3B) & MASK;
        }
        (x ^ (x >> 16)) as f64 / f64::from(1u32 << 31) - 1.0
    };
    Tensor::from_slice(&(0..count as u64).map(number).collect::<Vec<_>>())
}

fn value(name: &str, number: u64, tensor: &Tensor) -> Tensor {
    let size = tensor.size();
    let u = noise(number, tensor.numel());
    let u = match name.rsplit('.').next() {
        Some("num_batches_tracked") => Tensor::from_slice(&[3.0]),
        Some("running_mean" | "bias") => u * 0.2,
        Some("running_var") => u * 0.5 + 1.0,
        _ if size.len() == 1 => u * 0.2 + 0.6,
        _ => u * (6.0 * size[0] as f64 / tensor.numel() as f64).sqrt(),
    };
    u.view(size.as_slice()).to_kind(tensor.kind())
}

/// A network with its source head and without anything random.
fn network(name: &str, classes: i64) -> Result<(Backbone, Linear, Store)> {
    let builder = Builder::new(Device::Cpu);
    let backbone = without_drop_connect(name, &builder.root())?;
    let head = Linear::new(&builder.root().at(backbone.head_path), backbone.features, classes)?;
    Ok((backbone, head, builder.finish()))
}

fn without_drop_connect(name: &str, scope: &Scope) -> Result<Backbone> {
    match efficientnet_lite::NAMES.iter().position(|known| *known == name) {
        Some(number) => efficientnet_lite::assemble(number, scope, 0.0),
        None => build(name, scope),
    }
}

fn logits(backbone: &Backbone, head: &Linear, x: &Tensor, train: bool) -> Result<Tensor> {
    head.forward(&backbone.forward(x, train)?, train)
}

/// The largest difference, relative to the largest value expected.
fn difference(found: &Tensor, expected: &Tensor) -> f64 {
    let found = found.detach().to_kind(Kind::Double).flatten(0, -1);
    (found - expected).abs().max().double_value(&[]) / expected.abs().max().double_value(&[])
}

fn check_logits(what: &str, found: &Tensor, expected: &[f64]) {
    let error = difference(found, &Tensor::from_slice(expected));
    assert!(error < TOLERANCE, "{what}: {error:.2e}");
}

fn check_summary(what: &str, backbone: &Backbone, tensors: &[(u64, &str, Tensor)], expected: &Summary) {
    let mut found = Summary::new();
    for (number, name, tensor) in tensors {
        let under = |path: &String| name.starts_with(&format!("{path}."));
        let Some(stage) = backbone.stages.iter().find(|stage| stage.paths.iter().any(under)) else { continue };
        let tensor = tensor.detach().to_kind(Kind::Double).flatten(0, -1);
        let sums = found.entry(stage.name.clone()).or_default();
        sums.0 += tensor.square().sum(Kind::Double).double_value(&[]);
        sums.1 += tensor.dot(&noise(PROBE + number, tensor.numel())).double_value(&[]);
    }
    assert!(found.keys().eq(expected.keys()) && found.len() == backbone.stages.len(), "{what}: other stages");
    for ((stage, (square, product)), (norm, expected)) in found.iter().zip(expected.values()) {
        assert!((square.sqrt() - norm).abs() < TOLERANCE * norm, "{what} of {stage}: {} ≠ {norm}", square.sqrt());
        assert!((product - expected).abs() < TOLERANCE * norm, "{what} of {stage}: {product} ≠ {expected} ({norm})");
    }
}

#[test]
fn the_architectures_answer_learn_and_track_statistics_as_pythons_do() -> Result<()> {
    let goldens: Goldens = serde_json::from_str(include_str!("../../tests/golden/backbones/data.json")).unwrap();
    assert_eq!(goldens.cases.len(), 6);
    for golden in goldens.cases {
        let case = format!("{} at {}", golden.name, golden.size);
        let (backbone, head, store) = network(&golden.name, 10)?;
        tch::no_grad(|| {
            for (number, (name, entry)) in (0..).zip(store.entries()) {
                entry.tensor.shallow_clone().copy_(&value(name, number, &entry.tensor));
            }
        });
        let shape = [golden.batch, 3, golden.size, golden.size];
        let images = noise(IMAGES, shape.iter().product::<i64>() as usize) * 1.5;
        let images = images.to_kind(Kind::Float).view(shape);

        let evaluated = tch::no_grad(|| logits(&backbone, &head, &images, false))?;
        check_logits(&format!("{case}: eval logits"), &evaluated, &golden.eval_logits);

        let before = store.snapshot()?;
        let trained = logits(&backbone, &head, &images, true)?;
        check_logits(&format!("{case}: train logits"), &trained, &golden.train_logits);
        let cotangent = noise(COTANGENT, trained.numel()).to_kind(Kind::Float).view_as(&trained);
        (trained * cotangent).sum(Kind::Float).backward();

        let entries: Vec<_> = (0..).zip(store.entries()).collect();
        let parameters = entries.iter().filter(|(_, (_, entry))| entry.role == Role::Parameter);
        let gradients: Vec<_> =
            parameters.map(|(number, (name, entry))| (*number, *name, entry.tensor.grad())).collect();
        check_summary(&format!("{case}: gradients"), &backbone, &gradients, &golden.gradients);
        let moved = entries.iter().filter(|(_, (name, _))| name.contains("running_"));
        let moved: Vec<_> =
            moved.map(|(number, (name, entry))| (*number, *name, &entry.tensor - &before.tensors[*name])).collect();
        check_summary(&format!("{case}: statistics"), &backbone, &moved, &golden.statistics_moved);
    }
    Ok(())
}

/// Every architecture at its own size; prints the table of models/README.md.
#[test]
#[ignore = "needs the files of `python tests/golden/backbones/generate.py compare target/compare`"]
fn every_architecture_agrees_with_python_at_its_own_size() -> Result<()> {
    for name in super::ARCHITECTURES {
        let file = format!("target/compare/{name}.safetensors");
        let theirs: BTreeMap<_, _> = Tensor::read_safetensors(file)?.into_iter().collect();
        let (backbone, head, store) = network(name, 1000)?;
        let missing: Vec<_> = store.entries().filter(|(name, _)| !theirs.contains_key(*name)).collect();
        assert!(missing.is_empty() && theirs.len() == store.entries().count() + 3, "{name}: other tensors {missing:?}");
        tch::no_grad(|| -> Result<()> {
            for (name, entry) in store.entries() {
                assert_eq!(entry.tensor.size(), theirs[name].size(), "{name}");
                entry.tensor.shallow_clone().copy_(&theirs[name]);
            }
            let mut row = name.to_string();
            for (mode, train) in [("compare.eval", false), ("compare.train", true)] {
                let (found, expected) = (logits(&backbone, &head, &theirs["compare.images"], train)?, &theirs[mode]);
                let error = (found - expected).abs().max().double_value(&[]);
                let largest = expected.abs().max().double_value(&[]);
                row += &format!(" | {mode} {error:.1e} of {largest:.2}");
                assert!(error < TOLERANCE * largest, "{row}");
            }
            println!("{row}");
            Ok(())
        })?;
    }
    Ok(())
}
