//! THE table of directives. A row gives a directive its field, merge, parser, command and help;
//! nothing else has to be written to add one.

#![forbid(unsafe_code)]

mod cache;
mod field;
mod hashing;
mod login_url;
mod secret;
mod secret_keys;
mod session;
mod unavailable;

pub use cache::{BYTES_PER_USER, CacheSettings, CacheTimeout, Level};
pub use field::{Field, FromWords, Named, Setting};
pub use hashing::HashingSettings;
pub use login_url::{LoginUrl, Origin};
pub use secret::Secret;
pub use secret_keys::SecretKeys;
pub use session::{Session, SessionSettings};
pub use unavailable::Unavailable;

use crate::hashers::Hashers;
use crate::query::{self, Query};
use crate::session::Clock;
use crate::store::Database;
use crate::user::{Export, UserModel, Wants};
use std::ffi::CStr;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, LazyLock};

/// A row of the table, without its type.
pub struct Directive {
    /// Its name, as administrators write it.
    pub name: &'static CStr,
    /// What follows the name.
    pub syntax: &'static str,
    /// What holds where it is not set.
    pub default: &'static str,
    /// Whether it sizes what exists once, and so stands in the server alone.
    pub global: bool,
    /// What it is for; httpd shows it (`httpd -L`).
    pub help: &'static CStr,
    set: fn(&mut Config, &[&str]) -> Result<(), String>,
}

impl Directive {
    /// Sets the directive's field.
    ///
    /// # Errors
    /// `"<Directive>: <reason>"`, for `apachectl configtest`; never a secret.
    pub fn set(&self, config: &mut Config, words: &[&str]) -> Result<(), String> {
        (self.set)(config, words)
            .map_err(|reason| format!("{}: {reason}", self.name.to_string_lossy()))
    }
}

/// What a section says; merged from the server down to the innermost section.
#[derive(Debug, Clone)]
pub struct Config {
    settings: Arc<Settings>,
    /// Whether AuthGroupFile, which is not ours, is set too.
    pub group_file: bool,
    /// What the Require lines of this place ask of a user's row, so that it comes with it.
    pub wants: Wants,
}

/// Of all sections without a directive of ours: those with a Require line alone.
static UNSET: LazyLock<Arc<Settings>> = LazyLock::new(Arc::default);

impl Default for Config {
    fn default() -> Self {
        Self { settings: Arc::clone(&UNSET), group_file: false, wants: Wants::NOTHING }
    }
}

impl Deref for Config {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.settings
    }
}

impl DerefMut for Config {
    fn deref_mut(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.settings)
    }
}

impl Settings {
    /// Whether this section names another database than the one around it: then the password there
    /// is not for this one's server.
    fn changes_database(&self, base: &Self) -> bool {
        match (self.database.get(), base.database.get()) {
            (Some(new), Some(old)) => new != old,
            _ => false,
        }
    }
}

impl Config {
    /// The settings of an inner section, `add`, over those around it, `base`: httpd asks for them at
    /// every request of a place that is in both.
    pub fn merge(base: &Self, add: &Self) -> Self {
        let settings = if Arc::ptr_eq(&add.settings, &UNSET) {
            Arc::clone(&base.settings)
        } else if Arc::ptr_eq(&base.settings, &UNSET) {
            Arc::clone(&add.settings)
        } else {
            Arc::new(Settings::merge(&base.settings, &add.settings))
        };
        Self {
            settings,
            group_file: base.group_file || add.group_file,
            wants: base.wants.or(&add.wants),
        }
    }

    /// How sessions count here, if they do.
    pub fn sessions(&self) -> Option<&SessionSettings> {
        match self.session.get().map(Arc::as_ref) {
            Some(Session::On(settings)) => Some(settings),
            Some(Session::Off) | None => None,
        }
    }

    /// The clock of the rows that sessions are in: PostgreSQL's moments are moments, whatever the
    /// site's clock.
    pub fn clock<'a>(&self, sessions: &'a SessionSettings) -> &'a Clock {
        static UTC: LazyLock<Clock> = LazyLock::new(Clock::default);
        match self.database.get() {
            Some(database) if database.label().starts_with("postgres") => &UTC,
            _ => &sessions.clock,
        }
    }

    /// What the Require lines of this place and its variables ask of a user's row.
    pub fn asks(&self) -> Wants {
        let mut wants = match self.export.get() {
            Some(export) => self.wants.or(&export.wants(self.user_model.get().map(Arc::as_ref))),
            None => self.wants.clone(),
        };
        // In an outage the row is all that other places have of the user.
        let set = self.unavailable.get().map(|set| **set);
        wants.groups |= matches!(set, Some(Unavailable::Stale(_)));
        wants
    }

    /// The same, and whether this place reads sessions beside users: for who looks at it all.
    pub fn reads(&self) -> Wants {
        let sessions = self.sessions().is_some_and(|sessions| sessions.site.are_rows());
        Wants { sessions, ..self.asks() }
    }

    /// Whether what one section says fits together.
    ///
    /// # Errors
    /// The reason and the remedy, for `apachectl configtest`.
    pub fn check(&self) -> Result<(), String> {
        if let (Some(export), Some(model)) = (self.export.get(), self.user_model.get()) {
            export.check(model).map_err(|reason| format!("AuthDjangoExport: {reason}"))?;
        }
        if let (Some(_), Some(model)) = (self.sessions(), self.user_model.get()) {
            model.check_for_sessions()?;
        }
        match (self.database.get(), self.password.get()) {
            (Some(database), Some(_)) if !database.takes_password() => Err(format!(
                "AuthDjangoDatabasePassword: the database {} has no use for it here: remove one of \
                 the two",
                database.label()
            )),
            _ => Ok(()),
        }
    }
}

macro_rules! directives {
    ($($name:literal $syntax:literal = $default:literal $($once:ident)?, $help:literal =>
        $field:ident: $type:ty;)*) => {
        /// What the directives of a section say.
        #[derive(Debug, Default, Clone)]
        pub struct Settings {
            $(#[doc = $default] pub $field: $type,)*
        }

        impl Settings {
            fn merge(base: &Self, add: &Self) -> Self {
                let mut merged = Self { $($field: Field::merge(&base.$field, &add.$field),)* };
                if !add.password.is_set() && add.changes_database(base) {
                    merged.password = Setting::default();
                }
                merged
            }
        }

        /// All directives, in the README's order.
        pub static DIRECTIVES: &[Directive] = &[$(Directive {
            name: $name,
            syntax: $syntax,
            default: $default,
            global: false $(|| $once)?,
            help: $help,
            set: |config, words| config.$field.set(words),
        }),*];
    };
}

/// The mark of a directive that sizes what exists once.
#[allow(non_upper_case_globals)]
const global: bool = true;

directives! {
    c"AuthDjangoDatabase" "URL [key=value …]" = "none",
        c"Django's database, postgresql://…, mysql://… or sqlite:/path, and how it is connected to" =>
        database: Setting<Database>;
    c"AuthDjangoDatabasePassword" "file:PATH|env:NAME|exec:PROGRAM" = "none",
        c"Where the password of the database comes from" =>
        password: Setting<Secret>;
    c"AuthDjangoUserModel" "app_label.Model [key=value …]" = "auth.User",
        c"AUTH_USER_MODEL, and the tables and columns that do not follow Django's naming" =>
        user_model: Setting<UserModel>;
    c"AuthDjangoPasswordHashers" "NAME[:COST] …" =
        "pbkdf2_sha256 pbkdf2_sha1 argon2 bcrypt_sha256 scrypt",
        c"PASSWORD_HASHERS: the accepted algorithms, the preferred one first" =>
        hashers: Setting<Hashers>;
    c"AuthDjangoQuery" "NAME \"SELECT …\"" = "none",
        c"A query of your own, for Require django-query, AuthDjangoRealmHash or query=NAME" =>
        queries: Named<Query>;
    c"AuthDjangoRealmHash" "NAME" = "none",
        c"The AuthDjangoQuery that gives the MD5 of user:realm:password, for Digest" =>
        realm_hash: Setting<QueryName>;
    c"AuthDjangoUnavailable" "error|not-found|stale=SECONDS" = "error",
        c"What it means to a login that the database is not available" =>
        unavailable: Setting<Unavailable>;
    c"AuthDjangoSession" "ENGINE [key=value …] [optional] [legacy]|off" = "off",
        c"SESSION_ENGINE: lets in whom Django has logged in, by the session's cookie" =>
        session: Setting<Session>;
    c"AuthDjangoSecretKey" "SOURCE …" = "none",
        c"Where SECRET_KEY and then SECRET_KEY_FALLBACKS come from, which sign sessions" =>
        secret_key: Setting<SecretKeys>;
    c"AuthDjangoLoginURL" "URL" = "none",
        c"LOGIN_URL: where a browser without a session is sent" =>
        login_url: Setting<LoginUrl>;
    c"AuthDjangoExport" "NAME …" = "none",
        c"Columns of the user, groups, permissions and flags, for the environment" =>
        export: Setting<Export>;
    c"AuthDjangoCacheTimeout" "SECONDS|off" = "300",
        c"How long a password that was verified spares its hash" =>
        cache_timeout: Setting<CacheTimeout>;
    c"AuthDjangoCache" "shmcb[:SIZE]|redis:HOST:PORT|local|off [key=SOURCE]" = "shmcb" global,
        c"Where verified passwords are remembered: by the children together, by several machines, by each child" =>
        cache: Setting<CacheSettings>;
    c"AuthDjangoHashing" "[threads=NUMBER] [queue=NUMBER] [memory=MIB]" = "queue=256 memory=512" global,
        c"How many passwords are hashed at a time, how many wait, and how much memory they take" =>
        hashing: Setting<HashingSettings>;
}

impl FromWords for Database {
    fn from_words(words: &[&str]) -> Result<Self, String> {
        Self::parse(words)
    }
}

impl FromWords for UserModel {
    fn from_words(words: &[&str]) -> Result<Self, String> {
        Self::parse(words)
    }
}

impl FromWords for Export {
    fn from_words(words: &[&str]) -> Result<Self, String> {
        Self::parse(words)
    }
}

impl FromWords for Hashers {
    fn from_words(words: &[&str]) -> Result<Self, String> {
        Self::parse(words)
    }
}

impl FromWords for Query {
    fn from_words(words: &[&str]) -> Result<Self, String> {
        match words {
            [sql] => Self::parse(sql),
            [] => Err("needs the query, in quotes: \"SELECT …\"".into()),
            _ => {
                Err("put the whole query in quotes: \"SELECT …\", with \\\" for a quote inside"
                    .into())
            }
        }
    }
}

/// The name of an `AuthDjangoQuery`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryName(pub String);

impl FromWords for QueryName {
    fn from_words(words: &[&str]) -> Result<Self, String> {
        let [name] = words else {
            return Err("takes one word: the name of an AuthDjangoQuery".into());
        };
        query::check_name(name)?;
        Ok(Self((*name).to_owned()))
    }
}

#[cfg(test)]
mod tests;
