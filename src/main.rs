//! The `regraft` program: reads the command line, runs one command, and turns its error into one line and an exit code.
//!
//! Exit codes: 0 success, 1 a run that failed, 2 wrong usage, 130 interrupted.

use std::process::ExitCode;

use clap::FromArgMatches;
use regraft::cli::{self, Cli};

fn main() -> ExitCode {
    let matches = cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match cli::run(cli, &matches) {
        Ok(code) => code,
        Err(error) if cli::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("regraft: {error}"); // each message names its cause itself
            let code = error.downcast_ref::<regraft::Error>().map_or(1, regraft::Error::exit_code);
            ExitCode::from(code)
        }
    }
}
