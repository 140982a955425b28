//! What PostgreSQL tells of itself: two catalogue queries that every role may ask.

#![forbid(unsafe_code)]

use super::watch::ORIGIN;
use super::{Connection, Connections, DIALECT};
use crate::store::Fetch;
use crate::store::failure::Failure;
use crate::store::inspect::{Fact, tables};
use crate::store::question::Question;
use crate::user::{UserModel, Wants};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

const MARKER: &str = "mod_authnz_django facts";

pub(super) fn facts(
    connections: &Connections,
    connection: &mut Connection,
    model: &UserModel,
    wants: &Wants,
    deadline: Instant,
) -> Result<Vec<Fact>, Failure> {
    let (mut sql, mut values) = (String::new(), Vec::new());
    sql.push_str(&format!(
        "SELECT '{MARKER}', 'version', CAST(current_setting('server_version') AS text) \
         UNION ALL SELECT '{MARKER}', 'read only', CAST(current_setting('transaction_read_only') AS text) \
         UNION ALL SELECT '{MARKER}', 'local', 'on' WHERE inet_client_addr() IS NULL \
            OR inet_client_addr() = inet_server_addr() \
         UNION ALL SELECT '{MARKER}', 'tls', CASE WHEN ssl THEN version || ' ' || cipher END \
            FROM pg_stat_ssl WHERE pid = pg_backend_pid() \
         UNION ALL SELECT '{MARKER}', 'connections', CAST(CAST(current_setting('max_connections') AS integer) \
            - CAST(current_setting('superuser_reserved_connections') AS integer) AS text) \
         UNION ALL SELECT '{MARKER}', 'connections', CAST(rolconnlimit AS text) FROM pg_roles \
            WHERE rolname = current_user AND rolconnlimit >= 0 \
         UNION ALL SELECT '{MARKER}', 'connections', CAST(datconnlimit AS text) FROM pg_database \
            WHERE datname = current_database() AND datconnlimit >= 0 \
         UNION ALL SELECT '{MARKER}', 'superuser', 'on' FROM pg_roles \
            WHERE rolname = current_user AND rolsuper"
    ));
    let mut bind = |value: &str| {
        values.push(Cow::Owned(value.to_owned()));
        format!("${}", values.len())
    };
    let tables: Vec<String> = tables(model, wants)
        .into_iter()
        .map(|table| match DIALECT.place(model, table) {
            (Some(schema), name) => {
                format!("(n.nspname = {} AND c.relname = {})", bind(schema), bind(name))
            }
            (None, name) => format!("(pg_table_is_visible(c.oid) AND c.relname = {})", bind(name)),
        })
        .collect();
    let from = format!(
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE ({})",
        tables.join(" OR ")
    );
    sql.push_str(&format!(
        " UNION ALL SELECT '{MARKER}', CASE WHEN pg_has_role(c.relowner, 'USAGE') THEN 'owns' \
            WHEN has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') \
            OR has_any_column_privilege(c.oid, 'INSERT, UPDATE') THEN 'writes' \
            ELSE 'nothing' END, CAST(c.relname AS text) {from}"
    ));
    let question = Question { sql, values, marker: Some(MARKER.into()) };
    let rows = connections.fetch(connection, &question, deadline)?;
    let mut facts = Vec::new();
    let (mut most, mut tls, mut local) = (None::<usize>, None, false);
    for row in rows {
        let Ok([Some(name), value]) = <[_; 2]>::try_from(row) else { continue };
        match (name.as_str(), value) {
            ("version", Some(version)) => {
                facts.push(Fact::Version(format!("PostgreSQL {version}")))
            }
            ("read only", Some(value)) => facts.push(Fact::ReadOnly(value == "on")),
            ("local", _) => local = true,
            ("tls", value) => tls = value,
            ("connections", Some(value)) => {
                let value = value.parse().unwrap_or(usize::MAX);
                most = Some(most.map_or(value, |most| most.min(value)));
            }
            ("superuser", _) => facts.push(Fact::Superuser),
            ("owns", Some(table)) => facts.push(Fact::Owns(table)),
            ("writes", Some(table)) => facts.push(Fact::Writes(table)),
            _ => {}
        }
    }
    facts.push(if local && tls.is_none() { Fact::Local } else { Fact::Tls(tls) });
    facts.extend(most.map(Fact::MaxConnections));
    Ok(facts)
}

/// What is in the way of keeping rows, where that is asked for.
pub(super) fn watch(
    connections: &Connections,
    connection: &mut Connection,
    model: &Arc<UserModel>,
    wants: &Wants,
    deadline: Instant,
) -> Option<Fact> {
    // Nobody vouches for what an administrator's query reads.
    let watch = connections.watch().filter(|_| model.query.is_none())?;
    let sql = format!("SELECT '{MARKER}', {ORIGIN}");
    let question = Question { sql, values: Vec::new(), marker: Some(MARKER.into()) };
    let looked = connections.fetch(connection, &question, deadline).and_then(|rows| {
        let origin = rows.into_iter().flatten().next().flatten();
        watch.check(model, wants, origin.as_deref(), deadline)
    });
    Some(Fact::Watch(looked.unwrap_or_else(|failure| vec![failure.text().to_owned()])))
}
