//! Ctrl-C: the first asks the run to save and end, the second ends the program at once.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static INSTALL: Once = Once::new();

/// A flag that Ctrl-C (or a polite kill) sets.
pub(super) fn flag() -> &'static AtomicBool {
    INSTALL.call_once(|| {
        let handler = || {
            if INTERRUPTED.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            eprintln!("\nfinishing the step and saving; press Ctrl-C again to stop at once");
        };
        // Fails only if a handler is there already, which `Once` rules out.
        ctrlc::set_handler(handler).expect("no other handler");
    });
    &INTERRUPTED
}
