//! The user and the session in the answer to a SELECT.

#![forbid(unsafe_code)]

use super::Found;
use super::id::is_same;
use super::question::{OTHER_ANSWER, Row};
use crate::session::SessionRow;
use crate::user::{User, UserModel, Wants};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Takes away the last column, which says of every row the same: where it comes from.
pub(super) fn origin(rows: &mut [Row]) -> Option<String> {
    let mut origins: Vec<Option<String>> = rows.iter_mut().map(|row| row.pop().flatten()).collect();
    let last = origins.pop()?;
    origins.iter().all(|origin| *origin == last).then_some(last)?
}

/// Takes away the first two columns, which are the session's.
pub(super) fn session(rows: &mut [Row]) -> Result<Option<SessionRow>, String> {
    let mut sessions = Vec::new();
    for row in rows {
        if row.len() < 2 {
            return Err(OTHER_ANSWER.into());
        }
        let rest = row.split_off(2);
        sessions.push(std::mem::replace(row, rest));
    }
    // Beside each user there is the same.
    sessions.dedup();
    match sessions.pop().map(<[_; 2]>::try_from) {
        Some(Ok([Some(data), Some(expire_date)])) if sessions.is_empty() => {
            Ok(Some(SessionRow::new(data, expire_date)))
        }
        _ if sessions.is_empty() => Ok(None),
        _ => Err("more than one session has this key".into()),
    }
}

/// The user of the primary key `id`, read as `user` does.
pub(super) fn user_of_id(
    mut rows: Vec<Row>,
    model: &UserModel,
    wants: &Wants,
    id: &str,
) -> Result<Found, String> {
    let key = |row: &Row| row.first().cloned().flatten();
    // A column of texts may have two that would be one UUID.
    let exact = rows.iter().any(|row| key(row).as_deref() == Some(id));
    rows.retain(|row| key(row).is_some_and(|key| key == id || !exact && is_same(id, &key)));
    if rows.len() > 1 {
        return Err(format!(
            "more than one row of \"{}\" has this primary key: is \"{}\" its column?",
            model.table, model.id
        ));
    }
    user(rows, model, wants)
}

/// Reads the columns that `Dialect::select` asks for.
pub(super) fn user(rows: Vec<Row>, model: &UserModel, wants: &Wants) -> Result<Found, String> {
    let mut rows = rows.into_iter();
    let (Some(mut row), more) = (rows.next(), rows.next()) else { return Ok(Found::Nobody) };
    if more.is_some() {
        return if model.ignores_case { Ok(Found::Several) } else { Err(several_rows(model)) };
    }
    if row.len() != 8 + wants.columns.len() {
        return Err(OTHER_ANSWER.into());
    }
    let columns = row.split_off(8);
    let Ok([id, username, password, is_active, groups, is_staff, is_superuser, permissions]) =
        <[_; 8]>::try_from(row)
    else {
        return Err(OTHER_ANSWER.into());
    };
    let Some(id) = id else { return Ok(Found::Nobody) };
    let username = username.unwrap_or_default();
    // REMOTE_USER would end there, and may be somebody else's name.
    if username.contains('\0') {
        return Err("the user's name holds a NUL".into());
    }
    Ok(Found::One(Arc::new(User {
        id,
        username,
        password: Zeroizing::new(password.unwrap_or_default()),
        is_active: is_true(is_active),
        groups: list(groups).ok_or("the user's groups are no list of names")?,
        is_staff: is_true(is_staff),
        is_superuser: is_true(is_superuser),
        permissions: list(permissions).ok_or("the user's permissions are no list of names")?,
        columns,
        known: wants.clone(),
    })))
}

/// What a boolean column says, as text: `true`, or a number other than 0.
pub(super) fn is_true(value: Option<String>) -> bool {
    let value = value.unwrap_or_default();
    let value = value.trim();
    value.eq_ignore_ascii_case("true")
        || value.eq_ignore_ascii_case("t")
        || value.parse::<i64>().is_ok_and(|number| number != 0)
}

/// A list in JSON; nothing where there is nothing.
fn list(value: Option<String>) -> Option<Vec<String>> {
    let Some(value) = value else { return Some(Vec::new()) };
    let list: Vec<Option<String>> = serde_json::from_str(&value).ok()?;
    Some(list.into_iter().flatten().collect())
}

fn several_rows(model: &UserModel) -> String {
    if model.query.is_some() {
        return "more than one row is this user's: a query of users must find one at most".into();
    }
    format!(
        "more than one row of \"{}\" has this user name: give its column \"{}\" a UNIQUE constraint",
        model.table, model.username
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(columns: [&str; 8]) -> Row {
        columns.map(|text| (text != "-").then(|| text.to_owned())).into()
    }

    fn read(rows: Vec<Row>, words: &[&str]) -> Result<Found, String> {
        user(rows, &UserModel::parse(words).unwrap(), &Wants::NOTHING)
    }

    #[test]
    fn a_row_is_a_user() {
        let columns = ["7", "alice", "-", "t", "[\"a b\", null]", "0", "1", "[\"docs.view_page\"]"];
        let Ok(Found::One(user)) = read(vec![row(columns)], &["auth.User"]) else { panic!() };
        assert_eq!((user.id.as_str(), user.username.as_str()), ("7", "alice"));
        assert!(user.password.is_empty() && user.is_active && !user.is_staff && user.is_superuser);
        assert_eq!(
            (&user.groups[..], &user.permissions[..]),
            (&["a b".to_owned()][..], &["docs.view_page".to_owned()][..])
        );
    }

    #[test]
    fn further_columns_are_kept_apart() {
        let wants = Wants { columns: vec!["email".into(), "phone".into()], ..Wants::NOTHING };
        let mut columns = row(["7", "alice", "x", "t", "-", "-", "-", "-"]);
        columns.extend([Some("a@b".into()), None]);
        let model = UserModel::default();
        let Ok(Found::One(found)) = user(vec![columns.clone()], &model, &wants) else { panic!() };
        assert_eq!(found.columns, [Some("a@b".into()), None]);
        columns.pop();
        assert_eq!(user(vec![columns], &model, &wants), Err(OTHER_ANSWER.into()));
    }

    #[test]
    fn rows_of_two_servers_have_no_origin() {
        let rows = |all: &[Option<&str>]| -> Vec<Row> {
            all.iter().map(|one| vec![Some("1".into()), one.map(str::to_owned)]).collect()
        };
        for (all, found) in [
            (&[Some("here"), Some("here")][..], Some("here")),
            (&[Some("here"), Some("there")], None),
            (&[Some("here"), None], None),
            (&[None], None),
            (&[], None),
        ] {
            let mut rows = rows(all);
            assert_eq!(origin(&mut rows).as_deref(), found);
            assert!(rows.iter().all(|row| row.len() == 1));
        }
    }

    #[test]
    fn nobody_several_and_nonsense() {
        let one = || row(["1", "a", "x", "1", "-", "-", "-", "-"]);
        let none = || row(["-", "-", "-", "-", "[]", "-", "-", "-"]);
        assert_eq!(read(vec![], &["auth.User"]), Ok(Found::Nobody));
        assert_eq!(read(vec![none()], &["auth.User"]), Ok(Found::Nobody));
        assert!(read(vec![one(), one()], &["auth.User"]).unwrap_err().contains("UNIQUE"));
        assert_eq!(read(vec![one(), one()], &["auth.User", "lookup=iexact"]), Ok(Found::Several));
        assert_eq!(read(vec![vec![]], &["auth.User"]), Err(OTHER_ANSWER.into()));
        let name = row(["1", "admin\0x", "x", "1", "-", "-", "-", "-"]);
        assert!(read(vec![name], &["auth.User"]).unwrap_err().contains("NUL"));
        let groups = row(["1", "a", "x", "1", "{}", "-", "-", "-"]);
        assert!(read(vec![groups], &["auth.User"]).unwrap_err().contains("groups"));
    }

    #[test]
    fn a_session_is_the_same_beside_each_user() {
        let text = |text: &str| Some(text.to_owned());
        let of = |data: &str| vec![text(data), text("2030-01-01 00:00:00"), text("7")];
        let found = SessionRow::new("x".into(), "2030-01-01 00:00:00".into());
        let mut rows = [of("x"), of("x")];
        assert_eq!(session(&mut rows), Ok(Some(found)));
        assert_eq!(rows, [[text("7")], [text("7")]]);
        assert!(session(&mut [of("x"), of("y")]).unwrap_err().contains("more than one"));
        for none in [vec![None, None, text("7")], vec![text("x"), None], vec![None, text("x")]] {
            assert_eq!(session(&mut [none]), Ok(None));
        }
        assert_eq!(session(&mut []), Ok(None));
        assert_eq!(session(&mut [vec![text("x")]]), Err(OTHER_ANSWER.into()));
    }

    #[test]
    fn what_a_database_takes_for_the_key_is_looked_at_again() {
        let one = |id| row([id, "a", "x", "1", "-", "-", "-", "-"]);
        let read = |ids: &[&'static str], id, words: &[&str]| {
            let rows = ids.iter().map(|&id| one(id)).collect();
            let found = user_of_id(rows, &UserModel::parse(words).unwrap(), &Wants::NOTHING, id)?;
            Ok::<_, String>(found.one().map(|user| user.id.clone()))
        };
        let digits = "550e8400e29b41d4a716446655440000";
        let uuid = "550e8400-e29b-41d4-a716-446655440000";
        for words in [&["auth.User"][..], &["auth.User", "lookup=iexact"]] {
            assert_eq!(read(&["7"], "7", words), Ok(Some("7".into())));
            assert_eq!(read(&["7"], "7abc", words), Ok(None));
            assert_eq!(read(&["-"], "", words), Ok(None));
            assert_eq!(read(&[], "7", words), Ok(None));
            assert_eq!(read(&[digits], uuid, words), Ok(Some(digits.into())));
            assert_eq!(read(&[digits, uuid], uuid, words), Ok(Some(uuid.into())));
            assert!(read(&["7", "7"], "7", words).unwrap_err().contains("\"id\""));
        }
    }

    #[test]
    fn truth() {
        for yes in ["true", "t", "TRUE", "1", "-1", "42"] {
            assert!(is_true(Some(yes.into())), "{yes}");
        }
        for no in ["false", "f", "0", "", "maybe", "1x", "is_active"] {
            assert!(!is_true(Some(no.into())), "{no}");
        }
        assert!(!is_true(None));
    }
}
