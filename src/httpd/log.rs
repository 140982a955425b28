//! httpd's error log, under this module's own index; the core never logs.

use super::request::Request;
use super::{c_string, ffi};
use std::collections::HashMap;
use std::panic::Location;
use std::ptr;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The levels in use (`http_log.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Critical = ffi::APLOG_CRIT as isize,
    Error = ffi::APLOG_ERR as isize,
    Warning = ffi::APLOG_WARNING as isize,
    Notice = ffi::APLOG_NOTICE as isize,
    Info = ffi::APLOG_INFO as isize,
    Debug = ffi::APLOG_DEBUG as isize,
}

/// A server, in whose log a line may stand.
#[derive(Clone, Copy)]
pub(super) struct Server(*const ffi::server_rec);

// SAFETY: httpd's log takes lines from any thread, and the record is not written after the start.
unsafe impl Send for Server {}
// SAFETY: as for `Send`.
unsafe impl Sync for Server {}

impl Server {
    /// # Safety
    /// `raw` is a server of httpd's that lives as long as this value is used.
    pub(super) unsafe fn new(raw: *const ffi::server_rec) -> Self {
        Self(raw)
    }
}

/// Whether a line about this request would be written, so that it need not be made if not.
pub(super) fn wants(request: &Request<'_>, level: Level) -> bool {
    // SAFETY: `Request::new`.
    unsafe { ffi::authnz_django_logs_request(request.raw(), level as i32) != 0 }
}

/// One line about a request.
#[track_caller]
pub(super) fn request(request: &Request<'_>, level: Level, text: &str) {
    let at = Location::caller();
    let (file, text) = (c_string(at.file()), c_string(text));
    // SAFETY: `Request::new`; httpd copies the strings.
    unsafe {
        ffi::authnz_django_log_request(
            file.as_ptr(),
            at.line() as i32,
            level as i32,
            request.raw(),
            text.as_ptr(),
        );
    }
}

/// One line about a server, or about none in particular.
#[track_caller]
pub(super) fn server(server: Option<Server>, level: Level, text: &str) {
    let at = Location::caller();
    let (file, text) = (c_string(at.file()), c_string(text));
    // SAFETY: `Server::new`, or NULL, which httpd allows; httpd copies the strings.
    unsafe {
        ffi::authnz_django_log_server(
            file.as_ptr(),
            at.line() as i32,
            level as i32,
            server.map_or(ptr::null(), |server| server.0),
            text.as_ptr(),
        );
    }
}

/// A line that a child may have to say for every request is said once in this time.
const REPEAT: Duration = Duration::from_secs(10);

/// No child remembers more lines than these.
const REMEMBERED: usize = 256;

/// What was said last, and how often it was held back since.
static SAID: LazyLock<Mutex<HashMap<String, (Instant, u64)>>> = LazyLock::new(Mutex::default);

/// One line about a request, unless this child said the same within ten seconds. `key` is what makes
/// two lines the same; the next line that is said tells how many were not.
#[track_caller]
pub(super) fn request_limited(
    about: &Request<'_>,
    level: Level,
    key: &str,
    text: impl FnOnce() -> String,
) {
    if wants(about, level)
        && let Some(text) = limited(key, text)
    {
        request(about, level, &text);
    }
}

/// The same about a server.
#[track_caller]
pub(super) fn server_limited(
    about: Server,
    level: Level,
    key: &str,
    text: impl FnOnce() -> String,
) {
    if let Some(text) = limited(key, text) {
        server(Some(about), level, &text);
    }
}

fn limited(key: &str, text: impl FnOnce() -> String) -> Option<String> {
    let held_back = may_say(&SAID, key, Instant::now())?;
    let mut text = text();
    if held_back > 0 {
        text.push_str(&format!(" ({held_back} more like it in between)"));
    }
    Some(text)
}

/// Whether the line may be said now and, if so, how many were held back.
fn may_say(said: &Mutex<HashMap<String, (Instant, u64)>>, key: &str, now: Instant) -> Option<u64> {
    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((last, held_back)) = said.get_mut(key) {
        if now.duration_since(*last) < REPEAT {
            *held_back += 1;
            return None;
        }
        *last = now;
        return Some(std::mem::take(held_back));
    }
    if said.len() >= REMEMBERED {
        said.retain(|_, (last, _)| now.duration_since(*last) < REPEAT);
    }
    // A flood of different lines within ten seconds: the log is told enough.
    if said.len() >= REMEMBERED {
        return None;
    }
    said.insert(key.to_owned(), (now, 0));
    Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_line_is_said_once_in_ten_seconds() {
        let said = Mutex::default();
        let start = Instant::now();
        assert_eq!(may_say(&said, "a", start), Some(0));
        assert_eq!(may_say(&said, "a", start + Duration::from_secs(9)), None);
        assert_eq!(may_say(&said, "a", start + Duration::from_secs(9)), None);
        assert_eq!(may_say(&said, "b", start + Duration::from_secs(9)), Some(0));
        assert_eq!(may_say(&said, "a", start + REPEAT), Some(2));
        assert_eq!(may_say(&said, "a", start + REPEAT * 2), Some(0));
    }

    #[test]
    fn a_flood_of_lines_is_bounded() {
        let said = Mutex::default();
        let start = Instant::now();
        for n in 0..1000 {
            let told = may_say(&said, &n.to_string(), start).is_some();
            assert_eq!(told, n < REMEMBERED);
        }
        assert!(may_say(&said, "later", start + REPEAT).is_some());
        assert_eq!(said.lock().unwrap().len(), 1);
    }
}
