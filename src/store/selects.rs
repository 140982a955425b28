//! `Selects`: the SELECT of a user is put together once for each model and what is wanted of it.

#![forbid(unsafe_code)]

use super::question::Question;
use super::sql::Dialect;
use crate::user::{UserModel, Wants};
use std::sync::{PoisonError, RwLock};

/// Those of one database. There are as many as the configuration has models and wishes.
#[derive(Default)]
pub(super) struct Selects(RwLock<Vec<Select>>);

struct Select {
    model: UserModel,
    wants: Wants,
    origin: Option<&'static str>,
    sql: String,
    marker: Option<String>,
}

impl Selects {
    /// The same as `Dialect::user`.
    pub(super) fn user<'a>(
        &self,
        dialect: &Dialect,
        model: &UserModel,
        wants: &Wants,
        username: &'a str,
        origin: Option<&'static str>,
    ) -> Question<'a> {
        // The values of an administrator's query are found while it is put together.
        if model.query.is_some() {
            return dialect.user(model, wants, username, origin);
        }
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let same = |select: &&Select| {
            select.origin == origin && select.model == *model && select.wants == *wants
        };
        if let Some(Select { sql, marker, .. }) = known.iter().find(same) {
            let values = dialect.user_values(model, username);
            return Question { sql: sql.clone(), values, marker: marker.clone() };
        }
        drop(known);
        let question = dialect.user(model, wants, username, origin);
        let (sql, marker) = (question.sql.clone(), question.marker.clone());
        let (model, wants) = (model.clone(), wants.clone());
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.push(Select { model, wants, origin, sql, marker });
        question
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIALECT: Dialect = Dialect {
        quote: '`',
        text: "CHAR",
        placeholder: |_| "?".into(),
        numbered: false,
        list: |item, from| format!("LIST({item} {from})"),
        concat: |parts| parts.join(" || "),
        as_text: Some(|column| format!("TEXT({column})")),
        ignoring_case: |column, placeholder| format!("{column} LIKE {placeholder}"),
        by_pattern: true,
        marked: true,
    };

    #[test]
    fn what_is_kept_is_what_would_be_made() {
        let selects = Selects::default();
        let models = [&["auth.User"][..], &["accounts.User", "lookup=iexact", "username=email"]];
        for _ in 0..3 {
            for model in models.map(|words| UserModel::parse(words).unwrap()) {
                for wants in [Wants::NOTHING, Wants::FLAGS, Wants::PERMISSIONS] {
                    for (username, origin) in [("alice", None), ("100%_", Some("now()"))] {
                        let made = DIALECT.user(&model, &wants, username, origin);
                        let kept = selects.user(&DIALECT, &model, &wants, username, origin);
                        assert_eq!(kept.sql, made.sql);
                        assert_eq!((kept.values, kept.marker), (made.values, made.marker));
                    }
                }
            }
        }
        assert_eq!(selects.0.read().unwrap().len(), 12);
    }
}
