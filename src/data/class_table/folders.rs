//! Attributes as they lie beside images: Animals with Attributes (Lampert et al. 2009) and Caltech-UCSD Birds (Wah et al. 2011).

use std::path::Path;

use super::ClassTable;
use crate::{Error, Result};

const CONTINUOUS: &str = "predicate-matrix-continuous.txt";
const BIRDS: &str = "attributes/class_attribute_labels_continuous.txt";

/// The table in a folder.
pub(super) fn open(folder: &Path) -> Result<ClassTable> {
    let birds = folder.join(BIRDS);
    if birds.is_file() {
        let (classes, rows) = (names(&folder.join("classes.txt"))?, numbers(&birds)?);
        return ClassTable::of_rows(&birds, classes, vec![], &rows);
    }
    let file = folder.join(CONTINUOUS);
    if file.is_file() {
        return matrix(&file);
    }
    Err(Error::file(folder, format!("holds neither {CONTINUOUS} nor {BIRDS}")))
}

/// A matrix of Animals with Attributes, whose classes and attributes are named beside it.
pub(super) fn matrix(file: &Path) -> Result<ClassTable> {
    let beside = |name: &str| names(&file.with_file_name(name));
    let mut rows = numbers(file)?;
    // in the continuous one, −1 says that nobody was asked
    rows.iter_mut().flatten().filter(|number| **number < 0.0).for_each(|number| *number = f64::NAN);
    ClassTable::of_rows(file, beside("classes.txt")?, beside("predicates.txt")?, &rows)
}

/// The last word of every line that is not empty: names, with or without a number before them.
fn names(file: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(file).map_err(Error::io(file, "cannot read"))?;
    Ok(text.lines().filter_map(|line| line.split_whitespace().last()).map(str::to_string).collect())
}

/// The numbers of every line that is not empty.
fn numbers(file: &Path) -> Result<Vec<Vec<f64>>> {
    let text = std::fs::read_to_string(file).map_err(Error::io(file, "cannot read"))?;
    let row = |(at, line): (usize, &str)| -> Result<Vec<f64>> {
        let fields = line.split_whitespace().map(str::parse);
        fields
            .collect::<Result<_, _>>()
            .map_err(|_| Error::file(file, format!("line {} has what is no number", at + 1)))
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(row).collect()
}
