//! Files made to ask for much more memory than they take: each construct that a reader keeps, as small and as often as it
//! can be.

use std::fmt::Write as _;
use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// About how many bytes each of them has before it is packed.
const SIZE: usize = 4 << 20;

/// A name for the report, and the file.
pub fn all() -> Vec<(&'static str, Vec<u8>)> {
    let mut bombs: Vec<_> = [
        ("empty tuples", &b"("[..], &b")"[..]),
        ("empty dictionaries", b"(", b"}"),
        ("nones", b"(", b"N"),
        ("marks", b"", b"("),
        ("copies", b"]", b"2"),
        ("one-tuples of one-tuples", b")", b"\x85"),
        ("tuples out of a tall stack", b"((NNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNN1", b"(Nt0"),
        ("memo", b"N", b"\x94"),
        ("texts", b"(", b"U\x01\xff"),
        ("classes", b"(", b"c__torch__\nA\n"),
        ("items", b"](", b"Nae"),
    ]
    .map(|(name, start, piece)| {
        let mut pickle = [b"\x80\x04", start, &piece.repeat(SIZE / piece.len())].concat();
        pickle.push(b'.');
        (name, archive([("a/data.pkl".into(), pickle), ("a/constants.pkl".into(), vec![])], CompressionMethod::Stored))
    })
    .into();
    let entry = |at: usize| (format!("a/{at:x}"), vec![]);
    let entries = (0..SIZE / 100).map(entry).chain([("a/data.pkl".into(), b"\x80\x02}.".to_vec())]);
    bombs.push(("zip entries", archive(entries, CompressionMethod::Stored)));
    let zeros = archive([("a.npy".into(), vec![0; 64 * SIZE])], CompressionMethod::Deflated);
    bombs.push(("deflated zeros", zeros));
    let code = [b"class A(Module):\n  __parameters__ = [".to_vec(), b"\"a\", ".repeat(SIZE / 5)].concat();
    let code = [("a/code/a.py".into(), code), ("a/data.pkl".into(), b"\x80\x02}.".to_vec())];
    bombs.push(("code", archive(code, CompressionMethod::Deflated)));
    let (mut metadata, mut tensors, mut index) =
        (String::from("{\"__metadata__\":{"), String::from("{"), String::from("{\"weight_map\":{"));
    for at in 0..SIZE / 16 {
        let comma = if at == 0 { "" } else { "," };
        let _ = write!(metadata, "{comma}\"{at:x}\":\"\"");
        let _ = write!(index, "{comma}\"{at:x}\":\"\"");
        if at < SIZE / 64 {
            let _ = write!(tensors, "{comma}\"{at:x}\":{{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,0]}}");
        }
    }
    for (name, header) in [("metadata", metadata + "}}"), ("empty tensors", tensors + "}")] {
        bombs.push((name, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat()));
    }
    bombs.push(("index", (index + "}}").into_bytes()));
    bombs
}

fn archive(entries: impl IntoIterator<Item = (String, Vec<u8>)>, method: CompressionMethod) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, data) in entries {
        archive.start_file(name, SimpleFileOptions::default().compression_method(method)).unwrap();
        archive.write_all(&data).unwrap();
    }
    archive.finish().unwrap().into_inner()
}
