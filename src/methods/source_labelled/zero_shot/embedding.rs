//! Images and classes in one space: what the methods share that learn it with a ranking loss.
//!
//! f maps the features of images into the space, g the descriptions of classes, and f(x)·g(y) says how well they fit. A method says with which
//! [ranking loss](crate::loss::Ranking), of which form f and g are, and by what margin; its file has its paper. Features are shifted to the
//! mean 0 and scaled as a whole to the standard deviation 1 over the images to learn from, so that rates and margins mean the same on any.

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use super::collapse::Collapse;
use super::learn::{BATCH, Judge, Place, learn};
use crate::Result;
use crate::loss::{Ranking, pull};
use crate::models::layers::{Layer, Linear};
use crate::models::{Builder, CLASS_SIDE, Store};
use crate::train::inference::share_right;
use crate::train::{Assessment, Fitted, Input, LabelledBatch, Objective, Parts, Progress};

/// What brings images to their classes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aim {
    /// Being ahead of other classes.
    Rank(Ranking),
    /// Being near, whatever other classes are.
    Pull,
}

impl Aim {
    /// How well images fit classes: their products, or where distances were learned these, squared and negative.
    ///
    /// # Shapes
    /// `images: [N, E]`, `classes: [C, E]` → `[N, C]`
    pub(super) fn scores(self, images: &Tensor, classes: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Rank(_) => images.f_matmul(&classes.f_tr()?)?,
            Self::Pull => Tensor::f_cdist(images, classes, 2.0, None::<i64>)?.f_square()?.f_neg()?,
        })
    }

    /// `loss`: what is minimised; `accuracy`: the share of the batch whose class fits best.
    ///
    /// # Shapes
    /// `images: [N, E]`, `classes: [C, E]`, `labels: [N] i64`
    pub(super) fn parts(self, images: &Tensor, classes: &Tensor, labels: &Tensor, margin: f64) -> Result<Parts> {
        let scores = self.scores(images, classes)?;
        let total = match self {
            Self::Rank(ranking) => ranking.loss(&scores, labels, margin)?,
            Self::Pull => pull(images, classes, labels)?,
        };
        let right = share_right(&scores, labels)?;
        Ok(Parts { losses: vec![("loss".into(), total.detach())], shares: vec![("accuracy".into(), right)], total })
    }
}

/// What a method is, beside its settings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// What is minimised.
    pub aim: Aim,
    /// Width of f's hidden layer; without one f is linear.
    pub hidden: Option<i64>,
    /// Width of the space; without it g is the identity, and the space that of descriptions.
    pub space: Option<i64>,
}

/// How long and how fast, and the margin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pace {
    pub margin: f64,
    pub learning_rate: f64,
    pub epochs: usize,
}

/// f and g.
#[derive(Debug)]
pub struct Embedding {
    /// Of the features that were learned: `[1, D]` f32, and one over their standard deviation.
    mean: Tensor,
    scale: f64,
    images: Vec<Linear>,
    classes: ClassSide,
    aim: Aim,
    store: Store,
}

/// g.
#[derive(Debug)]
pub(super) struct ClassSide(Option<Linear>);

impl ClassSide {
    /// Into a space of its own with `classes.0.weight` and `.bias`, or the identity.
    pub(super) fn new(builder: &Builder, space: Option<i64>, width: i64) -> Result<Self> {
        Ok(Self(space.map(|space| Linear::new(&builder.root().at(CLASS_SIDE).at(0), width, space)).transpose()?))
    }

    /// `[C, A]` → `[C, E]`.
    pub(super) fn embed(&self, descriptions: &Tensor) -> Result<Tensor> {
        self.0.as_ref().map_or_else(|| Ok(descriptions.shallow_clone()), |layer| layer.forward(descriptions, true))
    }
}

impl Embedding {
    /// With initial values drawn from `seed`.
    ///
    /// # Shapes
    /// `features: [N, D]`; descriptions of `width` numbers
    fn new(form: Form, features: &Tensor, width: i64, seed: u64) -> Result<Self> {
        let mean = features.f_mean_dim([0i64].as_slice(), true, Kind::Float)?;
        let spread = f64::try_from(features.f_sub(&mean)?.f_square()?.f_mean(Kind::Float)?)?.sqrt();
        tch::manual_seed(seed as i64);
        let builder = Builder::new(features.device());
        let (root, inputs, space) = (builder.root(), features.size()[1], form.space.unwrap_or(width));
        let images = match form.hidden {
            Some(hidden) => vec![
                Linear::new(&root.at("images.0"), inputs, hidden)?,
                Linear::new(&root.at("images.2"), hidden, space)?,
            ],
            None => vec![Linear::new(&root.at("images.0"), inputs, space)?],
        };
        let classes = ClassSide::new(&builder, form.space, width)?;
        Ok(Self { mean, scale: 1.0 / spread.max(1e-12), images, classes, aim: form.aim, store: builder.finish() })
    }

    /// f: `[N, D]` → `[N, E]`.
    fn of_images(&self, features: &Tensor) -> Result<Tensor> {
        let mut x = features.f_sub(&self.mean)?.f_mul_scalar(self.scale)?;
        for (at, layer) in self.images.iter().enumerate() {
            x = layer.forward(&if at > 0 { x.f_relu()? } else { x }, true)?;
        }
        Ok(x)
    }

    /// How well images fit classes, as f(x)·g(y): `[N, C]` f64.
    ///
    /// # Shapes
    /// `features: [N, D]`, `descriptions: [C, A]`, of seen classes or others
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn scores(&self, features: &Tensor, descriptions: &Tensor) -> Result<Tensor> {
        let _no_grad = tch::no_grad_guard();
        let images = self.of_images(&features.f_to_kind(Kind::Float)?)?;
        let classes = self.classes.embed(&descriptions.f_to_kind(Kind::Float)?)?;
        Ok(self.aim.scores(&images, &classes)?.f_to_kind(Kind::Double)?)
    }
}

/// Images of seen classes to learn from.
#[derive(Debug)]
pub(super) struct Problem {
    form: Form,
    /// f32.
    features: Tensor,
    labels: Vec<usize>,
    descriptions: Tensor,
    seed: u64,
}

impl Problem {
    pub(super) fn new(
        form: Form,
        features: &Tensor,
        labels: &[usize],
        descriptions: &Tensor,
        seed: u64,
    ) -> Result<Self> {
        let _index = super::checked(features, labels, descriptions.size2()?.0)?;
        let (features, descriptions) = (features.f_to_kind(Kind::Float)?, descriptions.f_to_kind(Kind::Float)?);
        Ok(Self { form, features, labels: labels.to_vec(), descriptions, seed })
    }

    /// Steps in an epoch.
    pub(super) fn steps(&self) -> usize {
        self.labels.len().div_ceil(BATCH)
    }

    /// Learns; with a judge its score after each epoch chooses the best, which it gives with the number of epochs until then.
    pub(super) fn solve(&self, pace: Pace, judge: Option<Judge>, place: Place) -> Result<(Embedding, Fitted)> {
        let embedding = Embedding::new(self.form, &self.features, self.descriptions.size()[1], self.seed)?;
        let mut objective = Learner {
            embedding,
            form: self.form,
            margin: pace.margin,
            descriptions: &self.descriptions,
            judge,
            epoch: 0,
            collapse: Collapse::default(),
        };
        let options = super::learn::options(pace.epochs, pace.learning_rate);
        let fitted = learn(&mut objective, &self.features, &self.labels, &options, self.seed, place)?;
        Ok((objective.embedding, fitted))
    }
}

/// An embedding that learns.
struct Learner<'a> {
    embedding: Embedding,
    form: Form,
    margin: f64,
    /// Of the classes to learn: `[C, A]` f32.
    descriptions: &'a Tensor,
    judge: Option<Judge<'a>>,
    epoch: usize,
    collapse: Collapse,
}

impl Objective for Learner<'_> {
    type Batch = LabelledBatch;

    fn store(&self) -> &Store {
        &self.embedding.store
    }

    fn begin_epoch(&mut self, epoch: usize) -> Result<()> {
        self.epoch = epoch;
        self.collapse.begin(&self.embedding.classes.embed(self.descriptions)?)
    }

    fn lr_multiplier(&self, _name: &str) -> f64 {
        1.0
    }

    fn always_frozen(&self) -> Vec<String> {
        vec![]
    }

    /// See [`Aim::parts`].
    fn losses(&mut self, batch: &LabelledBatch, _progress: Progress) -> Result<Parts> {
        let Input::Features { values, .. } = &batch.input else {
            unreachable!("an embedding of features gets features")
        };
        let (images, classes) = (self.embedding.of_images(values)?, self.embedding.classes.embed(self.descriptions)?);
        self.form.aim.parts(&images, &classes, &batch.labels, self.margin)
    }

    fn assess(&mut self) -> Result<Assessment> {
        super::learn::assessed(self.judge, self.epoch, &|x, s| self.embedding.scores(x, s))
    }

    fn notes(&self) -> Vec<String> {
        let classes = self.embedding.classes.embed(self.descriptions);
        classes.and_then(|classes| self.collapse.note(&classes)).unwrap_or_default().into_iter().collect()
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}
