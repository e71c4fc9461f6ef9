//! A few hundred damaged files of every format; `benches/fuzz` makes them by the million and counts memory and time too.

#[path = "../benches/fuzz/mutate.rs"]
mod mutate;

use std::path::Path;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use regraft::models::formats::StateDict;

#[test]
fn damaged_files_of_every_format_are_read_or_refused_in_one_line() {
    let scratch = tempfile::tempdir().unwrap();
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/state_dicts");
    let seeds = mutate::seeds(&goldens, scratch.path());
    let path = scratch.path().join("damaged");
    for format in mutate::FORMATS {
        let seeds: Vec<_> = seeds.iter().filter(|seed| seed.format == format).collect();
        assert!(!seeds.is_empty(), "{format}");
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for _ in 0..300 {
            std::fs::write(&path, mutate::mutate(&seeds, &mut rng)).unwrap();
            let error = StateDict::read(&path).err().map(|error| error.to_string());
            assert!(error.is_none_or(|error| !error.contains('\n')), "{format}");
        }
    }
}
