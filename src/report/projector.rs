//! Features for TensorBoard's embedding projector: `projector_config.pbtxt` names files of tab-separated numbers and labels, which
//! TensorBoard looks for in the run's folder.

use std::fmt::Write;
use std::path::Path;

use tch::{Kind, Tensor};

use crate::{Error, Result, files};

/// One set of features.
#[derive(Debug, Clone, Copy)]
pub struct Projected<'a> {
    /// What it is called, and its files.
    pub name: &'a str,
    /// `[N, D]`.
    pub features: &'a Tensor,
    /// What is known of each: column names, and a row of values for each image.
    pub columns: &'a [&'a str],
    /// As many rows as features, each as long as `columns`.
    pub rows: &'a [Vec<String>],
}

/// The list of all sets in a folder.
const CONFIG: &str = "projector_config.pbtxt";

/// Writes a set of features into `folder`, beside those that are there under other names.
///
/// # Errors
/// Not one row for each image, or a file that cannot be written.
pub fn write_projector(folder: &Path, set: &Projected) -> Result<()> {
    let Projected { name, features, columns, rows } = set;
    let (images, _) = features.size2()?;
    if rows.len() != images as usize || rows.iter().any(|row| row.len() != columns.len()) {
        return Err(Error::Data(format!("{} rows of labels for {images} images", rows.len())));
    }
    let values = Vec::<Vec<f32>>::try_from(&features.detach().f_to_kind(Kind::Float)?)?;
    let mut text = String::new();
    for row in values {
        let line: Vec<String> = row.iter().map(f32::to_string).collect();
        let _infallible = writeln!(text, "{}", line.join("\t"));
    }
    // a single column stands without a heading
    let mut labels = if columns.len() > 1 { columns.join("\t") + "\n" } else { String::new() };
    for row in *rows {
        let clean: Vec<String> = row.iter().map(|cell| cell.replace(['\t', '\n', '\r'], " ")).collect();
        let _infallible = writeln!(labels, "{}", clean.join("\t"));
    }
    files::write_bytes(folder.join(format!("{name}.tsv")), text.as_bytes())?;
    files::write_bytes(folder.join(format!("{name}-labels.tsv")), labels.as_bytes())?;
    let list = folder.join(CONFIG);
    let mut config = std::fs::read_to_string(&list).unwrap_or_default();
    if !config.contains(&format!("\"{name}.tsv\"")) {
        let _infallible = write!(
            config,
            "embeddings {{\n  tensor_name: \"{name}\"\n  tensor_path: \"{name}.tsv\"\n  metadata_path: \"{name}-labels.tsv\"\n}}\n"
        );
    }
    files::write_bytes(&list, config.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_those_that_the_configuration_names() {
        let folder = tempfile::tempdir().unwrap();
        let features = Tensor::from_slice2(&[[1.5f32, -2.0], [0.0, 1e-7]]);
        let rows = [vec!["source".into(), "a\tb".into()], vec!["target".to_string(), "c".into()]];
        let one = Projected { name: "features", features: &features, columns: &["domain", "class"], rows: &rows };
        write_projector(folder.path(), &one).unwrap();
        write_projector(folder.path(), &Projected { name: "other", ..one }).unwrap();
        write_projector(folder.path(), &one).unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("features.tsv"), "1.5\t-2\n0\t0.0000001\n");
        assert_eq!(read("features-labels.tsv"), "domain\tclass\nsource\ta b\ntarget\tc\n");
        let config = read("projector_config.pbtxt");
        for word in ["tensor_path: \"features.tsv\"", "metadata_path: \"features-labels.tsv\""] {
            assert!(config.contains(word), "{config}");
        }
        assert_eq!(config.matches("embeddings {").count(), 2, "{config}");
        let short = Projected { name: "x", columns: &["domain"], rows: &[], ..one };
        assert!(write_projector(folder.path(), &short).is_err());
    }
}
