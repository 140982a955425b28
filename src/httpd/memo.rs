//! What a request remembers, so that sub-requests and several Require lines ask the database once.
//! The client's request, on top, remembers for its sub-requests; each remembers its own user.

use super::child::KnownSite;
use crate::authn::Decision;
use crate::hashers::Hashers;
use crate::store::Patience;
use crate::user::{User, Wants};
use std::cell::RefCell;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Kept in `r->request_config`.
#[derive(Default)]
pub(super) struct Memo {
    granted: RefCell<Option<(Arc<KnownSite>, Arc<User>)>>,
    verified: RefCell<Vec<Verified>>,
    looked_up: RefCell<Vec<LookedUp>>,
    exported: RefCell<Vec<String>>,
    /// What the request may still wait for databases.
    pub(super) patience: Patience,
}

struct Verified {
    site: Arc<KnownSite>,
    hashers: Arc<Hashers>,
    username: Vec<u8>,
    password: Zeroizing<Vec<u8>>,
    decision: Decision,
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
        self.granted.borrow().clone().filter(|(_, user)| user.username.as_bytes() == name)
    }

    /// Keeps the user of this very request: one that another request of the chain was granted may
    /// be a namesake at another site.
    pub(super) fn grant(&self, site: &Arc<KnownSite>, user: &Arc<User>) {
        self.granted.replace(Some((Arc::clone(site), Arc::clone(user))));
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
                && known.username == username
                && *known.password == password
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
            username: username.to_vec(),
            password: Zeroizing::new(password.to_vec()),
            decision: decision.clone(),
        });
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
