//! A row of `django_session`, and what was read from it.

#![forbid(unsafe_code)]

use super::{Claims, Data, Keys, Refusal, Settings};
use crate::signing::MAX_SIGNED;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;
use zeroize::Zeroizing;

/// A row of `django_session` (Django 6.1, `contrib/sessions/base_session.py`).
pub struct SessionRow {
    /// `session_data`.
    pub data: Zeroizing<String>,
    /// `expire_date` as `YYYY-MM-DD HH:MM:SS[.ffffff]`: of PostgreSQL in UTC; of SQLite and MySQL as it
    /// stands there, in UTC or, where the site has `USE_TZ` off, by the clock of its `TIME_ZONE`.
    pub expire_date: String,
    /// As long as a row is kept, it is decoded once.
    decoded: OnceLock<(Settings, Arc<Claims>)>,
}

impl SessionRow {
    /// No longer `session_data` is read (bytes).
    pub(crate) const MAX_LENGTH: usize = MAX_SIGNED;

    /// What the database has.
    pub fn new(data: String, expire_date: String) -> Self {
        Self { data: data.into(), expire_date, decoded: OnceLock::new() }
    }

    /// What the row says of its user, as [`Settings::decode`] has it; remembered for the settings and
    /// keys that were the first to find somebody.
    ///
    /// # Errors
    /// Why it is no session of anybody.
    pub fn claims(
        &self,
        settings: &Settings,
        keys: &Keys,
        now: SystemTime,
    ) -> Result<Arc<Claims>, Refusal> {
        if let Some((same, claims)) = self.decoded.get()
            && (same, &claims.keys) == (settings, keys)
        {
            return Ok(claims.clone());
        }
        let claims =
            settings.decode(&Data::of_row(self.data.as_bytes()), keys, now).map(Arc::new)?;
        // Only a cookie grows old by itself: what was decoded once stays so.
        if settings.are_rows() {
            let _ = self.decoded.set((settings.clone(), claims.clone()));
        }
        Ok(claims)
    }
}

impl PartialEq for SessionRow {
    fn eq(&self, other: &Self) -> bool {
        (&self.data, &self.expire_date) == (&other.data, &other.expire_date)
    }
}

impl fmt::Debug for SessionRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionRow").field("expire_date", &self.expire_date).finish_non_exhaustive()
    }
}
