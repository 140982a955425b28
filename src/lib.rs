//! mod_authnz_django: protects what Apache serves with the users and groups of a Django site.

pub mod error;
pub mod hashers;
pub mod store;
pub mod user;
