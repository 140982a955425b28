//! The JSON of a session: what serde_json reads as an object is one; Python and we take more.
#![no_main]

mod sign;

use libfuzzer_sys::fuzz_target;
use mod_authnz_django::session::Refusal;
use serde_json::{Map, Value};

fuzz_target!(|json: &[u8]| {
    let decoded = sign::decode_payload(json);
    if serde_json::from_slice::<Map<String, Value>>(json).is_ok() {
        assert_ne!(decoded, Err(Refusal::NotJson));
    }
});
