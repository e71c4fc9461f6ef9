//! Zip archives as checkpoints use them: a table of entries, each stored or deflated, read straight into a tensor.
//!
//! Everything that the table claims is checked against the file before memory is asked for, a name may appear only once
//! (readers that differ in which one counts would see different weights), and every checksum is compared.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use flate2::Crc;
use flate2::read::DeflateDecoder;
use tch::{Kind, Tensor};

use super::budget::Budget;
use super::pickle::{Parse, quote};
use crate::native;

const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const LOCATOR_64: &[u8] = b"PK\x06\x07";
const ENTRY: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// What the longest end of a table takes: a record of 22 bytes with a comment, after the locator of 64-bit numbers.
const LONGEST_END: u64 = 20 + 22 + 0xffff;

/// What an entry takes in memory, beyond its name.
const ENTRY_COST: u64 = 192;

/// An archive and its table of entries.
pub(super) struct Zip {
    file: Arc<File>,
    entries: BTreeMap<String, Entry>,
    /// Where the entries end and the table begins.
    data_end: u64,
    /// One for all entries: new ones between the tensors would leave holes in the heap.
    inflater: RefCell<DeflateDecoder<Section>>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
    header: u64,
}

impl Zip {
    /// Reads the table of `file`, of `length` bytes.
    pub fn open(file: File, length: u64, budget: &mut Budget) -> Parse<Self> {
        let cut = || {
            "begins as a zip archive but has no readable end: it is truncated or damaged; fetch or copy it again"
                .to_string()
        };
        let tail_length = length.min(LONGEST_END);
        let tail = bytes_at(&file, length - tail_length, tail_length)?;
        let ends = |at: &usize| {
            tail.get(at + 20..at + 22).is_some_and(|rest| at + 22 + u16_at(rest, 0) as usize == tail.len())
        };
        let end = (0..tail.len().saturating_sub(21)).rev().filter(|&at| tail[at..].starts_with(END)).find(ends);
        let end = end.ok_or_else(cut)?;
        let end_offset = length - tail_length + end as u64;
        let record = &tail[end..];
        let (mut count, mut size, mut start) =
            (u16_at(record, 10).into(), u32_at(record, 12).into(), u32_at(record, 16).into());
        let mut table_end = end_offset;
        if end >= 20 && tail[end - 20..].starts_with(LOCATOR_64) {
            table_end = u64_at(&tail[end - 20..], 8);
            if table_end.checked_add(56).is_none_or(|record| record > end_offset) {
                return Err(cut());
            }
            let record = bytes_at(&file, table_end, 56)?;
            if !record.starts_with(END_64) {
                return Err(cut());
            }
            (count, size, start) = (u64_at(&record, 32), u64_at(&record, 40), u64_at(&record, 48));
        }
        if start.checked_add(size) != Some(table_end) || count > size / 46 {
            return Err(cut());
        }
        budget.take(size)?;
        let table = bytes_at(&file, start, size)?;
        let entries = entries(&table, count, budget)?;
        let file = Arc::new(file);
        let inflater = RefCell::new(DeflateDecoder::new(Section { file: file.clone(), at: 0, left: 0 }));
        Ok(Self { file, entries, data_end: start, inflater })
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.entries.keys().map(String::as_str)
    }

    /// Whether there is an entry called `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The unpacked size of the entry `name`.
    pub fn size_of(&self, name: &str) -> Parse<u64> {
        Ok(self.entry(name)?.size)
    }

    fn entry(&self, name: &str) -> Parse<Entry> {
        self.entries.get(name).copied().ok_or_else(|| format!("has no entry {}: it is damaged", quote(name)))
    }

    /// Where the bytes of `entry` begin.
    fn start_of(&self, name: &str, entry: Entry) -> Parse<u64> {
        let fault = || format!("has no entry {} where its table says: it is damaged", quote(name));
        if entry.header.checked_add(30).is_none_or(|end| end > self.data_end) {
            return Err(fault());
        }
        let header = bytes_at(&self.file, entry.header, 30)?;
        let start = entry.header + 30 + u64::from(u16_at(&header, 26)) + u64::from(u16_at(&header, 28));
        let inside = start.checked_add(entry.packed).is_some_and(|end| end <= self.data_end);
        let known = entry.method == DEFLATED || entry.packed == entry.size;
        if !header.starts_with(LOCAL) || !inside || !known { Err(fault()) } else { Ok(start) }
    }

    /// The bytes of `entry` as they lie in the file.
    fn section(&self, name: &str, entry: Entry) -> Parse<Section> {
        Ok(Section { file: self.file.clone(), at: self.start_of(name, entry)?, left: entry.packed })
    }

    /// A whole entry, of at most `limit` bytes. The memory is not taken from a budget: it is for the caller to weigh.
    pub fn bytes(&self, name: &str, limit: u64) -> Parse<Vec<u8>> {
        let entry = self.entry(name)?;
        if entry.size > limit {
            let size = entry.size;
            return Err(format!("has {size} bytes in {}, where no more than {limit} are expected", quote(name)));
        }
        let mut bytes = vec![0; entry.size as usize];
        match entry.method {
            STORED => {
                let start = self.start_of(name, entry)?;
                self.file.read_exact_at(&mut bytes, start).map_err(|error| damaged(name, &error))?;
                let mut crc = Crc::new();
                crc.update(&bytes);
                check(name, entry, &crc)?;
            }
            _ => self.inflate(name, 0, &mut bytes)?,
        }
        Ok(bytes)
    }

    /// A tensor out of the entry `name`, from its byte `skip` on to its end.
    pub fn tensor(&self, name: &str, skip: u64, shape: &[i64], kind: Kind) -> Parse<Tensor> {
        let entry = self.entry(name)?;
        if entry.method == DEFLATED {
            let fill = |buffer: &mut [u8]| self.inflate(name, skip, buffer).map_err(crate::Error::Model);
            return native::filled(shape, kind, fill).map_err(|error| error.to_string());
        }
        let start = self.start_of(name, entry)?;
        let mut crc = Crc::new();
        crc.update(&bytes_at(&self.file, start, skip.min(entry.size))?);
        let tensor = native::read_at(&self.file, start + skip, shape, kind, Some(&mut crc));
        let tensor = tensor.map_err(|error| error.to_string())?;
        check(name, entry, &crc)?;
        Ok(tensor)
    }

    /// Unpacks what comes after the first `skip` bytes of an entry into `buffer`, which takes all of it.
    fn inflate(&self, name: &str, skip: u64, buffer: &mut [u8]) -> Parse<()> {
        let entry = self.entry(name)?;
        let mut reader = self.inflater.borrow_mut();
        reader.reset(self.section(name, entry)?);
        let mut crc = Crc::new();
        let mut passed = vec![0; skip as usize];
        for part in [&mut passed[..], buffer] {
            // in pieces, so that the checksum meets them in the cache
            for piece in part.chunks_mut(PIECE) {
                reader.read_exact(piece).map_err(|error| damaged(name, &error))?;
                crc.update(piece);
            }
        }
        match reader.read(&mut [0]).map_err(|error| damaged(name, &error))? {
            0 => check(name, entry, &crc),
            _ => Err(damaged(name, &"it is longer than it says")),
        }
    }

    /// The first bytes of an entry, at most `limit`; the checksum is left to whoever reads all of it.
    pub fn head(&self, name: &str, limit: u64) -> Parse<Vec<u8>> {
        let entry = self.entry(name)?;
        let section = self.section(name, entry)?;
        let mut head = Vec::new();
        let read = match entry.method {
            STORED => section.take(limit).read_to_end(&mut head),
            _ => {
                let mut reader = self.inflater.borrow_mut();
                reader.reset(section);
                reader.by_ref().take(limit).read_to_end(&mut head)
            }
        };
        read.map_err(|error| damaged(name, &error))?;
        Ok(head)
    }
}

const PIECE: usize = 1 << 18;

/// A part of a file.
struct Section {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.file.read_at(&mut buffer[..wanted], self.at)?;
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

fn damaged(name: &str, error: &dyn std::fmt::Display) -> String {
    format!("has a damaged {} ({error}): fetch or copy it again, or save it once more", quote(name))
}

fn check(name: &str, entry: Entry, crc: &Crc) -> Parse<()> {
    if crc.sum() == entry.crc { Ok(()) } else { Err(damaged(name, &"its checksum differs")) }
}

fn bytes_at(file: &File, offset: u64, length: u64) -> Parse<Vec<u8>> {
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, offset).map_err(|error| format!("cannot read: {error}"))?;
    Ok(bytes)
}

/// The entries of a table that claims `count` of them.
fn entries(mut table: &[u8], count: u64, budget: &mut Budget) -> Parse<BTreeMap<String, Entry>> {
    let fault = || "has a damaged table of entries: fetch or copy it again".to_string();
    let mut entries = BTreeMap::new();
    for _ in 0..count {
        let (head, rest) = table.split_at_checked(46).filter(|(head, _)| head.starts_with(ENTRY)).ok_or_else(fault)?;
        let [name, extra, comment] = [28, 30, 32].map(|at| u16_at(head, at) as usize);
        let (name, rest) = rest.split_at_checked(name).ok_or_else(fault)?;
        let (extra, rest) = rest.split_at_checked(extra).ok_or_else(fault)?;
        table = rest.get(comment..).ok_or_else(fault)?;
        budget.take(ENTRY_COST + name.len() as u64)?;
        let name = String::from_utf8_lossy(name).into_owned();
        let method = u16_at(head, 10);
        if u16_at(head, 8) & 1 == 1 || ![STORED, DEFLATED].contains(&method) {
            return Err(format!(
                "has {} encrypted or packed by method {method}; unpack it, and zip it again",
                quote(&name)
            ));
        }
        let [mut packed, mut size, mut header] = [20, 24, 42].map(|at| u64::from(u32_at(head, at)));
        // numbers of 64 bits are in the extra field of kind 1, those that are needed, in this order
        let mut wide = wide_numbers(extra).chunks_exact(8).map(|bytes| u64_at(bytes, 0));
        for number in [&mut size, &mut packed, &mut header] {
            if *number == u64::from(u32::MAX) {
                *number = wide.next().ok_or_else(fault)?;
            }
        }
        let entry = Entry { method, crc: u32_at(head, 16), packed, size, header };
        if let Some((name, _)) = entries.insert(name.clone(), entry).map(|old| (name, old)) {
            return Err(format!("lists {} twice: it is damaged or made to deceive", quote(&name)));
        }
    }
    Ok(entries)
}

/// What the extra fields hold under the kind 1.
fn wide_numbers(mut extra: &[u8]) -> &[u8] {
    while let Some((head, rest)) = extra.split_at_checked(4) {
        let Some((field, rest)) = rest.split_at_checked(u16_at(head, 2) as usize) else { break };
        if u16_at(head, 0) == 1 {
            return field;
        }
        extra = rest;
    }
    &[]
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte]))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte]))
}
