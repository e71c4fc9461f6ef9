//! Bytes of which only so many are left, and the numbers in them.

use std::io::Read;

use super::Parse;
use super::element::Tag;

/// How much memory is asked for before the bytes are there.
const FIRST: u64 = 1 << 16;

/// What is left of an element.
pub(super) struct Input<'a> {
    reader: &'a mut dyn Read,
    left: u64,
    pub(super) big_endian: bool,
}

impl<'a> Input<'a> {
    pub(super) fn new(reader: &'a mut dyn Read, left: u64, big_endian: bool) -> Self {
        Self { reader, left, big_endian }
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Lets no more than `size` bytes be read from here on.
    pub(super) fn limit(&mut self, size: u64) -> Parse<()> {
        self.require(size)?;
        self.left = size;
        Ok(())
    }

    /// Reads what `what` wants of the next `size` bytes, and goes on behind them.
    pub(super) fn within<T>(&mut self, size: u64, what: impl FnOnce(&mut Self) -> Parse<T>) -> Parse<T> {
        self.require(size)?;
        let behind = self.left - size;
        self.left = size;
        let found = what(self)?;
        self.skip(self.left)?;
        self.left = behind;
        Ok(found)
    }

    /// The next `count` bytes. Memory is taken as they arrive.
    pub(super) fn bytes(&mut self, count: u64) -> Parse<Vec<u8>> {
        self.require(count)?;
        let mut bytes = Vec::with_capacity(count.min(FIRST) as usize);
        Read::take(&mut *self.reader, count).read_to_end(&mut bytes).map_err(unreadable)?;
        if (bytes.len() as u64) < count {
            return Err(format!("is truncated: {} bytes are missing", count - bytes.len() as u64));
        }
        self.left -= count;
        Ok(bytes)
    }

    /// Leaves out the next `count` bytes, or what there is of them.
    pub(super) fn skip(&mut self, count: u64) -> Parse<()> {
        let count = count.min(self.left);
        let skipped =
            std::io::copy(&mut Read::take(&mut *self.reader, count), &mut std::io::sink()).map_err(unreadable)?;
        if skipped < count {
            return Err(format!("is truncated: {} bytes are missing", count - skipped));
        }
        self.left -= count;
        Ok(())
    }

    /// The next tag.
    pub(super) fn tag(&mut self) -> Parse<Tag> {
        let bytes = self.bytes(8)?;
        Ok(Tag::of(std::array::from_fn(|index| bytes[index]), self.big_endian))
    }

    /// Reads what is left, and asks for the end of a compressed element, behind which lies its check sum.
    pub(super) fn end(&mut self) -> Parse<()> {
        self.skip(self.left)?;
        // fewer than 8 bytes fill the element up
        Read::take(&mut *self.reader, 8).read_to_end(&mut vec![]).map(drop).map_err(unreadable)
    }

    fn require(&self, count: u64) -> Parse<()> {
        if count <= self.left {
            return Ok(());
        }
        Err(format!("is damaged: it claims {count} bytes where {} are left", self.left))
    }
}

fn unreadable(error: std::io::Error) -> String {
    format!("cannot be read or unpacked, it may be damaged ({error}); fetch the file again")
}
