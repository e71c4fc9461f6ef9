//! What classes are called.

use std::str::FromStr;

use crate::{Error, Result};

/// A class and the phrases that it goes by.
///
/// ```
/// use regraft::text::ClassName;
///
/// let name: ClassName = "german+shepherd=alsatian|German shepherd dog".parse()?;
/// assert_eq!(name.class, "german+shepherd");
/// assert_eq!(name.phrases, ["alsatian", "german shepherd dog"]);
/// let name: ClassName = "Persian_cat".parse()?;
/// assert_eq!((name.class.as_str(), name.phrases), ("Persian_cat", vec!["persian cat".to_string()]));
/// # Ok::<(), regraft::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassName {
    /// As it is shown.
    pub class: String,
    /// In small letters, with single spaces between words; never none.
    pub phrases: Vec<String>,
}

impl ClassName {
    /// A class by its plain name: no sign in it means anything.
    pub fn plain(class: &str) -> Self {
        let words = class.replace(['=', '|'], " ");
        let phrases = words.parse::<Self>().map_or_else(|_| vec![class.to_string()], |name| name.phrases);
        Self { class: class.to_string(), phrases }
    }

    /// Those of these classes that go by a phrase of one of the others, by their plain names.
    pub fn shared(classes: &[Self], others: &[String]) -> Vec<String> {
        let others: Vec<Self> = others.iter().map(|class| Self::plain(class)).collect();
        let known =
            |name: &&Self| others.iter().any(|other| other.phrases.iter().any(|phrase| name.phrases.contains(phrase)));
        classes.iter().filter(known).map(|name| name.class.clone()).collect()
    }

    /// The words of all phrases.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.phrases.iter().flat_map(|phrase| phrase.split(' '))
    }
}

impl FromStr for ClassName {
    type Err = Error;

    /// `NAME`, or `NAME=PHRASE|PHRASE` for one that goes by other phrases than its name; `_` and `+` stand for spaces.
    fn from_str(text: &str) -> Result<Self> {
        let plain = |phrase: &str| {
            let spaced = phrase.to_lowercase().replace(['_', '+'], " ");
            spaced.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let (class, phrases) = text.split_once('=').unwrap_or((text, text));
        let mut phrases: Vec<String> = phrases.split('|').map(plain).filter(|phrase| !phrase.is_empty()).collect();
        if phrases.is_empty() {
            phrases = vec![plain(class)];
        }
        if class.trim().is_empty() || phrases[0].is_empty() {
            return Err(Error::Usage(format!("{text:?} names no class")));
        }
        Ok(Self { class: class.trim().to_string(), phrases })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_in_any_guise_part_words_and_a_name_never_lacks_a_phrase() {
        let of = |text: &str| text.parse::<ClassName>().unwrap();
        assert_eq!(of(" polar_bear ").phrases, ["polar bear"]);
        assert_eq!(of("polar bear=").phrases, ["polar bear"]);
        assert_eq!(of("x=  sea   lion | |Seal").phrases, ["sea lion", "seal"]);
        assert!(["", " ", "=x", "_", "=|"].iter().all(|text| text.parse::<ClassName>().is_err()));
        assert_eq!(of("x=sea lion|seal").words().collect::<Vec<_>>(), ["sea", "lion", "seal"]);
    }
}
