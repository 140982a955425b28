//! `bcrypt_sha256` and `bcrypt`: `ALGORITHM$$2b$ROUNDS$` with 22 characters of salt and 31 of hash.
#![forbid(unsafe_code)]

use base64::Engine;
use bcrypt::{BASE_64, hash_with_salt};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::crew::{Crew, Derived, Stopped, Undone};
use super::hasher::{
    Cost, Decoded, Hasher, constant_time_compare, count, decimal, hexdigest, owned, spent, within,
};
use super::refusal::Reason;

/// bcrypt itself knows no fewer rounds.
pub(super) const MIN_ROUNDS: u32 = 4;

/// More rounds are refused: 16 times the work of Django's default.
pub(super) const MAX_ROUNDS: u32 = 16;

/// What bcrypt reads of a password.
const MAX_PASSWORD: usize = 72;

/// `BCryptSHA256PasswordHasher`.
pub(super) static BCRYPT_SHA256: Bcrypt =
    Bcrypt { algorithm: "bcrypt_sha256", class: "BCryptSHA256PasswordHasher", sha256: true };

/// `BCryptPasswordHasher`.
pub(super) static BCRYPT: Bcrypt =
    Bcrypt { algorithm: "bcrypt", class: "BCryptPasswordHasher", sha256: false };

/// Django's bcrypt, with or without SHA256 before it. Its work is counted in 2^rounds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bcrypt {
    algorithm: &'static str,
    class: &'static str,
    sha256: bool,
}

struct Stored<'a> {
    hasher: &'a Bcrypt,
    encoded: &'a str,
    /// `2a`, `2b` or `2y`, which are one and the same for passwords of at most 255 bytes.
    version: &'a str,
    rounds: u32,
    salt: [u8; 16],
}

impl Bcrypt {
    /// Salt and hash as bcrypt writes them.
    fn done_by(&self, crew: &dyn Crew, password: &[u8], salt: [u8; 16], rounds: u32) -> Derived {
        let (hasher, password) = (*self, owned(password));
        crew.work(
            0,
            Box::new(move || hasher.bcrypt(&password, salt, rounds).ok_or(Reason::Malformed)),
        )
    }

    fn bcrypt(&self, password: &[u8], salt: [u8; 16], rounds: u32) -> Option<Zeroizing<Vec<u8>>> {
        count(self.algorithm, 1 << rounds);
        let digest;
        let password = if self.sha256 {
            digest = hexdigest(&Sha256::digest(password));
            digest.as_bytes()
        } else {
            password
        };
        let parts = hash_with_salt(password, rounds, salt).ok()?;
        // `$2b$NN$` is what the row says for itself.
        Some(Zeroizing::new(Zeroizing::new(parts.to_string()).as_bytes().get(7..)?.to_vec()))
    }

    /// Whether bcrypt would read the whole of `password`: it stops after 72 bytes, and a NUL is
    /// where one password begins to look like another. The libraries differ here from version to
    /// version, so that we never let such a password in.
    fn reads(&self, password: &[u8]) -> bool {
        self.sha256 || (password.len() <= MAX_PASSWORD && !password.contains(&0))
    }
}

impl Hasher for Bcrypt {
    fn algorithm(&self) -> &'static str {
        self.algorithm
    }

    fn class(&self) -> &'static str {
        self.class
    }

    fn default_cost(&self) -> Cost {
        [12, 0, 0]
    }

    fn parse_cost(&self, text: &str) -> Result<Cost, String> {
        let rounds = decimal(text).map_err(|_| "the cost is a number of rounds")?;
        let rounds = accept(rounds).map_err(|reason| reason.to_string())?;
        Ok([rounds, 0, 0])
    }

    fn work(&self, [rounds, ..]: Cost) -> u64 {
        1u64.checked_shl(rounds).unwrap_or(u64::MAX)
    }

    fn decode<'a>(&'a self, encoded: &'a str) -> Result<Box<dyn Decoded + 'a>, Reason> {
        let mut fields = encoded.split('$').skip(1);
        let (Some(""), Some(version @ ("2a" | "2b" | "2y")), Some(rounds), Some(data), None) =
            (fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(Reason::Malformed);
        };
        // Two digits always.
        if rounds.len() != 2 {
            return Err(Reason::Malformed);
        }
        let rounds = accept(decimal(rounds.strip_prefix('0').unwrap_or(rounds))?)?;
        let (salt, hash) = data.split_at_checked(22).ok_or(Reason::Malformed)?;
        let salt = BASE_64.decode(salt).map_err(|_| Reason::Malformed)?;
        let salt = salt.try_into().map_err(|_| Reason::Malformed)?;
        let hash = BASE_64.decode(hash).map_err(|_| Reason::Malformed)?;
        if hash.len() != 23 {
            return Err(Reason::Malformed);
        }
        Ok(Box::new(Stored { hasher: self, encoded, version, rounds, salt }))
    }

    fn spend(&self, password: &[u8], [rounds, ..]: Cost, crew: &dyn Crew) -> Result<(), Stopped> {
        spent(self.done_by(crew, password, [0x2b; 16], rounds))
    }

    /// Django hashes 2^(preferred - stored) - 1 times with the stored rounds. Hashing once with
    /// each number of rounds between the two is as much.
    fn harden_runtime(
        &self,
        password: &[u8],
        [stored, ..]: Cost,
        [preferred, ..]: Cost,
        crew: &dyn Crew,
    ) -> Result<(), Stopped> {
        (stored..preferred).try_for_each(|rounds| self.spend(password, [rounds, 0, 0], crew))
    }
}

impl Decoded for Stored<'_> {
    fn cost(&self) -> Cost {
        [self.rounds, 0, 0]
    }

    fn verify(&self, password: &[u8], crew: &dyn Crew) -> Result<bool, Undone> {
        let Self { hasher, encoded, version, rounds, salt } = self;
        let data = hasher.done_by(crew, password, *salt, *rounds)?;
        let data = str::from_utf8(&data).map_err(|_| Reason::Malformed)?;
        let encoded_2 =
            Zeroizing::new(format!("{}$${version}${rounds:02}${data}", hasher.algorithm));
        Ok(constant_time_compare(encoded, &encoded_2) & hasher.reads(password))
    }
}

fn accept(rounds: u64) -> Result<u32, Reason> {
    within(rounds, MIN_ROUNDS, MAX_ROUNDS, "rounds")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hashers::Alone;

    fn verify(hasher: &Bcrypt, password: &str, encoded: &str) -> Result<bool, Undone> {
        hasher.decode(encoded)?.verify(password.as_bytes(), &Alone)
    }

    fn encode(hasher: &Bcrypt, password: &str, version: &str) -> String {
        let data = hasher.bcrypt(password.as_bytes(), [7; 16], 4).unwrap();
        format!("{}$${version}$04${}", hasher.algorithm, str::from_utf8(&data).unwrap())
    }

    /// Made with bcrypt 5.0.0, which Django calls.
    #[test]
    fn verifies_what_django_encoded() {
        let data = "$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
        for version in ["2a", "2b", "2y"] {
            let encoded = format!("bcrypt$${version}{data}");
            assert_eq!(verify(&BCRYPT, "secret", &encoded), Ok(true));
            assert_eq!(verify(&BCRYPT, "Secret", &encoded), Ok(false));
        }
        let empty = "bcrypt$$2b$04$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq";
        assert_eq!(verify(&BCRYPT, "", empty), Ok(true));
    }

    #[test]
    fn plain_bcrypt_lets_no_password_in_that_it_cannot_read() {
        for (password, correct) in
            [("a".repeat(72), true), ("a".repeat(73), false), ("a\0b".to_owned(), false)]
        {
            let encoded = encode(&BCRYPT, &password, "2b");
            assert_eq!(verify(&BCRYPT, &password, &encoded), Ok(correct), "{password:?}");
            let encoded = encode(&BCRYPT_SHA256, &password, "2b");
            assert_eq!(verify(&BCRYPT_SHA256, &password, &encoded), Ok(true), "{password:?}");
        }
    }

    #[test]
    fn caps_come_before_the_work() {
        let data = "abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
        for rounds in ["00", "03", "17", "31", "99"] {
            let reason = verify(&BCRYPT, "", &format!("bcrypt$$2b${rounds}${data}")).unwrap_err();
            let cap = |reason| matches!(reason, Reason::TooFew { .. } | Reason::TooMany { .. });
            assert!(matches!(reason, Undone::Refused(reason) if cap(reason)), "{rounds}");
        }
        for rounds in ["", "4", "004", "+4", " 4", "-4", "4 "] {
            let encoded = format!("bcrypt$$2b${rounds}${data}");
            assert_eq!(
                verify(&BCRYPT, "secret", &encoded),
                Err(Reason::Malformed.into()),
                "{rounds}"
            );
        }
    }
}
