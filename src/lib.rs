//! mod_authnz_django: protects what Apache httpd 2.4 serves with the users and groups of a Django
//! site, read from Django's own database.
//!
//! A core that knows no server, and a thin edge:
//!
//! - [`config`]: the table of directives
//! - [`authn`]: who is it — a name and a password, or a session, become a decision
//! - [`authz`]: may they — the rules of the `Require` lines
//! - [`hashers`]: Django's password hashes
//! - [`cache`]: verified credentials, which spare a hash
//! - [`hashing`]: which hashes run, and which wait
//! - [`store`]: Django's database, pooled
//! - [`query`]: SELECTs of the administrator's own, with named parameters
//! - [`user`]: the columns of a user that matter here
//! - [`secret`]: passwords that the configuration does not hold
//! - [`session`]: from a cookie to whom Django has logged in
//! - [`signing`]: what Django has signed with its SECRET_KEY
//! - [`inspect`]: what an administrator should know when something does not work
//! - [`error`]: what of ours can fail
//! - `httpd`: the module record, its hooks and providers; the only code that knows httpd, and but for
//!   a call in each vectorised hasher (`hashers/pbkdf2`) the only code that is unsafe

pub mod authn;
pub mod authz;
pub mod cache;
pub mod config;
pub mod error;
pub mod hashers;
pub mod hashing;
pub mod inspect;
pub mod query;
pub mod secret;
pub mod session;
pub mod signing;
pub mod store;
pub mod user;

#[allow(unsafe_code)]
mod httpd;
