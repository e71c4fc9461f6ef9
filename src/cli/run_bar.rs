//! One line of progress for each of several runs: if all told everything, that would be too much.

use indicatif::{ProgressBar, ProgressStyle};

use super::output;
use crate::Result;
use crate::train::observe::{Event, Observer};

/// A bar that is there while a run goes on.
pub(super) struct RunBar(ProgressBar);

impl RunBar {
    pub(super) fn new(label: &str, quiet: bool) -> Self {
        let bar = output::bar("", 0, quiet);
        let style = ProgressStyle::with_template("{prefix}  {bar:24} {msg} {elapsed}");
        bar.set_style(style.expect("a valid template"));
        bar.set_prefix(label.to_string());
        Self(bar)
    }
}

impl Observer for RunBar {
    fn observe(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Work { what, done, total } => {
                self.0.set_length(*total);
                self.0.set_position(*done);
                self.0.set_message(what.to_string());
            }
            Event::Started(started) => {
                self.0.set_length(started.epochs * started.steps_per_epoch);
                self.0.set_position(started.step);
                self.0.set_message("training");
            }
            Event::Step(step) => self.0.set_position(step.step),
            Event::Finished(_) => self.0.finish_and_clear(),
            _ => {}
        }
        Ok(())
    }
}

impl Drop for RunBar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
