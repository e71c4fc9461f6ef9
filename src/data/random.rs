//! Where randomness in the data pipeline comes from: one independent stream per thing that is drawn.
//!
//! A stream is a function of what it is for, never of a thread, the time or what was drawn before it. So any batch of
//! any epoch can be made again, alone, on any number of threads.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What a stream is for; streams of different purposes have nothing in common, whatever their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The order of an epoch.
    Order = 1,
    /// The order within one class, for balanced sampling.
    Members = 2,
    /// The augmentation of one image.
    Augment = 3,
    /// Mixing the images of one batch.
    Mix = 4,
    /// One image that is made up; its part of the data set takes the place of the epoch.
    Synthesis = 5,
    /// Which images of a set are used at all.
    Choose = 6,
}

/// The stream for `item` of `epoch`: ChaCha with 8 rounds, keyed by all four values.
pub fn stream(seed: u64, purpose: Purpose, epoch: u64, item: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (part, value) in key.chunks_exact_mut(8).zip([seed, purpose as u64, epoch, item]) {
        part.copy_from_slice(&value.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    #[test]
    fn every_part_of_the_key_changes_the_stream() {
        let draws = [
            stream(1, Purpose::Augment, 2, 3).next_u64(),
            stream(2, Purpose::Augment, 2, 3).next_u64(),
            stream(1, Purpose::Mix, 2, 3).next_u64(),
            stream(1, Purpose::Augment, 3, 2).next_u64(),
            stream(1, Purpose::Augment, 2, 4).next_u64(),
        ];
        let distinct: std::collections::BTreeSet<_> = draws.iter().collect();
        assert_eq!(distinct.len(), draws.len());
        assert_eq!(draws[0], stream(1, Purpose::Augment, 2, 3).next_u64());
    }
}
