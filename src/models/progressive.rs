//! Progressive networks as a body of a backbone: columns, one per task, of which only the newest learns.
//!
//! Rusu et al. 2016, "Progressive neural networks": every earlier column j is kept whole and frozen, and what its stages make
//! of the same images flows into the next stage of the newest column, through [`Lateral`] connections:
//!
//! x_i = h_{i−1} + Σ_j lateral_ij(h^j_{i−1}), for the stages i = 2 … and for the head;
//!
//! h_i is what stage i makes of x_i, and the first stage of every column gets the images. Earlier columns have connections among
//! themselves, as they learned with them.
//!
//! Tensors: those of the newest column have their own names, its connections are `laterals.STAGE.COLUMN`, the head's
//! `laterals.head.COLUMN`, with columns counted from 1, and the model beside it has all of its names behind `beside.`.
//!
//! The columns may be of different networks with equally many stages; how many channels a connection joins is found by running
//! an empty image through them.

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use super::backbone::Body;
use super::classifier::{Classifier, EARLIER_HEAD, Spec};
use super::formats::{StateDict, load_into};
use super::lateral::Lateral;
use super::layers::Layer;
use super::store::{Builder, Scope};
use super::{Backbone, Head, Stage, architecture, torchscript};
use crate::{Error, Result};

/// Where the earlier model lies among a model's tensors.
pub(crate) const BESIDE: &str = "beside";
/// Where the connections from earlier columns lie.
pub(crate) const LATERALS: &str = "laterals";

/// A network whose stages also get what the stages of earlier columns make.
struct Column {
    layers: Vec<Box<dyn Layer>>,
    /// Into every stage but the first, and into the head: one from each earlier column.
    laterals: Vec<Vec<Lateral>>,
}

/// What a column made of a batch.
struct Trace {
    /// What each stage made.
    stages: Vec<Tensor>,
    /// What the head gets.
    features: Tensor,
}

impl Column {
    /// A network as the next column after those that made `before` of an empty image.
    fn new(layers: Vec<Box<dyn Layer>>, stages: &[Stage], scope: &Scope, before: &[Trace], x: &Tensor) -> Result<Self> {
        let alone = Self { layers, laterals: stages.iter().map(|_| vec![]).collect() };
        let own = tch::no_grad(|| alone.run(x, &[], &|_| false, None))?.stages;
        let into = stages[1..].iter().map(|stage| stage.name.as_str()).chain(["head"]);
        let mut laterals = vec![];
        for (number, (name, made)) in into.zip(&own).enumerate() {
            let scope = scope.at(LATERALS).at(name);
            let from = before
                .iter()
                .zip(1..)
                .map(|(trace, column)| Lateral::new(&scope.at(column), &trace.stages[number].size(), &made.size()));
            laterals.push(from.collect::<Result<Vec<_>>>()?);
        }
        Ok(Self { laterals, ..alone })
    }

    /// Runs over images, where earlier columns made `before` of them; `trains` says which stages do, and `without` switches a
    /// connection off, by its place in [`laterals`](Self::laterals) and the earlier column.
    fn run(
        &self,
        x: &Tensor,
        before: &[Trace],
        trains: &dyn Fn(usize) -> bool,
        without: Option<(usize, usize)>,
    ) -> Result<Trace> {
        let mut stages: Vec<Tensor> = vec![];
        let mut x = x.shallow_clone();
        for (number, (layer, laterals)) in self.layers.iter().zip(&self.laterals).enumerate() {
            let made = layer.forward(&x, trains(number))?;
            x = made.shallow_clone();
            for (column, (lateral, trace)) in laterals.iter().zip(before).enumerate() {
                if without != Some((number, column)) {
                    x = x.f_add(&lateral.forward(&trace.stages[number], &made)?)?;
                }
            }
            stages.push(made);
        }
        Ok(Trace { stages, features: x })
    }
}

/// The columns of a model: those that were there before, with their heads, and the newest.
pub(super) struct Columns {
    earlier: Vec<(Column, Head)>,
    newest: Column,
}

impl Columns {
    /// What the head of the newest column gets.
    ///
    /// # Shapes
    /// `x: [N, 3, H, W]` normalised f32 → `[N, features]` or `[N, features, H', W']`
    pub fn forward(&self, x: &Tensor, train: bool, stages: &[Stage]) -> Result<Tensor> {
        let trains = |stage: usize| train && !stages[stage].frozen;
        Ok(self.newest.run(x, &before(&self.earlier, x)?, &trains, None)?.features)
    }
}

/// What each of the earlier columns makes of images: as in evaluation, and nothing of it is differentiated.
fn before(earlier: &[(Column, Head)], x: &Tensor) -> Result<Vec<Trace>> {
    let _no_grad = tch::no_grad_guard();
    let mut traces = vec![];
    for (column, _) in earlier {
        traces.push(column.run(x, &traces, &|_| false, None)?);
    }
    Ok(traces)
}

/// The network `own`, with the model that `spec` says beside it, if it says one. What is beside it gets its values later: see
/// [`Classifier::take_beside`].
///
/// # Errors
/// Networks that cannot stand beside each other.
pub(super) fn grow(own: Backbone, builder: &Builder, spec: &Spec) -> Result<Backbone> {
    let Some(model) = &spec.beside else { return Ok(own) };
    let side = i64::from(spec.preprocessing.crop);
    let x = Tensor::f_zeros([1, 3, side, side], (Kind::Float, builder.device()))?;
    let earlier = columns(model, &builder.root().at(BESIDE), &x)?;
    let Backbone { body, stages, .. } = own;
    let newest = column(body, &stages, &builder.root(), &earlier, &x, &spec.architecture)?;
    Ok(Backbone { body: Body::Progressive(Columns { earlier, newest }), stages, ..own })
}

/// All columns of a model, the oldest first.
fn columns(spec: &Spec, scope: &Scope, x: &Tensor) -> Result<Vec<(Column, Head)>> {
    let mut all = spec.beside.as_ref().map_or(Ok(vec![]), |model| columns(model, &scope.at(BESIDE), x))?;
    if spec.architecture == torchscript::ARCHITECTURE {
        return Err(Error::Usage(
            "--beside: a TorchScript module runs as a whole, so its stages cannot be connected to those of \
             another column; give a run of a network that 'regraft models' lists"
                .into(),
        ));
    }
    let own = architecture::build(&spec.architecture, scope)?;
    let at = scope.at(&own.head_path);
    let (form, features, classes) = (own.form, own.features, spec.classes.len() as i64);
    let head = Head::new(&at, spec.head, form, features, classes, spec.dropout.unwrap_or(own.dropout))?;
    if let Some(task) = &spec.earlier {
        Head::new(&scope.at(EARLIER_HEAD), task.head, form, features, task.classes.len() as i64, own.dropout)?;
    }
    let column = column(own.body, &own.stages, scope, &all, x, &spec.architecture)?;
    all.push((column, head));
    Ok(all)
}

/// A network as the column after `earlier` ones.
fn column(
    body: Body,
    stages: &[Stage],
    scope: &Scope,
    earlier: &[(Column, Head)],
    x: &Tensor,
    name: &str,
) -> Result<Column> {
    let Body::Native(layers) = body else {
        return Err(Error::Usage(format!(
            "--beside: {name} runs as a whole, so its stages cannot be connected; give --model a network that 'regraft models' \
             lists"
        )));
    };
    if let Some((other, _)) = earlier.iter().find(|(column, _)| column.layers.len() != layers.len()) {
        return Err(Error::Usage(format!(
            "--beside: {name} has {} stages and the network beside it {}; columns need equally many, as those of the same \
             network",
            layers.len(),
            other.layers.len()
        )));
    }
    Column::new(layers, stages, scope, &before(earlier, x)?, x)
}

/// A connection from an earlier column into the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateralName {
    /// The stage that it leads into, or `head`.
    pub into: String,
    /// The column that it comes from, counted from 1.
    pub column: usize,
}

impl Classifier {
    /// The columns of a progressive network; none for any other.
    fn progressive(&self) -> Option<&Columns> {
        match &self.backbone().body {
            Body::Progressive(columns) => Some(columns),
            _ => None,
        }
    }

    /// How many columns there are; an ordinary network is one.
    pub fn columns(&self) -> usize {
        1 + self.progressive().map_or(0, |columns| columns.earlier.len())
    }

    /// The connections into the newest column: by the stage that they lead into, then by the column that they come from.
    pub fn laterals(&self) -> Vec<LateralName> {
        let into = self.backbone().stages[1..].iter().map(|stage| stage.name.as_str()).chain(["head"]);
        let of = |into: &str| {
            let into = into.to_string();
            (1..self.columns()).map(move |column| LateralName { into: into.clone(), column })
        };
        into.flat_map(of).collect()
    }

    /// The logits of every column's own task, the oldest first: the whole network does all of its tasks at once.
    ///
    /// # Shapes
    /// `images: [N, 3, H, W]` normalised f32 → per column `[N, its classes]`
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn logits_of_columns(&self, images: &Tensor) -> Result<Vec<Tensor>> {
        let Some(columns) = self.progressive() else { return Ok(vec![self.forward(images, false)?]) };
        let before = before(&columns.earlier, images)?;
        let mut logits = vec![];
        for ((_, head), trace) in columns.earlier.iter().zip(&before) {
            logits.push(head.forward(&trace.features, false)?);
        }
        let newest = columns.newest.run(images, &before, &|_| false, None)?;
        logits.push(self.head().forward(&newest.features, false)?);
        Ok(logits)
    }

    /// The logits of the newest column: as they are, and then with each of its [`laterals`](Self::laterals) switched off.
    ///
    /// # Shapes
    /// `images: [N, 3, H, W]` normalised f32 → `[N, 1 + connections, classes]`
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn logits_without_each(&self, images: &Tensor) -> Result<Tensor> {
        let Some(columns) = self.progressive() else { return Ok(self.forward(images, false)?.f_unsqueeze(1)?) };
        let before = before(&columns.earlier, images)?;
        let earlier = columns.earlier.len();
        let places = (0..columns.newest.layers.len()).flat_map(|stage| (0..earlier).map(move |column| (stage, column)));
        let logits = [None].into_iter().chain(places.map(Some)).map(|without| {
            self.head().forward(&columns.newest.run(images, &before, &|_| false, without)?.features, false)
        });
        Ok(Tensor::f_stack(&logits.collect::<Result<Vec<_>>>()?, 1)?)
    }

    /// Copies the values of another model into the one beside this one.
    ///
    /// # Errors
    /// Another model than is described there.
    pub fn take_beside(&self, model: &Self) -> Result<()> {
        let values = StateDict::new(model.store.views(), BTreeMap::new());
        let report = load_into(&self.views_beside(), &values, |name| Some(name.to_string()))?;
        if report.is_clean() { Ok(()) } else { Err(Error::Model(format!("the model beside this one: {report}"))) }
    }

    /// The model beside this one by itself, with copies of its tensors; `None` where there is none.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub(super) fn model_beside(&self) -> Result<Option<Self>> {
        let Some(spec) = &self.spec.beside else { return Ok(None) };
        let spec = Spec { preprocessing: self.spec.preprocessing.clone(), ..(**spec).clone() };
        let model = Self::new(spec, self.store.device(), 0)?;
        model.store.restore(&StateDict::new(self.views_beside(), BTreeMap::new()))?;
        Ok(Some(model))
    }

    /// The tensors of the model beside this one under its own names.
    fn views_beside(&self) -> BTreeMap<String, Tensor> {
        let own = |(name, tensor): (String, Tensor)| {
            Some((name.strip_prefix(BESIDE)?.strip_prefix('.')?.to_string(), tensor))
        };
        self.store.views().into_iter().filter_map(own).collect()
    }
}

#[cfg(test)]
#[path = "progressive_tests.rs"]
mod tests;
