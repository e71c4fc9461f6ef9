//! Files that are either the old one or the whole new one, whatever happens while they are written.
//!
//! The bytes go to a temporary file in the same folder, are synced to the disk, and the file is renamed into place.

use std::cell::Cell;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde::Serialize;

use crate::{Error, Result};

/// How the names of temporary files begin; a kill can leave one.
pub const TEMPORARY: &str = ".writing-";

thread_local! {
    static PASSING: Cell<bool> = const { Cell::new(false) };
}

/// Does `work`, whose files nobody wants after it, without syncing what this thread writes: that would take longer than many a short
/// training.
pub fn passing<T>(work: impl FnOnce() -> T) -> T {
    /// Undoes it, also where the work panics.
    struct Until(bool);
    impl Drop for Until {
        fn drop(&mut self) {
            PASSING.set(self.0);
        }
    }
    let _until = Until(PASSING.replace(true));
    work()
}

/// Writes `path` through `write`, making its folder where there is none. On any error, the disk being full among them,
/// what was at `path` stays as it was and the temporary file is removed.
///
/// # Errors
/// The folder or the file cannot be written, or what `write` answers.
pub fn write_atomically(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    replace(path, |file| {
        let mut buffered = BufWriter::with_capacity(1 << 16, file.as_file_mut());
        write(&mut buffered).and_then(|()| buffered.flush()).map_err(Error::io(path, "cannot write"))
    })
}

/// The same for what writes to a path of its own accord, as libtorch does: `write` is given the temporary file's.
///
/// # Errors
/// As [`write_atomically`].
pub fn write_path_atomically(path: impl AsRef<Path>, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let path = path.as_ref();
    replace(path, |file| write(file.path()))
}

fn replace(path: &Path, write: impl FnOnce(&mut tempfile::NamedTempFile) -> Result<()>) -> Result<()> {
    if path.is_dir() || path.file_name().is_none() {
        return Err(Error::file(path, "is a folder; name a file to write"));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(Error::io(folder, "cannot make the folder"))?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    #[cfg(unix)]
    {
        // a temporary file is for its owner only; the result is to be as any other file, which the umask decides
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder).map_err(Error::io(path, "cannot write"))?;
    write(&mut file)?;
    let lasts = !PASSING.get();
    if lasts {
        file.as_file().sync_all().map_err(Error::io(path, "cannot write"))?;
    }
    file.persist(path).map_err(|failure| Error::io(path, "cannot write")(failure.error))?;
    #[cfg(unix)]
    if lasts {
        // the new name is on the disk only when the folder is
        let synced = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(Error::io(folder, "cannot write"))?;
    }
    Ok(())
}

/// Writes `bytes` to `path`.
///
/// # Errors
/// As [`write_atomically`].
pub fn write_bytes(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    write_atomically(path, |file| file.write_all(bytes))
}

/// Reads a value from the JSON file `path`.
///
/// # Errors
/// A file that cannot be read or holds no such value.
pub fn read_json<T: serde::de::DeserializeOwned>(path: impl AsRef<Path>) -> Result<T> {
    let path = path.as_ref();
    let text = std::fs::read_to_string(path).map_err(Error::io(path, "cannot read"))?;
    serde_json::from_str(&text).map_err(|error| Error::file(path, format!("does not hold what is expected: {error}")))
}

/// Writes `value` to `path` as indented JSON with a line feed at the end.
///
/// # Errors
/// As [`write_atomically`]; or `value` has no JSON form.
pub fn write_json(path: impl AsRef<Path>, value: &impl Serialize) -> Result<()> {
    let path = path.as_ref();
    let mut text = serde_json::to_string_pretty(value).map_err(|error| Error::file(path, error.to_string()))?;
    text.push('\n');
    write_bytes(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_the_whole_file_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.txt");
        write_bytes(&path, b"a long first version").unwrap();
        write_bytes(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(folder.path().join("a")).unwrap().count(), 1);
    }

    #[test]
    fn a_failure_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        write_bytes(&path, b"old").unwrap();
        let error = write_atomically(&path, |file| {
            file.write_all(&[0; 1 << 17])?;
            Err(std::io::ErrorKind::StorageFull.into())
        });
        assert!(error.unwrap_err().to_string().contains("cannot write"));
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_passes_is_written_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passing");
        passing(|| {
            write_bytes(&path, b"here").unwrap();
            passing(|| assert!(PASSING.get()));
            assert!(PASSING.get());
        });
        assert!(!PASSING.get());
        assert_eq!(std::fs::read(&path).unwrap(), b"here");
    }

    #[test]
    fn impossible_places_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = |path: &Path| write_bytes(path, b"x").unwrap_err().to_string();
        assert!(error(folder.path()).contains("is a folder"));
        let file = folder.path().join("file");
        std::fs::write(&file, b"kept").unwrap();
        let message = error(&file.join("below"));
        assert!(message.contains("file: cannot make the folder"), "{message}");
        assert_eq!(std::fs::read(&file).unwrap(), b"kept");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_has_the_usual_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let [atomic, plain] = ["atomic", "plain"].map(|name| folder.path().join(name));
        write_bytes(&atomic, b"x").unwrap();
        std::fs::write(&plain, "x").unwrap();
        let mode = |path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&atomic), mode(&plain));
    }
}
