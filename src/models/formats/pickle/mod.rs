//! A pickle machine that can build tensors and containers, and nothing else.
//!
//! Python's pickle format is a program for a stack machine, and one of its instructions calls any function by name: to
//! load a pickle in Python is to run it. This machine knows the instructions of protocols 0 to 5 and the few names that
//! `torch.save` writes for tensors; any other name ends the reading with an error that says it. Nothing is ever
//! executed, storages are only described here (`zip_pickle` and `legacy_pickle` read them), and sizes, depth and the
//! number of objects are bounded, whatever the file claims.

mod calls;
mod input;
mod machine;
mod value;

pub(super) use input::Input;
pub(super) use machine::run;
pub(super) use value::{Arena, Object, Storage, Value, View};

/// Who wrote a pickle, which says what else than tensors and containers it may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Python's `torch.save`: nothing else.
    TorchSave,
    /// `torch.jit.save`: objects of the archive's own classes, as plain attributes. Their code is never looked up.
    TorchScript,
}

/// A result whose error says what is wrong with the file; the caller knows its path.
pub(super) type Parse<T> = std::result::Result<T, String>;

/// A finished pickle: its one value and the objects it refers to.
#[derive(Debug)]
pub(super) struct Pickled {
    /// What was pickled.
    pub root: Value,
    /// Everything it refers to.
    pub arena: Arena,
}

impl Pickled {
    /// The storages that the pickle describes. All else is freed, before the memory for the tensors is taken.
    pub fn into_storages(self) -> Vec<Storage> {
        self.arena.storages
    }
}

/// A name out of a file, fit for one line of a message.
pub(super) fn quote(name: &str) -> String {
    let shown: String = name.chars().take(80).flat_map(char::escape_debug).collect();
    let more = if name.chars().nth(80).is_some() { "…" } else { "" };
    format!("`{shown}{more}`")
}
