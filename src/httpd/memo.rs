//! What a request remembers, so that sub-requests and several Require lines ask the database once.
//! The client's request, on top, remembers for its sub-requests; each remembers its own user.

use super::child::KnownSite;
use crate::authn::{self, Decision, RealmHash};
use crate::config::{SecretKeys, Session};
use crate::hashers::Hashers;
use crate::query::Query;
use crate::store::Patience;
use crate::user::{User, Wants};
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Kept in `r->request_config`.
#[derive(Default)]
pub(super) struct Memo {
    granted: RefCell<Option<Granted>>,
    /// Seldom more than one.
    verified: RefCell<SmallVec<[Verified; 1]>>,
    looked_up: RefCell<Vec<LookedUp>>,
    /// Which queries had a row.
    pub(super) rows: Answers<bool>,
    /// What Digest is verified by.
    pub(super) realm_hashes: Answers<RealmHash>,
    exported: RefCell<Vec<String>>,
    sessions: RefCell<Vec<Known>>,
    /// Whether a session's cookie, or that there was none, had a part in the answer.
    session: Cell<bool>,
    /// Whether the answer is being made: what is looked up now is a part of it.
    begun: Cell<bool>,
    /// Whether the user whom we let in came by a session.
    by_session: Cell<bool>,
    /// What the request may still wait for databases.
    pub(super) patience: Patience,
}

struct Granted {
    /// As the request calls him; `None` where the row does too.
    name: Option<Vec<u8>>,
    site: Arc<KnownSite>,
    user: Arc<User>,
}

struct Verified {
    site: Arc<KnownSite>,
    hashers: Arc<Hashers>,
    /// The name and behind it the password.
    sent: Zeroizing<Vec<u8>>,
    name: usize,
    decision: Decision,
}

impl Verified {
    fn is(&self, username: &[u8], password: &[u8]) -> bool {
        self.sent.split_at_checked(self.name) == Some((username, password))
    }
}

impl Granted {
    fn is(&self, name: &[u8]) -> bool {
        self.name.as_deref().unwrap_or(self.user.username.as_bytes()) == name
    }
}

/// A cookie that was read.
struct Known {
    site: Arc<KnownSite>,
    session: Arc<Session>,
    secret_key: Arc<SecretKeys>,
    header: Zeroizing<Vec<u8>>,
    answer: authn::Session,
}

struct LookedUp {
    site: Arc<KnownSite>,
    username: Vec<u8>,
    wants: Wants,
    user: Option<Arc<User>>,
}

impl Memo {
    /// The user whom we let in and his site, as long as the request is still that user's.
    pub(super) fn granted(&self, name: &[u8]) -> Option<(Arc<KnownSite>, Arc<User>)> {
        let granted = self.granted.borrow();
        let known = granted.as_ref().filter(|granted| granted.is(name))?;
        Some((Arc::clone(&known.site), Arc::clone(&known.user)))
    }

    /// Notes that the answer of this request is being made.
    pub(super) fn begin(&self) {
        self.begun.set(true);
    }

    /// Whether it is.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.get()
    }

    /// Keeps the user of this very request, which calls him `name`: one that another request of the chain was granted may
    /// be a namesake at another site.
    pub(super) fn grant(&self, name: &[u8], site: &Arc<KnownSite>, user: &Arc<User>) {
        let name = (name != user.username.as_bytes()).then(|| name.to_vec());
        let (site, user) = (Arc::clone(site), Arc::clone(user));
        self.granted.replace(Some(Granted { name, site, user }));
    }

    /// What these credentials were found to be at this site.
    pub(super) fn verified(
        &self,
        site: &Arc<KnownSite>,
        hashers: &Arc<Hashers>,
        username: &[u8],
        password: &[u8],
    ) -> Option<Decision> {
        let verified = self.verified.borrow();
        let known = verified.iter().find(|known| {
            Arc::ptr_eq(&known.site, site)
                && Arc::ptr_eq(&known.hashers, hashers)
                && known.is(username, password)
        })?;
        Some(known.decision.clone())
    }

    /// Keeps what these credentials were found to be.
    pub(super) fn verify(
        &self,
        site: &Arc<KnownSite>,
        hashers: &Arc<Hashers>,
        username: &[u8],
        password: &[u8],
        decision: &Decision,
    ) {
        self.verified.borrow_mut().push(Verified {
            site: Arc::clone(site),
            hashers: Arc::clone(hashers),
            sent: Zeroizing::new([username, password].concat()),
            name: username.len(),
            decision: decision.clone(),
        });
    }

    /// Whose session this header was found to be.
    pub(super) fn session(
        &self,
        site: &Arc<KnownSite>,
        session: &Arc<Session>,
        secret_key: &Arc<SecretKeys>,
        header: &[u8],
    ) -> Option<authn::Session> {
        let sessions = self.sessions.borrow();
        let known = sessions.iter().find(|known| {
            Arc::ptr_eq(&known.site, site)
                && Arc::ptr_eq(&known.session, session)
                && Arc::ptr_eq(&known.secret_key, secret_key)
                && *known.header == header
        })?;
        Some(known.answer.clone())
    }

    /// Keeps whose session this header was found to be.
    pub(super) fn keep_session(
        &self,
        site: &Arc<KnownSite>,
        session: &Arc<Session>,
        secret_key: &Arc<SecretKeys>,
        header: &[u8],
        answer: &authn::Session,
    ) {
        self.sessions.borrow_mut().push(Known {
            site: Arc::clone(site),
            session: Arc::clone(session),
            secret_key: Arc::clone(secret_key),
            header: Zeroizing::new(header.to_vec()),
            answer: answer.clone(),
        });
    }

    /// A session's cookie, or that there is none, has a part in the answer.
    pub(super) fn mark_session(&self) {
        self.session.set(true);
    }

    /// Whether it had.
    pub(super) fn session_decided(&self) -> bool {
        self.session.get()
    }

    /// The user whom this very request was granted came by a session.
    pub(super) fn came_by_session(&self) {
        self.by_session.set(true);
    }

    /// Whether so.
    pub(super) fn is_by_session(&self) -> bool {
        self.by_session.get()
    }

    /// Keeps the names of variables that a request of the chain may have set; gives all of them.
    pub(super) fn export<'a>(&self, variables: impl Iterator<Item = &'a str>) -> Vec<String> {
        let mut exported = self.exported.borrow_mut();
        for variable in variables {
            if !exported.iter().any(|known| known == variable) {
                exported.push(variable.to_owned());
            }
        }
        exported.clone()
    }

    /// The active user of this name, with what is wanted; `Some(None)`: there is none.
    pub(super) fn looked_up(
        &self,
        site: &Arc<KnownSite>,
        name: &[u8],
        wants: &Wants,
    ) -> Option<Option<Arc<User>>> {
        let looked_up = self.looked_up.borrow();
        let known = looked_up.iter().find(|known| {
            Arc::ptr_eq(&known.site, site) && known.username == name && known.wants.cover(wants)
        })?;
        Some(known.user.clone())
    }

    /// Keeps the user of this name.
    pub(super) fn look_up(
        &self,
        site: &Arc<KnownSite>,
        name: &[u8],
        wants: &Wants,
        user: &Option<Arc<User>>,
    ) {
        self.looked_up.borrow_mut().push(LookedUp {
            site: Arc::clone(site),
            username: name.to_vec(),
            wants: wants.clone(),
            user: user.clone(),
        });
    }
}

/// What queries of the administrator's answered, by site and values.
pub(super) struct Answers<T>(RefCell<Vec<Answer<T>>>);

struct Answer<T> {
    site: Arc<KnownSite>,
    query: Arc<Query>,
    values: Vec<String>,
    answer: T,
}

impl<T> Default for Answers<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T: Clone> Answers<T> {
    /// What is known, or else what `ask` answers, which is kept unless it is an error.
    pub(super) fn get<E>(
        &self,
        site: &Arc<KnownSite>,
        query: &Arc<Query>,
        values: Vec<String>,
        ask: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let known = self.0.borrow().iter().find_map(|known| {
            (Arc::ptr_eq(&known.site, site)
                && Arc::ptr_eq(&known.query, query)
                && known.values == values)
                .then(|| known.answer.clone())
        });
        if let Some(answer) = known {
            return Ok(answer);
        }
        let answer = ask()?;
        let (site, query) = (Arc::clone(site), Arc::clone(query));
        self.0.borrow_mut().push(Answer { site, query, values, answer: answer.clone() });
        Ok(answer)
    }
}
