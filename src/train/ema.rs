//! An exponential moving average of the weights, which often generalises better than the last ones
//! (Polyak & Juditsky 1992).

use std::collections::BTreeMap;

use tch::Tensor;

use crate::Result;
use crate::models::Store;

/// Averages of all parameters and buffers.
#[derive(Debug)]
pub struct Ema {
    decay: f64,
    averages: BTreeMap<String, Tensor>,
}

impl Ema {
    /// Starts at the values that the store has now.
    pub fn new(store: &Store, decay: f64) -> Self {
        let averages = store.entries().map(|(name, entry)| (name.to_string(), entry.tensor.detach().copy())).collect();
        Self { decay, averages }
    }

    /// Takes in the values after optimizer step number `step` (from 1). The decay starts low, as min(decay,
    /// (1 + step) / (10 + step)), so that the first values are soon forgotten.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn update(&mut self, store: &Store, step: usize) -> Result<()> {
        let decay = self.decay.min((1 + step) as f64 / (10 + step) as f64);
        tch::no_grad(|| {
            for (name, entry) in store.entries() {
                let average = self.averages.get_mut(name).expect("a store does not grow");
                if average.is_floating_point() {
                    *average = average.f_lerp_(&entry.tensor, 1.0 - decay)?;
                } else {
                    average.f_copy_(&entry.tensor)?;
                }
            }
            Ok(())
        })
    }

    /// Exchanges the averages and the store's values; a second call undoes it.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn swap(&mut self, store: &Store) -> Result<()> {
        tch::no_grad(|| {
            for (name, entry) in store.entries() {
                let average = self.averages.get_mut(name).expect("a store does not grow");
                let current = entry.tensor.detach().copy();
                entry.tensor.shallow_clone().f_copy_(average)?;
                average.f_copy_(&current)?;
            }
            Ok(())
        })
    }

    /// A deep copy of the averages on the CPU.
    pub fn snapshot(&self) -> BTreeMap<String, Tensor> {
        let copy = |tensor: &Tensor| tensor.to_device(tch::Device::Cpu).contiguous().copy();
        self.averages.iter().map(|(name, tensor)| (name.clone(), copy(tensor))).collect()
    }

    /// Takes saved averages back.
    ///
    /// # Errors
    /// Names or shapes that are not the store's.
    pub fn restore(&mut self, saved: &BTreeMap<String, Tensor>) -> Result<()> {
        for (name, average) in &mut self.averages {
            let saved = saved.get(name).filter(|saved| saved.size() == average.size());
            let saved = saved.ok_or_else(|| crate::Error::Model(format!("the checkpoint has no average of {name}")))?;
            average.f_copy_(saved)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{Builder, Init};

    #[test]
    fn the_average_follows_and_swapping_twice_changes_nothing() -> Result<()> {
        let builder = Builder::new(tch::Device::Cpu);
        let weight = builder.root().parameter("w", &[1], Init::Constant(0.0))?;
        let store = builder.finish();
        let mut ema = Ema::new(&store, 0.5);
        let _filled = tch::no_grad(|| weight.shallow_clone().fill_(1.0));
        ema.update(&store, 1)?; // decay 2/11
        ema.swap(&store)?;
        assert!((weight.double_value(&[0]) - 9.0 / 11.0).abs() < 1e-6);
        ema.swap(&store)?;
        assert_eq!(weight.double_value(&[0]), 1.0);
        Ok(())
    }
}
