//! How a network runs forwards, for the commands that only ask it.

use clap::Args;

use crate::train::Precision;
use crate::train::device::DeviceChoice;
use crate::{Error, Result};

/// The arguments of all such commands.
#[derive(Debug, Clone, Args)]
pub struct ForwardArgs {
    /// Images in a batch
    #[arg(long, value_name = "IMAGES", default_value_t = 32)]
    pub(super) batch_size: usize,
    /// Number format of the forward pass
    #[arg(long, value_enum, default_value = "fp32")]
    pub(super) precision: Precision,
    /// Where the network runs: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
}

impl ForwardArgs {
    /// The device.
    ///
    /// # Errors
    /// A device that cannot be had, or a batch of no images.
    pub(super) fn device(&self) -> Result<tch::Device> {
        if self.batch_size == 0 {
            return Err(Error::Usage("--batch-size must be at least 1".into()));
        }
        self.device.resolve()
    }
}
