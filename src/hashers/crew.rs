//! `Crew`: who does the work of a hash, and where.
#![forbid(unsafe_code)]

use zeroize::Zeroizing;

use super::pbkdf2::{self, Unfinished};
use super::refusal::Reason;

/// Work of a kind that is not put together with other work.
pub type Work = Box<dyn FnOnce() -> Result<Zeroizing<Vec<u8>>, Reason> + Send>;

/// What was derived from a password.
pub type Derived = Result<Zeroizing<Vec<u8>>, Undone>;

/// Does the work of hashes.
pub trait Crew {
    /// PBKDF2-HMAC-SHA256, 32 bytes.
    ///
    /// # Errors
    /// `Undone::Stopped`.
    fn pbkdf2_sha256(&self, password: &[u8], salt: &[u8], iterations: u32) -> Derived;

    /// Any other work, which takes `memory` KiB while it is done.
    ///
    /// # Errors
    /// What the work answers, or `Undone::Stopped`.
    fn work(&self, memory: u32, work: Work) -> Derived;
}

/// Work that was not done, or in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undone {
    /// No password can match.
    Refused(Reason),
    /// Nothing is known of the password.
    Stopped(Stopped),
}

/// Why work was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Not in time.
    TimedOut,
    /// A defect of ours ended it.
    Lost,
}

impl From<Reason> for Undone {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason)
    }
}

impl From<Stopped> for Undone {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

impl From<Unfinished> for Stopped {
    fn from(unfinished: Unfinished) -> Self {
        match unfinished {
            Unfinished::TimedOut => Self::TimedOut,
            Unfinished::Lost => Self::Lost,
        }
    }
}

/// The calling thread, by itself.
pub struct Alone;

impl Crew for Alone {
    fn pbkdf2_sha256(&self, password: &[u8], salt: &[u8], iterations: u32) -> Derived {
        Ok(pbkdf2::sha256(password, salt, iterations))
    }

    fn work(&self, _: u32, work: Work) -> Derived {
        Ok(work()?)
    }
}
