//! `argon2`: `argon2` and a PHC string, `$argon2id$v=19$m=102400,t=2,p=8$SALT$HASH`.
#![forbid(unsafe_code)]

use argon2::{Algorithm, Argon2, Error, Params, Version};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::crew::{Crew, Derived, Stopped, Undone};
use super::hasher::{
    Cost, Decoded, FIXED_SALT, Hasher, count, decimal, named, owned, spent, within,
};
use super::refusal::Reason;

/// More memory, in KiB, is refused: 256 MiB, Django's default 2.5 times.
pub(super) const MAX_MEMORY: u32 = 262_144;

/// More work, counted in KiB times passes, is refused: Django's default 20 times.
pub(super) const MAX_WORK: u64 = 1_048_576 * 4;

/// More lanes are refused.
pub(super) const MAX_LANES: u32 = 64;

/// A shorter salt or hash is refused, as the reference implementation does.
const MIN_SALT: usize = 8;
const MIN_HASH: usize = 4;

/// A longer salt or hash is refused; Django writes 22 and 32 bytes.
const MAX_BYTES: usize = 512;

/// `Argon2PasswordHasher`. Its work is counted in KiB times passes, m t.
#[derive(Debug)]
pub(super) struct Argon2Phc;

struct Stored {
    work: Work,
    hash: Vec<u8>,
}

/// All but the password.
#[derive(Clone)]
struct Work {
    variety: Algorithm,
    version: Version,
    cost: Cost,
    salt: Vec<u8>,
    length: usize,
}

impl Hasher for Argon2Phc {
    fn algorithm(&self) -> &'static str {
        "argon2"
    }

    fn class(&self) -> &'static str {
        "Argon2PasswordHasher"
    }

    fn default_cost(&self) -> Cost {
        [2, 102_400, 8]
    }

    fn parse_cost(&self, text: &str) -> Result<Cost, String> {
        let [t, m, p] = named(text, ["t", "m", "p"], self.default_cost())
            .map_err(|_| "the cost is written t=2,m=102400,p=8")?;
        accept(t, m, p).map_err(|reason| reason.to_string())
    }

    fn work(&self, [t, m, _]: Cost) -> u64 {
        u64::from(t).saturating_mul(m.into())
    }

    /// As `decode_string()` of the reference implementation, which argon2-cffi calls: the
    /// parameters in this order and no others, numbers without leading zeros, base64 without
    /// padding; a missing version is 1.0.
    fn decode<'a>(&'a self, encoded: &'a str) -> Result<Box<dyn Decoded + 'a>, Reason> {
        let mut fields = encoded.split('$').skip(1);
        let mut field = || fields.next().ok_or(Reason::Malformed);
        let variety = match field()? {
            "argon2d" => Algorithm::Argon2d,
            "argon2i" => Algorithm::Argon2i,
            "argon2id" => Algorithm::Argon2id,
            _ => return Err(Reason::Malformed),
        };
        let (version, params) = match field()? {
            "v=16" => (Version::V0x10, field()?),
            "v=19" => (Version::V0x13, field()?),
            params => (Version::V0x10, params),
        };
        let cost = decode_params(params)?;
        let salt = STANDARD_NO_PAD.decode(field()?).map_err(|_| Reason::Malformed)?;
        let hash = STANDARD_NO_PAD.decode(field()?).map_err(|_| Reason::Malformed)?;
        let sane = (MIN_SALT..=MAX_BYTES).contains(&salt.len())
            && (MIN_HASH..=MAX_BYTES).contains(&hash.len())
            && fields.next().is_none();
        if !sane {
            return Err(Reason::Malformed);
        }
        let work = Work { variety, version, cost, salt, length: hash.len() };
        Ok(Box::new(Stored { work, hash }))
    }

    fn spend(&self, password: &[u8], cost: Cost, crew: &dyn Crew) -> Result<(), Stopped> {
        let (variety, version) = (Algorithm::Argon2id, Version::V0x13);
        let job = Work { variety, version, cost, salt: FIXED_SALT.to_vec(), length: 32 };
        spent(job.done_by(crew, password))
    }

    /// Work does not add up to one hash here, so the missing part is another hash, with the
    /// preferred passes and lanes and less memory. (Django spends nothing.)
    fn harden_runtime(
        &self,
        password: &[u8],
        stored: Cost,
        preferred @ [t, m, p]: Cost,
        crew: &dyn Crew,
    ) -> Result<(), Stopped> {
        let missing = self.work(preferred).saturating_sub(self.work(stored));
        if missing == 0 {
            return Ok(());
        }
        let memory = u32::try_from(missing.div_ceil(u64::from(t.max(1)))).unwrap_or(m);
        self.spend(password, [t, memory.max(p.saturating_mul(8)), p], crew)
    }
}

impl Decoded for Stored {
    fn cost(&self) -> Cost {
        self.work.cost
    }

    fn verify(&self, password: &[u8], crew: &dyn Crew) -> Result<bool, Undone> {
        let hash = self.work.clone().done_by(crew, password)?;
        Ok(self.hash.ct_eq(&hash).into())
    }
}

fn decode_params(params: &str) -> Result<Cost, Reason> {
    let mut numbers = params.split(',');
    let mut number = |name| {
        let number = numbers.next().and_then(|pair| pair.strip_prefix(name));
        decimal(number.ok_or(Reason::Malformed)?)
    };
    let (m, t, p) = (number("m=")?, number("t=")?, number("p=")?);
    if numbers.next().is_some() {
        return Err(Reason::Malformed);
    }
    accept(t, m, p)
}

impl Work {
    fn done_by(self, crew: &dyn Crew, password: &[u8]) -> Derived {
        let (password, [_, memory, _]) = (owned(password), self.cost);
        crew.work(memory, Box::new(move || self.derive(&password)))
    }

    fn derive(&self, password: &[u8]) -> Result<Zeroizing<Vec<u8>>, Reason> {
        let [t, m, p] = self.cost;
        let params = Params::new(m, t, p, Some(self.length)).map_err(|_| Reason::Malformed)?;
        count("argon2", Argon2Phc.work(self.cost));
        let mut hash = Zeroizing::new(vec![0; self.length]);
        Argon2::new(self.variety, self.version, params)
            .hash_password_into(password, &self.salt, &mut hash)
            .map_err(|error| match error {
                Error::OutOfMemory => Reason::NoMemory,
                _ => Reason::Malformed,
            })?;
        Ok(hash)
    }
}

fn accept(t: u64, m: u64, p: u64) -> Result<Cost, Reason> {
    let p = within(p, 1, MAX_LANES, "lanes")?;
    let m = within(m, p.saturating_mul(8), MAX_MEMORY, "KiB of memory")?;
    let work = t.saturating_mul(m.into());
    if work > MAX_WORK {
        return Err(Reason::TooMany { value: work, unit: "KiB passes", most: MAX_WORK });
    }
    Ok([within(t, 1, u32::MAX, "passes")?, m, p])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hashers::Alone;

    fn verify(password: &str, encoded: &str) -> Result<bool, Undone> {
        Argon2Phc.decode(encoded)?.verify(password.as_bytes(), &Alone)
    }

    /// Made with argon2-cffi 25.1.0, which Django calls.
    #[test]
    fn verifies_every_variety_and_version() {
        for (variety, hash) in [
            ("argon2d$v=16", "wbboG4v8GSLx1oBhJB+qTA"),
            ("argon2d$v=19", "3c1QCMoMbo3nN324qRnVSA"),
            ("argon2i$v=16", "5T7Bek9l4waZ8TKTJkI9aQ"),
            ("argon2i", "5T7Bek9l4waZ8TKTJkI9aQ"),
            ("argon2i$v=19", "912wp6XL94GXOP4Jg7GIoA"),
            ("argon2id$v=16", "oeWdo5DtO5CpD9RBIHK8aw"),
            ("argon2id", "oeWdo5DtO5CpD9RBIHK8aw"),
            ("argon2id$v=19", "ksyymBktxhBPob64O6We0Q"),
        ] {
            let encoded = format!("argon2${variety}$m=64,t=1,p=1$c2FsdHNhbHQ${hash}");
            assert_eq!(verify("secret", &encoded), Ok(true), "{variety}");
            assert_eq!(verify("Secret", &encoded), Ok(false), "{variety}");
        }
    }

    /// Each was held before argon2-cffi, which says «Decoding failed» or «too short».
    #[test]
    fn reads_no_more_than_the_reference_implementation() {
        for data in [
            "argon2id$v=019$m=64,t=1,p=1$c2FsdHNhbHQ$ksyymBktxhBPob64O6We0Q",
            "argon2id$v=18$m=64,t=1,p=1$c2FsdHNhbHQ$ksyymBktxhBPob64O6We0Q",
            "argon2id$v=19$m=64,t=01,p=1$c2FsdHNhbHQ$ksyymBktxhBPob64O6We0Q",
            "argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$ksyymBktxhBPob64O6We0Q=",
            "argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$ksyymBktxhBPob64O6We0R",
            "argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHR$ksyymBktxhBPob64O6We0Q",
            "argon2id$v=19$t=1,m=64,p=1$c2FsdHNhbHQ$ksyymBktxhBPob64O6We0Q",
            "argon2id$v=19$m=64,t=1,p=1,data=AAAA$c2FsdHNhbHQ$ksyymBktxhBPob64O6We0Q",
            "argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$ksyymBktxhBPob64O6We0Q$",
            "argon2ID$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$ksyymBktxhBPob64O6We0Q",
            "argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbA$AAAAAAAA",
            "argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$AAAA",
            "argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ",
        ] {
            let encoded = format!("argon2${data}");
            assert_eq!(verify("secret", &encoded), Err(Reason::Malformed.into()), "{data}");
        }
    }

    #[test]
    fn caps_come_before_the_work() {
        assert_eq!(accept(16, 262_144, 64), Ok([16, 262_144, 64]));
        for (t, m, p) in [
            (0, 8, 1),
            (1, 7, 1),
            (1, 8, 2),
            (1, 8, 0),
            (17, 262_144, 8),
            (1, 262_145, 8),
            (1, 4096, 65),
            (u32::MAX.into(), 8, 1),
            (u64::MAX, u64::MAX, u64::MAX),
        ] {
            let reason = accept(t, m, p).unwrap_err();
            assert!(
                matches!(reason, Reason::TooFew { .. } | Reason::TooMany { .. }),
                "{t} {m} {p}"
            );
        }
    }
}
