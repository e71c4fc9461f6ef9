//! Classes by what is said of them: a row of numbers for each, as attributes have them.
//!
//! | path | as |
//! |---|---|
//! | folder with `classes.txt`, `predicates.txt` and `predicate-matrix-continuous.txt`, or one of its matrices | Animals with Attributes, AwA2 |
//! | folder with `classes.txt` and `attributes/class_attribute_labels_continuous.txt` | Caltech-UCSD Birds |
//! | `.mat` with `att` [A × C] and, where it has them, `allclasses_names` | the splits of Xian et al. 2018 |
//! | `.csv` | a first line `class,ATTRIBUTE,…`, then a line for each class |
//! | `.json` | `{"class": {"attribute": number, …}, …}` or `{"class": [number, …], …}` |

mod folders;
mod plain;

use std::path::Path;

use tch::{Kind, Tensor};

use super::mat::MatFile;
use crate::{Error, Result};

/// A row of numbers for each class.
#[derive(Debug)]
pub struct ClassTable {
    /// The classes, in the order of the rows.
    pub classes: Vec<String>,
    /// What the columns are called; empty where the file does not say.
    pub attributes: Vec<String>,
    /// `[C, A]` f64, on the CPU. What is not known is not a number.
    pub values: Tensor,
}

impl ClassTable {
    /// Reads the table at `path`.
    ///
    /// # Errors
    /// A file that cannot be read or is none of the forms; a class or an attribute twice; rows of different lengths.
    pub fn open(path: &Path) -> Result<Self> {
        std::fs::metadata(path).map_err(Error::io(path, "cannot open the table of classes"))?;
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        let table = match ending.as_deref() {
            _ if path.is_dir() => folders::open(path)?,
            Some("mat") => of_matlab(path)?,
            Some("csv") => plain::csv(path)?,
            Some("json") => plain::json(path)?,
            Some("txt") => folders::matrix(path)?,
            _ => {
                let expected = "a folder of attributes, .mat, .csv, .json or a predicate matrix (.txt)";
                return Err(Error::file(path, format!("is no table of classes; expected {expected}")));
            }
        };
        table.check(path)
    }

    /// From rows of equal length.
    fn of_rows(path: &Path, classes: Vec<String>, attributes: Vec<String>, rows: &[Vec<f64>]) -> Result<Self> {
        let width = rows.first().map_or(0, Vec::len);
        if let Some(at) = rows.iter().position(|row| row.len() != width) {
            let (class, found) = (classes.get(at).map_or("?", String::as_str), rows[at].len());
            return Err(Error::file(path, format!("has {found} numbers for {class}, and {width} for the first class")));
        }
        let values = Tensor::f_from_slice(&rows.concat())?.f_view([rows.len() as i64, width as i64])?;
        Ok(Self { classes, attributes, values })
    }

    fn check(self, path: &Path) -> Result<Self> {
        let (rows, columns) = self.values.size2()?;
        if rows == 0 || columns == 0 {
            return Err(Error::file(path, "holds no class with a number"));
        }
        if rows != self.classes.len() as i64 {
            return Err(Error::file(path, format!("has {rows} rows for {} classes", self.classes.len())));
        }
        if !self.attributes.is_empty() && columns != self.attributes.len() as i64 {
            return Err(Error::file(path, format!("has {columns} columns for {} attributes", self.attributes.len())));
        }
        if bool::try_from(self.values.f_isinf()?.f_any()?)? {
            return Err(Error::file(path, "holds an infinite number"));
        }
        let mut classes: Vec<String> = self.classes.iter().map(|class| plain(class)).collect();
        classes.sort_unstable();
        if let Some(twice) = classes.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::file(path, format!("has the class {} twice", twice[0])));
        }
        let names = &self.attributes;
        if let Some(at) = (1..names.len()).find(|&at| names[..at].contains(&names[at])) {
            return Err(Error::file(path, format!("has the attribute {} twice", names[at])));
        }
        Ok(self)
    }

    /// The rows of these classes, in their order: `[classes, A]`. Names that differ in capitals, or in `_`, `+`, `-` and spaces alone, are the
    /// same.
    ///
    /// # Errors
    /// Classes that the table does not have, all of them.
    pub fn rows_of(&self, classes: &[String]) -> Result<Tensor> {
        let own: Vec<String> = self.classes.iter().map(|class| plain(class)).collect();
        let places: Vec<Option<usize>> =
            classes.iter().map(|class| own.iter().position(|name| *name == plain(class))).collect();
        let missing: Vec<&str> =
            classes.iter().zip(&places).filter(|(_, place)| place.is_none()).map(|(class, _)| class.as_str()).collect();
        if !missing.is_empty() {
            return Err(Error::Data(format!("nothing is said of {}", missing.join(", "))));
        }
        let index: Vec<i64> = places.into_iter().flatten().map(|place| place as i64).collect();
        Ok(self.values.f_index_select(0, &Tensor::f_from_slice(&index)?)?)
    }

    /// What is not known as the mean of the attribute over the classes of which it is; and of how many numbers that was so.
    ///
    /// # Errors
    /// An attribute that is known of no class.
    pub fn filled(self) -> Result<(Self, usize)> {
        let unknown = self.values.f_isnan()?;
        let count = i64::try_from(unknown.f_sum(Kind::Int64)?)?;
        if count == 0 {
            return Ok((self, 0));
        }
        let means = self.values.f_nanmean([0i64].as_slice(), true, Kind::Double)?;
        if bool::try_from(means.f_isnan()?.f_any()?)? {
            return Err(Error::Data("an attribute is not known of any class".into()));
        }
        Ok((Self { values: means.f_where_self(&unknown, &self.values)?, ..self }, count as usize))
    }

    /// Whether every two classes differ, by more than rounding, and none is 0 throughout.
    ///
    /// # Errors
    /// Two that do not, which nothing could tell apart; one of zeros, which is like no image.
    pub fn require_distinct(&self) -> Result<()> {
        let rows = Vec::<Vec<f64>>::try_from(&self.values)?;
        for (at, row) in rows.iter().enumerate() {
            if row.iter().all(|&number| number == 0.0) {
                let class = &self.classes[at];
                return Err(Error::Data(format!(
                    "all that is said of {class} is 0, which is like no image; say what it is"
                )));
            }
            let same =
                |other: &Vec<f64>| other.iter().zip(row).all(|(a, b)| (a - b).abs() <= 1e-9 * a.abs().max(b.abs()));
            if let Some(other) = rows[..at].iter().position(same) {
                let (one, other) = (&self.classes[at], &self.classes[other]);
                return Err(Error::Data(format!(
                    "{other} and {one} have the same attributes, so nothing can tell them apart"
                )));
            }
        }
        Ok(())
    }
}

/// A name without what differs between ways of writing it.
fn plain(name: &str) -> String {
    name.to_lowercase().replace(['_', '+', '-'], " ")
}

fn of_matlab(path: &Path) -> Result<ClassTable> {
    let file = MatFile::open(path)?;
    let table = file.get("att")?;
    let &[attributes, classes] = table.dims() else {
        return Err(file.wrong("att", format!("is {}; expected [attributes x classes]", table.describe())));
    };
    let numbers =
        table.to_f64().ok_or_else(|| file.wrong("att", format!("is {}; expected numbers", table.describe())))?;
    // a column is a class, and columns lie one after the other
    let values = Tensor::f_from_slice(&numbers)?.f_view([classes as i64, attributes as i64])?;
    let has_names = file.names().any(|name| name == "allclasses_names");
    let names =
        if has_names { texts(&file, "allclasses_names")? } else { (1..=classes).map(|n| n.to_string()).collect() };
    Ok(ClassTable { classes: names, attributes: vec![], values })
}

/// A column of texts.
pub(super) fn texts(file: &MatFile, name: &str) -> Result<Vec<String>> {
    let array = file.get(name)?;
    let texts = array.as_cells().map(|cells| cells.iter().map(|cell| cell.as_text().map(str::to_string)).collect());
    let texts: Option<Option<Vec<String>>> = texts;
    texts.flatten().ok_or_else(|| file.wrong(name, format!("is {}; expected cells of text", array.describe())))
}

#[cfg(test)]
mod tests;
