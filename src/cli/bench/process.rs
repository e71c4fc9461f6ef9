//! One measured process: its output, how long it took, and the most memory it and what it started had.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::{Error, Result};

/// How a process went.
pub(super) struct Process {
    /// What it wrote to standard output.
    pub(super) output: String,
    /// When it was started, in seconds since 1970.
    pub(super) began: f64,
    /// From its start to its end.
    pub(super) seconds: f64,
    /// The peak of the proportional set size of the whole tree of processes, looked at four times a second: memory
    /// that several share counts once. 0 where `/proc` does not exist.
    pub(super) peak_memory: u64,
}

/// Runs a command to its end.
///
/// # Errors
/// A program that cannot be started, or that fails; the last lines of what it said are in the message.
pub(super) fn run(command: &mut Command) -> Result<Process> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let began = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
    let start = Instant::now();
    let child = command.spawn().map_err(Error::io(&name, "cannot start"))?;
    let (root, done) = (child.id(), AtomicBool::new(false));
    let (output, peak_memory) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut peak = 0;
            while !done.load(Ordering::Relaxed) {
                peak = peak.max(tree(root).into_iter().map(proportional_memory).sum());
                std::thread::sleep(Duration::from_millis(250));
            }
            peak
        });
        let output = child.wait_with_output();
        done.store(true, Ordering::Relaxed);
        (output, watch.join().unwrap_or(0))
    });
    let output = output.map_err(Error::io(&name, "cannot read the output of"))?;
    let seconds = start.elapsed().as_secs_f64();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<_> = said.lines().rev().take(3).collect();
        let last = lines.into_iter().rev().collect::<Vec<_>>().join(" | ");
        return Err(Error::Training(format!("{name} ended with {}: {last}", output.status)));
    }
    Ok(Process { output: String::from_utf8_lossy(&output.stdout).into_owned(), began, seconds, peak_memory })
}

/// The process `root` and all below it.
fn tree(root: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if let Some(parent) = parent_of(&stat) {
            children.entry(parent).or_default().push(process);
        }
    }
    let (mut found, mut left) = (vec![], vec![root]);
    while let Some(process) = left.pop() {
        found.push(process);
        left.extend(children.get(&process).into_iter().flatten());
    }
    found
}

/// The parent in a `/proc/PID/stat`; the name before it may hold anything, a parenthesis too.
fn parent_of(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn proportional_memory(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// The processor's name.
pub(super) fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| Some(line.split_once(':')?.1.trim().to_string())).unwrap_or("unknown processor".into())
}

/// How many cores this process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// How many processes wanted a core in the last minute.
pub(super) fn load() -> f64 {
    let text = std::fs::read_to_string(Path::new("/proc/loadavg")).unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_behind_any_name() {
        assert_eq!(parent_of("7 (a) b (c)) S 41 7 7 0"), Some(41));
        assert_eq!(parent_of("7 no name"), None);
    }

    #[test]
    fn a_process_is_measured_and_a_failure_quoted() {
        let process = run(Command::new("sh").args(["-c", "echo hello; sleep 0.3"])).unwrap();
        assert!(process.output == "hello\n" && process.seconds > 0.2 && process.began > 1e9);
        assert!(process.peak_memory > 0);
        let error = run(Command::new("sh").args(["-c", "echo bad luck >&2; exit 3"])).err().unwrap().to_string();
        assert!(error.contains("bad luck") && error.contains("sh ended with"), "{error}");
    }
}
