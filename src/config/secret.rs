//! `Secret`: what a directive names and the configuration does not hold.

#![forbid(unsafe_code)]

use super::FromWords;
use crate::secret::Source;
use std::fmt;
use std::sync::OnceLock;
use zeroize::Zeroizing;

/// A secret: named while the configuration is read, fetched once before the fork.
pub struct Secret {
    /// The directive that names it.
    pub directive: &'static str,
    /// Where it comes from.
    pub source: Source,
    /// The secret, once it was fetched.
    pub value: OnceLock<Zeroizing<String>>,
}

impl Secret {
    pub(crate) fn new(directive: &'static str, source: Source) -> Self {
        Self { directive, source, value: OnceLock::new() }
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        (self.directive, &self.source) == (other.directive, &other.source)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("source", &self.source).finish_non_exhaustive()
    }
}

impl FromWords for Secret {
    fn from_words(words: &[&str]) -> Result<Self, String> {
        let [word] = words else {
            return Err("takes one word: file:PATH, env:NAME or exec:PROGRAM, in quotes where it \
                        has spaces"
                .into());
        };
        Ok(Self::new("AuthDjangoDatabasePassword", Source::parse(word)?))
    }
}
