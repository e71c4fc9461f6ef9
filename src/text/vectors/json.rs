//! A word's numbers by its name.

use std::fmt;
use std::io::Read;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Collector;

/// Reads an object of lists of numbers, or one that has it under `vectors`; of the lists the first `dimensions`, where the file
/// has that, because some say more of a word behind its vector.
pub(super) fn read(file: impl Read, collector: &mut Collector) -> Result<(), String> {
    let mut json = serde_json::Deserializer::from_reader(file);
    let outer = Words { collector, outermost: true };
    let dimensions = outer.deserialize(&mut json).map_err(|error| format!("is no file of word vectors: {error}"))?;
    json.end().map_err(|error| format!("is no file of word vectors: {error}"))?;
    if let Some(dimensions) = dimensions {
        collector.vectors.values_mut().for_each(|vector| vector.truncate(dimensions));
    }
    Ok(())
}

/// An object with words; gives what it says of their dimensions.
struct Words<'a, 'b> {
    collector: &'a mut Collector<'b>,
    outermost: bool,
}

impl<'de> DeserializeSeed<'de> for Words<'_, '_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

/// What may stand behind a name.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Value {
    Numbers(Vec<f32>),
    Number(f64),
    Other(IgnoredAny),
}

impl Words<'_, '_> {
    /// A word that is called as the file's own entries are.
    fn take(&mut self, word: &str, vector: Vec<f32>) {
        if let Some(key) = self.collector.wants(word) {
            self.collector.take(word, key, vector);
        }
    }
}

/// What is called `vectors`: all words, or the vector of that word.
struct Inner<'a, 'b> {
    collector: &'a mut Collector<'b>,
}

impl<'de> DeserializeSeed<'de> for Inner<'_, '_> {
    type Value = Option<Vec<f32>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Inner<'_, '_> {
    type Value = Option<Vec<f32>>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object with a list of numbers for each word")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Words { collector: self.collector, outermost: false }.visit_map(map).map(|_| None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut vector = vec![];
        while let Some(number) = list.next_element()? {
            vector.push(number);
        }
        Ok(Some(vector))
    }
}

impl<'de> Visitor<'de> for Words<'_, '_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object with a list of numbers for each word")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut dimensions = None;
        while let Some(word) = map.next_key::<String>()? {
            if self.outermost && word == "vectors" {
                let inner = Inner { collector: &mut *self.collector };
                if let Some(vector) = map.next_value_seed(inner)? {
                    self.take(&word, vector);
                }
                continue;
            }
            if self.outermost && word == "dimensions" {
                match map.next_value()? {
                    Value::Number(number) => dimensions = Some(number as usize),
                    Value::Numbers(vector) => self.take(&word, vector),
                    Value::Other(_) => {}
                }
                continue;
            }
            let Some(key) = self.collector.wants(&word) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            match map.next_value()? {
                Value::Numbers(vector) => self.collector.take(&word, key, vector),
                Value::Number(_) | Value::Other(_) if self.outermost => {} // what describes the file
                _ => return Err(A::Error::custom(format!("{word} has no list of numbers"))),
            }
        }
        Ok(dimensions)
    }
}
