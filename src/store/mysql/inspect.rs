//! What MySQL and MariaDB tell of themselves to every user.

#![forbid(unsafe_code)]

use super::{Connection, Connections};
use crate::store::Fetch;
use crate::store::failure::Failure;
use crate::store::inspect::{Fact, tables};
use crate::store::question::Question;
use crate::user::{UserModel, Wants};
use std::borrow::Cow;
use std::time::Instant;

/// MariaDB calls the session's mode `tx_read_only`, MySQL 8 `transaction_read_only`, and some have
/// both. The session's `max_user_connections` is the account's own limit, if it has one.
const VARIABLES: &str = "SHOW SESSION VARIABLES WHERE Variable_name IN ('version', 'tx_read_only', \
    'transaction_read_only', 'max_connections', 'max_user_connections')";

const TLS: &str = "SHOW SESSION STATUS WHERE Variable_name IN ('Ssl_version', 'Ssl_cipher')";

/// Our account, as `information_schema` writes it; who may read all grants sees those of others too.
const OURS: &str = "REPLACE(grantee, '''', '') = REPLACE(CURRENT_USER(), '''', '')";

/// What changes rows, or the table.
const WRITE: &str = "privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'DROP', 'ALTER', 'TRIGGER')";

type Pair = (String, String);

pub(super) fn facts(
    connections: &Connections,
    connection: &mut Connection,
    model: &UserModel,
    wants: &Wants,
    deadline: Instant,
) -> Result<Vec<Fact>, Failure> {
    let local = connection.local;
    let mut ask = |sql: String, values| {
        let question = Question { sql, values, marker: None };
        let rows = connections.fetch(connection, &question, deadline)?;
        let pairs = rows.into_iter().filter_map(|row| match <[_; 2]>::try_from(row) {
            Ok([Some(name), Some(value)]) => Some((name, value)),
            _ => None,
        });
        Ok::<Vec<Pair>, Failure>(pairs.collect())
    };
    let mut facts = variables(&ask(VARIABLES.into(), Vec::new())?);
    facts.push(security(&ask(TLS.into(), Vec::new())?, local));
    let (sql, values) = rights(model, wants);
    facts.extend(excess(&ask(sql, values)?));
    Ok(facts)
}

fn value<'a>(pairs: &'a [Pair], name: &str) -> Option<&'a str> {
    let found = pairs.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
}

fn variables(pairs: &[Pair]) -> Vec<Fact> {
    let version = value(pairs, "version").map(|version| {
        let product = if version.contains("MariaDB") { "MariaDB" } else { "MySQL" };
        Fact::Version(format!("{product} {}", version.split('-').next().unwrap_or_default()))
    });
    let mode = value(pairs, "tx_read_only").or_else(|| value(pairs, "transaction_read_only"));
    let limits = ["max_connections", "max_user_connections"].into_iter().filter_map(|name| {
        // 0 is no limit.
        value(pairs, name)?.parse().ok().filter(|limit| *limit > 0)
    });
    let read_only = mode.map(|mode| Fact::ReadOnly(mode == "ON"));
    version.into_iter().chain(read_only).chain(limits.min().map(Fact::MaxConnections)).collect()
}

fn security(pairs: &[Pair], local: bool) -> Fact {
    match (value(pairs, "Ssl_version"), value(pairs, "Ssl_cipher")) {
        (Some(version), Some(cipher)) => Fact::Tls(Some(format!("{version} {cipher}"))),
        _ if local => Fact::Local,
        _ => Fact::Tls(None),
    }
}

/// How far our rights to write reach, and what they reach. A column's privileges are those that we
/// have by whatever grant, be it a role's; all others are those of the account alone.
fn rights(model: &UserModel, wants: &Wants) -> (String, Vec<Cow<'static, str>>) {
    let mut values = Vec::new();
    let database = if model.schema.is_some() { "?" } else { "DATABASE()" };
    values.extend(model.schema.iter().chain(&model.schema).cloned().map(Cow::from));
    let tables = tables(model, wants);
    let names = vec!["?"; tables.len()].join(", ");
    for _ in 0..2 {
        values.extend(model.schema.iter().cloned().map(Cow::from));
        values.extend(tables.iter().map(|table| Cow::from((*table).to_owned())));
    }
    let sql = format!(
        "SELECT 'superuser', '' FROM information_schema.user_privileges \
            WHERE {OURS} AND privilege_type = 'SUPER' \
         UNION SELECT 'server', '' FROM information_schema.user_privileges WHERE {OURS} AND {WRITE} \
         UNION SELECT 'database', CAST({database} AS CHAR) FROM information_schema.schema_privileges \
            WHERE {OURS} AND {WRITE} AND {database} LIKE table_schema \
         UNION SELECT 'table', CAST(table_name AS CHAR) FROM information_schema.table_privileges \
            WHERE {OURS} AND {WRITE} AND table_schema = {database} AND table_name IN ({names}) \
         UNION SELECT 'table', CAST(table_name AS CHAR) FROM information_schema.columns \
            WHERE (privileges LIKE '%insert%' OR privileges LIKE '%update%') \
            AND table_schema = {database} AND table_name IN ({names})"
    );
    (sql, values)
}

/// What is too much, said once: a right to the whole database is one to each of its tables.
fn excess(pairs: &[Pair]) -> Vec<Fact> {
    let of = |kind: &str| -> Vec<&str> {
        pairs.iter().filter(|(known, _)| known == kind).map(|(_, name)| name.as_str()).collect()
    };
    let mut facts: Vec<Fact> = of("superuser").iter().map(|_| Fact::Superuser).collect();
    match (of("server").first(), of("database").first()) {
        (Some(_), _) => facts.push(Fact::Writes("every table of the server".into())),
        (None, Some(name)) => facts.push(Fact::Writes(format!("every table of {name}"))),
        (None, None) => facts.extend(of("table").into_iter().map(|t| Fact::Writes(t.to_owned()))),
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(all: &[(&str, &str)]) -> Vec<Pair> {
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn products_and_limits() {
        let mysql = [
            ("max_connections", "151"),
            ("max_user_connections", "0"),
            ("transaction_read_only", "ON"),
            ("version", "8.0.36"),
        ];
        let told =
            [Fact::Version("MySQL 8.0.36".into()), Fact::ReadOnly(true), Fact::MaxConnections(151)];
        assert_eq!(variables(&pairs(&mysql)), told);
        let mariadb = [
            ("max_connections", "151"),
            ("max_user_connections", "10"),
            ("tx_read_only", "OFF"),
            ("version", "10.11.14-MariaDB-0+deb12u2"),
        ];
        let told = [
            Fact::Version("MariaDB 10.11.14".into()),
            Fact::ReadOnly(false),
            Fact::MaxConnections(10),
        ];
        assert_eq!(variables(&pairs(&mariadb)), told);
        assert_eq!(variables(&[]), []);
    }

    #[test]
    fn tls_or_no_network_or_neither() {
        let tls = pairs(&[("Ssl_cipher", "TLS_AES_256_GCM_SHA384"), ("Ssl_version", "TLSv1.3")]);
        let told = Fact::Tls(Some("TLSv1.3 TLS_AES_256_GCM_SHA384".into()));
        assert_eq!(security(&tls, true), told);
        let none = pairs(&[("Ssl_cipher", ""), ("Ssl_version", "")]);
        assert_eq!((security(&none, true), security(&none, false)), (Fact::Local, Fact::Tls(None)));
    }

    #[test]
    fn a_wider_right_is_said_alone() {
        let told = |all: &[(&str, &str)]| excess(&pairs(all));
        let writes = |what: &str| Fact::Writes(what.into());
        let (table, database) = (("table", "auth_user"), ("database", "site"));
        assert_eq!(
            told(&[table, ("table", "auth_group")]),
            [writes("auth_user"), writes("auth_group")]
        );
        assert_eq!(told(&[database, table]), [writes("every table of site")]);
        let all = told(&[("superuser", ""), ("server", ""), database, table]);
        assert_eq!(all, [Fact::Superuser, writes("every table of the server")]);
        assert_eq!(told(&[]), []);
    }
}
