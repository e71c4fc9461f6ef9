//! The features of both domains at one moment: how far they lie apart, and how they look.

use tch::Tensor;

use super::Network;
use super::objective::{Adapt, logits};
use crate::Result;
use crate::eval::proxy_a_distance;
use crate::report::plot::{Points, points, save_png};
use crate::report::projection::{principal_components, t_sne};
use crate::report::{Projected, RunDir, write_projector};
use crate::train::{Source, inference};

/// Columns of what the projector knows of an image.
const COLUMNS: [&str; 2] = ["domain", "class"];
const DOMAINS: [&str; 2] = ["source", "target"];

/// What is to be made alike, of the source's validation images and of some of the target's.
pub(super) struct DomainFeatures {
    /// `[N, D]` f32, with labels `[N]`.
    source: (Tensor, Vec<usize>),
    /// `[M, D]` f32.
    target: Tensor,
    /// The classes that the target's images are taken for.
    pub(super) predicted: Vec<usize>,
    classes: Vec<String>,
}

impl DomainFeatures {
    /// Those of the network as it is now.
    pub(super) fn of(objective: &mut Adapt) -> Result<Self> {
        let Adapt { model, extractor, measured, precision, .. } = objective;
        let aligned = |source: &mut Source| {
            inference::over(source, model.store.device(), *precision, &mut |_| Ok(()), |input| {
                let (begun, x) = inference::begin(model, input)?;
                Ok(Network { model, extractor: *extractor, begun }.pass(&x, false)?.aligned)
            })
        };
        let numbers = |list: &Tensor| -> Result<Vec<usize>> {
            Ok(Vec::<i64>::try_from(list)?.into_iter().map(|number| number as usize).collect())
        };
        let (source, target) = (aligned(&mut measured.source)?, aligned(&mut measured.target)?.values);
        let predicted = logits(model, &mut measured.target, *precision)?.values.f_argmax(-1, false)?;
        Ok(Self {
            source: (source.values, numbers(&source.labels)?),
            target,
            predicted: numbers(&predicted)?,
            classes: model.spec.classes.clone(),
        })
    }

    /// How well the domains can be told apart; nothing of fewer than eight images each.
    pub(super) fn a_distance(&self) -> Result<Option<f64>> {
        let enough = self.source.1.len().min(self.predicted.len()) >= 8;
        enough.then(|| proxy_a_distance(&self.source.0, &self.target)).transpose()
    }

    /// Draws so `many` images of each domain as t-SNE and as principal components, coloured by domain and by class, into
    /// `plots/features-MOMENT.png`, and writes their features for TensorBoard's projector. The class of the target's images is
    /// the one that they are taken for.
    pub(super) fn picture(&self, many: usize, moment: &str, run: &RunDir) -> Result<()> {
        let spread = |count: usize| -> Vec<usize> {
            (0..count.min(many)).map(|index| index * count / count.min(many)).collect()
        };
        let chosen = [spread(self.source.1.len()), spread(self.predicted.len())];
        let count: usize = chosen.iter().map(Vec::len).sum();
        // fewer are no picture
        if count < 8 {
            return Ok(());
        }
        let rows = |features: &Tensor, chosen: &[usize]| {
            let index: Vec<i64> = chosen.iter().map(|&index| index as i64).collect();
            features.f_index_select(0, &Tensor::from_slice(&index).f_to_device(features.device())?)
        };
        let features = Tensor::f_cat(&[rows(&self.source.0, &chosen[0])?, rows(&self.target, &chosen[1])?], 0)?;
        let features = features.f_to_device(tch::Device::Cpu)?;
        let domain: Vec<usize> = [vec![0; chosen[0].len()], vec![1; chosen[1].len()]].concat();
        let class: Vec<usize> = chosen[0]
            .iter()
            .map(|&index| self.source.1[index])
            .chain(chosen[1].iter().map(|&index| self.predicted[index]))
            .collect();
        let ring: Vec<bool> = domain.iter().map(|&domain| domain == 1).collect();
        let mut clouds = vec![];
        for (name, projected) in
            [("t-SNE", t_sne(&features)?), ("principal components", principal_components(&features, 2)?)]
        {
            let at: Vec<(f64, f64)> =
                Vec::<Vec<f64>>::try_from(&projected)?.into_iter().map(|row| (row[0], row[1])).collect();
            let cloud = |title: String, group: &[usize], groups: Vec<String>| Points {
                title,
                at: at.clone(),
                group: group.to_vec(),
                ring: ring.clone(),
                groups,
                marked: vec![],
            };
            clouds.push(cloud(format!("{name}, by domain"), &domain, DOMAINS.map(String::from).to_vec()));
            let title = format!("{name}, by class (rings: target, as predicted)");
            clouds.push(cloud(title, &class, self.classes.clone()));
        }
        save_png(run.plots().join(format!("features-{moment}.png")), &points(&clouds)?)?;
        let labels: Vec<Vec<String>> = domain
            .iter()
            .zip(&class)
            .map(|(&domain, &class)| vec![DOMAINS[domain].to_string(), self.classes[class].clone()])
            .collect();
        let name = format!("features-{moment}");
        write_projector(run.path(), &Projected { name: &name, features: &features, columns: &COLUMNS, rows: &labels })
    }
}
