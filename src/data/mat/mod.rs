//! MATLAB files of version 5, which `save` writes unless told otherwise, and of 7.3: arrays of numbers, texts, and cells of them.
//!
//! The layout of 7.3 is HDF5 (`hdf5.rs`); that of version 5 is that of MathWorks, *MAT-File Format*: 128 bytes of text, version and byte order, then an element for each
//! variable, plain or compressed. [`MatFile::open`] lists the variables, and [`MatFile::get`] reads one. Numbers may be
//! stored in a narrower type than they have, as MATLAB does with whole ones. A damaged file is an error: what it claims is
//! held against what is there before memory is asked for. Structs, objects, sparse and complex arrays are not read.

mod array;
mod element;
mod hdf5;
mod input;
mod matrix;

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::bufread::ZlibDecoder;

pub use array::{MatArray, Values};
use hdf5::Hdf5;

use crate::{Error, Result};
use element::{COMPRESSED, MATRIX, Tag};
use input::Input;
use matrix::Head;

/// What parsing answers; the message lacks the path.
type Parse<T> = std::result::Result<T, String>;

/// The most bytes that a variable can say it has, plain; a tag has 32 bits for that.
const MAX_BYTES: u64 = u32::MAX as u64;
/// The most variables in a file.
const MAX_VARIABLES: usize = 1 << 16;
const HEADER: u64 = 128;

/// A file whose variables are known and not read yet.
#[derive(Debug, Clone)]
pub struct MatFile {
    path: PathBuf,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    /// Version 5.
    Elements { big_endian: bool, variables: Vec<Variable> },
    /// Version 7.3.
    Hdf5(Hdf5),
}

#[derive(Debug, Clone)]
struct Variable {
    name: String,
    /// Where its element begins, behind the tag, and how long it is there.
    offset: u64,
    size: u64,
    compressed: bool,
}

impl MatFile {
    /// Lists the variables in the file at `path`.
    ///
    /// # Errors
    /// A file that is missing, is of another version or no MATLAB file, is truncated or damaged.
    pub fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(Error::io(path, "cannot open the MATLAB file"))?;
        let length = file.metadata().map_err(Error::io(path, "cannot read the MATLAB file"))?.len();
        let listed = || -> Parse<Form> {
            if is_hdf5(&mut file)? {
                return Hdf5::open(path).map(Form::Hdf5);
            }
            let (big_endian, variables) = list(&mut file, length)?;
            Ok(Form::Elements { big_endian, variables })
        };
        Ok(Self { path: path.to_path_buf(), form: { listed }().map_err(|reason| Error::file(path, reason))? })
    }

    /// The names of the variables, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        match &self.form {
            Form::Elements { variables, .. } => variables.iter().map(|variable| variable.name.as_str()).collect(),
            Form::Hdf5(file) => file.names.iter().map(String::as_str).collect::<Vec<_>>(),
        }
        .into_iter()
    }

    /// Reads the variable `name`.
    ///
    /// # Errors
    /// There is none of that name; it is damaged, or of a kind that is not read.
    pub fn get(&self, name: &str) -> Result<MatArray> {
        if !self.names().any(|own| own == name) {
            let names: Vec<&str> = self.names().collect();
            return Err(Error::file(&self.path, format!("has no variable {name:?}, only {}", names.join(", "))));
        }
        let found = match &self.form {
            Form::Hdf5(file) => file.get(name),
            Form::Elements { big_endian, variables } => {
                let mut file = File::open(&self.path).map_err(Error::io(&self.path, "cannot open the MATLAB file"))?;
                let variable = variables.iter().find(|variable| variable.name == name).expect("it has that name");
                read(&mut file, variable, *big_endian, |input| {
                    let array = matrix::array(input, 0)?;
                    input.end()?;
                    Ok(array)
                })
            }
        };
        found.map_err(|reason| self.wrong(name, reason))
    }

    /// An error about the variable `name`, for what it holds.
    pub(crate) fn wrong(&self, name: &str, reason: impl std::fmt::Display) -> Error {
        Error::file(&self.path, format!("variable {name:?} {reason}"))
    }
}

/// Whether it is a file of version 7.3: HDF5, behind 512 bytes in which MATLAB says what it is.
fn is_hdf5(file: &mut File) -> Parse<bool> {
    const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";
    for at in [0, 512] {
        let mut begin = Vec::with_capacity(SIGNATURE.len());
        file.seek(SeekFrom::Start(at)).map_err(unreadable)?;
        file.take(SIGNATURE.len() as u64).read_to_end(&mut begin).map_err(unreadable)?;
        if begin == SIGNATURE {
            return Ok(true);
        }
    }
    file.rewind().map_err(unreadable)?;
    Ok(false)
}

/// The byte order of the file and its variables.
fn list(file: &mut File, length: u64) -> Parse<(bool, Vec<Variable>)> {
    let big_endian = byte_order(file)?;
    let (mut variables, mut at) = (vec![], HEADER);
    // a file may end in zeros up to the next word
    while at + 8 <= length {
        let mut bytes = [0; 8];
        file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut bytes)).map_err(unreadable)?;
        let Tag { kind, size, .. } = Tag::of(bytes, big_endian);
        let (offset, place) = (at + 8, format!("the element at byte {at}"));
        if size > length - offset {
            return Err(format!("is truncated: {place} says {size} bytes, and {} are left", length - offset));
        }
        if kind != MATRIX && kind != COMPRESSED {
            return Err(format!("is damaged: {place} is of type {kind}; expected {MATRIX} or {COMPRESSED}"));
        }
        if variables.len() == MAX_VARIABLES {
            return Err(format!("has more than {MAX_VARIABLES} variables"));
        }
        let mut variable = Variable { name: String::new(), offset, size, compressed: kind == COMPRESSED };
        let head = read(file, &variable, big_endian, Head::read);
        variable.name = head.map_err(|reason| format!("{place} {reason}"))?.name;
        variables.push(variable);
        at = offset + size;
    }
    Ok((big_endian, variables))
}

/// Whether the numbers of the file have their highest byte first, if it is a file that is read.
fn byte_order(file: &mut File) -> Parse<bool> {
    let mut header = Vec::with_capacity(HEADER as usize);
    file.take(HEADER).read_to_end(&mut header).map_err(unreadable)?;
    let other = |what: &str| Err(format!("is {what}; save it in MATLAB with save(…, '-v7')"));
    match header.get(124..128) {
        Some([0, 1, b'I', b'M']) => Ok(false),
        Some([1, 0, b'M', b'I']) => Ok(true),
        // the number format of a variable, in words of 4 bytes
        _ if matches!(header.get(..4), Some([_, 0..=15, 0, 0] | [0, 0, 0..=15, _])) => {
            other("no MATLAB file of version 5; it may be of version 4")
        }
        _ => Err("is no MATLAB file: it does not begin with the header of version 5".into()),
    }
}

/// Reads from the element of `variable`, unpacked.
fn read<T>(file: &mut File, variable: &Variable, big_endian: bool, what: impl Fn(&mut Input) -> Parse<T>) -> Parse<T> {
    file.seek(SeekFrom::Start(variable.offset)).map_err(unreadable)?;
    let mut plain = BufReader::new(file.take(variable.size));
    if !variable.compressed {
        return what(&mut Input::new(&mut plain, variable.size, big_endian));
    }
    let mut unpacked = ZlibDecoder::new(plain);
    let mut input = Input::new(&mut unpacked, 8 + MAX_BYTES, big_endian);
    let Tag { kind, size, .. } = input.tag()?;
    if kind != MATRIX {
        return Err(format!("is damaged: it unpacks to an element of type {kind}; expected {MATRIX}"));
    }
    input.limit(size)?;
    what(&mut input)
}

fn unreadable(error: std::io::Error) -> String {
    format!("cannot be read ({error})")
}

#[cfg(test)]
pub(super) mod tests;
