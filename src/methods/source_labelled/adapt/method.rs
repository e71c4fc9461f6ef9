//! What a method of domain adaptation is: terms beside the source's cross-entropy, or something to do before the training.

use std::borrow::Cow;
use std::path::Path;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::options::Strengths;
use super::{Extractor, Network};
use crate::data::PreprocessingOptions;
use crate::methods::source_labelled::{
    ada_bn, adda, cdan, coral, dan, dann, deep_coral, dirt_t, jan, mcc, mcd, mean_teacher, self_training, source_only,
    subspace_alignment, vada,
};
use crate::models::{Builder, Classifier};
use crate::{Error, Result};

/// The methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Nothing but the source's labels
    SourceOnly,
    /// Batch-norm statistics of the target (Li et al. 2017)
    AdaBn,
    /// Subspace alignment (Fernando et al. 2013)
    Sa,
    /// The source's features coloured like the target's (Sun et al. 2016)
    Coral,
    /// Covariances made alike (Sun & Saenko 2016)
    DeepCoral,
    /// Means in the space of a kernel made alike (Long et al. 2015)
    Dan,
    /// The same of features and predictions together (Long et al. 2017)
    Jan,
    /// Domain-adversarial training (Ganin et al. 2016)
    Dann,
    /// The same, conditioned on the predictions (Long et al. 2018, CDAN+E)
    Cdan,
    /// A network of the target's own that deceives a domain classifier (Tzeng et al. 2017)
    Adda,
    /// Two classifiers that must agree (Saito et al. 2018)
    Mcd,
    /// Little confusion between classes (Jin et al. 2020)
    Mcc,
    /// Its own confident predictions as labels (Lee 2013)
    SelfTraining,
    /// Predictions that other views of an image do not change (French et al. 2018)
    MeanTeacher,
    /// Domain-adversarial training with smooth, certain predictions (Shu et al. 2018)
    Vada,
    /// What follows it: the same network refined on the target alone (Shu et al. 2018)
    DirtT,
    /// Not a method but what could be had: the target's own labels
    Oracle,
}

/// The terms of a step.
#[derive(Debug, Default)]
pub struct Terms {
    /// What is added to the loss, by name.
    pub losses: Vec<(Cow<'static, str>, Tensor)>,
    /// Shares in 0..1 that are logged.
    pub shares: Vec<(Cow<'static, str>, Tensor)>,
}

impl Terms {
    /// One term.
    pub fn one(name: &'static str, value: Tensor) -> Self {
        Self { losses: vec![(name.into(), value)], shares: vec![] }
    }
}

/// One domain's batch, and what it has become on its way through the network.
#[derive(Debug)]
pub struct Side {
    /// What went in: normalised images `[N, 3, H, W]`, or what frozen stages made of them.
    pub input: Tensor,
    /// What is to be made alike: `[N, D]` f32.
    pub aligned: Tensor,
    /// What the head's last layers get: `[N, E]`.
    pub embedded: Tensor,
    /// `[N, K]` f32.
    pub logits: Tensor,
}

/// A training step as a method sees it.
pub struct Step<'a> {
    /// The network.
    pub network: Network<'a>,
    /// The source's batch; absent where the method asked for the target alone.
    pub source: Option<&'a Side>,
    /// The target's batch; absent where the method asked for the source alone.
    pub target: Option<&'a Side>,
    /// The source's images, or what frozen stages made of them, whether they were asked for or not; not as
    /// [`Adaptation::view`] shows them.
    pub source_input: &'a Tensor,
    /// The same of the target.
    pub target_input: &'a Tensor,
    /// The source's labels: `[N] i64`.
    pub labels: &'a Tensor,
    /// How much of the training lies behind: p in 0..1.
    pub progress: f64,
}

impl<'a> Step<'a> {
    /// Both batches.
    ///
    /// # Errors
    /// One of them was not asked for.
    pub fn both(&self) -> Result<(&'a Side, &'a Side)> {
        self.source.zip(self.target).ok_or_else(|| Error::Model("this method sees one domain only".into()))
    }

    /// The target's batch.
    ///
    /// # Errors
    /// It was not asked for.
    pub fn target(&self) -> Result<&'a Side> {
        self.target.ok_or_else(|| Error::Model("this method does not see the target".into()))
    }
}

/// Which domains' images go through the network in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sees {
    /// The source's, with its labels.
    Source,
    /// Both, in one batch.
    Both,
    /// The target's alone.
    Target,
}

/// What a method is made for.
pub struct Setup<'a> {
    /// Takes in the method's own tensors, below `adapt`.
    pub builder: &'a Builder,
    /// The network.
    pub model: &'a Classifier,
    /// Where features are made alike.
    pub extractor: Extractor,
    /// How many numbers that is for an image.
    pub aligned: i64,
    /// How strong everything is.
    pub strengths: &'a Strengths,
    /// The run that this one goes out from; see [`Method::begins_with`].
    pub begin: Option<&'a Path>,
}

impl Setup<'_> {
    /// The folder of the run that this one goes out from.
    ///
    /// # Errors
    /// There is none.
    pub fn require_begin(&self) -> Result<&Path> {
        let none = || Error::Usage("this method goes out from an earlier run: give --begin RUN".into());
        self.begin.ok_or_else(none)
    }

    /// The network as the run that this one goes out from left it.
    ///
    /// # Errors
    /// There is no such run.
    pub fn begin(&self) -> Result<Classifier> {
        Classifier::open(self.require_begin()?, self.builder.device(), &PreprocessingOptions::default())
    }
}

/// Everything that there is before the training, for methods that learn nothing by gradient.
pub struct Images<'a> {
    /// Features and labels of the source's training images: what the head gets `[N, F]`, and `[N] i64`.
    pub source: &'a mut dyn FnMut() -> Result<(Tensor, Tensor)>,
    /// Features of the target's.
    pub target: &'a mut dyn FnMut() -> Result<Tensor>,
    /// Runs all of the target's images through the network in training, for what it keeps of them.
    pub show_target: &'a mut dyn FnMut() -> Result<()>,
}

/// A method of domain adaptation.
pub trait Adaptation {
    /// What it sees in a step.
    fn sees(&self) -> Sees {
        Sees::Both
    }

    /// Changes the network once, before the first step.
    ///
    /// # Errors
    /// What the method finds wrong.
    fn settle(&mut self, _model: &Classifier, _images: Images) -> Result<()> {
        Ok(())
    }

    /// What the network sees in a step in place of either domain's images, if not these.
    ///
    /// # Errors
    /// Images of which the method can make nothing else.
    fn view(&self, _input: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// What a step adds to the source's cross-entropy, or stands in its place where the source is not seen.
    ///
    /// # Errors
    /// What libtorch refuses.
    fn terms(&mut self, _step: &Step) -> Result<Terms> {
        Ok(Terms::default())
    }

    /// Whether the label predictor, which is all that comes behind the features that are made alike, stays as it was.
    fn holds_predictor(&self) -> bool {
        false
    }
}

impl Method {
    /// Its name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().expect("every method has a name").get_name().to_string()
    }

    /// The method whose network this one goes out from.
    pub fn begins_with(self) -> Option<Self> {
        match self {
            Self::AdaBn | Self::Sa | Self::Coral | Self::Adda | Self::SelfTraining => Some(Self::SourceOnly),
            Self::DirtT => Some(Self::Vada),
            _ => None,
        }
    }

    /// Whether it learns by gradient.
    pub fn trains(self) -> bool {
        !matches!(self, Self::AdaBn | Self::Sa | Self::Coral)
    }

    /// The method, ready for the first step.
    ///
    /// # Errors
    /// A network that it cannot work on.
    pub fn build(self, setup: &Setup) -> Result<Box<dyn Adaptation>> {
        Ok(match self {
            Self::SourceOnly | Self::Oracle => Box::new(source_only::SourceOnly),
            Self::AdaBn => Box::new(ada_bn::AdaBn::new(setup)?),
            Self::Sa => Box::new(subspace_alignment::SubspaceAlignment::new(setup)?),
            Self::Coral => Box::new(coral::Coral::new(setup)?),
            Self::DeepCoral => Box::new(deep_coral::DeepCoral::new(setup)),
            Self::Dan => Box::new(dan::Dan::new(setup)),
            Self::Jan => Box::new(jan::Jan::new(setup)),
            Self::Dann => Box::new(dann::Dann::new(setup)?),
            Self::Cdan => Box::new(cdan::Cdan::new(setup)?),
            Self::Adda => Box::new(adda::Adda::new(setup)?),
            Self::Mcd => Box::new(mcd::Mcd::new(setup)?),
            Self::Mcc => Box::new(mcc::Mcc::new(setup)),
            Self::SelfTraining => Box::new(self_training::SelfTraining::new(setup)),
            Self::MeanTeacher => Box::new(mean_teacher::MeanTeacher::new(setup)?),
            Self::Vada => Box::new(vada::Vada::new(setup)?),
            Self::DirtT => Box::new(dirt_t::DirtT::new(setup)?),
        })
    }
}
