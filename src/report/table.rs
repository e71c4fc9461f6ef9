//! Tables for the terminal: columns aligned, one header, no borders.

use std::fmt;

use super::format;
use crate::eval::{Evaluation, Metric};

/// On which side a column's cells line up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Names.
    Left,
    /// Numbers.
    Right,
}

/// Rows of text under a header; printed with [`Display`](fmt::Display), with no line feed at the end.
///
/// ```
/// use regraft::report::{Align, Table};
///
/// let mut table = Table::new([("class", Align::Left), ("images", Align::Right)]);
/// table.row(["ants", "70"]).row(["bees", "1,083"]);
/// assert_eq!(table.to_string(), "class  images\n-----  ------\nants       70\nbees    1,083");
/// ```
#[derive(Debug, Clone)]
pub struct Table {
    header: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns and no rows yet.
    pub fn new<S: Into<String>>(columns: impl IntoIterator<Item = (S, Align)>) -> Self {
        Self { header: columns.into_iter().map(|(name, align)| (name.into(), align)).collect(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty and cells beyond the last column are dropped.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) -> &mut Self {
        let mut row: Vec<String> = cells.into_iter().map(Into::into).collect();
        row.resize(self.header.len(), String::new());
        self.rows.push(row);
        self
    }

    /// How many rows there are under the header.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is only the header.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Name and value of each metric, one a row.
    pub fn of_metrics(metrics: &[Metric]) -> Self {
        let mut table = Self::new([("metric", Align::Left), ("value", Align::Right)]);
        for metric in metrics {
            table.row([format::name(&metric.name), format::metric(metric)]);
        }
        table
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.header.iter().map(|(name, _)| name.clone()).collect();
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| &row[column]).chain([&names[column]]);
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..names.len()).map(width).collect();
        let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
        for (index, row) in [&names, &rule].into_iter().chain(&self.rows).enumerate() {
            let mut line = String::new();
            for ((cell, &width), (_, align)) in row.iter().zip(&widths).zip(&self.header) {
                match align {
                    Align::Left => line += &format!("{cell:<width$}  "),
                    Align::Right => line += &format!("{cell:>width$}  "),
                }
            }
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// An evaluation for people: the scores of each class, then the numbers of the whole set.
pub fn evaluation_table(evaluation: &Evaluation) -> String {
    let [left, right] = [Align::Left, Align::Right];
    let mut classes =
        Table::new([("class", left), ("images", right), ("precision", right), ("recall", right), ("F1", right)]);
    for class in &evaluation.classes {
        let scores = class.scores;
        classes.row([
            class.name.clone(),
            format::count(scores.support),
            format::percent(if scores.predicted == 0 { f64::NAN } else { scores.precision }),
            format::percent(if scores.support == 0 { f64::NAN } else { scores.recall }),
            format::percent(if scores.support + scores.predicted == 0 { f64::NAN } else { scores.f1 }),
        ]);
    }
    let mut metrics = Table::of_metrics(&evaluation.metrics());
    metrics.row(["images".into(), format::count(evaluation.images as u64)]);
    if let Some(temperature) = evaluation.temperature {
        metrics.row(["temperature".into(), format::number(temperature.value)]);
        metrics.row(["calibration error at that temperature".into(), format::percent(temperature.ece_after)]);
    }
    format!("{classes}\n\n{metrics}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::Predictions;

    #[test]
    fn columns_line_up_and_lines_do_not_end_in_blanks() {
        let mut table = Table::new([("name", Align::Left), ("value", Align::Right), ("note", Align::Left)]);
        table.row(["a", "1"]).row(["Ölfaß", "1000000", "long", "too many"]);
        let expected = "name     value  note\n-----  -------  ----\na            1\nÖlfaß  1000000  long";
        assert_eq!(table.to_string(), expected);
        assert_eq!(Table::new([("only", Align::Right)]).to_string(), "only\n----");
    }

    #[test]
    fn an_evaluation_shows_what_cannot_be_said_as_a_dash() {
        let logits = tch::Tensor::from_slice2(&[[3.0f32, 0.0, 0.0], [2.0, 0.0, 0.0]]);
        let names = ["ant", "bee", "cat"].map(String::from);
        let text = evaluation_table(&Evaluation::of(&Predictions::new(&logits, &[0, 1]).unwrap(), &names).unwrap());
        let line =
            |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap().split_whitespace().collect();
        let [ant, bee, cat]: [Vec<&str>; 3] = ["ant", "bee", "cat"].map(line);
        assert_eq!(ant, ["ant", "1", "50.00", "%", "100.00", "%", "66.67", "%"]);
        assert_eq!(bee, ["bee", "1", "–", "0.00", "%", "0.00", "%"]);
        assert_eq!(cat, ["cat", "0", "–", "–", "–"]);
    }
}
