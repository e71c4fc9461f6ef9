//! Which head replaces which layer, as one word on the command line.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::HeadKind;
use crate::{Error, Result};

/// A kind of head, and the layer whose place it takes where that is not to be found by itself: written `mlp`,
/// `classifier.1` or `mlp@classifier.1`; or `keep`, for the head that the source model has.
///
/// ```
/// use regraft::models::{HeadChoice, HeadKind};
///
/// let choice: HeadChoice = "classifier.1".parse()?;
/// assert_eq!((choice.kind, choice.at.as_deref()), (HeadKind::Linear, Some("classifier.1")));
/// assert_eq!("mlp@fc".parse::<HeadChoice>()?.kind, HeadKind::Mlp);
/// # Ok::<(), regraft::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HeadChoice {
    /// Which head.
    pub kind: HeadKind,
    /// The dotted path of the layer that it replaces.
    pub at: Option<String>,
    /// Whether the source model's own head stays, for the same classes.
    pub keep: bool,
}

/// The word for a head that stays.
const KEEP: &str = "keep";

impl std::str::FromStr for HeadChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == KEEP {
            return Ok(Self { keep: true, ..Self::default() });
        }
        let kind_of = |name: &str| HeadKind::from_str(name, false).ok();
        let (kind, at) = match text.split_once('@') {
            Some((kind, at)) => (
                kind_of(kind).ok_or_else(|| {
                    Error::Usage(format!(
                        "`{text}`: `{kind}` is no head; expected linear, mlp, bottleneck or prototype before the @; keep stands alone"
                    ))
                })?,
                Some(at),
            ),
            None => kind_of(text).map_or((HeadKind::Linear, Some(text)), |kind| (kind, None)),
        };
        if at.is_some_and(|at| at.split('.').any(|part| part.trim().is_empty())) {
            return Err(Error::Usage(format!("`{text}` names no layer; expected a dotted path, as classifier.1")));
        }
        Ok(Self { kind, at: at.map(str::to_string), keep: false })
    }
}

impl std::fmt::Display for HeadChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.keep {
            return f.write_str(KEEP);
        }
        let kind = self.kind.to_possible_value().expect("every kind has a name");
        match &self.at {
            None => f.write_str(kind.get_name()),
            Some(at) => write!(f, "{}@{at}", kind.get_name()),
        }
    }
}

crate::options::as_text!(HeadChoice);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() -> Result<()> {
        for text in ["linear", "mlp", "keep", "prototype", "prototype@fc", "linear@classifier.1"] {
            assert_eq!(text.parse::<HeadChoice>()?.to_string(), text);
        }
        assert_eq!("heads.head".parse::<HeadChoice>()?.to_string(), "linear@heads.head");
        assert_eq!(serde_json::to_string(&HeadChoice::default()).unwrap(), "\"linear\"");
        Ok(())
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        assert!("mpl@fc".parse::<HeadChoice>().unwrap_err().to_string().contains("`mpl` is no head"));
        for bad in ["", "mlp@", "a..b"] {
            assert!(bad.parse::<HeadChoice>().unwrap_err().to_string().contains("dotted path"), "{bad}");
        }
    }
}
