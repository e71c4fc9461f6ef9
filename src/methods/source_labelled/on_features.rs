//! Domain adaptation of features that others computed (source labelled, target not): methods in closed form, and a classifier.
//!
//! A file of rows for each domain ([`FeatureSet`]). Rows without a negative number are histograms, as those of visual words, and are
//! divided by their sums; then every feature is standardised within its domain, as Gong et al. 2012 do it. What follows is
//! a [`Method`] that needs no network: source-only, subspace alignment (`subspace_alignment.rs`) or CORAL (`coral.rs`).
//!
//! | classifier | | as |
//! |---|---|---|
//! | `svm` | linear machines for each pair of classes, C by five-fold cross-validation on the source | Sun et al. 2016 |
//! | `nearest` | the class of the nearest row of the source | Fernando et al. 2013 |
//!
//! The target's labels, where the file has them, serve the score headed oracle and nothing else. With `--rows-per-class` N rows of each class
//! of the source are drawn anew for every seed, as the papers do with 20 or 8, and teach the classifier; what needs no label is done
//! with all rows.

use std::path::Path;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::adapt::{Method, Methods, Standardised};
use super::{coral, subspace_alignment};
use crate::data::{FeatureSet, at_most};
use crate::eval::{Spread, oracle_accuracy};
use crate::models::SupportVectors;
use crate::{Error, Result};

/// How rows are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum RowClassifier {
    /// Linear support vector machines, C by cross-validation on the source.
    Svm,
    /// The nearest row of the source.
    Nearest,
}

/// What only features ask for.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
pub struct FeatureOptions {
    /// Files of features: how rows are classified
    #[arg(long, value_enum, default_value = "svm", help_heading = "Features instead of images")]
    pub classifier: RowClassifier,
    /// Files of features: learns from so many rows of each class of the source, drawn anew for each seed, or all of a class that has
    /// no more [default: all]
    #[arg(long, value_name = "N", help_heading = "Features instead of images")]
    pub rows_per_class: Option<usize>,
}

/// What a method came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OnFeatures {
    /// Which.
    pub method: Method,
    /// Accuracy on the target over the seeds.
    #[serde(rename = "oracle_target")]
    pub target: Spread,
    /// The classes that the target's rows are taken for with the first seed.
    #[serde(skip)]
    pub predicted: Vec<String>,
}

/// Rows of one domain, standardised.
fn standardised(features: &Tensor) -> Result<Tensor> {
    let mut x = features.f_to_kind(Kind::Double)?;
    if f64::try_from(x.f_min()?)? >= 0.0 {
        x = x.f_div(&x.f_sum_dim_intlist(1, true, Kind::Double)?.f_clamp_min(1e-12)?)?;
    }
    Ok(Standardised::of(&x)?.rows)
}

/// Classifies the target's rows by every method, with seeds from `first` on.
///
/// # Errors
/// A method that needs images, a file that cannot be read, domains without a class in common or with other features.
pub fn run(
    source: &Path,
    target: &Path,
    methods: &Methods,
    directions: i64,
    options: &FeatureOptions,
    seeds: std::ops::Range<u64>,
) -> Result<Vec<OnFeatures>> {
    let possible = [Method::SourceOnly, Method::Sa, Method::Coral];
    let methods: Vec<Method> = if methods.are_all() { possible.to_vec() } else { methods.list().to_vec() };
    if let Some(method) = methods.iter().find(|method| !possible.contains(method)) {
        let known = possible.map(Method::name).join(", ");
        return Err(Error::Usage(format!("--methods {}: needs images; of features there are {known}", method.name())));
    }
    for (flag, count) in [("rows-per-class", options.rows_per_class), ("seeds", Some(seeds.clone().count()))] {
        if count == Some(0) {
            return Err(Error::Usage(format!("--{flag} must be at least 1")));
        }
    }
    let (source_set, target_set) = (FeatureSet::open(source)?, FeatureSet::open(target)?);
    if source_set.dimensions() != target_set.dimensions() {
        let (found, wanted) = (target_set.dimensions(), source_set.dimensions());
        return Err(Error::file(target, format!("has rows of {found} features, the source of {wanted}")));
    }
    let classes = source_set.classes.clone();
    let (from, to) = (standardised(&source_set.features)?, standardised(&target_set.features)?);
    let held_out = target_set.forget_labels_among(&classes);
    let mut found = vec![];
    for method in methods {
        let (rows, tested) = match (method, options.classifier) {
            (Method::Sa, _) => {
                let (aligned, wanted) = subspace_alignment::aligned(&from, &to, directions)?;
                (aligned, to.f_matmul(&wanted)?)
            }
            (Method::Coral, RowClassifier::Svm) => coral::compared(&from, &to)?,
            (Method::Coral, RowClassifier::Nearest) => (coral::recoloured(&from, &to)?, to.shallow_clone()),
            _ => (from.shallow_clone(), to.shallow_clone()),
        };
        let (mut spread, mut predicted) = (Spread::of([]), vec![]);
        for seed in seeds.clone() {
            let chosen = match options.rows_per_class {
                Some(many) => at_most(&source_set.labels, many, seed)?.train,
                None => (0..source_set.len()).collect(),
            };
            let labels: Vec<usize> = chosen.iter().map(|&row| source_set.labels[row]).collect();
            let index: Vec<i64> = chosen.iter().map(|&row| row as i64).collect();
            let chosen = rows.f_index_select(0, &Tensor::from_slice(&index))?;
            let guessed = classify(options.classifier, (&chosen, &labels), &tested, classes.len(), seed)?;
            spread.add(oracle_accuracy(&held_out, &guessed)?);
            if predicted.is_empty() {
                predicted = guessed.into_iter().map(|class| classes[class].clone()).collect();
            }
        }
        found.push(OnFeatures { method, target: spread, predicted });
    }
    Ok(found)
}

fn classify(
    classifier: RowClassifier,
    (rows, labels): (&Tensor, &[usize]),
    tested: &Tensor,
    classes: usize,
    seed: u64,
) -> Result<Vec<usize>> {
    match classifier {
        RowClassifier::Svm => SupportVectors::cross_validated(rows, labels, classes, seed)?.0.predict(tested),
        RowClassifier::Nearest => {
            let nearest = Tensor::f_cdist(tested, rows, 2.0, None::<i64>)?.f_argmin(1, false)?;
            Ok(Vec::<i64>::try_from(&nearest)?.into_iter().map(|row| labels[row as usize]).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::models::formats::{StateDict, write_safetensors};

    /// Two classes along one direction, which the target has in other units and another place.
    fn write(path: &Path, speed: f64, scale: f64, shift: f64) {
        let labels = Tensor::arange(60, (Kind::Int64, Device::Cpu)).remainder(2);
        let sign = labels.to_kind(Kind::Double) * 4.0 - 2.0;
        let noise = |more: f64| (Tensor::arange(60, (Kind::Double, Device::Cpu)) * (speed + more)).sin();
        let features = Tensor::stack(&[&sign + noise(0.0), noise(1.0), &sign * 0.5 + noise(2.0)], 1) * scale + shift;
        let tensors = [("features".to_string(), features), ("labels".to_string(), labels)];
        write_safetensors(path, &StateDict::new(tensors.into(), Default::default())).unwrap();
    }

    #[test]
    fn every_method_and_classifier_finds_the_classes_of_a_moved_domain() -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        let (source, target) = (folder.path().join("a.safetensors"), folder.path().join("b.safetensors"));
        write(&source, 1.3, 1.0, 0.0);
        write(&target, 1.7, 40.0, -7.0);
        assert!(FeatureSet::lies_at(&source) && !FeatureSet::lies_at(folder.path()));
        for classifier in [RowClassifier::Svm, RowClassifier::Nearest] {
            let options = FeatureOptions { classifier, rows_per_class: Some(20) };
            let found = run(&source, &target, &"all".parse()?, 2, &options, 0..2)?;
            assert_eq!(
                found.iter().map(|one| one.method).collect::<Vec<_>>(),
                [Method::SourceOnly, Method::Sa, Method::Coral]
            );
            for one in found {
                assert!(one.target.mean > 0.9 && one.target.values.len() == 2, "{classifier:?} {one:?}");
                assert_eq!(one.predicted.len(), 60);
            }
        }
        let options = FeatureOptions { classifier: RowClassifier::Svm, rows_per_class: None };
        let needs = run(&source, &target, &"dann".parse()?, 2, &options, 0..1).unwrap_err().to_string();
        assert!(needs.contains("source-only, sa, coral"), "{needs}");
        Ok(())
    }
}
