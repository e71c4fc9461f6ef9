//! One checkpoint, read once: how long `StateDict::read` takes, and by how much it raises the peak of the memory.
//!
//! `cargo bench --bench checkpoints -- FILE` prints one line of JSON. `benches/checkpoints.py` runs it in turn with
//! what reads the same file in Python.

use std::time::Instant;

use regraft::models::formats::StateDict;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let [file] = &words[..] else { return Err("expected FILE".into()) };
    // what libtorch sets up at its first tensor is no part of reading
    let _first = tch::Tensor::zeros([1], tch::kind::FLOAT_CPU);
    let before = peak()?;
    let start = Instant::now();
    let state = StateDict::read(file)?;
    let seconds = start.elapsed().as_secs_f64();
    let (grown, tensors) = (peak()? - before, state.tensors.len());
    let sum: f64 =
        state.tensors.values().map(|tensor| tensor.to_kind(tch::Kind::Double).sum(None).double_value(&[])).sum();
    let touched = start.elapsed().as_secs_f64();
    println!(
        "{{\"seconds\": {seconds}, \"peak_kib\": {grown}, \"tensors\": {tensors}, \"sum\": {sum}, \"touched\": {touched}}}"
    );
    Ok(())
}

/// The most memory that the process has had in use, in KiB.
fn peak() -> Result<u64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM in /proc/self/status")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
