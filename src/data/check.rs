//! Decoding a whole set once, to know which of its images are broken before training begins.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use serde::Serialize;

use super::{ImageSet, Labelled};
use crate::Error;

/// An image that could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// What the set calls it: its path, or `file[number]`.
    pub name: String,
    /// Why it could not be decoded.
    pub reason: String,
}

/// Decodes every image of `data` on all cores and returns those that can be decoded, and a list of the others in the
/// set's order.
///
/// `progress` is called now and then with the number of images that are done and of all images.
pub fn leave_out_broken(data: &Labelled, progress: &dyn Fn(usize, usize)) -> (Labelled, Vec<Broken>) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(data.len().max(1));
    let next = AtomicUsize::new(0);
    let (sender, results) = mpsc::channel();
    let mut broken = std::thread::scope(|scope| {
        for _ in 0..threads {
            let (next, sender) = (&next, sender.clone());
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= data.len() || sender.send((index, data.load(index).err())).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut broken = Vec::new();
        for (done, (index, error)) in results.iter().enumerate() {
            broken.extend(error.map(|error| (index, error)));
            progress(done + 1, data.len());
        }
        broken
    });
    broken.sort_unstable_by_key(|(index, _)| *index);
    let sound: Vec<usize> =
        (0..data.len()).filter(|index| broken.binary_search_by_key(index, |(index, _)| *index).is_err()).collect();
    let broken =
        broken.into_iter().map(|(index, error)| Broken { name: data.name(index), reason: reason(error) }).collect();
    (data.subset(&sound), broken)
}

/// The message without the path, which [`Broken`] already has.
fn reason(error: Error) -> String {
    match error {
        Error::File { reason, .. } => reason,
        Error::Io { action, source, .. } => format!("{action}: {source}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use image::RgbImage;

    use super::*;
    use crate::Result;

    /// Every fifth image is broken.
    struct Fifths(Vec<String>);

    impl ImageSet for Fifths {
        fn len(&self) -> usize {
            33
        }
        fn classes(&self) -> &[String] {
            &self.0
        }
        fn label(&self, _: usize) -> usize {
            0
        }
        fn name(&self, index: usize) -> String {
            format!("image {index}")
        }
        fn load(&self, index: usize) -> Result<RgbImage> {
            if index.is_multiple_of(5) { Err(Error::file("somewhere", "torn")) } else { Ok(RgbImage::new(1, 1)) }
        }
    }

    #[test]
    fn the_broken_are_listed_in_order_and_the_others_kept() {
        let data = Labelled::new(Arc::new(Fifths(vec!["only".into()])));
        let seen = Cell::new((0, 0));
        let (sound, broken) = leave_out_broken(&data, &|done, all| seen.set((done, all)));
        assert_eq!(seen.get(), (33, 33));
        assert_eq!(sound.len(), 26);
        assert_eq!((sound.name(0).as_str(), sound.name(25).as_str()), ("image 1", "image 32"));
        let names: Vec<_> = broken.iter().map(|broken| broken.name.as_str()).collect();
        assert_eq!(names, ["image 0", "image 5", "image 10", "image 15", "image 20", "image 25", "image 30"]);
        assert!(broken.iter().all(|broken| broken.reason == "torn"));
    }
}
