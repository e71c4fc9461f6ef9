//! One line that says how a name in a file becomes a name in a model: `blocks.{i}.conv_pw.* -> features.{i+1}.0.*`.
//!
//! In the pattern `*` stands for any text, dots as well, and `{i}` for a number (`{i:2|4}`: one of these numbers); two
//! of them never touch. In the new name the `*`s give back what theirs have found, in order, and `{…}` is arithmetic on the
//! numbers: sums and products, and where the network's groups of blocks are known, `stage(n)`, `block(n)` and
//! `flat(i,j)`, which go between flat numbers of blocks and places in groups.
//!
//! After `|` may stand what else is done: `reshape` (the same elements in the shape that the model has) or `part 1/3`
//! (the first of three tensors that are put together along their first dimension).

use std::fmt;

use super::expression::{Expression, Numbers, variable};
use crate::{Error, Result};

/// More than enough, and few enough to try them all.
const MOST_STARS: usize = 4;

/// How names become other names, written `PATTERN -> NAME`: in the pattern `*` stands for any text and `{i}` for a number,
/// in the new name each `*` for what its like has found and `{i+1}` for arithmetic on the number; `models/README.md` has all
/// of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pattern: Vec<Piece>,
    name: Vec<Made>,
    then: Then,
}

/// What else is done with a tensor, besides its new name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Nothing,
    /// It takes the shape that the model has, if it has as many elements.
    Reshape,
    /// It is number `index` (from 0) of `of` tensors that make up one.
    Part {
        index: usize,
        of: usize,
    },
}

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Star,
    /// A number, if it is one of those, or any if there are none.
    Number(String, Vec<u64>),
}

/// A piece of a new name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Made {
    Text(String),
    Star,
    Number(Expression),
}

impl std::str::FromStr for Rule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse(text).map_err(|reason| {
            Error::Usage(format!("rule `{text}`: {reason}; a rule looks like `encoder.layer{{i}}.* -> layer{{i+1}}.*`"))
        })
    }
}

fn parse(text: &str) -> Result<Rule, String> {
    let (pattern, name) = text.split_once("->").ok_or("there is no `->`")?;
    let (name, then) = match name.split_once('|') {
        Some((name, then)) => (name, parse_then(then.trim())?),
        None => (name, Then::Nothing),
    };
    let pattern = parse_pattern(pattern.trim())?;
    let name = split(name.trim())?.into_iter().map(|piece| match piece {
        Split::Text(text) => Ok(Made::Text(text)),
        Split::Star => Ok(Made::Star),
        Split::Braces(inner) => Expression::parse(&inner).map(Made::Number),
    });
    let name: Vec<Made> = name.collect::<Result<_, String>>()?;
    let stars = pattern.iter().filter(|piece| **piece == Piece::Star).count();
    if stars > MOST_STARS {
        return Err(format!("{stars} `*` are too many; {MOST_STARS} at most"));
    }
    if name.iter().filter(|piece| **piece == Made::Star).count() != stars {
        return Err("both sides need the same number of `*`".into());
    }
    let known = |wanted: &str| pattern.iter().any(|piece| matches!(piece, Piece::Number(name, _) if name == wanted));
    let mut wanted = name.iter().filter_map(|piece| match piece {
        Made::Number(expression) => expression.variables().find(|name| !known(name)),
        _ => None,
    });
    if let Some(unknown) = wanted.next() {
        return Err(format!("`{{{unknown}}}` is not in the pattern"));
    }
    Ok(Rule { pattern, name, then })
}

fn parse_then(text: &str) -> Result<Then, String> {
    if text == "reshape" {
        return Ok(Then::Reshape);
    }
    let part = text.strip_prefix("part ").and_then(|part| part.split_once('/'));
    let part = part.and_then(|(index, of)| Some((index.parse::<usize>().ok()?, of.parse::<usize>().ok()?)));
    match part {
        Some((index, of)) if (1..=of).contains(&index) && of < 100 => Ok(Then::Part { index: index - 1, of }),
        _ => Err(format!("`{text}` is neither `reshape` nor `part 1/3`")),
    }
}

fn parse_pattern(text: &str) -> Result<Vec<Piece>, String> {
    let mut pattern: Vec<Piece> = vec![];
    for piece in split(text)? {
        let piece = match piece {
            Split::Text(text) => Piece::Text(text),
            Split::Star => Piece::Star,
            Split::Braces(inner) => {
                let (name, allowed) = inner.split_once(':').unwrap_or((&inner, ""));
                let name = variable(name.trim())?;
                let number = |text: &str| text.trim().parse().map_err(|_| format!("`{text}` is no number"));
                let allowed = allowed.split('|').filter(|_| inner.contains(':')).map(number);
                let allowed = allowed.collect::<Result<_, String>>()?;
                if pattern.iter().any(|piece| matches!(piece, Piece::Number(other, _) if *other == name)) {
                    return Err(format!("`{{{name}}}` is in the pattern twice"));
                }
                Piece::Number(name, allowed)
            }
        };
        if !matches!(piece, Piece::Text(_)) && pattern.last().is_some_and(|last| !matches!(last, Piece::Text(_))) {
            return Err("two wildcards of the pattern touch, so where one ends is not clear".into());
        }
        pattern.push(piece);
    }
    Ok(pattern)
}

enum Split {
    Text(String),
    Star,
    Braces(String),
}

/// The pieces of one side.
fn split(text: &str) -> Result<Vec<Split>, String> {
    if text.is_empty() {
        return Err("a side is empty".into());
    }
    let (mut pieces, mut rest) = (vec![], text);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '*' => 1,
            '{' => rest.find('}').ok_or("a `{` is not closed")? + 1,
            _ => rest.find(['*', '{']).unwrap_or(rest.len()),
        };
        let (piece, after) = rest.split_at(length);
        pieces.push(match first {
            '*' => Split::Star,
            '{' => Split::Braces(piece[1..length - 1].to_string()),
            _ if piece.contains(|odd: char| odd.is_whitespace() || odd.is_control() || "}|>".contains(odd)) => {
                return Err(format!("`{}` is no part of a name", piece.trim()));
            }
            _ => Split::Text(piece.to_string()),
        });
        rest = after;
    }
    Ok(pieces)
}

impl Rule {
    /// The new name for `name`; `None` where the pattern does not match, or its numbers come to no name. `groups` are
    /// the numbers of blocks in the network's groups, empty where they are not known.
    pub fn apply(&self, name: &str, groups: &[u64]) -> Option<String> {
        let (mut stars, mut numbers) = (vec![], Numbers::new());
        matches(&self.pattern, name, &mut stars, &mut numbers).then_some(())?;
        let mut stars = stars.into_iter();
        let mut made = String::with_capacity(name.len());
        for piece in &self.name {
            match piece {
                Made::Text(text) => made += text,
                Made::Star => made += stars.next()?,
                Made::Number(expression) => made += &expression.value(&numbers, groups)?.to_string(),
            }
        }
        Some(made)
    }

    /// What else is done with the tensor.
    pub(super) fn then(&self) -> Then {
        self.then
    }

    /// Whether it can do nothing without the numbers of blocks in a network's groups.
    pub fn needs_groups(&self) -> bool {
        self.name.iter().any(|piece| matches!(piece, Made::Number(expression) if expression.needs_groups()))
    }
}

/// Whether the whole of `text` is what the pattern asks for; what was found is left in the order of the pattern.
fn matches<'a>(pattern: &[Piece], text: &'a str, stars: &mut Vec<&'a str>, numbers: &mut Numbers) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return text.is_empty() };
    match first {
        Piece::Text(expected) => {
            text.strip_prefix(expected.as_str()).is_some_and(|text| matches(rest, text, stars, numbers))
        }
        Piece::Number(name, allowed) => {
            let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
            // 01 is no number of a layer, and two names must never become one
            let plain = end == 1 || !text.starts_with('0');
            let Some(number) = text[..end].parse().ok().filter(|_| plain) else { return false };
            if !(allowed.is_empty() || allowed.contains(&number)) {
                return false;
            }
            numbers.insert(name.clone(), number);
            matches(rest, &text[end..], stars, numbers)
        }
        Piece::Star => {
            let ends = text.char_indices().map(|(end, _)| end).chain([text.len()]).skip(1);
            let found = stars.len();
            for end in ends {
                stars.truncate(found);
                stars.push(&text[..end]);
                if matches(rest, &text[end..], stars, numbers) {
                    return true;
                }
            }
            false
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.pattern {
            match piece {
                Piece::Text(text) => f.write_str(text)?,
                Piece::Star => f.write_str("*")?,
                Piece::Number(name, allowed) if allowed.is_empty() => write!(f, "{{{name}}}")?,
                Piece::Number(name, allowed) => {
                    let allowed: Vec<_> = allowed.iter().map(u64::to_string).collect();
                    write!(f, "{{{name}:{}}}", allowed.join("|"))?;
                }
            }
        }
        f.write_str(" -> ")?;
        for piece in &self.name {
            match piece {
                Made::Text(text) => f.write_str(text)?,
                Made::Star => f.write_str("*")?,
                Made::Number(expression) => write!(f, "{{{expression}}}")?,
            }
        }
        match self.then {
            Then::Nothing => Ok(()),
            Then::Reshape => f.write_str(" | reshape"),
            Then::Part { index, of } => write!(f, " | part {}/{of}", index + 1),
        }
    }
}

impl serde::Serialize for Rule {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Rule {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn apply(rule: &str, name: &str) -> Option<String> {
        rule.parse::<Rule>().unwrap().apply(name, &[1, 2, 2])
    }

    #[test]
    fn names_are_made_as_the_rule_says() {
        for (rule, name, expected) in [
            ("encoder.* -> *", "encoder.layer1.0.bn1.weight", Some("layer1.0.bn1.weight")),
            ("encoder.* -> *", "decoder.weight", None),
            ("encoder.* -> *", "encoder.", None),
            ("a.{i}.* -> b.{2*i+1}.*", "a.3.w", Some("b.7.w")),
            ("a.{i}.* -> b.{i}.*", "a.03.w", None),
            ("a.{i}.* -> b.{i-1}.*", "a.0.w", None),
            ("a.{i:2|4}.* -> b.{i}.*", "a.4.w", Some("b.4.w")),
            ("a.{i:2|4}.* -> b.{i}.*", "a.3.w", None),
            ("*.norm.{i}.* -> *.norm{i}.*", "x.norm.y.norm.1.weight", Some("x.norm.y.norm1.weight")),
            ("_blocks.{n}.* -> f.{stage(n)+1}.{block(n)}.*", "_blocks.4.x", Some("f.3.1.x")),
            ("blocks.{i}.{j}.* -> _blocks.{flat(i,j)}.*", "blocks.2.1.x", Some("_blocks.4.x")),
            ("q.* -> qkv_* | part 1/3", "q.bias", Some("qkv_bias")),
            ("ä* -> *", "äöü", Some("öü")),
        ] {
            assert_eq!(apply(rule, name).as_deref(), expected, "{rule} on {name}");
        }
    }

    #[test]
    fn what_is_no_rule_is_said() {
        for (text, word) in [
            ("a.b", "no `->`"),
            ("a.* -> b", "same number of `*`"),
            ("a.{i -> b", "not closed"),
            ("a.{i} -> b.{j}", "`{j}` is not in the pattern"),
            ("a.{i}.{i} -> b", "twice"),
            ("a.{i}* -> b.*", "touch"),
            ("a.{i:x} -> b", "`x` is no number"),
            (" -> b", "empty"),
            ("a b -> c", "`a b`"),
            ("a -> b | twist", "`twist`"),
            ("a -> b | part 4/3", "`part 4/3`"),
            ("*a*b*c*d*e -> *a*b*c*d*e", "too many"),
        ] {
            let error = text.parse::<Rule>().unwrap_err();
            assert!(error.to_string().contains(word) && error.exit_code() == 2, "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_rule_or_an_error(text in "\\PC{0,40}|[a-b.{}:|*>\\- +0-9()]{0,24}", name in "\\PC{0,20}") {
            if let Ok(rule) = text.parse::<Rule>() {
                let printed = rule.to_string();
                prop_assert_eq!(&printed.parse::<Rule>().unwrap(), &rule, "{}", printed);
                rule.apply(&name, &[3]);
            }
        }

        #[test]
        fn a_rule_and_its_reverse_give_the_name_back(
            (head, tail) in ("[a-z]{1,4}", "[a-z.0-9]{1,12}"), number in 0..1000u64, step in 0..9u64,
        ) {
            let there: Rule = format!("{head}.{{i}}.* -> x{{i+{step}}}.*").parse().unwrap();
            let back: Rule = format!("x{{i}}.* -> {head}.{{i-{step}}}.*").parse().unwrap();
            let name = format!("{head}.{number}.{tail}");
            prop_assert_eq!(back.apply(&there.apply(&name, &[]).unwrap(), &[]), Some(name));
        }
    }
}
