//! The SELECTs, from `UserModel` and from the queries of the administrator, in a database's dialect.

#![forbid(unsafe_code)]

mod inspect;
mod reads;
mod select;

use super::question::Question;
use crate::query::{Piece, Query, Values};
use crate::user::{Groups, Through, UserModel, Wants};
use reads::child_column;
use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

pub(crate) use reads::Reads;
pub(crate) use select::{SESSIONS, Sought};

/// Where databases differ.
pub(crate) struct Dialect {
    /// The character that encloses an identifier, doubled where it occurs inside.
    pub(crate) quote: char,
    /// The type that every column is asked for as.
    pub(crate) text: &'static str,
    /// The placeholder of the nth value, counted from 1.
    pub(crate) placeholder: fn(usize) -> String,
    /// Whether a placeholder can stand for the same value twice.
    pub(crate) numbered: bool,
    /// A column of texts, of which no more than so many characters are fetched: what is as long or
    /// longer is only known to be so.
    pub(crate) up_to: fn(column: &str, length: usize) -> String,
    /// A subselect as a list in JSON; NULL or `[]` if there is nothing.
    pub(crate) list: fn(item: &str, from: &str) -> String,
    /// Text behind text.
    pub(crate) concat: fn(&[&str]) -> String,
    /// A column as text, where the database compares it with a text as something else.
    pub(crate) as_text: Option<fn(column: &str) -> String>,
    /// Django's `iexact`: a column and the placeholder of a user name.
    pub(crate) ignoring_case: fn(column: &str, placeholder: &str) -> String,
    /// Whether `ignoring_case` takes a pattern, in which `%`, `_` and `\` must be escaped.
    pub(crate) by_pattern: bool,
    /// A moment as text, where the database has it with a time zone.
    pub(crate) in_utc: Option<fn(column: &str) -> String>,
    /// Whether a UUID may be kept as a text, which is of its 32 digits alone (Django 6.1,
    /// `UUIDField.get_db_prep_value`).
    pub(crate) uuids_are_texts: bool,
    /// Whether answers could be those of another question, and must prove themselves.
    pub(crate) marked: bool,
}

impl Dialect {
    /// One row, of one column: `1` if the query of the administrator has a row.
    pub(crate) fn exists<'a>(&self, query: &Query, found: &Values<'a>) -> Question<'a> {
        let mut values = Vec::new();
        let sql = self.query(query, found, &mut values);
        self.single(format!("CASE WHEN EXISTS ({sql}) THEN '1' END"), values)
    }

    /// One row, of one column: the first of the query of the administrator.
    pub(crate) fn value<'a>(&self, query: &Query, found: &Values<'a>) -> Question<'a> {
        let mut values = Vec::new();
        let sql = self.query(query, found, &mut values);
        self.single(format!("CAST(({sql}) AS {})", self.text), values)
    }

    fn single<'a>(&self, column: String, values: Vec<Cow<'a, str>>) -> Question<'a> {
        if self.marked {
            mark(column, values)
        } else {
            Question { sql: format!("SELECT {column}"), values, marker: None }
        }
    }

    /// The query with placeholders for its parameters.
    fn query<'a>(
        &self,
        query: &Query,
        found: &Values<'a>,
        values: &mut Vec<Cow<'a, str>>,
    ) -> String {
        let mut names: Vec<&str> = Vec::new();
        let mut sql = String::new();
        for piece in query.pieces() {
            match piece {
                Piece::Text(text) => sql.push_str(text),
                Piece::Parameter(name) => {
                    let known = names.iter().position(|known| *known == name);
                    let index = match known.filter(|_| self.numbered) {
                        Some(index) => index,
                        None => {
                            names.push(name);
                            values.push(found.get(name).into());
                            values.len() - 1
                        }
                    };
                    sql.push_str(&(self.placeholder)(index + 1));
                }
            }
        }
        sql
    }

    fn source(&self, model: &UserModel) -> String {
        let users = format!("{} u", self.table(model, &model.table));
        match &model.child {
            None => users,
            Some((table, column)) => format!(
                "({users} JOIN {} c ON c.{} = u.{})",
                self.table(model, table),
                self.quoted(column),
                self.quoted(&model.id),
            ),
        }
    }

    /// Every column is qualified, because SQLite takes an unknown name in quotes for a text, and a
    /// mistyped `is_active=` would let everybody in.
    fn columns(&self, model: &UserModel, wants: &Wants) -> String {
        let text =
            |column: &String| format!("CAST({} AS {})", self.column(model, column), self.text);
        let flag = |column: &Option<String>| match column.as_ref().filter(|_| wants.flags) {
            Some(column) => text(column),
            None => "NULL".into(),
        };
        let groups = model.groups.as_ref().filter(|_| wants.groups);
        let mut columns = vec![
            text(&model.id),
            text(&model.username),
            text(&model.password),
            model.is_active.as_ref().map_or_else(|| "'1'".into(), text),
            groups.map_or_else(|| "NULL".into(), |groups| self.groups(model, groups)),
            flag(&model.is_staff),
            flag(&model.is_superuser),
            if wants.permissions { self.permissions(model) } else { "NULL".into() },
        ];
        columns.extend(wants.columns.iter().map(text));
        columns.join(", ")
    }

    fn groups(&self, model: &UserModel, groups: &Groups) -> String {
        let name = format!("CAST(g.{} AS {})", self.quoted(&groups.name), self.text);
        let from = format!(
            "FROM {} m JOIN {} g ON g.{} = m.{} WHERE m.{} = u.{}",
            self.table(model, &groups.through),
            self.table(model, &groups.table),
            self.quoted(&groups.id),
            self.quoted(&groups.group_id),
            self.quoted(&groups.user_id),
            self.quoted(&model.id),
        );
        (self.list)(&name, &from)
    }

    /// The union of the user's own permissions and those of the user's groups.
    fn permissions(&self, model: &UserModel) -> String {
        let own = |through: &Through| {
            format!(
                "SELECT o.{} FROM {} o WHERE o.{} = u.{}",
                self.quoted(&through.permission_id),
                self.table(model, &through.table),
                self.quoted(&through.owner_id),
                self.quoted(&model.id),
            )
        };
        let by_group = |groups: &Groups| {
            let through = &model.group_permissions;
            format!(
                "SELECT t.{} FROM {} t JOIN {} m ON m.{} = t.{} WHERE m.{} = u.{}",
                self.quoted(&through.permission_id),
                self.table(model, &through.table),
                self.table(model, &groups.through),
                self.quoted(&groups.group_id),
                self.quoted(&through.owner_id),
                self.quoted(&groups.user_id),
                self.quoted(&model.id),
            )
        };
        let permission = &model.permission;
        let id = format!("p.{}", self.quoted(&permission.id));
        let ways: Vec<String> =
            [model.permissions.as_ref().map(own), model.groups.as_ref().map(by_group)]
                .into_iter()
                .flatten()
                .map(|select| format!("{id} IN ({select})"))
                .collect();
        if ways.is_empty() {
            return "NULL".into();
        }
        let text = |column: String| format!("CAST({column} AS {})", self.text);
        let app_label = text(format!("k.{}", self.quoted(&permission.app_label)));
        let codename = text(format!("p.{}", self.quoted(&permission.codename)));
        let from = format!(
            "FROM {} p JOIN {} k ON k.{} = p.{} WHERE {}",
            self.table(model, &permission.table),
            self.table(model, &permission.content_types),
            self.quoted(&permission.content_types_id),
            self.quoted(&permission.content_type_id),
            ways.join(" OR "),
        );
        (self.list)(&(self.concat)(&[&app_label, "'.'", &codename]), &from)
    }

    /// A column of the user, or of the child where its name begins with the child's table.
    fn column(&self, model: &UserModel, name: &str) -> String {
        match child_column(model, name) {
            Some(name) => format!("c.{}", self.quoted(name)),
            None => format!("u.{}", self.quoted(name)),
        }
    }

    fn table(&self, model: &UserModel, table: &str) -> String {
        match self.place(model, table) {
            (Some(schema), name) => format!("{}.{}", self.quoted(schema), self.quoted(name)),
            (None, name) => self.quoted(name),
        }
    }

    /// The schema and the name of a table. One that is elsewhere than the others is written as
    /// Django's `db_table` has it, `crm"."users`: its `quote_name` looks at the ends alone.
    pub(crate) fn place<'a>(
        &self,
        model: &'a UserModel,
        table: &'a str,
    ) -> (Option<&'a str>, &'a str) {
        match table.split_once(&format!("{0}.{0}", self.quote)) {
            Some((schema, name)) => (Some(schema), name),
            None => (model.schema.as_deref(), table),
        }
    }

    fn quoted(&self, name: &str) -> String {
        let quote = self.quote;
        format!("{quote}{}{quote}", name.replace(quote, &format!("{quote}{quote}")))
    }
}

/// Puts a column in front that tells this SELECT from any other.
fn mark(rest: String, values: Vec<Cow<'_, str>>) -> Question<'_> {
    let mut hasher = DefaultHasher::new();
    rest.hash(&mut hasher);
    let marker = format!("{:016x}", hasher.finish());
    Question { sql: format!("SELECT '{marker}', {rest}"), values, marker: Some(marker) }
}

/// A user name as a pattern of LIKE that stands for itself alone.
fn pattern(username: &str) -> Cow<'_, str> {
    if !username.contains(['\\', '%', '_']) {
        return username.into();
    }
    username.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_").into()
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
mod tests;
