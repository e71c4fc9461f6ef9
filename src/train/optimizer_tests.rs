//! The optimizers against torch.optim; `tests/golden/optimizers/generate.py` made what is expected.

use safetensors::SafeTensors;
use tch::Device;

use super::*;
use crate::models::{Builder, Init};

const SHAPES: [(&str, &str, &[i64]); 4] =
    [("head", "weight", &[3, 4]), ("head", "bias", &[3]), ("body", "weight", &[4, 5]), ("body", "bias", &[4])];

/// Values that `number` gives by position.
fn values(shape: &[i64], number: impl Fn(i64) -> f64) -> Tensor {
    let numbers: Vec<f32> = (0..shape.iter().product()).map(|i| number(i) as f32).collect();
    Tensor::from_slice(&numbers).reshape(shape)
}

fn store() -> Result<Store> {
    let builder = Builder::new(Device::Cpu);
    for (layer, name, shape) in SHAPES {
        let parameter = builder.root().at(layer).parameter(name, shape, Init::Constant(0.0))?;
        tch::no_grad(|| parameter.shallow_clone().f_copy_(&values(shape, |i| (5 * i % 11 - 5) as f64 / 10.0)))?;
    }
    Ok(builder.finish())
}

fn options(rule: Rule) -> OptimizerOptions {
    let given = OptimizerOptions { optimizer: rule, lr: 0.02, weight_decay: 0.05, ..crate::options::defaults() };
    OptimizerOptions { nesterov: true, beta2: 0.99, eps: 1e-6, ..given }
}

fn optimizer(rule: Rule, store: &Store) -> Optimizer {
    Optimizer::new(options(rule), store, |name| if name.starts_with("body") { 0.1 } else { 1.0 })
}

/// Takes the steps `from..to` on the fixed gradients.
fn steps(optimizer: &mut Optimizer, store: &Store, from: i64, to: i64) -> Result<()> {
    for step in from..to {
        for (_, parameter) in store.parameters() {
            let gradient = values(&parameter.size(), |i| ((7 * step + 13 * i) % 17 - 8) as f64 / 16.0);
            (parameter * gradient).sum(Kind::Float).f_backward()?;
        }
        optimizer.step(1.0)?;
        optimizer.forget_gradients()?;
    }
    Ok(())
}

#[test]
fn a_hundred_steps_equal_torch_optim() -> Result<()> {
    let golden = SafeTensors::deserialize(include_bytes!("../../tests/golden/optimizers/data.safetensors")).unwrap();
    for (rule, folder) in [(Rule::Sgd, "sgd"), (Rule::Adamw, "adamw")] {
        let store = store()?;
        let mut optimizer = optimizer(rule, &store);
        for (from, to) in [(0, 1), (1, 50), (50, 100)] {
            steps(&mut optimizer, &store, from, to)?;
            for (name, parameter) in store.parameters() {
                let view = golden.tensor(&format!("{folder}/{to}/{name}")).unwrap();
                let expected = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
                let found = Vec::<f32>::try_from(parameter.detach().reshape([-1]))?;
                assert_eq!(view.shape().iter().product::<usize>(), found.len());
                for (found, expected) in found.into_iter().zip(expected) {
                    assert!((found - expected).abs() < 1e-6, "{folder}/{to}/{name}: {found}, expected {expected}");
                }
            }
        }
    }
    Ok(())
}

#[test]
fn a_saved_state_goes_on_in_the_same_bytes() -> Result<()> {
    for rule in [Rule::Sgd, Rule::Adamw] {
        let whole = store()?;
        steps(&mut optimizer(rule, &whole), &whole, 0, 60)?;
        let first = store()?;
        let mut before = optimizer(rule, &first);
        steps(&mut before, &first, 0, 30)?;
        let (saved, model) = (before.snapshot(), first.snapshot()?);
        steps(&mut before, &first, 30, 40)?; // what is saved does not change with what goes on
        let second = store()?;
        second.restore(&model)?;
        let mut after = optimizer(rule, &second);
        after.restore(&saved)?;
        steps(&mut after, &second, 30, 60)?;
        assert_eq!(second.digest(|_| true)?, whole.digest(|_| true)?);
    }
    Ok(())
}

#[test]
fn a_state_of_another_rule_or_parameter_is_refused() -> Result<()> {
    let store = store()?;
    let state = |rule| -> Result<BTreeMap<String, Tensor>> {
        let mut optimizer = optimizer(rule, &store);
        steps(&mut optimizer, &store, 0, 1)?;
        Ok(optimizer.snapshot())
    };
    for (saved, other) in [(Rule::Sgd, Rule::Adamw), (Rule::Adamw, Rule::Sgd)] {
        let message = optimizer(other, &store).restore(&state(saved)?).unwrap_err().to_string();
        assert!(message.contains("another rule"), "{message}");
    }
    let unknown = BTreeMap::from([("tail.weight.0".to_string(), Tensor::from(0f32))]);
    let message = optimizer(Rule::Sgd, &store).restore(&unknown).unwrap_err().to_string();
    assert!(message.contains("tail.weight"), "{message}");
    Ok(())
}

#[test]
fn what_is_frozen_stays_and_what_thaws_begins_anew() -> Result<()> {
    let store = store()?;
    let body = ["body.bias", "body.weight"].map(String::from).into();
    store.freeze(&body, false)?;
    let is_body = |name: &str| name.starts_with("body");
    let before = store.digest(is_body)?;
    let mut optimizer = optimizer(Rule::Adamw, &store);
    let loss = |store: &Store| -> Result<()> {
        let squares: Vec<_> = store.parameters().map(|(_, parameter)| parameter.square().sum(Kind::Float)).collect();
        Ok(Tensor::f_stack(&squares, 0)?.sum(Kind::Float).f_backward()?)
    };
    loss(&store)?;
    optimizer.step(1.0)?;
    optimizer.forget_gradients()?;
    assert_eq!(store.digest(is_body)?, before);
    assert_eq!(optimizer.rates(0.5), [("lr".to_string(), 0.01)]);
    assert!(optimizer.snapshot().keys().all(|name| name.starts_with("head")));

    store.freeze(&Default::default(), false)?;
    optimizer.regroup(&store, |name| if is_body(name) { 0.1 } else { 1.0 });
    loss(&store)?;
    optimizer.step(1.0)?;
    assert_ne!(store.digest(is_body)?, before);
    assert_eq!(optimizer.rates(1.0), [("lr".to_string(), 0.02), ("lr x0.1000".to_string(), 0.002)]);
    let taken = |name: &str| f64::try_from(&optimizer.snapshot()[&format!("{name}.2")]).unwrap();
    assert_eq!((taken("head.bias"), taken("body.bias")), (2.0, 1.0));
    Ok(())
}
