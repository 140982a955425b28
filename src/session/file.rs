//! Sessions in files (`django.contrib.sessions.backends.file`): reading one, and when it ends.

#![forbid(unsafe_code)]

use super::json::Value;
use super::{Data, SessionKey};
use crate::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_cert::der::DateTime;

/// No longer file is read (bytes). Django has no bound.
const MAX_LENGTH: u64 = 1024 * 1024;

/// The session that Django has put into `directory`: its name is that of the cookie and the key. None
/// where there is no such file, or another thing of that name: a link may lead anywhere.
///
/// # Errors
/// `Error::Session`, which names the directory alone, where httpd may not read what is there.
pub(super) fn read(
    directory: &Path,
    cookie: &str,
    key: &SessionKey,
) -> Result<Option<Data>, Error> {
    let failed = |error: std::io::Error| {
        let reason = format!("a session file in {}: {}", directory.display(), error.kind());
        Error::Session(reason)
    };
    // A cookie's name has no slash; were there one, this would be another directory.
    if cookie.contains(['/', '\0']) {
        return Ok(None);
    }
    let path = directory.join(format!("{cookie}{}", key.as_str()));
    // Nobody waits for the other end of a pipe.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => contents(&file).map_err(failed),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        // What the other flags say of a link and of a socket.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ELOOP | libc::ENXIO)) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn contents(file: &File) -> std::io::Result<Option<Data>> {
    let found = file.metadata()?;
    if !found.is_file() || found.len() > MAX_LENGTH {
        return Ok(None);
    }
    let mut text = Vec::new();
    file.take(MAX_LENGTH).read_to_end(&mut text)?;
    Ok(Some(Data { text, modified: Some(found.modified()?) }))
}

/// Whether a session whose `_session_expiry` is that has ended. Without one it lives for `age` after
/// the last change. As in Django, a number of seconds is no end here (the browser forgets the cookie
/// then), the second before a moment is too late, and a moment without an offset, which Django writes
/// without USE_TZ, is none that we could know: such a session has ended.
pub(super) fn has_ended(
    expiry: Option<&Value>,
    modified: SystemTime,
    age: Duration,
    now: SystemTime,
) -> bool {
    let end = match expiry {
        None | Some(Value::Null | Value::Bool(false)) => modified.checked_add(age),
        Some(Value::Text(text)) if text.is_empty() => modified.checked_add(age),
        Some(Value::Text(text)) => moment(text),
        Some(Value::Integer(text)) => match text.parse::<i64>() {
            Ok(0) => modified.checked_add(age),
            Ok(1..) => return false,
            _ => return true,
        },
        Some(Value::Float(seconds)) if *seconds == 0.0 => modified.checked_add(age),
        Some(Value::Float(seconds)) => return *seconds <= 0.0,
        Some(Value::Bool(true) | Value::Other) => None,
    };
    end.and_then(|end| end.duration_since(now).ok()).is_none_or(|left| left.as_secs() < 1)
}

/// `datetime.isoformat()` with an offset: `2030-01-02T03:04:05.678901+02:00`.
fn moment(text: &str) -> Option<SystemTime> {
    let (local, offset) = (text.get(..19)?, text.get(19..)?);
    let (fraction, offset) = offset.split_at(offset.find(['+', '-'])?);
    let micros = match fraction.strip_prefix('.') {
        Some(digits) if digits.len() == 6 => digits.parse().ok()?,
        None if fraction.is_empty() => 0,
        _ => return None,
    };
    let mut parts = offset.get(1..)?.split(':').map(|part| {
        let is_number = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| part.parse::<u64>().ok()).flatten()
    });
    let (hours, minutes) = (parts.next()??, parts.next()??);
    if hours > 23 || minutes > 59 || parts.next().is_some() {
        return None;
    }
    // Whatever that reads is after 1970.
    let local = UNIX_EPOCH + format!("{local}Z").parse::<DateTime>().ok()?.unix_duration();
    let offset_by = Duration::from_secs(hours * 3600 + minutes * 60);
    let utc = if offset.starts_with('+') {
        local.checked_sub(offset_by)
    } else {
        local.checked_add(offset_by)
    };
    utc?.checked_add(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests;
