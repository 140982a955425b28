//! `pbkdf2_sha256` and `pbkdf2_sha1`: `ALGORITHM$ITERATIONS$SALT$BASE64`.
#![forbid(unsafe_code)]

use std::hint::black_box;

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::crew::{Crew, Derived, Stopped, Undone};
use super::hasher::{
    Cost, Decoded, FIXED_SALT, Hasher, constant_time_compare, count, decimal, owned, spent, within,
};
use super::pbkdf2;
use super::refusal::Reason;

/// More iterations are refused: the newest Django's default 6.7 times.
pub(super) const MAX_ITERATIONS: u32 = 10_000_000;

/// `PBKDF2PasswordHasher`, Django's default since 1.4.
pub(super) static PBKDF2_SHA256: Pbkdf2 = Pbkdf2 {
    algorithm: "pbkdf2_sha256",
    class: "PBKDF2PasswordHasher",
    size: 32,
    derive: |crew, password, salt, iterations| crew.pbkdf2_sha256(password, salt, iterations),
};

/// `PBKDF2SHA1PasswordHasher`.
pub(super) static PBKDF2_SHA1: Pbkdf2 = Pbkdf2 {
    algorithm: "pbkdf2_sha1",
    class: "PBKDF2SHA1PasswordHasher",
    size: 20,
    derive: |crew, password, salt, iterations| {
        let (password, salt) = (owned(password), salt.to_vec());
        crew.work(0, Box::new(move || Ok(pbkdf2::sha1(&password, &salt, iterations))))
    },
};

type Derive = fn(&dyn Crew, password: &[u8], salt: &[u8], iterations: u32) -> Derived;

/// Django's `PBKDF2PasswordHasher` with one digest. Its work is counted in iterations.
#[derive(Debug)]
pub(super) struct Pbkdf2 {
    algorithm: &'static str,
    class: &'static str,
    size: usize,
    derive: Derive,
}

struct Stored<'a> {
    hasher: &'a Pbkdf2,
    encoded: &'a str,
    iterations: u32,
    salt: &'a str,
}

impl Pbkdf2 {
    fn pbkdf2(&self, crew: &dyn Crew, password: &[u8], salt: &[u8], iterations: u32) -> Derived {
        count(self.algorithm, iterations.into());
        (self.derive)(crew, password, salt, iterations)
    }
}

impl Hasher for Pbkdf2 {
    fn algorithm(&self) -> &'static str {
        self.algorithm
    }

    fn class(&self) -> &'static str {
        self.class
    }

    fn default_cost(&self) -> Cost {
        [1_500_000, 0, 0]
    }

    fn parse_cost(&self, text: &str) -> Result<Cost, String> {
        let iterations = decimal(text).map_err(|_| "the cost is a number of iterations")?;
        let iterations = accept(iterations).map_err(|reason| reason.to_string())?;
        Ok([iterations, 0, 0])
    }

    fn work(&self, [iterations, ..]: Cost) -> u64 {
        iterations.into()
    }

    fn decode<'a>(&'a self, encoded: &'a str) -> Result<Box<dyn Decoded + 'a>, Reason> {
        let mut fields = encoded.splitn(4, '$').skip(1);
        let (Some(iterations), Some(salt), Some(hash)) =
            (fields.next(), fields.next(), fields.next())
        else {
            return Err(Reason::Malformed);
        };
        let iterations = accept(decimal(iterations)?)?;
        // Room for the longest digest, in threes.
        let length = STANDARD.decode_slice(hash, &mut [0; 33]).map_err(|_| Reason::Malformed)?;
        if salt.is_empty() || length != self.size {
            return Err(Reason::Malformed);
        }
        Ok(Box::new(Stored { hasher: self, encoded, iterations, salt }))
    }

    fn spend(
        &self,
        password: &[u8],
        [iterations, ..]: Cost,
        crew: &dyn Crew,
    ) -> Result<(), Stopped> {
        spent(self.pbkdf2(crew, black_box(password), FIXED_SALT, iterations))
    }

    fn harden_runtime(
        &self,
        password: &[u8],
        [stored, ..]: Cost,
        [preferred, ..]: Cost,
        crew: &dyn Crew,
    ) -> Result<(), Stopped> {
        match preferred.saturating_sub(stored) {
            0 => Ok(()),
            extra_iterations => self.spend(password, [extra_iterations, 0, 0], crew),
        }
    }
}

impl Decoded for Stored<'_> {
    fn cost(&self) -> Cost {
        [self.iterations, 0, 0]
    }

    fn verify(&self, password: &[u8], crew: &dyn Crew) -> Result<bool, Undone> {
        let Self { hasher, encoded, iterations, salt } = self;
        let derived = hasher.pbkdf2(crew, password, salt.as_bytes(), *iterations)?;
        let hash = Zeroizing::new(STANDARD.encode(&*derived));
        let encoded_2 =
            Zeroizing::new(format!("{}${iterations}${salt}${}", hasher.algorithm, *hash));
        Ok(constant_time_compare(encoded, &encoded_2))
    }
}

fn accept(iterations: u64) -> Result<u32, Reason> {
    within(iterations, 1, MAX_ITERATIONS, "iterations")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hashers::Alone;

    fn verify(hasher: &'static Pbkdf2, password: &str, encoded: &str) -> Result<bool, Undone> {
        hasher.decode(encoded)?.verify(password.as_bytes(), &Alone)
    }

    /// Made with Django 5.2.19.
    #[test]
    fn verifies_what_django_encoded() {
        let sha256 = "pbkdf2_sha256$1000$abcdefghijklmnopqrstuv$1nE4fvOmiD+ZePp39y6TYTXfkn5HEwJDyz8e6UkQE1w=";
        let sha1 = "pbkdf2_sha1$1000$abcdefghijklmnopqrstuv$+5oTfD/enXsijOBknW6M6cP8zps=";
        let sha1_empty = "pbkdf2_sha1$1000$abcdefghijklmnopqrstuv$Tl4ydagAxK3MoeGHffjOHsm6ioY=";
        assert_eq!(verify(&PBKDF2_SHA256, "secret", sha256), Ok(true));
        assert_eq!(verify(&PBKDF2_SHA256, "Secret", sha256), Ok(false));
        assert_eq!(verify(&PBKDF2_SHA1, "secret", sha1), Ok(true));
        assert_eq!(verify(&PBKDF2_SHA1, "", sha1), Ok(false));
        assert_eq!(verify(&PBKDF2_SHA1, "", sha1_empty), Ok(true));
    }

    #[test]
    fn caps_come_before_the_work() {
        let hash = "1nE4fvOmiD+ZePp39y6TYTXfkn5HEwJDyz8e6UkQE1w=";
        let decode = |iterations: &str| {
            let encoded = format!("pbkdf2_sha256${iterations}$salt${hash}");
            PBKDF2_SHA256.decode(&encoded).map(|decoded| decoded.cost()).map_err(Some)
        };
        assert_eq!(decode("10000000"), Ok([10_000_000, 0, 0]));
        for iterations in ["0", "10000001", "4294967296", "9999999999999999999"] {
            let reason = decode(iterations).unwrap_err().unwrap();
            assert!(
                matches!(reason, Reason::TooFew { .. } | Reason::TooMany { .. }),
                "{iterations}: {reason}"
            );
        }
        assert_eq!(decode("99999999999999999999"), Err(Some(Reason::Malformed)));
    }
}
