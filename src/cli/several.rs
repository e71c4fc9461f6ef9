//! What the commands have in common that make several runs.

use std::path::{Path, PathBuf};

use clap::{ArgMatches, Args};
use serde::{Serialize, de::DeserializeOwned};

use super::interrupt;
use crate::methods::cells::Cells;
use crate::{Result, options};

/// Their arguments, beside the folder.
#[derive(Debug, Args)]
#[command(next_help_heading = "Run")]
pub struct SeveralArgs {
    /// Starts all runs over, whatever is in the folder
    #[arg(long)]
    pub force: bool,
    /// Reads options from a JSON file; what is typed takes precedence
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

impl SeveralArgs {
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
