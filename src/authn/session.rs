//! Who is it: the session of a cookie, for reading alone, as `get_user` of Django 6.1's
//! `contrib/auth/__init__.py` answers it.

#![forbid(unsafe_code)]

use super::{Reason, Site, active};
use crate::error::Error;
use crate::session::{
    Claims, Clock, Data, Found as Place, Keys, Refusal, SessionKey, SessionRow, Settings, Unfound,
};
use crate::store::{Found, Patience};
use crate::user::{User, Wants};
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

/// Sessions of one site whose user a child remembers.
const MOST: usize = 16_384;

/// How a place reads sessions.
#[derive(Debug, Clone, Copy)]
pub struct Sessions<'a> {
    /// The site's settings about them.
    pub settings: &'a Settings,
    /// What they are signed with.
    pub keys: &'a Keys,
    /// The clock of their rows.
    pub clock: &'a Clock,
}

/// The answer to a cookie.
#[derive(Debug, Clone)]
pub enum Session {
    /// The active user whom Django has logged in, under the present password.
    Of(Arc<User>),
    /// To Django, an anonymous user.
    Nobody(Reason),
}

/// Whose session it was when it was last read, by the digest of its key: what lets one query bring
/// both rows. It says what to ask for, and nothing of who somebody is.
pub struct Owners {
    ids: LazyLock<Cache<[u8; 16], Box<str>>>,
    /// Whether any session was valid.
    proven: AtomicBool,
}

impl Default for Owners {
    fn default() -> Self {
        Self { ids: LazyLock::new(|| Cache::new(MOST)), proven: AtomicBool::new(false) }
    }
}

impl Owners {
    /// Whether this child has met a valid session: then keys and settings are the site's.
    pub fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }
}

/// Without the key itself, which is as good as a password.
fn digest(key: &SessionKey) -> [u8; 16] {
    let mut digest = [0; 16];
    let all = Sha256::digest(key.as_str());
    digest.iter_mut().zip(all).for_each(|(to, from)| *to = from);
    digest
}

/// The user of the session that a `Cookie` header names, whose row brings what the place `wants`:
/// cookie, row and its `expire_date`, signature, user id, back end, `is_active`, and at last whether
/// the session is of the user's present password.
///
/// # Errors
/// When the database gave no answer in the time that the request has for it, or a file that is there
/// cannot be read. What the client sent is never an error.
pub fn session(
    site: &Site,
    sessions: Sessions<'_>,
    wants: &Wants,
    header: &[u8],
    patience: &Patience,
    now: SystemTime,
) -> Result<Session, Error> {
    let asked = Asked { site, sessions, wants, patience, now };
    let found = match sessions.settings.find(header) {
        Ok(Place::Key(key)) => asked.by_key(&key),
        Ok(Place::Data(data)) => asked.by_data(&data),
        Err(Unfound::Refused(refusal)) => Ok(Err(Reason::Session(refusal))),
        Err(Unfound::Failed(error)) => return Err(error),
    };
    Ok(match found? {
        Ok(user) => {
            site.owners.proven.store(true, Ordering::Relaxed);
            Session::Of(user)
        }
        Err(reason) => Session::Nobody(reason),
    })
}

type Answer = Result<Result<Arc<User>, Reason>, Error>;

struct Asked<'a> {
    site: &'a Site,
    sessions: Sessions<'a>,
    wants: &'a Wants,
    patience: &'a Patience,
    now: SystemTime,
}

impl Asked<'_> {
    /// In a row: one query where this child knows whose session it was, else two.
    fn by_key(&self, key: &SessionKey) -> Answer {
        let Site { store, model, owners, stale, .. } = self.site;
        let digest = digest(key);
        let owner = owners.ids.get(&digest);
        let (row, found) = self.patience.ask(&**store, |deadline| {
            store.session(model, self.wants, key.as_str(), owner.as_deref(), deadline)
        })?;
        if let Some(owner) = owner.as_deref() {
            stale.heed_id(&found, || vec![owner.into()]);
        }
        let claims = match self.claims_of_row(row.as_deref()) {
            Ok(claims) => claims,
            Err(refusal) => {
                owners.ids.remove(&digest);
                return Ok(Err(Reason::Session(refusal)));
            }
        };
        let found = match found {
            Found::One(user) if claims.user_id.is(&user.id) => Found::One(user),
            _ => self.user(&claims)?,
        };
        if let Found::One(user) = &found
            && owner.as_deref() != Some(&*user.id)
        {
            owners.ids.insert(digest, user.id.as_str().into());
        }
        Ok(judge(&claims, found))
    }

    fn claims_of_row(&self, row: Option<&SessionRow>) -> Result<Arc<Claims>, Refusal> {
        let row = row.ok_or(Refusal::NoSession)?;
        let Sessions { settings, keys, clock } = self.sessions;
        if clock.has_passed(&row.expire_date, self.now) {
            return Err(Refusal::Ended);
        }
        row.claims(settings, keys, self.now)
    }

    /// In the cookie or a file.
    fn by_data(&self, data: &Data) -> Answer {
        let Sessions { settings, keys, .. } = self.sessions;
        match settings.decode(data, keys, self.now) {
            Ok(claims) => self.user(&claims).map(|found| judge(&claims, found)),
            Err(refusal) => Ok(Err(Reason::Session(refusal))),
        }
    }

    fn user(&self, claims: &Claims) -> Result<Found, Error> {
        self.site.get_by_id(self.wants, &claims.user_id, self.patience)
    }
}

/// Django's last questions of a session: may its user log in, and is it of his present password?
fn judge(claims: &Claims, found: Found) -> Result<Arc<User>, Reason> {
    let user = active(found)?;
    if claims.user_id.is(&user.id) && claims.are_proven_by(&user.password) {
        Ok(user)
    } else {
        Err(Reason::Session(Refusal::Hash))
    }
}

#[cfg(test)]
mod tests;
