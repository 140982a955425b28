//! `Selects`: the SELECT of a user or a session is put together once for each model, what is wanted of
//! it, and by what it is looked for.

#![forbid(unsafe_code)]

use super::question::Question;
use super::sql::{Dialect, Sought};
use crate::user::{UserModel, Wants};
use std::sync::{Arc, PoisonError, RwLock};

/// Those of one database. There are as many as the configuration has models and wishes.
#[derive(Default)]
pub(super) struct Selects(RwLock<Vec<Select>>);

struct Select {
    model: Arc<UserModel>,
    wants: Wants,
    by: Sought<()>,
    origin: Option<&'static str>,
    sql: String,
    marker: Option<String>,
}

impl Selects {
    /// The same as `Dialect::select`.
    pub(super) fn select<'a>(
        &self,
        dialect: &Dialect,
        model: &Arc<UserModel>,
        wants: &Wants,
        sought: Sought<&'a str>,
        origin: Option<&'static str>,
    ) -> Question<'a> {
        // The values of an administrator's query are found while it is put together.
        if model.query.is_some() {
            return dialect.select(model, wants, sought, origin);
        }
        let by = sought.map(|_| ());
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let same = |select: &&Select| {
            (select.origin, select.by) == (origin, by)
                && select.model == *model
                && select.wants == *wants
        };
        if let Some(Select { sql, marker, .. }) = known.iter().find(same) {
            let values = dialect.values(model, sought);
            return Question { sql: sql.clone(), values, marker: marker.clone() };
        }
        drop(known);
        let question = dialect.select(model, wants, sought, origin);
        let (sql, marker) = (question.sql.clone(), question.marker.clone());
        let (model, wants) = (model.clone(), wants.clone());
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.push(Select { model, wants, by, origin, sql, marker });
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
        up_to: |column, length| format!("UP_TO({column}, {length})"),
        list: |item, from| format!("LIST({item} {from})"),
        concat: |parts| parts.join(" || "),
        as_text: Some(|column| format!("TEXT({column})")),
        ignoring_case: |column, placeholder| format!("{column} LIKE {placeholder}"),
        by_pattern: true,
        in_utc: None,
        uuids_are_texts: true,
        marked: true,
    };

    #[test]
    fn what_is_kept_is_what_would_be_made() {
        let selects = Selects::default();
        let models = [&["auth.User"][..], &["accounts.User", "lookup=iexact", "username=email"]];
        for _ in 0..3 {
            for model in models.map(|words| Arc::new(UserModel::parse(words).unwrap())) {
                for wants in [Wants::NOTHING, Wants::FLAGS, Wants::PERMISSIONS] {
                    for (sought, origin) in [
                        (Sought::Name("alice"), None),
                        (Sought::Name("100%_"), Some("now()")),
                        (Sought::Id("7"), None),
                        (Sought::Session("key"), None),
                        (Sought::SessionAndUser { key: "key", id: "7" }, None),
                    ] {
                        let made = DIALECT.select(&model, &wants, sought, origin);
                        let kept = selects.select(&DIALECT, &model, &wants, sought, origin);
                        assert_eq!(kept.sql, made.sql);
                        assert_eq!((kept.values, kept.marker), (made.values, made.marker));
                    }
                }
            }
        }
        assert_eq!(selects.0.read().unwrap().len(), 30);
    }
}
