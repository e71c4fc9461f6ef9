//! Counts what is allocated while one file is read, and the time it takes: by Rust through the global allocator, by libtorch through
//! `posix_memalign`, which the executable puts in front of the C library's.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What Rust holds now, and the most that it held since [`begin`].
static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// All that libtorch asked for since [`begin`]. It frees by `free`, which tells no sizes, so nothing is taken off.
static TORCH: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, with a count of the bytes.
pub struct Counting;

fn grew(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(live, Relaxed);
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grew(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grew(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // the old and the new memory may both be there for a moment
        grew(size);
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Stands before the C library's function of this name for all of the process, libtorch included.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(out: *mut *mut c_void, alignment: usize, size: usize) -> c_int {
    TORCH.fetch_add(size, Relaxed);
    let memory = unsafe { libc::memalign(alignment, size) };
    if memory.is_null() {
        return libc::ENOMEM;
    }
    unsafe { *out = memory };
    0
}

/// What is held before a file is read.
pub struct Before {
    live: usize,
    in_use: usize,
}

/// Starts to count.
pub fn begin() -> Before {
    let live = LIVE.load(Relaxed);
    PEAK.store(live, Relaxed);
    TORCH.store(0, Relaxed);
    Before { live, in_use: in_use() }
}

/// The most bytes that were held since [`begin`] beyond what was held then: Rust's peak with all that libtorch asked for,
/// or what the C library says is in use now, whichever is more.
pub fn most(before: &Before) -> usize {
    let counted = PEAK.load(Relaxed).saturating_sub(before.live) + TORCH.load(Relaxed);
    counted.max(in_use().saturating_sub(before.in_use))
}

/// All bytes that the C library has given out, to C++ too.
fn in_use() -> usize {
    let facts = unsafe { libc::mallinfo2() };
    facts.uordblks + facts.hblkhd
}

/// How long this thread has computed, in seconds: what a busy machine takes from it does not count.
pub fn thread_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Whether libtorch's allocations are seen at all: a test of the trick above.
pub fn sees_libtorch() -> bool {
    begin();
    let _tensor = tch::Tensor::zeros([1 << 20], tch::kind::FLOAT_CPU);
    TORCH.load(Relaxed) >= 4 << 20
}
