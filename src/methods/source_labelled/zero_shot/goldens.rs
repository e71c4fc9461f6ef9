//! Closed forms and protocol against NumPy and SciPy; `tests/golden/zero_shot/generate.py` made the numbers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use clap::ValueEnum;
use tch::{Kind, Tensor};

use super::sae::Space;
use super::{Course, Method, Place, Scaling, Task, compare, eszsl, sae};
use crate::Result;
use crate::eval::{Generalised, ZeroShotScores};
use crate::methods::source_labelled::goldens::close;

/// Eight of the twelve classes are seen.
const SEEN: i64 = 8;

fn golden() -> BTreeMap<String, Tensor> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/zero_shot/data.safetensors");
    Tensor::read_safetensors(path).unwrap().into_iter().collect()
}

fn numbers(x: &Tensor) -> Vec<usize> {
    Vec::<i64>::try_from(x).unwrap().into_iter().map(|number| number as usize).collect()
}

/// Features and labels to learn from, and the descriptions of the seen classes.
fn learned(golden: &BTreeMap<String, Tensor>) -> (Tensor, Vec<usize>, Tensor) {
    let rows = golden["learned"].nonzero().squeeze_dim(1);
    let labels = numbers(&golden["labels"].index_select(0, &rows));
    (golden["features"].index_select(0, &rows), labels, golden["table"].narrow(0, 0, SEEN))
}

#[test]
fn eszsl_is_the_papers_solution() -> Result<()> {
    let golden = golden();
    let (x, labels, descriptions) = learned(&golden);
    let found = eszsl::Problem::new(&x, &labels, &descriptions)?.solve(10.0, 0.1)?;
    close(&found.map, &golden["eszsl.map"], 1e-9, "map");
    close(&found.scores(&golden["features"], &golden["table"])?, &golden["eszsl.scores"], 1e-9, "scores");
    assert!(eszsl::Problem::new(&x, &labels[1..], &descriptions).is_err());
    assert!(eszsl::Problem::new(&x, &labels, &descriptions.narrow(0, 0, 2)).is_err());
    Ok(())
}

#[test]
fn sae_solves_the_sylvester_equation() -> Result<()> {
    let golden = golden();
    let (x, labels, descriptions) = learned(&golden);
    let found = sae::Problem::new(&x, &labels, &descriptions)?.solve(0.3)?;
    close(&found.code, &golden["sae.code"], 1e-9, "code");
    for (space, name) in [(Space::Descriptions, "sae.descriptions"), (Space::Features, "sae.features")] {
        close(&found.scores(&golden["features"], &golden["table"], space)?, &golden[name], 1e-9, name);
    }
    // with more attributes than seen classes and more features than images neither side has an inverse
    let (few, of_few) = (x.narrow(0, 0, 4), &labels[..4]);
    let wide = Tensor::cat(&[&descriptions, &(&descriptions * 2.0)], 1);
    let code = sae::Problem::new(&few, of_few, &wide)?.solve(0.3)?.code;
    let s = wide.index_select(0, &Tensor::from_slice(&of_few.iter().map(|&at| at as i64).collect::<Vec<_>>()));
    let left = s.tr().matmul(&s).matmul(&code) + code.matmul(&few.tr().matmul(&few)) * 0.3;
    close(&left, &(s.tr().matmul(&few) * 1.3), 1e-9, "the equation");
    Ok(())
}

#[test]
fn the_protocol_counts_as_numpy_does() -> Result<()> {
    let golden = golden();
    let (scores, labels) = (&golden["test.scores"], numbers(&golden["test.labels"]));
    let seen: Vec<bool> = (0..12).map(|class| class < SEEN).collect();
    let found = Generalised::of(scores, &labels, &seen)?;
    let expected = Vec::<Vec<f64>>::try_from(&golden["protocol.points"]).unwrap();
    let gammas = Vec::<f64>::try_from(&golden["protocol.gammas"]).unwrap();
    assert!(expected.iter().any(|point| point[0] > 0.0 && point[1] > 0.0));
    for (gamma, expected) in gammas.into_iter().zip(expected) {
        let point = found.at(gamma);
        assert!((point.unseen - expected[0]).abs() < 1e-9 && (point.seen - expected[1]).abs() < 1e-9, "{gamma}");
    }
    assert!((found.ausuc - golden["protocol.ausuc"].double_value(&[0])).abs() < 1e-9);
    // among unseen classes alone
    let rows: Vec<i64> = (0..labels.len()).filter(|&at| !seen[labels[at]]).map(|at| at as i64).collect();
    let only = scores.index_select(0, &Tensor::from_slice(&rows)).narrow(1, SEEN, 4).to_kind(Kind::Float);
    let of_rows: Vec<usize> = rows.iter().map(|&at| labels[at as usize] - SEEN as usize).collect();
    let classes: Vec<String> = (SEEN..12).map(|class| class.to_string()).collect();
    let t1 = ZeroShotScores::of(&only, &of_rows, &classes)?.per_class_accuracy;
    assert!((t1 - golden["protocol.t1"].double_value(&[0])).abs() < 1e-9);
    Ok(())
}

#[test]
fn published_files_go_through_the_whole_protocol() -> Result<()> {
    let golden = golden();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/zero_shot");
    let (task, left_out) = Task::of_files(&folder.join("res101.mat"), &folder.join("att_splits.mat"), Scaling::Length)?;
    close(&task.features, &golden["features"], 1e-12, "features");
    assert_eq!(task.labels, numbers(&golden["labels"]));
    assert_eq!((task.classes[1].as_str(), task.seen.iter().filter(|seen| **seen).count()), ("class+b", 8));
    // the published lists also have images of test_seen
    assert_eq!((task.trainval.len(), task.train.len() + task.val.len(), left_out), (62, 62, 18));
    let (mut tried, interrupted) = (0, AtomicBool::new(false));
    let course = Course {
        seed: 0,
        tried: &mut || tried += 1,
        place: &mut |_| Ok(Place::passing(&interrupted)),
        found: &mut |_| Ok(()),
        interrupted: &interrupted,
    };
    let found = compare(&task, &[Method::Eszsl, Method::Sae], course)?;
    assert_eq!(tried, Method::Eszsl.settings().len() + Method::Sae.settings().len());
    let place = Method::Eszsl.settings().iter().position(|setting| *setting == found[0].setting).unwrap();
    let expected = Vec::<f64>::try_from(&golden["protocol.eszsl"].get(place as i64)).unwrap();
    let numbers = [found[0].unseen.per_class_accuracy, found[0].plain.unseen, found[0].plain.seen];
    for (found, expected) in numbers.into_iter().zip(expected) {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
    for one in &found {
        assert!(one.unseen.per_class_accuracy > 0.25 && one.ausuc > 0.0 && one.ausuc <= 1.0, "{one:?}");
        assert_eq!((one.unseen.images, one.unseen.classes.len()), (40, 4));
    }
    Ok(())
}

#[test]
fn every_method_is_better_than_guessing() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/zero_shot");
    let (task, _) = Task::of_files(&folder.join("res101.mat"), &folder.join("att_splits.mat"), Scaling::Length)?;
    let interrupted = AtomicBool::new(false);
    let methods: Vec<Method> =
        Method::value_variants().iter().copied().filter(|method| *method != Method::Pull).collect();
    let mut trained = vec![];
    let course = Course {
        seed: 0,
        tried: &mut || {},
        place: &mut |method| {
            trained.push(method);
            Ok(Place::passing(&interrupted))
        },
        found: &mut |_| Ok(()),
        interrupted: &interrupted,
    };
    let found = compare(&task, &methods, course)?;
    assert_eq!(trained, methods);
    for one in found {
        let t1 = one.unseen.per_class_accuracy;
        assert!(t1 > 0.3, "{:?}: {t1}, {:?}", one.method, one.setting);
    }
    // nothing goes on once it is interrupted
    interrupted.store(true, std::sync::atomic::Ordering::Relaxed);
    let course = Course {
        seed: 0,
        tried: &mut || {},
        place: &mut |_| Ok(Place::passing(&interrupted)),
        found: &mut |_| Ok(()),
        interrupted: &interrupted,
    };
    assert!(matches!(compare(&task, &[Method::Devise], course), Err(crate::Error::Interrupted(_))));
    Ok(())
}
