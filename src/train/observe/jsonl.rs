//! `metrics.jsonl`: what happened, one JSON object a line, appended as it happens.
//!
//! Every line has `event` and `step`. A number that is not finite is `null`. Pictures and histograms are not kept here.
//!
//! ```json
//! {"event":"started","step":0,"epoch":0,"epochs":3,"steps_per_epoch":2}
//! {"event":"step","step":1,"epoch":0,"learning_rate":{"head":0.001},"loss":{"total":0.7},"metrics":{},"gradient_norm":1.5,"images_per_second":100.0,"data_wait":0.1}
//! {"event":"epoch","step":2,"epoch":0,"train":{"loss":0.5},"validation":{"accuracy":0.9},"seconds":1.5}
//! {"event":"message","step":2,"text":"…"}
//! {"event":"finished","step":6,"seconds":4.5}
//! ```

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Event, Observer};
use crate::eval::Metric;
use crate::{Error, Result};

/// Appends events to a file.
#[derive(Debug)]
pub struct JsonLines {
    path: PathBuf,
    file: BufWriter<File>,
    /// Of the last event that had one, for those that have none.
    step: u64,
}

impl JsonLines {
    /// Starts the file anew.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let file = File::create(&path).map_err(Error::io(&path, "cannot write"))?;
        Ok(Self { path, file: BufWriter::new(file), step: 0 })
    }

    /// Goes on with a file after a resume at the checkpoint of step `step`: what came after that step, and a last line that
    /// was cut off by a kill, is removed. A file that does not exist is started.
    ///
    /// # Errors
    /// It cannot be read or written, or holds something else than events.
    pub fn truncate_after(path: impl Into<PathBuf>, step: u64) -> Result<Self> {
        let path = path.into();
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(Error::io(&path, "cannot open"))?;
        let keep = length_up_to(&path, &file, step)?;
        file.set_len(keep).map_err(Error::io(&path, "cannot shorten"))?;
        file.seek(SeekFrom::Start(keep)).map_err(Error::io(&path, "cannot write"))?;
        file.sync_all().map_err(Error::io(&path, "cannot write"))?;
        Ok(Self { path, file: BufWriter::new(file), step })
    }

    fn write(&mut self, mut line: Value) -> Result<()> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        line["time"] = json!(now.as_secs_f64());
        writeln!(self.file, "{line}").map_err(Error::io(&self.path, "cannot write"))
    }
}

/// How many bytes the lines up to `step` take.
fn length_up_to(path: &Path, file: &File, step: u64) -> Result<u64> {
    let mut reader = BufReader::new(file);
    let (mut keep, mut line, mut number) = (0, Vec::new(), 0);
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line).map_err(Error::io(path, "cannot read"))?;
        if read == 0 || line.last() != Some(&b'\n') {
            return Ok(keep); // the end, or a line that a kill cut off
        }
        number += 1;
        let event: Option<Value> = serde_json::from_slice(&line).ok();
        match event.as_ref().and_then(|event| event["step"].as_u64()) {
            Some(at) if at > step => return Ok(keep),
            Some(_) => keep += read as u64,
            // a power failure can leave blocks of zeros at the end; only what follows tells it from another kind of file
            None if reader.fill_buf().map_err(Error::io(path, "cannot read"))?.is_empty() => return Ok(keep),
            None => {
                let reason =
                    format!("line {number} is not an event with a step; remove the file, or start over with --force");
                return Err(Error::file(path, reason));
            }
        }
    }
}

fn object(pairs: &[(&str, f64)]) -> Value {
    Value::Object(pairs.iter().map(|(name, value)| ((*name).to_string(), json!(value))).collect::<Map<_, _>>())
}

fn metrics(metrics: &[Metric]) -> Value {
    Value::Object(metrics.iter().map(|metric| (metric.name.clone(), json!(metric.value))).collect::<Map<_, _>>())
}

impl Observer for JsonLines {
    fn observe(&mut self, event: &Event) -> Result<()> {
        let line = match event {
            Event::Started(start) => {
                self.step = start.step;
                json!({"event": "started", "step": start.step, "epoch": start.epoch, "epochs": start.epochs,
                       "steps_per_epoch": start.steps_per_epoch})
            }
            Event::Step(step) => {
                self.step = step.step;
                json!({"event": "step", "step": step.step, "epoch": step.epoch,
                       "learning_rate": object(step.learning_rates), "loss": object(step.losses), "metrics": metrics(step.metrics),
                       "gradient_norm": step.gradient_norm, "images_per_second": step.images_per_second,
                       "data_wait": step.data_wait})
            }
            Event::Epoch(epoch) => {
                self.step = epoch.step;
                json!({"event": "epoch", "step": epoch.step, "epoch": epoch.epoch, "train": metrics(epoch.train),
                       "validation": metrics(epoch.validation), "seconds": epoch.seconds})
            }
            Event::Message(text) => json!({"event": "message", "step": self.step, "text": text}),
            Event::Finished(end) => json!({"event": "finished", "step": end.step, "seconds": end.seconds}),
            Event::Histogram { .. } | Event::Image { .. } | Event::Work { .. } => return Ok(()),
        };
        self.write(line)?;
        match event {
            // a step may wait in memory for the next flush; these are few and should be seen at once
            Event::Step(_) => Ok(()),
            _ => self.file.flush().map_err(Error::io(&self.path, "cannot write")),
        }
    }

    fn flush(&mut self) -> Result<()> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_data());
        synced.map_err(Error::io(&self.path, "cannot write"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{epoch, started, step};
    use super::*;

    /// A run of three epochs of two steps, of which the last was killed in the middle of a line.
    fn killed(path: &Path) -> String {
        let mut log = JsonLines::create(path).unwrap();
        log.observe(&started(0)).unwrap();
        for number in 1..=4 {
            step(number, 0.5)(&mut log);
            if number % 2 == 0 {
                epoch(number / 2 - 1)(&mut log);
            }
        }
        log.observe(&Event::Message("hello\n\"you\"")).unwrap();
        step(5, f64::NAN)(&mut log);
        drop(log);
        let whole = std::fs::read_to_string(path).unwrap();
        std::fs::write(path, format!("{whole}{{\"event\":\"step\",\"st")).unwrap();
        whole
    }

    fn lines(path: &Path) -> Vec<Value> {
        std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn every_event_is_a_line_with_its_step() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let whole = killed(&path);
        std::fs::write(&path, &whole).unwrap();
        let events = lines(&path);
        let steps: Vec<u64> = events.iter().map(|event| event["step"].as_u64().unwrap()).collect();
        assert_eq!(steps, [0, 1, 2, 2, 3, 4, 4, 4, 5]);
        assert_eq!(events[1]["learning_rate"], json!({"backbone": 1e-4, "head": 1e-3}));
        assert_eq!(events[3]["validation"]["accuracy"], 0.875);
        assert_eq!(events[7]["text"], "hello\n\"you\"");
        assert_eq!(events[8]["loss"], json!({"total": null, "penalty": 0.25}));
    }

    #[test]
    fn a_resumed_run_has_each_step_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        for (resume, kept) in [(0, 1), (1, 2), (2, 4), (4, 8), (5, 9), (99, 9)] {
            let whole = killed(&path);
            let mut log = JsonLines::truncate_after(&path, resume).unwrap();
            assert_eq!(lines(&path).len(), kept, "resumed at {resume}");
            step(resume + 1, 0.1)(&mut log);
            log.flush().unwrap();
            let start: String = whole.lines().take(kept).map(|line| format!("{line}\n")).collect();
            assert!(std::fs::read_to_string(&path).unwrap().starts_with(&start));
            assert_eq!(lines(&path)[kept]["step"], resume + 1);
        }
    }

    #[test]
    fn another_kind_of_file_is_named_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, "my notes\nmore\n").unwrap();
        let message = JsonLines::truncate_after(&path, 3).unwrap_err().to_string();
        assert!(message.contains("notes.txt: line 1 is not an event"), "{message}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "my notes\nmore\n");
        assert!(JsonLines::truncate_after(folder.path().join("new"), 3).is_ok());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_an_error() {
        let mut log = JsonLines::create("/dev/full").unwrap();
        let message = log.observe(&started(0)).unwrap_err().to_string();
        assert!(message.starts_with("/dev/full: cannot write"), "{message}");
    }
}
