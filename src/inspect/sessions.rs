//! Sessions of the site: whether the newest are what AuthDjangoSecretKey has signed.

#![forbid(unsafe_code)]

use super::Inspection;
use crate::authn::Sessions;
use crate::query::{Query, Values};
use crate::session::{Data, Engine, Refusal};
use std::fs;
use std::time::SystemTime;
use zeroize::Zeroizing;

/// How many rows are looked at.
const NEWEST: usize = 5;

impl Inspection<'_> {
    /// What httpd will make of sessions that Django has made. None of their keys or contents is told.
    pub(super) fn sessions(&mut self, sessions: Sessions<'_>) {
        match &sessions.settings.engine {
            Engine::Row => self.rows(sessions),
            Engine::File(directory) => match fs::read_dir(directory) {
                Ok(_) => self.good(format!("sessions: {} can be read", directory.display())),
                Err(error) => self.fail(format!(
                    "sessions: {}: {error}: httpd's user must be able to read it and the files in \
                     it, which Django makes for its own user alone",
                    directory.display()
                )),
            },
            Engine::SignedCookies => self.good("sessions: in cookies, so that none is here to try"),
        }
    }

    fn rows(&mut self, sessions: Sessions<'_>) {
        let (mut users, mut nobodies, mut refusals) = (0, 0, Vec::new());
        for place in 0..NEWEST {
            // Whether the table can be read at all was said before.
            let Some(data) = self.newest(place) else { break };
            let data = Data::of_row(data.as_bytes().to_vec());
            match sessions.settings.decode(&data, sessions.keys, SystemTime::now()) {
                Ok(_) => users += 1,
                Err(Refusal::NoUser) => nobodies += 1,
                Err(refusal) => refusals.push(refusal),
            }
        }
        let right = users + nobodies;
        let all = right + refusals.len();
        match refusals.first() {
            None if all == 0 => self.good(
                "sessions: there are none yet, so whether AuthDjangoSecretKey is right is not seen",
            ),
            None => self.good(format!(
                "sessions: the newest {all} are signed with AuthDjangoSecretKey, {users} of them \
                 of users"
            )),
            Some(refusal) if right == 0 => self.fail(format!(
                "sessions: of the newest {all} none counts: {refusal}: is AuthDjangoSecretKey the \
                 SECRET_KEY of this site, and are salt= and backends= its own?"
            )),
            Some(refusal) => self.warn(format!(
                "sessions: of the newest {all} {} do not count, which Django may know by a key that \
                 is not in AuthDjangoSecretKey: {refusal}",
                refusals.len()
            )),
        }
    }

    fn newest(&self, place: usize) -> Option<Zeroizing<String>> {
        let sql = format!(
            "SELECT session_data FROM django_session ORDER BY expire_date DESC LIMIT 1 OFFSET {place}"
        );
        let values = Values { user_id: "", username: "", realm: "", words: &[] };
        let query = Query::parse(&sql).ok()?;
        self.site.store.value(&query, &values, self.deadline()).ok().flatten()
    }
}
