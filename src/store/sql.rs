//! The one SELECT, from `UserModel`, in a database's dialect.

#![forbid(unsafe_code)]

use crate::user::UserModel;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Where databases differ.
pub(crate) struct Dialect {
    /// The character that encloses an identifier, doubled where it occurs inside.
    pub(crate) quote: char,
    /// The type that every column is asked for as.
    pub(crate) text: &'static str,
    /// The condition that a column is the user name, which is a parameter.
    pub(crate) matches: fn(column: &str) -> String,
    /// What encloses the subselect of the group names.
    pub(crate) groups: fn(name: &str, from: &str) -> String,
    /// The groups of a model that has none.
    pub(crate) no_groups: &'static str,
}

impl Dialect {
    /// Columns: id, username, password, `is_active`, groups. Two rows at most, since two are one
    /// too many.
    pub(crate) fn select(&self, model: &UserModel) -> String {
        format!(
            "SELECT {} FROM {} u WHERE {} LIMIT 2",
            self.columns(model),
            self.quoted(&model.table),
            self.condition(model),
        )
    }

    /// The same behind a column that tells this SELECT from any other, which is returned too, and
    /// with a row of NULLs when there is no such user: so that an answer proves what was asked.
    pub(crate) fn select_marked(&self, model: &UserModel) -> (String, String) {
        let rest = format!(
            "{} FROM (SELECT 1) one LEFT JOIN {} u ON {} LIMIT 2",
            self.columns(model),
            self.quoted(&model.table),
            self.condition(model),
        );
        let mut hasher = DefaultHasher::new();
        rest.hash(&mut hasher);
        let marker = format!("{:016x}", hasher.finish());
        (format!("SELECT '{marker}', {rest}"), marker)
    }

    /// Every column is qualified, because SQLite takes an unknown name in quotes for a text, and a
    /// mistyped `is_active=` would let everybody in.
    fn columns(&self, model: &UserModel) -> String {
        let quoted = |name: &str| self.quoted(name);
        let text = |column: &str| format!("CAST(u.{} AS {})", self.quoted(column), self.text);
        let is_active = model.is_active.as_deref().map_or_else(|| "'1'".into(), text);
        let groups = model.groups.as_ref().map_or_else(
            || self.no_groups.to_owned(),
            |groups| {
                let name = format!("CAST(g.{} AS {})", quoted(&groups.name), self.text);
                let from = format!(
                    "FROM {} m JOIN {} g ON g.{} = m.{} WHERE m.{} = u.{}",
                    quoted(&groups.through),
                    quoted(&groups.table),
                    quoted(&groups.id),
                    quoted(&groups.group_id),
                    quoted(&groups.user_id),
                    quoted(&model.id),
                );
                (self.groups)(&name, &from)
            },
        );
        let [id, username, password] =
            [&model.id, &model.username, &model.password].map(|c| text(c));
        format!("{id}, {username}, {password}, {is_active}, {groups}")
    }

    fn condition(&self, model: &UserModel) -> String {
        (self.matches)(&format!("u.{}", self.quoted(&model.username)))
    }

    fn quoted(&self, name: &str) -> String {
        let quote = self.quote;
        format!("{quote}{}{quote}", name.replace(quote, &format!("{quote}{quote}")))
    }
}

/// What a boolean column says, as text: `true`, or a number other than 0.
pub(crate) fn is_true(value: Option<&str>) -> bool {
    let value = value.unwrap_or_default().trim();
    value.eq_ignore_ascii_case("true")
        || value.eq_ignore_ascii_case("t")
        || value.parse::<i64>().is_ok_and(|number| number != 0)
}

/// The answer to a user name that more than one row has.
pub(crate) fn several_rows(model: &UserModel) -> String {
    format!(
        "more than one row of \"{}\" has this user name: give its column \"{}\" a UNIQUE constraint",
        model.table, model.username
    )
}

/// `text` of a library or a server, as one line of a log.
pub(crate) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|w| !w.is_empty())
        .collect();
    words.join(" ").chars().take(400).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Dialect = Dialect {
        quote: '"',
        text: "text",
        matches: |column| format!("{column} = $1"),
        groups: |name, from| format!("ARRAY(SELECT {name} {from})"),
        no_groups: "NULL",
    };

    #[test]
    fn names_cannot_leave_their_quotes() {
        let model =
            UserModel::parse(&["auth.User", "table=a\"; DROP TABLE x; --", "username=E Mail"])
                .unwrap();
        let sql = ANY.select(&model);
        assert!(sql.contains(r#"FROM "a""; DROP TABLE x; --" u WHERE u."E Mail" = $1"#), "{sql}");
        assert!(sql.contains(r#"FROM "a""; DROP TABLE x; --_groups" m"#), "{sql}");
    }

    #[test]
    fn what_the_model_lacks_is_not_asked_for() {
        let model =
            UserModel::parse(&["auth.User", "is_active=none", "groups_table=none"]).unwrap();
        assert_eq!(
            ANY.select(&model),
            "SELECT CAST(u.\"id\" AS text), CAST(u.\"username\" AS text), \
             CAST(u.\"password\" AS text), '1', NULL FROM \"auth_user\" u \
             WHERE u.\"username\" = $1 LIMIT 2"
        );
    }

    #[test]
    fn truth() {
        for yes in ["true", "t", "TRUE", "1", "-1", "42"] {
            assert!(is_true(Some(yes)), "{yes}");
        }
        for no in ["false", "f", "0", "", "maybe", "1x", "is_active"] {
            assert!(!is_true(Some(no)), "{no}");
        }
        assert!(!is_true(None));
    }
}
