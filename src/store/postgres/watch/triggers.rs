//! `Look`: whether the triggers that tell of changes are all there, as the catalogue has them.

#![forbid(unsafe_code)]

use super::ORIGIN;
use super::link::PROOF;
use crate::store::question::Row;
use crate::store::sql::Reads;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The function that our triggers call.
const FUNCTION: &str = "authnz_django_watch_notify";

const REMEDY: &str = "psql -f authnz_django_watch.sql";
const REMEDY_OF_SESSIONS: &str = "psql -v sessions=django_session -f authnz_django_watch.sql";

/// Bits of `pg_trigger.tgtype` (PostgreSQL, `catalog/pg_trigger.h`).
mod kind {
    pub(super) const ROW: u16 = 1;
    pub(super) const BEFORE: u16 = 1 << 1;
    pub(super) const INSERT: u16 = 1 << 2;
    pub(super) const DELETE: u16 = 1 << 3;
    pub(super) const UPDATE: u16 = 1 << 4;
    pub(super) const TRUNCATE: u16 = 1 << 5;
    pub(super) const INSTEAD: u16 = 1 << 6;
}

/// One query of the catalogue, which every role may ask.
pub(super) struct Look {
    pub(super) sql: String,
    pub(super) relations: Vec<String>,
}

impl Look {
    pub(super) fn at<'a>(reads: impl Iterator<Item = &'a Reads>) -> Self {
        let mut relations: Vec<String> = reads.map(|read| read.relation.clone()).collect();
        relations.sort_unstable();
        relations.dedup();
        let mut list = String::from("(0, CAST(NULL AS text))");
        for n in 1..=relations.len() {
            let _ = write!(list, ", ({n}, CAST(${n} AS text))");
        }
        let sql = format!(
            "SELECT current_setting('{PROOF}', true), {ORIGIN}, CAST(w.n AS text), \
             CAST(c.relkind AS text), CAST(c.relhassubclass AS text), \
             CAST(c.relrowsecurity AS text), CAST(t.tgenabled AS text), CAST(t.tgtype AS text), \
             CAST(t.tgqual IS NOT NULL OR t.tgnargs > 1 AS text), \
             CAST(CAST(t.tgattr AS text) = '' AS text), encode(t.tgargs, 'hex'), \
             concat_ws(' ', c.oid, c.xmin, t.oid, t.version) \
             FROM (VALUES {list}) w(n, relation) \
             LEFT JOIN pg_catalog.pg_class c ON c.oid = to_regclass(w.relation) \
             LEFT JOIN (SELECT t.oid, concat_ws(' ', t.xmin, p.xmin) AS version, t.tgrelid, t.tgenabled, \
                t.tgtype, t.tgqual, t.tgnargs, t.tgattr, t.tgargs FROM pg_catalog.pg_trigger t \
                JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid \
                WHERE p.proname = '{FUNCTION}' AND NOT t.tgisinternal) t ON t.tgrelid = c.oid \
             ORDER BY w.n, t.oid"
        );
        Self { sql, relations }
    }
}

/// What a look saw.
pub(super) struct Seen {
    /// What the session was started with.
    pub(super) link: Option<String>,
    pub(super) origin: Option<String>,
    /// Differs if any of it was changed since, and be it changed back.
    pub(super) print: String,
    tables: BTreeMap<String, Table>,
}

#[derive(Default)]
struct Table {
    /// Why no trigger could tell of all its changes.
    unfit: Option<&'static str>,
    triggers: Vec<Trigger>,
}

struct Trigger {
    always: bool,
    kind: u16,
    conditional: bool,
    arguments: Vec<String>,
}

impl Seen {
    pub(super) fn read(look: &Look, rows: Vec<Row>) -> Self {
        let mut seen =
            Self { link: None, origin: None, print: String::new(), tables: BTreeMap::new() };
        for row in rows {
            let Ok(
                [
                    link,
                    origin,
                    n,
                    relkind,
                    inherited,
                    secured,
                    enabled,
                    kind,
                    partial,
                    plain,
                    arguments,
                    print,
                ],
            ) = <[_; 12]>::try_from(row)
            else {
                continue;
            };
            (seen.link, seen.origin) = (link, origin);
            let n: usize = n.and_then(|n| n.parse().ok()).unwrap_or(0);
            let Some(relation) = n.checked_sub(1).and_then(|n| look.relations.get(n)) else {
                continue;
            };
            let _ = writeln!(seen.print, "{n} {}", print.unwrap_or_default());
            let is = |text: &Option<String>| text.as_deref() == Some("true");
            let table = seen.tables.entry(relation.clone()).or_default();
            table.unfit = match relkind.as_deref() {
                None => Some("is not there"),
                Some("r") if is(&inherited) => Some("has tables that inherit from it"),
                Some("r") if is(&secured) => Some("has row security"),
                Some("r") => None,
                Some(_) => Some("is no plain table"),
            };
            // A list of columns (UPDATE OF) would not see what other triggers change.
            if let (Some(kind), Some(arguments), true) = (kind, arguments, is(&plain)) {
                table.triggers.push(Trigger {
                    always: enabled.as_deref() == Some("A"),
                    kind: kind.parse().unwrap_or(0),
                    conditional: is(&partial),
                    arguments: words(&arguments),
                });
            }
        }
        seen
    }

    /// What is in the way of hearing of every change to what is read, with the remedy.
    pub(super) fn lacks(&self, channel: &str, reads: &[Reads]) -> Vec<String> {
        let mut lacks = Vec::new();
        for reads @ Reads { relation, new_rows, .. } in reads {
            let Some(table) = self.tables.get(relation) else {
                lacks.push(format!("{relation} was not looked at"));
                continue;
            };
            if let Some(unfit) = table.unfit {
                lacks.push(format!("{relation} {unfit}"));
                continue;
            }
            let missing = table.missing(channel, reads, false);
            if missing.is_empty() {
                continue;
            }
            // Those that are there, if one takes those that do not always fire.
            let absent = table.missing(channel, reads, true);
            let why = if absent.is_empty() { "disabled, or not ENABLE ALWAYS" } else { "missing" };
            let events = if absent.is_empty() { missing } else { absent };
            let remedy = if *new_rows { REMEDY } else { REMEDY_OF_SESSIONS };
            lacks.push(format!(
                "the trigger for {} on {relation} is {why} ({remedy})",
                events.join(", ")
            ));
        }
        lacks
    }
}

impl Table {
    /// The events that no trigger tells `channel` of.
    fn missing(&self, channel: &str, reads: &Reads, even_disabled: bool) -> Vec<String> {
        let ours = || {
            self.triggers.iter().filter(|trigger| {
                trigger.arguments.first().is_some_and(|first| first == channel)
                    && (trigger.always || even_disabled)
                    && trigger.kind & (kind::BEFORE | kind::INSTEAD) == 0
            })
        };
        let mut missing = Vec::new();
        for (name, event, rows) in [
            ("INSERT", kind::INSERT, kind::ROW),
            ("DELETE", kind::DELETE, kind::ROW),
            ("TRUNCATE", kind::TRUNCATE, 0),
        ] {
            if event == kind::INSERT && !reads.new_rows {
                continue;
            }
            let mut all = ours().filter(|trigger| !trigger.conditional);
            if !all.any(|trigger| trigger.kind & (event | kind::ROW) == event | rows) {
                missing.push(name.to_owned());
            }
        }
        let updates = || ours().filter(|t| t.kind & (kind::UPDATE | kind::ROW) == kind::UPDATE | 1);
        let unseen: Vec<&str> = reads
            .columns
            .iter()
            .filter(|&column| {
                !updates()
                    .any(|t| !t.conditional || t.arguments.iter().skip(1).any(|a| a == column))
            })
            .map(String::as_str)
            .collect();
        if !unseen.is_empty() {
            missing.push(format!("UPDATE of {}", unseen.join(", ")));
        }
        missing
    }
}

/// The arguments of a trigger: each ends with a NUL; all of them in hexadecimal digits.
fn words(hex: &str) -> Vec<String> {
    let digits: Vec<u8> =
        hex.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    let bytes: Vec<u8> =
        digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, d| byte << 4 | d)).collect();
    let mut words: Vec<String> = bytes
        .split(|byte| *byte == 0)
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    words.pop();
    words
}
