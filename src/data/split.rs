//! Which images are trained on and which are held out: pure functions of labels and a seed.
//!
//! Every class is shuffled by a stream of its own, so a class's share does not change when another class gains an
//! image. Nothing depends on threads, on time or, image sets being sorted, on the order of files on the disk.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::{Error, Result};

/// The images of a set in two parts: positions, ascending; together every position once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// What is trained on.
    pub train: Vec<usize>,
    /// What is not: validation, or the rest of a few-shot set.
    pub rest: Vec<usize>,
}

/// Holds out `fraction` of every class, rounded to whole images, by `seed`.
///
/// A class of two or more images keeps at least one on each side; the only image of a class is trained on.
///
/// # Errors
/// A fraction that is not between 0 and 1, both excluded.
pub fn stratified(labels: &[usize], fraction: f64, seed: u64) -> Result<Split> {
    check_fraction(fraction)?;
    Ok(divide(labels, seed, |members| {
        let held_out = (members as f64 * fraction).round() as usize;
        if members < 2 { members } else { members - held_out.clamp(1, members - 1) }
    }))
}

/// The same where images come in groups, as the frames of films do: a group is held out as a whole or not at all.
///
/// `groups` has a number for each image, and images of one group have one label. Of each class, groups are held out as long
/// as that brings the images that are closer to `fraction`, but of two or more groups at least one and not all.
///
/// # Errors
/// As [`stratified`].
pub fn stratified_groups(labels: &[usize], groups: &[usize], fraction: f64, seed: u64) -> Result<Split> {
    check_fraction(fraction)?;
    let mut split = Split { train: Vec::new(), rest: Vec::new() };
    for (label, members) in members(labels).into_iter().enumerate() {
        let mut together: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        members.iter().for_each(|&position| together.entry(groups[position]).or_default().push(position));
        let mut together: Vec<Vec<usize>> = together.into_values().collect();
        together.shuffle(&mut class_stream(seed, label));
        let (wanted, most) = (members.len() as f64 * fraction, together.len().saturating_sub(1));
        let (mut held_out, mut count) = (0, 0);
        for group in &together[..most] {
            // one more group overshoots by less than the one before fell short
            if held_out > 0 && (count + group.len()) as f64 - wanted > wanted - count as f64 {
                break;
            }
            (held_out, count) = (held_out + 1, count + group.len());
        }
        let (rest, train) = together.split_at(held_out);
        split.rest.extend(rest.iter().flatten());
        split.train.extend(train.iter().flatten());
    }
    split.train.sort_unstable();
    split.rest.sort_unstable();
    Ok(split)
}

/// Chooses `n` images of each class to train on, by `seed`; `classes` names the classes in messages.
///
/// With one seed, the choice for a smaller `n` is contained in that for a larger one.
///
/// # Errors
/// `n` of 0, or a class with fewer than `n` images.
pub fn shots(labels: &[usize], classes: &[String], n: usize, seed: u64) -> Result<Split> {
    if n == 0 {
        return Err(Error::Usage("--shots 0: expected at least one image per class".into()));
    }
    let mut counts = vec![0; classes.len()];
    labels.iter().for_each(|&label| counts[label] += 1);
    if let Some(label) = counts.iter().position(|&count| count < n) {
        let (class, count) = (&classes[label], counts[label]);
        return Err(Error::Data(format!(
            "--shots {n}: class {class:?} has only {count} image(s); lower --shots to {} or add images",
            counts.iter().min().unwrap_or(&0)
        )));
    }
    Ok(divide(labels, seed, |_| n))
}

/// Chooses a `share` of each class to train on, by `seed`: rounded to whole images, at least one of each.
///
/// With one seed, the choice for a smaller share is contained in that for a larger one, and both in the order of [`shots`].
///
/// # Errors
/// A share that is not above 0 and at most 1.
pub fn share(labels: &[usize], share: f64, seed: u64) -> Result<Split> {
    if !(share > 0.0 && share <= 1.0) {
        return Err(Error::Usage(format!("--share {share}: expected a number above 0 and at most 1, as 0.05")));
    }
    Ok(divide(labels, seed, |members| ((members as f64 * share).round() as usize).clamp(members.min(1), members)))
}

/// Chooses at most `n` images of each class, by `seed`: all of a class that has no more.
///
/// With one seed, the choice for a smaller `n` is contained in that for a larger one, in the order of [`shots`].
///
/// # Errors
/// `n` of 0.
pub fn at_most(labels: &[usize], n: usize, seed: u64) -> Result<Split> {
    if n == 0 {
        return Err(Error::Usage("--at-most 0: expected at least one image per class".into()));
    }
    Ok(divide(labels, seed, |members| n.min(members)))
}

fn check_fraction(fraction: f64) -> Result<()> {
    if fraction > 0.0 && fraction < 1.0 {
        return Ok(());
    }
    Err(Error::Usage(format!("--val-fraction {fraction}: expected a number above 0 and below 1, as 0.2 for a fifth")))
}

/// The stream that shuffles the class `label`.
fn class_stream(seed: u64, label: usize) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(label as u64);
    random
}

/// Shuffles each class and takes as many of it as `taken` says for its size.
fn divide(labels: &[usize], seed: u64, taken: impl Fn(usize) -> usize) -> Split {
    let mut split = Split { train: Vec::new(), rest: Vec::new() };
    for (label, mut members) in members(labels).into_iter().enumerate() {
        members.shuffle(&mut class_stream(seed, label));
        let (train, rest) = members.split_at(taken(members.len()));
        split.train.extend(train);
        split.rest.extend(rest);
    }
    split.train.sort_unstable();
    split.rest.sort_unstable();
    split
}

/// The positions of every label's images, ascending.
fn members(labels: &[usize]) -> Vec<Vec<usize>> {
    let classes = labels.iter().max().map_or(0, |last| last + 1);
    let mut members = vec![Vec::new(); classes];
    labels.iter().enumerate().for_each(|(position, &label)| members[label].push(position));
    members
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|class| format!("class {class}")).collect()
    }

    fn is_partition(split: &Split, len: usize) -> bool {
        let mut all = [split.train.as_slice(), &split.rest].concat();
        all.sort_unstable();
        split.train.is_sorted() && split.rest.is_sorted() && all.into_iter().eq(0..len)
    }

    fn of_class(part: &[usize], labels: &[usize], class: usize) -> usize {
        part.iter().filter(|&&position| labels[position] == class).count()
    }

    #[test]
    fn a_share_of_every_class_grows_by_the_same_images() {
        let labels: Vec<usize> = (0..100).map(|i| usize::from(i >= 60)).chain([2]).collect();
        let parts: Vec<Split> = [0.05, 0.25, 1.0].iter().map(|&part| share(&labels, part, 3).unwrap()).collect();
        let counts = |split: &Split| [0, 1, 2].map(|class| of_class(&split.train, &labels, class));
        assert_eq!(parts.iter().map(counts).collect::<Vec<_>>(), [[3, 2, 1], [15, 10, 1], [60, 40, 1]]);
        for (smaller, larger) in parts.iter().zip(&parts[1..]) {
            assert!(smaller.train.iter().all(|position| larger.train.contains(position)));
        }
        let few = shots(&labels, &names(3), 1, 3).unwrap();
        assert!(few.train.iter().all(|position| parts[0].train.contains(position)));
        let most = at_most(&labels, 10, 3).unwrap();
        assert_eq!([0, 1, 2].map(|class| of_class(&most.train, &labels, class)), [10, 10, 1]);
        assert!(parts[0].train.iter().all(|position| most.train.contains(position)));
        assert!(at_most(&labels, 0, 3).is_err());
        assert!(
            share(&labels, 0.0, 0).is_err() && share(&labels, 1.1, 0).is_err() && share(&labels, f64::NAN, 0).is_err()
        );
    }

    proptest! {
        #[test]
        fn a_fraction_is_a_stratified_partition(
            labels in prop::collection::vec(0usize..5, 0..80), fraction in 0.01f64..0.99, seed: u64,
        ) {
            let split = stratified(&labels, fraction, seed).unwrap();
            prop_assert!(is_partition(&split, labels.len()));
            for class in 0..5 {
                let (train, rest) = (of_class(&split.train, &labels, class), of_class(&split.rest, &labels, class));
                match train + rest {
                    0 => {}
                    1 => prop_assert_eq!(train, 1),
                    all => {
                        prop_assert!(train >= 1 && rest >= 1);
                        let expected = all as f64 * fraction;
                        let bounded = expected.clamp(1.0, all as f64 - 1.0);
                        prop_assert!((rest as f64 - bounded).abs() <= 0.5 + 1e-9);
                    }
                }
            }
        }

        #[test]
        fn groups_stay_whole_and_the_share_is_as_close_as_they_allow(
            images in prop::collection::vec((0usize..3, 0usize..6), 0..80), fraction in 0.05f64..0.95, seed: u64,
        ) {
            let labels: Vec<usize> = images.iter().map(|image| image.0).collect();
            let groups: Vec<usize> = images.iter().map(|(label, group)| 6 * label + group).collect();
            let split = stratified_groups(&labels, &groups, fraction, seed).unwrap();
            prop_assert!(is_partition(&split, labels.len()));
            let sizes = |part: &[usize], group| part.iter().filter(|&&position| groups[position] == group).count();
            for class in 0..3 {
                let of: Vec<(usize, usize)> = (6 * class..6 * class + 6)
                    .map(|group| (sizes(&split.train, group), sizes(&split.rest, group)))
                    .filter(|sizes| *sizes != (0, 0))
                    .collect();
                prop_assert!(of.iter().all(|(train, rest)| *train == 0 || *rest == 0));
                let held_out = of.iter().filter(|(_, rest)| *rest > 0).count();
                prop_assert!(of.len() < 2 && held_out == 0 || (1..of.len()).contains(&held_out));
                let largest = of.iter().map(|(train, rest)| train + rest).max().unwrap_or(0);
                let [train, rest] = [&split.train, &split.rest].map(|part| of_class(part, &labels, class));
                if held_out > 1 && held_out + 1 < of.len() {
                    prop_assert!((rest as f64 - (train + rest) as f64 * fraction).abs() <= largest as f64);
                }
            }
        }

        #[test]
        fn shots_are_exactly_n_of_each_class_and_nested(
            labels in prop::collection::vec(0usize..4, 0..60), n in 1usize..8, seed: u64,
        ) {
            let classes = names(4);
            let fewest = (0..4).map(|class| labels.iter().filter(|&&label| label == class).count()).min().unwrap();
            let split = shots(&labels, &classes, n, seed);
            prop_assert_eq!(split.is_ok(), n <= fewest);
            if let Ok(split) = split {
                prop_assert!(is_partition(&split, labels.len()));
                for class in 0..4 {
                    prop_assert_eq!(of_class(&split.train, &labels, class), n);
                }
                if n > 1 {
                    let fewer = shots(&labels, &classes, n - 1, seed).unwrap();
                    prop_assert!(fewer.train.iter().all(|position| split.train.contains(position)));
                }
            }
        }

        #[test]
        fn a_class_is_split_alike_whatever_other_classes_hold(others in 0usize..9, seed: u64) {
            let mine = vec![0; 12];
            let mixed = [mine.clone(), vec![1; others]].concat();
            let alone = stratified(&mine, 0.25, seed).unwrap();
            let together = stratified(&mixed, 0.25, seed).unwrap();
            let train: Vec<usize> = together.train.into_iter().filter(|&position| position < 12).collect();
            prop_assert_eq!(alone.train, train);
        }
    }

    /// A split that changed between versions would move training images into the validation set of a resumed run.
    #[test]
    fn a_seed_means_the_same_images_for_ever() {
        let labels: Vec<usize> = (0..20).map(|position| position % 2).collect();
        assert_eq!(stratified(&labels, 0.2, 0).unwrap().rest, GOLDEN_0);
        assert_eq!(stratified(&labels, 0.2, 1).unwrap().rest, GOLDEN_1);
    }

    const GOLDEN_0: [usize; 4] = [0, 3, 6, 11];
    const GOLDEN_1: [usize; 4] = [2, 7, 8, 9];

    #[test]
    fn impossible_wishes_are_named() {
        for fraction in [0.0, 1.0, -0.5, f64::NAN] {
            assert!(matches!(stratified(&[0, 1], fraction, 0), Err(Error::Usage(_))), "{fraction}");
        }
        assert!(matches!(shots(&[0, 1], &names(2), 0, 0), Err(Error::Usage(_))));
        let message = shots(&[0, 0, 1], &names(2), 2, 0).unwrap_err().to_string();
        assert!(message.contains("\"class 1\" has only 1 image"), "{message}");
        assert!(shots(&[0, 0, 1, 1], &names(2), 2, 0).unwrap().rest.is_empty());
    }
}
