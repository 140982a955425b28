//! A `Cookie` header: no bytes are too odd, and a cookie's value is no longer than its header.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mod_authnz_django::session::{Engine, Settings, cookie};

fuzz_target!(|header: &[u8]| {
    for name in ["sessionid", "a", ""] {
        if let Some(value) = cookie(header, name) {
            // A byte that is not UTF-8 becomes three, an octal digit's character at most two of four.
            assert!(value.len() <= header.len() * 3);
        }
    }
    for engine in [Engine::Row, Engine::SignedCookies] {
        let _ = Settings::new(engine).find(header);
    }
});
