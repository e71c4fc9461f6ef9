//! How many images of a step are of which task.
//!
//! Task t with n_t images gets the share p_t ∝ n_t^(1/T) of a batch of B: T = 1 is proportional, T → ∞ equal. The numbers are
//! whole by the largest remainder, and none is below a minimum: of a task that is rarely seen the head, and what else is its
//! own, would not learn in every step. What the minimum takes is taken from all others alike.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The rule; written `proportional`, `equal` or `temperature=T` on the command line.
///
/// ```
/// use regraft::methods::both_labelled::multitask::{Sampling, images_per_step};
///
/// let images = [300, 100];
/// assert_eq!(images_per_step(Sampling::Proportional, &images, 32, 1)?, [24, 8]);
/// assert_eq!(images_per_step("temperature=2".parse()?, &images, 32, 1)?, [20, 12]);
/// assert_eq!(images_per_step(Sampling::Equal, &images, 32, 1)?, [16, 16]);
/// # Ok::<(), regraft::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Sampling {
    /// As many as there are images.
    Proportional,
    /// The same for all.
    Equal,
    /// n^(1/T), for a T above 0.
    Temperature(f64),
}

impl std::str::FromStr for Sampling {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let temperature = text.strip_prefix("temperature=").and_then(|number| number.parse().ok());
        match (text, temperature) {
            ("proportional", _) => Ok(Self::Proportional),
            ("equal", _) => Ok(Self::Equal),
            (_, Some(number)) if number > 0.0 && f64::is_finite(number) => Ok(Self::Temperature(number)),
            _ => Err(Error::Usage(format!(
                "`{text}` is none of proportional, equal and temperature=T with a T above 0, as temperature=2"
            ))),
        }
    }
}

impl std::fmt::Display for Sampling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Proportional => f.write_str("proportional"),
            Self::Equal => f.write_str("equal"),
            Self::Temperature(number) => write!(f, "temperature={number}"),
        }
    }
}

crate::options::as_text!(Sampling);

/// How many of `batch` images are of which task, where the tasks have so many `images`: at least `minimum` of each.
///
/// # Errors
/// A batch too small for that.
pub fn images_per_step(sampling: Sampling, images: &[usize], batch: usize, minimum: usize) -> Result<Vec<usize>> {
    let needed = minimum * images.len();
    if batch < needed {
        return Err(Error::Usage(format!(
            "--batch-size {batch} is too small for {} tasks, each of which needs {minimum} in every step; give at least {needed}",
            images.len()
        )));
    }
    // relative to the largest, so that no power overflows
    let largest = images.iter().copied().max().unwrap_or(1).max(1) as f64;
    let wanted: Vec<f64> = images
        .iter()
        .map(|&count| match sampling {
            Sampling::Proportional => count as f64 / largest,
            Sampling::Equal => 1.0,
            Sampling::Temperature(temperature) => (count as f64 / largest).powf(1.0 / temperature),
        })
        .collect();
    let mut at_minimum = vec![false; images.len()];
    loop {
        let free: Vec<usize> = (0..images.len()).filter(|&task| !at_minimum[task]).collect();
        let left = batch - minimum * (images.len() - free.len());
        let total: f64 = free.iter().map(|&task| wanted[task]).sum();
        let quota = |task: usize| left as f64 * wanted[task] / total;
        let short: Vec<usize> = free.iter().copied().filter(|&task| quota(task) < minimum as f64).collect();
        if short.is_empty() {
            return Ok(largest_remainder(images, minimum, left, free, quota));
        }
        short.into_iter().for_each(|task| at_minimum[task] = true);
    }
}

/// Whole numbers that sum to `left` over `free`, next to their quotas; `minimum` for all others. Of equal remainders that of the
/// task with more images comes first.
fn largest_remainder(
    images: &[usize],
    minimum: usize,
    left: usize,
    mut free: Vec<usize>,
    quota: impl Fn(usize) -> f64,
) -> Vec<usize> {
    let mut counts = vec![minimum; images.len()];
    for &task in &free {
        counts[task] = quota(task) as usize;
    }
    let given: usize = free.iter().map(|&task| counts[task]).sum();
    let remainder = |task: usize| quota(task).fract();
    free.sort_by(|&a, &b| remainder(b).total_cmp(&remainder(a)).then(images[b].cmp(&images[a])).then(a.cmp(&b)));
    for &task in free.iter().cycle().take(left.saturating_sub(given)) {
        counts[task] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn counts_fill_the_batch_and_follow_the_images(
            images in prop::collection::vec(1usize..5000, 1..7), batch in 1usize..200, minimum in 1usize..3,
            temperature in 0.2f64..20.0,
        ) {
            for rule in [Sampling::Proportional, Sampling::Equal, Sampling::Temperature(temperature)] {
                let counts = images_per_step(rule, &images, batch, minimum);
                prop_assert_eq!(counts.is_ok(), batch >= minimum * images.len());
                let Ok(counts) = counts else { continue };
                prop_assert_eq!(counts.iter().sum::<usize>(), batch);
                prop_assert!(counts.iter().all(|&count| count >= minimum));
                for (a, count) in counts.iter().enumerate() {
                    for (b, other) in counts.iter().enumerate() {
                        prop_assert!(images[a] <= images[b] || count >= other, "{rule:?} {images:?} {counts:?}");
                    }
                }
            }
        }

        #[test]
        fn temperature_lies_between_proportional_and_equal(
            images in prop::collection::vec(1usize..5000, 1..5), batch in 8usize..200,
        ) {
            let of = |rule| images_per_step(rule, &images, batch, 1).unwrap();
            prop_assert_eq!(of(Sampling::Temperature(1.0)), of(Sampling::Proportional));
            let equal = of(Sampling::Temperature(1e9));
            prop_assert!(equal.iter().max().unwrap() - equal.iter().min().unwrap() <= 1);
            let spread = |counts: Vec<usize>| counts.iter().max().unwrap() - counts.iter().min().unwrap();
            prop_assert!(spread(of(Sampling::Temperature(3.0))) <= spread(of(Sampling::Proportional)) + 1);
        }
    }

    #[test]
    fn what_a_small_task_needs_is_taken_from_the_others() -> Result<()> {
        let counts = |images: &[usize], batch, minimum| images_per_step(Sampling::Proportional, images, batch, minimum);
        assert_eq!(counts(&[1000, 10], 32, 1)?, [31, 1]);
        assert_eq!(counts(&[1000, 10], 32, 2)?, [30, 2]);
        assert_eq!(counts(&[100, 100, 1], 9, 2)?, [4, 3, 2]);
        let message = counts(&[5, 5, 5], 5, 2).unwrap_err().to_string();
        assert!(message.contains("--batch-size 5") && message.contains("at least 6"), "{message}");
        Ok(())
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["proportional", "equal", "temperature=2.5"] {
            assert_eq!(String::from(text.parse::<Sampling>().unwrap()), text);
        }
        for bad in ["", "equally", "temperature", "temperature=", "temperature=0", "temperature=-1", "temperature=inf"]
        {
            assert!(bad.parse::<Sampling>().unwrap_err().to_string().contains("above 0"), "{bad}");
        }
    }
}
