//! Who is it: `check_password`, as `django.contrib.auth.handlers.modwsgi` answers it.

#![forbid(unsafe_code)]

use crate::error::Error;
use crate::hashers::{Floor, Hashers, Refusal, Verdict};
use crate::query::{Query, Values};
use crate::store::{Found, Patience, Store};
use crate::user::{User, UserModel, Wants};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A Django site: its database, its user model, and what its rows were seen to cost.
pub struct Site {
    /// Where its users are kept.
    pub store: Arc<dyn Store>,
    /// Their table and columns.
    pub model: Arc<UserModel>,
    /// The highest cost of a password among them.
    pub floor: Floor,
}

/// The answer to a name and a password.
#[derive(Debug, Clone)]
pub enum Decision {
    /// The only way in: an active user whose password it is.
    Granted(Arc<User>),
    /// Not the password of this user.
    Denied(Reason),
    /// Nobody here: another provider may know the user.
    UserNotFound(Reason),
}

/// The answer to a name and a realm.
#[derive(Clone)]
pub enum RealmHash {
    /// The MD5 of `user:realm:password`, in lower case, for an active user. Nobody is let in by it
    /// yet: httpd compares.
    Found(Arc<User>, Zeroizing<String>),
    /// Not with this name.
    Denied(Reason),
    /// Nobody here: another provider may know the user.
    UserNotFound(Reason),
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The table has no such user.
    NoSuchUser,
    /// The user is not active.
    Inactive,
    /// Several users have this name, in different case; the administrator should know.
    Ambiguous,
    /// It is another password.
    WrongPassword,
    /// The stored hash is one that no password may match; the administrator should know.
    Refused(Refusal),
    /// Digest: the query has no hash for this user and realm.
    NoRealmHash,
    /// Digest: what the query has is no MD5 in hexadecimal; the administrator should know.
    MalformedRealmHash,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchUser => f.write_str("no such user"),
            Self::Inactive => f.write_str("the user is not active"),
            Self::Ambiguous => f.write_str("more than one user has this name, in different case"),
            Self::WrongPassword => f.write_str("password mismatch"),
            Self::NoRealmHash => f.write_str("the query has no hash for this user and realm"),
            Self::MalformedRealmHash => f.write_str(
                "the query's value is not 32 hexadecimal digits, the MD5 of user:realm:password",
            ),
            Self::Refused(refusal) => write!(f, "the stored password is refused: {refusal}"),
        }
    }
}

/// Whether `password` is that of the active user `username`, whose row brings what the place
/// `wants`: `check_password` of Django 6.1's
/// `contrib/auth/handlers/modwsgi.py`. Every answer but `Granted` has cost at least one hash of the
/// preferred hasher, so that time tells nobody who has an account (CVE-2025-13473).
///
/// # Errors
/// When the database gave no answer in the time that the request has for it.
pub fn check_password(
    site: &Site,
    hashers: &Hashers,
    wants: &Wants,
    username: &str,
    password: &str,
    patience: &Patience,
) -> Result<Decision, Error> {
    let store = &*site.store;
    let found = patience
        .ask(store, |deadline| store.get_by_natural_key(&site.model, wants, username, deadline))?;
    let reason = match active(found) {
        Ok(user) => {
            let verdict = hashers.check_password(password.as_bytes(), &user.password, &site.floor);
            return Ok(match verdict {
                Verdict::Correct => Decision::Granted(Arc::new(user)),
                Verdict::Wrong => Decision::Denied(Reason::WrongPassword),
                Verdict::Refused(refusal) => Decision::Denied(Reason::Refused(refusal)),
            });
        }
        Err(reason) => reason,
    };
    hashers.spend(password.as_bytes(), &site.floor);
    Ok(match reason {
        Reason::Ambiguous => Decision::Denied(reason),
        reason => Decision::UserNotFound(reason),
    })
}

/// The hash by which httpd verifies Digest: of an active user alone, whatever `query`, whose name is
/// `query_name`, has for others.
///
/// # Errors
/// When the database gave no answer in the time that the request has for it.
pub fn realm_hash(
    site: &Site,
    wants: &Wants,
    (query_name, query): (&str, &Query),
    username: &str,
    realm: &str,
    patience: &Patience,
) -> Result<RealmHash, Error> {
    let store = &*site.store;
    let found = patience
        .ask(store, |deadline| store.get_by_natural_key(&site.model, wants, username, deadline))?;
    let user = match active(found) {
        Ok(user) => user,
        Err(Reason::Ambiguous) => return Ok(RealmHash::Denied(Reason::Ambiguous)),
        Err(reason) => return Ok(RealmHash::UserNotFound(reason)),
    };
    // The name as it was sent is the one that the client has hashed.
    let values = Values { user_id: &user.id, username, realm, ..Values::default() };
    let value = patience
        .ask(store, |deadline| store.value(query, &values, deadline))
        .map_err(|error| error.of_query(query_name))?;
    Ok(match value {
        None => RealmHash::UserNotFound(Reason::NoRealmHash),
        Some(hash) if hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
            RealmHash::Found(Arc::new(user), Zeroizing::new(hash.to_ascii_lowercase()))
        }
        Some(_) => RealmHash::UserNotFound(Reason::MalformedRealmHash),
    })
}

/// The user who may log in, or why nobody may.
fn active(found: Found) -> Result<User, Reason> {
    match found {
        Found::One(user) if user.is_active => Ok(*user),
        Found::One(_) => Err(Reason::Inactive),
        Found::Nobody => Err(Reason::NoSuchUser),
        Found::Several => Err(Reason::Ambiguous),
    }
}

/// What the client sent, as text: UTF-8 (RFC 7617) where both are, else Latin-1, as older clients
/// send it; a client uses one encoding for both.
pub fn decode<'a>(username: &'a [u8], password: &'a [u8]) -> (Cow<'a, str>, Cow<'a, str>) {
    match (str::from_utf8(username), str::from_utf8(password)) {
        (Ok(username), Ok(password)) => (username.into(), password.into()),
        _ => (latin1(username).into(), latin1(password).into()),
    }
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    struct Users(Vec<User>);

    impl Store for Users {
        fn get_by_natural_key(
            &self,
            _: &UserModel,
            _: &Wants,
            username: &str,
            _: Instant,
        ) -> Result<Found, Error> {
            let found = self.0.iter().find(|user| user.username == username).cloned();
            Ok(found.map_or(Found::Nobody, |user| Found::One(Box::new(user))))
        }

        fn exists(&self, _: &Query, _: &Values<'_>, _: Instant) -> Result<bool, Error> {
            Ok(false)
        }

        fn value(
            &self,
            _: &Query,
            values: &Values<'_>,
            _: Instant,
        ) -> Result<Option<Zeroizing<String>>, Error> {
            Ok(match values.realm {
                "none" => None,
                "odd" => Some("secret".to_owned().into()),
                _ => Some("0123456789ABCDEF0123456789abcdef".to_owned().into()),
            })
        }

        fn timeout(&self) -> Duration {
            Duration::from_secs(5)
        }
    }

    fn site() -> Site {
        let user = |username: &str, password: &str, is_active| User {
            id: "1".into(),
            username: username.into(),
            password: Zeroizing::new(password.into()),
            is_active,
            ..User::default()
        };
        // The password is "secret" (Django 5.2.19, PBKDF2PasswordHasher, 1000 iterations).
        let encoded = "pbkdf2_sha256$1000$abcdefghijklmnopqrstuv$\
                       1nE4fvOmiD+ZePp39y6TYTXfkn5HEwJDyz8e6UkQE1w=";
        Site {
            store: Arc::new(Users(vec![
                user("alice", encoded, true),
                user("carol", encoded, false),
                user("dave", "!unusable", true),
                user("erin", "crypt$$x", true),
            ])),
            model: Arc::default(),
            floor: Floor::default(),
        }
    }

    fn ask(username: &str, password: &str) -> Decision {
        let hashers = Hashers::parse(&["pbkdf2_sha256:1000"]).unwrap();
        check_password(&site(), &hashers, &Wants::NOTHING, username, password, &Patience::default())
            .unwrap()
    }

    #[test]
    fn only_an_active_user_with_the_right_password_is_granted() {
        assert!(
            matches!(ask("alice", "secret"), Decision::Granted(user) if user.username == "alice")
        );
        for (username, password) in
            [("alice", "Secret"), ("alice", ""), ("dave", "secret"), ("dave", "!unusable")]
        {
            let decision = ask(username, password);
            assert!(matches!(decision, Decision::Denied(Reason::WrongPassword)), "{decision:?}");
        }
        assert!(matches!(ask("erin", "x"), Decision::Denied(Reason::Refused(_))));
    }

    #[test]
    fn unknown_and_inactive_are_not_found() {
        assert!(matches!(ask("Alice", "secret"), Decision::UserNotFound(Reason::NoSuchUser)));
        assert!(matches!(ask("", ""), Decision::UserNotFound(Reason::NoSuchUser)));
        assert!(matches!(ask("carol", "secret"), Decision::UserNotFound(Reason::Inactive)));
    }

    #[test]
    fn digest_is_for_active_users_with_a_hash() {
        let ask = |username: &str, realm: &str| {
            let query = ("ha1", &Query::parse("SELECT 1").unwrap());
            let patience = Patience::default();
            realm_hash(&site(), &Wants::NOTHING, query, username, realm, &patience).unwrap()
        };
        let RealmHash::Found(user, hash) = ask("alice", "x") else { panic!() };
        assert_eq!((user.username.as_str(), hash.len()), ("alice", 32));
        assert_eq!(*hash, hash.to_ascii_lowercase());
        for (username, realm, expected) in [
            ("alice", "none", Reason::NoRealmHash),
            ("alice", "odd", Reason::MalformedRealmHash),
            ("carol", "x", Reason::Inactive),
            ("zoe", "x", Reason::NoSuchUser),
        ] {
            let found = ask(username, realm);
            assert!(matches!(found, RealmHash::UserNotFound(reason) if reason == expected));
        }
    }

    #[test]
    fn credentials_are_utf8_or_else_latin1() {
        assert_eq!(decode("jürgen".as_bytes(), b"x").0, "jürgen");
        assert_eq!(decode(b"j\xfcrgen", b"x").0, "jürgen");
        assert_eq!(decode(b"j\xfcrgen", "ü".as_bytes()).1, "Ã¼");
        assert_eq!(decode(b"a", b"\xff\xfe").1, "ÿþ");
    }
}
