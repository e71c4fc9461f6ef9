//! Tables that somebody wrote.

use std::path::Path;

use serde_json::{Map, Value};

use super::ClassTable;
use crate::{Error, Result};

/// A first line with the attributes, then a class and its numbers in a line. A field that is empty is not known.
pub(super) fn csv(path: &Path) -> Result<ClassTable> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path, "cannot read"))?;
    let text = text.trim_start_matches('\u{feff}');
    let fields = |line: &str| -> Vec<String> {
        line.split(',').map(|field| field.trim().trim_matches('"').trim().to_string()).collect()
    };
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let head = lines.next().map(|(_, line)| fields(line)).unwrap_or_default();
    let (mut classes, mut rows) = (vec![], vec![]);
    for (at, line) in lines {
        let fields = fields(line);
        if fields.len() != head.len() {
            let (found, expected) = (fields.len(), head.len());
            let line = at + 1;
            return Err(Error::file(path, format!("line {line} has {found} fields; the first line has {expected}")));
        }
        let number = |field: &String| -> Result<f64> {
            let known = if field.is_empty() { Ok(f64::NAN) } else { field.parse() };
            known.map_err(|_| Error::file(path, format!("line {} has {field}, which is no number", at + 1)))
        };
        rows.push(fields[1..].iter().map(number).collect::<Result<Vec<f64>>>()?);
        classes.push(fields[0].clone());
    }
    ClassTable::of_rows(path, classes, head.into_iter().skip(1).collect(), &rows)
}

/// An object of objects or of lists. An attribute that a class does not have, or that is null, is not known.
pub(super) fn json(path: &Path) -> Result<ClassTable> {
    let text = std::fs::read(path).map_err(Error::io(path, "cannot read"))?;
    let table: Map<String, Value> =
        serde_json::from_slice(&text).map_err(|error| Error::file(path, format!("is no table of classes: {error}")))?;
    let mut attributes: Vec<String> = vec![];
    for class in table.values().filter_map(Value::as_object) {
        let new: Vec<String> = class.keys().filter(|name| !attributes.contains(name)).cloned().collect();
        attributes.extend(new);
    }
    let (mut classes, mut rows) = (vec![], vec![]);
    for (class, values) in &table {
        let number = |value: Option<&Value>| match value {
            None | Some(Value::Null) => Ok(f64::NAN),
            Some(Value::Bool(value)) => Ok(f64::from(u8::from(*value))),
            Some(value) => {
                value.as_f64().ok_or_else(|| Error::file(path, format!("says {value} of {class}, which is no number")))
            }
        };
        let row: Result<Vec<f64>> = match values {
            Value::Object(own) => attributes.iter().map(|name| number(own.get(name))).collect(),
            Value::Array(own) => own.iter().map(|value| number(Some(value))).collect(),
            other => Err(Error::file(path, format!("says {other} of {class}; expected its attributes or numbers"))),
        };
        rows.push(row?);
        classes.push(class.clone());
    }
    ClassTable::of_rows(path, classes, attributes, &rows)
}
