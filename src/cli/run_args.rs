//! What the commands have in common that train.

use std::path::{Path, PathBuf};

use clap::{ArgMatches, Args};
use serde::{Serialize, de::DeserializeOwned};

use super::interrupt;
use crate::methods::cells::Cells;
use crate::report::RunDir;
use crate::train::Checkpoint;
use crate::{Error, Result, options};

/// The arguments of those that make several runs, beside their folder.
#[derive(Debug, Args)]
#[command(next_help_heading = "Run")]
pub struct RunArgs {
    /// Starts over what an earlier run left in the folder
    #[arg(long)]
    pub force: bool,
    /// Reads options from a JSON file, as a run's config.json; what is typed takes precedence
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Prints all options as JSON and ends
    #[arg(long)]
    pub print_config: bool,
    /// Prints what was found as JSON
    #[arg(long)]
    pub json: bool,
    /// Shows no progress
    #[arg(long, short)]
    pub quiet: bool,
}

impl RunArgs {
    /// The options: as typed, or where there is a file from there and as typed.
    ///
    /// # Errors
    /// See [`options::from_file`].
    pub(super) fn options<T>(&self, typed: &T, matches: &ArgMatches) -> Result<T>
    where
        T: Args + Clone + Serialize + DeserializeOwned,
    {
        match &self.config {
            Some(file) => options::from_file(file, typed, matches),
            None => Ok(typed.clone()),
        }
    }

    /// The runs in the folder `root`.
    pub(super) fn cells<'a>(&self, root: &Path) -> Cells<'a> {
        interrupt::cells(root, self.force, self.quiet)
    }
}

/// The arguments of those that make one run, which may go on.
#[derive(Debug, Args)]
#[command(next_help_heading = "Run")]
pub struct SingleArgs {
    /// Folder of the run [default: the next free runs/COMMAND-NNN]
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
    /// Goes on with this run from its last checkpoint, with the options it was started with
    #[arg(long, value_name = "RUN", conflicts_with_all = ["out", "force", "config"])]
    pub resume: Option<PathBuf>,
    /// What all have.
    #[command(flatten)]
    pub run: RunArgs,
}

impl SingleArgs {
    /// The options: those of the run that goes on, or [those of a new one](RunArgs::options).
    ///
    /// # Errors
    /// Options beside `--resume`; see [`options::of_run`] and [`options::from_file`].
    pub(super) fn options<T>(&self, typed: &T, matches: &ArgMatches) -> Result<T>
    where
        T: Args + Clone + Serialize + DeserializeOwned,
    {
        match &self.resume {
            Some(run) => {
                let of_any = ["--resume", "--json", "--quiet", "--print-config"];
                match options::typed(matches).iter().find(|flag| !of_any.contains(&flag.as_str())) {
                    Some(flag) => Err(Error::Usage(format!(
                        "{flag} beside --resume: a run goes on with the options that it was started with; leave it out"
                    ))),
                    None => options::of_run(run),
                }
            }
            None => self.run.options(typed, matches),
        }
    }

    /// The run that goes on and the step it goes on from, or a new one in `out`, or else in the next free `runs/NAME-NNN`.
    ///
    /// # Errors
    /// A folder that holds a run already, or none to go on with; or that cannot be written.
    pub(super) fn folder(
        &self,
        name: &str,
        out: Option<&Path>,
        options: &impl Serialize,
    ) -> Result<(RunDir, Option<u64>)> {
        if let Some(run) = &self.resume {
            let run = RunDir::open(run)?;
            let step = Checkpoint::read_state(&run.last())?.step as u64;
            return Ok((run, Some(step)));
        }
        let run = match out {
            Some(out) => RunDir::create(out, self.run.force)?,
            None if self.run.force => {
                return Err(Error::Usage("--force is about the folder of an earlier run: name it with --out".into()));
            }
            None => RunDir::create_numbered("runs", name)?,
        };
        run.write_config(options)?;
        Ok((run, None))
    }
}
