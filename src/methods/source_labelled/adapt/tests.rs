//! Whole steps against PyTorch, and what keeps labels out.

use tch::{Device, Kind, Tensor};

use super::batches::DomainsBatch;
use super::objective::{Adapt, Measured};
use super::*;
use crate::data::{LoaderOptions, Sampler};
use crate::eval::Selection;
use crate::loss::CrossEntropy;
use crate::methods::source_labelled::goldens::{close, golden};
use crate::models::{Builder, Classifier, HeadKind, Named, Spec};
use crate::train::{
    FeatureSource, Features, FitOptions, Input, LabelledBatch, Objective, Optimizer, Precision, Progress, Rule, Shape,
    Source,
};

/// The digits' network of the paper, for four classes.
fn network() -> Result<Classifier> {
    let Named::Unlearned(network) = Named::find("dann_mnist".as_ref())? else { unreachable!("it has no weights") };
    let spec = Spec {
        architecture: "dann_mnist".into(),
        source: "random".into(),
        head: HeadKind::Linear,
        head_path: None,
        dropout: None,
        classes: ["a", "b", "c", "d"].map(String::from).to_vec(),
        preprocessing: network.preprocessing,
        temperature: 1.0,
        earlier: None,
        beside: None,
    };
    Classifier::new(spec, Device::Cpu, 0)
}

/// Something to measure on, which no test here does.
fn nothing() -> Result<Source> {
    let features = Features { values: Tensor::zeros([1, 100], (Kind::Float, Device::Cpu)), stages: 4 };
    Ok(Source::Features(FeatureSource::new(features, vec![0], Sampler::Sequential, LoaderOptions::default())?))
}

/// The network with a method on it.
fn adapt(method: Method, strengths: Strengths) -> Result<Adapt> {
    let model = network()?;
    let (builder, extractor) = (Builder::new(Device::Cpu), Extractor::of(&model, None)?);
    let setup = Setup { builder: &builder, model: &model, extractor, aligned: 768, strengths: &strengths, begin: None };
    let method = method.build(&setup)?;
    let store = model.store.with(&builder.finish())?;
    let options = AdaptOptions::default();
    let plan = options.freezing.plan(&model.outline(), &model.store)?;
    Ok(Adapt {
        model,
        store,
        extractor,
        method,
        plan,
        criterion: CrossEntropy::new(None, 0.0, Device::Cpu),
        measured: Measured { source: nothing()?, target: nothing()?, test: None },
        select: Selection::Source,
        precision: Precision::Fp32,
    })
}

/// Pixels that are the same in every language.
fn images(count: i64, step: i64, domain: i64) -> Tensor {
    let index = Tensor::arange(count * 28 * 28 * 3, (Kind::Int64, Device::Cpu));
    let rows = index.floor_divide_scalar(97);
    let pixels = (&index * 7919 + &rows * &rows + (step * 104_729 + domain * 31)).remainder(256);
    pixels.to_kind(Kind::Uint8).reshape([count, 28, 28, 3])
}

fn batch(step: i64) -> DomainsBatch {
    let labels = (Tensor::arange(6, (Kind::Int64, Device::Cpu)) + step).remainder(4);
    let source = LabelledBatch { input: Input::Images(images(6, step, 0)), labels };
    DomainsBatch { source, target: Input::Images(images(9, step, 1)) }
}

/// Ten steps of SGD from weights that are written down, on batches of unequal size.
fn ten_steps(method: Method, name: &str) -> Result<()> {
    let strengths = Strengths { discriminator: vec![10], ..crate::options::defaults() };
    let mut adapt = adapt(method, strengths)?;
    adapt.begin_epoch(0)?;
    tch::no_grad(|| -> Result<()> {
        for (number, (_, parameter)) in adapt.store.parameters().enumerate() {
            let (size, count) = (parameter.size(), parameter.numel() as i64);
            let fan_in = if size.len() > 1 { count / size[0] } else { count };
            let values = (Tensor::arange(count, (Kind::Float, Device::Cpu)) * 0.37 + number as f64).sin();
            parameter.shallow_clone().f_copy_(&(values / (fan_in as f64).sqrt()).reshape(size.as_slice()))?;
        }
        Ok(())
    })?;
    let mut options: FitOptions = crate::options::defaults();
    (options.optimizer.optimizer, options.optimizer.lr) = (Rule::Sgd, 0.01);
    (options.optimizer.momentum, options.optimizer.weight_decay) = (0.9, 0.0);
    (options.schedule.schedule, options.schedule.warmup) = (Shape::Inverse, 0.0);
    let mut optimizer = Optimizer::new(options.optimizer.clone(), &adapt.store, |_| 1.0);
    let expected = golden();
    for step in 0..10 {
        let progress = Progress { step, steps_per_epoch: 10, epochs: 1 };
        let parts = adapt.losses(&batch(step as i64), progress)?;
        parts.total.backward();
        optimizer.step(options.schedule.factor(progress, 1.0))?;
        optimizer.forget_gradients()?;
        let found: Vec<f64> = ["cross_entropy", "domain"]
            .iter()
            .map(|name| f64::try_from(&parts.losses.iter().find(|(own, _)| own == name).unwrap().1).unwrap())
            .collect();
        let row = expected[&format!("{name}/losses")].get(step as i64);
        close(&Tensor::from_slice(&found), &row, 1e-4, &format!("{name}, step {step}"));
    }
    let prefix = format!("{name}/");
    let tensors = expected.iter().filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?, value)));
    for (parameter, value) in tensors.filter(|(parameter, _)| *parameter != "losses") {
        close(adapt.store.get(parameter).unwrap(), value, 1e-4, &format!("{name}, {parameter} after ten steps"));
    }
    Ok(())
}

#[test]
fn ten_steps_of_dann_are_those_of_pytorch() -> Result<()> {
    ten_steps(Method::Dann, "dann")
}

#[test]
fn ten_steps_of_cdan_are_those_of_pytorch() -> Result<()> {
    ten_steps(Method::Cdan, "cdan")
}

#[test]
fn every_method_that_stands_alone_has_terms_with_gradients() -> Result<()> {
    use clap::ValueEnum;
    for &method in Method::value_variants() {
        if method.begins_with().is_some() || matches!(method, Method::SourceOnly | Method::Oracle) {
            continue;
        }
        let mut adapt = adapt(method, crate::options::defaults())?;
        adapt.begin_epoch(0)?;
        // in the middle, where every ramp is up
        let parts = adapt.losses(&batch(0), Progress { step: 5, steps_per_epoch: 10, epochs: 1 })?;
        let names: Vec<_> = parts.losses.iter().map(|(name, _)| name.to_string()).collect();
        assert!(names[..2] == ["loss", "cross_entropy"] && names.len() > 2, "{}: {names:?}", method.name());
        let own: Vec<f64> = parts.losses[1..].iter().map(|(_, value)| f64::try_from(value).unwrap()).collect();
        let total = f64::try_from(&parts.losses[0].1)?;
        assert!((own.iter().sum::<f64>() - total).abs() < 1e-4, "{}: {own:?} for {total}", method.name());
        parts.total.backward();
        for (name, parameter) in adapt.store.parameters() {
            assert!(parameter.grad().defined(), "{}: {name} learns nothing", method.name());
        }
    }
    Ok(())
}

#[test]
fn the_papers_network_is_cut_where_the_paper_cuts_it() -> Result<()> {
    let model = network()?;
    assert_eq!(Extractor::of(&model, None)?, Extractor::Stages(2));
    assert_eq!(Extractor::of(&model, Some("head"))?, Extractor::Embedding);
    assert_eq!(Extractor::of(&model, Some("fc1"))?, Extractor::Stages(3));
    let predictor = Extractor::Stages(2).predictor(&model);
    assert!(predictor.iter().all(|name| name.starts_with("fc")) && predictor.len() == 6, "{predictor:?}");
    let spec = Spec { head: HeadKind::Bottleneck, ..model.spec.clone() };
    let predictor = Extractor::Embedding.predictor(&Classifier::new(spec, Device::Cpu, 0)?);
    assert_eq!(predictor, ["fc3.3.bias", "fc3.3.weight"]);
    let wrong = Extractor::of(&model, Some("layer9")).unwrap_err().to_string();
    assert!(wrong.contains("conv1, conv2, fc1, fc2"), "{wrong}");
    Ok(())
}
