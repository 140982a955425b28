//! `django.core.signing`, for writing: a mutated session would fail at its signature.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use mod_authnz_django::session::{Claims, Data, Engine, Refusal, Settings};
use mod_authnz_django::signing::Keys;
use sha2::{Digest, Sha256};
use std::time::SystemTime;

const KEY: &str = "a key";

/// What our reader says of `value`, signed as a row's session.
pub fn decode_signed(value: &[u8]) -> Result<Claims, Refusal> {
    let settings = Settings::new(Engine::Row);
    let salted = Sha256::new_with_prefix(&settings.salt).chain_update("signer").chain_update(KEY);
    let mac = Hmac::<Sha256>::new_from_slice(&salted.finalize()).unwrap().chain_update(value);
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    let signed = [value, b":", signature.as_bytes()].concat();
    settings.decode(&Data::of_row(signed), &Keys::new(KEY, &[]), SystemTime::now())
}

/// The same of `payload`, unsigned, unpacked and without a time.
#[allow(dead_code, reason = "not every target packs")]
pub fn decode_payload(payload: &[u8]) -> Result<Claims, Refusal> {
    decode_signed(format!("{}:1r31eq", URL_SAFE_NO_PAD.encode(payload)).as_bytes())
}
