//! The order in which an epoch visits the images: a pure function of seed and epoch, so that any epoch can be begun,
//! or continued, without the ones before it.

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::random::{Purpose, stream};

/// How an epoch chooses and orders images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampler {
    /// Every image once, as they are stored.
    Sequential,
    /// Every image once, in a new random order each epoch.
    Shuffled {
        /// The seed of all orders.
        seed: u64,
    },
    /// Every class equally often, in random order; an epoch is as long as the set.
    ///
    /// A class goes through its images in shuffled passes that continue from epoch to epoch. So images of a small
    /// class come several times in an epoch, and each image of a large class comes once before any comes again.
    Balanced {
        /// The seed of all orders.
        seed: u64,
    },
}

impl Sampler {
    /// The order of `epoch` over images with these `labels`: as many positions in `labels` as it has.
    pub fn order(&self, epoch: u64, labels: &[usize]) -> Vec<usize> {
        match *self {
            Self::Sequential => (0..labels.len()).collect(),
            Self::Shuffled { seed } => {
                let mut order: Vec<usize> = (0..labels.len()).collect();
                order.shuffle(&mut stream(seed, Purpose::Order, epoch, 0));
                order
            }
            Self::Balanced { seed } => balanced(seed, epoch, labels),
        }
    }
}

fn balanced(seed: u64, epoch: u64, labels: &[usize]) -> Vec<usize> {
    let highest = labels.iter().max().map_or(0, |&label| label + 1);
    let mut members = vec![Vec::new(); highest];
    for (index, &label) in labels.iter().enumerate() {
        members[label].push(index);
    }
    members.retain(|class| !class.is_empty());
    let (images, classes) = (labels.len() as u64, members.len() as u64);
    let mut order = Vec::with_capacity(labels.len());
    for (class, members) in members.iter().enumerate() {
        // How many images the class has given before an epoch. Over all classes these add up to images × epoch
        // (Hermite's identity), so every epoch has exactly its length and no class is ever more than one image ahead.
        let given = |epoch: u64| (images * epoch + class as u64) / classes;
        let (mut next, end) = (given(epoch), given(epoch + 1));
        let size = members.len() as u64;
        while next < end {
            let (pass, start) = (next / size, next % size);
            let mut shuffled = members.clone();
            shuffled.shuffle(&mut stream(seed, Purpose::Members, pass, class as u64));
            let taken = (size - start).min(end - next);
            order.extend_from_slice(&shuffled[start as usize..(start + taken) as usize]);
            next += taken;
        }
    }
    order.shuffle(&mut stream(seed, Purpose::Order, epoch, 1));
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts(values: impl IntoIterator<Item = usize>, length: usize) -> Vec<usize> {
        let mut counts = vec![0; length];
        values.into_iter().for_each(|value| counts[value] += 1);
        counts
    }

    fn spread(counts: impl Iterator<Item = usize> + Clone) -> usize {
        counts.clone().max().unwrap_or(0) - counts.min().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn shuffled_visits_every_image_once(labels in prop::collection::vec(0usize..4, 0..40), epoch in 0u64..9, seed: u64) {
            let mut order = Sampler::Shuffled { seed }.order(epoch, &labels);
            order.sort_unstable();
            prop_assert_eq!(order, (0..labels.len()).collect::<Vec<_>>());
        }

        #[test]
        fn balanced_draws_classes_equally(labels in prop::collection::vec(0usize..5, 1..60), epoch in 0u64..9, seed: u64) {
            let order = Sampler::Balanced { seed }.order(epoch, &labels);
            prop_assert_eq!(order.len(), labels.len());
            let present = counts(labels.iter().copied(), 5);
            let drawn = counts(order.iter().map(|&index| labels[index]), 5);
            prop_assert!(drawn.iter().zip(&present).all(|(&drawn, &present)| present > 0 || drawn == 0));
            prop_assert!(spread(drawn.iter().zip(&present).filter(|(_, present)| **present > 0).map(|(&d, _)| d)) <= 1);
        }

        #[test]
        fn balanced_uses_up_a_class_before_it_repeats(labels in prop::collection::vec(0usize..4, 1..40), seed: u64) {
            let mut seen = vec![0; labels.len()];
            for epoch in 0..7 {
                Sampler::Balanced { seed }.order(epoch, &labels).into_iter().for_each(|index| seen[index] += 1);
                for class in 0..4 {
                    let of_class = seen.iter().zip(&labels).filter(|(_, label)| **label == class).map(|(&seen, _)| seen);
                    prop_assert!(spread(of_class) <= 1);
                }
            }
        }
    }

    #[test]
    fn an_order_depends_on_seed_and_epoch_only() {
        let labels: Vec<usize> = (0..50).map(|index| index % 3).collect();
        for of in [|seed| Sampler::Shuffled { seed }, |seed| Sampler::Balanced { seed }] {
            assert_eq!(of(1).order(4, &labels), of(1).order(4, &labels));
            assert_ne!(of(1).order(4, &labels), of(1).order(5, &labels));
            assert_ne!(of(1).order(4, &labels), of(2).order(4, &labels));
        }
        assert_eq!(Sampler::Sequential.order(7, &labels), (0..50).collect::<Vec<_>>());
    }
}
