//! The label firewall: data with labels, data without, and labels that only [`crate::eval`] can open.
//!
//! Where a method works on an unlabelled target, a benchmark has labels for that target all the same, to score it at
//! the end. Results are then easily too good: the labels choose the epoch or balance the batches, and nobody notices.
//! So here what a method receives is a type. [`Labelled::forget_labels`] parts a set into [`Unlabelled`], which has
//! images and no way to a label, and [`HeldOut`], which has labels and no way to open them but [`crate::eval`], whose
//! scores of that kind are headed *oracle*.
//!
//! What remains visible is what lies outside labels: the order of the images, which a sampler shuffles, and their
//! names, which are for messages only; both may hint at a class where folders are classes.

use std::sync::Arc;

use image::RgbImage;

use super::{Choose, ClassCounts, ImageSet, Part};
use crate::Result;
use crate::eval::OracleKey;

/// Images with their labels: a whole [`ImageSet`] or some of its images. Cheap to clone.
#[derive(Clone)]
pub struct Labelled {
    images: Unlabelled,
}

impl Labelled {
    /// All images of `set`.
    pub fn new(set: Arc<dyn ImageSet>) -> Self {
        let indices = (0..set.len()).collect();
        Self { images: Unlabelled { set, indices } }
    }

    /// The images at `positions`, in that order; one may be taken more than once.
    ///
    /// # Panics
    /// A position beyond [`len`](ImageSet::len), as a slice would.
    pub fn subset(&self, positions: &[usize]) -> Self {
        Self { images: self.images.subset(positions) }
    }

    /// The label of every image, in order.
    pub fn labels(&self) -> Vec<usize> {
        (0..self.len()).map(|position| self.label(position)).collect()
    }

    /// How many images each class has.
    pub fn class_counts(&self) -> ClassCounts {
        ClassCounts::of(self.classes(), (0..self.len()).map(|position| self.label(position)))
    }

    /// Parts the images from their labels, which only [`crate::eval`] can open from here on.
    pub fn forget_labels(self) -> (Unlabelled, HeldOut) {
        let classes = self.classes().to_vec();
        self.forget_labels_among(&classes)
    }

    /// The same, with labels that number the `classes` of another set by their names. An image of a class that is none of these
    /// has no label then, and counts in no score.
    pub fn forget_labels_among(self, classes: &[String]) -> (Unlabelled, HeldOut) {
        let held_out = HeldOut::among(&self.labels(), self.classes(), classes);
        (self.images, held_out)
    }
}

impl ImageSet for Labelled {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn classes(&self) -> &[String] {
        self.images.set.classes()
    }

    fn label(&self, index: usize) -> usize {
        self.images.set.label(self.images.indices[index])
    }

    fn name(&self, index: usize) -> String {
        self.images.name(index)
    }

    fn fingerprint(&self, index: usize) -> Result<String> {
        self.images.set.fingerprint(self.images.indices[index])
    }

    fn load(&self, index: usize) -> Result<RgbImage> {
        self.images.load(index)
    }

    fn load_shared(&self, index: usize) -> Result<Arc<RgbImage>> {
        self.images.set.load_shared(self.images.indices[index])
    }

    fn load_part(&self, index: usize, side: u32, choose: Choose) -> Result<Part> {
        self.images.set.load_part(self.images.indices[index], side, choose)
    }
}

/// Images whose labels cannot be had. Cheap to clone.
///
/// ```
/// use regraft::data::{ImageSet, Labelled, SyntheticOptions, SyntheticSet};
///
/// let set = SyntheticSet::new(SyntheticOptions { classes: 3, per_class: 2, ..Default::default() });
/// let labelled = Labelled::new(std::sync::Arc::new(set));
/// assert_eq!(labelled.label(5), 2);
/// let (unlabelled, _) = labelled.forget_labels();
/// assert_eq!(unlabelled.len(), 6);
/// ```
///
/// The same with a label asked of it does not compile:
///
/// ```compile_fail,E0599
/// use regraft::data::{ImageSet, Labelled, SyntheticOptions, SyntheticSet};
///
/// let set = SyntheticSet::new(SyntheticOptions { classes: 3, per_class: 2, ..Default::default() });
/// let labelled = Labelled::new(std::sync::Arc::new(set));
/// let (unlabelled, _) = labelled.forget_labels();
/// assert_eq!(unlabelled.label(5), 2);
/// ```
#[derive(Clone)]
pub struct Unlabelled {
    set: Arc<dyn ImageSet>,
    indices: Vec<usize>,
}

impl Unlabelled {
    /// How many images there are.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// What a message calls image `index`.
    pub fn name(&self, index: usize) -> String {
        self.set.name(self.indices[index])
    }

    /// Decodes image `index`, upright, to 8-bit RGB.
    ///
    /// # Errors
    /// A file that cannot be read or decoded, named.
    pub fn load(&self, index: usize) -> Result<RgbImage> {
        self.set.load(self.indices[index])
    }

    /// The images for whoever wants labels as well: all have label 0, of a class without a name.
    pub fn of_one_class(&self) -> Labelled {
        Labelled { images: self.clone() }.as_one_class()
    }

    /// The images at `positions`, in that order; take the same [`HeldOut::subset`].
    ///
    /// # Panics
    /// A position beyond [`len`](Self::len), as a slice would.
    pub fn subset(&self, positions: &[usize]) -> Self {
        let indices = positions.iter().map(|&position| self.indices[position]).collect();
        Self { set: Arc::clone(&self.set), indices }
    }
}

/// The labels that [`Labelled::forget_labels`] took away, one for each image of its [`Unlabelled`].
///
/// They are not printed, not serialised and not iterated over. Opening them takes a key that only [`crate::eval`] can
/// make, so a method that tries does not compile:
///
/// ```compile_fail,E0624
/// let open = regraft::data::HeldOut::open;
/// ```
#[derive(Clone)]
pub struct HeldOut {
    labels: Vec<Option<usize>>,
    classes: Vec<String>,
}

impl HeldOut {
    /// Labels that number the classes `own`, renumbered by name as places in `classes`.
    pub(super) fn among(labels: &[usize], own: &[String], classes: &[String]) -> Self {
        let number: Vec<Option<usize>> =
            own.iter().map(|name| classes.iter().position(|class| class == name)).collect();
        Self { labels: labels.iter().map(|&label| number[label]).collect(), classes: classes.to_vec() }
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The classes' names; which image has which stays hidden.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The labels of the images at `positions`, in that order.
    ///
    /// # Panics
    /// A position beyond [`len`](Self::len), as a slice would.
    pub fn subset(&self, positions: &[usize]) -> Self {
        let labels = positions.iter().map(|&position| self.labels[position]).collect();
        Self { labels, classes: self.classes.clone() }
    }

    /// The labels, for whoever holds the key; none where an image is of no class that is known.
    pub(crate) fn open(&self, _key: &OracleKey) -> &[Option<usize>] {
        &self.labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{SyntheticOptions, SyntheticSet};

    fn three_classes() -> Labelled {
        Labelled::new(Arc::new(SyntheticSet::new(SyntheticOptions { classes: 3, per_class: 4, ..Default::default() })))
    }

    #[test]
    fn a_subset_of_a_subset_keeps_image_and_label_together() {
        let all = three_classes();
        let some = all.subset(&[11, 0, 7, 7]).subset(&[3, 0]);
        assert_eq!(some.labels(), [all.label(7), all.label(11)]);
        assert_eq!(some.name(1), all.name(11));
        assert_eq!(some.load(0).unwrap(), all.load(7).unwrap());
        assert_eq!(some.class_counts().counts, [0, 1, 1]);
    }

    #[test]
    fn images_without_labels_all_look_like_one_class() {
        let all = three_classes();
        let (unlabelled, _) = all.clone().forget_labels();
        let same = unlabelled.subset(&[7, 2]).of_one_class();
        assert_eq!((same.labels(), same.classes().len()), (vec![0, 0], 1));
        assert_eq!((same.name(1), same.load(0).unwrap()), (all.name(2), all.load(7).unwrap()));
        assert_eq!(same.fingerprint(0).ok(), all.fingerprint(7).ok());
    }

    #[test]
    fn forgetting_changes_no_image_and_no_order() {
        let all = three_classes();
        let (unlabelled, held_out) = all.clone().forget_labels();
        assert_eq!((unlabelled.len(), held_out.len()), (12, 12));
        for index in 0..12 {
            assert_eq!(unlabelled.name(index), all.name(index));
        }
        assert_eq!(unlabelled.subset(&[5]).load(0).unwrap(), all.load(5).unwrap());
        assert_eq!(held_out.subset(&[5, 1]).len(), 2);
    }
}
