//! What `result.json` says of a run.

use tch::Device;

use super::Fitted;
use crate::Result;
use crate::eval::Metric;
use crate::report::{RunResult, Versions, peak_memory_bytes};
use crate::train::Precision;
use crate::train::device::device_name;

impl Fitted {
    /// What the run of `method` came to, which measured `metrics`.
    ///
    /// # Errors
    /// A device that does not tell what memory it gave.
    pub fn result(
        &self,
        method: &str,
        metrics: impl IntoIterator<Item = Metric>,
        device: Device,
        seed: u64,
        precision: Precision,
    ) -> Result<RunResult> {
        let state = &self.state;
        Ok(RunResult {
            method: method.into(),
            metrics: metrics.into_iter().map(|metric| (metric.name, metric.value)).collect(),
            epochs: state.epoch as u64,
            steps: state.step as u64,
            seconds: state.seconds,
            images_per_second: if state.images == 0 {
                0.0
            } else {
                state.images as f64 / state.training_seconds.max(1e-9)
            },
            peak_memory_bytes: peak_memory_bytes(device)?,
            seed,
            device: device_name(device),
            precision: precision.to_string(),
            versions: Versions::current(),
        })
    }
}
