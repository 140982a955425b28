//! `md5`, `sha1`, `unsalted_md5` and `unsalted_sha1`: one digest, of old rows only.
#![forbid(unsafe_code)]

use std::hint::black_box;

use md5::Md5;
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use super::crew::{Crew, Stopped, Undone};
use super::hasher::{Cost, Decoded, FIXED_SALT, Hasher, constant_time_compare, count, hexdigest};
use super::refusal::Reason;

/// `MD5PasswordHasher`: `md5$SALT$HEX`.
pub(super) static MD5: Plain =
    Plain { algorithm: "md5", class: "MD5PasswordHasher", salted: true, prefix: "", hash: md5 };

/// `SHA1PasswordHasher`, until Django 5.0: `sha1$SALT$HEX`.
pub(super) static SHA1: Plain =
    Plain { algorithm: "sha1", class: "SHA1PasswordHasher", salted: true, prefix: "", hash: sha1 };

/// `UnsaltedMD5PasswordHasher`, until Django 5.0: `HEX` or `md5$$HEX`.
pub(super) static UNSALTED_MD5: Plain = Plain {
    algorithm: "unsalted_md5",
    class: "UnsaltedMD5PasswordHasher",
    salted: false,
    prefix: "md5$$",
    hash: md5,
};

/// `UnsaltedSHA1PasswordHasher`, until Django 5.0: `sha1$$HEX`.
pub(super) static UNSALTED_SHA1: Plain = Plain {
    algorithm: "unsalted_sha1",
    class: "UnsaltedSHA1PasswordHasher",
    salted: false,
    prefix: "sha1$$",
    hash: sha1,
};

/// A digest of salt and password. It has no cost; its work is counted in hashes.
#[derive(Debug)]
pub(super) struct Plain {
    algorithm: &'static str,
    class: &'static str,
    salted: bool,
    /// What stands before the digest if there is no salt.
    prefix: &'static str,
    hash: fn(salt: &[u8], password: &[u8]) -> Zeroizing<String>,
}

struct Stored<'a> {
    hasher: &'a Plain,
    salt: &'a str,
    hash: &'a str,
}

impl Hasher for Plain {
    fn algorithm(&self) -> &'static str {
        self.algorithm
    }

    fn class(&self) -> &'static str {
        self.class
    }

    fn default_cost(&self) -> Cost {
        [0; 3]
    }

    fn parse_cost(&self, _text: &str) -> Result<Cost, String> {
        Err(format!("{} has no cost", self.algorithm))
    }

    fn work(&self, _cost: Cost) -> u64 {
        1
    }

    fn decode<'a>(&'a self, encoded: &'a str) -> Result<Box<dyn Decoded + 'a>, Reason> {
        let (salt, hash) = if self.salted {
            let mut fields = encoded.splitn(3, '$').skip(1);
            let (Some(salt), Some(hash)) = (fields.next(), fields.next()) else {
                return Err(Reason::Malformed);
            };
            if salt.is_empty() {
                return Err(Reason::Malformed);
            }
            (salt, hash)
        } else {
            // Only MD5 is also stored without its prefix, which identify_hasher() knows by length.
            ("", encoded.strip_prefix(self.prefix).unwrap_or(encoded))
        };
        // The digest is written in lower case, so that nothing else can match.
        let hex = hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let size = (self.hash)(b"", b"").len();
        if !hex || hash.len() != size {
            return Err(Reason::Malformed);
        }
        Ok(Box::new(Stored { hasher: self, salt, hash }))
    }

    /// Less work than to hand it to others.
    fn spend(&self, password: &[u8], _: Cost, _: &dyn Crew) -> Result<(), Stopped> {
        count(self.algorithm, 1);
        let salt: &[u8] = if self.salted { FIXED_SALT } else { b"" };
        black_box((self.hash)(salt, black_box(password)));
        Ok(())
    }

    fn harden_runtime(&self, _: &[u8], _: Cost, _: Cost, _: &dyn Crew) -> Result<(), Stopped> {
        Ok(())
    }
}

impl Decoded for Stored<'_> {
    fn cost(&self) -> Cost {
        [0; 3]
    }

    fn verify(&self, password: &[u8], _: &dyn Crew) -> Result<bool, Undone> {
        count(self.hasher.algorithm, 1);
        let hash = (self.hasher.hash)(self.salt.as_bytes(), password);
        Ok(constant_time_compare(self.hash, &hash))
    }
}

fn md5(salt: &[u8], password: &[u8]) -> Zeroizing<String> {
    hexdigest(&Md5::new().chain_update(salt).chain_update(password).finalize())
}

fn sha1(salt: &[u8], password: &[u8]) -> Zeroizing<String> {
    hexdigest(&Sha1::new().chain_update(salt).chain_update(password).finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hashers::Alone;

    fn verify(hasher: &'static Plain, password: &str, encoded: &str) -> Result<bool, Undone> {
        hasher.decode(encoded)?.verify(password.as_bytes(), &Alone)
    }

    /// Of Django: the first made with 5.2.19, the others of its own tests, auth_tests/test_hashers.py.
    #[test]
    fn verifies_what_django_encoded() {
        let md5 = "md5$seasalt$51bd9678978c1b8d854cd8d771c933e8";
        assert_eq!(verify(&MD5, "secret", md5), Ok(true));
        assert_eq!(verify(&MD5, "Secret", md5), Ok(false));
        let sha1 = "sha1$seasalt$cff36ea83f5706ce9aa7454e63e431fc726b2dc8";
        assert_eq!(verify(&SHA1, "lètmein", sha1), Ok(true));
        let unsalted_md5 = "88a434c88cca4e900f7874cd98123f43";
        assert_eq!(verify(&UNSALTED_MD5, "lètmein", unsalted_md5), Ok(true));
        assert_eq!(verify(&UNSALTED_MD5, "lètmein", &format!("md5$${unsalted_md5}")), Ok(true));
        let unsalted_sha1 = "sha1$$6d138ca3ae545631b3abd71a4f076ce759c5700b";
        assert_eq!(verify(&UNSALTED_SHA1, "lètmein", unsalted_sha1), Ok(true));
    }

    #[test]
    fn refuses_what_django_never_writes() {
        for encoded in [
            "md5$$51bd9678978c1b8d854cd8d771c933e8",
            "md5$seasalt$51BD9678978C1B8D854CD8D771C933E8",
            "md5$seasalt$51bd9678978c1b8d854cd8d771c933e8 ",
            "md5$seasalt$x$51bd9678978c1b8d854cd8d771c933e8",
            "md5$seasalt",
        ] {
            assert_eq!(verify(&MD5, "secret", encoded), Err(Reason::Malformed.into()), "{encoded}");
        }
    }
}
