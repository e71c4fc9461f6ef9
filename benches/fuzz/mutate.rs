//! Seeds for the checkpoint readers, and ways to damage them: bytes at random, and parts of an archive with everything
//! around them kept valid, so that the damage reaches the inner reader.

use std::io::{Cursor, Read, Write};
use std::path::Path;

use rand::{Rng, RngExt};
use regraft::models::formats::{StateDict, write_pth, write_safetensors};
use tch::Tensor;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// A checkpoint to begin with.
pub struct Seed {
    /// The format, for the statistics.
    pub format: &'static str,
    /// The whole file.
    pub bytes: Vec<u8>,
    /// Its entries, if it is a zip archive.
    entries: Vec<(String, Vec<u8>)>,
}

/// The formats that there are seeds of.
pub const FORMATS: [&str; 8] = ["zip", "legacy", "safetensors", "npz", "npy", "torchscript", "ot", "index"];

/// Pieces that mean something in one of the formats.
const WORDS: [&[u8]; 40] = [
    b"\x80\x02",
    b"(",
    b")",
    b"t",
    b"}",
    b"]",
    b"u",
    b"s",
    b"e",
    b"R",
    b"\x81",
    b"b",
    b"Q",
    b"2",
    b"0",
    b"1",
    b"q\x00",
    b"h\x00",
    b"h\x01",
    b"r\xff\xff\xff\x7f",
    b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"J\xff\xff\xff\xff",
    b"X\xff\xff\xff\x7f",
    b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"ccollections\nOrderedDict\n",
    b"cos\nsystem\n",
    b"c__torch__\nM\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch\nLongStorage\n",
    b"ctorch\nBoolStorage\n",
    b"class M(Module):\n",
    b"  __parameters__ = [\"",
    b"ops.a.b(",
    b"'shape': (",
    b"'descr': '|O'",
    b"\"data_offsets\":[0,",
    b"{\"",
    b"../",
    b"9223372036854775807",
    b"-1",
];

/// Every seed: the committed files, and small ones written into `scratch`.
pub fn seeds(goldens: &Path, scratch: &Path) -> Vec<Seed> {
    let mut seeds = Vec::new();
    let mut add = |path: &Path, format: &'static str| {
        let bytes = std::fs::read(path).unwrap();
        let entries = entries(&bytes);
        seeds.push(Seed { format, bytes, entries });
    };
    let mut files: Vec<_> = std::fs::read_dir(goldens).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in &files {
        let name = file.file_name().unwrap().to_string_lossy();
        match name.rsplit_once('.').map(|(_, ending)| ending) {
            Some("pth") if name.contains("legacy") => add(file, "legacy"),
            Some("pth") => add(file, "zip"),
            Some("npz") => add(file, "npz"),
            Some("npy") => add(file, "npy"),
            Some("pt" | "pt2") => add(file, "torchscript"),
            Some("safetensors") => add(file, "safetensors"),
            _ => {}
        }
    }
    let tensors = [("a.b", Tensor::from_slice(&[1f32, 2.0])), ("c", Tensor::from_slice(&[true, false]))];
    let map = tensors.iter().map(|(name, tensor)| (name.to_string(), tensor.shallow_clone())).collect();
    let state = StateDict::new(map, [("key".to_string(), "value".to_string())].into());
    let [small, pth, ot] = ["one.safetensors", "two.pth", "three.ot"].map(|name| scratch.join(name));
    write_safetensors(&small, &state).unwrap();
    write_pth(&pth, &state).unwrap();
    Tensor::save_multi(&tensors, &ot).unwrap();
    add(&small, "safetensors");
    add(&pth, "zip");
    add(&ot, "ot");
    let index = scratch.join("seed.index.json");
    let text =
        "{\"metadata\": {\"total_size\": 8}, \"weight_map\": {\"a.b\": \"one.safetensors\", \"c\": \"two.pth\"}}";
    std::fs::write(&index, text).unwrap();
    add(&index, "index");
    seeds
}

fn entries(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let Ok(mut archive) = ZipArchive::new(Cursor::new(bytes)) else { return Vec::new() };
    let count = archive.len();
    let entry = |index| {
        let mut file = archive.by_index(index).ok()?;
        let mut data = Vec::new();
        file.read_to_end(&mut data).ok()?;
        Some((file.name().ok()?.into_owned(), data))
    };
    (0..count).map_while(entry).collect()
}

/// A damaged copy of one of the `seeds`.
pub fn mutate(seeds: &[&Seed], rng: &mut impl Rng) -> Vec<u8> {
    let seed = seeds[rng.random_range(0..seeds.len())];
    if !seed.entries.is_empty() && rng.random_bool(0.7) {
        return damage_entries(seed, seeds, rng);
    }
    let mut bytes = seed.bytes.clone();
    if seed.format == "safetensors" && rng.random_bool(0.7) {
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let mut header = bytes[8..8 + length].to_vec();
        damage(&mut header, &bytes, rng);
        let data = bytes.split_off(8 + length);
        return [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat();
    }
    let other = &seeds[rng.random_range(0..seeds.len())].bytes;
    damage(&mut bytes, other, rng);
    bytes
}

/// The archive of `seed` with damage in its entries, and a valid table and valid checksums.
fn damage_entries(seed: &Seed, seeds: &[&Seed], rng: &mut impl Rng) -> Vec<u8> {
    let mut entries = seed.entries.clone();
    for _ in 0..rng.random_range(1..3) {
        let Some(last) = entries.len().checked_sub(1) else { break };
        let interesting =
            |(name, _): &(String, Vec<u8>)| name.ends_with(".pkl") || name.ends_with(".py") || name.ends_with(".npy");
        let choice = match entries.iter().position(interesting) {
            Some(place) if rng.random_bool(0.6) => place,
            _ => rng.random_range(0..=last),
        };
        match rng.random_range(0..12) {
            0 => drop(entries.remove(choice)),
            1 => {
                let mut name = entries[choice].0.clone().into_bytes();
                damage(&mut name, b"archive/extra/code/__torch__.py", rng);
                entries[choice].0 = String::from_utf8_lossy(&name).into_owned();
            }
            2 => {
                let other = seeds[rng.random_range(0..seeds.len())];
                if let Some((_, data)) = other.entries.get(choice) {
                    entries[choice].1 = data.clone();
                }
            }
            _ => {
                let other = entries[rng.random_range(0..=last)].1.clone();
                damage(&mut entries[choice].1, &other, rng);
            }
        }
    }
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, data) in entries {
        let method = if rng.random_bool(0.8) { CompressionMethod::Stored } else { CompressionMethod::Deflated };
        // a name that is there already is no entry that a writer makes
        if archive.start_file(name, SimpleFileOptions::default().compression_method(method)).is_ok() {
            archive.write_all(&data).unwrap();
        }
    }
    archive.finish().unwrap().into_inner()
}

/// A few random changes of `bytes`; `other` is a file to take pieces from.
fn damage(bytes: &mut Vec<u8>, other: &[u8], rng: &mut impl Rng) {
    for _ in 0..1 << rng.random_range(0..4) {
        let place = rng.random_range(0..=bytes.len());
        let length = (1usize << rng.random_range(0..8)).min(bytes.len() - place);
        match rng.random_range(0..10) {
            0..3 if place < bytes.len() => bytes[place] ^= 1 << rng.random_range(0..8),
            3 if place < bytes.len() => bytes[place] = rng.random(),
            4 => {
                let word = WORDS[rng.random_range(0..WORDS.len())];
                bytes.splice(place..place, word.iter().copied());
            }
            5 => {
                let word = WORDS[rng.random_range(0..WORDS.len())];
                let end = (place + word.len()).min(bytes.len());
                bytes.splice(place..end, word.iter().copied());
            }
            6 => drop(bytes.drain(place..place + length)),
            7 => {
                let copy = bytes[place..place + length].repeat(1 << rng.random_range(0..10));
                bytes.splice(place..place, copy);
            }
            8 if !other.is_empty() => {
                let from = rng.random_range(0..other.len());
                let piece = &other[from..other.len().min(from + length)];
                bytes.splice(place..place, piece.iter().copied());
            }
            9 if rng.random_bool(0.2) => bytes.truncate(place),
            _ => {
                let number =
                    [0u64, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX, 1 << 40][rng.random_range(0..9)];
                let width = [1, 2, 4, 8][rng.random_range(0..4)];
                let end = (place + width).min(bytes.len());
                bytes[place..end].copy_from_slice(&number.to_le_bytes()[..end - place]);
            }
        }
    }
}
