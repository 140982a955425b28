//! `check_password` and `identify_hasher`: Django's password hashes, and the list of them.

mod argon2_phc;
mod bcrypt_mcf;
mod crew;
mod hasher;
pub mod pbkdf2;
mod pbkdf2_hmac;
mod plain_digest;
mod refusal;
mod scrypt_kdf;
mod survey;

use std::sync::{Mutex, PoisonError};

use argon2_phc::Argon2Phc;
use bcrypt_mcf::{BCRYPT, BCRYPT_SHA256};
use hasher::{Cost, Decoded, Hasher};
use pbkdf2_hmac::{PBKDF2_SHA1, PBKDF2_SHA256};
use plain_digest::{MD5, SHA1, UNSALTED_MD5, UNSALTED_SHA1};
use scrypt_kdf::Scrypt;

pub use crew::{Alone, Crew, Derived, Stopped, Undone, Work};
#[cfg(test)]
pub(crate) use hasher::effort::spent;
pub use refusal::{Reason, Refusal};
pub use survey::{Survey, Usage};

/// Every hasher that there is. A new one is a file and its line here.
static HASHERS: [&dyn Hasher; 10] = [
    &PBKDF2_SHA256,
    &PBKDF2_SHA1,
    &Argon2Phc,
    &BCRYPT_SHA256,
    &BCRYPT,
    &Scrypt,
    &MD5,
    &SHA1,
    &UNSALTED_SHA1,
    &UNSALTED_MD5,
];

/// Names that others' hashers have, which a message may therefore repeat.
const FOREIGN: [&str; 5] = ["crypt", "pbkdf2_sha512", "phpass", "sha256", "sha512"];

/// A longer stored hash is refused, in bytes. Django's column holds 128 characters.
const MAX_ENCODED: usize = 1024;

/// `AuthDjangoPasswordHashers`: which algorithms are accepted; the first is the preferred one.
///
/// The default is Django's own (`PASSWORD_HASHERS`, django/conf/global_settings.py, 4.0 to 6.1)
/// with the work factors of 6.1.
#[derive(Debug, Clone)]
pub struct Hashers {
    listed: Vec<&'static dyn Hasher>,
    preferred: &'static dyn Hasher,
    cost: Cost,
    algorithms: String,
}

/// The highest accepted cost that was seen in a row of one site, since a row may cost more than
/// the configuration says.
#[derive(Debug, Default)]
pub struct Floor {
    /// By algorithm, because sections of one site may prefer different ones.
    costs: Mutex<Vec<(&'static str, Cost)>>,
}

/// What a password was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is the user's password.
    Correct,
    /// It is not.
    Wrong,
    /// The row holds a hash that no password may match.
    Refused(Refusal),
}

/// What a row says before any work is done for it.
pub enum Stored<'a> {
    /// Only the work is left.
    Candidate(Candidate<'a>),
    /// No password was ever set, or it was made unusable: an ordinary state.
    Unusable,
    /// No password may match.
    Refused(Refusal),
}

/// A stored hash that was read, is listed and is within the caps.
pub struct Candidate<'a> {
    hasher: &'static dyn Hasher,
    decoded: Box<dyn Decoded + 'a>,
}

impl Default for Hashers {
    fn default() -> Self {
        Self::new(vec![&PBKDF2_SHA256, &PBKDF2_SHA1, &Argon2Phc, &BCRYPT_SHA256, &Scrypt], None)
    }
}

impl Hashers {
    /// Reads `NAME[:COST] …`: Django's names, the preferred one first. `COST` belongs to the first
    /// alone and says what a hash costs that Django makes today: iterations for `pbkdf2_*`, rounds
    /// for `bcrypt*`, `t=2,m=102400,p=8` (m in KiB) for `argon2`, `n=16384,r=8,p=5` or N alone for
    /// `scrypt`; without it, the newest Django's.
    ///
    /// # Errors
    /// The reason and the remedy, for `apachectl configtest`: an unknown name, one that is there
    /// twice, a cost that cannot be read, is over the caps or is not at the first name, no name.
    pub fn parse(words: &[&str]) -> Result<Self, String> {
        let mut listed: Vec<&'static dyn Hasher> = Vec::with_capacity(words.len());
        let mut cost = None;
        for word in words {
            let (name, given) = match word.split_once(':') {
                Some((name, given)) => (name, Some(given)),
                None => (*word, None),
            };
            let hasher = named(name)?;
            let algorithm = hasher.algorithm();
            if listed.iter().any(|other| other.algorithm() == algorithm) {
                return Err(format!("{algorithm} is listed twice: write it once"));
            }
            if let Some(given) = given {
                if !listed.is_empty() {
                    return Err(format!(
                        "{word:?}: only the first hasher, the preferred one, has a cost here, \
                         because the others are only read: write {algorithm}"
                    ));
                }
                cost = Some(hasher.parse_cost(given).map_err(|reason| {
                    format!(
                        "{word:?}: {reason}: without a cost, {algorithm} is the newest Django's"
                    )
                })?);
            }
            listed.push(hasher);
        }
        if listed.is_empty() {
            return Err(format!("no hasher is listed: write one or more of {}", names()));
        }
        Ok(Self::new(listed, cost))
    }

    /// Whether `password` is the one that the user's `password` column, as `read` found it, was made
    /// of. The empty password is a password like any other. Whatever is not `Correct` has cost at
    /// least one hash of the preferred hasher, and what no cap allows has cost no more.
    ///
    /// Accepts what Django's `check_password` accepts (django/contrib/auth/hashers.py, 3.2 to 6.1)
    /// but for hashes over the caps and for passwords that plain `bcrypt` cannot tell apart: those
    /// of more than 72 bytes or with a NUL.
    ///
    /// # Errors
    /// When the crew could not do the work: then nothing is known.
    pub fn check_password(
        &self,
        password: &[u8],
        stored: &Stored<'_>,
        floor: &Floor,
        crew: &dyn Crew,
    ) -> Result<Verdict, Stopped> {
        match stored {
            Stored::Candidate(candidate) => self.verify(password, candidate, floor, crew),
            other => {
                self.spend(password, floor, crew)?;
                Ok(other.verdict())
            }
        }
    }

    /// Spends one hash of the preferred hasher, for a user who is not there or not active.
    ///
    /// # Errors
    /// When the crew could not do the work.
    pub fn spend(&self, password: &[u8], floor: &Floor, crew: &dyn Crew) -> Result<(), Stopped> {
        self.preferred.spend(password, floor.cost(self.preferred, self.cost), crew)
    }

    fn new(listed: Vec<&'static dyn Hasher>, cost: Option<Cost>) -> Self {
        let preferred = listed.first().copied().unwrap_or(&PBKDF2_SHA256);
        let cost = cost.unwrap_or_else(|| preferred.default_cost());
        let algorithms =
            listed.iter().map(|hasher| hasher.algorithm()).collect::<Vec<_>>().join(" ");
        Self { listed, preferred, cost, algorithms }
    }

    /// The accepted algorithms, with a space between them.
    pub fn algorithms(&self) -> &str {
        &self.algorithms
    }

    /// Everything that can be said of `encoded`, the user's `password` column, without work:
    /// whether its algorithm is listed, and its parameters are under the caps.
    pub fn read<'a>(&self, encoded: &'a str) -> Stored<'a> {
        if encoded.is_empty() || !is_password_usable(encoded) {
            return Stored::Unusable;
        }
        match self.candidate(encoded) {
            Ok(candidate) => Stored::Candidate(candidate),
            Err(refusal) => Stored::Refused(refusal),
        }
    }

    fn candidate<'a>(&self, encoded: &'a str) -> Result<Candidate<'a>, Refusal> {
        let length = encoded.len();
        if length > MAX_ENCODED {
            let (value, most) = (length as u64, MAX_ENCODED as u64);
            let reason = Reason::TooMany { value, unit: "bytes", most };
            return Err(Refusal { algorithm: None, reason });
        }
        let algorithm = identify_hasher(encoded);
        let Some(hasher) = HASHERS.into_iter().find(|hasher| hasher.algorithm() == algorithm)
        else {
            let name = FOREIGN.into_iter().find(|name| *name == algorithm);
            return Err(Refusal { algorithm: None, reason: Reason::Unknown(name) });
        };
        let algorithm = hasher.algorithm();
        let refuse = |reason| Refusal { algorithm: Some(algorithm), reason };
        if !self.listed.iter().any(|listed| listed.algorithm() == algorithm) {
            return Err(refuse(Reason::NotListed));
        }
        Ok(Candidate { hasher, decoded: hasher.decode(encoded).map_err(refuse)? })
    }

    fn verify(
        &self,
        password: &[u8],
        candidate: &Candidate<'_>,
        floor: &Floor,
        crew: &dyn Crew,
    ) -> Result<Verdict, Stopped> {
        let Candidate { hasher, decoded } = candidate;
        let algorithm = hasher.algorithm();
        let hasher_changed = algorithm != self.preferred.algorithm();
        let stored = decoded.cost();
        if !hasher_changed {
            floor.raise(self.preferred, stored);
        }
        match decoded.verify(password, crew) {
            Ok(true) => Ok(Verdict::Correct),
            Ok(false) => {
                if hasher_changed {
                    self.spend(password, floor, crew)?;
                } else {
                    let preferred = floor.cost(self.preferred, self.cost);
                    hasher.harden_runtime(password, stored, preferred, crew)?;
                }
                Ok(Verdict::Wrong)
            }
            Err(Undone::Refused(reason)) => {
                self.spend(password, floor, crew)?;
                Ok(Verdict::Refused(Refusal { algorithm: Some(algorithm), reason }))
            }
            Err(Undone::Stopped(stopped)) => Err(stopped),
        }
    }
}

impl Stored<'_> {
    /// The verdict on a password that is not the one, however that was found out.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Candidate(_) | Self::Unusable => Verdict::Wrong,
            Self::Refused(refusal) => Verdict::Refused(refusal.clone()),
        }
    }
}

impl Floor {
    /// The dearer one of `configured` and what was seen.
    fn cost(&self, hasher: &dyn Hasher, configured: Cost) -> Cost {
        let costs = self.costs.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = costs.iter().find(|(algorithm, _)| *algorithm == hasher.algorithm());
        match seen {
            Some((_, seen)) if hasher.work(*seen) > hasher.work(configured) => *seen,
            _ => configured,
        }
    }

    fn raise(&self, hasher: &dyn Hasher, stored: Cost) {
        let mut costs = self.costs.lock().unwrap_or_else(PoisonError::into_inner);
        match costs.iter_mut().find(|(algorithm, _)| *algorithm == hasher.algorithm()) {
            Some((_, seen)) if hasher.work(stored) > hasher.work(*seen) => *seen = stored,
            Some(_) => {}
            None => costs.push((hasher.algorithm(), stored)),
        }
    }
}

/// Django's `is_password_usable`: false for what `set_unusable_password()` stores.
fn is_password_usable(encoded: &str) -> bool {
    !encoded.starts_with('!')
}

/// The name of the algorithm that `encoded` says it is of, as Django's `identify_hasher` finds it.
/// It may be any text.
fn identify_hasher(encoded: &str) -> &str {
    let has = |characters| encoded.chars().count() == characters;
    if (!encoded.contains('$') && has(32)) || (encoded.starts_with("md5$$") && has(37)) {
        "unsalted_md5"
    } else if encoded.starts_with("sha1$$") && has(46) {
        "unsalted_sha1"
    } else {
        encoded.split('$').next().unwrap_or_default()
    }
}

/// The hasher that a directive means by `name`.
fn named(name: &str) -> Result<&'static dyn Hasher, String> {
    let found = |hasher: &&dyn Hasher| hasher.algorithm() == name;
    if let Some(hasher) = HASHERS.into_iter().find(found) {
        return Ok(hasher);
    }
    let class = name.rsplit('.').next().unwrap_or_default();
    match HASHERS.into_iter().find(|hasher| hasher.class() == class) {
        Some(hasher) => {
            Err(format!("{name:?} is the name of a class: write {}", hasher.algorithm()))
        }
        None => Err(format!("unknown hasher {name:?}: the hashers are {}", names())),
    }
}

fn names() -> String {
    HASHERS.map(|hasher| hasher.algorithm()).join(", ")
}

#[cfg(test)]
mod tests;
