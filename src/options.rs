//! Options that are at once command-line flags, a JSON file and a Rust struct with defaults.

use clap::{ArgMatches, Args, Command, parser::ValueSource};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::path::Path;

use crate::{Error, Result};

/// Gives a type that is one word on the command line the same form in JSON: what it is displayed as, and parsed from.
macro_rules! as_text {
    ($($type:ty),+) => {$(
        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }

        impl TryFrom<String> for $type {
            type Error = $crate::Error;

            fn try_from(text: String) -> $crate::Result<Self> {
                text.parse()
            }
        }
    )+};
}
pub(crate) use as_text;

/// The options that an empty command line gives.
///
/// # Panics
/// If an option of `T` is required: options of this crate never are.
pub fn defaults<T: Args>() -> T {
    let matches = T::augment_args(Command::new("defaults")).get_matches_from(["defaults"]);
    T::from_arg_matches(&matches).expect("options of this crate have defaults")
}

/// Reads the options that the run in the folder `run` was started with.
///
/// # Errors
/// A folder without a `config.json`, or with that of another command.
pub fn of_run<T: DeserializeOwned>(run: &Path) -> Result<T> {
    let file = run.join("config.json");
    let text = std::fs::read_to_string(&file).map_err(Error::io(&file, "cannot read the configuration of the run"))?;
    serde_json::from_str(&text)
        .map_err(|error| Error::file(&file, format!("not a configuration of this command: {error}")))
}

/// The flags that stand on the command line, as `--batch-size`.
pub fn typed(matches: &ArgMatches) -> Vec<String> {
    // structs of options are groups, with names of types
    let is_flag = |key: &&str| key.starts_with(|first: char| first.is_ascii_lowercase());
    let keys = matches.ids().map(clap::Id::as_str).filter(is_flag);
    keys.filter(|key| is_typed(matches, key)).map(|key| format!("--{}", key.replace('_', "-"))).collect()
}

/// Whether the option of this name stands on the command line.
fn is_typed(matches: &ArgMatches, key: &str) -> bool {
    matches.try_contains_id(key).is_ok() && matches.value_source(key) == Some(ValueSource::CommandLine)
}

/// Reads options from a JSON file, with what stands on the command line taking precedence; unknown keys are refused.
///
/// # Errors
/// A file that cannot be read, is not JSON, or has a key or value that is none of `T`'s.
pub fn from_file<T>(path: &Path, given: &T, matches: &ArgMatches) -> Result<T>
where
    T: Args + Serialize + DeserializeOwned,
{
    let text = std::fs::read_to_string(path).map_err(Error::io(path, "cannot read the configuration"))?;
    let wrong = |error: serde_json::Error| Error::file(path, format!("not a configuration of this command: {error}"));
    let file: Map<String, Value> = serde_json::from_str(&text).map_err(wrong)?;
    let mut merged = match serde_json::to_value(given).map_err(wrong)? {
        Value::Object(map) => map,
        _ => unreachable!("options are structs"),
    };
    let known = merged.clone();
    for (key, value) in file {
        if !known.contains_key(&key) {
            return Err(Error::file(path, format!("`{key}` is no option of this command")));
        }
        // Options of nested structs are flat in JSON, so that a key is the name of a flag.
        if !is_typed(matches, &key) {
            merged.insert(key, value);
        }
    }
    serde_json::from_value(Value::Object(merged)).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
    struct Outer {
        #[arg(long, default_value_t = 1)]
        width: usize,
        #[arg(long, default_value_t = 2)]
        height: usize,
        #[command(flatten)]
        #[serde(flatten)]
        inner: Inner,
    }

    #[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
    struct Inner {
        #[arg(long)]
        name: Option<String>,
        #[arg(long)]
        fast: bool,
    }

    /// What a command line and a file come to together.
    fn merged(words: &[&str], file: &str) -> Result<Outer> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, file).unwrap();
        let command = Outer::augment_args(Command::new("test"));
        let matches = command.get_matches_from([&["test"], words].concat());
        from_file(&path, &Outer::from_arg_matches(&matches).unwrap(), &matches)
    }

    #[test]
    fn what_is_typed_takes_precedence_over_the_file_and_that_over_defaults() {
        let file = r#"{"width": 10, "fast": true, "name": "file"}"#;
        let inner = |name: &str| Inner { name: Some(name.into()), fast: true };
        assert_eq!(merged(&[], file).unwrap(), Outer { width: 10, height: 2, inner: inner("file") });
        // typing the default is typing too
        let typed = merged(&["--width", "1", "--name", "typed"], file).unwrap();
        assert_eq!(typed, Outer { width: 1, height: 2, inner: inner("typed") });
        assert_eq!(merged(&[], "{}").unwrap(), defaults());
    }

    #[test]
    fn a_file_that_is_no_configuration_is_refused() {
        for (file, word) in [
            (r#"{"widht": 10}"#, "`widht`"),
            (r#"{"width": "broad"}"#, "broad"),
            ("[]", "not a configuration"),
            ("width = 10", "not a configuration"),
        ] {
            let message = merged(&[], file).unwrap_err().to_string();
            assert!(message.contains("config.json") && message.contains(word), "{message}");
        }
    }
}
