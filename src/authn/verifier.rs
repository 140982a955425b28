//! `Verifier`: a password becomes a verdict, by a hash or by what was verified lately.

#![forbid(unsafe_code)]

use super::{Proof, Site};
use crate::cache::{Claim, Credentials, Verified};
use crate::hashers::{Crew, Hashers, Stopped, Stored, Verdict};
use crate::hashing::{Busy, Hashing};
use crate::user::User;
use std::time::Duration;

/// How a place verifies passwords.
#[derive(Clone, Copy)]
pub struct Verifier<'a> {
    /// The accepted algorithms.
    pub hashers: &'a Hashers,
    /// Who hashes, and how many at a time.
    pub hashing: &'a Hashing,
    /// The credentials that were verified lately; it also names those that are being checked.
    pub cache: &'a Verified,
    /// How long what was verified counts here; `None`: every password is hashed.
    pub lifetime: Option<Duration>,
    /// While the database is away, how long ago a user may have been verified who is let in.
    pub stale: Option<Duration>,
}

impl Verifier<'_> {
    /// The verdict on an active user's password, who came as `username`: from the cache, if it is known
    /// there.
    pub(super) fn verdict(
        &self,
        site: &Site,
        username: &str,
        user: &User,
        password: &[u8],
    ) -> Result<(Verdict, Proof), Busy> {
        let stored = self.hashers.read(&user.password);
        let accepted = matches!(stored, Stored::Candidate(_));
        let claim = Claim::User { id: &user.id, encoded: &user.password };
        let credentials = self.credentials(site, username, claim, password);
        let known = |credentials: &Credentials<'_>| {
            // Asked in any case: the shared store takes its time, which tells nobody whose name it is.
            if credentials.are_verified() && accepted {
                return Some(Verdict::Correct);
            }
            credentials.are_refused().then(|| stored.verdict())
        };
        self.check(&credentials, known, |crew| {
            self.hashers.check_password(password, &stored, &site.floor, crew)
        })
    }

    /// The same work for a name that no active user has.
    pub(super) fn spend(&self, site: &Site, username: &str, password: &[u8]) -> Result<(), Busy> {
        let credentials = self.credentials(site, username, Claim::Nobody, password);
        let known = |credentials: &Credentials<'_>| {
            // As above; nobody's are never verified.
            let _ = credentials.are_verified();
            credentials.are_refused().then_some(Verdict::Wrong)
        };
        self.check(&credentials, known, |crew| {
            self.hashers.spend(password, &site.floor, crew)?;
            Ok(Verdict::Wrong)
        })
        .map(drop)
    }

    /// What is `known`, or else the verdict of `work`, which is remembered, where that counts.
    fn check(
        &self,
        credentials: &Credentials<'_>,
        known: impl Fn(&Credentials<'_>) -> Option<Verdict>,
        work: impl FnOnce(&dyn Crew) -> Result<Verdict, Stopped>,
    ) -> Result<(Verdict, Proof), Busy> {
        let memory = self.lifetime.map(|_| credentials);
        if let Some(verdict) = memory.and_then(&known) {
            return Ok((verdict, Proof::Remembered));
        }
        let mut proof = Proof::Remembered;
        let all_learn = memory.is_some_and(Credentials::are_shared);
        let verdict = self.hashing.check(credentials.id(), all_learn, |crew| {
            // Somebody may have found it out since we looked.
            if let Some(verdict) = memory.and_then(&known) {
                return Ok(verdict);
            }
            proof = Proof::Hashed;
            let verdict = work(crew)?;
            match (memory, &verdict) {
                (Some(credentials), Verdict::Correct) => credentials.verify(),
                (Some(credentials), _) => credentials.refuse(),
                (None, _) => {}
            }
            Ok(verdict)
        })?;
        Ok((verdict, proof))
    }

    fn credentials(
        &self,
        site: &Site,
        username: &str,
        claim: Claim<'_>,
        password: &[u8],
    ) -> Credentials<'_> {
        let (site, algorithms) = (&site.identity, self.hashers.algorithms());
        let lifetime = self.lifetime.unwrap_or_default();
        self.cache.credentials(site, algorithms, username, claim, password, lifetime)
    }
}
