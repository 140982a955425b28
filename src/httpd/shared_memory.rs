//! What the children share beside httpd's socache: made before the fork, and never given back.

use crate::authn::DATABASES;
use crate::hashing::{CHECKS, PLACES, Place};
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::time::Instant;
use std::{io, ptr};

/// Zeros are what all of it begins with.
pub(super) struct Shared {
    /// The line of those who hash.
    pub(super) next: AtomicU64,
    pub(super) places: [Place; PLACES],
    /// The checks of children of many threads.
    pub(super) checks: [AtomicU64; CHECKS],
    /// The outages that were told of.
    pub(super) outages: [AtomicU64; DATABASES],
}

/// Made once, and when: the children of a graceful restart share it with those before them.
static MEMORY: OnceLock<(&'static Shared, Instant)> = OnceLock::new();

/// Makes it, where that is still to be done.
pub(super) fn make() -> Result<(), String> {
    if MEMORY.get().is_some() {
        return Ok(());
    }
    // SAFETY: new memory at an address of the system's choice, of which nobody else knows.
    let memory = unsafe {
        libc::mmap(
            ptr::null_mut(),
            size_of::<Shared>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        return Err(format!("no memory to share with children: {}", io::Error::last_os_error()));
    }
    // SAFETY: the memory is as large as the value, aligned to a page, full of zeros, which are values
    // of its atomics, and is never unmapped.
    let shared = unsafe { &*memory.cast::<Shared>() };
    let _ = MEMORY.set((shared, Instant::now()));
    Ok(())
}

/// What was made, and when.
pub(super) fn get() -> Option<(&'static Shared, Instant)> {
    MEMORY.get().copied()
}
