//! What a file is, from its first bytes: a name's ending is a claim, not a fact.

use super::pickle::{Parse, quote};
use super::unnest::list;

/// How many bytes [`recognise`] wants to see.
pub(super) const HEAD: usize = 512;

/// The formats that hold a state dict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `torch.save` since PyTorch 1.6.
    ZipPickle,
    /// `torch.save` before PyTorch 1.6.
    LegacyPickle,
    /// safetensors.
    Safetensors,
    /// A module with its code, of `torch.jit.save`.
    TorchScript,
    /// Tensors of tch's `VarStore::save` or of C++'s `torch::save`: a TorchScript archive without code.
    Ot,
    /// Arrays of `numpy.savez`.
    Npz,
    /// Several files under one `*.index.json`.
    Sharded,
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ZipPickle => "torch.save (zip)",
            Self::LegacyPickle => "torch.save (legacy)",
            Self::Safetensors => "safetensors",
            Self::TorchScript => "TorchScript (torch.jit.save)",
            Self::Ot => "libtorch (.ot)",
            Self::Npz => "NumPy (.npz)",
            Self::Sharded => "shards with an index",
        })
    }
}

/// The number that a legacy file begins with, 0x1950a86a20f9469cfc6c, as protocols from 2 on and as 0 and 1 write it.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const MAGIC_LINE: &[u8] = b"L119547037146038801333356L\n";

/// First bytes of what people pass by mistake.
const OTHERS: [(&[u8], &str); 9] = [
    (b"version https://git-lfs", "a Git LFS pointer, not the weights themselves; fetch them with `git lfs pull`"),
    (b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (b"BZh", "compressed with bzip2; unpack it first"),
    (b"\xfd7zXZ\0", "compressed with xz; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; unpack it first"),
    (b"\x89HDF\r\n", "an HDF5 file (Keras), not a PyTorch checkpoint; convert it to .safetensors"),
    (b"\x93NUMPY", "a single NumPy array (.npy) without a name; save the arrays of a model by numpy.savez as .npz"),
    (b"GGUF", "a GGUF file, not a PyTorch checkpoint; convert it to .safetensors"),
    (b"\x89PNG", "an image, not a checkpoint"),
];

/// The format of a file of `length` bytes that begins with `head`.
pub(super) fn recognise(head: &[u8], length: u64) -> Parse<Format> {
    const EXPECTED: &str =
        "expected a PyTorch state dict (.pth), a TorchScript archive (.pt), .safetensors, .npz or *.index.json";
    if length == 0 {
        return Err(format!("is empty; {EXPECTED}"));
    }
    if head.len() > 8 && head[8] == b'{' {
        let header = u64::from_le_bytes([head[0], head[1], head[2], head[3], head[4], head[5], head[6], head[7]]);
        // eight bytes of text before a brace would make a header of exabytes
        if header <= 1 << 32 {
            return Ok(Format::Safetensors);
        }
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        return Ok(Format::ZipPickle);
    }
    let first = &head[..head.len().min(32)];
    if head[0] == 0x80 && first.windows(MAGIC.len()).any(|window| window == MAGIC) || head.starts_with(MAGIC_LINE) {
        return Ok(Format::LegacyPickle);
    }
    if let Some((_, what)) = OTHERS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(format!("is {what}"));
    }
    let text = String::from_utf8_lossy(head).trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    if text.starts_with("<!doctype html") || text.starts_with("<html") {
        return Err("is a web page (HTML), not weights: the download went to a page; fetch the file itself".into());
    }
    if text.starts_with('{') {
        return Ok(Format::Sharded);
    }
    if text.starts_with("<?xml") {
        return Err(format!("is text (XML), not weights: perhaps a server's error message; {EXPECTED}"));
    }
    if head.get(257..262) == Some(b"ustar") {
        return Err(
            "is a tar archive (PyTorch before 0.1.10 saved those); unpack it, or re-save it with torch.save".into()
        );
    }
    if head[0] == 0x80 && (2..=5).contains(head.get(1).unwrap_or(&0)) {
        // cut before the end of the magic number, no one can tell
        return Err(format!("is a Python pickle that torch.save did not write, or cut off; {EXPECTED}"));
    }
    if length < 64 {
        return Err(format!("has only {length} bytes: it is truncated or no checkpoint; {EXPECTED}"));
    }
    Err(format!("is in no format that is known here; {EXPECTED}"))
}

/// The format of a zip archive with the entries `names`, and the folder inside it that holds them, with its slash.
pub(super) fn recognise_zip<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Parse<(Format, String)> {
    let parts = |name: &'a str| name.split_once('/').map_or(("", name), |(head, tail)| (&name[..=head.len()], tail));
    let folder_of = |wanted: &[&str]| names.clone().map(parts).find(|(_, tail)| wanted.contains(tail));
    let export = "an exported program (torch.export, .pt2), whose code only Python runs; re-save its weights with \
                  torch.save(program.state_dict, …), or the module with torch.jit.trace";
    if folder_of(&["archive_format", "models/model.json"]).is_some()
        || names.clone().any(|name| name.ends_with("serialized_exported_program.json"))
    {
        return Err(format!("is {export}"));
    }
    if folder_of(&["model.json"]).is_some() {
        return Err(
            "is a TorchScript archive of PyTorch 1.0 to 1.3, whose layout is another; load it in PyTorch and save it \
                    once more with torch.jit.save"
                .into(),
        );
    }
    if let Some((folder, _)) = folder_of(&["data.pkl"]) {
        let script = |name: &str| {
            name.strip_prefix(folder).is_some_and(|tail| tail == "constants.pkl" || tail.starts_with("code/"))
        };
        let format = if names.clone().any(script) { Format::TorchScript } else { Format::ZipPickle };
        return Ok((format, folder.to_string()));
    }
    if names.clone().next().is_some() && names.clone().all(|name| name.ends_with(".npy")) {
        return Ok((Format::Npz, String::new()));
    }
    let names = list(names.map(quote));
    Err(format!("is a zip archive without `data.pkl` (it has {names}): not a PyTorch checkpoint"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_pass_by_mistake_is_named() {
        for (head, expected) in [
            (&b""[..], "empty"),
            (b"\n <!DOCTYPE HTML><head>", "web page"),
            (b"version https://git-lfs.github.com/spec/v1\noid", "LFS"),
            (b"<?xml version='1.0'?><Error>", "XML"),
            (b"\x1f\x8b\x08", "gzip"),
            (b"\x80\x04\x95", "Python pickle"),
            (b"abc", "only 3 bytes"),
            (&[7; 100], "no format"),
        ] {
            assert!(recognise(head, head.len() as u64).unwrap_err().contains(expected), "{expected}");
        }
    }

    #[test]
    fn the_three_formats_are_told_apart() {
        assert_eq!(recognise(b"PK\x03\x04...", 99), Ok(Format::ZipPickle));
        assert_eq!(recognise(b"\x10\0\0\0\0\0\0\0{}", 99), Ok(Format::Safetensors));
        assert_eq!(recognise(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", 99), Ok(Format::LegacyPickle));
        assert_eq!(recognise(b"L119547037146038801333356L\n.", 99), Ok(Format::LegacyPickle));
    }
}
