//! How many images each class has.

use serde::Serialize;

/// The images per class of one split, as data: whoever shows it draws the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClassCounts {
    /// The classes' names, in the order of their labels.
    pub classes: Vec<String>,
    /// How many images each of them has.
    pub counts: Vec<usize>,
}

impl ClassCounts {
    /// Counts `labels`, each an index into `classes`.
    pub fn of(classes: &[String], labels: impl IntoIterator<Item = usize>) -> Self {
        let mut counts = vec![0; classes.len()];
        labels.into_iter().for_each(|label| counts[label] += 1);
        Self { classes: classes.to_vec(), counts }
    }

    /// All images together.
    pub fn total(&self) -> usize {
        self.counts.iter().sum()
    }

    /// Every class with its count, in the order of the labels.
    pub fn iter(&self) -> impl Iterator<Item = (&str, usize)> {
        self.classes.iter().map(String::as_str).zip(self.counts.iter().copied())
    }

    /// The classes without an image.
    pub fn empty(&self) -> impl Iterator<Item = &str> {
        self.iter().filter(|(_, count)| *count == 0).map(|(class, _)| class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_without_images_are_counted_too() {
        let classes = ["ant", "bee", "cat"].map(String::from);
        let counts = ClassCounts::of(&classes, [2, 0, 2]);
        assert_eq!(counts.iter().collect::<Vec<_>>(), [("ant", 1), ("bee", 0), ("cat", 2)]);
        assert_eq!(counts.total(), 3);
        assert_eq!(counts.empty().collect::<Vec<_>>(), ["bee"]);
    }
}
