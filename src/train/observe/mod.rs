//! What happens during a run, told to whoever keeps or shows it: one event type, one file per observer.
//!
//! | observer | keeps or shows |
//! |---|---|
//! | [`JsonLines`] | `metrics.jsonl`: every event but pictures and histograms, a line each |
//! | [`TensorBoard`] | event files: scalars, histograms, pictures, the configuration as text |
//! | [`Progress`] | a bar on a terminal, plain lines in a pipe |
//!
//! The loop tells an event once it has happened, so `step` is the number of optimizer steps taken. Before it saves a
//! checkpoint it tells the epoch's [`Event::Epoch`], when one has ended, and calls [`Observer::flush`]; after a kill and a
//! resume at step S the observers then have all events up to S, and those after S happen again.

mod history;
mod jsonl;
mod progress;
mod tensorboard;

use image::RgbImage;
use tch::Tensor;

pub use history::{EpochRecord, epochs_of};
pub use jsonl::JsonLines;
pub use progress::{Progress, Style};
pub use tensorboard::TensorBoard;

use crate::Result;
use crate::eval::Metric;
use crate::report::RunDir;

/// Something that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// Training starts, or goes on after a resume.
    Started(Started<'a>),
    /// An optimizer step was taken.
    Step(Step<'a>),
    /// An epoch has ended and was evaluated.
    Epoch(Epoch<'a>),
    /// How the values of a tensor are distributed, as of weights or gradients.
    Histogram {
        /// Steps taken so far.
        step: u64,
        /// As in `weights/layer4.1.conv2.weight`.
        name: &'a str,
        /// Any shape and floating kind, on any device; values that are not finite are left out.
        values: &'a Tensor,
    },
    /// A picture, as of the first batch or a confusion matrix.
    Image {
        /// Steps taken so far.
        step: u64,
        /// As in `input/first batch`.
        tag: &'a str,
        /// The picture.
        image: &'a RgbImage,
    },
    /// Something the user should know; one line.
    Message(&'a str),
    /// Work that is no training step, such as computing features, is under way; an observer that answers an error ends it.
    Work {
        /// What is counted.
        what: &'a str,
        /// How many are done.
        done: u64,
        /// How many there are.
        total: u64,
    },
    /// Training has ended; nothing comes after this.
    Finished(Finished),
}

/// What is known when training starts.
#[derive(Debug, Clone, Copy)]
pub struct Started<'a> {
    /// All options, as JSON text.
    pub config: &'a str,
    /// Steps that earlier runs took and that are not repeated: 0 for a new run.
    pub step: u64,
    /// The epoch that starts or goes on, from 0.
    pub epoch: u64,
    /// How many epochs there are to be.
    pub epochs: u64,
    /// Optimizer steps in each.
    pub steps_per_epoch: u64,
}

/// One optimizer step.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// The epoch it belongs to, from 0.
    pub epoch: u64,
    /// Steps taken so far, this one included.
    pub step: u64,
    /// Learning rate of each group of parameters.
    pub learning_rates: &'a [(&'a str, f64)],
    /// The parts of the loss and their sum, the sum first.
    pub losses: &'a [(&'a str, f64)],
    /// What else is known of the training batches lately, as accuracy; may be empty.
    pub metrics: &'a [Metric],
    /// 2-norm of the gradient before clipping, where it was computed.
    pub gradient_norm: Option<f64>,
    /// Images trained on per second, lately.
    pub images_per_second: f64,
    /// Share of the step's time that was spent waiting for data, in 0..1.
    pub data_wait: f64,
}

/// The end of an epoch.
#[derive(Debug, Clone, Copy)]
pub struct Epoch<'a> {
    /// Which one, from 0.
    pub epoch: u64,
    /// Steps taken so far.
    pub step: u64,
    /// Means over the epoch's training batches, as `loss`, `accuracy`.
    pub train: &'a [Metric],
    /// The same on the validation set; empty where there is none.
    pub validation: &'a [Metric],
    /// Wall time of the epoch, evaluation included, in seconds.
    pub seconds: f64,
}

/// The end of training.
#[derive(Debug, Clone, Copy)]
pub struct Finished {
    /// Steps taken in all.
    pub step: u64,
    /// Wall time since the start or the last resume, in seconds.
    pub seconds: f64,
}

/// Someone who is told what happens.
pub trait Observer: Send {
    /// Takes note of `event`.
    ///
    /// # Errors
    /// It cannot be kept, as when the disk is full. No observer panics for that.
    fn observe(&mut self, event: &Event) -> Result<()>;

    /// Makes sure that all that was told so far outlives this process and the machine.
    ///
    /// # Errors
    /// As [`observe`](Self::observe).
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Several observers as one; each is told everything, in their order, even when one before it fails.
#[derive(Default)]
pub struct Observers(pub Vec<Box<dyn Observer>>);

impl Observer for Observers {
    fn observe(&mut self, event: &Event) -> Result<()> {
        self.tell(|observer| observer.observe(event))
    }

    fn flush(&mut self) -> Result<()> {
        self.tell(|observer| observer.flush())
    }
}

impl Observers {
    /// Those of a run: its log, its event file, and the terminal unless `quiet`. `resume` is the step of the checkpoint
    /// that the run goes on from.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn of_run(run: &RunDir, resume: Option<u64>, quiet: bool) -> Result<Self> {
        let log = match resume {
            Some(step) => JsonLines::truncate_after(run.metrics(), step)?,
            None => JsonLines::create(run.metrics())?,
        };
        let board = TensorBoard::create(run.path())?;
        Ok(Self(vec![Box::new(log), Box::new(board), Box::new(Progress::new(Style::detect(quiet)))]))
    }

    /// Tells everyone one line.
    ///
    /// # Errors
    /// It cannot be kept.
    pub fn message(&mut self, text: &str) -> Result<()> {
        self.observe(&Event::Message(text))
    }

    /// Tells everyone, then returns the first failure.
    fn tell(&mut self, mut what: impl FnMut(&mut Box<dyn Observer>) -> Result<()>) -> Result<()> {
        let mut outcome = Ok(());
        for observer in &mut self.0 {
            outcome = outcome.and(what(observer));
        }
        outcome
    }
}

impl std::fmt::Debug for Observers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} observers", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::Error;
    use crate::eval::Unit;

    /// The step events of a toy run.
    pub(super) fn step(step: u64, loss: f64) -> impl Fn(&mut dyn Observer) {
        move |observer| {
            let event = Step {
                epoch: (step - 1) / 2,
                step,
                learning_rates: &[("backbone", 1e-4), ("head", 1e-3)],
                losses: &[("total", loss), ("penalty", 0.25)],
                metrics: &[Metric::higher("accuracy", 0.75, Unit::Fraction)],
                gradient_norm: Some(1.5),
                images_per_second: 100.0,
                data_wait: 0.125,
            };
            observer.observe(&Event::Step(event)).expect("kept");
        }
    }

    pub(super) fn started(step: u64) -> Event<'static> {
        Event::Started(Started { config: r#"{"seed": 1}"#, step, epoch: step / 2, epochs: 3, steps_per_epoch: 2 })
    }

    pub(super) fn epoch(epoch: u64) -> impl Fn(&mut dyn Observer) {
        move |observer| {
            let accuracy = |value| Metric::higher("accuracy", value, Unit::Fraction);
            let train = &[Metric::lower("loss", 0.5, Unit::Nats), accuracy(0.75)];
            let event = Epoch { epoch, step: 2 * epoch + 2, train, validation: &[accuracy(0.875)], seconds: 1.5 };
            observer.observe(&Event::Epoch(event)).expect("kept");
        }
    }

    struct Note(Arc<Mutex<Vec<u32>>>, u32, bool);

    impl Observer for Note {
        fn observe(&mut self, _: &Event) -> Result<()> {
            self.0.lock().expect("not poisoned").push(self.1);
            if self.2 { Err(Error::Training(format!("observer {}", self.1))) } else { Ok(()) }
        }
    }

    #[test]
    fn everyone_is_told_and_the_first_failure_returned() {
        let notes = Arc::new(Mutex::new(Vec::new()));
        let observer = |number, fails| Box::new(Note(notes.clone(), number, fails)) as Box<dyn Observer>;
        let mut observers = Observers(vec![observer(1, false), observer(2, true), observer(3, true)]);
        let error = observers.observe(&Event::Message("hello")).unwrap_err();
        assert_eq!(error.to_string(), "observer 2");
        assert_eq!(*notes.lock().unwrap(), [1, 2, 3]);
    }
}
