//! Arithmetic on the numbers that a rule's pattern has found in a name: `2*i+1`, `stage(n)`, `flat(i,j)`.

use std::collections::BTreeMap;
use std::fmt;

/// Numbers by the name that the pattern gives them.
pub(super) type Numbers = BTreeMap<String, u64>;

/// A sum of products, as `2*i+1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expression(Vec<(Sign, Vec<Factor>)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Plus,
    Minus,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Factor {
    Number(u64),
    Variable(String),
    /// In which group of blocks the flat number lies.
    Stage(String),
    /// Which block of its group the flat number is.
    Block(String),
    /// The flat number of a block, from its group and its place in it.
    Flat(String, String),
}

impl Expression {
    /// Reads `text`, which is what stands between the braces.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut terms = vec![];
        let (mut rest, mut sign) = (text, Sign::Plus);
        loop {
            let end = rest.find(['+', '-']).unwrap_or(rest.len());
            let factors =
                rest[..end].split('*').map(|factor| Factor::parse(factor.trim())).collect::<Result<_, _>>()?;
            terms.push((sign, factors));
            match rest[end..].chars().next() {
                None => return Ok(Self(terms)),
                Some(next) => sign = if next == '+' { Sign::Plus } else { Sign::Minus },
            }
            rest = &rest[end + 1..];
        }
    }

    /// The names of the numbers that it needs.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|(_, factors)| factors).flat_map(|factor| match factor {
            Factor::Number(_) => vec![],
            Factor::Variable(name) | Factor::Stage(name) | Factor::Block(name) => vec![name.as_str()],
            Factor::Flat(stage, block) => vec![stage.as_str(), block.as_str()],
        })
    }

    /// Whether it needs to know how many blocks each group has.
    pub(super) fn needs_groups(&self) -> bool {
        let flat = |factor: &Factor| !matches!(factor, Factor::Number(_) | Factor::Variable(_));
        self.0.iter().flat_map(|(_, factors)| factors).any(flat)
    }

    /// Its value; `None` where that is negative or too large, or where there is no such block in `groups`.
    pub(super) fn value(&self, numbers: &Numbers, groups: &[u64]) -> Option<u64> {
        let mut sum = 0i64;
        for (sign, factors) in &self.0 {
            let mut product = 1i64;
            for factor in factors {
                product = product.checked_mul(factor.value(numbers, groups)?.try_into().ok()?)?;
            }
            sum = match sign {
                Sign::Plus => sum.checked_add(product)?,
                Sign::Minus => sum.checked_sub(product)?,
            };
        }
        sum.try_into().ok()
    }
}

impl Factor {
    fn parse(text: &str) -> Result<Self, String> {
        if let Ok(number) = text.parse::<u32>() {
            return Ok(Self::Number(number.into()));
        }
        let Some((function, arguments)) = text.strip_suffix(')').and_then(|call| call.split_once('(')) else {
            return variable(text).map(Self::Variable);
        };
        let arguments = arguments.split(',').map(|name| variable(name.trim())).collect::<Result<Vec<_>, _>>()?;
        match (function, arguments.as_slice()) {
            ("stage", [number]) => Ok(Self::Stage(number.clone())),
            ("block", [number]) => Ok(Self::Block(number.clone())),
            ("flat", [stage, block]) => Ok(Self::Flat(stage.clone(), block.clone())),
            _ => Err(format!("`{text}` is none of stage(n), block(n) and flat(i,j)")),
        }
    }

    fn value(&self, numbers: &Numbers, groups: &[u64]) -> Option<u64> {
        let find = |flat: &str| {
            let mut left = *numbers.get(flat)?;
            for (stage, &blocks) in groups.iter().enumerate() {
                if left < blocks {
                    return Some((stage as u64, left));
                }
                left -= blocks;
            }
            None
        };
        match self {
            Self::Number(number) => Some(*number),
            Self::Variable(name) => numbers.get(name).copied(),
            Self::Stage(flat) => find(flat).map(|(stage, _)| stage),
            Self::Block(flat) => find(flat).map(|(_, block)| block),
            Self::Flat(stage, block) => {
                let (stage, block) = (usize::try_from(*numbers.get(stage)?).ok()?, *numbers.get(block)?);
                (block < *groups.get(stage)?).then(|| groups[..stage].iter().sum::<u64>() + block)
            }
        }
    }
}

/// The name of a number: letters.
pub(super) fn variable(text: &str) -> Result<String, String> {
    match !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphabetic()) {
        true => Ok(text.to_string()),
        false => Err(format!("`{text}` is no name for a number; use letters, as {{i}}")),
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (sign, factors)) in self.0.iter().enumerate() {
            match sign {
                Sign::Minus => f.write_str("-")?,
                Sign::Plus if index > 0 => f.write_str("+")?,
                Sign::Plus => {}
            }
            let factors: Vec<_> = factors.iter().map(Factor::to_string).collect();
            f.write_str(&factors.join("*"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Variable(name) => f.write_str(name),
            Self::Stage(flat) => write!(f, "stage({flat})"),
            Self::Block(flat) => write!(f, "block({flat})"),
            Self::Flat(stage, block) => write!(f, "flat({stage},{block})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, numbers: &[(&str, u64)]) -> Option<u64> {
        let numbers = numbers.iter().map(|(name, number)| (name.to_string(), *number)).collect();
        Expression::parse(text).unwrap().value(&numbers, &[1, 2, 3])
    }

    #[test]
    fn numbers_are_reckoned_with() {
        let numbers = [("i", 3), ("j", 1)];
        for (text, expected) in [
            ("i", Some(3)),
            ("i+1", Some(4)),
            ("2*i + j - 4", Some(3)),
            ("j-2", None),
            ("k", None),
            ("stage(i)", Some(2)),
            ("block(i)", Some(0)),
            ("flat(j,j)+10", Some(12)),
            ("flat(i,j)", None),
            ("4000000000*4000000000*4000000000", None),
        ] {
            assert_eq!(value(text, &numbers), expected, "{text}");
        }
    }

    #[test]
    fn flat_numbers_and_places_in_groups_are_inverses() {
        for flat in 0..6 {
            let (stage, block) =
                (value("stage(n)", &[("n", flat)]).unwrap(), value("block(n)", &[("n", flat)]).unwrap());
            assert_eq!(value("flat(i,j)", &[("i", stage), ("j", block)]), Some(flat));
        }
        assert_eq!(value("stage(n)", &[("n", 6)]), None);
        assert_eq!(value("flat(i,j)", &[("i", 1), ("j", 2)]), None);
    }

    #[test]
    fn what_is_no_expression_is_said() {
        for (text, word) in [("", "``"), ("i+", "``"), ("sin(i)", "sin(i)"), ("stage(1)", "`1`"), ("a b", "`a b`")] {
            let message = Expression::parse(text).unwrap_err();
            assert!(message.contains(word), "{message}");
        }
    }
}
