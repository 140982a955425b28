//! Sessions of the site: whether the newest let in whom Django has logged in, or why not.

#![forbid(unsafe_code)]

use super::Inspection;
use crate::authn::{Reason, Session, Sessions, session};
use crate::error::Error;
use crate::query::{Query, Values};
use crate::session::{Engine, Refusal, SessionKey};
use crate::store::Patience;
use crate::user::Wants;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::SystemTime;
use zeroize::Zeroizing;

/// How many are looked at.
const NEWEST: usize = 5;

/// What became of those that were looked at.
#[derive(Default)]
struct Seen {
    users: usize,
    nobodies: usize,
    /// Why the others let nobody in.
    refused: Vec<Reason>,
}

impl Inspection<'_> {
    /// What httpd makes of sessions that Django has made. None of their keys or contents is told.
    pub(super) fn sessions(&mut self, sessions: Sessions<'_>) {
        let cookie = &sessions.settings.cookie;
        let keys = match &sessions.settings.engine {
            Engine::Row => (0..NEWEST).map_while(|place| self.newest(place)).collect(),
            Engine::File(directory) => match newest_files(directory, cookie) {
                Ok(keys) => keys,
                Err(error) => return self.unreadable(&format!("{}: {error}", directory.display())),
            },
            Engine::SignedCookies => {
                return self.good("sessions: in cookies, so that none is here to try");
            }
        };
        let mut seen = Seen::default();
        for key in &keys {
            let header = Zeroizing::new(format!("{cookie}={}", key.as_str()));
            match self.by_header(sessions, &header) {
                Ok(Session::Of(_)) => seen.users += 1,
                // A row that nobody can ask for, Django neither.
                Ok(Session::Nobody(Reason::Session(Refusal::Key))) => {}
                Ok(Session::Nobody(Reason::Session(Refusal::NoUser))) => seen.nobodies += 1,
                Ok(Session::Nobody(reason)) => seen.refused.push(reason),
                Err(Error::Session(reason)) => return self.unreadable(&reason),
                Err(error) => return self.fail(format!("sessions: {error}")),
            }
        }
        self.tell_sessions(&seen);
    }

    /// As a request is answered that brings this header.
    fn by_header(&self, sessions: Sessions<'_>, header: &str) -> Result<Session, Error> {
        let (wants, patience) = (Wants::NOTHING, Patience::default());
        session(self.site, sessions, &wants, header.as_bytes(), &patience, SystemTime::now())
    }

    fn unreadable(&mut self, reason: &str) {
        self.fail(format!(
            "sessions: {reason}: httpd's user must be able to read the directory and the files in it, \
             which Django makes for its own user alone"
        ));
    }

    fn tell_sessions(&mut self, seen: &Seen) {
        let Seen { users, nobodies, refused } = seen;
        let right = users + nobodies;
        let all = right + refused.len();
        // What the keys are at fault for is told first.
        let first = refused.iter().find(|reason| is_misconfigured(reason)).or(refused.first());
        match first {
            None if all == 0 => self.good(
                "sessions: there are none yet, so whether AuthDjangoSecretKey is right is not seen",
            ),
            None => self.good(format!(
                "sessions: the newest {all} are signed with AuthDjangoSecretKey, {users} of them \
                 of users"
            )),
            Some(reason) if right == 0 && is_misconfigured(reason) => self.fail(format!(
                "sessions: of the newest {all} none counts: {reason}: is AuthDjangoSecretKey the \
                 SECRET_KEY of this site, and are salt= and backends= its own?"
            )),
            Some(reason) if is_misconfigured(reason) => self.warn(format!(
                "sessions: of the newest {all} {} do not count, which Django may know by a key that \
                 is not in AuthDjangoSecretKey: {reason}",
                refused.len()
            )),
            Some(reason) if right == 0 => self.warn(format!(
                "sessions: of the newest {all} none counts: {reason}: are age= and timezone= those of \
                 this site?"
            )),
            Some(_) => self.good(format!(
                "sessions: the newest {all} are signed with AuthDjangoSecretKey, {users} of them of \
                 users, and {} have ended or are of users who may not log in",
                refused.len()
            )),
        }
    }

    fn newest(&self, place: usize) -> Option<Zeroizing<String>> {
        let sql = format!(
            "SELECT session_key FROM django_session ORDER BY expire_date DESC LIMIT 1 OFFSET {place}"
        );
        let values = Values { user_id: "", username: "", realm: "", words: &[] };
        let query = Query::parse(&sql).ok()?;
        // Whether the table can be read at all was said before.
        self.site.store.value(&query, &values, self.deadline()).ok().flatten()
    }
}

/// Not what Django itself may say of a session that has ended, or of a user.
fn is_misconfigured(reason: &Reason) -> bool {
    match reason {
        Reason::Session(refusal) => {
            !matches!(refusal, Refusal::NoSession | Refusal::Ended | Refusal::Hash)
        }
        _ => false,
    }
}

/// The keys of the files that were written last.
fn newest_files(directory: &Path, cookie: &str) -> std::io::Result<Vec<Zeroizing<String>>> {
    let mut files: Vec<(SystemTime, OsString)> = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // One that has gone meanwhile is none.
        let Ok(modified) = entry.metadata().and_then(|found| found.modified()) else { continue };
        files.push((modified, entry.file_name()));
    }
    files.sort_unstable_by(|one, other| other.cmp(one));
    // Somebody else's files may have like names.
    let key = |name: &OsString| SessionKey::of_file(name.to_str()?.strip_prefix(cookie)?).ok();
    let keys = files.iter().filter_map(|(_, name)| key(name)).take(NEWEST);
    Ok(keys.map(|key| Zeroizing::new(key.as_str().to_owned())).collect())
}
