//! What the log says of an epoch: sums of what each batch came to, and how long the batches were waited for.

use std::time::Instant;

use tch::{Kind, Tensor};

use crate::Result;
use crate::eval::{Metric, Unit};
use crate::train::Running;

/// The sums of the logged parts of an epoch so far.
#[derive(Default)]
pub(super) struct Sums(Vec<Sum>);

/// The sum of a logged part, where it was computed: reading it would make the device wait.
struct Sum {
    name: String,
    share: bool,
    sum: Tensor,
    count: u64,
}

impl Sums {
    /// Takes in what a batch came to.
    pub(super) fn add(&mut self, name: &str, share: bool, value: &Tensor) -> Result<()> {
        let value = value.detach().f_to_kind(Kind::Double)?;
        match self.0.iter_mut().find(|sum| sum.name == name) {
            Some(known) => (known.sum, known.count) = (known.sum.f_add(&value)?, known.count + 1),
            None => self.0.push(Sum { name: name.to_string(), share, sum: value, count: 1 }),
        }
        Ok(())
    }

    /// The means: of losses, and of shares.
    pub(super) fn means(&self) -> Result<(Vec<Metric>, Vec<Metric>)> {
        let (mut losses, mut shares) = (vec![], vec![]);
        for Sum { name, share, sum, count } in &self.0 {
            let mean = f64::try_from(sum)? / *count as f64;
            match share {
                true => shares.push(Metric::higher(name, mean, Unit::Fraction)),
                false => losses.push(Metric::lower(name, mean, Unit::Nats)),
            }
        }
        Ok((losses, shares))
    }

    /// The sums, for a checkpoint.
    pub(super) fn on_the_host(&self) -> Result<Vec<Running>> {
        let read = |Sum { name, share, sum, count }: &Sum| {
            Ok(Running { name: name.clone(), share: *share, sum: f64::try_from(sum)?, count: *count })
        };
        self.0.iter().map(read).collect()
    }
}

impl From<&[Running]> for Sums {
    fn from(saved: &[Running]) -> Self {
        let sum = |Running { name, share, sum, count }: Running| Sum { name, share, sum: Tensor::from(sum), count };
        Self(saved.iter().cloned().map(sum).collect())
    }
}

/// What happened since the last line of the log.
pub(super) struct Window {
    pub(super) since: Instant,
    pub(super) images: u64,
    pub(super) waited: f64,
}

impl Default for Window {
    fn default() -> Self {
        Self { since: Instant::now(), images: 0, waited: 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_go_on_from_where_a_checkpoint_left_them() -> Result<()> {
        let mut sums = Sums::default();
        for value in [1f32, 2.0] {
            sums.add("loss", false, &Tensor::from(value))?;
            sums.add("accuracy", true, &Tensor::from(value / 2.0))?;
        }
        let mut resumed = Sums::from(sums.on_the_host()?.as_slice());
        resumed.add("loss", false, &Tensor::from(6f32))?;
        let (losses, shares) = resumed.means()?;
        assert_eq!((losses[0].name.as_str(), losses[0].value), ("loss", 3.0));
        assert_eq!((shares[0].name.as_str(), shares[0].value), ("accuracy", 0.75));
        Ok(())
    }
}
