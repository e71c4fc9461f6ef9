//! Tensors' memory as bytes: filled from buffers and from files, which tch can only do with copies.

use std::fs::File;
use std::num::NonZero;
use std::os::fd::AsRawFd;
use std::thread::ScopedJoinHandle;

use flate2::Crc;
use tch::{Device, Kind, Tensor};

use crate::{Error, Result};

/// Copies `bytes` into the memory of `x`, from its byte `offset` on; unlike tch's own ways to fill a tensor this does not
/// clear the memory first, starts no threads, and fills a tensor piece by piece.
///
/// # Shapes
/// `x: [...] u8`, contiguous, on the CPU
pub fn write_bytes(x: &Tensor, offset: usize, bytes: &[u8]) -> Result<()> {
    let fits = offset.checked_add(bytes.len()).is_some_and(|end| end <= x.numel());
    if !fits || x.kind() != Kind::Uint8 || x.device() != Device::Cpu || !x.is_contiguous() {
        return Err(Error::Torch(format!(
            "cannot write {} bytes at {offset} into {x:?}, expected a contiguous u8 tensor on the CPU that holds them",
            bytes.len()
        )));
    }
    // The checks above make the target valid; a slice that is being read cannot be memory that libtorch owns.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), x.data_ptr().cast::<u8>().add(offset), bytes.len()) };
    Ok(())
}

/// A new CPU tensor whose memory `fill` is handed as bytes, so that what is read from a file need not be copied.
///
/// # Shapes
/// `size` → `[size…]` of `kind`, zero where `fill` writes nothing
pub fn filled(size: &[i64], kind: Kind, fill: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<Tensor> {
    let tensor = Tensor::f_empty(size, (kind, Device::Cpu))?;
    match tensor.numel() * kind.elt_size_in_bytes() {
        0 => fill(&mut [])?,
        bytes => {
            let memory = tensor.data_ptr().cast::<u8>();
            // A fresh tensor is contiguous and nothing else refers to its memory while `fill` runs. Zeroing it here
            // rather than with libtorch keeps its threads, which wait for busy cores, out of reading a file.
            fill(unsafe {
                memory.write_bytes(0, bytes);
                std::slice::from_raw_parts_mut(memory, bytes)
            })?;
        }
    }
    Ok(tensor)
}

/// How much is read from a file at a time: what is in the processor's cache when it is looked at.
const PIECE: usize = 1 << 18;

/// What is worth a thread of its own when a file is read.
const SHARE: usize = 3 << 20;

/// A new CPU tensor of the bytes that `file` has from `offset` on, and their checksum where one is asked for. Large ones
/// are read on several threads. The memory is written once, by the operating system, and nothing is cleared before.
///
/// # Shapes
/// `size` → `[size…]` of `kind`
pub fn read_at(file: &File, offset: u64, size: &[i64], kind: Kind, crc: Option<&mut Crc>) -> Result<Tensor> {
    let tensor = Tensor::f_empty(size, (kind, Device::Cpu))?;
    let bytes = tensor.numel() * kind.elt_size_in_bytes();
    let end = offset.checked_add(bytes as u64).and_then(|end| libc::off_t::try_from(end).ok());
    end.ok_or_else(|| unreadable(&std::io::ErrorKind::FileTooLarge.into()))?;
    let threads = match bytes / SHARE {
        0 | 1 => 1,
        // asked only here: the answer takes longer than reading a small tensor
        most => std::thread::available_parallelism().map_or(1, NonZero::get).min(most),
    };
    let share = bytes.div_ceil(threads);
    let memory = tensor.data_ptr().cast::<u8>();
    let starts = (0..bytes).step_by(share.max(1));
    // A fresh tensor is contiguous and holds `bytes` bytes, which nothing refers to; every part is within them and apart
    // from the others.
    let mut parts = starts.map(|at| Part {
        memory: unsafe { memory.add(at) },
        bytes: share.min(bytes - at),
        offset: offset + at as u64,
    });
    let summed = crc.is_some();
    let sums = std::thread::scope(|scope| {
        let first = parts.next();
        let others: Vec<_> = parts.map(|part| scope.spawn(move || part.read(file, summed))).collect();
        let first = first.into_iter().map(|part| part.read(file, summed));
        let joined =
            |thread: ScopedJoinHandle<_>| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        first.chain(others.into_iter().map(joined)).collect::<Result<Vec<_>>>()
    })?;
    if let Some(crc) = crc {
        sums.iter().for_each(|sum| crc.combine(sum));
    }
    Ok(tensor)
}

/// A part of a tensor, and where its bytes lie in a file.
struct Part {
    memory: *mut u8,
    bytes: usize,
    offset: u64,
}

// the memory is this part's alone
unsafe impl Send for Part {}

impl Part {
    /// Fills the part, and sums up what was read if it is to be `summed`.
    fn read(self, file: &File, summed: bool) -> Result<Crc> {
        let (mut crc, mut done) = (Crc::new(), 0);
        while done < self.bytes {
            let piece = PIECE.min(self.bytes - done);
            let at = (self.offset + done as u64) as libc::off_t;
            // `done + piece` is within the part, and what is made a slice has just been written
            let read = unsafe {
                let memory = self.memory.add(done);
                match libc::pread(file.as_raw_fd(), memory.cast(), piece, at) {
                    read @ 1.. => std::slice::from_raw_parts(memory, read as usize),
                    0 => return Err(unreadable(&std::io::ErrorKind::UnexpectedEof.into())),
                    _ => match std::io::Error::last_os_error() {
                        error if error.kind() == std::io::ErrorKind::Interrupted => &[],
                        error => return Err(unreadable(&error)),
                    },
                }
            };
            if summed {
                crc.update(read);
            }
            done += read.len();
        }
        Ok(crc)
    }
}

fn unreadable(error: &std::io::Error) -> Error {
    Error::Model(format!("cannot read: {error}"))
}

/// The first `length` bytes of `file` as they lie in the operating system's cache: nothing is read before it is touched, and
/// what is written stays in this process. The file must not be cut shorter while the tensor lives; one that is replaced
/// (renamed over) may.
///
/// # Shapes
/// → `[length] u8`
pub fn map(file: &File, length: u64) -> Result<Tensor> {
    // libtorch opens files by name; this is the name of one that is open, whatever has become of its own
    let name = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(Tensor::f_from_file(&name, false, length as i64, (Kind::Uint8, Device::Cpu))?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_is_read_on_several_threads_is_the_file_and_its_checksum() {
        let bytes: Vec<u8> = (0..4 * SHARE as u32 + 12).map(|at| (at ^ (at >> 9)) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        for (offset, length) in [(0, bytes.len()), (7, bytes.len() - 7), (3, SHARE), (5, 1), (0, 0)] {
            let (mut crc, mut expected) = (Crc::new(), Crc::new());
            let tensor = read_at(&file, offset, &[length as i64], Kind::Uint8, Some(&mut crc)).unwrap();
            let wanted = &bytes[offset as usize..][..length];
            expected.update(wanted);
            assert!(Vec::<u8>::try_from(tensor).unwrap() == wanted && crc.sum() == expected.sum(), "{offset}+{length}");
        }
        let beyond = read_at(&file, 1, &[bytes.len() as i64], Kind::Uint8, None).unwrap_err();
        assert!(beyond.to_string().contains("cannot read"), "{beyond}");
    }
}
