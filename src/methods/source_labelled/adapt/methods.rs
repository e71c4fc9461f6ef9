//! Several methods as one word on the command line.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::Method;
use crate::{Error, Result};

/// Methods in the order in which they are shown: written `dann,mcc`, or `all`.
///
/// ```
/// use regraft::methods::source_labelled::adapt::{Method, Methods};
///
/// let some: Methods = "source-only,dann".parse()?;
/// assert_eq!(some.list(), [Method::SourceOnly, Method::Dann]);
/// assert!("all".parse::<Methods>()?.are_all());
/// # Ok::<(), regraft::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Methods {
    list: Vec<Method>,
    all: bool,
}

/// The word for every method.
const ALL: &str = "all";

impl Methods {
    /// A single one.
    pub fn one(method: Method) -> Self {
        Self { list: vec![method], all: false }
    }

    /// The methods.
    pub fn list(&self) -> &[Method] {
        &self.list
    }

    /// Whether all were asked for, and none by its name: those that do not fit the network are then left out.
    pub fn are_all(&self) -> bool {
        self.all
    }
}

impl std::str::FromStr for Methods {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == ALL {
            return Ok(Self { list: Method::value_variants().to_vec(), all: true });
        }
        let mut list = vec![];
        for name in text.split(',') {
            let method = Method::from_str(name.trim(), true).map_err(|_| {
                let known: Vec<String> = Method::value_variants().iter().map(|method| method.name()).collect();
                Error::Usage(format!("there is no method {name:?}; expected all, or some of {}", known.join(", ")))
            })?;
            if list.contains(&method) {
                return Err(Error::Usage(format!("{name} is named twice")));
            }
            list.push(method);
        }
        Ok(Self { list, all: false })
    }
}

impl std::fmt::Display for Methods {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.all {
            return f.write_str(ALL);
        }
        f.write_str(&self.list.iter().map(|method| method.name()).collect::<Vec<_>>().join(","))
    }
}

crate::options::as_text!(Methods);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_as_they_were_and_others_are_refused() {
        for text in ["dann", "source-only,oracle", "all", "sa,deep-coral,dirt-t"] {
            assert_eq!(text.parse::<Methods>().unwrap().to_string(), text);
        }
        for (text, word) in [("dan,dan", "twice"), ("dnn", "expected all"), ("", "expected all")] {
            assert!(text.parse::<Methods>().unwrap_err().to_string().contains(word), "{text}");
        }
    }

    #[test]
    fn what_a_method_goes_out_from_goes_out_from_nothing_that_comes_later() {
        for method in Method::value_variants() {
            if let Some(before) = method.begins_with() {
                assert!(before < *method && before.trains());
            }
        }
    }
}
