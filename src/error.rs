//! The one error type of the library: what was being done, what was found, what was expected, and how to mend it.

use std::path::{Path, PathBuf};

/// Shorthand for a result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong in this crate. Every message is one line that a user can act on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The command or its options make no sense; the program ends with exit code 2.
    #[error("{0}")]
    Usage(String),
    /// A file or folder could not be read or written.
    #[error("{}: {action}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done, as in "cannot open".
        action: &'static str,
        /// What the operating system answered.
        source: std::io::Error,
    },
    /// A file was read but does not hold what it should.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was found, what was expected, how to mend it.
        reason: String,
    },
    /// A data set is not what the command needs.
    #[error("{0}")]
    Data(String),
    /// The model, its weights or its layers are not what the command needs.
    #[error("{0}")]
    Model(String),
    /// The device, the precision or the memory that was asked for cannot be had.
    #[error("{0}")]
    Device(String),
    /// Training cannot go on, as when the loss is no longer a number.
    #[error("{0}")]
    Training(String),
    /// The user pressed Ctrl-C; what was learned so far is in the checkpoint. The program ends with exit code 130.
    #[error("interrupted; {0}")]
    Interrupted(String),
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(String),
}

impl Error {
    /// An [`Error::Io`] about `path`, for `map_err`.
    pub fn io(path: impl AsRef<Path>, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { path, action, source }
    }

    /// An [`Error::File`] about `path`.
    pub fn file(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::File { path: path.as_ref().to_path_buf(), reason: reason.into() }
    }

    /// The exit code that the program documents for this error: 2 for wrong usage, 130 after Ctrl-C, 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Interrupted(_) => 130,
            _ => 1,
        }
    }
}

/// libtorch's messages end in a C++ stack trace, which helps no user.
pub(crate) fn without_backtrace(message: &str) -> String {
    let end = ["\nException raised from", "\nframe #0"].iter().filter_map(|mark| message.find(mark)).min();
    message[..end.unwrap_or(message.len())].trim().replace('\n', " ")
}

impl From<tch::TchError> for Error {
    fn from(error: tch::TchError) -> Self {
        let message = without_backtrace(&error.to_string());
        // of CUDA, and of the CPU
        if ["out of memory", "can't allocate memory"].iter().any(|said| message.contains(said)) {
            return Self::Device(format!("{message}; lower --batch-size, raise --accumulate, or use --precision bf16"));
        }
        Self::Torch(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torch_message_keeps_its_text_and_loses_its_stack() {
        let error: Error = tch::TchError::Torch("bad shape\nException raised from f at x.cpp".into()).into();
        assert_eq!(error.to_string(), "libtorch: Internal torch error: bad shape");
    }

    #[test]
    fn too_little_memory_says_what_to_lower() {
        for said in
            ["CUDA out of memory. Tried to allocate 2 GiB", "DefaultCPUAllocator: can't allocate memory: you tried"]
        {
            let error: Error = tch::TchError::Torch(said.into()).into();
            assert!(error.to_string().contains("lower --batch-size"), "{error}");
        }
        let error = Error::from(tch::Tensor::f_empty([1 << 50], tch::kind::FLOAT_CPU).unwrap_err());
        assert!(error.to_string().contains("lower --batch-size"), "{error}");
    }

    #[test]
    fn exit_codes_are_as_documented() {
        assert_eq!(Error::Usage(String::new()).exit_code(), 2);
        assert_eq!(Error::Interrupted(String::new()).exit_code(), 130);
        assert_eq!(Error::Data(String::new()).exit_code(), 1);
    }
}
