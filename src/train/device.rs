//! `--device`: what the user may ask for, and the device it comes to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tch::Device;

use super::cuda::CudaState;
use crate::{Error, Result};

/// A device as the user names it: `auto`, `cpu`, `cuda` (the first) or `cuda:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// The first CUDA device if one can be used, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this number, counted from 0, or an error: never the CPU instead.
    Cuda(usize),
}

impl DeviceChoice {
    /// The device, after looking at this machine.
    ///
    /// # Errors
    /// [`Error::Device`] when a CUDA device was asked for and cannot be had; it says why and how to mend it.
    pub fn resolve(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            _ => self.choose(&CudaState::probe()),
        }
    }

    /// The device, given what is known about CUDA.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn choose(self, cuda: &CudaState) -> Result<Device> {
        match (self, cuda.obstacle()) {
            (Self::Cpu, _) | (Self::Auto, Some(_)) => Ok(Device::Cpu),
            (Self::Auto, None) => Ok(Device::Cuda(0)),
            (Self::Cuda(n), None) if n < cuda.devices => Ok(Device::Cuda(n)),
            (Self::Cuda(_), None) => Err(Error::Device(format!(
                "--device {self}: there {}; choose one of them, or look at CUDA_VISIBLE_DEVICES",
                match cuda.devices {
                    1 => "is only cuda:0".to_string(),
                    count => format!("are only cuda:0 to cuda:{}", count - 1),
                }
            ))),
            (Self::Cuda(_), Some(obstacle)) => Err(Error::Device(format!(
                "--device {self}: {}; {}, or use --device cpu",
                obstacle.what, obstacle.mend
            ))),
        }
    }

    /// What to tell the user about `device`, which this choice came to: `cuda:0`, or with the reason
    /// `cpu (auto: this machine has no NVIDIA driver)`.
    pub fn describe(self, device: Device) -> String {
        match (self, device) {
            (Self::Auto, Device::Cpu) => match CudaState::probe().obstacle() {
                Some(obstacle) => format!("cpu (auto: {})", obstacle.what),
                None => "cpu (auto)".into(),
            },
            (Self::Auto, device) => format!("{} (auto)", device_name(device)),
            (_, device) => device_name(device),
        }
    }
}

/// `cpu` or `cuda:N`, as in `result.json`.
pub fn device_name(device: Device) -> String {
    match device {
        Device::Cpu => "cpu".into(),
        Device::Cuda(n) => format!("cuda:{n}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |digits: &str| digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
        match text {
            "auto" => Some(Self::Auto),
            "cpu" => Some(Self::Cpu),
            "cuda" => Some(Self::Cuda(0)),
            _ => text.strip_prefix("cuda:").and_then(number).map(Self::Cuda),
        }
        .ok_or_else(|| Error::Usage(format!("device `{text}` is none of auto, cpu, cuda and cuda:N (as in cuda:1)")))
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

crate::options::as_text!(DeviceChoice);

#[cfg(test)]
mod tests {
    use super::*;

    fn state(devices: usize) -> CudaState {
        CudaState {
            built: Some(true),
            failure: None,
            loaded: true,
            device_nodes: false,
            driver_library: None,
            visible: None,
            devices,
        }
    }

    #[test]
    fn words_become_choices_and_back() {
        for (word, choice) in [
            ("auto", DeviceChoice::Auto),
            ("cpu", DeviceChoice::Cpu),
            ("cuda", DeviceChoice::Cuda(0)),
            ("cuda:3", DeviceChoice::Cuda(3)),
        ] {
            assert_eq!(word.parse::<DeviceChoice>().unwrap(), choice);
            assert_eq!(choice.to_string().parse::<DeviceChoice>().unwrap(), choice);
            let json = serde_json::to_string(&choice).unwrap();
            assert_eq!(serde_json::from_str::<DeviceChoice>(&json).unwrap(), choice);
        }
        for wrong in ["", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:+1", "cuda:1x", "cuda0", "cpu:0"] {
            let error = wrong.parse::<DeviceChoice>().unwrap_err();
            assert_eq!(error.exit_code(), 2, "{wrong}: {error}");
        }
    }

    #[test]
    fn cuda_is_had_or_refused_and_never_replaced() {
        assert_eq!(DeviceChoice::Cuda(1).choose(&state(2)).unwrap(), Device::Cuda(1));
        assert_eq!(DeviceChoice::Auto.choose(&state(2)).unwrap(), Device::Cuda(0));
        assert_eq!(DeviceChoice::Auto.choose(&state(0)).unwrap(), Device::Cpu);
        assert_eq!(DeviceChoice::Cpu.choose(&state(2)).unwrap(), Device::Cpu);
        let absent = DeviceChoice::Cuda(0).choose(&state(0)).unwrap_err();
        assert!(matches!(absent, Error::Device(_)), "{absent}");
        assert!(absent.to_string().contains("driver") && absent.to_string().contains("--device cpu"), "{absent}");
        let beyond = DeviceChoice::Cuda(2).choose(&state(2)).unwrap_err().to_string();
        assert!(beyond.contains("cuda:2") && beyond.contains("cuda:0 to cuda:1"), "{beyond}");
        let beyond = DeviceChoice::Cuda(2).choose(&state(1)).unwrap_err().to_string();
        assert!(beyond.contains("is only cuda:0"), "{beyond}");
    }

    #[test]
    fn a_description_says_what_auto_chose_and_why() {
        assert_eq!(DeviceChoice::Auto.describe(Device::Cuda(0)), "cuda:0 (auto)");
        assert_eq!(DeviceChoice::Cpu.describe(Device::Cpu), "cpu");
        assert!(DeviceChoice::Auto.describe(Device::Cpu).starts_with("cpu (auto"));
    }
}
