//! The words of `AuthDjangoDatabase`: what follows the URL, and what its %XX stand for.

#![forbid(unsafe_code)]

use super::pool::Limits;
use std::time::Duration;

/// Reads the words after the URL: those of every pool here, the others by `own`, which answers
/// whether it knows the key.
pub(super) fn limits(
    words: &[&str],
    own_keys: &str,
    mut own: impl FnMut(&str, &str) -> Result<bool, String>,
) -> Result<Limits, String> {
    let mut limits = Limits::default();
    for word in words {
        // Not repeated whole: an administrator may have put the password here.
        let (key, value) =
            word.split_once('=').ok_or("what follows the URL must be key=value: quote the URL?")?;
        let whole = |range: std::ops::RangeInclusive<usize>| {
            let value_shown = name(value);
            let wrong = format!(
                "{key}={value_shown}: must be a number from {} to {}",
                range.start(),
                range.end()
            );
            value.parse().ok().filter(|number| range.contains(number)).ok_or(wrong)
        };
        match key {
            "max" => limits.max = whole(1..=1000)?,
            "min" => limits.min = whole(0..=1000)?,
            "rows" => limits.rows = Duration::from_secs(whole(0..=60)? as u64),
            "idle" => limits.idle = Duration::from_secs(whole(1..=86_400)? as u64),
            "timeout" => {
                let seconds = value.parse().ok().filter(|time| (0.1..=60.0).contains(time));
                limits.timeout = seconds.map(Duration::from_secs_f64).ok_or_else(|| {
                    format!("timeout={}: must be from 0.1 to 60 seconds", name(value))
                })?;
            }
            _ if own(key, value)? => {}
            _ => {
                return Err(format!(
                    "unknown key {}=: after the URL there may be max=, min=, idle=, timeout=, rows={own_keys}",
                    name(key)
                ));
            }
        }
    }
    if limits.min > limits.max {
        return Err(format!("min={} is more than max={}", limits.min, limits.max));
    }
    Ok(limits)
}

/// A key as an error may repeat it: what does not look like one may be part of a password.
pub(super) fn name(key: &str) -> &str {
    let plain = key.len() <= 40 && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { key } else { "…" }
}

/// What the %XX of a URL stand for.
pub(super) fn decode(text: &str) -> Result<String, String> {
    let wrong = "in the URL a % must be followed by two hexadecimal digits, as in %25, and what it \
                 stands for be UTF-8 without NUL";
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part.get(..2).filter(|code| code.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte = code.and_then(|code| u8::from_str_radix(code, 16).ok()).ok_or(wrong)?;
        bytes.push(byte);
        bytes.extend(part.bytes().skip(2));
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or_else(|| wrong.into())
}
