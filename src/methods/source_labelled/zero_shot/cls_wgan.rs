//! f-CLSWGAN: features of classes without images are made up from their descriptions, and a classifier learns them (source labelled, target
//! known by descriptions alone).
//!
//! Xian et al. 2018, "Feature generating networks for zero-shot learning", equations 2 to 6. A generator G makes a feature of noise z and a
//! description s, a critic D tells such features from those of images, and both learn against each other (Gulrajani et al. 2017):
//!
//! L_D = E[D(x̃, s)] − E[D(x, s)] + λ E[(‖∇D(x̂, s)‖ − 1)²],  x̃ = G(z, s),  x̂ = αx + (1 − α)x̃
//! L_G = −E[D(x̃, s)] + β E[−log P(y | x̃)]
//!
//! with P a softmax classifier of the seen classes. Then a softmax classifier learns any classes: the seen ones from their images' features, the
//! others from what G makes of their descriptions.
//!
//! | | paper | here |
//! |---|---|---|
//! | λ, β | 10, 0.01 | the same |
//! | steps of D for one of G | 5 | the same |
//! | hidden layer of G and D | 4096, leaky ReLU | 512, the same |
//! | noise | as many numbers as the description has, normal | the same |
//! | features made of a class | 100 to 1,800, by data set | 200 |
//! | last classifier | a linear layer, trained by Adam | logistic regression with a penalty of 0.001 |
//! | rate of Adam (β₁ = 0.5) | 1e-4 | 1e-3 |
//! | features | as they are, of a ReLU | divided by their maximum; a ReLU on what is made only where none is below 0 |
//!
//! The number of epochs is fixed, not chosen.

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use super::learn::{Place, learn, options};
use crate::Result;
use crate::loss::gradient_penalty;
use crate::models::layers::{Layer, Linear};
use crate::models::{Builder, LogisticRegression, Store};
use crate::train::{Assessment, Input, LabelledBatch, Objective, Parts, Progress};

/// λ and β.
const PENALTY: f64 = 10.0;
const CLASSIFIED: f64 = 0.01;
/// Steps of the critic for one of the generator.
const CRITIC_STEPS: usize = 5;
const HIDDEN: i64 = 512;
/// Features that are made of a class.
const MADE: i64 = 200;
/// L2 penalty of the classifiers.
const RIDGE: f64 = 1e-3;
const LEARNING_RATE: f64 = 1e-3;
/// What a leaky ReLU leaves of what is below 0.
const LEAK: f64 = 0.2;

/// A network of two layers.
#[derive(Debug)]
struct Net {
    first: Linear,
    last: Linear,
}

impl Net {
    fn new(builder: &Builder, name: &str, inputs: i64, outputs: i64) -> Result<Self> {
        let root = builder.root().at(name);
        Ok(Self { first: Linear::new(&root.at(0), inputs, HIDDEN)?, last: Linear::new(&root.at(2), HIDDEN, outputs)? })
    }

    /// With `fixed`, a gradient goes through and none into the layers.
    fn run(&self, x: &Tensor, s: &Tensor, fixed: bool) -> Result<Tensor> {
        let apply = |layer: &Linear, x: &Tensor| if fixed { layer.forward_fixed(x) } else { layer.forward(x, true) };
        let hidden = apply(&self.first, &Tensor::f_cat(&[x, s], 1)?)?;
        apply(&self.last, &hidden.f_maximum(&hidden.f_mul_scalar(LEAK)?)?)
    }
}

/// The generator, with what it learned from.
#[derive(Debug)]
pub struct ClsWgan {
    generator: Net,
    critic: Net,
    store: Store,
    /// What features are divided by; and whether none of them is below 0, so that none is made there.
    scale: f64,
    positive: bool,
    /// Of images of the seen classes, scaled: `[N, D]` f32.
    features: Tensor,
    labels: Tensor,
    /// Of the seen classes: `[C, A]` f32.
    descriptions: Tensor,
    seed: u64,
}

impl ClsWgan {
    /// Learns from images of seen classes.
    ///
    /// # Shapes
    /// `features: [N, D]`, `labels: [N]` below C, `descriptions: [C, A]`
    ///
    /// # Errors
    /// Not one label for each image, an interruption, or what libtorch refuses.
    pub fn learn(
        features: &Tensor,
        labels: &[usize],
        descriptions: &Tensor,
        epochs: usize,
        seed: u64,
        place: Place,
    ) -> Result<Self> {
        let (count, width) = descriptions.size2()?;
        let index = super::checked(features, labels, count)?;
        let x = features.f_to_kind(Kind::Float)?;
        let scale = f64::try_from(x.f_abs()?.f_max()?)?.max(1e-12);
        let positive = f64::try_from(x.f_min()?)? >= 0.0;
        let x = x.f_div_scalar(scale)?;
        tch::manual_seed(seed as i64);
        let (builder, columns) = (Builder::new(features.device()), x.size()[1]);
        let generator = Net::new(&builder, "generator", 2 * width, columns)?;
        let critic = Net::new(&builder, "critic", columns + width, 1)?;
        let classifier = LogisticRegression::fit(&x, &index, count, RIDGE)?;
        let descriptions = descriptions.f_to_kind(Kind::Float)?;
        let store = builder.finish();
        let gan = Self {
            generator,
            critic,
            store,
            scale,
            positive,
            features: x.shallow_clone(),
            labels: index,
            descriptions,
            seed,
        };
        let mut objective = Learner {
            weight: classifier.weight.f_to_kind(Kind::Float)?,
            bias: classifier.bias.f_to_kind(Kind::Float)?,
            gan,
        };
        let mut options = options(epochs, LEARNING_RATE);
        (options.optimizer.beta1, options.optimizer.weight_decay) = (0.5, 0.0);
        options.eval_every = epochs;
        learn(&mut objective, &x, labels, &options, seed, place)?;
        Ok(objective.gan)
    }

    /// Features for rows of descriptions, scaled.
    fn make(&self, s: &Tensor) -> Result<Tensor> {
        let made = self.generator.run(&s.f_randn_like()?, s, false)?;
        Ok(if self.positive { made.f_relu()? } else { made })
    }

    /// Logits of a classifier that has learned these classes: `[N, C]` f64.
    ///
    /// # Shapes
    /// `features: [N, D]`, `descriptions: [C, A]`, of seen classes or others
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn scores(&self, features: &Tensor, descriptions: &Tensor) -> Result<Tensor> {
        let _no_grad = tch::no_grad_guard();
        let s = descriptions.f_to_kind(Kind::Float)?;
        let classes = s.size()[0];
        tch::manual_seed(self.seed as i64);
        let (mut rows, mut labels) = (vec![], vec![]);
        for class in 0..classes {
            let own = s.f_narrow(0, class, 1)?;
            // a class that was seen is known by its images
            let same = self.descriptions.f_eq_tensor(&own)?.f_all_dim(1, false)?.f_nonzero()?;
            let of_class = if same.numel() > 0 {
                let seen = self.labels.f_eq(i64::try_from(same.f_get(0)?.f_get(0)?)?)?.f_nonzero()?.f_squeeze_dim(1)?;
                self.features.f_index_select(0, &seen)?
            } else {
                self.make(&own.f_expand([MADE, own.size()[1]], false)?)?
            };
            labels.extend(std::iter::repeat_n(class, of_class.size()[0] as usize));
            rows.push(of_class);
        }
        let labels = Tensor::f_from_slice(&labels)?.f_to_device(s.device())?;
        let classifier = LogisticRegression::fit(&Tensor::f_cat(&rows, 0)?, &labels, classes, RIDGE)?;
        classifier.logits(&features.f_div_scalar(self.scale)?)
    }
}

/// A generator and a critic that learn.
struct Learner {
    gan: ClsWgan,
    /// P: `[C, D]` and `[C]` f32.
    weight: Tensor,
    bias: Tensor,
}

impl Objective for Learner {
    type Batch = LabelledBatch;

    fn store(&self) -> &Store {
        &self.gan.store
    }

    fn begin_epoch(&mut self, _epoch: usize) -> Result<()> {
        Ok(())
    }

    fn lr_multiplier(&self, _name: &str) -> f64 {
        1.0
    }

    fn always_frozen(&self) -> Vec<String> {
        vec![]
    }

    /// The critic's step: `critic`, how much more it makes of images than of what was made, and `slope`, its penalty. The generator's:
    /// `generator` and `classified`.
    fn losses(&mut self, batch: &LabelledBatch, progress: Progress) -> Result<Parts> {
        let Input::Features { values: x, .. } = &batch.input else {
            unreachable!("a generator of features gets features")
        };
        let s = self.gan.descriptions.f_index_select(0, &batch.labels)?;
        let mean = |x: &Tensor| x.f_mean(Kind::Float);
        let critic = &self.gan.critic;
        let mut losses: Vec<(std::borrow::Cow<'static, str>, Tensor)> = vec![];
        let total = if progress.step % (CRITIC_STEPS + 1) < CRITIC_STEPS {
            let made = tch::no_grad(|| self.gan.make(&s))?;
            let ahead = mean(&critic.run(x, &s, false)?)?.f_sub(&mean(&critic.run(&made, &s, false)?)?)?;
            let alpha = Tensor::f_rand([x.size()[0], 1], (Kind::Float, x.device()))?;
            let between = made.f_lerp_tensor(x, &alpha)?;
            let slope = gradient_penalty(&between, |x| critic.run(x, &s, false))?.f_mul_scalar(PENALTY)?;
            losses.extend([("critic".into(), ahead.detach()), ("slope".into(), slope.detach())]);
            slope.f_sub(&ahead)?
        } else {
            let made = self.gan.make(&s)?;
            let judged = mean(&critic.run(&made, &s, true)?)?.f_neg()?;
            let logits = made.f_linear(&self.weight, Some(&self.bias))?;
            let classified = logits
                .f_cross_entropy_loss(&batch.labels, None::<Tensor>, tch::Reduction::Mean, -100, 0.0)?
                .f_mul_scalar(CLASSIFIED)?;
            losses.extend([("generator".into(), judged.detach()), ("classified".into(), classified.detach())]);
            judged.f_add(&classified)?
        };
        losses.insert(0, ("loss".into(), total.detach()));
        Ok(Parts { total, losses, shares: vec![] })
    }

    fn assess(&mut self) -> Result<Assessment> {
        Ok(Assessment::default())
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}
