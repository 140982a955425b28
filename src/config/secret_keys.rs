//! `AuthDjangoSecretKey`: SECRET_KEY and SECRET_KEY_FALLBACKS, which the configuration does not hold.

#![forbid(unsafe_code)]

use super::{FromWords, Secret};
use crate::error::Error;
use crate::secret::Source;
use crate::session::Keys;
use std::sync::{Arc, OnceLock};

/// The keys of a site: named while the configuration is read, fetched before the fork.
#[derive(Debug)]
pub struct SecretKeys {
    /// SECRET_KEY first.
    pub secrets: Vec<Arc<Secret>>,
    keys: OnceLock<Keys>,
}

impl PartialEq for SecretKeys {
    fn eq(&self, other: &Self) -> bool {
        self.secrets == other.secrets
    }
}

impl SecretKeys {
    /// Those that were read; after a restart that could not read all, the others.
    ///
    /// # Errors
    /// `Error::Secret` where none was.
    pub fn keys(&self) -> Result<&Keys, Error> {
        let values: Vec<&str> = self
            .secrets
            .iter()
            .filter_map(|secret| secret.value.get().map(|value| value.as_str()))
            .collect();
        match &values[..] {
            [key, fallbacks @ ..] => Ok(self.keys.get_or_init(|| Keys::new(key, fallbacks))),
            [] => Err(Error::Secret(
                "AuthDjangoSecretKey: no key could be read when the server was restarted: see the \
                 log of that time"
                    .into(),
            )),
        }
    }
}

impl FromWords for SecretKeys {
    fn from_words(words: &[&str]) -> Result<Self, String> {
        if words.is_empty() {
            return Err(
                "needs file:PATH, env:NAME or exec:PROGRAM of SECRET_KEY, in quotes where \
                        it has spaces, and one of each of SECRET_KEY_FALLBACKS"
                    .into(),
            );
        }
        let secret = |word: &&str| {
            Source::parse(word).map(|source| Arc::new(Secret::new("AuthDjangoSecretKey", source)))
        };
        Ok(Self {
            secrets: words.iter().map(secret).collect::<Result<_, _>>()?,
            keys: OnceLock::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::Zeroizing;

    #[test]
    fn keys_are_those_that_were_read() {
        let keys = SecretKeys::from_words(&["env:A", "env:B"]).unwrap();
        assert!(keys.keys().unwrap_err().to_string().contains("AuthDjangoSecretKey"));
        keys.secrets[1].value.set(Zeroizing::new("older".into())).unwrap();
        assert_eq!(format!("{:?}", keys.keys().unwrap()), "Keys(1)");
        assert_eq!(keys, SecretKeys::from_words(&["env:A", "env:B"]).unwrap());
        assert_ne!(keys, SecretKeys::from_words(&["env:B", "env:A"]).unwrap());
        assert!(!format!("{keys:?}").contains("older"));
    }

    #[test]
    fn what_is_wrong_is_said_and_no_key_is() {
        assert!(SecretKeys::from_words(&[]).is_err());
        let error = SecretKeys::from_words(&["env:A", "hunter2"]).unwrap_err();
        assert!(error.contains("file:PATH") && !error.contains("hunter2"), "{error}");
    }
}
