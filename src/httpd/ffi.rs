//! httpd's API as bindgen reads it from the installed headers (`build.rs`, `include/bindings.h`).

#![allow(
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    clippy::all,
    clippy::indexing_slicing,
    clippy::undocumented_unsafe_blocks
)]

include!(concat!(env!("OUT_DIR"), "/httpd.rs"));
