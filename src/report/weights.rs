//! What became of every tensor of a checkpoint, for people.

use super::{Align, Table};
use crate::models::formats::LoadReport;

/// A row for every tensor, what is wrong first, and a line of counts at the end.
pub fn weights_table(report: &LoadReport) -> String {
    let mut table = Table::new([("", Align::Left), ("tensor", Align::Left), ("in the file", Align::Left)]);
    for name in report.missing.iter().chain(&report.missing_counters) {
        table.row(["missing", name, ""]);
    }
    for bad in &report.shape_mismatch {
        table.row(["other shape", &bad.name, &format!("{:?}, expected {:?}", bad.found, bad.expected)]);
    }
    for name in &report.unexpected {
        table.row(["unexpected", "", name]);
    }
    for name in &report.left_out {
        table.row(["left out", "", name]);
    }
    for name in &report.loaded {
        table.row(["loaded", name, &changes(report, name)]);
    }
    let count = |what: &str, count: usize| format!("{count} {what}");
    let counts = [
        count("loaded", report.loaded.len()),
        count("missing", report.missing.len() + report.missing_counters.len()),
        count("unexpected", report.unexpected.len()),
        count("of another shape", report.shape_mismatch.len()),
        count("left out", report.left_out.len()),
        count("renamed", report.renamed.len()),
        count("reshaped", report.reshaped.len()),
        count("converted", report.dtype_converted.len()),
    ];
    format!("{table}\n{}", counts.join(", "))
}

/// How a loaded tensor differs in the file: its name, shape and number format there.
fn changes(report: &LoadReport, name: &str) -> String {
    let renamed = report.renamed.iter().find(|one| one.name == name).map(|one| one.from.join(" + "));
    let reshaped = report.reshaped.iter().find(|one| one.name == name).map(|one| format!("{:?}", one.from));
    let converted = report.dtype_converted.iter().find(|one| one.name == name).map(|one| one.from.clone());
    [renamed, reshaped, converted].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::formats::{Conversion, Mismatch, Renaming, Reshaping};

    #[test]
    fn every_tensor_has_a_row_that_says_what_happened() {
        let report = LoadReport {
            loaded: vec!["a".into(), "b".into()],
            missing: vec!["c".into()],
            unexpected: vec!["ema".into()],
            shape_mismatch: vec![Mismatch { name: "d".into(), expected: vec![2], found: vec![3] }],
            left_out: vec!["fc".into()],
            renamed: vec![Renaming { name: "b".into(), from: vec!["q".into(), "k".into()] }],
            reshaped: vec![Reshaping { name: "b".into(), from: vec![4, 1], to: vec![4] }],
            dtype_converted: vec![Conversion { name: "b".into(), from: "float16".into(), to: "float32".into() }],
            ..LoadReport::default()
        };
        let text = weights_table(&report);
        let rows: Vec<Vec<&str>> = text.lines().skip(2).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[0], ["missing", "c"]);
        assert_eq!(rows[1].join(" "), "other shape d [3], expected [2]");
        assert_eq!(rows[2], ["unexpected", "ema"]);
        assert_eq!(rows[3], ["left", "out", "fc"]);
        assert_eq!(rows[4], ["loaded", "a"]);
        assert_eq!(rows[5].join(" "), "loaded b q + k, [4, 1], float16");
        let counts =
            "2 loaded, 1 missing, 1 unexpected, 1 of another shape, 1 left out, 1 renamed, 1 reshaped, 1 converted";
        assert!(text.ends_with(counts), "{text}");
    }
}
