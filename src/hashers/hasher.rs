//! What a hasher answers: its name, its cost, how a stored hash is read and how it is worked on.
#![forbid(unsafe_code)]

use std::fmt;
use std::hint::black_box;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::crew::{Crew, Derived, Stopped, Undone};
use super::refusal::Reason;

/// The work factors of one hash, in the order in which the family's file names them; what a family
/// does not use is 0. PBKDF2: iterations. bcrypt: rounds. Argon2: t, m in KiB, p. scrypt: N, r, p.
pub(super) type Cost = [u32; 3];

/// One algorithm of Django's `PASSWORD_HASHERS`.
///
/// Source: `BasePasswordHasher`, django/contrib/auth/hashers.py (3.2 to 6.1).
pub(super) trait Hasher: fmt::Debug + Sync {
    /// Django's name of the algorithm, which is the first field of what is stored.
    fn algorithm(&self) -> &'static str;

    /// The name of Django's class, which is what a settings file says.
    fn class(&self) -> &'static str;

    /// The newest Django's work factors.
    fn default_cost(&self) -> Cost;

    /// Reads the `COST` of `NAME:COST`.
    ///
    /// # Errors
    /// What a cost looks like, or the cap that it exceeds.
    fn parse_cost(&self, text: &str) -> Result<Cost, String>;

    /// How much work a hash of this cost is, in a unit that only this hasher knows.
    fn work(&self, cost: Cost) -> u64;

    /// Reads what is stored and holds it against the caps. Cheap: no work is done here.
    ///
    /// # Errors
    /// No password can match, or none may be tried.
    fn decode<'a>(&'a self, encoded: &'a str) -> Result<Box<dyn Decoded + 'a>, Reason>;

    /// Spends one hash of this cost, with a fixed salt.
    ///
    /// # Errors
    /// `Stopped` alone: what cannot be had cannot be spent either.
    fn spend(&self, password: &[u8], cost: Cost, crew: &dyn Crew) -> Result<(), Stopped>;

    /// Spends what a hash of cost `stored` lacks of a hash of cost `preferred`.
    ///
    /// # Errors
    /// As for `spend`.
    fn harden_runtime(
        &self,
        password: &[u8],
        stored: Cost,
        preferred: Cost,
        crew: &dyn Crew,
    ) -> Result<(), Stopped>;
}

/// A stored hash that was read and is within the caps: only the work is left.
pub(super) trait Decoded {
    /// The work factors that are stored with it.
    fn cost(&self) -> Cost;

    /// Hashes `password` in the same way and compares in constant time.
    ///
    /// # Errors
    /// The work could not be done, so nothing is known of the password.
    fn verify(&self, password: &[u8], crew: &dyn Crew) -> Result<bool, Undone>;
}

/// What is left of work that was spent.
pub(super) fn spent(derived: Derived) -> Result<(), Stopped> {
    match black_box(derived) {
        Err(Undone::Stopped(stopped)) => Err(stopped),
        _ => Ok(()),
    }
}

/// A password for work that is done elsewhere.
pub(super) fn owned(password: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(black_box(password).to_vec())
}

/// A salt for work whose result nobody looks at; 22 characters as Django's.
pub(super) const FIXED_SALT: &[u8; 22] = b"TimeIsSpentNotMeasured";

/// Whether two texts are the same, in a time that depends on their lengths only.
pub(super) fn constant_time_compare(encoded: &str, encoded_2: &str) -> bool {
    encoded.as_bytes().ct_eq(encoded_2.as_bytes()).into()
}

/// A number as `%d` writes it: Django writes what it read and compares the texts, so that `01`,
/// `+1`, `1_0` and digits of other scripts can be read by Python, but never match.
///
/// # Errors
/// `Malformed`, also if it has more than 19 digits, which is more than any cap.
pub(super) fn decimal(text: &str) -> Result<u64, Reason> {
    let canonical = !text.is_empty()
        && text.len() <= 19
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().map_err(|_| Reason::Malformed) } else { Err(Reason::Malformed) }
}

/// A number of `unit` between `least` and `most`.
///
/// # Errors
/// `TooFew` or `TooMany`.
pub(super) fn within(value: u64, least: u32, most: u32, unit: &'static str) -> Result<u32, Reason> {
    match u32::try_from(value) {
        Ok(value) if value < least => {
            Err(Reason::TooFew { value: value.into(), unit, least: least.into() })
        }
        Ok(value) if value <= most => Ok(value),
        _ => Err(Reason::TooMany { value, unit, most: most.into() }),
    }
}

/// Reads `a=1,b=2,c=3`, each optional and in any order, on top of `default`.
///
/// # Errors
/// `Malformed`: a name that is not among `names` or is there twice, or no number.
pub(super) fn named(text: &str, names: [&str; 3], default: Cost) -> Result<[u64; 3], Reason> {
    let mut given = [None; 3];
    for pair in text.split(',') {
        let (name, value) = pair.split_once('=').ok_or(Reason::Malformed)?;
        let place = names.iter().position(|known| *known == name).ok_or(Reason::Malformed)?;
        match given.get_mut(place) {
            Some(slot @ None) => *slot = Some(decimal(value)?),
            _ => return Err(Reason::Malformed),
        }
    }
    let [a, b, c] = given;
    let [x, y, z] = default;
    Ok([a.unwrap_or(x.into()), b.unwrap_or(y.into()), c.unwrap_or(z.into())])
}

/// Python's `hexdigest()`.
pub(super) fn hexdigest(digest: &[u8]) -> Zeroizing<String> {
    let nibbles = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let mut text = String::with_capacity(digest.len() * 2);
    text.extend(nibbles.filter_map(|nibble| char::from_digit(nibble.into(), 16)));
    Zeroizing::new(text)
}

/// Notes work where it is done, so that tests can compare work instead of time.
#[cfg_attr(not(test), inline(always))]
pub(super) fn count(_algorithm: &'static str, _work: u64) {
    #[cfg(test)]
    effort::add(_algorithm, _work);
}

/// The work that this thread has done.
#[cfg(test)]
pub(crate) mod effort {
    use std::{cell::RefCell, collections::BTreeMap};

    thread_local! {
        static SPENT: RefCell<BTreeMap<&'static str, u64>> = RefCell::default();
    }

    pub(super) fn add(algorithm: &'static str, work: u64) {
        SPENT.with_borrow_mut(|spent| *spent.entry(algorithm).or_default() += work);
    }

    /// The work by algorithm since it was last asked for.
    pub(crate) fn spent() -> BTreeMap<&'static str, u64> {
        SPENT.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_percent_d_writes_is_a_number() {
        assert_eq!(decimal("0"), Ok(0));
        assert_eq!(decimal("1000"), Ok(1000));
        assert_eq!(decimal("9999999999999999999"), Ok(9_999_999_999_999_999_999));
        for text in ["", "00", "01", "+1", "-1", " 1", "1 ", "1_0", "１", "١", "1e3", "0x1"] {
            assert_eq!(decimal(text), Err(Reason::Malformed), "{text:?}");
        }
        assert_eq!(decimal(&"9".repeat(20)), Err(Reason::Malformed));
    }

    #[test]
    fn named_costs_are_optional_and_in_any_order() {
        let read = |text| named(text, ["t", "m", "p"], [2, 102_400, 8]);
        assert_eq!(read("t=3"), Ok([3, 102_400, 8]));
        assert_eq!(read("p=1,m=64,t=1"), Ok([1, 64, 1]));
        for text in ["", "t", "t=", "t=1,t=1", "x=1", "t=1,", "t=1 ,m=8", "3"] {
            assert_eq!(read(text), Err(Reason::Malformed), "{text:?}");
        }
    }

    #[test]
    fn hexdigest_is_lower_case() {
        assert_eq!(*hexdigest(&[0x00, 0x9f, 0xff]), "009fff");
    }
}
