//! PBKDF2 as fast as the CPU allows: one check by itself, or many of them in a [`Batch`].
//!
//! - `job`: what a check is between two chunks of its iterations
//! - `portable`: the iterations of one check, on any CPU
//! - `sha_ni`, `avx512`: those of several SHA-256 checks at once, where the CPU can
//! - `engine`: which of them, by the CPU and the number of checks
//! - `batch`, `ticket`: checks of many threads, put together

mod batch;
mod engine;
mod job;
mod portable;
mod ticket;

#[cfg(any(not(target_arch = "x86_64"), portable))]
mod absent;
#[cfg(all(target_arch = "x86_64", not(portable)))]
mod avx512;
#[cfg(all(target_arch = "x86_64", not(portable)))]
mod sha_ni;

#[cfg(any(not(target_arch = "x86_64"), portable))]
use absent::{Avx512, ShaNi};
#[cfg(all(target_arch = "x86_64", not(portable)))]
use avx512::Avx512;
#[cfg(all(target_arch = "x86_64", not(portable)))]
use sha_ni::ShaNi;

use zeroize::Zeroizing;

pub use batch::{Batch, Pace, Spawn};
pub use engine::Engine;
pub use job::Job;
pub use ticket::{Ticket, Unfinished};

/// PBKDF2-HMAC-SHA256, 32 bytes, by the calling thread.
pub(super) fn sha256(password: &[u8], salt: &[u8], iterations: u32) -> Zeroizing<Vec<u8>> {
    let mut job: Job = Job::new(password, salt, iterations);
    Engine::detect().advance(&mut [&mut job], u32::MAX);
    job.derived()
}

/// PBKDF2-HMAC-SHA1, 20 bytes, by the calling thread.
pub fn sha1(password: &[u8], salt: &[u8], iterations: u32) -> Zeroizing<Vec<u8>> {
    let mut job = Job::<[u32; 5]>::new(password, salt, iterations);
    portable::advance(&mut job, iterations.saturating_sub(1));
    job.derived()
}

#[cfg(test)]
mod tests;
