//! NumPy archives (`numpy.savez`, stored or deflated): a zip with one `.npy` for each array.
//!
//! A `.npy` is a magic number, a version, a header in the form of a Python dictionary, and the numbers.

use tch::Tensor;

use super::budget::Budget;
use super::dtype;
use super::pickle::{Parse, quote};
use super::state_dict::Contents;
use super::storage::{torch, typed};
use super::unnest::{TENSOR_COST, list};
use super::zip_file::Zip;

/// The longest header that is read; NumPy itself refuses more than 10,000 bytes.
const MAX_HEADER: u64 = 1 << 16;
/// What nearly every header fits into.
const USUAL_HEADER: u64 = 1 << 9;

/// The arrays in `archive`, by the names that they were saved under.
pub(super) fn read(archive: &Zip, mut budget: Budget) -> Parse<Contents> {
    let mut contents = Contents::default();
    let mut skipped = Vec::new();
    for entry in archive.names() {
        let name = entry.strip_suffix(".npy").unwrap_or(entry);
        budget.take(TENSOR_COST + 4 * name.len() as u64)?;
        match array(archive, entry, &mut budget).map_err(|reason| format!("array {}: {reason}", quote(name)))? {
            Some(tensor) => drop(contents.tensors.insert(name.to_string(), tensor)),
            None => skipped.push(quote(name)),
        }
    }
    if !skipped.is_empty() {
        let (count, names) = (skipped.len(), list(skipped.into_iter()));
        contents.notes.push(format!("skipped {count} of the arrays, which are text: {names}"));
    }
    Ok(contents)
}

/// The array in `entry`, unless it is one of texts.
fn array(archive: &Zip, entry: &str, budget: &mut Budget) -> Parse<Option<Tensor>> {
    let mut head = archive.head(entry, USUAL_HEADER)?;
    if head.len() as u64 == USUAL_HEADER && header(&head).is_err() {
        head = archive.head(entry, MAX_HEADER)?;
    }
    let Header { descr, fortran, shape, data } = header(&head)?;
    if descr.contains('O') {
        return Err(
            "holds pickled Python objects, not numbers; regraft never runs code from a checkpoint: save it without \
                    them"
                .into(),
        );
    }
    if descr.contains(['U', 'S']) {
        return Ok(None);
    }
    if descr.starts_with('>') {
        return Err(format!("has big-endian numbers ({descr}); save it as little-endian, array.astype('<…')"));
    }
    let kind = dtype::from_numpy(descr.trim_start_matches(['<', '|', '=']))
        .ok_or_else(|| format!("has elements of type {}, which libtorch through tch does not have", quote(descr)))?;
    let impossible = || format!("has the impossible shape {shape:?}: the file is damaged");
    let elements = shape.iter().try_fold(1i64, |count, &size| count.checked_mul(size.max(1)));
    let widest =
        elements.and_then(|count| count.checked_mul(kind.elt_size_in_bytes() as i64)).ok_or_else(impossible)?;
    let bytes = if shape.contains(&0) { 0 } else { widest as u64 };
    let (claimed, actual) = (bytes + data, archive.size_of(entry)?);
    if claimed != actual {
        return Err(format!("claims {claimed} bytes but has {actual}: it is damaged"));
    }
    budget.take(bytes)?;
    // columns first is the same as the reversed shape with rows first
    let stored: Vec<i64> = if fortran { shape.iter().rev().copied().collect() } else { shape.clone() };
    let tensor = typed(&stored, kind, budget, |shape, kind| archive.tensor(entry, data, shape, kind))?;
    match fortran {
        false => Ok(Some(tensor)),
        true => {
            let reversed: Vec<i64> = (0..shape.len() as i64).rev().collect();
            tensor.f_permute(reversed).map(Some).map_err(torch)
        }
    }
}

#[derive(Debug, PartialEq)]
struct Header<'a> {
    descr: &'a str,
    fortran: bool,
    shape: Vec<i64>,
    /// Where the numbers begin.
    data: u64,
}

fn header(head: &[u8]) -> Parse<Header<'_>> {
    let fault = || "has a damaged .npy header".to_string();
    let (magic, rest) =
        head.split_at_checked(8).filter(|(magic, _)| magic.starts_with(b"\x93NUMPY")).ok_or_else(fault)?;
    let (length, start) = match magic[6] {
        1 => (rest.first_chunk().map(|bytes| u32::from(u16::from_le_bytes(*bytes))), 10),
        2 | 3 => (rest.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)), 12),
        other => return Err(format!("is of .npy version {other}; versions 1 to 3 are known")),
    };
    let data = start + u64::from(length.ok_or_else(fault)?);
    let text = head.get(start as usize..).and_then(|rest| rest.get(..(data - start) as usize)).ok_or_else(fault)?;
    let text = str::from_utf8(text).map_err(|_| fault())?;
    let value = |key: &str| text.split_once(&format!("'{key}':")).map(|(_, after)| after.trim_start());
    let descr = value("descr").ok_or_else(fault)?;
    let Some(descr) = descr.strip_prefix('\'').and_then(|rest| rest.split_once('\'')) else {
        return Err("has records of several fields, not an array of numbers".into());
    };
    let fortran = value("fortran_order").ok_or_else(fault)?.starts_with("True");
    let shape = value("shape").and_then(|shape| shape.strip_prefix('(')?.split_once(')')).ok_or_else(fault)?.0;
    let numbers = shape.split(',').map(str::trim).filter(|number| !number.is_empty());
    let shape = numbers.map(|number| number.trim_end_matches('L').parse::<u32>().map(i64::from));
    let shape = shape.take(65).collect::<Result<Vec<_>, _>>().map_err(|_| fault())?;
    if shape.len() > 64 { Err(fault()) } else { Ok(Header { descr: descr.0, fortran, shape, data }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(version: u8, dictionary: &str) -> Vec<u8> {
        let mut bytes = [b"\x93NUMPY", &[version, 0][..]].concat();
        match version {
            1 => bytes.extend((dictionary.len() as u16).to_le_bytes()),
            _ => bytes.extend((dictionary.len() as u32).to_le_bytes()),
        }
        [bytes, dictionary.into()].concat()
    }

    #[test]
    fn headers_of_all_versions_are_read() {
        let text = "{'descr': '<f4', 'fortran_order': True, 'shape': (3, 4), }  \n";
        for version in 1..=3 {
            let data = if version == 1 { 10 } else { 12 } + text.len() as u64;
            let bytes = npy(version, text);
            let expected = Header { descr: "<f4", fortran: true, shape: vec![3, 4], data };
            assert_eq!(header(&bytes), Ok(expected));
        }
        let scalar = npy(1, "{'descr': '|b1', 'fortran_order': False, 'shape': (), }");
        assert!(header(&scalar).unwrap().shape.is_empty());
    }

    #[test]
    fn damaged_headers_are_refused() {
        for (bytes, expected) in [
            (b"\x93NUMPY\x01\0\xff\xff{".to_vec(), "damaged"),
            (npy(4, "{}"), "version 4"),
            (npy(1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}"), "several fields"),
            (npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}"), "damaged"),
            (npy(1, "{'descr': '<f4', 'shape': (1,)}"), "damaged"),
        ] {
            assert!(header(&bytes).unwrap_err().contains(expected), "{expected}");
        }
    }
}
