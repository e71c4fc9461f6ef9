//! Feeds damaged checkpoints to the readers, for as long as asked: no panic, no hang, no memory beyond twice the file.
//!
//! `cargo bench --bench fuzz_formats -- SECONDS SEED [FORMAT…]` first reads a few files made to use up memory, then gives each
//! format the same time of the processor, and prints one line for each. An input that breaks a promise is kept in
//! `target/fuzz`, and the program ends with an error.

mod bombs;
mod memory;
mod mutate;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use regraft::models::formats::StateDict;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// The longest that one file may take, in seconds of the processor.
const SLOW: f64 = 2.0;

/// What a file may take beyond twice its size: the readers' own spare of 32 MiB, and what they do not count.
const SPARE: usize = 40 << 20;

/// How reading the files of one format went.
#[derive(Default)]
struct Tally {
    files: u64,
    read: u64,
    findings: u64,
    slowest: f64,
    /// The most memory beyond twice the file.
    beyond: usize,
}

impl Tally {
    /// Reads `bytes` as the file `path`, and keeps them under `name` if that breaks a promise.
    fn feed(&mut self, path: &Path, bytes: &[u8], name: &str) -> std::io::Result<()> {
        std::fs::write(path, bytes)?;
        let before = memory::begin();
        let begun = memory::thread_seconds();
        let result = catch_unwind(AssertUnwindSafe(|| StateDict::read(path)));
        let (took, most) = (memory::thread_seconds() - begun, memory::most(&before));
        let beyond = most.saturating_sub(2 * bytes.len());
        (self.slowest, self.beyond) = (self.slowest.max(took), self.beyond.max(beyond));
        self.files += 1;
        self.read += u64::from(matches!(result, Ok(Ok(_))));
        let fault = match &result {
            Err(_) => "panic".to_string(),
            Ok(Err(error)) if error.to_string().contains('\n') => "lines".to_string(),
            _ if took > SLOW => format!("slow-{:.0}ms", took * 1e3),
            _ if beyond > SPARE => format!("memory-{most}"),
            _ => return Ok(()),
        };
        self.findings += 1;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fuzz");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(format!("{name}-{}-{fault}", self.files)), bytes)
    }

    fn print(&self, format: &str, seconds: f64) {
        let Self { files, read, findings, slowest, beyond } = self;
        let (slowest, beyond) = (slowest * 1e3, *beyond as f64 / f64::from(1 << 20));
        println!(
            "{format}: {files} files in {seconds:.0} s, {read} of them read, {findings} findings; slowest {slowest:.0} ms, \
             {beyond:.1} MiB beyond twice the file"
        );
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let [seconds, seed, formats @ ..] = &words[..] else { return Err("expected SECONDS SEED [FORMAT…]".into()) };
    let (seconds, seed): (f64, u64) = (seconds.parse()?, seed.parse()?);
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
    let mut tally = Tally::default();
    for (name, bytes) in bombs::all() {
        tally.feed(&scratch.path().join("bomb"), &bytes, &name.replace(' ', "-"))?;
    }
    tally.print("bombs", 0.0);
    findings += tally.findings;
    for format in &formats {
        let seeds: Vec<_> = seeds.iter().filter(|seed| seed.format == *format).collect();
        if seeds.is_empty() {
            return Err(format!("there is no seed of {format}; expected one of {:?}", mutate::FORMATS).into());
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let path: PathBuf = scratch.path().join("damaged");
        let (begun, mut tally) = (memory::thread_seconds(), Tally::default());
        while memory::thread_seconds() - begun < seconds / formats.len() as f64 && tally.findings < 20 {
            tally.feed(&path, &mutate::mutate(&seeds, &mut rng), format)?;
        }
        tally.print(format, memory::thread_seconds() - begun);
        findings += tally.findings;
    }
    if findings > 0 { Err(format!("{findings} findings, see target/fuzz").into()) } else { Ok(()) }
}
