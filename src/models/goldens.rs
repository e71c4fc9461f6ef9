//! The architectures beside Python's, on weights that a formula makes (`tests/golden/backbones/generate.py`): logits
//! in both modes, how batch norm's statistics move, and the gradients of every layer or block.

use std::collections::BTreeMap;

use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use super::architecture::with_source_head;
use super::layers::Layer;
use super::{Backbone, Builder, Head, Role, Store};
use crate::{Result, native};

const TOLERANCE: f64 = 1e-4;
/// The seeds of the formula, beside a tensor's position among all sorted names.
const IMAGES: u64 = 1000;
const COTANGENT: u64 = 2000;
const PROBE: u64 = 5000;
/// After so many numbers the formula repeats itself.
const PERIOD: usize = 1_000_003;

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

/// Per layer or block: the norm of its tensors, and the product of their first numbers with noise.
type Summary = BTreeMap<String, (f64, f64)>;

/// The layer or block of a tensor: its path without its own name, two steps of it.
fn part(name: &str) -> String {
    let path: Vec<_> = name.split('.').collect();
    if path.len() == 1 { name.to_string() } else { path[..(path.len() - 1).min(2)].join(".") }
}

/// At most a period of numbers in −1..1 from integer arithmetic alone: the same in every language.
fn noise(seed: u64, count: usize) -> Tensor {
    const MASK: u64 = 0xFFFF_FFFF;
    let number = |i: u64| {
        let mut x = (i * 2_654_435_761 + (seed + 1) * 40_503 * 65_537) & MASK;
        for _ in 0..2 {
            x = ((x ^ (x >> 16)) * 0x45D_9F3B) & MASK;
        }
        (x ^ (x >> 16)) as f64 / f64::from(1u32 << 31) - 1.0
    };
    Tensor::from_slice(&(0..count.min(PERIOD) as u64).map(number).collect::<Vec<_>>())
}

/// The numbers over and over again, in the shape and type of `like`.
fn filled(numbers: &Tensor, like: &Tensor) -> Tensor {
    let (count, numbers) = (like.numel(), numbers.to_kind(like.kind()));
    numbers.repeat([count.div_ceil(PERIOD) as i64]).narrow(0, 0, count as i64).reshape(like.size())
}

fn value(name: &str, number: u64, tensor: &Tensor) -> Tensor {
    let size = tensor.size();
    let u = noise(number, tensor.numel());
    let u = match name.rsplit('.').next() {
        Some("num_batches_tracked") => Tensor::from_slice(&[3.0]),
        Some("running_mean" | "bias") => u * 0.2,
        Some("running_var") => u * 0.5 + 1.0,
        Some("layer_scale") => u * 0.2 + 0.5,
        Some("class_token" | "pos_embedding") => u * 0.2,
        _ if size.len() == 1 => u * 0.2 + 0.6,
        _ => u * (6.0 * size[0] as f64 / tensor.numel() as f64).sqrt(),
    };
    filled(&u, tensor)
}

/// A source network whole and without anything random.
fn network(name: &str, classes: i64) -> Result<(Backbone, Head, Store)> {
    let builder = Builder::new(Device::Cpu).deterministic();
    let (backbone, head) = with_source_head(name, &builder, classes)?;
    Ok((backbone, head, builder.finish()))
}

fn logits(backbone: &Backbone, head: &Head, x: &Tensor, train: bool) -> Result<Tensor> {
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

fn check_summary(what: &str, tensors: &[(u64, &str, Tensor)], expected: &Summary) {
    let mut found = Summary::new();
    for (number, name, tensor) in tensors {
        let tensor = tensor.detach().flatten(0, -1);
        let sums = found.entry(part(name)).or_default();
        sums.0 += tensor.norm_scalaropt_dtype(2, Kind::Double).double_value(&[]).powi(2);
        let probe = noise(PROBE + number, tensor.numel());
        sums.1 += tensor.narrow(0, 0, probe.size()[0]).to_kind(Kind::Double).dot(&probe).double_value(&[]);
    }
    assert!(found.keys().eq(expected.keys()), "{what}: other layers");
    for ((part, (square, product)), (norm, expected)) in found.iter().zip(expected.values()) {
        assert!((square.sqrt() - norm).abs() < TOLERANCE * norm, "{what} of {part}: {} ≠ {norm}", square.sqrt());
        assert!((product - expected).abs() < TOLERANCE * norm, "{what} of {part}: {product} ≠ {expected} ({norm})");
    }
}

#[test]
fn the_architectures_answer_learn_and_track_statistics_as_pythons_do() -> Result<()> {
    let goldens: Goldens = serde_json::from_str(include_str!("../../tests/golden/backbones/data.json")).unwrap();
    assert_eq!(goldens.cases.len(), 18);
    for golden in goldens.cases {
        let case = format!("{} at {}", golden.name, golden.size);
        let (backbone, head, store) = network(&golden.name, 10)?;
        // in f64, where the order in which a processor adds does not show
        for (_, entry) in store.entries().filter(|(_, entry)| entry.tensor.is_floating_point()) {
            native::set_data(&entry.tensor, &entry.tensor.detach().to_kind(Kind::Double))?;
        }
        tch::no_grad(|| {
            for (number, (name, entry)) in (0..).zip(store.entries()) {
                entry.tensor.shallow_clone().copy_(&value(name, number, &entry.tensor));
            }
        });
        let images = Tensor::empty([golden.batch, 3, golden.size, golden.size], (Kind::Double, Device::Cpu));
        let images = filled(&(noise(IMAGES, images.numel()) * 1.5), &images);

        let evaluated = tch::no_grad(|| logits(&backbone, &head, &images, false))?;
        check_logits(&format!("{case}: eval logits"), &evaluated, &golden.eval_logits);

        let statistics = |name: &str| name.contains("running_");
        let before: BTreeMap<_, _> = store.views().into_iter().filter(|(name, _)| statistics(name)).collect();
        let before: BTreeMap<_, _> = before.into_iter().map(|(name, tensor)| (name, tensor.copy())).collect();
        let trained = logits(&backbone, &head, &images, true)?;
        check_logits(&format!("{case}: train logits"), &trained, &golden.train_logits);
        let cotangent = filled(&noise(COTANGENT, trained.numel()), &trained);
        (trained * cotangent).sum(Kind::Double).backward();

        let entries: Vec<_> = (0..).zip(store.entries()).collect();
        let parameters = entries.iter().filter(|(_, (_, entry))| entry.role == Role::Parameter);
        let gradients: Vec<_> =
            parameters.map(|(number, (name, entry))| (*number, *name, entry.tensor.grad())).collect();
        check_summary(&format!("{case}: gradients"), &gradients, &golden.gradients);
        let moved = entries.iter().filter(|(_, (name, _))| statistics(name));
        let moved: Vec<_> =
            moved.map(|(number, (name, entry))| (*number, *name, &entry.tensor - &before[*name])).collect();
        check_summary(&format!("{case}: statistics"), &moved, &golden.statistics_moved);
    }
    Ok(())
}

/// One architecture at its own size; prints its row of the table in models/README.md.
#[test]
#[ignore = "is run by `python tests/golden/backbones/compare.py`, which makes its file"]
fn an_architecture_agrees_with_python_at_its_own_size() -> Result<()> {
    let file = std::env::var("REGRAFT_COMPARE").expect("the file's path is in REGRAFT_COMPARE");
    let theirs: BTreeMap<_, _> = Tensor::read_safetensors(&file)?.into_iter().collect();
    let name = std::path::Path::new(&file).file_stem().unwrap().to_str().unwrap();
    let (backbone, head, store) = network(name, 1000)?;
    tch::no_grad(|| {
        for (name, entry) in store.entries() {
            assert_eq!(entry.tensor.size(), theirs[name].size(), "{name}");
            entry.tensor.shallow_clone().copy_(&theirs[name]);
        }
    });
    let of_model = theirs.keys().filter(|name| !name.starts_with("compare.") && !backbone.ignores(name));
    assert_eq!(of_model.count(), store.entries().count(), "{name}: tensors that have no place");

    let images = &theirs["compare.images"];
    let mut row = format!("| `{name}` | {}", images.size()[3]);
    let mut compare = |mode: &str, found: &Tensor| {
        let expected = &theirs[mode];
        let error = (found - expected).abs().max().double_value(&[]);
        let largest = expected.abs().max().double_value(&[]);
        assert!(error < TOLERANCE * largest, "{name}: {mode} differs by {error:.1e} of {largest:.2}");
        row += &format!(" | {} of {largest:.2}", short(error));
    };
    compare("compare.eval", &tch::no_grad(|| logits(&backbone, &head, images, false))?);
    let trained = logits(&backbone, &head, images, true)?;
    compare("compare.train", &trained.detach());
    (trained * &theirs["compare.cotangent"]).sum(Kind::Float).backward();

    let mut squares: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    let square = |tensor: &Tensor| tensor.norm_scalaropt_dtype(2, Kind::Double).double_value(&[]).powi(2);
    for (name, tensor) in store.parameters() {
        let expected = &theirs[&format!("compare.gradient.{name}")];
        let sums = squares.entry(part(name)).or_default();
        sums.0 += square(&(tensor.grad() - expected));
        sums.1 += square(expected);
    }
    let worst = squares.values().map(|(error, all)| (error / all).sqrt()).fold(0.0, f64::max);
    assert!(worst < TOLERANCE, "{name}: a layer's gradient differs by {worst:.1e} of itself");
    println!("{row} | {} |", short(worst));
    Ok(())
}

fn short(error: f64) -> String {
    if error == 0.0 { "0".to_string() } else { format!("{error:.1e}") }
}
