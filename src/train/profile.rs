//! `--profile`: a trace of some training steps, and where their time went.
//!
//! The trace holds every operator and kernel with the parts of a step around them. A part's share is wall time of
//! the training thread; an operator's own time is what it took without the operators that it calls.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tch::Device;

use crate::Result;
use crate::files::write_bytes;
use crate::native::{Profile, Range, Recorded};
use crate::report::{Align, Table};

/// Batches before the trace begins: the first ones set up memory and choose kernels.
const WARM_UP: usize = 3;

/// How many operators are listed.
const LISTED: usize = 12;

/// What a step is made of; each is a range of the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Waiting for a batch.
    Data,
    /// Losses.
    Forward,
    /// Gradients.
    Backward,
    /// Clipping, the optimizer, averages.
    Optimizer,
    /// Looking at the validation images, where an epoch ends within the trace.
    Assessment,
}

impl Part {
    const ALL: [Self; 5] = [Self::Data, Self::Forward, Self::Backward, Self::Optimizer, Self::Assessment];

    fn name(self) -> &'static str {
        match self {
            Self::Data => "step: data",
            Self::Forward => "step: forward",
            Self::Backward => "step: backward",
            Self::Optimizer => "step: optimizer",
            Self::Assessment => "step: assessment",
        }
    }

    /// Begins the part in the trace; it ends when what is returned is dropped.
    pub fn begin(self) -> Range {
        Range::begin(self.name())
    }
}

/// Traces some steps of one run.
pub struct Profiler {
    folder: PathBuf,
    device: Device,
    /// Batches that are still to be waited for, then traced.
    warm_up: usize,
    steps: usize,
    traced: usize,
    profile: Option<Profile>,
}

impl Profiler {
    /// The file in the run's folder; the end of its name is what TensorBoard looks for.
    pub const TRACE: &'static str = "profile.pt.trace.json";
    /// The table.
    pub const TABLE: &'static str = "profile.txt";

    /// Will trace so many steps (batches, where several make one step), and write into `folder`.
    pub fn new(folder: &Path, device: Device, steps: usize) -> Self {
        Self { folder: folder.to_path_buf(), device, warm_up: WARM_UP, steps, traced: 0, profile: None }
    }

    /// To be called after each batch; gives the table once the trace is written.
    ///
    /// # Errors
    /// What libtorch refuses, or a folder that cannot be written.
    pub fn batch_done(&mut self) -> Result<Option<String>> {
        if self.profile.is_some() {
            self.traced += 1;
            return if self.traced == self.steps { self.finish().map(Some) } else { Ok(None) };
        }
        self.warm_up = self.warm_up.saturating_sub(1);
        if self.warm_up == 0 && self.traced == 0 {
            self.profile = Some(Profile::begin(self.device)?);
        }
        Ok(None)
    }

    /// Ends a trace that is under way, as when there are no more batches; says so where nothing was traced.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn finish(&mut self) -> Result<String> {
        let Some(profile) = self.profile.take().filter(|_| self.traced > 0) else {
            return Ok(format!("nothing was traced: training ended before batch {} of this start", WARM_UP + 1));
        };
        let events = profile.end(&self.folder.join(Self::TRACE))?;
        let table = Spent::of(&events).table(self.traced);
        write_bytes(self.folder.join(Self::TABLE), table.as_bytes())?;
        Ok(table)
    }
}

/// Where the time went, in nanoseconds.
#[derive(Debug, Default, PartialEq)]
struct Spent {
    /// From the first event to the last.
    wall: u64,
    parts: [u64; 5],
    /// Own time and calls of each operator, most time first.
    operators: Vec<(String, u64, usize)>,
    /// The same of what ran on the device.
    kernels: Vec<(String, u64, usize)>,
}

impl Spent {
    fn of<'a>(events: &'a [Recorded]) -> Self {
        let mut spent = Self::default();
        let first = events.iter().map(|event| event.start).min().unwrap_or(0);
        spent.wall = events.iter().map(|event| event.end).max().unwrap_or(0) - first;
        let part = |event: &Recorded| Part::ALL.iter().position(|part| part.name() == event.name);
        let (mut operators, mut kernels) = (BTreeMap::new(), BTreeMap::new());
        let mut on_host: Vec<_> = events.iter().filter(|event| !event.on_device).collect();
        // parents before their children
        on_host.sort_by_key(|event| (event.thread, event.start, std::cmp::Reverse(event.end)));
        let mut open: Vec<(&'a Recorded, u64)> = vec![];
        let mut close = |(event, own): (&'a Recorded, u64), spent: &mut Self| match part(event) {
            Some(part) => spent.parts[part] += event.end - event.start,
            None => add(&mut operators, &event.name, own),
        };
        for event in on_host {
            while let Some(&(parent, own)) = open.last() {
                if parent.thread == event.thread && event.start < parent.end {
                    break;
                }
                open.pop();
                close((parent, own), &mut spent);
            }
            let length = event.end.saturating_sub(event.start);
            if let Some((_, own)) = open.last_mut() {
                *own = own.saturating_sub(length);
            }
            open.push((event, length));
        }
        open.into_iter().for_each(|last| close(last, &mut spent));
        // on the device, the ranges are shown once more around their kernels
        for event in events.iter().filter(|event| event.on_device && part(event).is_none()) {
            add(&mut kernels, &event.name, event.end.saturating_sub(event.start));
        }
        (spent.operators, spent.kernels) = (sorted(operators), sorted(kernels));
        spent
    }

    fn table(&self, steps: usize) -> String {
        let milliseconds = |time: u64| format!("{:.2}", time as f64 / 1e6 / steps as f64);
        let share = |time: u64| format!("{:.1} %", 100.0 * time as f64 / self.wall.max(1) as f64);
        let right = Align::Right;
        let mut parts = Table::new([("step", Align::Left), ("ms", right), ("share", right)]);
        for (part, time) in Part::ALL.iter().zip(self.parts) {
            parts.row([part.name().trim_start_matches("step: ").to_string(), milliseconds(time), share(time)]);
        }
        let rest = self.wall.saturating_sub(self.parts.iter().sum());
        parts.row(["everything else".into(), milliseconds(rest), share(rest)]);
        parts.row(["all".into(), milliseconds(self.wall), share(self.wall)]);
        let mut text = format!("{parts}\n");
        for (title, rows) in [("operator, own time", &self.operators), ("kernel on the device", &self.kernels)] {
            if rows.is_empty() {
                continue;
            }
            let mut table = Table::new([(title, Align::Left), ("calls", right), ("ms", right), ("share", right)]);
            for (name, time, calls) in rows.iter().take(LISTED) {
                let name: String = name.chars().take(60).collect();
                let calls = format!("{:.1}", *calls as f64 / steps as f64);
                table.row([name, calls, milliseconds(*time), share(*time)]);
            }
            text += &format!("\n{table}\n");
        }
        text
    }
}

fn add<'a>(sums: &mut BTreeMap<&'a str, (u64, usize)>, name: &'a str, time: u64) {
    let sum = sums.entry(name).or_default();
    *sum = (sum.0 + time, sum.1 + 1);
}

fn sorted(sums: BTreeMap<&str, (u64, usize)>) -> Vec<(String, u64, usize)> {
    let mut rows: Vec<_> = sums.into_iter().map(|(name, (time, calls))| (name.to_string(), time, calls)).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.1));
    rows
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;

    fn event(name: &str, start: u64, end: u64, thread: u64, on_device: bool) -> Recorded {
        Recorded { name: name.into(), start, end, thread, on_device }
    }

    #[test]
    fn an_operators_own_time_is_without_what_it_calls() {
        let spent = Spent::of(&[
            event("step: forward", 0, 60, 1, false),
            event("conv", 10, 50, 1, false),
            event("copy", 12, 20, 1, false),
            event("copy", 20, 25, 1, false),
            event("copy", 55, 58, 1, false),
            // another thread's time is its own
            event("conv", 15, 45, 2, false),
            event("kernel", 30, 90, 0, true),
            event("step: forward", 30, 90, 0, true),
            event("step: backward", 70, 100, 1, false),
        ]);
        assert_eq!((spent.wall, spent.parts), (100, [0, 60, 30, 0, 0]));
        assert_eq!(spent.operators, [("conv".into(), 57, 2), ("copy".into(), 16, 3)]);
        assert_eq!(spent.kernels, [("kernel".into(), 60, 1)]);
        let table = spent.table(2);
        assert!(table.contains("everything else") && table.contains("10.0 %"), "{table}");
    }

    /// One test, because only one trace can be made at a time.
    #[test]
    fn a_trace_begins_after_the_warm_up_and_holds_what_was_computed() -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        // too short a run: what was begun, if anything, is thrown away
        for batches in [2, 3] {
            let mut profiler = Profiler::new(folder.path(), Device::Cpu, 2);
            for _ in 0..batches {
                assert_eq!(profiler.batch_done()?, None);
            }
            assert!(profiler.finish()?.contains("ended before batch 4"));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let mut profiler = Profiler::new(folder.path(), Device::Cpu, 2);
        let x = Tensor::ones([32, 32], (Kind::Float, Device::Cpu));
        let mut tables = vec![];
        for _ in 0..8 {
            {
                let _forward = Part::Forward.begin();
                let _product = x.f_matmul(&x)?;
            }
            tables.push(profiler.batch_done()?);
        }
        let table = tables.remove(4).expect("two steps after three");
        assert!(tables.iter().all(Option::is_none) && table.contains("aten::mm"), "{table}");
        let trace = std::fs::read_to_string(folder.path().join(Profiler::TRACE)).unwrap();
        let trace: serde_json::Value = serde_json::from_str(&trace).unwrap();
        let events = trace["traceEvents"].as_array().unwrap();
        let count = |name: &str| events.iter().filter(|event| event["name"] == name).count();
        assert_eq!((count("aten::mm"), count("step: forward")), (2, 2));
        assert_eq!(std::fs::read_to_string(folder.path().join(Profiler::TABLE)).unwrap(), table);
        Ok(())
    }
}
