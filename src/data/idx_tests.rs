//! Tests of [`super`]: well-formed files in every dress, and everything that can be wrong with one.

use std::io::Write;

use proptest::prelude::*;

use super::*;

fn idx(dims: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, BYTE, dims.len() as u8];
    dims.iter().for_each(|dim| bytes.extend(dim.to_be_bytes()));
    bytes.extend(values);
    bytes
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Names and contents of files.
type Files = Vec<(&'static str, Vec<u8>)>;

/// Writes the files and opens the first one.
fn open(files: &[(&str, Vec<u8>)]) -> Result<IdxSet> {
    let folder = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, bytes)| std::fs::write(folder.path().join(name), bytes).unwrap());
    IdxSet::open(&folder.path().join(files[0].0))
}

fn message(files: &[(&str, Vec<u8>)]) -> String {
    open(files).err().expect("an error").to_string()
}

const IMAGES: &str = "train-images-idx3-ubyte";
const LABELS: &str = "train-labels-idx1-ubyte";

#[test]
fn grey_images_are_repeated_over_the_channels() {
    let set = open(&[(IMAGES, idx(&[2, 1, 3], &[1, 2, 3, 4, 5, 6])), (LABELS, idx(&[2], &[9, 0]))]).unwrap();
    assert_eq!((set.len(), set.label(0), set.label(1), set.classes().len()), (2, 9, 0, 10));
    let image = set.load(1).unwrap();
    assert_eq!(image.dimensions(), (3, 1));
    assert_eq!(image.into_raw(), [4, 4, 4, 5, 5, 5, 6, 6, 6]);
    assert!(set.name(1).ends_with("train-images-idx3-ubyte[1]"));
}

#[test]
fn colour_gzip_and_names_are_read() {
    let images = gzipped(&idx(&[1, 2, 1, 3], &[1, 2, 3, 4, 5, 6]));
    let set = open(&[
        ("t10k-images-idx4-ubyte.gz", images),
        ("t10k-labels-idx1-ubyte.gz", gzipped(&idx(&[1], &[1]))),
        ("classes.txt", b"trouser\r\n\n  ankle boot \n".to_vec()),
    ])
    .unwrap();
    assert_eq!(set.classes(), ["trouser", "ankle boot"]);
    assert_eq!(set.load(0).unwrap().into_raw(), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn what_is_wrong_with_a_pair_is_said() {
    let images = || (IMAGES, idx(&[2, 1, 1], &[0, 0]));
    let cases: Vec<(Files, &str)> = vec![
        (vec![images()], "its labels are missing"),
        (vec![images(), (LABELS, idx(&[1], &[0]))], "holds 1 labels for the 2 images"),
        (vec![images(), (LABELS, idx(&[2], &[0, 10]))], "label 10 of image 1 is beyond the 10 classes"),
        (vec![images(), (LABELS, idx(&[2, 1, 1], &[0, 0]))], "holds 3 dimensions; expected 1"),
        (vec![images(), (LABELS, idx(&[2], &[0, 1])), ("classes.txt", b"a\nb\na".to_vec())], "names class \"a\" twice"),
        (vec![images(), (LABELS, idx(&[2], &[0, 1])), ("classes.txt", b"a".to_vec())], "at least two are needed"),
        (vec![(IMAGES, idx(&[2, 1, 1], &[0]))], "truncated: its header says 2 x 1 x 1 = 2 values, but it holds 1"),
        (vec![(IMAGES, idx(&[2, 1, 1], &[0; 3]))], "holds more than the 2 x 1 x 1 = 2 values"),
        (vec![(IMAGES, idx(&[0, 1, 1], &[]))], "holds 0 images"),
        (vec![(IMAGES, idx(&[1, 1, 1, 4], &[0; 4]))], "images of 4 channels"),
        (vec![(IMAGES, idx(&[u32::MAX; 3], &[]))], "at most 4294967296 are read"),
        (vec![(IMAGES, b"\0\0\x0d\x03".to_vec())], "IDX type 0x0d"),
        (vec![(IMAGES, b"\0\0".to_vec())], "ends within its header"),
        (vec![(IMAGES, b"hello".to_vec())], "not an IDX file"),
        (vec![("pictures", idx(&[1, 1, 1], &[0]))], "named like train-images-idx3-ubyte"),
    ];
    for (files, expected) in cases {
        let message = message(&files);
        assert!(message.contains(expected), "{message}\nlacks: {expected}");
    }
    let mut torn = gzipped(&idx(&[64, 8, 8], &[7; 4096]));
    torn.truncate(torn.len() / 2);
    assert!(message(&[("train-images-idx3-ubyte.gz", torn)]).contains("truncated"));
}

proptest! {
    /// A header may claim what it likes: what is not there is not allocated.
    #[test]
    fn no_input_panics_or_takes_more_memory_than_twice_its_size(
        dims in prop::collection::vec(prop_oneof![0u32..9, any::<u32>()], 0..5),
        values in prop::collection::vec(any::<u8>(), 0..300),
        cut in any::<prop::sample::Index>(),
        junk in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let whole = idx(&dims, &values);
        for bytes in [&whole[..], &whole[..cut.index(whole.len())], &junk] {
            for length in [None, Some(bytes.len() as u64)] {
                if let Ok(idx) = parse(bytes, length, &[1, 3, 4]) {
                    prop_assert_eq!(idx.dims.iter().product::<usize>(), idx.values.len());
                    // A vector that grows starts with a few bytes, whatever comes.
                    prop_assert!(idx.values.capacity() <= 2 * bytes.len() + 64);
                }
            }
        }
    }

    #[test]
    fn what_was_written_is_read(images in 1u32..5, height in 1u32..5, width in 1u32..5, seed: u8) {
        let dims = [images, height, width];
        let values: Vec<u8> = (0..dims.iter().product::<u32>()).map(|i| (i as u8).wrapping_mul(31) ^ seed).collect();
        let bytes = idx(&dims, &values);
        let expected = Idx { dims: dims.map(|dim| dim as usize).to_vec(), values };
        prop_assert_eq!(parse(&bytes[..], Some(bytes.len() as u64), &[3]).unwrap(), expected);
    }
}
