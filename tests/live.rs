//! Live tests: a real Apache, real databases, and Django itself to say what is right. One binary, so
//! that the reference project is populated once.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

mod cache;
mod configuration;
mod contexts;
mod differential;
mod environment;
mod export;
mod export_sessions;
mod git;
mod groups;
mod hashers;
mod hashing;
mod lifecycle;
mod logins;
mod media;
mod mod_wsgi;
mod permissions;
mod proxy;
mod queries;
mod readme;
mod requests;
mod selfcheck;
mod selfcheck_sessions;
mod session;
mod session_caches;
mod session_cookies;
mod session_core;
mod session_databases;
mod session_differential;
mod session_example;
mod session_inner;
mod session_login;
mod session_optional;
mod session_proxy;
mod sqlite;
mod store_mysql;
mod store_postgres;
mod store_sessions;
mod subversion;
mod unavailable;
mod valid_user;
mod watch;
mod watch_sessions;
mod webdav;
mod xsendfile;
