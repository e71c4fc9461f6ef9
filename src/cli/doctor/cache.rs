//! The folder where downloaded weights are kept.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Problem, host};
use crate::models::cache;

/// What the weights cache holds, and whether more fits in.
#[derive(Debug, Serialize)]
pub(super) struct Cache {
    /// `$REGRAFT_CACHE`, else `regraft/weights` in `$XDG_CACHE_HOME` or `~/.cache`.
    pub folder: Option<PathBuf>,
    /// The files in it with their bytes, sorted by name.
    pub files: Vec<(String, u64)>,
    /// Why nothing can be written there; `None` if it can.
    pub unwritable: Option<String>,
    /// Free bytes on its disk.
    pub free: Option<u64>,
}

impl Cache {
    pub(super) fn probe() -> Self {
        match cache::Cache::open() {
            Ok(cache) => Self::look(cache.folder().to_path_buf()),
            Err(_) => Self {
                folder: None,
                files: Vec::new(),
                unwritable: Some("neither REGRAFT_CACHE, XDG_CACHE_HOME nor HOME is set".into()),
                free: None,
            },
        }
    }

    fn look(folder: PathBuf) -> Self {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let file = |entry: std::fs::DirEntry| {
            let metadata = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // the cache keeps the checksum of each file beside it
            (!name.ends_with(".sha256")).then_some((name, metadata.len()))
        };
        let mut files: Vec<_> = entries.filter_map(file).collect();
        files.sort();
        Self { unwritable: why_unwritable(&folder), free: host::disk_free(&folder), folder: Some(folder), files }
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        let place = self.folder.as_ref().map_or_else(|| "no folder".into(), |folder| folder.display().to_string());
        let mend = "export REGRAFT_CACHE=/a/folder/you/can/write";
        let mut problems = Vec::new();
        if let Some(reason) = &self.unwritable {
            problems.push(Problem::new(format!("weights cannot be kept in {place}: {reason}"), mend));
        } else if self.free.is_some_and(|bytes| bytes < 500 << 20) {
            let free = super::size(self.free.unwrap_or_default());
            problems.push(Problem::new(
                format!("the disk of {place} has only {free} left for weights"),
                format!("free some, or {mend}"),
            ));
        }
        problems
    }
}

/// Tries a temporary file in the folder, or in the nearest parent that exists and would hold it.
fn why_unwritable(folder: &Path) -> Option<String> {
    let existing = folder.ancestors().find(|folder| folder.exists())?;
    tempfile::tempfile_in(existing).err().map(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_that_is_not_there_yet_is_fine_and_a_file_in_its_way_is_not() {
        let temporary = tempfile::tempdir().unwrap();
        let fresh = Cache::look(temporary.path().join("not/yet"));
        assert_eq!((fresh.files.len(), &fresh.unwritable), (0, &None));
        std::fs::write(temporary.path().join("b.pth"), [0; 3]).unwrap();
        std::fs::write(temporary.path().join("a.pth"), [0; 2]).unwrap();
        std::fs::write(temporary.path().join("a.pth.sha256"), "checksum").unwrap();
        std::fs::create_dir(temporary.path().join("folder")).unwrap();
        assert_eq!(Cache::look(temporary.path().into()).files, [("a.pth".into(), 2), ("b.pth".into(), 3)]);
        let blocked = Cache::look(temporary.path().join("a.pth/weights"));
        assert!(blocked.unwritable.is_some());
        assert!(blocked.problems()[0].mend.contains("REGRAFT_CACHE"));
    }
}
