//! What of a checkpoint went into a model and what did not: nothing is dropped, broadcast or converted in silence.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;
use tch::Tensor;

use super::{StateDict, dtype_name, unnest::list};
use crate::{Error, Result};

/// A tensor whose shape in the file is not the model's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// Its name in the model.
    pub name: String,
    /// The model's shape.
    pub expected: Vec<i64>,
    /// The file's shape.
    pub found: Vec<i64>,
}

/// A tensor that was loaded with another element type than the file has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conversion {
    /// Its name in the model.
    pub name: String,
    /// The file's type, as PyTorch calls it.
    pub from: String,
    /// The model's type.
    pub to: String,
}

/// A tensor that is called otherwise in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Renaming {
    /// Its name in the model.
    pub name: String,
    /// Its name in the file, or those of its parts.
    pub from: Vec<String>,
}

/// A tensor that has the same elements in the model, in another shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reshaping {
    /// Its name in the model.
    pub name: String,
    /// The file's shape.
    pub from: Vec<i64>,
    /// The model's shape.
    pub to: Vec<i64>,
}

/// How a load went; all lists are sorted by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LoadReport {
    /// Names in the model that got their values from the file.
    pub loaded: Vec<String>,
    /// Names in the model that the file has nothing for, but for batch norm's counters.
    pub missing: Vec<String>,
    /// Batch norm's `num_batches_tracked` that the file does not have: files from before PyTorch 0.4.1 lack them, and only
    /// a batch norm without momentum reads them.
    pub missing_counters: Vec<String>,
    /// Names in the file that the model has no place for.
    pub unexpected: Vec<String>,
    /// Tensors that were left alone because their shapes differ.
    pub shape_mismatch: Vec<Mismatch>,
    /// Names in the file that the caller did not want, such as those of a replaced head.
    pub left_out: Vec<String>,
    /// Loaded tensors whose element type changed on the way.
    pub dtype_converted: Vec<Conversion>,
    /// Whose names the file has, if they are not the model's.
    pub dialect: Option<String>,
    /// Loaded tensors that are called otherwise in the file.
    pub renamed: Vec<Renaming>,
    /// Loaded tensors that have another shape in the file.
    pub reshaped: Vec<Reshaping>,
    /// What was done to find the tensors in the file, in sentences for people.
    pub notes: Vec<String>,
}

/// Copies the tensors of `from` into `targets` of the same name and shape, in place and outside autograd, whatever
/// device they are on. `rename` gives the model's name for a name in the file, or `None` to leave that tensor out. A
/// target of another element type gets converted values, which the report lists; shapes are never broadcast.
///
/// # Errors
/// If two names in the file are given the same name in the model, or libtorch cannot copy. That names or shapes differ
/// is no error here: the caller decides on it by the report, see [`LoadReport::require_clean`].
pub fn load_into(
    targets: &BTreeMap<String, Tensor>,
    from: &StateDict,
    rename: impl Fn(&str) -> Option<String>,
) -> Result<LoadReport> {
    let _guard = tch::no_grad_guard();
    let mut report = LoadReport::default();
    let mut sources: BTreeMap<String, (&str, &Tensor)> = BTreeMap::new();
    for (file_name, tensor) in &from.tensors {
        match rename(file_name) {
            None => report.left_out.push(file_name.clone()),
            Some(name) => {
                if let Some((other, _)) = sources.insert(name.clone(), (file_name, tensor)) {
                    return Err(Error::Model(format!(
                        "`{other}` and `{file_name}` of the checkpoint both stand for `{name}`"
                    )));
                }
            }
        }
    }
    for (name, (file_name, source)) in &sources {
        let Some(target) = targets.get(name) else {
            report.unexpected.push(file_name.to_string());
            continue;
        };
        if target.size() != source.size() {
            let (expected, found) = (target.size(), source.size());
            report.shape_mismatch.push(Mismatch { name: name.clone(), expected, found });
            continue;
        }
        if target.kind() != source.kind() {
            let (from, to) = (dtype_name(source.kind()).to_string(), dtype_name(target.kind()).to_string());
            report.dtype_converted.push(Conversion { name: name.clone(), from, to });
        }
        target.shallow_clone().f_copy_(source)?;
        report.loaded.push(name.clone());
    }
    let missing = targets.keys().filter(|name| !sources.contains_key(*name)).cloned();
    (report.missing_counters, report.missing) = missing.partition(|name| name.ends_with("num_batches_tracked"));
    report.unexpected.sort();
    Ok(report)
}

impl LoadReport {
    /// Whether the file and the model have the same names and shapes, but for what was left out on purpose.
    pub fn is_clean(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.shape_mismatch.is_empty()
    }

    /// Turns a report that is not clean into an error about the file at `path`, which was read as `from` and meant for
    /// `model`. `known` are the names of the tensors of the architectures that the error may point to.
    ///
    /// # Errors
    /// If anything is missing, unexpected or of another shape.
    pub fn require_clean<'a>(
        &self,
        path: impl AsRef<Path>,
        model: &str,
        from: &StateDict,
        known: impl IntoIterator<Item = (&'a str, &'a BTreeSet<String>)>,
    ) -> Result<()> {
        if self.is_clean() {
            return Ok(());
        }
        let total = from.tensors.len();
        let other = likely_architecture(from.names(), known).filter(|guess| guess.0 != model);
        let hint = match other {
            Some((guess, sample)) => {
                format!("the file looks like {guess} (has `{sample}`): choose that model, or other weights")
            }
            None => {
                let sample = list(from.names().take(3).map(|name| format!("`{name}`")));
                format!(
                    "the file has {sample}, …; check that it was saved from {model} by torch.save(model.state_dict(), …)"
                )
            }
        };
        Err(Error::file(
            path,
            match self.loaded.len() {
                0 => format!("none of its {total} tensors fits {model}: {hint}"),
                loaded => format!("only {loaded} of its {total} tensors fit {model} ({}): {hint}", self.faults()),
            },
        ))
    }

    /// Everything in which the file is not just what the model would have written, but for what was left out.
    pub fn deviations(&self) -> Vec<String> {
        let some = |what: &str, names: Vec<&String>| {
            let shown = list(names.iter().map(|name| format!("`{name}`")));
            (!names.is_empty()).then(|| format!("{} {what}: {shown}", names.len()))
        };
        let lists = [
            (!self.is_clean()).then(|| self.faults()),
            some("without a counter", self.missing_counters.iter().collect()),
            some("renamed", self.renamed.iter().map(|one| &one.name).collect()),
            some("reshaped", self.reshaped.iter().map(|one| &one.name).collect()),
            some("converted", self.dtype_converted.iter().map(|one| &one.name).collect()),
        ];
        self.notes.iter().cloned().chain(lists.into_iter().flatten()).collect()
    }

    /// What is not as it should be, in one line.
    fn faults(&self) -> String {
        let names = |names: &[String]| list(names.iter().map(|name| format!("`{name}`")));
        let shape = |bad: &Mismatch| format!("`{}` has {:?} where {:?} is expected", bad.name, bad.found, bad.expected);
        let mut parts = Vec::new();
        if !self.missing.is_empty() {
            parts.push(format!("{} missing: {}", self.missing.len(), names(&self.missing)));
        }
        if !self.unexpected.is_empty() {
            parts.push(format!("{} unexpected: {}", self.unexpected.len(), names(&self.unexpected)));
        }
        if !self.shape_mismatch.is_empty() {
            let count = self.shape_mismatch.len();
            parts.push(format!("{count} of another shape: {}", list(self.shape_mismatch.iter().map(shape))));
        }
        parts.join("; ")
    }
}

impl std::fmt::Display for LoadReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "loaded {} tensors", self.loaded.len())?;
        if let Some(dialect) = &self.dialect {
            write!(f, ", names of {dialect} mapped to the model's")?;
        }
        if let Some(first) = self.reshaped.first() {
            let (count, Reshaping { name, from, to }) = (self.reshaped.len(), first);
            write!(f, "; {count} reshaped, `{name}` from {from:?} to {to:?}")?;
        }
        if !self.left_out.is_empty() {
            let names = list(self.left_out.iter().map(|name| format!("`{name}`")));
            write!(f, "; {} left out: {names}", self.left_out.len())?;
        }
        if !self.is_clean() {
            write!(f, "; {}", self.faults())?;
        }
        if let Some(first) = self.dtype_converted.first() {
            let count = self.dtype_converted.len();
            write!(f, "; {count} converted, `{}` from {} to {}", first.name, first.from, first.to)?;
        }
        Ok(())
    }
}

/// Which of the `known` architectures the `names` of a checkpoint come from, with a name that shows it: the one whose
/// set of names is most alike (intersection over union), if that is at least a half.
pub fn likely_architecture<'a, 'n>(
    names: impl IntoIterator<Item = &'n str>,
    known: impl IntoIterator<Item = (&'a str, &'a BTreeSet<String>)>,
) -> Option<(&'a str, &'n str)> {
    let names: BTreeSet<&str> = names.into_iter().collect();
    let mut best: Option<(f64, &str, &BTreeSet<String>)> = None;
    for (architecture, theirs) in known {
        let common = names.iter().filter(|name| theirs.contains(**name)).count();
        let alike = common as f64 / (names.len() + theirs.len() - common).max(1) as f64;
        if alike >= 0.5 && best.is_none_or(|(score, ..)| alike > score) {
            best = Some((alike, architecture, theirs));
        }
    }
    let (_, architecture, theirs) = best?;
    let sample = names.into_iter().find(|name| theirs.contains(*name))?;
    Some((architecture, sample))
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    fn state(tensors: &[(&str, &[i64])]) -> StateDict {
        let make = |&(name, size): &(&str, &[i64])| (name.to_string(), Tensor::ones(size, tch::kind::FLOAT_CPU));
        StateDict::new(tensors.iter().map(make).collect(), BTreeMap::new())
    }

    fn same(name: &str) -> Option<String> {
        Some(name.to_string())
    }

    #[test]
    fn every_name_ends_in_one_list() {
        let model = state(&[("a", &[2]), ("b", &[2, 3]), ("c", &[1]), ("bn.num_batches_tracked", &[])]).tensors;
        let file = state(&[("a", &[2]), ("b", &[3]), ("d", &[1]), ("head", &[9])]);
        let report = load_into(&model, &file, |name| same(name).filter(|name| name != "head")).unwrap();
        assert_eq!(report.loaded, ["a"]);
        assert_eq!(report.missing, ["c"]);
        assert_eq!(report.missing_counters, ["bn.num_batches_tracked"]);
        assert_eq!(report.unexpected, ["d"]);
        assert_eq!(report.left_out, ["head"]);
        assert_eq!(report.shape_mismatch, [Mismatch { name: "b".into(), expected: vec![2, 3], found: vec![3] }]);
        assert!(!report.is_clean());
        assert_eq!(
            report.to_string(),
            "loaded 1 tensors; 1 left out: `head`; 1 missing: `c`; 1 unexpected: `d`; 1 of another shape: `b` has [3] where \
             [2, 3] is expected"
        );
    }

    #[test]
    fn values_arrive_in_leaves_that_ask_for_gradients_and_conversions_are_told() {
        let target = Tensor::zeros([2], (Kind::Half, tch::Device::Cpu)).set_requires_grad(true);
        let model = BTreeMap::from([("w".to_string(), target)]);
        let report = load_into(&model, &state(&[("w", &[2])]), same).unwrap();
        assert_eq!(Vec::<f32>::try_from(model["w"].to_kind(Kind::Float)).unwrap(), [1.0, 1.0]);
        assert!(model["w"].requires_grad() && model["w"].is_leaf());
        assert_eq!(
            report.dtype_converted[0],
            Conversion { name: "w".into(), from: "float32".into(), to: "float16".into() }
        );
        assert!(report.is_clean());
    }

    #[test]
    fn nothing_is_broadcast() {
        let model = state(&[("w", &[2, 2])]).tensors;
        let _ = model["w"].shallow_clone().zero_();
        let report = load_into(&model, &state(&[("w", &[1])]), same).unwrap();
        assert_eq!(report.shape_mismatch.len(), 1);
        assert_eq!(f64::try_from(model["w"].sum(Kind::Double)).unwrap(), 0.0);
    }

    #[test]
    fn two_names_for_one_place_are_an_error() {
        let error = load_into(&BTreeMap::new(), &state(&[("a", &[1]), ("b", &[1])]), |_| same("x")).unwrap_err();
        assert_eq!(error.to_string(), "`a` and `b` of the checkpoint both stand for `x`");
    }

    #[test]
    fn the_wrong_architecture_is_recognised() {
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<BTreeSet<_>>();
        let (resnet, lite) = (names(&["conv1.weight", "fc.bias"]), names(&["_blocks.0.weight", "_fc.bias"]));
        let known = [("resnet18", &resnet), ("efficientnet_lite0", &lite)];
        let file = state(&[("_blocks.0.weight", &[1]), ("_fc.bias", &[1])]);
        let model = state(&[("conv1.weight", &[1]), ("fc.bias", &[1])]).tensors;
        let report = load_into(&model, &file, same).unwrap();
        let error = report.require_clean("w.pth", "resnet18", &file, known).unwrap_err().to_string();
        assert_eq!(
            error,
            "w.pth: none of its 2 tensors fits resnet18: the file looks like efficientnet_lite0 (has `_blocks.0.weight`): \
             choose that model, or other weights"
        );
        let odd = report.require_clean("w.pth", "resnet18", &state(&[("x", &[1])]), known).unwrap_err().to_string();
        assert!(odd.contains("has `x`"), "{odd}");
    }
}
