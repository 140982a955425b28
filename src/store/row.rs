//! The user in the answer to the question about users.

#![forbid(unsafe_code)]

use super::Found;
use super::question::{OTHER_ANSWER, Row};
use crate::user::{User, UserModel, Wants};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Takes away the last column, which says of every row the same: where it comes from.
pub(super) fn origin(rows: &mut [Row]) -> Option<String> {
    let mut origins: Vec<Option<String>> = rows.iter_mut().map(|row| row.pop().flatten()).collect();
    let last = origins.pop()?;
    origins.iter().all(|origin| *origin == last).then_some(last)?
}

/// Reads the columns that `Dialect::user` asks for.
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
