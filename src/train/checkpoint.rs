//! All that a run needs to go on as if it had never stopped, in a folder that is whole or absent.
//!
//! `model.safetensors` is the model by itself, as other programs read it; `training.safetensors` holds the optimizer
//! and the averaged weights; `state.json` counts. Random numbers need no state: each is drawn from the seed, the epoch
//! and the step.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::objective::Score;
use super::precision::GradientScaler;
use super::schedule::Plateau;
use crate::models::formats::{StateDict, write_safetensors};
use crate::{Error, Result};

/// The counters of training.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The epoch that is running, from 0; the number of epochs at the end.
    pub epoch: usize,
    /// Batches of this epoch that are done.
    pub batch: usize,
    /// Optimizer steps taken in all.
    pub step: usize,
    /// Seconds spent in training, over all sittings.
    pub seconds: f64,
    /// Seconds of that in epochs, without evaluation and checkpoints.
    pub training_seconds: f64,
    /// Images trained on, over all sittings.
    pub images: u64,
    /// The best score so far and its epoch.
    pub best: Option<(Score, usize)>,
    /// State of the plateau schedule.
    pub plateau: Plateau,
    /// State of the loss scaling.
    pub scaler: GradientScaler,
    /// Sums over this epoch's batches of what is logged.
    pub running: Vec<Running>,
    /// SHA-256 of what must not change, taken at the start of the run.
    pub frozen_digest: Option<String>,
    /// Whether training has ended, early or not.
    pub done: bool,
}

/// The sum of something that is logged, over the batches of an epoch so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// Its name.
    pub name: String,
    /// Whether it is a share in 0..1 rather than a loss.
    pub share: bool,
    /// The sum.
    pub sum: f64,
    /// Of how many batches.
    pub count: u64,
}

/// A checkpoint in memory.
#[derive(Debug)]
pub struct Checkpoint {
    /// The model's tensors and description.
    pub model: StateDict,
    /// Optimizer and averages, under `optimizer/` and `ema/`.
    pub training: StateDict,
    /// The counters.
    pub state: State,
}

const MODEL: &str = "model.safetensors";
const TRAINING: &str = "training.safetensors";
const STATE: &str = "state.json";

impl Checkpoint {
    /// Writes the folder `path`; at every moment either the old or the new one can be read.
    ///
    /// # Errors
    /// A folder that cannot be written, or a full disk; the old checkpoint is then still there.
    pub fn write(&self, path: &Path) -> Result<()> {
        let (new, old) = (sibling(path, "new"), sibling(path, "old"));
        remove(&new)?;
        fs::create_dir_all(&new).map_err(Error::io(&new, "cannot create the checkpoint"))?;
        let written = write_safetensors(new.join(MODEL), &self.model)
            .and_then(|()| write_safetensors(new.join(TRAINING), &self.training))
            .and_then(|()| crate::files::write_json(new.join(STATE), &self.state));
        if written.is_err() {
            let _cleared = remove(&new);
        }
        written?;
        if path.exists() {
            remove(&old)?;
            fs::rename(path, &old).map_err(Error::io(path, "cannot replace the checkpoint"))?;
        }
        fs::rename(&new, path).map_err(Error::io(path, "cannot put the checkpoint in its place"))?;
        remove(&old)
    }

    /// Reads the folder `path`, or what a kill between two renames left of it.
    ///
    /// # Errors
    /// No checkpoint, or one that cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let (folder, state) = (whole(path)?, Self::read_state(path)?);
        let [model, training] = [MODEL, TRAINING].map(|name| StateDict::read_safetensors(folder.join(name)));
        Ok(Self { model: model?, training: training?, state })
    }

    /// The counters alone of the checkpoint in the folder `path`.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub fn read_state(path: &Path) -> Result<State> {
        let file = whole(path)?.join(STATE);
        let text = fs::read_to_string(&file).map_err(Error::io(&file, "cannot read"))?;
        serde_json::from_str(&text).map_err(|error| Error::file(&file, error.to_string()))
    }
}

/// The folder that holds the whole checkpoint: `path`, or its predecessor after a kill between two renames.
fn whole(path: &Path) -> Result<PathBuf> {
    let found = [path.to_path_buf(), sibling(path, "old")].into_iter().find(|folder| folder.join(STATE).is_file());
    found.ok_or_else(|| Error::file(path, "there is no checkpoint to go on from; start the run again with --force"))
}

fn sibling(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{ending}"));
    path.with_file_name(name)
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(folder, "cannot remove the old checkpoint")(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tch::Tensor;

    use super::*;

    fn checkpoint(step: usize) -> Checkpoint {
        let dict = |value: f64| {
            let tensors = BTreeMap::from([("x".to_string(), Tensor::from(value))]);
            StateDict::new(tensors, BTreeMap::from([("about".to_string(), step.to_string())]))
        };
        let running = vec![Running { name: "loss".into(), share: false, sum: 0.1 + 0.2, count: 3 }];
        let state = State { step, seconds: 1.0 / 3.0, best: Some(((0.5, -0.1), 2)), running, ..State::default() };
        Checkpoint { model: dict(step as f64), training: dict(-(step as f64)), state }
    }

    /// Asserts that the checkpoint of that step is what there is.
    fn expect(path: &Path, step: usize) {
        let (found, expected) = (Checkpoint::read(path).unwrap(), checkpoint(step));
        assert_eq!(found.state, expected.state);
        assert_eq!(Checkpoint::read_state(path).unwrap(), expected.state);
        for (found, expected) in [(found.model, expected.model), (found.training, expected.training)] {
            assert_eq!((found.metadata, &found.tensors["x"]), (expected.metadata, &expected.tensors["x"]));
        }
    }

    #[test]
    fn the_last_one_written_is_read_back_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last");
        assert!(Checkpoint::read(&path).unwrap_err().to_string().contains("no checkpoint"));
        for step in [1, 2] {
            checkpoint(step).write(&path).unwrap();
            expect(&path, step);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_kill_at_any_moment_leaves_a_whole_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last");
        let [new, old] = ["new", "old"].map(|ending| sibling(&path, ending));
        checkpoint(1).write(&path).unwrap();
        // while the new one is written
        fs::create_dir(&new).unwrap();
        fs::write(new.join(MODEL), "half").unwrap();
        expect(&path, 1);
        // between the two renames
        fs::rename(&path, &old).unwrap();
        expect(&path, 1);
        checkpoint(2).write(&path).unwrap();
        expect(&path, 2);
        assert!(!new.exists() && !old.exists());
        // before the old one is removed
        checkpoint(1).write(&old).unwrap();
        expect(&path, 2);
        checkpoint(3).write(&path).unwrap();
        expect(&path, 3);
        assert!(!old.exists());
    }
}
