//! Ctrl-C: the first asks the run to end, and to save what it learned, the second ends the program at once.

use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use super::run_bar::RunBar;
use crate::methods::cells::Cells;
use crate::report::RunDir;
use crate::train::observe::{Event, Observer, Observers};
use crate::{Error, Result};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static INSTALL: Once = Once::new();

/// A flag that Ctrl-C (or a polite kill) sets.
pub(super) fn flag() -> &'static AtomicBool {
    INSTALL.call_once(|| {
        let handler = || {
            if INTERRUPTED.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            eprintln!("\nfinishing what is under way and saving; press Ctrl-C again to stop at once");
        };
        // Fails only if a handler is there already, which `Once` rules out.
        ctrlc::set_handler(handler).expect("no other handler");
    });
    &INTERRUPTED
}

/// The observers of a run, of which one ends work that is no training step on Ctrl-C; the loop itself saves first.
///
/// # Errors
/// A folder that cannot be written.
pub(super) fn observers(run: &RunDir, resume: Option<u64>, quiet: bool) -> Result<Observers> {
    let mut observers = Observers::of_run(run, resume, quiet)?;
    observers.0.push(Box::new(EndsWork(flag())));
    Ok(observers)
}

/// Runs in the folder `root` that show one line of progress each.
pub(super) fn cells<'a>(root: &Path, force: bool, quiet: bool) -> Cells<'a> {
    let observe = move |run: &RunDir, step, label: &str| {
        let mut observers = observers(run, step, true)?;
        observers.0.push(Box::new(RunBar::new(label, quiet)));
        Ok(observers)
    };
    Cells { root: root.to_path_buf(), force, interrupted: flag(), observe: Box::new(observe) }
}

struct EndsWork(&'static AtomicBool);

impl Observer for EndsWork {
    fn observe(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Work { what, done, total } if done < total && self.0.load(Ordering::Relaxed) => {
                Err(Error::Interrupted(format!(
                    "{what}: {done} of {total} were done; nothing has been learned since the last checkpoint"
                )))
            }
            _ => Ok(()),
        }
    }
}
