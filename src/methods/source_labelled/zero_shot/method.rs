//! The methods that learn from features, and what each can be set to.

use std::sync::atomic::AtomicBool;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::cls_wgan::ClsWgan;
use super::dap::LookUp;
use super::embedding::{Form, Pace};
use super::learn::{Judge, Place};
use super::sae::Space;
use super::{ale, dap, devise, embedding, eszsl, iap, joint, pull, sae, sje};
use crate::{Error, Result};

/// Strengths that are tried.
const GRID: [f64; 7] = [1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3];
/// Penalties of logistic regressions.
const PENALTIES: [f64; 3] = [1e-3, 1e-2, 1e-1];
/// Margins and rates of embeddings, and the most epochs: more of few images, so that there are this many steps.
const MARGINS: [f64; 2] = [0.1, 1.0];
const RATES: [f64; 3] = [1e-4, 1e-3, 1e-2];
const EPOCHS: usize = 20;
const STEPS: usize = 600;
/// Epochs of the generator and its critic.
const GAN_EPOCHS: usize = 80;

/// The methods that learn from features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Attributes recognised one by one, and classes looked up by them (Lampert et al. 2014)
    Dap,
    /// The attributes of the seen classes that an image looks like (Lampert et al. 2014)
    Iap,
    /// Two networks into one space, ahead of the hardest other class by a margin
    Joint,
    /// A linear map, ahead of every other class (Frome et al. 2013)
    Devise,
    /// A linear map that ranks the true class high (Akata et al. 2016)
    Ale,
    /// A linear map, ahead of the closest other class (Akata et al. 2015)
    Sje,
    /// One linear map between features and descriptions (Romera-Paredes & Torr 2015)
    Eszsl,
    /// A linear code of descriptions that gives the features back (Kodirov et al. 2017)
    Sae,
    /// Features of unseen classes made up by a generator, and a classifier of them (Xian et al. 2018)
    ClsWgan,
    /// Two networks that nothing keeps apart, to see them collapse
    Pull,
}

/// What a method is set to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// Of DAP.
    #[allow(missing_docs)]
    Dap { penalty: f64, look_up: LookUp },
    /// Of IAP.
    #[allow(missing_docs)]
    Iap { penalty: f64 },
    /// Of what learns an embedding.
    #[allow(missing_docs)]
    Embedding { margin: f64, learning_rate: f64, epochs: usize },
    /// Of ESZSL.
    #[allow(missing_docs)]
    Eszsl { gamma: f64, lambda: f64 },
    /// Of SAE.
    #[allow(missing_docs)]
    Sae { lambda: f64, space: Space },
    /// Of what learns a generator.
    #[allow(missing_docs)]
    Generator { epochs: usize },
}

/// Scores of images for classes: from features `[N, D]` and descriptions `[C, A]` to `[N, C]`.
pub(super) type Scores = Box<dyn Fn(&Tensor, &Tensor) -> Result<Tensor>>;

impl Method {
    /// Its name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().expect("every method has a name").get_name().to_string()
    }

    /// All settings that are tried; of what learns by gradient, the number of epochs is the most.
    pub fn settings(self) -> Vec<Setting> {
        let pairs = |one: &[f64], other: &[f64]| -> Vec<(f64, f64)> {
            one.iter().flat_map(|&a| other.iter().map(move |&b| (a, b))).collect()
        };
        match self {
            Self::Dap => {
                let of = |penalty| [LookUp::Product, LookUp::Nearest].map(|look_up| Setting::Dap { penalty, look_up });
                PENALTIES.into_iter().flat_map(of).collect()
            }
            Self::Iap => PENALTIES.map(|penalty| Setting::Iap { penalty }).to_vec(),
            // what only pulls has no margin
            Self::Pull => {
                RATES.map(|learning_rate| Setting::Embedding { margin: 0.0, learning_rate, epochs: EPOCHS }).to_vec()
            }
            Self::Joint | Self::Devise | Self::Ale | Self::Sje => pairs(&MARGINS, &RATES)
                .into_iter()
                .map(|(margin, learning_rate)| Setting::Embedding { margin, learning_rate, epochs: EPOCHS })
                .collect(),
            Self::Eszsl => {
                pairs(&GRID, &GRID).into_iter().map(|(gamma, lambda)| Setting::Eszsl { gamma, lambda }).collect()
            }
            Self::Sae => {
                let of = |space: Space| GRID.into_iter().map(move |lambda| Setting::Sae { lambda, space });
                [Space::Descriptions, Space::Features].into_iter().flat_map(of).collect()
            }
            Self::ClsWgan => vec![Setting::Generator { epochs: GAN_EPOCHS }],
        }
    }

    /// Whether it looks at what classes have and have not, whatever descriptions are scaled to.
    pub(super) fn is_of_attributes(self) -> bool {
        matches!(self, Self::Dap | Self::Iap)
    }

    /// How well images fit classes, where it learns where both lie: `[N, C]`.
    ///
    /// # Shapes
    /// `images: [N, E]`, `classes: [C, E]`
    ///
    /// # Errors
    /// A method that learns no such place, or what libtorch refuses.
    pub fn scores(self, images: &Tensor, classes: &Tensor) -> Result<Tensor> {
        let form = self.form().ok_or_else(|| {
            Error::Usage(format!("--method {}: learns no embedding in which images and classes meet", self.name()))
        })?;
        form.aim.scores(images, classes)
    }

    /// Whether it learns by gradient, in many steps.
    pub fn trains(self) -> bool {
        self.form().is_some() || self == Self::ClsWgan
    }

    /// What it is, if it learns an embedding.
    pub(super) fn form(self) -> Option<Form> {
        match self {
            Self::Joint => Some(joint::FORM),
            Self::Devise => Some(devise::FORM),
            Self::Ale => Some(ale::FORM),
            Self::Sje => Some(sje::FORM),
            Self::Pull => Some(pull::FORM),
            Self::Dap | Self::Iap | Self::Eszsl | Self::Sae | Self::ClsWgan => None,
        }
    }
}

/// A method with images of some classes, ready for any setting.
pub(super) enum Problem {
    Dap(dap::Problem),
    Iap(iap::Problem),
    Embedding(embedding::Problem),
    Eszsl(eszsl::Problem),
    Sae(sae::Problem),
    ClsWgan { features: Tensor, labels: Vec<usize>, descriptions: Tensor, seed: u64 },
}

impl Problem {
    pub(super) fn new(
        method: Method,
        features: &Tensor,
        labels: &[usize],
        descriptions: &Tensor,
        seed: u64,
    ) -> Result<Self> {
        Ok(match method {
            Method::Dap => Self::Dap(dap::Problem::new(features, labels, descriptions)?),
            Method::Iap => Self::Iap(iap::Problem::new(features, labels, descriptions)?),
            Method::Eszsl => Self::Eszsl(eszsl::Problem::new(features, labels, descriptions)?),
            Method::Sae => Self::Sae(sae::Problem::new(features, labels, descriptions)?),
            Method::ClsWgan => Self::ClsWgan {
                features: features.shallow_clone(),
                labels: labels.to_vec(),
                descriptions: descriptions.shallow_clone(),
                seed,
            },
            Method::Joint | Method::Devise | Method::Ale | Method::Sje | Method::Pull => {
                let form = method.form().expect("these have one");
                Self::Embedding(embedding::Problem::new(form, features, labels, descriptions, seed)?)
            }
        })
    }

    /// What the judge says of a setting, and the setting; of what learns epoch by epoch, with the number of them that was best.
    pub(super) fn try_out(&self, setting: Setting, judge: Judge, interrupted: &AtomicBool) -> Result<(f64, Setting)> {
        let place = Place::passing(interrupted);
        match (self, setting) {
            (Self::Embedding(problem), Setting::Embedding { margin, learning_rate, epochs }) => {
                // never so few steps that hardly anything was learned
                let epochs = epochs.max(STEPS / problem.steps());
                let pace = Pace { margin, learning_rate, epochs };
                let fitted = match problem.solve(pace, Some(judge), place) {
                    // a rate at which it diverges is none to choose
                    Err(Error::Training(_)) => return Ok((f64::NEG_INFINITY, setting)),
                    solved => solved?.1,
                };
                let ((score, _), epoch) = fitted.state.best.expect("an epoch was assessed");
                Ok((score, Setting::Embedding { margin, learning_rate, epochs: epoch + 1 }))
            }
            _ => {
                let scores = self.solve(setting, place)?;
                Ok((judge(&*scores)?, setting))
            }
        }
    }

    /// Learns.
    pub(super) fn solve(&self, setting: Setting, place: Place) -> Result<Scores> {
        Ok(match (self, setting) {
            (Self::Dap(problem), Setting::Dap { penalty, look_up }) => {
                let learned = problem.solve(penalty)?;
                Box::new(move |x, s| learned.scores(x, s, look_up))
            }
            (Self::Iap(problem), Setting::Iap { penalty }) => {
                let learned = problem.solve(penalty)?;
                Box::new(move |x, s| learned.scores(x, s))
            }
            (Self::Embedding(problem), Setting::Embedding { margin, learning_rate, epochs }) => {
                let (learned, _) = problem.solve(Pace { margin, learning_rate, epochs }, None, place)?;
                Box::new(move |x, s| learned.scores(x, s))
            }
            (Self::Eszsl(problem), Setting::Eszsl { gamma, lambda }) => {
                let learned = problem.solve(gamma, lambda)?;
                Box::new(move |x, s| learned.scores(x, s))
            }
            (Self::Sae(problem), Setting::Sae { lambda, space }) => {
                let learned = problem.solve(lambda)?;
                Box::new(move |x, s| learned.scores(x, s, space))
            }
            (Self::ClsWgan { features, labels, descriptions, seed }, Setting::Generator { epochs }) => {
                let learned = ClsWgan::learn(features, labels, descriptions, epochs, *seed, place)?;
                Box::new(move |x, s| learned.scores(x, s))
            }
            _ => unreachable!("settings are a method's own"),
        })
    }
}
