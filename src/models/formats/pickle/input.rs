//! Bytes of a pickle, with the end known: no length in the file makes us allocate more than the file holds.

use std::io::BufRead;

use super::Parse;

/// The longest text line (protocol 0) that is read.
const MAX_LINE: u64 = 1 << 20;

/// A reader that knows where it is and where the file ends.
pub(crate) struct Input<R> {
    reader: R,
    position: u64,
    end: u64,
}

impl<R: BufRead> Input<R> {
    /// `reader` stands at the first of `length` bytes.
    pub fn new(reader: R, length: u64) -> Self {
        Self { reader, position: 0, end: length }
    }

    fn truncated(&self) -> String {
        format!(
            "ends too early, in the middle of its data at byte {}: it is truncated; fetch or copy it again",
            self.end
        )
    }

    /// How many bytes have been passed.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Fails unless `length` more bytes are left.
    pub fn require(&self, length: u64) -> Parse<()> {
        if length > self.end - self.position { Err(self.truncated()) } else { Ok(()) }
    }

    /// Fills `buffer`.
    pub fn fill(&mut self, buffer: &mut [u8]) -> Parse<()> {
        self.require(buffer.len() as u64)?;
        self.reader.read_exact(buffer).map_err(|error| format!("cannot read: {error}"))?;
        self.position += buffer.len() as u64;
        Ok(())
    }

    /// The next byte.
    pub fn byte(&mut self) -> Parse<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Parse<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// The next `length` bytes.
    pub fn bytes(&mut self, length: u64) -> Parse<Vec<u8>> {
        self.require(length)?;
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// The next `length` bytes as text.
    pub fn text(&mut self, length: u64) -> Parse<String> {
        String::from_utf8(self.bytes(length)?).map_err(|_| "holds text that is not UTF-8: it is damaged".into())
    }

    /// The rest of the line, without its end.
    pub fn line(&mut self) -> Parse<String> {
        let (mut bytes, limit) = (Vec::new(), MAX_LINE.min(self.end - self.position));
        let mut limited = std::io::Read::take(&mut self.reader, limit);
        let read = limited.read_until(b'\n', &mut bytes).map_err(|error| format!("cannot read: {error}"))?;
        self.position += read as u64;
        if bytes.pop() != Some(b'\n') {
            return Err(self.truncated());
        }
        String::from_utf8(bytes).map_err(|_| "holds text that is not UTF-8: it is damaged".into())
    }

    /// Passes over `length` bytes by reading them.
    pub fn skip(&mut self, length: u64) -> Parse<()> {
        self.require(length)?;
        let mut limited = std::io::Read::take(&mut self.reader, length);
        let read =
            std::io::copy(&mut limited, &mut std::io::sink()).map_err(|error| format!("cannot read: {error}"))?;
        self.position += read;
        if read < length { Err(self.truncated()) } else { Ok(()) }
    }
}

impl<R: BufRead + std::io::Seek> Input<R> {
    /// Passes over `length` bytes without reading them.
    pub fn seek_over(&mut self, length: u64) -> Parse<()> {
        self.require(length)?;
        // `require` keeps `length` within the file, whose size fits an i64
        self.reader.seek_relative(length as i64).map_err(|error| format!("cannot read: {error}"))?;
        self.position += length;
        Ok(())
    }
}
