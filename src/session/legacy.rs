//! Sessions as before Django 3.1, which 3.2 still reads: base64 of a digest by SHA-1, `:` and the JSON.

#![forbid(unsafe_code)]

use crate::signing::{Algorithm, Keys};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The JSON, if a key has made its digest. The salt is that of today with the class alone, without
/// the full stop before it.
pub(super) fn loads(text: &[u8], salt: &str, keys: &Keys) -> Option<Vec<u8>> {
    let class = salt.rsplit('.').next()?;
    let decoded = STANDARD.decode(text).ok()?;
    let (digest, json) = decoded.split_at(decoded.iter().position(|&byte| byte == b':')?);
    let json = json.get(1..)?;
    let salt = format!("django.contrib.sessions{class}");
    Algorithm::Sha1.is_hexdigest(digest, &salt, json, keys).then(|| json.to_vec())
}
