//! Classes in a hierarchy: how near a wrong answer is.
//!
//! Frome et al. 2013, "DeViSE", section 4.2 and appendix B: the *hierarchical precision at k* is the share of the k best classes that lie near the
//! true one. Near are all classes within the smallest number of steps along the links of the hierarchy, up or down, within which there are at least
//! k, the true one among them.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use tch::Tensor;

use crate::{Error, Result};

/// Steps between every two classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    steps: Vec<Vec<usize>>,
}

impl Hierarchy {
    /// Reads a file whose lines are `child,parent`, of which a name may have several; a first line `child,parent` is a title.
    ///
    /// # Errors
    /// A file that cannot be read, a line that is no pair, a class that is not there or that nothing links to another.
    pub fn open(path: &Path, classes: &[String]) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path, "cannot read the hierarchy"))?;
        let mut pairs = vec![];
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let pair = line.split_once(',').map(|(child, parent)| (child.trim(), parent.trim()));
            match pair.filter(|(child, parent)| !child.is_empty() && !parent.is_empty() && !parent.contains(',')) {
                Some(("child", "parent")) if number == 0 => {}
                Some(pair) => pairs.push(pair),
                None => return Err(Error::file(path, format!("line {} is not `child,parent`: {line}", number + 1))),
            }
        }
        Self::of(&pairs, classes).map_err(|reason| Error::file(path, reason))
    }

    /// Of pairs of child and parent.
    fn of(pairs: &[(&str, &str)], classes: &[String]) -> std::result::Result<Self, String> {
        let mut near: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for &(child, parent) in pairs {
            near.entry(child).or_default().push(parent);
            near.entry(parent).or_default().push(child);
        }
        if let Some(class) = classes.iter().find(|class| !near.contains_key(class.as_str())) {
            return Err(format!("does not have the class {class}"));
        }
        let from = |class: &String| -> std::result::Result<Vec<usize>, String> {
            let (mut steps, mut next) = (BTreeMap::from([(class.as_str(), 0)]), VecDeque::from([class.as_str()]));
            while let Some(node) = next.pop_front() {
                for &neighbour in &near[node] {
                    if !steps.contains_key(neighbour) {
                        steps.insert(neighbour, steps[node] + 1);
                        next.push_back(neighbour);
                    }
                }
            }
            let to = |other: &String| steps.get(other.as_str()).copied();
            classes.iter().map(|other| to(other).ok_or(format!("links {class} to {other} by nothing"))).collect()
        };
        Ok(Self { steps: classes.iter().map(from).collect::<std::result::Result<_, _>>()? })
    }

    /// The hierarchical precision at `k`, averaged over images.
    ///
    /// # Shapes
    /// `scores: [N, C]` for the classes of the hierarchy, higher is better; `labels: [N]` below C; `k` at most C
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn precision(&self, scores: &Tensor, labels: &[usize], k: usize) -> Result<f64> {
        let (images, classes) = scores.size2()?;
        if images != labels.len() as i64 || classes != self.steps.len() as i64 || k == 0 || k > self.steps.len() {
            let (labels, known) = (labels.len(), self.steps.len());
            return Err(Error::Data(format!(
                "the {k} best of scores [{images}, {classes}] for {labels} labels and a hierarchy of {known} classes"
            )));
        }
        let best = Vec::<Vec<i64>>::try_from(&scores.f_topk(k as i64, 1, true, true)?.1)?;
        let mut share = 0.0;
        for (best, &label) in best.iter().zip(labels) {
            let steps = self.steps.get(label).ok_or_else(|| Error::Data(format!("the label {label} is no class")))?;
            let mut sorted = steps.clone();
            sorted.sort_unstable();
            share += best.iter().filter(|&&class| steps[class as usize] <= sorted[k - 1]).count() as f64 / k as f64;
        }
        Ok(share / images.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_are_so_many_steps_that_there_are_k() -> Result<()> {
        // cats and dogs, two of each, and a fish far away
        let pairs = [
            ("lion", "cat"),
            ("tiger", "cat"),
            ("wolf", "dog"),
            ("fox", "dog"),
            ("cat", "mammal"),
            ("dog", "mammal"),
            ("mammal", "animal"),
            ("fish", "animal"),
        ];
        let classes = ["lion", "tiger", "wolf", "fox", "fish"].map(String::from);
        let hierarchy = Hierarchy::of(&pairs, &classes).unwrap();
        assert_eq!(hierarchy.steps[0], [0, 2, 4, 4, 4]);
        let scores = Tensor::from_slice2(&[[1f32, 2.0, 3.0, 0.0, -1.0], [5.0, 4.0, 0.0, 0.0, 1.0]]);
        let of = |k| hierarchy.precision(&scores, &[0, 0], k).unwrap();
        // the first image: wolf, tiger, lion; the second: lion, tiger, fish
        assert_eq!((of(1), of(2)), (0.5, 0.75));
        // three need four steps, within which all lie
        assert_eq!(of(3), 1.0);
        assert!(hierarchy.precision(&scores, &[0, 0], 6).is_err() && hierarchy.precision(&scores, &[0], 1).is_err());
        let other = ["lion", "bird"].map(String::from);
        assert!(Hierarchy::of(&pairs, &other).unwrap_err().contains("does not have the class bird"));
        let apart = [("lion", "cat"), ("wolf", "dog")];
        assert!(Hierarchy::of(&apart, &["lion", "wolf"].map(String::from)).unwrap_err().contains("by nothing"));
        Ok(())
    }
}
