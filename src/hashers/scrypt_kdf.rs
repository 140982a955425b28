//! `scrypt`: `scrypt$N$SALT$R$P$BASE64`.
#![forbid(unsafe_code)]

use base64::{Engine, engine::general_purpose::STANDARD};
use scrypt::{Params, scrypt};
use zeroize::Zeroizing;

use super::crew::{Crew, Derived, Stopped, Undone};
use super::hasher::{
    Cost, Decoded, FIXED_SALT, Hasher, constant_time_compare, count, decimal, named, owned, spent,
    within,
};
use super::refusal::Reason;

/// More memory than this, in bytes and counted as 128 N r, is refused: Django's default 4 times.
pub(super) const MAX_MEMORY: u64 = 64 << 20;

/// More blocks than this, counted as r p, are refused, because they are also kept in memory, 128
/// bytes each: Django's default 200 times.
pub(super) const MAX_BLOCKS: u64 = 8192;

/// A larger p is refused.
pub(super) const MAX_P: u32 = 64;

/// More work, counted as N r p, is refused: Django's default 16 times.
pub(super) const MAX_WORK: u64 = 16 * 16_384 * 8 * 5;

/// What Django asks scrypt for.
const SIZE: usize = 64;

/// `ScryptPasswordHasher`, since Django 4.0. Its work is counted as N r p.
#[derive(Debug)]
pub(super) struct Scrypt;

struct Stored<'a> {
    encoded: &'a str,
    salt: &'a str,
    cost: Cost,
}

impl Hasher for Scrypt {
    fn algorithm(&self) -> &'static str {
        "scrypt"
    }

    fn class(&self) -> &'static str {
        "ScryptPasswordHasher"
    }

    fn default_cost(&self) -> Cost {
        [16_384, 8, 5]
    }

    fn parse_cost(&self, text: &str) -> Result<Cost, String> {
        let [_, r, p] = self.default_cost();
        let given = match decimal(text) {
            Ok(n) => Ok([n, r.into(), p.into()]),
            Err(_) => named(text, ["n", "r", "p"], self.default_cost()),
        };
        let [n, r, p] = given.map_err(|_| "the cost is written n=16384,r=8,p=5 or 16384")?;
        accept(n, r, p).map_err(|reason| match reason {
            Reason::Malformed => "n is not a power of two, or too large for this r".to_owned(),
            reason => reason.to_string(),
        })
    }

    fn work(&self, [n, r, p]: Cost) -> u64 {
        u64::from(n).saturating_mul(r.into()).saturating_mul(p.into())
    }

    fn decode<'a>(&'a self, encoded: &'a str) -> Result<Box<dyn Decoded + 'a>, Reason> {
        let mut fields = encoded.split('$').skip(1);
        let mut field = || fields.next().ok_or(Reason::Malformed);
        let (n, salt, r, p, hash) = (field()?, field()?, field()?, field()?, field()?);
        if fields.next().is_some() {
            return Err(Reason::Malformed);
        }
        let cost = accept(decimal(n)?, decimal(r)?, decimal(p)?)?;
        let digest = STANDARD.decode(hash).map_err(|_| Reason::Malformed)?;
        if salt.is_empty() || digest.len() != SIZE {
            return Err(Reason::Malformed);
        }
        Ok(Box::new(Stored { encoded, salt, cost }))
    }

    fn spend(&self, password: &[u8], cost: Cost, crew: &dyn Crew) -> Result<(), Stopped> {
        spent(done_by(crew, password, FIXED_SALT, cost))
    }

    /// Work does not add up to one hash here, so the missing part is another hash, of the
    /// preferred N and r and as many p as are missing. (Django spends nothing.)
    fn harden_runtime(
        &self,
        password: &[u8],
        stored: Cost,
        preferred @ [n, r, p]: Cost,
        crew: &dyn Crew,
    ) -> Result<(), Stopped> {
        let missing = self.work(preferred).saturating_sub(self.work(stored));
        match missing.div_ceil(self.work([n, r, 1]).max(1)) {
            0 => Ok(()),
            lanes => self.spend(password, [n, r, u32::try_from(lanes).unwrap_or(p)], crew),
        }
    }
}

impl Decoded for Stored<'_> {
    fn cost(&self) -> Cost {
        self.cost
    }

    fn verify(&self, password: &[u8], crew: &dyn Crew) -> Result<bool, Undone> {
        let Self { encoded, salt, cost: [n, r, p] } = self;
        let derived = done_by(crew, password, salt.as_bytes(), self.cost)?;
        let hash = Zeroizing::new(STANDARD.encode(&*derived));
        let encoded_2 = Zeroizing::new(format!("scrypt${n}${salt}${r}${p}${}", *hash));
        Ok(constant_time_compare(encoded, &encoded_2))
    }
}

fn done_by(crew: &dyn Crew, password: &[u8], salt: &[u8], cost: Cost) -> Derived {
    let (password, salt) = (owned(password), salt.to_vec());
    let memory = u32::try_from(memory(cost) / 1024).unwrap_or(u32::MAX);
    crew.work(memory.max(1), Box::new(move || derive(&password, &salt, cost)))
}

/// What a hash takes, in bytes.
fn memory([n, r, _]: Cost) -> u64 {
    Scrypt.work([n, r, 1]).saturating_mul(128)
}

fn derive(
    password: &[u8],
    salt: &[u8],
    cost @ [n, r, p]: Cost,
) -> Result<Zeroizing<Vec<u8>>, Reason> {
    let log_n = u8::try_from(n.ilog2()).map_err(|_| Reason::Malformed)?;
    let params = Params::new(log_n, r, p).map_err(|_| Reason::Malformed)?;
    // The crate aborts the process if it is refused memory, so ask first.
    let memory = usize::try_from(memory(cost)).map_err(|_| Reason::NoMemory)?;
    Vec::<u8>::new().try_reserve_exact(memory).map_err(|_| Reason::NoMemory)?;
    count("scrypt", Scrypt.work(cost));
    let mut derived = Zeroizing::new(vec![0; SIZE]);
    scrypt(password, salt, &params, &mut derived).map_err(|_| Reason::Malformed)?;
    Ok(derived)
}

fn accept(n: u64, r: u64, p: u64) -> Result<Cost, Reason> {
    let most = |value, most, unit| match value {
        value if value > most => Err(Reason::TooMany { value, unit, most }),
        _ => Ok(()),
    };
    let least = |value, unit| within(value, 1, u32::MAX, unit);
    let (n32, r32) = (least(n, "N")?, least(r, "r")?);
    let p32 = within(p, 1, MAX_P, "p")?;
    most(n.saturating_mul(r).saturating_mul(128), MAX_MEMORY, "bytes of memory")?;
    most(r.saturating_mul(p), MAX_BLOCKS, "blocks (r p)")?;
    most(n.saturating_mul(r).saturating_mul(p), MAX_WORK, "units of work (N r p)")?;
    // RFC 7914, section 2, which OpenSSL and so Python hold to: N < 2^(128 r / 8).
    if n < 2 || !n.is_power_of_two() || u64::from(n.ilog2()) >= r.saturating_mul(16) {
        return Err(Reason::Malformed);
    }
    Ok([n32, r32, p32])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hashers::Alone;

    const ENCODED: &str = "scrypt$1024$abcdefghijklmnopqrstuv$8$1$9NzwL6u6Kq9NV+cZlHBwuk6f2ma4IP/TmZ9D5q/rPjRdG5kGBx/l0U/7qLnQZMcQFR/1RrZlSD82u5GtYJDGfQ==";

    fn verify(password: &str, encoded: &str) -> Result<bool, Undone> {
        Scrypt.decode(encoded)?.verify(password.as_bytes(), &Alone)
    }

    /// Made with Django 5.2.19.
    #[test]
    fn verifies_what_django_encoded() {
        assert_eq!(verify("secret", ENCODED), Ok(true));
        assert_eq!(verify("Secret", ENCODED), Ok(false));
        assert_eq!(verify("", ENCODED), Ok(false));
    }

    #[test]
    fn caps_come_before_the_work() {
        for (n, r, p) in [(16_384, 8, 5), (2, 1, 1), (65_536, 8, 1), (32_768, 1, 1)] {
            assert_eq!(accept(n, r, p), Ok([n as u32, r as u32, p as u32]));
        }
        for (n, r, p) in [
            (0, 8, 1),
            (1, 8, 1),
            (1000, 8, 1),
            (131_072, 8, 1),
            (65_536, 1, 1),
            (16_384, 8, 65),
            (65_536, 8, 32),
            (2, 8192, 2),
            (16_384, 0, 1),
            (16_384, 8, 0),
            (1 << 32, 8, 1),
            (1 << 63, 1 << 63, 1 << 63),
            (u64::MAX, u64::MAX, u64::MAX),
        ] {
            assert!(accept(n, r, p).is_err(), "n={n} r={r} p={p}");
        }
    }

    #[test]
    fn costs_are_written_by_name_or_as_n_alone() {
        assert_eq!(Scrypt.parse_cost("1024"), Ok([1024, 8, 5]));
        assert_eq!(Scrypt.parse_cost("p=1,n=1024"), Ok([1024, 8, 1]));
        for text in ["", "x", "1000", "n=1000", "n=16384,r=8,p=65", "n=1048576"] {
            assert!(Scrypt.parse_cost(text).is_err(), "{text}");
        }
    }
}
