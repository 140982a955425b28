//! Something signed: what nobody signed is refused; what is signed, whatever it holds, is unpacked or
//! refused.
#![no_main]

mod sign;

use libfuzzer_sys::fuzz_target;
use mod_authnz_django::session::{Data, Engine, Refusal, Settings};
use mod_authnz_django::signing::{self, Keys};
use std::time::SystemTime;

fuzz_target!(|bytes: &[u8]| {
    let keys = Keys::new("another key", &["a fallback"]);
    for engine in [Engine::Row, Engine::SignedCookies] {
        let settings = Settings { legacy: true, ..Settings::new(engine) };
        let decoded = settings.decode(&Data::of_row(bytes), &keys, SystemTime::now());
        assert!(matches!(decoded, Err(Refusal::Signed(_))), "{decoded:?}");
    }
    let refused = sign::decode_signed(bytes);
    assert_ne!(refused, Err(Refusal::Signed(signing::Refusal::Signature)));
});
