//! `User`: the columns of Django's user that matter here, and `UserModel`: where they are.

#![forbid(unsafe_code)]

use std::fmt;
use zeroize::Zeroizing;

/// A row of the user table, with the groups that came in the same round trip.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The primary key, as text.
    pub id: String,
    /// `USERNAME_FIELD`, as the row has it.
    pub username: String,
    /// The encoded password (`hashers.py`, `encode`); empty when the column is NULL.
    pub password: Zeroizing<String>,
    /// Django lets nobody in who is not active.
    pub is_active: bool,
    /// The names of the user's groups, exactly as Django has them.
    pub groups: Vec<String>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("id", &self.id)
            .field("username", &self.username)
            .field("is_active", &self.is_active)
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}

/// `AuthDjangoUserModel`: tables and columns by Django's naming rule, each of which a key overrides
/// (Django 6.1, `db/models/options.py` and `db/models/fields/related.py`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserModel {
    /// `db_table` of the user model.
    pub table: String,
    /// Its primary key.
    pub id: String,
    /// `USERNAME_FIELD`.
    pub username: String,
    /// The column of the encoded password.
    pub password: String,
    /// The column `is_active`; `None` where the model has none and everybody is active.
    pub is_active: Option<String>,
    /// How users are joined to groups; `None` where the model has no groups.
    pub groups: Option<Groups>,
}

/// The many-to-many relation between users and `auth_group`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    /// The joining table.
    pub through: String,
    /// Its column with the user's key.
    pub user_id: String,
    /// Its column with the group's key.
    pub group_id: String,
    /// The table of the groups.
    pub table: String,
    /// The primary key of the groups.
    pub id: String,
    /// The column with a group's name.
    pub name: String,
}

impl Default for UserModel {
    fn default() -> Self {
        Self::by_rule("auth", "User")
    }
}

/// The keys of `AuthDjangoUserModel`, as its error messages list them.
const KEYS: &str = "table, id, username, password, is_active, groups_table, groups_user_id, \
                    groups_group_id, group_table, group_id, group_name";

impl UserModel {
    /// The names that Django gives to a model that says nothing of its own.
    fn by_rule(app_label: &str, model: &str) -> Self {
        let model = model.to_lowercase();
        let table = format!("{app_label}_{model}");
        Self {
            id: "id".into(),
            username: "username".into(),
            password: "password".into(),
            is_active: Some("is_active".into()),
            groups: Some(Groups {
                through: format!("{table}_groups"),
                user_id: format!("{model}_id"),
                group_id: "group_id".into(),
                table: "auth_group".into(),
                id: "id".into(),
                name: "name".into(),
            }),
            table,
        }
    }

    /// Reads `app_label.Model [key=value …]`.
    ///
    /// # Errors
    /// The reason and the remedy, for `apachectl configtest`.
    pub fn parse(words: &[&str]) -> Result<Self, String> {
        let [label, keys @ ..] = words else {
            return Err("needs the user model, as AUTH_USER_MODEL has it: accounts.User".into());
        };
        let (app_label, model) = label
            .split_once('.')
            .filter(|(app, model)| is_identifier(app) && is_identifier(model))
            .ok_or_else(|| {
                format!("\"{label}\" is not app_label.Model, as AUTH_USER_MODEL has it")
            })?;
        let mut new = Self::by_rule(app_label, model);
        // `table` first: Django names the joining table after it.
        let (table, others): (Vec<_>, Vec<_>) =
            keys.iter().copied().partition(|word| word.starts_with("table="));
        for word in table.into_iter().chain(others) {
            new.set(word)?;
        }
        Ok(new)
    }

    fn set(&mut self, word: &str) -> Result<(), String> {
        let (key, value) =
            word.split_once('=').ok_or_else(|| format!("\"{word}\" is not key=value"))?;
        if value.is_empty() || value.contains('\0') {
            return Err(format!("{key}= needs the name of a table or column"));
        }
        let value = value.to_owned();
        match (key, &mut self.groups) {
            ("table", groups) => {
                if let Some(groups) = groups {
                    groups.through = format!("{value}_groups");
                }
                self.table = value;
            }
            ("id", _) => self.id = value,
            ("username", _) => self.username = value,
            ("password", _) => self.password = value,
            ("is_active", _) => self.is_active = (value != "none").then_some(value),
            ("groups_table", groups) if value == "none" => *groups = None,
            ("groups_table", Some(groups)) => groups.through = value,
            ("groups_user_id", Some(groups)) => groups.user_id = value,
            ("groups_group_id", Some(groups)) => groups.group_id = value,
            ("group_table", Some(groups)) => groups.table = value,
            ("group_id", Some(groups)) => groups.id = value,
            ("group_name", Some(groups)) => groups.name = value,
            (
                "groups_table" | "groups_user_id" | "groups_group_id" | "group_table" | "group_id"
                | "group_name",
                None,
            ) => return Err(format!("{key}= contradicts groups_table=none")),
            _ => return Err(format!("unknown key {key}=: the keys are {KEYS}")),
        }
        Ok(())
    }
}

fn is_identifier(word: &str) -> bool {
    word.chars().all(|c| c.is_alphanumeric() || c == '_')
        && word.chars().next().is_some_and(|c| !c.is_numeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_django() {
        let model = UserModel::parse(&["accounts.CustomUser", "username=email"]).unwrap();
        assert_eq!(model.table, "accounts_customuser");
        assert_eq!(model.username, "email");
        let groups = model.groups.unwrap();
        assert_eq!(groups.through, "accounts_customuser_groups");
        assert_eq!(groups.user_id, "customuser_id");
        assert_eq!(UserModel::parse(&["auth.User"]).unwrap(), UserModel::default());
    }

    #[test]
    fn keys_override_whatever_their_order() {
        let model = UserModel::parse(&[
            "auth.User",
            "groups_user_id=uid",
            "table=People",
            "is_active=none",
            "password=pw hash",
        ])
        .unwrap();
        assert_eq!(model.table, "People");
        assert_eq!(model.is_active, None);
        assert_eq!(model.password, "pw hash");
        let groups = model.groups.unwrap();
        assert_eq!((groups.through.as_str(), groups.user_id.as_str()), ("People_groups", "uid"));
        assert_eq!(UserModel::parse(&["a.B", "groups_table=none"]).unwrap().groups, None);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (words, reason) in [
            (&[][..], "needs the user model"),
            (&["User"], "not app_label.Model"),
            (&["a.b.C"], "not app_label.Model"),
            (&["auth.User", "email"], "not key=value"),
            (&["auth.User", "usrname=email"], "unknown key usrname="),
            (&["auth.User", "table="], "needs the name"),
            (&["auth.User", "groups_table=none", "group_table=x"], "contradicts"),
        ] {
            let error = UserModel::parse(words).unwrap_err();
            assert!(error.contains(reason), "{words:?}: {error}");
        }
    }

    #[test]
    fn debug_tells_no_hash() {
        let user = User {
            id: "1".into(),
            username: "alice".into(),
            password: Zeroizing::new("pbkdf2_sha256$1$salt$hash".into()),
            is_active: true,
            groups: vec![],
        };
        assert!(!format!("{user:?}").contains("hash"));
    }
}
