//! Feeds damaged checkpoints to the readers, for as long as asked: no panic, no hang, no memory beyond twice the file.
//!
//! `cargo bench --bench fuzz_formats -- SECONDS SEED [FORMAT…]` gives each format the same time and prints one line for
//! each. An input that breaks a promise is kept in `target/fuzz` and ends the program with an error at the end.

mod memory;
mod mutate;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use regraft::models::formats::StateDict;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// The longest that one file may take.
const SLOW: Duration = Duration::from_secs(2);

/// What a file may take beyond twice its size: the readers' own spare of 32 MiB, and what they do not count.
const SPARE: usize = 40 << 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let [seconds, seed, formats @ ..] = &words[..] else { return Err("expected SECONDS SEED [FORMAT…]".into()) };
    let (seconds, seed): (u64, u64) = (seconds.parse()?, seed.parse()?);
    let formats: Vec<&str> = match formats {
        [] => mutate::FORMATS.to_vec(),
        named => named.iter().map(String::as_str).collect(),
    };
    tch::set_num_threads(1);
    if !memory::sees_libtorch() {
        return Err(
            "libtorch's allocations are not seen: link so that the program's own posix_memalign comes first".into()
        );
    }
    std::panic::set_hook(Box::new(|_| ()));
    // in memory, where there is such a folder: the disk is not what is tested
    let shared = Path::new("/dev/shm");
    let scratch = if shared.is_dir() { tempfile::tempdir_in(shared)? } else { tempfile::tempdir()? };
    let seeds = mutate::seeds(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/state_dicts"), scratch.path());
    let mut findings = 0;
    for format in &formats {
        let seeds: Vec<_> = seeds.iter().filter(|seed| seed.format == *format).collect();
        if seeds.is_empty() {
            return Err(format!("there is no seed of {format}; expected one of {:?}", mutate::FORMATS).into());
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let path = scratch.path().join(format!("damaged-{}", seeds[0].name));
        let (start, share) = (Instant::now(), Duration::from_secs(seconds) / formats.len() as u32);
        let (mut runs, mut read, mut bad, mut slowest, mut largest) = (0u64, 0u64, 0u64, Duration::ZERO, 0usize);
        while start.elapsed() < share {
            let bytes = mutate::mutate(&seeds, &mut rng);
            std::fs::write(&path, &bytes)?;
            let before = memory::begin();
            let begun = Instant::now();
            let result = catch_unwind(AssertUnwindSafe(|| StateDict::read(&path)));
            let (took, most) = (begun.elapsed(), memory::most(&before));
            let over = most.saturating_sub(2 * bytes.len());
            (slowest, largest) = (slowest.max(took), largest.max(over));
            runs += 1;
            let fault = match &result {
                Err(_) => Some("panic".to_string()),
                Ok(Err(error)) if error.to_string().contains('\n') => Some("lines".to_string()),
                _ if took > SLOW => Some(format!("slow-{}ms", took.as_millis())),
                _ if over > SPARE => Some(format!("memory-{most}")),
                Ok(state) => {
                    read += u64::from(state.is_ok());
                    None
                }
            };
            if let Some(fault) = fault {
                bad += 1;
                if bad <= 20 {
                    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fuzz");
                    std::fs::create_dir_all(&folder)?;
                    std::fs::write(folder.join(format!("{format}-{runs}-{fault}")), &bytes)?;
                }
            }
        }
        findings += bad;
        println!(
            "{format}: {runs} files in {:.0} s, {read} of them read, {bad} findings; slowest {:.0} ms, {:.1} MiB beyond twice \
             the file",
            start.elapsed().as_secs_f64(),
            slowest.as_secs_f64() * 1e3,
            largest as f64 / f64::from(1 << 20)
        );
    }
    if findings > 0 { Err(format!("{findings} findings, see target/fuzz").into()) } else { Ok(()) }
}
