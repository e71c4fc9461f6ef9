//! The memory of this machine, and the pool that tensors on the CPU take theirs from.

use serde::Serialize;

use crate::{Result, native};

/// Lets tensors on the CPU keep their memory for those that come after them, for the rest of the process.
///
/// A training step asks for the same large pieces over and over; giving them back to the system in between costs a small
/// network up to half of its time. Tensors that would take more than this machine has are refused with an error, where
/// the system would end the process.
///
/// # Errors
/// What libtorch refuses.
pub fn pool_memory() -> Result<()> {
    match Memory::probe() {
        Some(memory) => native::pool_memory(memory.most()),
        None => Ok(()), // libtorch's own allocator stays
    }
}

/// Memory in bytes.
#[derive(Debug, Serialize)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// What a new process can take.
    pub available: u64,
    /// The limit of this control group, as in a container.
    pub limit: Option<u64>,
}

impl Memory {
    /// What this machine says; `None` where it does not.
    pub fn probe() -> Option<Self> {
        let limit = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
        let limit = limit.iter().find_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok());
        Self::from_meminfo(&std::fs::read_to_string("/proc/meminfo").ok()?, limit)
    }

    /// The most that all processes can have together.
    pub fn most(&self) -> u64 {
        self.limit.unwrap_or(self.total)
    }

    fn from_meminfo(text: &str, limit: Option<u64>) -> Option<Self> {
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name))?;
            Some(value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
        };
        let total = field("MemTotal:")?;
        // version 1 of control groups writes a number beyond any machine where there is no limit
        Some(Self { total, available: field("MemAvailable:")?, limit: limit.filter(|limit| *limit < total) })
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    #[test]
    fn what_is_given_back_is_taken_again_and_nothing_overlaps() -> Result<()> {
        pool_memory()?;
        let full = |megabytes: i64, value: f64| {
            Tensor::f_full([megabytes << 18], value, (Kind::Float, Device::Cpu)).map_err(crate::Error::from)
        };
        std::thread::scope(|scope| {
            let work = |thread: usize| {
                move || -> Result<()> {
                    let mut held: Vec<(f64, Tensor)> = vec![];
                    for step in 0..60 {
                        let value = (thread * 100 + step) as f64;
                        held.push((value, full(1 + (step as i64 * 7) % 5, value)?));
                        if step % 3 != 0 {
                            drop(held.remove(step * 5 % held.len()));
                        }
                        for (value, tensor) in &held {
                            assert_eq!([tensor.min(), tensor.max()].map(|x| x.double_value(&[])), [*value; 2]);
                        }
                    }
                    Ok(())
                }
            };
            let threads: Vec<_> = (0..3).map(|thread| scope.spawn(work(thread))).collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
        })
    }

    #[test]
    fn more_than_there_is_is_an_error_that_says_what_to_lower() {
        pool_memory().unwrap();
        let most = Memory::probe().unwrap().most();
        let error = Tensor::f_empty([most as i64 + 1], (Kind::Uint8, Device::Cpu)).map_err(crate::Error::from);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("can't allocate memory") && error.contains("lower --batch-size"), "{error}");
    }

    #[test]
    fn memory_is_read_in_bytes_and_a_limit_beyond_the_machine_is_none() {
        let text = "MemTotal:       2000 kB\nMemFree:  1 kB\nMemAvailable:   1000 kB\n";
        let memory = Memory::from_meminfo(text, Some(u64::MAX / 2)).unwrap();
        assert_eq!((memory.total, memory.available, memory.limit), (2_048_000, 1_024_000, None));
        assert_eq!(Memory::from_meminfo(text, Some(4096)).unwrap().limit, Some(4096));
        assert!(Memory::from_meminfo("MemTotal: many\n", None).is_none());
    }
}
