//! Methods of zero-shot learning side by side, by the protocol of Xian et al. 2018.
//!
//! Settings are chosen on classes that stand for unseen ones: a method learns from four fifths of the images in `train`, and of every setting
//! the per-class accuracy on `val`, among its classes, decides. The last fifth and `val` together choose what calibrated stacking takes off
//! the scores of seen classes. Then the method learns from `trainval`, and is tested once.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::sae::Space;
use super::task::Task;
use super::{eszsl, sae};
use crate::eval::{Generalised, Point, ZeroShotScores};
use crate::{Error, Result};

/// Strengths that are tried.
const GRID: [f64; 7] = [1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3];

/// The methods that learn from features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// One linear map between features and descriptions (Romera-Paredes & Torr 2015)
    Eszsl,
    /// A linear code of descriptions that gives the features back (Kodirov et al. 2017)
    Sae,
}

/// What a method is set to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Setting {
    /// Of ESZSL.
    #[allow(missing_docs)]
    Eszsl { gamma: f64, lambda: f64 },
    /// Of SAE.
    #[allow(missing_docs)]
    Sae { lambda: f64, space: Space },
}

/// What a method came to.
#[derive(Debug, Clone, Serialize)]
pub struct MethodScores {
    /// Which.
    pub method: Method,
    /// What was chosen.
    pub setting: Setting,
    /// Per-class accuracy on the classes that settings were chosen on.
    pub validation: f64,
    /// Among unseen classes alone: T1 is its per-class accuracy.
    pub unseen: ZeroShotScores,
    /// Among all classes, as the scores are.
    pub plain: Point,
    /// H of that.
    pub harmonic: f64,
    /// Among all classes, with calibrated stacking.
    pub stacked: Point,
    /// H of that.
    pub stacked_harmonic: f64,
    /// The area under S over U.
    pub ausuc: f64,
}

/// Scores of images for classes: from features `[N, D]` and descriptions `[C, A]` to `[N, C]`.
type Scores = Box<dyn Fn(&Tensor, &Tensor) -> Result<Tensor>>;

impl Method {
    /// All settings that are tried.
    pub fn settings(self) -> Vec<Setting> {
        match self {
            Self::Eszsl => {
                let of = |gamma: f64| GRID.into_iter().map(move |lambda| Setting::Eszsl { gamma, lambda });
                GRID.into_iter().flat_map(of).collect()
            }
            Self::Sae => {
                let of = |space: Space| GRID.into_iter().map(move |lambda| Setting::Sae { lambda, space });
                [Space::Descriptions, Space::Features].into_iter().flat_map(of).collect()
            }
        }
    }
}

/// A method with images of some classes, ready for any setting.
enum Problem {
    Eszsl(eszsl::Problem),
    Sae(sae::Problem),
}

impl Problem {
    fn new(method: Method, features: &Tensor, labels: &[usize], descriptions: &Tensor) -> Result<Self> {
        Ok(match method {
            Method::Eszsl => Self::Eszsl(eszsl::Problem::new(features, labels, descriptions)?),
            Method::Sae => Self::Sae(sae::Problem::new(features, labels, descriptions)?),
        })
    }

    fn solve(&self, setting: Setting) -> Result<Scores> {
        Ok(match (self, setting) {
            (Self::Eszsl(problem), Setting::Eszsl { gamma, lambda }) => {
                let learned = problem.solve(gamma, lambda)?;
                Box::new(move |x, s| learned.scores(x, s))
            }
            (Self::Sae(problem), Setting::Sae { lambda, space }) => {
                let learned = problem.solve(lambda)?;
                Box::new(move |x, s| learned.scores(x, s, space))
            }
            _ => unreachable!("settings are a method's own"),
        })
    }
}

/// Some classes of a task, numbered anew.
struct Part<'a> {
    task: &'a Task,
    classes: Vec<usize>,
}

impl<'a> Part<'a> {
    /// The classes of these images.
    fn of(task: &'a Task, positions: &[usize]) -> Self {
        let classes: std::collections::BTreeSet<usize> = positions.iter().map(|&at| task.labels[at]).collect();
        Self { task, classes: classes.into_iter().collect() }
    }

    fn descriptions(&self) -> Result<Tensor> {
        let index: Vec<i64> = self.classes.iter().map(|&class| class as i64).collect();
        let index = Tensor::f_from_slice(&index)?.f_to_device(self.task.descriptions.device())?;
        Ok(self.task.descriptions.f_index_select(0, &index)?)
    }

    /// Rows, and labels among these classes.
    fn rows(&self, positions: &[usize]) -> Result<(Tensor, Vec<usize>)> {
        let (rows, labels) = self.task.rows(positions)?;
        let place = |label: usize| self.classes.binary_search(&label).expect("classes of these images");
        Ok((rows, labels.into_iter().map(place).collect()))
    }

    fn problem(&self, method: Method, positions: &[usize]) -> Result<Problem> {
        let (rows, labels) = self.rows(positions)?;
        Problem::new(method, &rows, &labels, &self.descriptions()?)
    }

    /// What scores are worth among these classes.
    fn measure(&self, scores: &Scores, positions: &[usize]) -> Result<ZeroShotScores> {
        let (rows, labels) = self.rows(positions)?;
        let names: Vec<String> = self.classes.iter().map(|&class| self.task.classes[class].clone()).collect();
        ZeroShotScores::of(&scores(&rows, &self.descriptions()?)?.f_to_kind(Kind::Float)?, &labels, &names)
    }

    /// What they are worth among these classes, where `seen` says which were learned.
    fn generalised(&self, scores: &Scores, positions: &[usize], seen: impl Fn(usize) -> bool) -> Result<Generalised> {
        let (rows, labels) = self.rows(positions)?;
        let seen: Vec<bool> = self.classes.iter().map(|&class| seen(class)).collect();
        Generalised::of(&scores(&rows, &self.descriptions()?)?, &labels, &seen)
    }
}

/// Tests the methods on a task; `seed` deals out images while settings are chosen, and `tried` hears of every setting.
///
/// # Errors
/// A list of the task without images, or what libtorch refuses.
pub fn compare(task: &Task, methods: &[Method], seed: u64, tried: &mut dyn FnMut()) -> Result<Vec<MethodScores>> {
    for (name, list) in [
        ("train", &task.train),
        ("val", &task.val),
        ("trainval", &task.trainval),
        ("test_seen", &task.test_seen),
        ("test_unseen", &task.test_unseen),
    ] {
        if list.is_empty() {
            return Err(Error::Data(format!("the splits have no image in {name}")));
        }
    }
    let (learned, held) = task.halves(&task.train, seed);
    let (stand_in, known) = (Part::of(task, &task.val), Part::of(task, &learned));
    let both = [&held[..], &task.val].concat();
    let any = Part::of(task, &[&learned[..], &task.val].concat());
    let (seen, unseen) = (Part::of(task, &task.trainval), Part::of(task, &task.test_unseen));
    let tested = [&task.test_seen[..], &task.test_unseen].concat();
    let all = Part::of(task, &[&task.trainval[..], &tested].concat());
    let one = |&method: &Method| -> Result<MethodScores> {
        let problem = known.problem(method, &learned)?;
        let mut best: Option<(f64, Setting)> = None;
        for setting in method.settings() {
            let found = stand_in.measure(&problem.solve(setting)?, &task.val)?.per_class_accuracy;
            tried();
            if best.is_none_or(|(most, _)| found > most) {
                best = Some((found, setting));
            }
        }
        let (validation, setting) = best.expect("every method has settings");
        let is_known = |class: usize| known.classes.binary_search(&class).is_ok();
        let chosen = any.generalised(&problem.solve(setting)?, &both, is_known)?.best();
        let scores = seen.problem(method, &task.trainval)?.solve(setting)?;
        let generalised = all.generalised(&scores, &tested, |class| task.seen[class])?;
        let (plain, stacked) = (generalised.at(0.0), generalised.at(chosen.gamma));
        Ok(MethodScores {
            method,
            setting,
            validation,
            unseen: unseen.measure(&scores, &task.test_unseen)?,
            plain,
            harmonic: plain.harmonic(),
            stacked,
            stacked_harmonic: stacked.harmonic(),
            ausuc: generalised.ausuc,
        })
    };
    methods.iter().map(one).collect()
}
