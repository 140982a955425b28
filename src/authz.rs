//! May they: the Require rules, one type each, and their list.

#![forbid(unsafe_code)]

use crate::error::Error;
use crate::query::{Query, Values};
use crate::store::{Found, Patience, Store};
use crate::user::{User, Wants};
use std::ffi::CStr;
use std::sync::Arc;

/// What a Require line of ours demands of a user.
pub trait Rule {
    /// The word after `Require`.
    const NAME: &CStr;

    /// What it asks of the user's row.
    const WANTS: Wants;

    /// Looks at the words of a line when the configuration is read; an expression stands for any
    /// text, so it is `None`.
    ///
    /// # Errors
    /// What is wrong with them, for `apachectl configtest`.
    fn check(words: &[Option<&str>]) -> Result<(), String>;

    /// Whether `user`, who is active, is what `words` demand.
    fn met(user: &User, words: &[impl AsRef<str>]) -> bool;
}

/// `Require django-group NAME …`: any of Django's groups, spelt exactly as Django has it.
pub struct Group;

impl Rule for Group {
    const NAME: &CStr = c"django-group";
    const WANTS: Wants = Wants::GROUPS;

    fn check(words: &[Option<&str>]) -> Result<(), String> {
        if words.is_empty() {
            return Err("needs the name of a group, in quotes where it has spaces".into());
        }
        if words.contains(&Some("")) {
            return Err("\"\" is not the name of a group".into());
        }
        Ok(())
    }

    fn met(user: &User, words: &[impl AsRef<str>]) -> bool {
        words.iter().any(|word| user.groups.iter().any(|group| group == word.as_ref()))
    }
}

/// `Require django-staff`: who may enter Django's admin.
pub struct Staff;

impl Rule for Staff {
    const NAME: &CStr = c"django-staff";
    const WANTS: Wants = Wants::FLAGS;

    fn check(words: &[Option<&str>]) -> Result<(), String> {
        no_words(words)
    }

    fn met(user: &User, _: &[impl AsRef<str>]) -> bool {
        user.is_staff
    }
}

/// `Require django-superuser`.
pub struct Superuser;

impl Rule for Superuser {
    const NAME: &CStr = c"django-superuser";
    const WANTS: Wants = Wants::FLAGS;

    fn check(words: &[Option<&str>]) -> Result<(), String> {
        no_words(words)
    }

    fn met(user: &User, _: &[impl AsRef<str>]) -> bool {
        user.is_superuser
    }
}

fn no_words(words: &[Option<&str>]) -> Result<(), String> {
    if words.is_empty() { Ok(()) } else { Err("takes no words".into()) }
}

/// `Require django-permission app_label.codename …`: any of the permissions, as `has_perm` answers.
pub struct Permission;

impl Rule for Permission {
    const NAME: &CStr = c"django-permission";
    const WANTS: Wants = Wants::PERMISSIONS;

    fn check(words: &[Option<&str>]) -> Result<(), String> {
        if words.is_empty() {
            return Err("needs a permission: app_label.codename, as in docs.view_page".into());
        }
        for word in words.iter().flatten() {
            let parts = word.split_once('.').filter(|(app, code)| {
                !app.is_empty() && !code.is_empty() && !word.contains(char::is_whitespace)
            });
            if parts.is_none() {
                return Err(format!(
                    "\"{word}\" is not a permission: app_label.codename, as in docs.view_page"
                ));
            }
        }
        Ok(())
    }

    fn met(user: &User, words: &[impl AsRef<str>]) -> bool {
        words.iter().any(|word| user.has_perm(word.as_ref()))
    }
}

/// Who was `found` by a name for which another module vouches: `groups_for_user` of Django 6.1's
/// `contrib/auth/handlers/modwsgi.py`, which knows no groups of the unknown and the inactive.
pub fn groups_for_user(found: Found) -> Option<Arc<User>> {
    match found {
        Found::One(user) if user.is_active => Some(user),
        _ => None,
    }
}

/// The word after `Require` for a query of the administrator's.
pub const QUERY: &CStr = c"django-query";

/// `Require django-query NAME …`: whether the query has a row for `user`, who is active, and the
/// words behind its name, each at its place.
///
/// # Errors
/// When the words do not suffice, or the database gave no answer in the time that the request has
/// for it.
pub fn has_row(
    store: &dyn Store,
    name: &str,
    query: &Query,
    user: &User,
    words: &[String],
    patience: &Patience,
) -> Result<bool, Error> {
    enough_words(query, words.len())
        .map_err(|reason| Error::UnfitQuery { name: name.to_owned(), reason })?;
    let values = Values { user_id: &user.id, username: &user.username, words, ..Values::default() };
    patience
        .ask(store, |deadline| store.exists(query, &values, deadline))
        .map_err(|error| error.of_query(name))
}

/// Whether a Require line of so many words gives the query what it needs.
///
/// # Errors
/// The reason and the remedy.
pub fn enough_words(query: &Query, words: usize) -> Result<(), String> {
    match query.words() {
        needed if needed > words => Err(format!(
            "the query uses :word{needed}, and the line Require django-query has words up to \
             :word{words} behind the query's name"
        )),
        _ if query.takes("realm") => {
            Err("the query uses :realm, which there is for AuthDjangoRealmHash alone".into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_WORDS: &[&str] = &[];

    #[test]
    fn a_group_is_met_by_its_exact_name() {
        let user = User {
            username: "alice".into(),
            is_active: true,
            groups: vec!["secret agents".into(), "Büro".into()],
            ..User::default()
        };
        assert!(Group::met(&user, &["other", "secret agents"]));
        assert!(Group::met(&user, &["Büro"]));
        for words in [&[][..], &[""], &["Secret agents"], &["secret"], &["agents"], &["büro"]] {
            assert!(!Group::met(&user, words), "{words:?}");
        }
    }

    #[test]
    fn staff_superusers_and_permissions_imply_nothing_of_each_other() {
        let staff = User { is_active: true, is_staff: true, ..User::default() };
        let superuser = User { is_active: true, is_superuser: true, ..User::default() };
        assert!(Staff::met(&staff, NO_WORDS) && !Staff::met(&superuser, NO_WORDS));
        assert!(Superuser::met(&superuser, NO_WORDS) && !Superuser::met(&staff, NO_WORDS));
        assert!(Permission::met(&superuser, &["any.thing"]));
        assert!(!Permission::met(&staff, &["admin.view_logentry"]));
        assert!(!Permission::met(&superuser, NO_WORDS));
        assert!(!Group::met(&superuser, &["any"]));
    }

    #[test]
    fn permissions_are_app_label_and_codename() {
        assert!(Permission::check(&[Some("docs.view_page"), None, Some("a.b.c")]).is_ok());
        for words in
            [&[][..], &[Some("view_page")], &[Some("docs.")], &[Some(".x")], &[Some("a b.c")]]
        {
            assert!(Permission::check(words).is_err(), "{words:?}");
        }
        assert!(Staff::check(&[Some("x")]).is_err() && Superuser::check(&[]).is_ok());
    }

    #[test]
    fn a_query_needs_its_words() {
        let query = Query::parse("SELECT 1 WHERE :word1 = :word3").unwrap();
        assert!(enough_words(&query, 2).unwrap_err().contains(":word3"));
        assert_eq!(enough_words(&query, 3), Ok(()));
        assert_eq!(enough_words(&Query::parse("SELECT 1").unwrap(), 0), Ok(()));
        assert!(enough_words(&Query::parse("SELECT :realm").unwrap(), 0).is_err());
    }

    #[test]
    fn a_line_without_a_group_is_refused() {
        assert!(Group::check(&[]).is_err());
        assert!(Group::check(&[Some("a"), Some("")]).is_err());
        assert!(Group::check(&[Some("a"), None]).is_ok());
    }
}
