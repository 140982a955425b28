//! `Watch`: vouches for rows while PostgreSQL would tell of every change to them, by LISTEN and the
//! triggers of `apache/authnz_django_watch.sql`.

#![forbid(unsafe_code)]

mod ear;
mod link;
mod triggers;

use super::url::Place;
use super::{Connections, DIALECT, Settings};
use crate::store::failure::Failure;
use crate::store::rows::{Stamp, Voucher};
use crate::store::{Host, servers};
use crate::user::{UserModel, Wants};
use std::sync::Arc;
use std::time::Instant;

pub(super) use ear::Ear;
pub(super) use link::SHARED;

/// `watch=` and `watch_host=`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Words {
    pub(super) channel: String,
    /// The server itself, where the URL's hosts are somebody who stands before it.
    pub(super) place: Option<Place>,
}

/// `watch=CHANNEL`, as the triggers' SQL takes it.
pub(super) fn channel(value: &str) -> Result<String, String> {
    let plain = value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain && value.len() <= 40 && value.starts_with(|c: char| !c.is_ascii_digit()) {
        return Ok(value.to_owned());
    }
    let shown = crate::store::name(value);
    Err(format!("watch={shown}: must be a word of at most 40 letters, digits and _"))
}

/// Says where an answer comes from: the server since its start, the database, and where names are
/// looked up there. NULL for what a standby answers, which may be late.
pub(super) const ORIGIN: &str = "CASE WHEN NOT pg_is_in_recovery() THEN concat_ws(' ', \
    CAST(extract(epoch FROM pg_postmaster_start_time()) * 1000000 AS bigint), \
    current_database(), array_to_string(current_schemas(false), ',')) END";

/// One link to the server, for all rows of a child's pool: made when the first is asked for, given
/// back when nobody has asked for long.
pub(super) struct Watch {
    ear: Arc<Ear>,
    /// For this link alone.
    connections: Arc<Connections>,
    host: Arc<dyn Host>,
}

impl Watch {
    /// The watch that `settings` ask for; `others` makes the pool's connections.
    pub(super) fn new(words: &Words, others: &Connections) -> Self {
        let ear = Arc::new(Ear::new(&words.channel));
        let mut settings: Settings = others.settings.clone();
        if let Some(place) = &words.place {
            settings.meet(place);
        }
        let theirs = settings.config.get_options().unwrap_or_default();
        settings.config.options(format!("{theirs} -c {}={}", link::PROOF, ear.own()));
        let host = others.host.clone();
        let connections = Arc::new(Connections {
            unnamed: true.into(),
            tls: others.tls.clone(),
            without_options: false.into(),
            host: host.clone(),
            settings,
            ear: Some(ear.clone()),
        });
        Self { ear, connections, host }
    }

    /// Looks once, on a link of its own: what is in the way of keeping such rows, which have this
    /// `origin`.
    pub(super) fn check(
        &self,
        model: &Arc<UserModel>,
        wants: &Wants,
        origin: Option<&str>,
        deadline: Instant,
    ) -> Result<Vec<String>, Failure> {
        self.ear.covers(model, wants);
        let runtime = servers::runtime()?;
        let look = self.ear.attend(async {
            let link = link::Link::open(&self.connections, &self.ear, deadline).await?;
            let lacks = link.round(deadline).await?;
            lacks.iter().flatten().for_each(|lack| self.ear.tell(lack));
            self.ear.knows(origin);
            Ok(())
        });
        let done: Option<Result<(), Failure>> = runtime.block_on(look);
        runtime.shutdown_background();
        if let Some(Err(failure)) = done {
            self.ear.tell(failure.text());
        }
        Ok(self.ear.notices())
    }

    /// Has the thread look, which is started if there is none.
    fn wake(&self) {
        if !self.ear.wake() {
            return;
        }
        let (ear, connections) = (self.ear.clone(), self.connections.clone());
        let body = Box::new(move || link::run(&ear, &connections));
        if self.host.spawn("database watch", body).is_err() {
            self.ear.ended();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ear.end();
    }
}

impl Voucher for Watch {
    fn stamp(&self) -> Option<Stamp> {
        let stamp = self.ear.stamp();
        if self.ear.has_news() {
            self.ear.notices().iter().for_each(|notice| self.host.notice(notice));
        }
        if stamp.is_none() {
            self.wake();
        }
        stamp
    }

    /// Waits for nobody: a model that is met for the first time is looked at meanwhile. Asked after
    /// the stamp was taken: `judge` raises it before it says what is covered.
    fn covers(&self, model: &Arc<UserModel>, wants: &Wants) -> bool {
        let covered = self.ear.covers(model, wants);
        if covered.is_none() {
            self.wake();
        }
        covered == Some(true)
    }

    fn origin(&self) -> Option<&'static str> {
        Some(ORIGIN)
    }

    fn knows(&self, origin: Option<&str>) -> bool {
        self.ear.knows(origin)
    }
}

#[cfg(test)]
mod tests;
