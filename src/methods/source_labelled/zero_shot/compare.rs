//! Methods of zero-shot learning side by side, by the protocol of Xian et al. 2018.
//!
//! Settings are chosen on classes that stand for unseen ones: a method learns from four fifths of the images in `train`, and of every setting
//! the per-class accuracy on `val`, among its classes, decides. The last fifth and `val` together choose what calibrated stacking takes off
//! the scores of seen classes. Then the method learns from `trainval`, and is tested once.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::learn::{Place, Scorer};
use super::method::{Method, Problem, Setting};
use super::task::Task;
use crate::eval::{Generalised, Point, ZeroShotScores};
use crate::{Error, Result};

/// What a method came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodScores {
    /// Which.
    pub method: Method,
    /// What was chosen.
    pub setting: Setting,
    /// Per-class accuracy on the classes that settings were chosen on: the best of many, so better than it is.
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

    fn descriptions(&self, method: Method) -> Result<Tensor> {
        let all = if method.is_of_attributes() { &self.task.unscaled } else { &self.task.descriptions };
        let index: Vec<i64> = self.classes.iter().map(|&class| class as i64).collect();
        let index = Tensor::f_from_slice(&index)?.f_to_device(all.device())?;
        Ok(all.f_index_select(0, &index)?)
    }

    /// Rows, and labels among these classes.
    fn rows(&self, positions: &[usize]) -> Result<(Tensor, Vec<usize>)> {
        let (rows, labels) = self.task.rows(positions)?;
        let place = |label: usize| self.classes.binary_search(&label).expect("classes of these images");
        Ok((rows, labels.into_iter().map(place).collect()))
    }

    fn problem(&self, method: Method, positions: &[usize], seed: u64) -> Result<Problem> {
        let (rows, labels) = self.rows(positions)?;
        Problem::new(method, &rows, &labels, &self.descriptions(method)?, seed)
    }

    /// What scores are worth among these classes.
    fn measure(&self, method: Method, scores: Scorer, positions: &[usize]) -> Result<ZeroShotScores> {
        let (rows, labels) = self.rows(positions)?;
        let names: Vec<String> = self.classes.iter().map(|&class| self.task.classes[class].clone()).collect();
        ZeroShotScores::of(&scores(&rows, &self.descriptions(method)?)?.f_to_kind(Kind::Float)?, &labels, &names)
    }

    /// What they are worth among these classes, where `seen` says which were learned.
    fn generalised(
        &self,
        method: Method,
        scores: Scorer,
        positions: &[usize],
        seen: impl Fn(usize) -> bool,
    ) -> Result<Generalised> {
        let (rows, labels) = self.rows(positions)?;
        let seen: Vec<bool> = self.classes.iter().map(|&class| seen(class)).collect();
        Generalised::of(&scores(&rows, &self.descriptions(method)?)?, &labels, &seen)
    }
}

/// How a comparison goes.
pub struct Course<'a> {
    /// Deals out images while settings are chosen, and draws what is random in learning.
    pub seed: u64,
    /// Hears of every setting that was tried.
    pub tried: &'a mut dyn FnMut(),
    /// Where a method learns for its test.
    pub place: &'a mut dyn FnMut(Method) -> Result<Place<'a>>,
    /// Hears of every method that is done.
    pub found: &'a mut dyn FnMut(&MethodScores) -> Result<()>,
    /// Set to end what learns by gradient after its current step.
    pub interrupted: &'a AtomicBool,
}

/// Tests the methods on a task.
///
/// # Errors
/// A list of the task without images, an interruption, or what libtorch refuses.
pub fn compare(task: &Task, methods: &[Method], course: Course) -> Result<Vec<MethodScores>> {
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
    let Course { seed, tried, place, found: done, interrupted } = course;
    let (learned, held) = task.halves(&task.train, seed);
    let (stand_in, known) = (Part::of(task, &task.val), Part::of(task, &learned));
    let both = [&held[..], &task.val].concat();
    let any = Part::of(task, &[&learned[..], &task.val].concat());
    let (seen, unseen) = (Part::of(task, &task.trainval), Part::of(task, &task.test_unseen));
    let tested = [&task.test_seen[..], &task.test_unseen].concat();
    let all = Part::of(task, &[&task.trainval[..], &tested].concat());
    let mut one = |&method: &Method| -> Result<MethodScores> {
        let judge = |scores: Scorer| Ok(stand_in.measure(method, scores, &task.val)?.per_class_accuracy);
        let problem = known.problem(method, &learned, seed)?;
        let settings = method.settings();
        let mut best: Option<(f64, Setting)> = None;
        // where there is no choice, what is learned for the next step is measured
        for &setting in settings.iter().filter(|_| settings.len() > 1) {
            if interrupted.load(Ordering::Relaxed) {
                return Err(Error::Interrupted("a method was being set".into()));
            }
            let found = problem.try_out(setting, &judge, interrupted)?;
            tried();
            if best.is_none_or(|(most, _)| found.0 > most) {
                best = Some(found);
            }
        }
        let setting = best.map_or(settings[0], |(_, setting)| setting);
        let is_known = |class: usize| known.classes.binary_search(&class).is_ok();
        let scores = problem.solve(setting, Place::passing(interrupted))?;
        let validation = match best {
            Some((validation, _)) => validation,
            None => {
                tried();
                judge(&*scores)?
            }
        };
        let chosen = any.generalised(method, &*scores, &both, is_known)?.best();
        let scores = seen.problem(method, &task.trainval, seed)?.solve(setting, place(method)?)?;
        let generalised = all.generalised(method, &*scores, &tested, |class| task.seen[class])?;
        let (plain, stacked) = (generalised.at(0.0), generalised.at(chosen.gamma));
        let scores = MethodScores {
            method,
            setting,
            validation,
            unseen: unseen.measure(method, &*scores, &task.test_unseen)?,
            plain,
            harmonic: plain.harmonic(),
            stacked,
            stacked_harmonic: stacked.harmonic(),
            ausuc: generalised.ausuc,
        };
        done(&scores)?;
        Ok(scores)
    };
    methods.iter().map(&mut one).collect()
}
