//! The run directory: everything that a run was told, did and found, in one folder.
//!
//! ```text
//! config.json          all options, written before the first step
//! weights.json         where the first weights came from, tensor by tensor
//! metrics.jsonl        what happened, one line each
//! events.out.tfevents* the same for TensorBoard
//! checkpoints/         {last,best}/, to go on from or to use
//! plots/               PNG
//! tasks/               a model for each task, where several were learned at once
//! result.json          the outcome; written last, so a folder that has it is finished
//! ```
//!
//! A finished run is not overwritten unless forced, and what no run has written is never removed.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::result::RunResult;
use crate::{Error, Result, files};

const EVALUATION: &str = "evaluation.json";
const MODEL: &str = "model.safetensors";
const CONFIG: &str = "config.json";
const RESULT: &str = "result.json";
const METRICS: &str = "metrics.jsonl";
const CHECKPOINTS: &str = "checkpoints";
const PLOTS: &str = "plots";

/// What only an earlier run can have written, in the order in which it is removed: once `result.json` is gone, a removal that
/// was interrupted leaves an unfinished run, not a finished one with parts missing.
const OWNED: [&str; 10] =
    [RESULT, MODEL, RunDir::CLASSES, EVALUATION, METRICS, CHECKPOINTS, PLOTS, RunDir::TASKS, RunDir::WEIGHTS, CONFIG];

/// A folder for one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Name of the file about the weights that a run started with.
    pub const WEIGHTS: &str = "weights.json";
    /// Name of the file about classes that are known by what is said of them.
    pub const CLASSES: &str = "classes.safetensors";
    /// Name of the folder with a folder for each task.
    pub const TASKS: &str = "tasks";

    /// Makes the folder `path`, which may exist when it is empty. With `force` an earlier run in it is removed first.
    ///
    /// # Errors
    /// [`Error::Usage`] where there is a finished run, or one with a checkpoint, and `force` is not given, or files of
    /// something else. What a run left that ended before its first checkpoint is removed;
    /// [`Error::Io`] where the folder cannot be written.
    pub fn create(path: impl Into<PathBuf>, force: bool) -> Result<Self> {
        let run = Self { path: path.into() };
        let shown = run.path.display();
        if run.path.exists() && !run.path.is_dir() {
            return Err(Error::Usage(format!(
                "{shown}: is a file, expected a folder for the run; choose another --out"
            )));
        }
        let entries = if run.path.exists() { sorted_names(&run.path)? } else { Vec::new() };
        let is_run = entries.iter().any(|name| [CONFIG, RESULT].contains(&name.as_str()));
        if run.is_finished() && !force {
            return Err(Error::Usage(format!(
                "{shown}: holds a finished run; choose another --out, or overwrite it with --force"
            )));
        }
        if run.has_checkpoint() && !force {
            return Err(Error::Usage(format!(
                "{shown}: holds an unfinished run; go on with --resume, or start it over with --force"
            )));
        }
        if let Some(foreign) = entries.iter().find(|name| !is_run && !run.is_scaffold(name)) {
            return Err(Error::Usage(format!(
                "{shown}: is not empty and holds no run (it has {foreign}); choose another --out"
            )));
        }
        if is_run {
            run.clear(&entries)?;
        }
        run.make_folders()?;
        Ok(run)
    }

    /// Makes `root/METHOD-001`, or the first number above those that exist. Two programs that do this at once get two folders.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn create_numbered(root: impl AsRef<Path>, method: &str) -> Result<Self> {
        let run = Self { path: Self::next_free(root, method)? };
        run.make_folders()?;
        Ok(run)
    }

    /// Makes the empty folder `root/METHOD-001`, or the first number above those that exist.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn next_free(root: impl AsRef<Path>, method: &str) -> Result<PathBuf> {
        let root = root.as_ref();
        fs::create_dir_all(root).map_err(Error::io(root, "cannot make the folder"))?;
        let number = |name: &String| name.strip_prefix(method)?.strip_prefix('-')?.parse::<u64>().ok();
        let mut next = sorted_names(root)?.iter().filter_map(number).max().unwrap_or(0) + 1;
        loop {
            let path = root.join(format!("{method}-{next:03}"));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(path),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => next += 1,
                Err(error) => return Err(Error::io(path, "cannot make the folder")(error)),
            }
        }
    }

    /// Opens the folder of an earlier run.
    ///
    /// # Errors
    /// There is no such folder, or it holds no run.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let run = Self { path: path.into() };
        if !run.config().is_file() {
            let found = if run.path.is_dir() { "holds no config.json" } else { "is not a folder" };
            return Err(Error::Usage(format!("{}: {found}, expected the folder of a run", run.path.display())));
        }
        run.make_folders()?;
        Ok(run)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where all options are.
    pub fn config(&self) -> PathBuf {
        self.path.join(CONFIG)
    }

    /// Where the log of what happened is.
    pub fn metrics(&self) -> PathBuf {
        self.path.join(METRICS)
    }

    /// The folder of the checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// The model that the run is about.
    pub fn model(&self) -> PathBuf {
        self.path.join(MODEL)
    }

    /// The checkpoint that the run goes on from.
    pub fn last(&self) -> PathBuf {
        self.checkpoints().join("last")
    }

    /// The model of the epoch with the best score so far.
    pub fn best_model(&self) -> PathBuf {
        self.checkpoints().join("best").join(MODEL)
    }

    /// The folder of one task among several.
    pub fn task(&self, name: &str) -> PathBuf {
        self.path.join(Self::TASKS).join(name)
    }

    /// The folder of the source model, where a run needs it to the end.
    pub fn source_model(&self) -> PathBuf {
        self.checkpoints().join("source")
    }

    /// The folder of the plots.
    pub fn plots(&self) -> PathBuf {
        self.path.join(PLOTS)
    }

    /// Where the outcome is.
    pub fn result(&self) -> PathBuf {
        self.path.join(RESULT)
    }

    /// Whether there is a checkpoint to go on from.
    pub fn has_checkpoint(&self) -> bool {
        let last = self.last();
        // After a kill between two renames the whole one may be the older.
        last.exists() || last.with_extension("old").exists()
    }

    /// Whether the run came to its end.
    pub fn is_finished(&self) -> bool {
        self.result().is_file()
    }

    /// Writes `value` as JSON to `name` in the folder: the whole file or nothing.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        files::write_json(self.path.join(name), value)
    }

    /// Writes `text` to `name` in the folder: the whole file or nothing.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_text(&self, name: &str, text: &str) -> Result<()> {
        files::write_bytes(self.path.join(name), text.as_bytes())
    }

    /// Writes all options; to be called before the first step.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_config(&self, config: &impl Serialize) -> Result<()> {
        self.write_json(CONFIG, config)
    }

    /// Writes the outcome, which makes the run a finished one; to be called last.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(&self, result: &RunResult) -> Result<()> {
        self.write_json(RESULT, result)
    }

    fn make_folders(&self) -> Result<()> {
        for folder in [self.checkpoints().join("best"), self.plots()] {
            fs::create_dir_all(&folder).map_err(Error::io(&folder, "cannot make the folder"))?;
        }
        Ok(())
    }

    /// Whether a run that was killed before it wrote its configuration can have left `name`, and nothing is lost with it.
    fn is_scaffold(&self, name: &str) -> bool {
        name.starts_with(files::TEMPORARY)
            || ([CHECKPOINTS, PLOTS].contains(&name) && holds_no_file(&self.path.join(name)))
    }

    fn clear(&self, entries: &[String]) -> Result<()> {
        let numbered = ["events.out.tfevents", files::TEMPORARY];
        let numbered = |name: &&str| numbered.iter().any(|start| name.starts_with(start));
        for name in OWNED.into_iter().chain(entries.iter().map(String::as_str).filter(numbered)) {
            let path = self.path.join(name);
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io(path, "cannot remove")(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn sorted_names(folder: &Path) -> Result<Vec<String>> {
    let unreadable = || Error::io(folder, "cannot read the folder");
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable())? {
        names.push(entry.map_err(unreadable())?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Whether there are only folders in the folder.
fn holds_no_file(folder: &Path) -> bool {
    let is_bare = |entry: std::io::Result<fs::DirEntry>| entry.is_ok_and(|entry| holds_no_file(&entry.path()));
    fs::read_dir(folder).is_ok_and(|mut entries| entries.all(is_bare))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &Path, force: bool) -> String {
        let error = RunDir::create(path, force).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    }

    #[test]
    fn an_earlier_run_is_kept_unless_forced() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("deep/run");
        let run = RunDir::create(&path, false).unwrap();
        run.write_config(&serde_json::json!({"seed": 1})).unwrap();
        RunDir::create(&path, false).unwrap();
        run.write_config(&serde_json::json!({"seed": 1})).unwrap();
        fs::create_dir(run.last()).unwrap();
        assert!(refusal(&path, false).contains("unfinished run; go on with --resume"));
        run.write_json(RESULT, &serde_json::json!({})).unwrap();
        run.write_text("checkpoints/last/model.safetensors", "weights").unwrap();
        run.write_text("events.out.tfevents.0000000001.regraft", "events").unwrap();
        run.write_text("notes.txt", "mine").unwrap();
        assert!(refusal(&path, false).contains("finished run; choose another --out"));

        let again = RunDir::create(&path, true).unwrap();
        assert!(!again.is_finished());
        assert_eq!(sorted_names(&path).unwrap(), ["checkpoints", "notes.txt", "plots"]);
        assert!(!again.has_checkpoint());
    }

    #[test]
    fn foreign_files_are_never_removed() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("thesis.tex"), "").unwrap();
        assert!(refusal(root.path(), true).contains("it has thesis.tex"));
        assert!(refusal(&root.path().join("thesis.tex"), true).contains("is a file"));
    }

    #[test]
    fn a_run_that_was_killed_before_it_began_is_no_hindrance() {
        let root = tempfile::tempdir().unwrap();
        RunDir::create(root.path(), false).unwrap().write_text(".writing-abc", "{").unwrap();
        RunDir::create(root.path(), false).unwrap().write_text("checkpoints/mine", "x").unwrap();
        assert!(refusal(root.path(), true).contains("it has checkpoints"));
    }

    #[test]
    fn numbers_go_on_from_the_highest() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().join("runs");
        let name = || RunDir::create_numbered(&root, "finetune").unwrap().path().file_name().unwrap().to_owned();
        assert_eq!(name(), "finetune-001");
        fs::create_dir(root.join("finetune-017")).unwrap();
        fs::create_dir(root.join("finetune-018-copy")).unwrap();
        assert_eq!(name(), "finetune-018");
        assert_eq!(RunDir::create_numbered(&root, "fine").unwrap().path(), root.join("fine-001"));
    }

    #[test]
    fn only_a_run_can_be_opened() {
        let root = tempfile::tempdir().unwrap();
        assert!(RunDir::open(root.path()).unwrap_err().to_string().contains("holds no config.json"));
        assert!(RunDir::open(root.path().join("none")).unwrap_err().to_string().contains("is not a folder"));
        RunDir::create(root.path().join("run"), false).unwrap().write_config(&1).unwrap();
        assert!(!RunDir::open(root.path().join("run")).unwrap().is_finished());
    }
}
