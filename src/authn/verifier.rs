//! `Verifier`: a password becomes a verdict, by a hash or by what was verified lately.

#![forbid(unsafe_code)]

use super::{Proof, Site};
use crate::cache::{Claim, Credentials, Verified};
use crate::hashers::{Hashers, Stored, Verdict};
use crate::user::User;
use std::time::Duration;

/// How a place verifies passwords.
#[derive(Clone, Copy)]
pub struct Verifier<'a> {
    /// The accepted algorithms.
    pub hashers: &'a Hashers,
    /// The credentials that were verified lately; without them every password is hashed.
    pub cache: Option<&'a Verified>,
    /// How long that counts here; `None`: not at all.
    pub lifetime: Option<Duration>,
    /// While the database is away, how long ago a user may have been verified who is let in.
    pub stale: Option<Duration>,
}

impl Verifier<'_> {
    /// The verdict on an active user's password: from the cache, if it is known there.
    pub(super) fn verdict(&self, site: &Site, user: &User, password: &[u8]) -> (Verdict, Proof) {
        let stored = self.hashers.read(&user.password);
        let claim = Claim::User { id: &user.id, encoded: &user.password };
        let credentials = self.credentials(site, claim, password);
        match &credentials {
            Some(known) if matches!(stored, Stored::Candidate(_)) && known.are_verified() => {
                return (Verdict::Correct, Proof::Remembered);
            }
            Some(known) if known.are_refused() => return (stored.verdict(), Proof::Remembered),
            _ => {}
        }
        let verdict = self.hashers.check_password(password, &stored, &site.floor);
        match (&credentials, &verdict) {
            (Some(credentials), Verdict::Correct) => credentials.verify(),
            (Some(credentials), _) => credentials.refuse(),
            (None, _) => {}
        }
        (verdict, Proof::Hashed)
    }

    /// The same work for a name that no active user has.
    pub(super) fn spend(&self, site: &Site, username: &str, password: &[u8]) {
        let credentials = self.credentials(site, Claim::Nobody { username }, password);
        if credentials.as_ref().is_some_and(Credentials::are_refused) {
            return;
        }
        self.hashers.spend(password, &site.floor);
        if let Some(credentials) = credentials {
            credentials.refuse();
        }
    }

    fn credentials(
        &self,
        site: &Site,
        claim: Claim<'_>,
        password: &[u8],
    ) -> Option<Credentials<'_>> {
        let (cache, lifetime) = self.cache.zip(self.lifetime)?;
        Some(cache.credentials(&site.identity, claim, password, lifetime))
    }
}
