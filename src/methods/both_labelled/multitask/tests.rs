//! The network of several tasks: what is shared and what is not, beside the same written out in PyTorch.

use std::path::Path;

use tch::{Device, Kind, Tensor};

use super::*;
use crate::data::Preprocessing;
use crate::loss::CrossEntropy;
use crate::models::{Classifier, HeadKind, Spec, architecture};

/// A classifier with random weights for small images.
fn classifier(architecture: &str, classes: usize) -> Result<Classifier> {
    let preprocessing =
        architecture::unlearned(architecture).map_or_else(Preprocessing::imagenet, |one| one.preprocessing);
    let spec = Spec {
        architecture: architecture.into(),
        source: "random".into(),
        head: HeadKind::Linear,
        head_path: None,
        dropout: Some(0.0),
        classes: (0..classes).map(|class| class.to_string()).collect(),
        preprocessing,
        temperature: 1.0,
        earlier: None,
        beside: None,
    };
    Classifier::new(spec, Device::Cpu, 1)
}

/// Tasks of 3 and 2 classes, called left and right.
fn network(architecture: &str, own: &str) -> Result<Network> {
    let tasks = [("left", 3), ("right", 2)];
    let tasks = tasks.map(|(name, classes)| Ok((name.to_string(), classifier(architecture, classes)?)));
    Network::join(tasks.into_iter().collect::<Result<_>>()?, &own.parse()?)
}

/// The fractions of large sines, in −scale..scale: what looks random and is the same everywhere.
fn noise(shape: &[i64], speed: f64, scale: f64) -> Tensor {
    let count: i64 = shape.iter().product();
    let values = (Tensor::arange_start(1, count + 1, (Kind::Double, Device::Cpu)) * speed).sin() * 10000.0;
    ((&values - values.floor()) * (2.0 * scale) - scale).reshape(shape).to_kind(Kind::Float)
}

fn images(count: i64, side: i64) -> Tensor {
    noise(&[count, 3, side, side], 0.3 + count as f64, 1.5)
}

/// Sums the loss of one task over a batch that has images of both.
fn loss_of(network: &Network, task: usize, sides: [i64; 2]) -> Result<Tensor> {
    let logits = network.forward(vec![images(4, sides[0]), images(6, sides[1])], true)?;
    let labels = Tensor::arange(logits[task].size()[0], (Kind::Int64, Device::Cpu)).remainder(2);
    CrossEntropy::new(None, 0.0, Device::Cpu).hard(&logits[task], &labels)
}

/// The largest gradient of the parameters whose names begin so.
fn largest_gradient(network: &Network, prefix: &str) -> f64 {
    let named = network.store.parameters().filter(|(name, _)| name.starts_with(prefix));
    let gradients = named.map(|(_, tensor)| tensor.grad()).filter(Tensor::defined);
    gradients.map(|gradient| gradient.abs().max().double_value(&[])).fold(0.0, f64::max)
}

#[test]
fn a_tasks_loss_reaches_what_is_shared_and_its_own_and_nothing_of_the_other() -> Result<()> {
    for sides in [[28, 28], [28, 40]] {
        let network = network("small_cnn", "first:1,last:1")?;
        loss_of(&network, 1, sides)?.f_backward()?;
        assert_eq!(largest_gradient(&network, "tasks.left."), 0.0, "{sides:?}");
        for reached in ["tasks.right.conv1.", "tasks.right.fc6.", "tasks.right.fc7.", "conv2.", "conv5."] {
            assert!(largest_gradient(&network, reached) > 0.0, "{sides:?}: {reached}");
        }
    }
    Ok(())
}

#[test]
fn joined_or_one_after_the_other_every_task_gets_its_answers() -> Result<()> {
    for own in ["none", "first:1", "conv3", "first:1,last:1"] {
        let network = network("small_cnn", own)?;
        for side in [28, 40] {
            let inputs = [images(4, 28), images(6, side)];
            let together = network.forward(inputs.iter().map(Tensor::shallow_clone).collect(), false)?;
            for (task, input) in inputs.iter().enumerate() {
                let alone = network.forward_one(task, input.shallow_clone(), false)?;
                assert!(alone.allclose(&together[task], 1e-4, 1e-5, false), "{own} {side} {task}");
                let classifier = network.classifier(task)?;
                assert_eq!(classifier.forward(input, false)?, alone, "{own} {side} {task}");
            }
        }
    }
    Ok(())
}

#[test]
fn with_one_task_it_is_the_classifier_itself() -> Result<()> {
    for (architecture, own) in [("small_cnn", "first:1"), ("resnet18", "none")] {
        let whole = classifier(architecture, 3)?;
        let network = Network::join(vec![("only".into(), classifier(architecture, 3)?)], &own.parse()?)?;
        // tests that run at the same time share libtorch's generator, so the initial values may differ
        for (name, entry) in network.store.entries() {
            let value = whole.store.get(model::plain_name(name)).expect("the same tensors");
            tch::no_grad(|| entry.tensor.shallow_clone().f_copy_(value))?;
        }
        let labels = Tensor::from_slice(&[0i64, 1, 2, 0]);
        let criterion = CrossEntropy::new(None, 0.0, Device::Cpu);
        let (expected, found) = (whole.forward(&images(4, 32), true)?, network.forward(vec![images(4, 32)], true)?);
        assert_eq!(found[0], expected);
        criterion.hard(&expected, &labels)?.f_backward()?;
        criterion.hard(&found[0], &labels)?.f_backward()?;
        for (name, tensor) in network.store.parameters() {
            let expected = whole.store.get(model::plain_name(name)).expect("the same tensors").grad();
            assert_eq!(tensor.grad(), expected, "{name}");
        }
    }
    Ok(())
}

#[test]
fn a_shared_batch_norm_sees_the_mixture_of_images_of_one_shape() -> Result<()> {
    let batches = |network: &Network| network.store.get("bn1.num_batches_tracked").unwrap().int64_value(&[]);
    for (sides, expected) in [([32, 32], 1), ([32, 64], 2)] {
        let network = network("resnet18", "none")?;
        let _loss = loss_of(&network, 0, sides)?;
        assert_eq!(batches(&network), expected);
    }
    let mut own = network("resnet18", "stem")?;
    let _loss = loss_of(&own, 0, [32, 32])?;
    let tracked = |name: &str| own.store.get(name).map(|tensor| tensor.int64_value(&[]));
    assert_eq!(tracked("tasks.left.bn1.num_batches_tracked"), Some(1));
    assert_eq!((tracked("bn1.num_batches_tracked"), tracked("layer1.0.bn1.num_batches_tracked")), (None, Some(1)));
    // one task's own stage can be frozen, and holds its statistics
    let left: std::collections::BTreeSet<String> =
        own.outline().stages[0].1.iter().filter(|name| name.contains("left")).cloned().collect();
    own.freeze(&left, false)?;
    assert_eq!(own.store.held_norms(), ["tasks.left.bn1"]);
    let _loss = loss_of(&own, 0, [32, 32])?;
    let tracked = |name: &str| own.store.get(name).map(|tensor| tensor.int64_value(&[]));
    assert_eq!(tracked("tasks.left.bn1.num_batches_tracked"), Some(1));
    assert_eq!(tracked("tasks.right.bn1.num_batches_tracked"), Some(2));
    Ok(())
}

#[test]
fn selectors_reach_shared_and_own_layers() -> Result<()> {
    let network = network("small_cnn", "first:1")?;
    let outline = network.outline();
    let select = |text: &str| text.parse::<crate::models::Selector>()?.select(&outline);
    assert_eq!(select("first:1")?.len(), 4);
    assert_eq!(select("head")?.len(), 4);
    assert!(select("tasks.left.*")?.iter().eq([
        "tasks.left.conv1.bias",
        "tasks.left.conv1.weight",
        "tasks.left.fc7.bias",
        "tasks.left.fc7.weight"
    ]));
    assert_eq!(select("all")?.len(), 2 * 2 + 5 * 2);
    assert_eq!(network.last_shared().iter().map(Tensor::size).collect::<Vec<_>>(), [[128, 576]]);
    assert_eq!(model::plain_name("tasks.left.conv1.bias"), "conv1.bias");
    assert_eq!(model::plain_name("conv2.bias"), "conv2.bias");
    Ok(())
}

#[test]
fn what_cannot_be_shared_so_is_said() {
    let message = |own: &str| network("small_cnn", own).err().expect("refused").to_string();
    assert!(message("all").contains("leaves no stage"));
    assert!(message("conv9").contains("--own conv9") && message("conv9").contains("conv1, conv2"));
    assert!(message("conv1.weight").contains("1 of the 2 tensors of stage conv1"));
}

/// The network of the golden data, with its values.
fn golden_network() -> Result<Network> {
    let network = network("small_cnn", "first:1")?;
    for (number, (_, tensor)) in network.store.parameters().enumerate() {
        let size = tensor.size();
        let scale = if size.len() > 1 { (6.0 / size[1..].iter().product::<i64>() as f64).sqrt() } else { 0.1 };
        let value = noise(&size, 1.0 + 0.1 * number as f64, scale);
        tch::no_grad(|| tensor.shallow_clone().f_copy_(&value))?;
    }
    Ok(network)
}

/// Asserts that a tensor is within 1e-5 of the largest expected number.
fn close(found: &Tensor, expected: &Tensor, what: &str) {
    let (found, expected) = (found.detach().to_kind(Kind::Double), expected.to_kind(Kind::Double));
    let off = (&found - &expected).abs().max().double_value(&[]);
    let scale = expected.abs().max().double_value(&[]);
    assert!(off <= 1e-5 * scale, "{what}: off by {off} of {scale}");
}

#[test]
fn steps_are_those_that_are_written_out_in_pytorch() -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/multitask/data.safetensors");
    let golden: std::collections::BTreeMap<_, _> = Tensor::read_safetensors(file)?.into_iter().collect();
    let criterion = CrossEntropy::new(None, 0.0, Device::Cpu);
    for (name, rule) in [
        ("fixed", TaskWeights::Fixed),
        ("uncertainty", TaskWeights::Uncertainty),
        ("gradnorm", TaskWeights::Gradnorm(1.5)),
    ] {
        let mut network = golden_network()?;
        let weighing = Weighing::new(rule, vec![0.5, 2.0], 0.1, &mut network.store)?;
        for step in 0..3 {
            let inputs = [("left", 4), ("right", 6)]
                .map(|(task, count)| noise(&[count, 3, 28, 28], 0.7 + task.len() as f64, 1.5));
            let logits = network.forward(inputs.into(), true)?;
            let losses = logits.iter().map(|logits| {
                let labels = Tensor::arange(logits.size()[0], (Kind::Int64, Device::Cpu)).remainder(logits.size()[1]);
                criterion.hard(logits, &labels)
            });
            let losses = losses.collect::<Result<Vec<_>>>()?;
            let total = weighing.total(&losses, &network.last_shared())?;
            total.f_backward()?;
            let found = Tensor::f_stack(&[&total, &losses[0], &losses[1]], 0)?;
            close(
                &found,
                &golden[&format!("{name}/losses")].select(0, step),
                &format!("{name}: losses of step {step}"),
            );
            for (parameter, tensor) in network.store.parameters() {
                let mut gradient = tensor.grad();
                if let Some(expected) = golden.get(&format!("{name}/gradient/{parameter}")).filter(|_| step == 0) {
                    let found = if gradient.size() == expected.size() {
                        gradient.shallow_clone()
                    } else {
                        gradient.flatten(0, -1).narrow(0, 0, 64)
                    };
                    close(&found, expected, &format!("{name}: gradient of {parameter}"));
                }
                let _stepped = tch::no_grad(|| tensor.shallow_clone().f_sub_(&(&gradient * 0.001)))?;
                let _zeroed = gradient.f_zero_()?;
            }
        }
        let state = match &weighing {
            Weighing::Fixed(_) => continue,
            Weighing::Uncertainty { log_variances } => log_variances,
            Weighing::Gradnorm { weights, .. } => weights,
        };
        close(state, &golden[&format!("{name}/state")], &format!("{name}: what was learned"));
    }
    Ok(())
}
