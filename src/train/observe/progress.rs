//! What a user sees of a run while it goes on, on standard error: a bar on a terminal, plain lines in a pipe.
//!
//! This is the one place of the library that writes to the screen, and only when the program puts it among the observers.
//! That nobody reads standard error any more stops no training.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

use super::{Epoch, Event, Observer, Started, Step};
use crate::Result;
use crate::eval::Metric;
use crate::report::format;

/// How often a pipe gets a line between the ends of epochs.
const EVERY: Duration = Duration::from_secs(10);

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A bar that is redrawn, and a line above it for each epoch and message.
    Bar,
    /// A line for each epoch and message, and one about every ten seconds.
    Lines,
    /// Nothing.
    Quiet,
}

impl Style {
    /// A bar where standard error is a terminal, lines where it is a pipe or a file, nothing when `quiet`.
    pub fn detect(quiet: bool) -> Self {
        match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Self::Quiet,
            (false, true) => Self::Bar,
            (false, false) => Self::Lines,
        }
    }
}

enum Screen {
    Bar(ProgressBar),
    Lines { out: Box<dyn Write + Send>, every: Duration, last: Instant },
    Nothing,
}

/// Shows events on standard error.
pub struct Progress {
    screen: Screen,
    /// From the start event: epochs in all, steps in all, steps taken when this process began, and when that was.
    epochs: u64,
    steps: u64,
    first: u64,
    start: Instant,
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress").field("epochs", &self.epochs).field("steps", &self.steps).finish_non_exhaustive()
    }
}

impl Progress {
    /// Shows events as `style` says; nothing is drawn before the first.
    pub fn new(style: Style) -> Self {
        match style {
            Style::Bar => Self::on(Screen::Bar(bar(ProgressDrawTarget::stderr()))),
            Style::Lines => Self::lines(Box::new(std::io::stderr()), EVERY),
            Style::Quiet => Self::on(Screen::Nothing),
        }
    }

    fn lines(out: Box<dyn Write + Send>, every: Duration) -> Self {
        Self::on(Screen::Lines { out, every, last: Instant::now() })
    }

    fn on(screen: Screen) -> Self {
        Self { screen, epochs: 0, steps: 0, first: 0, start: Instant::now() }
    }

    fn start(&mut self, start: &Started) {
        (self.epochs, self.steps) = (start.epochs, start.epochs * start.steps_per_epoch);
        (self.first, self.start) = (start.step, Instant::now());
        let prefix = self.epoch_number(start.epoch);
        match &mut self.screen {
            Screen::Bar(bar) => {
                bar.set_prefix(prefix);
                bar.set_length(self.steps);
                bar.set_position(start.step);
                // what earlier runs did says nothing about the speed of this one
                bar.reset_eta();
                bar.tick();
            }
            Screen::Lines { last, .. } => *last = Instant::now(),
            Screen::Nothing => {}
        }
    }

    fn step(&mut self, step: &Step) {
        let (prefix, eta) = (self.epoch_number(step.epoch), self.time_left(step.step));
        match &mut self.screen {
            Screen::Bar(bar) => {
                bar.set_prefix(prefix);
                bar.set_message(state(step));
                bar.set_position(step.step);
            }
            Screen::Lines { every, last, .. } if last.elapsed() >= *every => {
                *last = Instant::now();
                let line = format!("{prefix}  step {}/{}  {}  ETA {eta}", step.step, self.steps, state(step));
                self.print(&line);
            }
            _ => {}
        }
    }

    fn epoch(&mut self, epoch: &Epoch) {
        let line = format!(
            "{}{}{}  {}",
            self.epoch_number(epoch.epoch),
            listed("train", epoch.train),
            listed("validation", &epoch.validation[..epoch.validation.len().min(1)]),
            format::seconds(epoch.seconds)
        );
        self.print(&line);
        if let Screen::Lines { last, .. } = &mut self.screen {
            *last = Instant::now();
        }
    }

    fn work(&mut self, what: &str, done: u64, total: u64) {
        match &mut self.screen {
            Screen::Bar(bar) => {
                bar.set_prefix(what.to_string());
                bar.set_message("");
                bar.set_length(total);
                bar.set_position(done);
            }
            Screen::Lines { every, last, .. } if last.elapsed() >= *every => {
                *last = Instant::now();
                self.print(&format!("{what} {done}/{total}"));
            }
            _ => {}
        }
    }

    fn print(&mut self, line: &str) {
        match &mut self.screen {
            // a bar that was asked for without a terminal is not drawn, and neither is what stands above it
            Screen::Bar(bar) if bar.is_hidden() => drop(writeln!(std::io::stderr(), "{line}")),
            Screen::Bar(bar) => bar.println(line),
            // whether anybody reads is not the run's concern
            Screen::Lines { out, .. } => drop(writeln!(out, "{line}").and_then(|()| out.flush())),
            Screen::Nothing => {}
        }
    }

    fn epoch_number(&self, epoch: u64) -> String {
        let width = self.epochs.to_string().len();
        format!("epoch {:>width$}/{}", epoch + 1, self.epochs)
    }

    fn time_left(&self, step: u64) -> String {
        let taken = step.saturating_sub(self.first).max(1) as f64;
        format::seconds(self.start.elapsed().as_secs_f64() / taken * self.steps.saturating_sub(step) as f64)
    }
}

fn bar(target: ProgressDrawTarget) -> ProgressBar {
    let template = "{prefix} {bar:24} {pos}/{len}  ETA {eta}  {wide_msg}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    // a run that ends early must leave a clean line for its error message
    ProgressBar::with_draw_target(None, target).with_style(style).with_finish(ProgressFinish::AndClear)
}

/// The first loss is the sum; how long data was waited for is shown where it costs something.
fn state(step: &Step) -> String {
    let mut text = String::new();
    if let Some((_, loss)) = step.losses.first() {
        text += &format!("loss {}  ", format::number(*loss));
    }
    for metric in step.metrics {
        text += &format!("{} {}  ", format::name(&metric.name), format::metric(metric));
    }
    text += &format::rate(step.images_per_second, "images");
    if step.data_wait >= 0.05 {
        text += &format!("  waiting for data {:.0} %", 100.0 * step.data_wait);
    }
    text
}

fn listed(group: &str, metrics: &[Metric]) -> String {
    let each = metrics.iter().map(|metric| format!("{} {}", format::name(&metric.name), format::metric(metric)));
    let each: Vec<String> = each.collect();
    if each.is_empty() { String::new() } else { format!("  {group}: {}", each.join(", ")) }
}

impl Observer for Progress {
    fn observe(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Started(start) => self.start(start),
            Event::Step(step) => self.step(step),
            Event::Epoch(epoch) => self.epoch(epoch),
            Event::Message(text) => self.print(text),
            Event::Work { what, done, total } => self.work(what, *done, *total),
            Event::Finished(_) => {
                if let Screen::Bar(bar) = &self.screen {
                    bar.finish_and_clear();
                }
            }
            Event::Histogram { .. } | Event::Image { .. } => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::super::tests::{epoch, started, step};
    use super::*;

    #[derive(Clone, Default)]
    struct Pipe(Arc<Mutex<Vec<u8>>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn shown(every: Duration) -> String {
        let pipe = Pipe::default();
        let mut progress = Progress::lines(Box::new(pipe.clone()), every);
        progress.observe(&started(0)).unwrap();
        step(1, 0.5)(&mut progress);
        step(2, 0.25)(&mut progress);
        epoch(0)(&mut progress);
        progress.observe(&Event::Message("hello")).unwrap();
        let bytes = pipe.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    const EPOCH: &str =
        "epoch 1/3  train: loss 0.5000 nats, accuracy 75.00 %  validation: accuracy 87.50 %  1.5 s\nhello\n";

    #[test]
    fn a_pipe_gets_plain_lines_now_and_then() {
        assert_eq!(shown(Duration::from_secs(3600)), EPOCH);
        let often = shown(Duration::ZERO);
        let start = "epoch 1/3  step 1/6  loss 0.5000  accuracy 75.00 %  100 images/s  waiting for data 12 %  ETA ";
        assert!(often.starts_with(start), "{often}");
        assert!(often.ends_with(EPOCH) && often.lines().count() == 4);
        assert!(!often.contains(['\r', '\u{1b}']));
    }

    #[test]
    fn the_bar_starts_where_the_run_goes_on() {
        let bar = bar(ProgressDrawTarget::hidden());
        let mut progress = Progress::on(Screen::Bar(bar.clone()));
        progress.observe(&started(4)).unwrap();
        assert_eq!((bar.position(), bar.length(), bar.prefix()), (4, Some(6), "epoch 3/3".into()));
        step(5, 0.5)(&mut progress);
        assert_eq!(bar.position(), 5);
        assert!(bar.message().starts_with("loss 0.5000  accuracy 75.00 %  100 images/s"));
        progress.observe(&Event::Finished(super::super::Finished { step: 6, seconds: 1.0 })).unwrap();
        assert!(bar.is_finished());
    }

    #[test]
    fn quiet_shows_nothing() {
        assert_eq!(Style::detect(true), Style::Quiet);
        assert!(Progress::new(Style::Quiet).observe(&Event::Message("hello")).is_ok());
    }
}
