//! The only epoch loop: it adds up, goes backward, clips, steps, logs, saves, resumes and stops.
//!
//! Whatever is random is drawn from the seed, the epoch and the batch, and the checkpoint is written between two
//! optimizer steps; so a run that was killed and resumed ends in the same bytes as one that was not (on the CPU).

mod options;
mod result;
mod sums;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tch::{Kind, Tensor};

use super::checkpoint::{Checkpoint, State};
use super::ema::Ema;
use super::objective::{Assessment, Batch, BatchSource, Batches, Objective};
use super::observe::{Epoch, Event, Observer, Observers, Started, Step};
use super::optimizer::Optimizer;
use super::precision::Precision;
use super::profile::{Part, Profiler};
use super::schedule::Progress;
use crate::eval::Metric;
use crate::models::formats::{StateDict, write_safetensors};
use crate::report::RunDir;
use crate::{Error, Result, native};
pub use options::FitOptions;
use sums::{Sums, Window};

/// Epochs shorter than this do not get a checkpoint each: writing it would take longer than what it could save.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(10);

/// Where a run happens and who watches it.
pub struct Site<'a> {
    /// Its folder.
    pub run: &'a RunDir,
    /// Who is told what happens.
    pub observers: &'a mut Observers,
    /// All options, as JSON text.
    pub config: &'a str,
    /// Set by Ctrl-C: the loop saves and ends after the step that is running.
    pub interrupted: &'a AtomicBool,
    /// What fixes every random choice.
    pub seed: u64,
    /// Whether to go on from the folder's last checkpoint.
    pub resume: bool,
}

/// How training went.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// The counters at the end.
    pub state: State,
    /// What the last epoch's assessment found.
    pub last: Assessment,
}

/// Trains `objective` on `source` and leaves the best epoch's model in `checkpoints/best/model.safetensors`.
///
/// # Errors
/// A loss that is no longer a number, an interruption, a folder that cannot be written, what the method finds wrong.
pub fn fit<O: Objective>(
    objective: &mut O,
    source: &mut dyn BatchSource<Batch = O::Batch>,
    options: &FitOptions,
    site: Site,
) -> Result<Fitted> {
    let mut training = Training::start(objective, source.steps(), options, site)?;
    let mut last = Assessment::default();
    while !training.state.done {
        if options.epochs() > 0 {
            training.epoch(objective, source)?;
        }
        last = training.end_epoch(objective)?;
    }
    training.profile(|profiler| profiler.finish().map(Some))?;
    if training.state.frozen_digest != Some(training.frozen_digest(objective)?) {
        return Err(Error::Training("frozen layers have changed during training; this is a defect of regraft".into()));
    }
    Ok(Fitted { state: training.state, last })
}

struct Training<'a> {
    options: &'a FitOptions,
    site: Site<'a>,
    optimizer: Optimizer,
    ema: Option<Ema>,
    state: State,
    batches: usize,
    since: Instant,
    /// Sums of the epoch's logged parts, on the device.
    sums: Sums,
    epoch_began: Instant,
    profiler: Option<Profiler>,
}

impl<'a> Training<'a> {
    fn start<O: Objective>(objective: &mut O, batches: usize, options: &'a FitOptions, site: Site<'a>) -> Result<Self> {
        let mut state = State::default();
        let saved = if site.resume { Some(Checkpoint::read(&site.run.last())?) } else { None };
        if let Some(saved) = &saved {
            objective.store().restore(&saved.model)?;
            state = saved.state.clone();
        }
        objective.begin_epoch(state.epoch)?;
        let optimizer = Optimizer::new(options.optimizer.clone(), objective.store(), |n| objective.lr_multiplier(n));
        let ema = options.ema.map(|decay| Ema::new(objective.store(), decay));
        let sums = Sums::from(state.running.as_slice());
        let now = Instant::now();
        let profiler = options.profile.map(|steps| Profiler::new(site.run.path(), objective.store().device(), steps));
        let mut training =
            Self { options, site, optimizer, ema, state, batches, since: now, sums, epoch_began: now, profiler };
        if let Some(saved) = saved {
            training.optimizer.restore(&part(&saved.training, "optimizer/"))?;
            if let Some(ema) = &mut training.ema {
                ema.restore(&part(&saved.training, "ema/"))?;
            }
        }
        let Progress { step, steps_per_epoch, epochs } = training.progress();
        training.site.observers.observe(&Event::Started(Started {
            config: training.site.config,
            step: step as u64,
            epoch: training.state.epoch as u64,
            epochs: epochs as u64,
            steps_per_epoch: steps_per_epoch as u64,
        }))?;
        let digest = training.frozen_digest(objective)?;
        match &training.state.frozen_digest {
            None => training.state.frozen_digest = Some(digest),
            Some(saved) if *saved != digest => {
                return Err(Error::Training(
                    "frozen layers of the checkpoint are not those that the run began with".into(),
                ));
            }
            Some(_) => {}
        }
        Ok(training)
    }

    /// What proves at the end that frozen layers stayed as they were.
    fn frozen_digest<O: Objective>(&self, objective: &O) -> Result<String> {
        let names: BTreeSet<_> = objective.always_frozen().into_iter().collect();
        objective.store().digest(|name| names.contains(name))
    }

    fn progress(&self) -> Progress {
        let steps_per_epoch = self.batches.div_ceil(self.options.accumulate);
        Progress { step: self.state.step, steps_per_epoch, epochs: self.options.epochs() }
    }

    fn out_of_steps(&self) -> bool {
        self.options.max_steps.is_some_and(|most| self.state.step >= most)
    }

    fn factor(&self) -> f64 {
        self.options.schedule.factor(self.progress(), self.state.plateau.factor())
    }

    /// Runs the batches of the epoch that are left.
    fn epoch<O: Objective>(&mut self, objective: &mut O, source: &mut dyn BatchSource<Batch = O::Batch>) -> Result<()> {
        let epoch = self.state.epoch;
        objective.begin_epoch(epoch)?;
        self.optimizer.regroup(objective.store(), |name| objective.lr_multiplier(name));
        self.optimizer.forget_gradients()?;
        let mut batches = source.epoch(epoch, self.state.batch)?;
        self.epoch_began = Instant::now();
        let mut window = Window::default();
        while !self.out_of_steps() {
            let asked = Instant::now();
            let Some(batch) = self.next(&mut batches)? else { break };
            window.waited += asked.elapsed().as_secs_f64();
            window.images += batch.samples() as u64;
            self.backward(objective, &batch)?;
            self.profile(Profiler::batch_done)?;
            self.state.batch += 1;
            self.state.images += batch.samples() as u64;
            self.state.training_seconds += asked.elapsed().as_secs_f64();
            let end = self.state.batch == self.batches;
            if !self.state.batch.is_multiple_of(self.options.accumulate) && !end {
                continue;
            }
            let rates = self.optimizer.rates(self.factor());
            let norm = self.step(objective)?;
            if self.state.step.is_multiple_of(self.options.log_every) || end {
                self.log_step(&rates, norm, &window)?;
                window = Window::default();
            }
            let due = self.options.checkpoint_every.is_some_and(|every| self.state.step.is_multiple_of(every));
            let interrupted = self.site.interrupted.load(Ordering::Relaxed);
            if (due && !end) || interrupted {
                self.save(objective)?;
            }
            if interrupted {
                let folder = self.site.run.path().display();
                return Err(Error::Interrupted(format!(
                    "the checkpoint of step {} is written: add --resume to go on in {folder}",
                    self.state.step
                )));
            }
        }
        Ok(())
    }

    fn next<B>(&self, batches: &mut Batches<'_, B>) -> Result<Option<B>> {
        let _part = Part::Data.begin();
        batches.next().transpose()
    }

    /// Lets the profiler do something, and shows where the time went once it knows.
    fn profile(&mut self, what: impl FnOnce(&mut Profiler) -> Result<Option<String>>) -> Result<()> {
        let Some(profiler) = &mut self.profiler else { return Ok(()) };
        let Some(table) = what(profiler)? else { return Ok(()) };
        self.profiler = None;
        table.lines().try_for_each(|line| self.site.observers.message(line))
    }

    /// Adds a batch's gradients to those that are there.
    fn backward<O: Objective>(&mut self, objective: &mut O, batch: &O::Batch) -> Result<()> {
        // Dropout and its like draw from libtorch's generator, which so depends on nothing but the place in the run.
        tch::manual_seed(stream(self.site.seed, self.state.epoch as u64, self.state.batch as u64));
        let parts = {
            let _part = Part::Forward.begin();
            let _autocast = self.options.precision.autocast(objective.store().device())?;
            objective.losses(batch, self.progress())?
        };
        let first = self.state.batch - self.state.batch % self.options.accumulate;
        let group = self.options.accumulate.min(self.batches - first);
        let mut loss = parts.total.f_to_kind(Kind::Float)?.f_div_scalar(group as f64)?;
        if self.options.precision == Precision::Fp16 {
            loss = self.state.scaler.scaled(&loss)?;
        }
        {
            let _part = Part::Backward.begin();
            loss.f_backward()?;
        }
        let losses = parts.losses.into_iter().map(|(name, value)| (name, value, false));
        losses
            .chain(parts.shares.into_iter().map(|(name, value)| (name, value, true)))
            .try_for_each(|(name, value, share)| self.sums.add(&name, share, &value))?;
        Ok(())
    }

    /// Clips, steps, averages; gives the norm of the gradients where it was wanted.
    fn step<O: Objective>(&mut self, objective: &O) -> Result<Option<Tensor>> {
        let _part = Part::Optimizer.begin();
        let gradients = self.optimizer.gradients();
        let mut good = true;
        if self.options.precision == Precision::Fp16 {
            good = self.state.scaler.unscale(&gradients)?;
            self.state.scaler.update(good);
        }
        let mut norm = None;
        if let Some(limit) = self.options.clip_grad {
            let total = native::total_norm(&gradients)?;
            let factor = (limit / (&total + 1e-6)).f_clamp_max(1.0)?;
            for gradient in &gradients {
                let _scaled = gradient.shallow_clone().f_mul_(&factor)?;
            }
            norm = Some(total);
        }
        if good {
            self.optimizer.step(self.factor())?;
        }
        self.optimizer.forget_gradients()?;
        self.state.step += 1;
        if let Some(ema) = &mut self.ema {
            ema.update(objective.store(), self.state.step)?;
        }
        Ok(norm)
    }

    fn log_step(&mut self, rates: &[(String, f64)], norm: Option<Tensor>, window: &Window) -> Result<()> {
        let (losses, shares) = self.sums.means()?;
        if let Some(Metric { name, value, .. }) = losses.iter().find(|loss| !loss.value.is_finite()) {
            return Err(Error::Training(format!(
                "{name} became {value} by step {}: lower --lr, add --clip-grad 1, or lengthen --warmup",
                self.state.step
            )));
        }
        let seconds = window.since.elapsed().as_secs_f64().max(1e-9);
        let losses: Vec<(&str, f64)> = losses.iter().map(|loss| (loss.name.as_str(), loss.value)).collect();
        let rates: Vec<(&str, f64)> = rates.iter().map(|(name, rate)| (name.as_str(), *rate)).collect();
        self.site.observers.observe(&Event::Step(Step {
            epoch: self.state.epoch as u64,
            step: self.state.step as u64,
            learning_rates: &rates,
            losses: &losses,
            metrics: &shares,
            gradient_norm: norm.map(f64::try_from).transpose()?,
            images_per_second: window.images as f64 / seconds,
            data_wait: (window.waited / seconds).min(1.0),
        }))
    }

    /// Assesses the model where that is due, and decides whether to go on.
    fn end_epoch<O: Objective>(&mut self, objective: &mut O) -> Result<Assessment> {
        let (mut train, shares) = self.sums.means()?;
        train.extend(shares);
        let is_last = self.out_of_steps() || self.state.epoch + 1 >= self.options.epochs();
        let is_due = is_last || (self.state.epoch + 1).is_multiple_of(self.options.eval_every);
        let assessment = if is_due { self.assess(objective)? } else { Assessment::default() };
        objective.notes().iter().try_for_each(|note| self.site.observers.message(note))?;
        self.site.observers.observe(&Event::Epoch(Epoch {
            epoch: self.state.epoch as u64,
            step: self.state.step as u64,
            train: &train,
            validation: &assessment.metrics,
            seconds: self.epoch_began.elapsed().as_secs_f64(),
        }))?;
        for (name, values) in objective.store().trainable() {
            let name = &format!("weights/{name}");
            self.site.observers.observe(&Event::Histogram { step: self.state.step as u64, name, values })?;
        }
        let best = self.state.best.map_or(0, |(_, epoch)| epoch);
        let waited = self.state.epoch - best;
        self.state.epoch += 1;
        self.state.batch = 0;
        self.sums = Sums::default();
        let patience_over = is_due && self.options.patience.is_some_and(|patience| waited >= patience);
        self.state.done = patience_over || is_last;
        if self.state.done || self.options.checkpoint_every.is_some() || self.since.elapsed() >= CHECKPOINT_INTERVAL {
            self.save(objective)?;
        }
        Ok(assessment)
    }

    /// Assesses the model, and keeps it if it is the best.
    fn assess<O: Objective>(&mut self, objective: &mut O) -> Result<Assessment> {
        self.swap(objective)?;
        let assessment = {
            let _part = Part::Assessment.begin();
            objective.assess()?
        };
        let score = assessment.score;
        if self.state.best.is_none_or(|(best, _)| score > best) {
            self.state.best = Some((score, self.state.epoch));
            write_safetensors(self.site.run.best_model(), &model_of(objective)?)?;
        }
        self.swap(objective)?;
        self.state.plateau.observe(score.0, &self.options.schedule);
        Ok(assessment)
    }

    /// Puts the averaged weights in the place of the current ones, or back.
    fn swap<O: Objective>(&mut self, objective: &O) -> Result<()> {
        self.ema.as_mut().map_or(Ok(()), |ema| ema.swap(objective.store()))
    }

    fn save<O: Objective>(&mut self, objective: &O) -> Result<()> {
        self.state.running = self.sums.on_the_host()?;
        self.state.seconds += self.since.elapsed().as_secs_f64();
        self.since = Instant::now();
        let mut training = StateDict::new(BTreeMap::new(), BTreeMap::new());
        let optimizer = self.optimizer.snapshot();
        let ema = self.ema.as_ref().map(Ema::snapshot).unwrap_or_default();
        for (prefix, tensors) in [("optimizer/", optimizer), ("ema/", ema)] {
            training.tensors.extend(tensors.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)));
        }
        self.site.observers.flush()?;
        Checkpoint { model: model_of(objective)?, training, state: self.state.clone() }.write(&self.site.run.last())
    }
}

fn model_of<O: Objective>(objective: &O) -> Result<StateDict> {
    let mut model = objective.store().snapshot()?;
    model.metadata = objective.metadata();
    Ok(model)
}

/// The tensors under `prefix`, without it.
fn part(dict: &StateDict, prefix: &str) -> BTreeMap<String, Tensor> {
    let strip =
        |(name, tensor): (&String, &Tensor)| Some((name.strip_prefix(prefix)?.to_string(), tensor.shallow_clone()));
    dict.tensors.iter().filter_map(strip).collect()
}

/// A seed for one batch: the same for the same place in the same run, unrelated for any other (SplitMix64's mixing).
fn stream(seed: u64, epoch: u64, batch: u64) -> i64 {
    [epoch, batch].iter().fold(seed, |state, part| {
        let mut z = state.wrapping_add(part.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }) as i64
}
