//! Features instead of images: a row of numbers for each thing, computed by others, with its class.
//!
//! | file | features `[N, D]` | labels `[N]` |
//! |---|---|---|
//! | MATLAB version 5, as the SURF features of Office-Caltech (Gong et al., *Geodesic Flow Kernel*, CVPR 2012) | `fts` or `features` | `labels` |
//! | the same with a column for each image, as `res101.mat` of Xian et al. 2018 | `features`, `[D, N]` | `labels` |
//! | `.npz` of NumPy, safetensors | `features` | `labels` |

use std::collections::BTreeSet;
use std::path::Path;

use tch::{Kind, Tensor};

use super::HeldOut;
use super::mat::{MatFile, Values};
use crate::models::formats::StateDict;
use crate::{Error, Result};

/// What features are called in MATLAB files.
const FEATURES: [&str; 2] = ["fts", "features"];

/// Rows of features with their labels.
#[derive(Debug)]
pub struct FeatureSet {
    /// `[N, D]`, f64 where the file has that, otherwise f32; on the CPU, row after row.
    pub features: Tensor,
    /// The class of each row, a place in [`classes`](Self::classes).
    pub labels: Vec<usize>,
    /// The classes' names: the lines of `classes.txt` beside the file or, without it, the numbers that the file has for
    /// them, in their order.
    pub classes: Vec<String>,
}

impl FeatureSet {
    /// Reads the file at `path`, told apart by its ending.
    ///
    /// With a `classes.txt` the classes of MATLAB files count from 1, those of other files from 0. Without it the classes are
    /// those that occur, so two files of which one lacks a class number them alike only by their names.
    ///
    /// # Errors
    /// A file that cannot be read, or lacks features or labels; not one label for each row; labels that are no whole numbers
    /// or beyond the classes; a feature that is no number.
    pub fn open(path: &Path) -> Result<Self> {
        let is_matlab = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("mat"));
        let (features, labels) = if is_matlab { of_matlab(path)? } else { of_tensors(path)? };
        let rows = match features.size()[..] {
            [rows, columns] if rows > 0 && columns > 0 => rows as usize,
            _ => {
                let found = features.size();
                return Err(Error::file(path, format!("has features of shape {found:?}; expected [rows, columns]")));
            }
        };
        if labels.len() != rows {
            return Err(Error::file(path, format!("has {} labels for {rows} rows of features", labels.len())));
        }
        if let Some(row) = first_bad_row(&features)? {
            return Err(Error::file(path, format!("row {row} of its features holds what is no finite number")));
        }
        let (labels, classes) = named(path, labels, usize::from(is_matlab))?;
        Ok(Self { features, labels, classes })
    }

    /// Whether what lies at `path` are features, and not images: a `.npz` or safetensors file, or a MATLAB file that has them.
    pub fn lies_at(path: &Path) -> bool {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        // SVHN has X and y
        let has_features = |file: &MatFile| !file.names().any(|name| name == "X");
        match ending.as_deref() {
            // what is no MATLAB file is better told as one of features than as one of images
            Some("mat") => path.is_file() && MatFile::open(path).as_ref().map_or(true, has_features),
            Some("npz" | "safetensors") => path.is_file(),
            _ => false,
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// The labels, numbered as `classes` are by their names, for [`crate::eval`] alone.
    pub fn forget_labels_among(self, classes: &[String]) -> HeldOut {
        HeldOut::among(&self.labels, &self.classes, classes)
    }

    /// Whether there are none; [`open`](Self::open) gives none such.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// How many features a row has.
    pub fn dimensions(&self) -> usize {
        self.features.size().get(1).map_or(0, |&columns| columns as usize)
    }
}

fn of_matlab(path: &Path) -> Result<(Tensor, Vec<usize>)> {
    let file = MatFile::open(path)?;
    let [own, usual] = FEATURES;
    let name = if file.names().any(|name| name == own) { own } else { usual };
    let features = file.get(name)?;
    let [rows, columns] = features.dims() else {
        return Err(file.wrong(name, format!("is {}; expected [rows x columns]", features.describe())));
    };
    // one column after the other is the same as the transpose with one row after the other
    let stored = [*columns as i64, *rows as i64];
    let numbers = match features.values() {
        Values::F64(numbers) => Tensor::from_slice(numbers),
        Values::F32(numbers) => Tensor::from_slice(numbers),
        Values::U8(numbers) => Tensor::from_slice(numbers).to_kind(Kind::Float),
        _ => {
            let numbers = features.to_f64();
            let numbers =
                numbers.ok_or_else(|| file.wrong(name, format!("is {}; expected numbers", features.describe())))?;
            Tensor::from_slice(&numbers)
        }
    };
    let tensor = numbers.f_view(stored)?.f_transpose(0, 1)?.f_contiguous()?;
    let labels = file.get("labels")?;
    let whole = labels.to_whole();
    let whole =
        whole.ok_or_else(|| file.wrong("labels", format!("is {}; expected whole numbers", labels.describe())))?;
    let turned = *rows != whole.len() && *columns == whole.len();
    Ok((if turned { tensor.f_tr()?.f_contiguous()? } else { tensor }, whole))
}

fn of_tensors(path: &Path) -> Result<(Tensor, Vec<usize>)> {
    let mut state = StateDict::read(path)?;
    let mut take = |name: &str| {
        let found = state.tensors.remove(name);
        found.ok_or_else(|| Error::file(path, format!("holds no {name}; expected features [N, D] and labels [N]")))
    };
    let (features, labels) = (take("features")?, take("labels")?);
    let features = match features.kind() {
        Kind::Double | Kind::Float => features,
        Kind::Int64 | Kind::Int => features.f_to_kind(Kind::Double)?,
        _ => features.f_to_kind(Kind::Float)?,
    };
    let numbers = Vec::<f64>::try_from(labels.f_to_kind(Kind::Double)?.f_view(-1)?)?;
    let whole = |number: &f64| (*number >= 0.0 && number.fract() == 0.0 && *number < 1e15).then_some(*number as usize);
    let whole: Option<Vec<usize>> = numbers.iter().map(whole).collect();
    let whole = whole.ok_or_else(|| Error::file(path, "has labels that are no whole numbers from 0 on"))?;
    Ok((features.f_contiguous()?, whole))
}

/// The first row with a value that is no finite number.
fn first_bad_row(features: &Tensor) -> Result<Option<usize>> {
    let bad = features.f_isfinite()?.f_logical_not()?.f_any_dim(1, false)?;
    let rows = Vec::<bool>::try_from(bad)?;
    Ok(rows.iter().position(|bad| *bad))
}

/// Labels as places in the classes, which have the names of `classes.txt`, whose first line is class `first`, or their numbers.
fn named(path: &Path, labels: Vec<usize>, first: usize) -> Result<(Vec<usize>, Vec<String>)> {
    let file = path.with_file_name("classes.txt");
    if !file.is_file() {
        let numbers: Vec<usize> = labels.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let places = labels.iter().map(|label| numbers.partition_point(|number| number < label)).collect();
        return Ok((places, numbers.iter().map(usize::to_string).collect()));
    }
    let text = std::fs::read_to_string(&file).map_err(Error::io(&file, "cannot read the classes' names"))?;
    let classes: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(String::from).collect();
    let place = |label: usize| label.checked_sub(first).filter(|place| *place < classes.len());
    let places: std::result::Result<Vec<usize>, usize> =
        labels.iter().map(|&label| place(label).ok_or(label)).collect();
    let places = places.map_err(|label| {
        let (count, last) = (classes.len(), first + classes.len());
        Error::file(
            path,
            format!("has label {label}, but {} names the {count} classes {first} to {}", file.display(), last - 1),
        )
    })?;
    Ok((places, classes))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::mat::tests::Writer;
    use super::*;
    use crate::models::formats::write_safetensors;

    /// Three rows of two features, of the classes 2, 5 and 2.
    fn matlab(labels: &[u8]) -> Vec<u8> {
        let writer = Writer { big_endian: false };
        let features = writer.matrix(9, &[3, 2], "fts", &writer.element(2, &[1, 2, 3, 10, 20, 30]));
        writer.file(&[features, writer.matrix(6, &[labels.len() as u32, 1], "labels", &writer.element(2, labels))])
    }

    fn open(name: &str, write: impl Fn(&Path)) -> Result<FeatureSet> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        write(&path);
        FeatureSet::open(&path)
    }

    fn rows(set: &FeatureSet) -> Vec<f64> {
        Vec::<f64>::try_from(set.features.to_kind(Kind::Double).view(-1)).unwrap()
    }

    #[test]
    fn a_matlab_file_has_its_rows_as_rows() {
        let set = open("amazon.mat", |path| std::fs::write(path, matlab(&[2, 5, 2])).unwrap()).unwrap();
        assert_eq!((set.features.size(), set.features.kind()), (vec![3, 2], Kind::Float));
        assert_eq!(rows(&set), [1.0, 10.0, 2.0, 20.0, 3.0, 30.0]);
        assert_eq!((&set.labels[..], &set.classes[..]), (&[0, 1, 0][..], &["2".to_string(), "5".into()][..]));
        assert_eq!((set.len(), set.dimensions(), set.is_empty()), (3, 2, false));
        let named = |labels: [u8; 3]| {
            open("amazon.mat", move |path| {
                std::fs::write(path, matlab(&labels)).unwrap();
                std::fs::write(path.with_file_name("classes.txt"), "backpack\nbike\n").unwrap();
            })
        };
        let set = named([1, 2, 2]).unwrap();
        assert_eq!((&set.labels[..], set.classes[1].as_str()), (&[0, 1, 1][..], "bike"));
        for labels in [[1, 2, 3], [0, 1, 2]] {
            let message = named(labels).err().unwrap().to_string();
            assert!(message.contains("names the 2 classes 1 to 2"), "{message}");
        }
    }

    #[test]
    fn tensors_are_read_by_their_names() {
        let write = |features: Tensor, labels: Tensor| {
            move |path: &Path| {
                let tensors = [("features", &features), ("labels", &labels)];
                let tensors = tensors.map(|(name, tensor)| (name.to_string(), tensor.shallow_clone()));
                write_safetensors(path, &StateDict::new(tensors.into(), BTreeMap::new())).unwrap();
            }
        };
        let features = || Tensor::from_slice(&[1.5f64, 2.0, 3.0, 4.0]).view([2, 2]);
        let set = open("x.safetensors", write(features(), Tensor::from_slice(&[7i64, 0]))).unwrap();
        assert_eq!(
            (set.features.kind(), rows(&set), &set.labels[..]),
            (Kind::Double, vec![1.5, 2.0, 3.0, 4.0], &[1, 0][..])
        );
        let message = |features, labels| open("x.safetensors", write(features, labels)).err().unwrap().to_string();
        assert!(message(features(), Tensor::from_slice(&[1i64])).contains("1 labels for 2 rows"));
        assert!(message(features(), Tensor::from_slice(&[0.5f32, 1.0])).contains("no whole numbers"));
        assert!(
            message(features().view(-1), Tensor::from_slice(&[1i64])).contains("shape [4]; expected [rows, columns]")
        );
        let bad = Tensor::from_slice(&[1.0f32, 2.0, f32::NAN, 0.0]).view([2, 2]);
        assert!(message(bad, Tensor::from_slice(&[1i64, 2])).contains("row 1 of its features"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let none = open("x.mat", |path| {
            let writer = Writer { big_endian: false };
            std::fs::write(path, writer.file(&[])).unwrap();
        });
        assert!(none.err().unwrap().to_string().contains("has no variable \"features\""));
        let more = open("x.mat", |path| std::fs::write(path, matlab(&[1, 2, 1, 2])).unwrap());
        assert!(more.err().unwrap().to_string().contains("4 labels for 3 rows"));
    }

    #[test]
    fn a_column_for_each_image_is_turned() {
        let [upright, turned] =
            [&[1, 2, 1][..], &[1, 2]].map(|labels| open("x.mat", |path| std::fs::write(path, matlab(labels)).unwrap()));
        let (upright, turned) = (rows(&upright.unwrap()), rows(&turned.unwrap()));
        let at = |column: usize| upright.chunks(2).map(|row| row[column]).collect::<Vec<f64>>();
        assert_eq!(turned, [at(0), at(1)].concat());
    }
}
