//! What is said of classes, by whatever says it: attributes, word vectors, sentence encoders, or several of them.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::Scaling;
use crate::data::ClassTable;
use crate::text::{ClassName, TextSource, describe};
use crate::{Error, Result};

/// What says what classes are like.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
pub struct ClassOptions {
    /// What classes are like: a folder of attributes, .csv, .json, .mat or a predicate matrix
    #[arg(long, value_name = "FILE|FOLDER")]
    pub attributes: Option<PathBuf>,
    /// What the names of classes mean, alone or beside --attributes: a file of word vectors, the folder of a sentence encoder,
    /// or glove or minilm; several are put together
    #[arg(long, value_name = "FILE|FOLDER|NAME,…", value_delimiter = ',')]
    pub descriptions: Vec<String>,
    /// What an encoder reads of a class
    #[arg(long, value_name = "TEXT", default_value = "a photo of a {}")]
    pub prompt: String,
    /// How the attributes' numbers are scaled
    #[arg(long, value_enum, default_value = "length")]
    pub scaling: Scaling,
}

/// Classes as vectors, all of them different.
#[derive(Debug)]
pub struct ClassVectors {
    /// `[C, A]` f64: attributes as they are scaled, then a vector of length 1.
    pub values: Tensor,
    /// The same with attributes as they are.
    pub unscaled: Tensor,
    /// What each number is called, where attributes have names and there is nothing else.
    pub names: Vec<String>,
    /// What a user should know, a line each.
    pub notes: Vec<String>,
}

impl ClassOptions {
    /// Appends a line for everything that makes no sense.
    pub fn faults(&self, faults: &mut Vec<String>) {
        if self.attributes.is_none() && self.descriptions.is_empty() {
            faults.push("nothing is said of the classes: give --attributes FILE or --descriptions NAME".into());
        }
        if !self.prompt.contains("{}") {
            faults.push(format!("--prompt {}: lacks {{}}, where the class's name goes", self.prompt));
        }
    }

    /// What is said of these classes; encoders run on `device`.
    ///
    /// # Errors
    /// A file that cannot be read; a class of which nothing is said, or the same as of another.
    pub fn describe(&self, classes: &[ClassName], device: Device) -> Result<ClassVectors> {
        let (mut parts, mut unscaled, mut names, mut notes) = (vec![], vec![], vec![], vec![]);
        let words: Vec<String> = classes.iter().map(|name| name.class.clone()).collect();
        if let Some(path) = &self.attributes {
            let (table, unknown) = ClassTable::open(path)?.filled()?;
            if unknown > 0 {
                let path = path.display();
                notes.push(format!(
                    "{path}: {unknown} numbers are not known; the mean over the other classes stands for them"
                ));
            }
            unscaled.push(table.rows_of(&words)?);
            // of all classes in the table, so that a class is the same whatever others are asked for
            let table = ClassTable { values: self.scaling.apply(&table.values)?, ..table };
            parts.push(table.rows_of(&words)?);
            names = table.attributes;
        }
        if !self.descriptions.is_empty() {
            let sources = self.descriptions.iter().map(|name| TextSource::find(name)).collect::<Result<Vec<_>>>()?;
            let described = describe(&sources, classes, &self.prompt, device)?;
            if let Some(&class) = described.unknown.iter().next() {
                return Err(Error::Data(format!("nothing is said of {}: no word of it is known", words[class])));
            }
            for (class, missing) in &described.missing {
                let missing = missing.join(", ");
                notes.push(format!("{}: nothing is known of {missing}, so the rest stands for it", words[*class]));
            }
            let vectors = described.vectors.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?;
            unscaled.push(vectors.shallow_clone());
            parts.push(vectors);
            names.clear();
        }
        let values = Tensor::f_cat(&parts, 1)?;
        ClassTable { classes: words, attributes: vec![], values: values.shallow_clone() }.require_distinct()?;
        Ok(ClassVectors { values, unscaled: Tensor::f_cat(&unscaled, 1)?, names, notes })
    }
}
