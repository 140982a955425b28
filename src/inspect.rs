//! What an administrator should know of a site when something does not work: everything that a
//! login needs is tried, and each finding is a line.

#![forbid(unsafe_code)]

mod sessions;

use crate::authn::{Sessions, Site};
use crate::error::Error;
use crate::hashers::{Alone, Floor, Hashers, Usage};
use crate::store::{Fact, MOST_PASSWORDS, Part};
use crate::user::Wants;
use std::cmp::Ordering;
use std::fmt;
use std::time::{Duration, Instant};

/// What a finding means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It works, and could be better.
    Warning,
    /// Something does not work.
    Failure,
}

/// One line of the report. Its text never holds a password, a hash or a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it means.
    pub verdict: Verdict,
    /// What was found and, where it is not good, the remedy.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.verdict {
            Verdict::Good => "ok  ",
            Verdict::Warning => "warn",
            Verdict::Failure => "FAIL",
        };
        // Some of it are words of a server's, which must stay in their line.
        write!(f, "{word} {}", self.text.replace(char::is_control, " "))
    }
}

/// How many processes and threads will serve requests, where that is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Capacity {
    /// Processes at most.
    pub children: Option<usize>,
    /// Threads of each.
    pub threads: Option<usize>,
}

/// A user name that nobody has.
const NOBODY: &str = "nobody, asked for by the self-check";

/// Of a login that takes longer than this, people speak.
const SLOW: Duration = Duration::from_secs(2);

/// Looks at everything that logins at `site` need. `asked` is what the Require lines ask for
/// beyond that, `sessions` how they are read where they are. Each finding is told as soon as it is
/// found.
pub fn inspect(
    site: &Site,
    hashers: &Hashers,
    asked: &Wants,
    sessions: Option<Sessions<'_>>,
    capacity: Capacity,
    tell: &mut dyn FnMut(Finding),
) {
    let mut inspection = Inspection { site, hashers, capacity, tell };
    if !inspection.server(asked) {
        return;
    }
    let Some(query) = inspection.selects(asked) else { return };
    if let Some(sessions) = sessions {
        inspection.sessions(sessions);
    }
    inspection.passwords();
    inspection.login(query);
}

struct Inspection<'a> {
    site: &'a Site,
    hashers: &'a Hashers,
    capacity: Capacity,
    tell: &'a mut dyn FnMut(Finding),
}

impl Inspection<'_> {
    fn good(&mut self, text: impl Into<String>) {
        (self.tell)(Finding { verdict: Verdict::Good, text: text.into() });
    }

    fn warn(&mut self, text: impl Into<String>) {
        (self.tell)(Finding { verdict: Verdict::Warning, text: text.into() });
    }

    fn fail(&mut self, text: impl Into<String>) {
        (self.tell)(Finding { verdict: Verdict::Failure, text: text.into() });
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.site.store.timeout()
    }

    /// Whether there is a connection to go on with.
    fn server(&mut self, asked: &Wants) -> bool {
        let start = Instant::now();
        let facts = self.site.store.inspect(&self.site.model, asked, Part::Server, self.deadline());
        let took = milliseconds(start.elapsed());
        let facts = match facts {
            Ok(facts) => facts,
            Err(error @ Error::Unavailable { .. }) => {
                self.fail(format!("connection: {}", reason(&error)));
                return false;
            }
            Err(error) => {
                self.warn(format!("server: it tells nothing of itself: {}", reason(&error)));
                return true;
            }
        };
        let version = facts.iter().find_map(|fact| match fact {
            Fact::Version(version) => Some(version.as_str()),
            _ => None,
        });
        self.good(format!(
            "connection: reached within {took}: {}",
            version.unwrap_or("no version")
        ));
        let superuser = facts.contains(&Fact::Superuser);
        let mut rights = false;
        for fact in &facts {
            match fact {
                Fact::Tls(Some(tls)) => self.good(format!("TLS: {tls}")),
                Fact::Local => self.good("TLS: none, and no network between"),
                Fact::Tls(None) => self.warn(
                    "TLS: none: what is read of users crosses the network in clear: sslmode=verify-full",
                ),
                Fact::ReadOnly(true) => self.good("session: read-only"),
                Fact::ReadOnly(false) => self.warn(
                    "session: not read-only, although it was asked to be: in PostgreSQL, ALTER ROLE … \
                     SET default_transaction_read_only = on",
                ),
                Fact::Journal(mode) => self.good(format!("journal mode: {mode}")),
                Fact::Watch(lacks) if lacks.is_empty() => self.good(
                    "watch: PostgreSQL tells of every change to what is read, and rows are kept",
                ),
                Fact::Watch(lacks) => lacks.iter().for_each(|lack| self.warn(lack.as_str())),
                Fact::Superuser => {
                    self.warn(
                        "grants: too much: this is a superuser: make a user as in the README",
                    );
                }
                Fact::Owns(table) if !superuser => {
                    rights = true;
                    self.warn(format!(
                        "grants: too much: the role owns {table}: make one of its own for httpd, as \
                         in the README"
                    ));
                }
                Fact::Writes(table) if !superuser => {
                    rights = true;
                    self.warn(format!(
                        "grants: too much: {table} can be written to, where reading is enough: \
                         whoever writes there can let himself in"
                    ));
                }
                _ => {}
            }
        }
        if !superuser && !rights && !facts.is_empty() {
            self.good("grants: no right to write");
        }
        self.connections(&facts);
        true
    }

    fn connections(&mut self, facts: &[Fact]) {
        let most = facts.iter().find_map(|fact| match fact {
            Fact::MaxConnections(most) => Some(*most),
            _ => None,
        });
        let max = facts.iter().find_map(|fact| match fact {
            Fact::PoolMax(max) => Some(*max),
            _ => None,
        });
        let (Some(most), Some(max)) = (most, max) else { return };
        // One more listens.
        let watch = usize::from(facts.iter().any(|fact| matches!(fact, Fact::Watch(_))));
        let Some(children) = self.capacity.children else {
            let max = max + watch;
            return self.good(format!(
                "connections: {max} for each child at most; how many children is not known here; \
                 the server has {most}"
            ));
        };
        let each = self.capacity.threads.map_or(max, |threads| max.min(threads.max(1))) + watch;
        let all = children.saturating_mul(each);
        let sum =
            format!("connections: {children} children × {each} = {all} of the server's {most}");
        if all > most {
            self.warn(format!(
                "{sum}: lower max= or MaxRequestWorkers, or raise max_connections or the limit of \
                 this user; with PostgreSQL, PgBouncer helps too"
            ));
        } else {
            self.good(sum);
        }
    }

    /// How long the SELECT of a login took, if it works.
    fn selects(&mut self, asked: &Wants) -> Option<Duration> {
        let start = Instant::now();
        let answer = self.select(&Wants::NOTHING);
        let took = start.elapsed();
        match &answer {
            Ok(()) => self.good("users: all tables and columns can be read"),
            Err(reason) => self.fail(format!("users: {reason}")),
        }
        let before = answer.err();
        for (what, wants, needed, lines) in [
            ("groups", Wants::GROUPS, asked.groups, "Require group and django-group"),
            (
                "staff and superuser",
                Wants::FLAGS,
                asked.flags,
                "Require django-staff and django-superuser",
            ),
            ("permissions", Wants::PERMISSIONS, asked.permissions, "Require django-permission"),
            ("sessions", Wants::SESSIONS, asked.sessions, "AuthDjangoSession"),
        ] {
            match self.select(&wants) {
                Ok(()) => self.good(format!("{what}: all tables and columns can be read")),
                // It was said before.
                Err(reason) if before.as_ref() == Some(&reason) => {}
                Err(reason) if needed => self.fail(format!("{what}: {reason}")),
                Err(reason) => {
                    self.good(format!(
                        "{what}: not readable, and no line asks for it ({lines}): {reason}"
                    ));
                }
            }
        }
        before.is_none().then_some(took)
    }

    fn select(&self, wants: &Wants) -> Result<(), String> {
        let (store, model) = (&self.site.store, &self.site.model);
        let answer = if wants.sessions {
            store.session(model, wants, NOBODY, None, self.deadline()).map(drop)
        } else {
            store.get_by_natural_key(model, wants, NOBODY, self.deadline()).map(drop)
        };
        answer.map_err(|error| reason(&error))
    }

    fn passwords(&mut self) {
        let (store, model) = (&self.site.store, &self.site.model);
        let facts = match store.inspect(model, &Wants::NOTHING, Part::Passwords, self.deadline()) {
            Ok(facts) => facts,
            Err(error) => {
                return self.warn(format!("passwords: not counted: {}", reason(&error)));
            }
        };
        if model.query.is_some() {
            return self.good("passwords: not counted: the users come from a query");
        }
        let all = facts.len();
        let active = facts.iter().take(MOST_PASSWORDS).filter_map(|fact| match fact {
            Fact::Password(password, true) => Some(password.as_str()),
            _ => None,
        });
        let survey = self.hashers.survey(active);
        let counted = if all > MOST_PASSWORDS {
            format!("the first {MOST_PASSWORDS} users alone were looked at")
        } else {
            format!("{all} users")
        };
        let usable: u64 = survey.usages.iter().map(|usage| usage.users).sum();
        self.good(format!(
            "passwords: {counted}; of the active ones {usable} have a password, {} have none",
            survey.unusable
        ));
        for usage in &survey.usages {
            self.usage(usage);
        }
        self.preferred(&survey.usages);
    }

    fn usage(&mut self, Usage { label, users, refused, malformed, .. }: &Usage) {
        let users = if *users == 1 { "1 user".to_owned() } else { format!("{users} users") };
        let Some(refused) = refused else {
            return self.good(format!("passwords: {users} with {label}"));
        };
        let line = format!("passwords: {users} with {label} cannot log in: {refused}");
        if *malformed {
            self.warn(format!("{line}: each needs a new password"));
        } else if refused.contains("not listed") {
            self.fail(format!("{line}: add it there, or each needs a new password"));
        } else {
            self.fail(format!("{line}: each needs a new password"));
        }
    }

    fn preferred(&mut self, usages: &[Usage]) {
        let preferred = self.hashers.preferred();
        let accepted = || usages.iter().filter(|usage| usage.refused.is_none());
        let dearer = accepted().find(|usage| usage.cost == Some(Ordering::Greater));
        let same = accepted().any(|usage| usage.cost == Some(Ordering::Equal));
        let cheaper = accepted().any(|usage| usage.cost == Some(Ordering::Less));
        let remedy = "write the site's own first in AuthDjangoPasswordHashers, so that unknown \
                      users take as long as others";
        match (dearer, same, cheaper) {
            (Some(dearer), ..) => self.warn(format!(
                "passwords: the preferred {preferred} costs less than {}, which users have: {remedy}",
                dearer.label
            )),
            (None, true, _) => self.good(format!("passwords: {preferred} is preferred, and in use")),
            (None, false, true) => self.warn(format!(
                "passwords: the preferred {preferred} costs more than any user's: {remedy}"
            )),
            (None, false, false) if accepted().next().is_some() => self.warn(format!(
                "passwords: no user has one of the preferred {preferred}: {remedy}"
            )),
            (None, false, false) => {}
        }
    }

    /// What one login takes: its query, which took `query`, and one hash.
    fn login(&mut self, query: Duration) {
        let start = Instant::now();
        let _ = self.hashers.spend(NOBODY.as_bytes(), &Floor::default(), &Alone);
        let hash = start.elapsed();
        let text = format!(
            "login: {}, of which the query {} and {} the rest",
            milliseconds(query + hash),
            milliseconds(query),
            self.hashers.preferred()
        );
        if query + hash > SLOW {
            self.warn(format!("{text}: every request with a password takes that long"));
        } else {
            self.good(text);
        }
    }
}

fn reason(error: &Error) -> String {
    match error {
        Error::Unavailable { reason, .. } | Error::Query { reason, .. } => reason.clone(),
        other => other.to_string(),
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{} ms", time.as_millis().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that is not to be trusted must not write to root's terminal as it likes.
    #[test]
    fn a_finding_is_one_line_of_plain_text() {
        let text = "connection: \u{1b}[2J\u{9b}1m16\nok   TLS: good\r".into();
        let line = Finding { verdict: Verdict::Good, text }.to_string();
        assert!(!line.contains(char::is_control) && line.contains("16 ok   TLS"), "{line:?}");
    }
}
