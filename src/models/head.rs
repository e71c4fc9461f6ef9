//! The new last layers: what turns a backbone's features into logits of the user's classes.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::backbone::{Backbone, FeatureForm};
use super::init::Init;
use super::layers::{BatchNorm2d, Conv2d, ConvConfig, Dropout, GlobalPool, Layer, Linear};
use super::store::{Builder, Scope};
use crate::{Error, Result};

/// Which head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum HeadKind {
    /// One linear layer; on a network whose features are a map, the source's own form of it: a 1×1 convolution, a ReLU,
    /// and the mean over all positions.
    #[default]
    Linear,
    /// Two linear layers with a ReLU and dropout between them.
    Mlp,
    /// A linear layer to 256 features with batch norm and a ReLU, and a linear layer to the classes: what domain adaptation
    /// puts on a source network, and the 256 are what it makes alike.
    Bottleneck,
    /// The cosine to one prototype per class, which starts as the mean of the class's normalised features; with no
    /// epochs it stays that. Made for few shots.
    Prototype,
}

/// Features to logits.
#[derive(Debug)]
pub struct Head {
    kind: HeadKind,
    dropout: Dropout,
    layers: Layers,
}

#[derive(Debug)]
enum Layers {
    Linear(Linear),
    Convolution(Conv2d),
    Mlp(Linear, Dropout, Linear),
    Bottleneck { first: Linear, norm: BatchNorm2d, last: Linear },
    Prototype { weight: Tensor, scale: Tensor },
}

/// Where the cosine's logits start: scale × cosine, so that probabilities can come near 0 and 1.
const COSINE_SCALE: f64 = 16.0;
/// Width of the MLP's hidden layer.
const HIDDEN: i64 = 512;
/// Features behind the bottleneck (Long et al. 2015 and most since).
const BOTTLENECK: i64 = 256;
/// Where its last layer lies below the head.
pub(crate) const BOTTLENECK_LAST: i64 = 3;

impl Head {
    /// A head of `kind` for `classes` where the backbone's source network has its own; `dropout` is the share of features
    /// dropped in training, `None` the source network's.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn on(
        backbone: &Backbone,
        builder: &Builder,
        kind: HeadKind,
        classes: i64,
        dropout: Option<f64>,
    ) -> Result<Self> {
        let (scope, dropout) = (builder.root().at(&backbone.head_path), dropout.unwrap_or(backbone.dropout));
        Self::new(&scope, kind, backbone.form, backbone.features, classes, dropout)
    }

    /// A head of `kind` for `classes`; `dropout` is the share of features dropped in training.
    ///
    /// Linear: `weight: [classes, features]`, `bias: [classes]`, or on a map `weight: [classes, features, 1, 1]`; MLP: `0.weight: [512, features]`, `0.bias`,
    /// `3.weight: [classes, 512]`, `3.bias`; bottleneck: `0.weight: [256, features]`, `0.bias`, the batch norm under `1`,
    /// `3.weight: [classes, 256]`, `3.bias`; prototype: `weight: [classes, features]`, `scale: []`.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn new(
        scope: &Scope,
        kind: HeadKind,
        form: FeatureForm,
        features: i64,
        classes: i64,
        dropout: f64,
    ) -> Result<Self> {
        let layers = match kind {
            HeadKind::Linear if form == FeatureForm::Map => {
                let config = ConvConfig::new(features, classes, 1).bias().init(Init::Normal(0.01));
                Layers::Convolution(Conv2d::new(scope, config)?)
            }
            HeadKind::Linear => Layers::Linear(Linear::new(scope, features, classes)?),
            HeadKind::Mlp => Layers::Mlp(
                Linear::new(&scope.at(0), features, HIDDEN)?,
                Dropout::new(scope, 0.5),
                Linear::new(&scope.at(3), HIDDEN, classes)?, // 1 and 2 are the ReLU and the dropout
            ),
            HeadKind::Bottleneck => Layers::Bottleneck {
                first: Linear::new(&scope.at(0), features, BOTTLENECK)?,
                norm: BatchNorm2d::new(&scope.at(1), BOTTLENECK)?,
                last: Linear::new(&scope.at(BOTTLENECK_LAST), BOTTLENECK, classes)?,
            },
            HeadKind::Prototype => Layers::Prototype {
                weight: scope.parameter("weight", &[classes, features], Init::default_for(features))?,
                scale: scope.parameter("scale", &[], Init::Constant(COSINE_SCALE))?,
            },
        };
        Ok(Self { kind, dropout: Dropout::new(scope, dropout), layers })
    }

    /// Which head this is.
    pub fn kind(&self) -> HeadKind {
        self.kind
    }

    /// How many numbers [`embed`](Self::embed) gives for an image with so many `features`.
    pub fn embedded(&self, features: i64) -> i64 {
        if matches!(self.layers, Layers::Bottleneck { .. }) { BOTTLENECK } else { features }
    }

    /// What domain adaptation makes alike: what lies behind the bottleneck, or the features as they come where there is none.
    ///
    /// # Shapes
    /// `x: [N, features]` → `[N, embedded]`
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn embed(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let Layers::Bottleneck { first, norm, .. } = &self.layers else { return Ok(x.shallow_clone()) };
        let x = self.dropout.forward(&pooled(x)?, train)?;
        Ok(norm
            .forward(&first.forward(&x, train)?.f_unsqueeze(-1)?.f_unsqueeze(-1)?, train)?
            .f_flatten(1, -1)?
            .f_relu()?)
    }

    /// The logits of what [`embed`](Self::embed) gave.
    ///
    /// # Shapes
    /// `x: [N, embedded]` → `[N, classes]`
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn classify(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        match &self.layers {
            Layers::Linear(linear) => linear.forward(&self.dropout.forward(x, train)?, train),
            Layers::Convolution(conv) => {
                GlobalPool.forward(&conv.forward(&self.dropout.forward(x, train)?, train)?.f_relu_()?, train)
            }
            Layers::Mlp(first, dropout, second) => {
                let hidden = first.forward(&self.dropout.forward(&pooled(x)?, train)?, train)?.f_relu()?;
                second.forward(&dropout.forward(&hidden, train)?, train)
            }
            Layers::Bottleneck { last, .. } => last.forward(x, train),
            Layers::Prototype { weight, scale } => {
                Ok(normalised(&pooled(x)?)?.f_matmul(&normalised(weight)?.f_tr()?)?.f_mul(scale)?)
            }
        }
    }

    /// The last layer, where it is linear on a vector: that of a linear head or a bottleneck. Its values can be [set](Linear::set).
    ///
    /// # Errors
    /// Another head.
    pub fn last_linear(&self) -> Result<&Linear> {
        let (Layers::Linear(last) | Layers::Bottleneck { last, .. }) = &self.layers else {
            return Err(Error::Usage(
                "the head is not one linear layer on a vector, which closed forms set: use --head linear or bottleneck, on a network \
                 whose features are a vector"
                    .into(),
            ));
        };
        Ok(last)
    }

    /// Makes the mean of each class's normalised features its prototype (Snell et al. 2017, with the cosine; used as
    /// initial weights by Qi et al. 2018, "Low-shot learning with imprinted weights", eq. 4).
    ///
    /// # Shapes
    /// `features: [N, F]` or `[N, F, H, W]` f32, `labels: [N]` i64
    ///
    /// # Errors
    /// A head of another kind, or a class without a sample.
    pub fn imprint(&self, features: &Tensor, labels: &Tensor) -> Result<()> {
        let Layers::Prototype { weight, .. } = &self.layers else {
            return Err(Error::Model("only a prototype head can be set from features".into()));
        };
        tch::no_grad(|| {
            let classes = weight.size()[0];
            let one_hot = labels.f_one_hot(classes)?.f_to_kind(Kind::Float)?; // [N, K]
            if i64::try_from(one_hot.f_sum_dim_intlist(0, false, Kind::Float)?.f_min()?)? == 0 {
                return Err(Error::Data("a class has no training image to make its prototype from".into()));
            }
            let sums = one_hot.f_tr()?.f_matmul(&normalised(&pooled(features)?)?)?; // [K, F]
            weight.shallow_clone().f_copy_(&normalised(&sums)?)?;
            Ok(())
        })
    }
}

/// A vector per image.
fn pooled(x: &Tensor) -> Result<Tensor> {
    if x.dim() == 4 { GlobalPool.forward(x, false) } else { Ok(x.shallow_clone()) }
}

/// Rows of length one.
fn normalised(x: &Tensor) -> Result<Tensor> {
    let norm = x.f_norm_scalaropt_dim(2, [-1i64], true)?.f_clamp_min(1e-12)?;
    Ok(x.f_div(&norm)?)
}

impl Layer for Head {
    /// # Shapes
    /// `x: [N, features]` or `[N, features, H, W]` → logits `[N, classes]`
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.classify(&self.embed(x, train)?, train)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{Builder, Store};

    fn head(kind: HeadKind) -> Result<(Head, Store)> {
        head_on(FeatureForm::Vector, kind)
    }

    fn head_on(form: FeatureForm, kind: HeadKind) -> Result<(Head, Store)> {
        let builder = Builder::new(tch::Device::Cpu);
        let head = Head::new(&builder.root().at("fc"), kind, form, 3, 2, 0.0)?;
        Ok((head, builder.finish()))
    }

    #[test]
    fn a_prototype_is_the_direction_of_its_classs_mean() -> Result<()> {
        let (head, store) = head(HeadKind::Prototype)?;
        // the length of a feature does not count: [5, 0, 0] and [0, 1, 0] lie around 45 degrees
        let features = Tensor::from_slice2(&[[5f32, 0.0, 0.0], [0.0, 0.0, 7.0], [0.0, 1.0, 0.0]]);
        head.imprint(&features, &Tensor::from_slice(&[0i64, 1, 0]))?;
        let found = Vec::<Vec<f32>>::try_from(store.get("fc.weight").unwrap().detach())?.concat();
        let half = 0.5f32.sqrt();
        for (found, expected) in found.iter().zip([half, half, 0.0, 0.0, 0.0, 1.0]) {
            assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
        }
        let logits = Vec::<Vec<f32>>::try_from(head.forward(&features, false)?.detach())?;
        assert!((logits[1][1] - COSINE_SCALE as f32).abs() < 1e-4 && logits[1][0].abs() < 1e-4, "{logits:?}");
        Ok(())
    }

    #[test]
    fn logits_of_a_cosine_stay_within_its_scale() -> Result<()> {
        tch::manual_seed(1);
        let (head, _) = head(HeadKind::Prototype)?;
        let features = Tensor::randn([64, 3], (Kind::Float, tch::Device::Cpu)) * 1e3;
        let largest = f64::try_from(head.forward(&features, true)?.abs().max())?;
        assert!(largest > 1.0 && largest < COSINE_SCALE * (1.0 + 1e-5), "{largest}");
        let zero = head.forward(&Tensor::zeros([1, 3], (Kind::Float, tch::Device::Cpu)), false)?;
        assert_eq!(Vec::<Vec<f32>>::try_from(zero.detach())?, [[0.0, 0.0]]);
        Ok(())
    }

    #[test]
    fn what_cannot_be_imprinted_is_said() -> Result<()> {
        let features = Tensor::from_slice2(&[[1f32, 0.0, 0.0]]);
        let labels = Tensor::from_slice(&[0i64]);
        let message = |kind| head(kind).unwrap().0.imprint(&features, &labels).unwrap_err().to_string();
        assert!(message(HeadKind::Prototype).contains("no training image"));
        assert!(message(HeadKind::Linear).contains("prototype head"));
        Ok(())
    }

    #[test]
    fn on_a_map_the_linear_head_rectifies_each_position_and_the_others_see_its_mean() -> Result<()> {
        let map = Tensor::arange(2 * 3 * 2 * 2, (Kind::Float, tch::Device::Cpu)).sin().reshape([2, 3, 2, 2]);
        let mean = GlobalPool.forward(&map, false)?;
        for kind in [HeadKind::Mlp, HeadKind::Prototype] {
            let (head, _) = head_on(FeatureForm::Map, kind)?;
            assert_eq!(head.forward(&map, false)?, head.forward(&mean, false)?);
        }
        let (head, store) = head_on(FeatureForm::Map, HeadKind::Linear)?;
        let weight = store.get("fc.weight").unwrap();
        assert_eq!(weight.size(), [2, 3, 1, 1]);
        let positions = map.flatten(2, -1).transpose(1, 2).matmul(&weight.reshape([2, 3]).tr()); // [N, HW, K]
        let expected = positions.relu().mean_dim([1i64].as_slice(), false, Kind::Float);
        assert!(head.forward(&map, false)?.allclose(&expected, 1e-6, 1e-8, false));
        let (prototypes, store) = head_on(FeatureForm::Map, HeadKind::Prototype)?;
        prototypes.imprint(&map, &Tensor::from_slice(&[0i64, 1]))?;
        assert!(store.get("fc.weight").unwrap().allclose(&normalised(&mean)?, 1e-5, 1e-7, false));
        Ok(())
    }

    #[test]
    fn parameters_have_the_documented_names_and_shapes() -> Result<()> {
        let names = |kind| -> Result<Vec<(String, Vec<i64>)>> {
            let (head, store) = head(kind)?;
            assert_eq!(head.kind(), kind);
            assert_eq!(head.forward(&Tensor::ones([5, 3], (Kind::Float, tch::Device::Cpu)), true)?.size(), [5, 2]);
            Ok(store.parameters().map(|(name, tensor)| (name.to_string(), tensor.size())).collect())
        };
        let expected = |list: &[(&str, &[i64])]| -> Vec<(String, Vec<i64>)> {
            list.iter().map(|(name, shape)| (format!("fc.{name}"), shape.to_vec())).collect()
        };
        assert_eq!(names(HeadKind::Linear)?, expected(&[("bias", &[2]), ("weight", &[2, 3])]));
        let mlp: [(&str, &[i64]); 4] =
            [("0.bias", &[512]), ("0.weight", &[512, 3]), ("3.bias", &[2]), ("3.weight", &[2, 512])];
        assert_eq!(names(HeadKind::Mlp)?, expected(&mlp));
        let bottleneck: [(&str, &[i64]); 6] = [
            ("0.bias", &[256]),
            ("0.weight", &[256, 3]),
            ("1.bias", &[256]),
            ("1.weight", &[256]),
            ("3.bias", &[2]),
            ("3.weight", &[2, 256]),
        ];
        assert_eq!(names(HeadKind::Bottleneck)?, expected(&bottleneck));
        assert_eq!(names(HeadKind::Prototype)?, expected(&[("scale", &[]), ("weight", &[2, 3])]));
        Ok(())
    }
}
