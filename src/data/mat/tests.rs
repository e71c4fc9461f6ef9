//! Tests of [`super`]: files that SciPy wrote, files made by hand in every dress, and damaged ones.

use std::io::Write;

use flate2::write::ZlibEncoder;
use proptest::prelude::*;

use super::*;

const GOLDENS: [&str; 2] = ["plain", "compressed"];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/mat/{name}.mat"))
}

/// What a file is written with.
#[derive(Clone, Copy)]
pub(in super::super) struct Writer {
    pub(in super::super) big_endian: bool,
}

impl Writer {
    fn word(self, value: u32) -> [u8; 4] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    /// An element, in its tag where it fits.
    pub(in super::super) fn element(self, kind: u32, bytes: &[u8]) -> Vec<u8> {
        if !bytes.is_empty() && bytes.len() <= 4 {
            let mut small = [self.word(kind | (bytes.len() as u32) << 16), [0; 4]].concat();
            small[4..4 + bytes.len()].copy_from_slice(bytes);
            return small;
        }
        let mut whole = [&self.word(kind)[..], &self.word(bytes.len() as u32), bytes].concat();
        if kind != COMPRESSED {
            whole.resize(whole.len().next_multiple_of(8), 0);
        }
        whole
    }

    fn words(self, kind: u32, values: &[u32]) -> Vec<u8> {
        self.element(kind, &values.iter().flat_map(|&value| self.word(value)).collect::<Vec<u8>>())
    }

    /// A variable whose elements are the `contents`.
    pub(in super::super) fn matrix(self, class: u32, dims: &[u32], name: &str, contents: &[u8]) -> Vec<u8> {
        let parts =
            [self.words(6, &[class, 0]), self.words(5, dims), self.element(1, name.as_bytes()), contents.to_vec()];
        self.element(MATRIX, &parts.concat())
    }

    pub(in super::super) fn file(self, elements: &[Vec<u8>]) -> Vec<u8> {
        let mut header = b"MATLAB 5.0 MAT-file, made by a test".to_vec();
        header.resize(124, b' ');
        header.extend(if self.big_endian { *b"\x01\0MI" } else { *b"\0\x01IM" });
        [vec![header], elements.to_vec()].concat().concat()
    }
}

fn get(bytes: &[u8], name: &str) -> Result<MatArray> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mat");
    std::fs::write(&path, bytes).unwrap();
    MatFile::open(&path)?.get(name)
}

fn message<T>(result: Result<T>) -> String {
    result.err().expect("an error").to_string()
}

#[test]
fn what_scipy_writes_is_read() {
    for name in GOLDENS {
        let file = MatFile::open(&golden(name)).unwrap();
        assert!(file.names().eq([
            "att",
            "fts",
            "labels",
            "single",
            "large",
            "images",
            "title",
            "empty",
            "allclasses_names",
            "record",
            "complex",
        ]));
        let get = |name: &str| file.get(name).unwrap();
        let att = get("att");
        assert_eq!(att.describe(), "double [2 x 3]");
        let numbers = att.to_f64().unwrap();
        assert_eq!((&numbers[..3], numbers[4], numbers[5]), (&[0.5, 2.0, -1.25][..], 3e100, f64::INFINITY));
        assert!(numbers[3].is_nan());
        // columns first
        assert_eq!(get("fts").into_values(), Values::U8(vec![0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]));
        assert_eq!((get("labels").to_whole().unwrap(), get("labels").dims()), (vec![1, 2, 10], &[3, 1][..]));
        assert_eq!(get("single").values(), &Values::F32(vec![1.5, -2.5]));
        assert_eq!(get("large").values(), &Values::I64(vec![(1 << 62) + 1, -(1 << 62)]));
        assert_eq!(get("images").dims(), [2, 3, 3, 2]);
        assert_eq!(get("images").to_whole().unwrap()[..3], [0, 18, 6]);
        assert_eq!(get("title").as_text(), Some("splits"));
        assert_eq!((get("empty").dims(), get("empty").to_f64().unwrap().len()), (&[0, 3][..], 0));
        let names = get("allclasses_names");
        let names: Vec<_> = names.as_cells().unwrap().iter().map(|cell| cell.as_text().unwrap()).collect();
        assert_eq!(names, ["antelope", "grizzly+bear", "Bär"]);
        assert!(message(file.get("record")).contains("variable \"record\" is a struct"));
        assert!(message(file.get("complex")).contains("complex numbers"));
        assert!(message(file.get("other")).contains("has no variable \"other\", only att, fts"));
    }
}

#[test]
fn numbers_are_widened_to_their_class_in_either_byte_order() {
    for big_endian in [false, true] {
        let writer = Writer { big_endian };
        let halves = |values: [i16; 3]| {
            values.map(|value| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() }).concat()
        };
        let file = writer.file(&[
            writer.matrix(6, &[1, 3], "x", &writer.element(3, &halves([-2, 0, 700]))),
            writer.matrix(13, &[3, 1], "a_long_name", &writer.element(2, &[1, 2, 255])),
            writer.matrix(12, &[1, 3], "negative", &writer.element(3, &halves([-2, 0, 700]))),
        ]);
        assert_eq!(get(&file, "x").unwrap().values(), &Values::F64(vec![-2.0, 0.0, 700.0]));
        assert_eq!(get(&file, "a_long_name").unwrap().values(), &Values::U32(vec![1, 2, 255]));
        assert_eq!(get(&file, "negative").unwrap().to_whole(), None);
        let unfit = writer.file(&[writer.matrix(9, &[1, 3], "x", &writer.element(3, &halves([-2, 0, 700])))]);
        assert!(message(get(&unfit, "x")).contains("a number does not fit its class"));
    }
}

#[test]
fn what_is_no_such_file_is_said() {
    let writer = Writer { big_endian: false };
    let byte = |value| writer.element(2, &[value]);
    let nested = (0..9).fold(byte(1), |inner, _| writer.matrix(1, &[1, 1], "", &inner));
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"MATLAB 7.3 MAT-file".to_vec(), "is no MATLAB file"),
        ([&b"MATLAB 7.3 MAT-file"[..], &[0; 493], b"\x89HDF\r\n\x1a\n\x00"].concat(), "is damaged"),
        ([&[0, 0, 0, 0, 1, 0, 0, 0], &[0; 200][..]].concat(), "may be of version 4"),
        (b"hello".to_vec(), "is no MATLAB file"),
        (vec![], "is no MATLAB file"),
        (writer.file(&[vec![99, 0, 0, 0, 0, 0, 0, 0]]), "the element at byte 128 is of type 99"),
        (
            writer.file(&[writer.matrix(9, &[1, 1], "x", &byte(7))[..40].to_vec()]),
            "is truncated: the element at byte 128",
        ),
        (writer.file(&[writer.element(COMPRESSED, b"no zlib")]), "cannot be read or unpacked"),
        (writer.file(&[writer.matrix(9, &[2, 1], "x", &byte(7))]), "is damaged: uint8 [2 x 1] has 1 elements"),
        (writer.file(&[writer.matrix(9, &[1], "x", &byte(7))]), "its dimensions are [1]"),
        (writer.file(&[writer.matrix(9, &[u32::MAX, 1], "x", &byte(7))]), "a number does not fit"),
        (writer.file(&[writer.matrix(1, &[1 << 20, 1 << 20], "x", &[])]), "it claims 1099511627776 cells in 0 bytes"),
        (writer.file(&[writer.matrix(1, &[1, 1], "x", &nested)]), "cells more than 8 deep"),
        (writer.file(&[writer.matrix(5, &[1, 1], "x", &byte(7))]), "is a sparse array"),
        (writer.file(&[writer.matrix(0, &[1, 1], "x", &byte(7))]), "class 0 is none"),
    ];
    for (bytes, expected) in cases {
        let message = message(get(&bytes, "x"));
        assert!(message.contains(expected), "{message}\nlacks: {expected}");
    }
    assert!(message(MatFile::open(Path::new("no/such.mat"))).contains("cannot open the MATLAB file"));
}

/// A few bytes that unpack to a GiB of zeros, and claims that nothing stands behind.
#[test]
fn claims_are_held_against_what_is_there() {
    let writer = Writer { big_endian: false };
    let mut claim = writer.matrix(6, &[1 << 15, 1 << 15], "x", &[]);
    claim[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut packed = ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&claim).unwrap();
    packed.write_all(&[9, 0, 0, 0, 0, 0, 0, 128]).unwrap();
    let file = writer.file(&[writer.element(COMPRESSED, &packed.finish().unwrap())]);
    let message = message(get(&file, "x"));
    assert!(message.contains("is truncated: 2147483648 bytes are missing"), "{message}");
}

#[test]
fn a_wrong_check_sum_is_noticed() {
    let mut bytes = std::fs::read(golden("compressed")).unwrap();
    let first = u32::from_le_bytes(std::array::from_fn(|index| bytes[132 + index])) as usize;
    bytes[136 + first - 1] ^= 1;
    assert!(message(get(&bytes, "att")).contains("cannot be read or unpacked"));
    assert!(get(&bytes, "fts").is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// A damaged file is read or refused in one line.
    #[test]
    fn damage_is_an_error_and_no_panic(
        which in 0..2usize,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = std::fs::read(golden(GOLDENS[which])).unwrap();
        let length = bytes.len();
        flips.iter().for_each(|(at, byte)| bytes[at.index(length)] = *byte);
        bytes.truncate(cut.map_or(length, |cut| cut.index(length)));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.mat");
        std::fs::write(&path, &bytes).unwrap();
        match MatFile::open(&path) {
            Err(error) => prop_assert!(!error.to_string().contains('\n')),
            Ok(file) => {
                for name in file.names() {
                    if let Err(error) = file.get(name) {
                        prop_assert!(!error.to_string().contains('\n'));
                    }
                }
            }
        }
    }
}

#[test]
fn version_7_3_holds_the_same_as_version_5() {
    // tests/golden/mat/generate_7_3.py wrote both
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/mat");
    let (old, new) = (MatFile::open(&folder.join("v5.mat")).unwrap(), MatFile::open(&folder.join("v7.3.mat")).unwrap());
    let names = |file: &MatFile| file.names().map(str::to_string).collect::<std::collections::BTreeSet<_>>();
    assert_eq!((names(&old), names(&old).len()), (names(&new), 7));
    for name in old.names() {
        assert_eq!(old.get(name).unwrap(), new.get(name).unwrap(), "{name}");
    }
    assert_eq!(new.get("text").unwrap().as_text(), Some("grizzly+bear é"));
    assert!(message(new.get("nothing")).contains("has no variable \"nothing\", only cells"));
}
