//! Why a stored hash is not even tried, in words that never hold a part of it.
#![forbid(unsafe_code)]

use std::fmt;

/// Why a stored hash is not even tried. Displays the algorithm and the reason, never the hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `None` as long as it is not one of ours: then it may be anything, even a password.
    pub(super) algorithm: Option<&'static str>,
    pub(super) reason: Reason,
}

/// The reason alone, as a hasher gives it.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Reason {
    /// Not one of ours; its name if it is that of a hasher which others have.
    Unknown(Option<&'static str>),
    /// One of ours that the configuration does not name.
    NotListed,
    /// Not what Django writes.
    Malformed,
    /// Below a cap.
    TooFew {
        /// What was stored.
        value: u64,
        /// Of what.
        unit: &'static str,
        /// The cap.
        least: u64,
    },
    /// Over a cap.
    TooMany {
        /// What was stored.
        value: u64,
        /// Of what.
        unit: &'static str,
        /// The cap.
        most: u64,
    },
    /// The memory that the stored parameters ask for is not to be had.
    NoMemory,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.algorithm, self.reason) {
            (Some(algorithm), Reason::NotListed) => {
                write!(f, "algorithm {algorithm} is not listed in AuthDjangoPasswordHashers")
            }
            (Some(algorithm), reason) => write!(f, "{algorithm}: {reason}"),
            (None, reason) => reason.fmt(f),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(Some(name)) => write!(f, "unknown algorithm {name}"),
            Self::Unknown(None) => f.write_str("unknown algorithm"),
            Self::NotListed => f.write_str("not listed in AuthDjangoPasswordHashers"),
            Self::Malformed => f.write_str("malformed"),
            Self::TooFew { value, unit, least } => {
                write!(f, "{value} {unit} are fewer than the {least} that are accepted")
            }
            Self::TooMany { value, unit, most } => {
                write!(f, "{value} {unit} are more than the {most} that are accepted")
            }
            Self::NoMemory => f.write_str("not enough memory to hash"),
        }
    }
}
