//! Which algorithms and costs the rows of a site have, told by the beginnings of their passwords.
#![forbid(unsafe_code)]

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::hasher::{Cost, Hasher};
use super::refusal::Reason;
use super::{FOREIGN, HASHERS, Hashers, identify_hasher, is_password_usable};

/// The passwords of a site.
#[derive(Debug, Default)]
pub struct Survey {
    /// Those that a password can match, or could if they were accepted.
    pub usages: Vec<Usage>,
    /// Those that were never set or made unusable.
    pub unusable: u64,
}

/// Passwords of one algorithm and cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// As `AuthDjangoPasswordHashers` writes them: `pbkdf2_sha256:1000000`.
    pub label: String,
    /// How many users have such a password.
    pub users: u64,
    /// Why none of them gets in.
    pub refused: Option<String>,
    /// It is no setting that refuses them.
    pub malformed: bool,
    /// Their cost against that of the preferred hasher, if it is theirs.
    pub cost: Option<Ordering>,
}

impl Hashers {
    /// Counts passwords by algorithm and cost. The first 48 characters are enough of each; what is
    /// wrong behind them is not seen.
    pub fn survey<'a>(&self, passwords: impl IntoIterator<Item = &'a str>) -> Survey {
        let mut survey = Survey::default();
        let mut found: BTreeMap<String, Usage> = BTreeMap::new();
        for password in passwords {
            if password.is_empty() || !is_password_usable(password) {
                survey.unusable += 1;
                continue;
            }
            let usage = self.usage(password);
            let key = format!("{} {:?}", usage.label, usage.refused);
            found.entry(key).or_insert(usage).users += 1;
        }
        survey.usages = found.into_values().collect();
        survey
    }

    /// The preferred hasher and its cost, as `AuthDjangoPasswordHashers` writes them.
    pub fn preferred(&self) -> String {
        label(self.preferred, self.cost)
    }

    /// The list as `AuthDjangoPasswordHashers` writes it: two with the same label are the same.
    pub fn label(&self) -> String {
        let others = self.listed.iter().skip(1).map(|hasher| hasher.algorithm().to_owned());
        let all: Vec<String> = std::iter::once(self.preferred()).chain(others).collect();
        all.join(" ")
    }

    fn usage(&self, password: &str) -> Usage {
        let usage = |label: &str, refused: Option<String>, malformed, cost| Usage {
            label: label.to_owned(),
            users: 0,
            refused,
            malformed,
            cost,
        };
        let algorithm = identify_hasher(password);
        let Some(hasher) = HASHERS.into_iter().find(|hasher| hasher.algorithm() == algorithm)
        else {
            // What is not the name of a hasher may be anything, even a password.
            let name = FOREIGN.into_iter().find(|name| *name == algorithm);
            let label = name.unwrap_or("no known algorithm");
            return usage(label, Some(Reason::Unknown(name).to_string()), name.is_none(), None);
        };
        let algorithm = hasher.algorithm();
        if !self.listed.iter().any(|listed| listed.algorithm() == algorithm) {
            return usage(algorithm, Some(Reason::NotListed.to_string()), false, None);
        }
        match cost(hasher, password) {
            Ok(cost) => {
                let ours = algorithm == self.preferred.algorithm();
                let order = hasher.work(cost).cmp(&hasher.work(self.cost));
                usage(&label(hasher, cost), None, false, ours.then_some(order))
            }
            Err((reason, malformed)) => usage(algorithm, Some(reason), malformed, None),
        }
    }
}

/// The cost that is stored with a hash, held against the caps. The error says nothing of the row but
/// numbers, and whether the row is malformed.
fn cost(hasher: &dyn Hasher, password: &str) -> Result<Cost, (String, bool)> {
    let mut fields = password.split('$').skip(1);
    let text = match hasher.algorithm() {
        "pbkdf2_sha256" | "pbkdf2_sha1" => fields.next().map(str::to_owned),
        "bcrypt_sha256" | "bcrypt" => {
            fields.nth(2).map(|rounds| rounds.strip_prefix('0').unwrap_or(rounds).to_owned())
        }
        "argon2" => {
            let mut fields = fields.skip(1).skip_while(|field| field.starts_with("v="));
            fields.next().map(str::to_owned)
        }
        "scrypt" => match (fields.next(), fields.next(), fields.next(), fields.next()) {
            (Some(n), Some(_), Some(r), Some(p)) => Some(format!("n={n},r={r},p={p}")),
            _ => None,
        },
        _ => return Ok(hasher.default_cost()),
    };
    let plain = |text: &String| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || "tmnrp=,".contains(c))
    };
    let malformed = || (Reason::Malformed.to_string(), true);
    let text = text.filter(plain).ok_or_else(malformed)?;
    hasher.parse_cost(&text).map_err(|reason| {
        // The words of `TooFew` and `TooMany`; all others tell how a cost is written.
        if reason.contains("that are accepted") { (reason, false) } else { malformed() }
    })
}

fn label(hasher: &dyn Hasher, cost @ [x, y, z]: Cost) -> String {
    let name = hasher.algorithm();
    match name {
        "argon2" => format!("{name}:t={x},m={y},p={z}"),
        "scrypt" => format!("{name}:n={x},r={y},p={z}"),
        _ if cost == [0; 3] => name.to_owned(),
        _ => format!("{name}:{x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(words: &[&str], password: &str) -> Usage {
        let survey = Hashers::parse(words).unwrap().survey([password]);
        assert_eq!(survey.unusable, 0, "{password}");
        survey.usages.into_iter().next().unwrap()
    }

    #[test]
    fn algorithm_and_cost_are_told_by_the_beginning() {
        let all = [
            "pbkdf2_sha256:1000",
            "argon2",
            "bcrypt_sha256",
            "scrypt",
            "md5",
            "unsalted_md5",
            "pbkdf2_sha1",
        ];
        for (password, label) in [
            ("pbkdf2_sha256$1000$abcdefghijklmnopqrstuv$1nE4fvOm", "pbkdf2_sha256:1000"),
            ("pbkdf2_sha1$390000$abcdefghijklmnopqrstuv$1nE4fvOm", "pbkdf2_sha1:390000"),
            ("argon2$argon2id$v=19$m=102400,t=2,p=8$aaaaaaaaaa", "argon2:t=2,m=102400,p=8"),
            ("argon2$argon2i$m=512,t=2,p=2$aaaaaaaaaaaaa$bbb", "argon2:t=2,m=512,p=2"),
            ("bcrypt_sha256$$2b$04$aaaaaaaaaaaaaaaaaaaaaaaaaaa", "bcrypt_sha256:4"),
            ("scrypt$16384$abcdefghijklmnopqrstuv$8$5$aaaaaaaa", "scrypt:n=16384,r=8,p=5"),
            ("md5$salt$0123456789abcdef", "md5"),
            ("0123456789abcdef0123456789abcdef", "unsalted_md5"),
        ] {
            let usage = told(&all, password);
            assert_eq!((usage.label.as_str(), usage.refused), (label, None), "{password}");
            assert!(password.len() <= 50, "{password}");
        }
    }

    #[test]
    fn what_gets_nobody_in_says_why_and_repeats_nothing() {
        for (password, reason, malformed) in [
            ("sha1$salt$aaaa", "not listed", false),
            ("crypt$$aaaa", "unknown algorithm crypt", false),
            ("hunter2", "unknown algorithm", true),
            ("pbkdf2_sha256$hunter2", "malformed", true),
            ("pbkdf2_sha256", "malformed", true),
            ("pbkdf2_sha256$2000000000$salt$x", "2000000000 iterations are more", false),
        ] {
            let usage = told(&["pbkdf2_sha256:1000"], password);
            let refused = usage.refused.unwrap();
            assert!(refused.contains(reason), "{password}: {refused}");
            assert_eq!(usage.malformed, malformed, "{password}");
            assert!(!format!("{refused}{}", usage.label).contains("hunter2"));
        }
        let survey = Hashers::default().survey(["!x", "", "!"]);
        assert_eq!((survey.unusable, survey.usages.len()), (3, 0));
    }

    #[test]
    fn costs_are_held_against_the_preferred() {
        for (iterations, order) in
            [(999, Ordering::Less), (1000, Ordering::Equal), (2000, Ordering::Greater)]
        {
            let usage =
                told(&["pbkdf2_sha256:1000"], &format!("pbkdf2_sha256${iterations}$salt$x"));
            assert_eq!(usage.cost, Some(order));
        }
        let hashers = Hashers::parse(&["argon2:t=3", "md5"]).unwrap();
        assert_eq!(hashers.label(), "argon2:t=3,m=102400,p=8 md5");
    }
}
