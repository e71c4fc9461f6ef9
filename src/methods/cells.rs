//! Runs that answer one question together, each in a folder of its own: what is finished is not done again when the command
//! is started again, and what was interrupted goes on from its checkpoint.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::report::{RunDir, RunResult};
use crate::train::Checkpoint;
use crate::train::observe::Observers;
use crate::{Error, Result, files};

/// Makes the observers of a run: from its folder, the step that it goes on from, and what a user calls it.
pub type Observe<'a> = Box<dyn FnMut(&RunDir, Option<u64>, &str) -> Result<Observers> + 'a>;

/// The folder of all runs, and what they share.
pub struct Cells<'a> {
    /// The folder.
    pub root: PathBuf,
    /// Whether every run is started over.
    pub force: bool,
    /// Set to end the run under way after its current step.
    pub interrupted: &'a AtomicBool,
    /// Who hears of a run.
    pub observe: Observe<'a>,
}

impl Cells<'_> {
    /// The folder of the run `name`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The result of the run `name` with these `options`, complete as a run writes them to its `config.json`: read, or found
    /// by `run`, which gets the folder, the observers, and whether to go on from the checkpoint there.
    ///
    /// # Errors
    /// A folder that holds a run with other options; an interruption; what `run` finds.
    pub fn run(
        &mut self,
        name: &str,
        label: &str,
        options: &impl Serialize,
        run: impl FnOnce(&RunDir, &mut Observers, bool) -> Result<RunResult>,
    ) -> Result<RunResult> {
        let stopped = |detail: &str| Error::Interrupted(format!("{detail}the same command goes on from here"));
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(stopped(""));
        }
        let (folder, resume) = open(options, &self.path(name), self.force)?;
        if folder.is_finished() {
            return files::read_json(folder.result());
        }
        let step = if resume { Some(Checkpoint::read_state(&folder.last())?.step as u64) } else { None };
        if !resume {
            folder.write_config(options)?;
        }
        let mut observers = (self.observe)(&folder, step, label)?;
        match run(&folder, &mut observers, resume) {
            Err(Error::Interrupted(_)) => Err(stopped("the checkpoint is written; ")),
            outcome => outcome,
        }
    }
}

/// The folder of a run, and whether there is a checkpoint to go on from.
fn open(options: &impl Serialize, folder: &Path, force: bool) -> Result<(RunDir, bool)> {
    let config = folder.join("config.json");
    if force || !config.is_file() {
        return Ok((RunDir::create(folder, force)?, false));
    }
    let run = RunDir::open(folder)?;
    if !run.is_finished() && !run.has_checkpoint() {
        // stopped before its first checkpoint: nothing is lost by starting over, with whatever options
        return Ok((RunDir::create(folder, true)?, false));
    }
    let wanted = serde_json::to_value(options).expect("options are plain data");
    let mut found = files::read_json::<serde_json::Value>(&config)?;
    // a run writes down what it chose
    let chosen = "batch_size";
    if wanted[chosen] == "auto" && found.get(chosen).is_some() {
        found[chosen] = "auto".into();
    }
    if found != wanted {
        let folder = folder.display();
        let reason = format!("{folder}: is a run with other options; choose another --out, or start over with --force");
        return Err(Error::Usage(reason));
    }
    Ok((run, true))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::report::Versions;

    fn result(seed: u64) -> RunResult {
        RunResult {
            method: "test".into(),
            metrics: Default::default(),
            epochs: 1,
            steps: 1,
            seconds: 0.0,
            images_per_second: 0.0,
            peak_memory_bytes: None,
            seed,
            device: "cpu".into(),
            precision: "fp32".into(),
            versions: Versions::current(),
        }
    }

    #[test]
    fn what_is_finished_is_read_and_other_options_are_refused() -> Result<()> {
        let (folder, interrupted, runs) = (tempfile::tempdir().unwrap(), AtomicBool::new(false), Cell::new(0));
        let cells = |force| Cells {
            root: folder.path().to_path_buf(),
            force,
            interrupted: &interrupted,
            observe: Box::new(|_, _, _| Ok(Observers(vec![]))),
        };
        let run = |cells: &mut Cells, seed: u64| {
            cells.run("one", "one", &serde_json::json!({ "seed": seed }), |run, _, resume| {
                assert!(!resume);
                runs.set(runs.get() + 1);
                run.finish(&result(seed))?;
                Ok(result(seed))
            })
        };
        assert_eq!(run(&mut cells(false), 1)?, run(&mut cells(false), 1)?);
        assert_eq!(runs.get(), 1);
        let message = run(&mut cells(false), 2).unwrap_err().to_string();
        assert!(message.contains("other options"), "{message}");
        assert_eq!(run(&mut cells(true), 2)?.seed, 2);
        // what was refused before its first checkpoint is no hindrance
        let mut refused = cells(false);
        let failed =
            refused.run("two", "two", &serde_json::json!({ "seed": 1 }), |_, _, _| Err(Error::Usage("no".into())));
        assert_eq!(failed.unwrap_err().to_string(), "no");
        let other = refused.run("two", "two", &serde_json::json!({ "seed": 2 }), |run, _, resume| {
            assert!(!resume);
            run.finish(&result(2))?;
            Ok(result(2))
        });
        assert_eq!(other?.seed, 2);
        interrupted.store(true, Ordering::Relaxed);
        assert!(matches!(run(&mut cells(false), 2), Err(Error::Interrupted(_))));
        Ok(())
    }
}
