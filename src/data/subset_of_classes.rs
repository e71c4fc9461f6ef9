//! Some classes of a set, as a set of its own: images of the others are left out, and labels count anew; or all of them as one.

use std::sync::Arc;

use image::RgbImage;

use super::{Choose, ImageSet, Labelled, Part};
use crate::{Error, Result};

/// The images of some classes of a set.
struct ClassSubset {
    set: Labelled,
    classes: Vec<String>,
    /// Positions in `set`, ascending.
    positions: Vec<usize>,
    /// The new label of each old one.
    labels: Vec<Option<usize>>,
}

impl Labelled {
    /// The images of the classes named, whose labels are then their places in `names`.
    ///
    /// # Errors
    /// A name that is no class of the set or stands there twice, or fewer than two names.
    pub fn with_classes(&self, names: &[String]) -> Result<Self> {
        let all = self.classes();
        if let Some(unknown) = names.iter().find(|name| !all.contains(name)) {
            return Err(Error::Usage(format!("--classes: {unknown:?} is none of the classes {}", all.join(", "))));
        }
        if let Some((_, twice)) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
            return Err(Error::Usage(format!("--classes: {twice:?} is named twice")));
        }
        if names.len() < 2 {
            return Err(Error::Usage("--classes: at least two are needed".into()));
        }
        let labels: Vec<Option<usize>> = all.iter().map(|class| names.iter().position(|name| name == class)).collect();
        let positions = (0..self.len()).filter(|&at| labels[self.label(at)].is_some()).collect();
        Ok(Self::new(Arc::new(ClassSubset { set: self.clone(), classes: names.to_vec(), positions, labels })))
    }

    /// The same images as if all were of one class, which has no name.
    pub(super) fn as_one_class(&self) -> Self {
        let (positions, labels) = ((0..self.len()).collect(), vec![Some(0); self.classes().len()]);
        Self::new(Arc::new(ClassSubset { set: self.clone(), classes: vec![String::new()], positions, labels }))
    }
}

impl ImageSet for ClassSubset {
    fn len(&self) -> usize {
        self.positions.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> usize {
        self.labels[self.set.label(self.positions[index])].expect("only images of these classes")
    }

    fn name(&self, index: usize) -> String {
        self.set.name(self.positions[index])
    }

    fn fingerprint(&self, index: usize) -> Result<String> {
        self.set.fingerprint(self.positions[index])
    }

    fn load(&self, index: usize) -> Result<RgbImage> {
        self.set.load(self.positions[index])
    }

    fn load_shared(&self, index: usize) -> Result<Arc<RgbImage>> {
        self.set.load_shared(self.positions[index])
    }

    fn load_part(&self, index: usize, side: u32, choose: Choose) -> Result<Part> {
        self.set.load_part(self.positions[index], side, choose)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{SyntheticOptions, SyntheticSet};

    fn four_classes() -> Labelled {
        Labelled::new(Arc::new(SyntheticSet::new(SyntheticOptions { classes: 4, per_class: 3, ..Default::default() })))
    }

    #[test]
    fn images_keep_their_pixels_and_get_the_label_of_their_name() {
        let all = four_classes();
        let names = [all.classes()[3].clone(), all.classes()[1].clone()];
        let some = all.with_classes(&names).unwrap();
        assert_eq!((some.len(), some.classes()), (6, names.as_slice()));
        for index in 0..some.len() {
            let position = (0..all.len()).find(|&at| all.name(at) == some.name(index)).unwrap();
            assert_eq!(names[some.label(index)], all.classes()[all.label(position)]);
            assert_eq!(some.load(index).unwrap(), all.load(position).unwrap());
        }
        assert_eq!(some.class_counts().counts, [3, 3]);
    }

    #[test]
    fn wrong_names_are_said() {
        let all = four_classes();
        let message = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
            all.with_classes(&names).err().unwrap().to_string()
        };
        let [a, b] = [0, 1].map(|at| all.classes()[at].clone());
        assert!(message(&[&a, "unicorn"]).contains("\"unicorn\" is none of the classes"));
        assert!(message(&[&a, &b, &a]).contains("named twice"));
        assert!(message(&[&a]).contains("at least two"));
    }
}
