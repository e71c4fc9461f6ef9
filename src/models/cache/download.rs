//! A file over HTTP: resumed where it broke off, tried again, and checked.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::time::Duration;

use super::{Progress, checksum};
use crate::Error;

/// How often a connection that breaks is made again, and how long to wait before, in seconds.
const WAITS: [u64; 3] = [0, 1, 3];

/// Why there is no file.
#[derive(Debug)]
pub(super) enum Failure {
    /// The network or the server.
    Remote(String),
    /// The disk.
    Local(Error),
}

impl Failure {
    /// The error for the user; `explain` makes it of what the network said.
    pub(super) fn or_model(self, explain: impl FnOnce(String) -> Error) -> Error {
        match self {
            Self::Remote(reason) => explain(reason),
            Self::Local(error) => error,
        }
    }
}

/// One attempt's end.
enum Attempt {
    Complete,
    /// Worth another one, from where the file ends.
    Again(String),
}

/// Downloads `url` to `part`, going on from what is there; the SHA-256 of the result begins with `sha256`.
pub(super) fn download(url: &str, part: &Path, sha256: &str, progress: &mut Progress) -> Result<(), Failure> {
    let mut resumed = part.metadata().is_ok_and(|meta| meta.len() > 0);
    let mut reason = String::new();
    for wait in WAITS {
        std::thread::sleep(Duration::from_secs(wait));
        match attempt(url, part, progress)? {
            Attempt::Again(why) => reason = why,
            Attempt::Complete => {
                let found = checksum(part).map_err(Failure::Local)?;
                if found.starts_with(sha256) {
                    return Ok(());
                }
                std::fs::remove_file(part).map_err(|error| local(part, "cannot delete the damaged file", error))?;
                reason = format!("the file's SHA-256 is {found}, expected {sha256}…; what was downloaded is deleted");
                // An old beginning may not fit the new end; a whole file that is wrong stays wrong.
                if !std::mem::take(&mut resumed) {
                    break;
                }
            }
        }
    }
    Err(Failure::Remote(reason))
}

fn attempt(url: &str, part: &Path, progress: &mut Progress) -> Result<Attempt, Failure> {
    let here = part.metadata().map_or(0, |meta| meta.len());
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_per_read(Some(Duration::from_secs(60)))
        .user_agent(concat!("regraft/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let mut request = agent.get(url).header("Accept-Encoding", "identity");
    if here > 0 {
        request = request.header("Range", format!("bytes={here}-"));
    }
    let mut response = match request.call() {
        Ok(response) => response,
        // Nothing lies beyond the end: the file is complete, or it is another one.
        Err(ureq::Error::StatusCode(416)) if here > 0 => return Ok(Attempt::Complete),
        Err(ureq::Error::StatusCode(code)) if code < 500 && code != 429 => {
            return Err(Failure::Remote(format!("the server answers {code}")));
        }
        Err(error) => return Ok(Attempt::Again(error.to_string())),
    };
    let goes_on = response.status() == 206;
    let mut done = if goes_on { here } else { 0 };
    let total = response.body().content_length().map(|length| done + length);
    let file = if goes_on { OpenOptions::new().append(true).open(part) } else { File::create(part) };
    let mut file = file.map_err(|error| local(part, "cannot write", error))?;
    progress(done, total);
    let (mut reader, mut buffer) = (response.body_mut().as_reader(), vec![0; 1 << 16]);
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Ok(Attempt::Again(format!("the connection broke after {done} bytes ({error})"))),
        };
        file.write_all(&buffer[..count]).map_err(|error| local(part, "cannot write", error))?;
        done += count as u64;
        progress(done, total);
    }
    file.sync_all().map_err(|error| local(part, "cannot write", error))?;
    Ok(Attempt::Complete)
}

fn local(path: &Path, action: &'static str, error: std::io::Error) -> Failure {
    Failure::Local(Error::io(path, action)(error))
}
