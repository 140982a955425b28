//! `check_password` and `identify_hasher`: Django's password hashes, and the list of them.

#![forbid(unsafe_code)]

/// `AuthDjangoPasswordHashers`: which algorithms are accepted; the first is the preferred one.
#[derive(Debug, Clone)]
pub struct Hashers {
    _todo: (),
}

/// The highest accepted cost that was seen in a row of one site, since a row may cost more than
/// the configuration says.
#[derive(Debug, Default)]
pub struct Floor {
    _todo: (),
}

/// What a password was found to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the user's password.
    Correct,
    /// It is not.
    Wrong,
    /// The row holds a hash that no password may match.
    Refused(Refusal),
}

/// Why a stored hash is not even tried. Displays the algorithm and the reason, never the hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    _todo: (),
}

impl Default for Hashers {
    fn default() -> Self {
        Self { _todo: () }
    }
}

impl Hashers {
    /// Reads `NAME[:COST] …`.
    ///
    /// # Errors
    /// The reason and the remedy, for `apachectl configtest`.
    pub fn parse(_words: &[&str]) -> Result<Self, String> {
        Ok(Self::default())
    }

    /// Whether `password` is the one that `encoded` was made of. Whatever is not `Correct` has
    /// cost at least one hash of the preferred hasher.
    pub fn check_password(&self, _password: &[u8], _encoded: &str, _floor: &Floor) -> Verdict {
        Verdict::Wrong
    }

    /// Spends one hash of the preferred hasher, for a user who is not there or not active.
    pub fn spend(&self, _password: &[u8], _floor: &Floor) {}
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stub")
    }
}
