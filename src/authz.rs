//! May they: the Require rules, one type each, and their list.

#![forbid(unsafe_code)]

use crate::error::Error;
use crate::store::{Patience, Store};
use crate::user::{User, UserModel};
use std::ffi::CStr;
use std::sync::Arc;

/// What a Require line of ours demands of a user.
pub trait Rule {
    /// The word after `Require`.
    const NAME: &CStr;

    /// Looks at the words of a line when the configuration is read; an expression stands for any
    /// text, so it is `None`.
    ///
    /// # Errors
    /// What is wrong with them, for `apachectl configtest`.
    fn check(words: &[Option<&str>]) -> Result<(), String>;

    /// Whether `user`, who is active, is what `words` demand.
    fn met(user: &User, words: &[&str]) -> bool;
}

/// `Require django-group NAME …`: any of Django's groups, spelt exactly as Django has it.
pub struct Group;

impl Rule for Group {
    const NAME: &CStr = c"django-group";

    fn check(words: &[Option<&str>]) -> Result<(), String> {
        if words.is_empty() {
            return Err("needs the name of a group, in quotes where it has spaces".into());
        }
        if words.contains(&Some("")) {
            return Err("\"\" is not the name of a group".into());
        }
        Ok(())
    }

    fn met(user: &User, words: &[&str]) -> bool {
        words.iter().any(|word| user.groups.iter().any(|group| group == word))
    }
}

/// The active user of that name, for whom another module vouches: `groups_for_user` of Django 6.1's
/// `contrib/auth/handlers/modwsgi.py`, which knows no groups of the unknown and the inactive.
///
/// # Errors
/// When the database gave no answer in the time that the request has for it.
pub fn groups_for_user(
    store: &dyn Store,
    model: &UserModel,
    username: &str,
    patience: &Patience,
) -> Result<Option<Arc<User>>, Error> {
    let user =
        patience.ask(store, |deadline| store.get_by_natural_key(model, username, deadline))?;
    Ok(user.filter(|user| user.is_active).map(Arc::new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::Zeroizing;

    #[test]
    fn a_group_is_met_by_its_exact_name() {
        let user = User {
            id: "1".into(),
            username: "alice".into(),
            password: Zeroizing::default(),
            is_active: true,
            groups: vec!["secret agents".into(), "Büro".into()],
        };
        assert!(Group::met(&user, &["other", "secret agents"]));
        assert!(Group::met(&user, &["Büro"]));
        for words in [&[][..], &[""], &["Secret agents"], &["secret"], &["agents"], &["büro"]] {
            assert!(!Group::met(&user, words), "{words:?}");
        }
    }

    #[test]
    fn a_line_without_a_group_is_refused() {
        assert!(Group::check(&[]).is_err());
        assert!(Group::check(&[Some("a"), Some("")]).is_err());
        assert!(Group::check(&[Some("a"), None]).is_ok());
    }
}
