//! `User`: the columns of Django's user that matter here, and `UserModel`: where they are.

#![forbid(unsafe_code)]

mod export;

pub use export::Export;

use crate::query::{self, Query};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A row of the user table, with what came in the same round trip.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct User {
    /// The primary key, as text.
    pub id: String,
    /// `USERNAME_FIELD`, as the row has it.
    pub username: String,
    /// The encoded password (`hashers.py`, `encode`); empty when the column is NULL.
    pub password: Zeroizing<String>,
    /// Django lets nobody in who is not active.
    pub is_active: bool,
    /// The names of the user's groups, exactly as Django has them; empty if they were not asked for.
    pub groups: Vec<String>,
    /// Whether the user may enter the admin; `false` if it was not asked for.
    pub is_staff: bool,
    /// Whether the user has every permission; `false` if it was not asked for.
    pub is_superuser: bool,
    /// The user's own permissions and those of the groups, as `app_label.codename`; empty if they
    /// were not asked for.
    pub permissions: Vec<String>,
    /// The columns that were asked for, in that order; `None` for NULL.
    pub columns: Vec<Option<String>>,
    /// What was asked for.
    pub known: Wants,
}

impl User {
    /// `has_perm` of Django 6.1's `contrib/auth/models.py` with `ModelBackend`: an active superuser
    /// has every permission, even one that does not exist; nobody inactive has any; names are exact.
    pub fn has_perm(&self, permission: &str) -> bool {
        self.is_active
            && (self.is_superuser || self.permissions.iter().any(|has| has == permission))
    }

    /// Whether nothing differs of what both rows know of a user and his rights.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let same = |one: &[String], other: &[String]| {
            one.len() == other.len() && one.iter().all(|name| other.contains(name))
        };
        let both = |of: fn(&Wants) -> bool| of(&self.known) && of(&other.known);
        (&self.id, &self.username, self.is_active) == (&other.id, &other.username, other.is_active)
            && self.password == other.password
            && (!both(|known| known.groups) || same(&self.groups, &other.groups))
            && (!both(|known| known.flags)
                || (self.is_staff, self.is_superuser) == (other.is_staff, other.is_superuser))
            && (!both(|known| known.permissions) || same(&self.permissions, &other.permissions))
    }

    /// Whether the columns that both rows have are the same.
    pub fn has_columns_of(&self, other: &Self) -> bool {
        self.named_columns().all(|(name, value)| {
            other.named_columns().all(|(theirs, other)| theirs != name || other == value)
        })
    }

    fn named_columns(&self) -> impl Iterator<Item = (&String, &Option<String>)> {
        self.known.columns.iter().zip(&self.columns)
    }
}

/// What a place asks of a user beyond what a login takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wants {
    /// The groups.
    pub groups: bool,
    /// `is_staff` and `is_superuser`.
    pub flags: bool,
    /// The permissions.
    pub permissions: bool,
    /// Beside the user, sessions that are rows.
    pub sessions: bool,
    /// Further columns of the user, each once.
    pub columns: Vec<String>,
}

impl Wants {
    /// What a login takes.
    pub const NOTHING: Self = Self::new(false, false, false, false);
    /// And the user's groups.
    pub const GROUPS: Self = Self::new(true, false, false, false);
    /// And whether the user is staff or a superuser.
    pub const FLAGS: Self = Self::new(false, true, false, false);
    /// And what `has_perm` needs.
    pub const PERMISSIONS: Self = Self::new(false, true, true, false);
    /// And sessions that are rows.
    pub const SESSIONS: Self = Self::new(false, false, false, true);

    const fn new(groups: bool, flags: bool, permissions: bool, sessions: bool) -> Self {
        Self { groups, flags, permissions, sessions, columns: Vec::new() }
    }

    /// What either asks for.
    pub fn or(&self, other: &Self) -> Self {
        let mut columns = self.columns.clone();
        columns.extend(other.columns.iter().filter(|name| !self.columns.contains(name)).cloned());
        Self {
            groups: self.groups || other.groups,
            flags: self.flags || other.flags,
            permissions: self.permissions || other.permissions,
            sessions: self.sessions || other.sessions,
            columns,
        }
    }

    /// Whether who knows this of a user knows `other`.
    pub fn cover(&self, other: &Self) -> bool {
        (self.groups || !other.groups)
            && (self.flags || !other.flags)
            && (self.permissions || !other.permissions)
            && other.columns.iter().all(|name| self.columns.contains(name))
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("id", &self.id)
            .field("username", &self.username)
            .field("is_active", &self.is_active)
            .field("is_staff", &self.is_staff)
            .field("is_superuser", &self.is_superuser)
            .field("groups", &self.groups)
            .field("permissions", &self.permissions)
            .finish_non_exhaustive()
    }
}

/// `AuthDjangoUserModel`: tables and columns by Django's naming rule, each of which a key overrides
/// (Django 6.1, `db/models/options.py` and `db/models/fields/related.py`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserModel {
    /// The schema of all tables; `None` where the connection's own is meant.
    pub schema: Option<String>,
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
    /// The column `is_staff`; `None` where the model has none and nobody is.
    pub is_staff: Option<String>,
    /// The column `is_superuser`; `None` where the model has none and nobody is.
    pub is_superuser: Option<String>,
    /// Multi-table inheritance: the child's table and its column that points at `id`. Who is not in
    /// it is no user of this model.
    pub child: Option<(String, String)>,
    /// Whether a user name may differ in case (`lookup=iexact`).
    pub ignores_case: bool,
    /// The name of the query of the administrator's that stands in place of the table (`query=`).
    pub query_name: Option<String>,
    /// That query, once it is known which one the name means: its columns are those named above.
    pub query: Option<Arc<Query>>,
    /// How users are joined to groups; `None` where the model has no groups.
    pub groups: Option<Groups>,
    /// How users are joined to permissions; `None` where the model has none of its own.
    pub permissions: Option<Through>,
    /// How groups are joined to permissions.
    pub group_permissions: Through,
    /// Where permissions have their names.
    pub permission: Permission,
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

/// A table that joins users or groups to permissions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Through {
    /// The joining table.
    pub table: String,
    /// Its column with the key of the user or group.
    pub owner_id: String,
    /// Its column with the permission's key.
    pub permission_id: String,
}

/// `auth_permission` and `django_content_type`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// The table of the permissions.
    pub table: String,
    /// Its primary key.
    pub id: String,
    /// The column of the codename.
    pub codename: String,
    /// The column with the content type's key.
    pub content_type_id: String,
    /// The table of the content types.
    pub content_types: String,
    /// Its primary key.
    pub content_types_id: String,
    /// Its column of the app's label.
    pub app_label: String,
}

impl Default for UserModel {
    fn default() -> Self {
        Self::by_rule("auth", "User")
    }
}

/// The keys of `AuthDjangoUserModel`, as its error messages list them.
const KEYS: &str = "schema, table, child, query, lookup, id, username, password, is_active, is_staff, \
    is_superuser, groups_table, groups_user_id, groups_group_id, group_table, group_id, group_name, \
    permissions_table, permissions_user_id, permissions_permission_id, group_permissions_table, \
    group_permissions_group_id, group_permissions_permission_id, permission_table, permission_id, \
    permission_codename, permission_content_type_id, content_type_table, content_type_id, \
    content_type_app_label";

impl UserModel {
    /// The names that Django gives to a model that says nothing of its own.
    fn by_rule(app_label: &str, model: &str) -> Self {
        let model = model.to_lowercase();
        let table = format!("{app_label}_{model}");
        let permission_id = String::from("permission_id");
        Self {
            schema: None,
            id: "id".into(),
            username: "username".into(),
            password: "password".into(),
            is_active: Some("is_active".into()),
            is_staff: Some("is_staff".into()),
            is_superuser: Some("is_superuser".into()),
            child: None,
            query_name: None,
            query: None,
            ignores_case: false,
            groups: Some(Groups {
                through: format!("{table}_groups"),
                user_id: format!("{model}_id"),
                group_id: "group_id".into(),
                table: "auth_group".into(),
                id: "id".into(),
                name: "name".into(),
            }),
            permissions: Some(Through {
                table: format!("{table}_user_permissions"),
                owner_id: format!("{model}_id"),
                permission_id: permission_id.clone(),
            }),
            group_permissions: Through {
                table: "auth_group_permissions".into(),
                owner_id: "group_id".into(),
                permission_id,
            },
            permission: Permission {
                table: "auth_permission".into(),
                id: "id".into(),
                codename: "codename".into(),
                content_type_id: "content_type_id".into(),
                content_types: "django_content_type".into(),
                content_types_id: "id".into(),
                app_label: "app_label".into(),
            },
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
        // `table` first: Django names the joining tables after it.
        let (table, others): (Vec<_>, Vec<_>) =
            keys.iter().copied().partition(|word| word.starts_with("table="));
        for word in table.into_iter().chain(others) {
            new.set(word)?;
        }
        if new.query_name.is_some() && new.child.is_some() {
            return Err(
                "child= has no use beside query=: join the child's table in the query".into()
            );
        }
        Ok(new)
    }

    /// Whether a user can be found by the primary key, as a session names him.
    ///
    /// # Errors
    /// The reason and the remedy, for `apachectl configtest`.
    pub fn check_for_sessions(&self) -> Result<(), String> {
        match (&self.query_name, &self.query) {
            (None, None) => Ok(()),
            _ => Err("AuthDjangoSession needs a table of users (table=), not query=".into()),
        }
    }

    /// What decides which row is a user's: two models with the same have the same users.
    pub fn identity(&self) -> String {
        let Self { schema, table, child, id, username, ignores_case, query, .. } = self;
        format!("{:?}", (schema, table, child, id, username, &self.password, ignores_case, query))
    }

    fn set(&mut self, word: &str) -> Result<(), String> {
        let (key, value) =
            word.split_once('=').ok_or_else(|| format!("\"{word}\" is not key=value"))?;
        if value.is_empty() || value.contains('\0') {
            return Err(format!("{key}= needs the name of a table or column"));
        }
        let none = value == "none";
        let value = value.to_owned();
        match key {
            "schema" => self.schema = Some(value),
            "table" => {
                if let Some(groups) = &mut self.groups {
                    groups.through = format!("{value}_groups");
                }
                if let Some(permissions) = &mut self.permissions {
                    permissions.table = format!("{value}_user_permissions");
                }
                self.table = value;
            }
            "child" => {
                let (table, column) = value
                    .rsplit_once('.')
                    .filter(|(table, column)| !table.is_empty() && !column.is_empty())
                    .ok_or(
                        "child= needs TABLE.COLUMN: the child's table and its column that \
                            points at the parent",
                    )?;
                self.child = Some((table.to_owned(), column.to_owned()));
            }
            "query" => {
                query::check_name(&value).map_err(|reason| format!("query=: {reason}"))?;
                self.query_name = Some(value);
            }
            "lookup" => {
                self.ignores_case = match value.as_str() {
                    "exact" => false,
                    "iexact" => true,
                    _ => return Err(format!("lookup={value}: must be exact or iexact")),
                };
            }
            "is_active" => self.is_active = (!none).then_some(value),
            "is_staff" => self.is_staff = (!none).then_some(value),
            "is_superuser" => self.is_superuser = (!none).then_some(value),
            "groups_table" if none => self.groups = None,
            "permissions_table" if none => self.permissions = None,
            key => match self.column(key) {
                Some(Some(column)) => *column = value,
                Some(None) => return Err(format!("{key}= contradicts the none before it")),
                None => return Err(format!("unknown key {key}=: the keys are {KEYS}")),
            },
        }
        Ok(())
    }

    /// What a key names; `Some(None)` where `none` took away what it is part of.
    fn column(&mut self, key: &str) -> Option<Option<&mut String>> {
        let (groups, permissions) = (self.groups.as_mut(), self.permissions.as_mut());
        let (group_permissions, permission) = (&mut self.group_permissions, &mut self.permission);
        Some(match key {
            "id" => Some(&mut self.id),
            "username" => Some(&mut self.username),
            "password" => Some(&mut self.password),
            "groups_table" => groups.map(|groups| &mut groups.through),
            "groups_user_id" => groups.map(|groups| &mut groups.user_id),
            "groups_group_id" => groups.map(|groups| &mut groups.group_id),
            "group_table" => groups.map(|groups| &mut groups.table),
            "group_id" => groups.map(|groups| &mut groups.id),
            "group_name" => groups.map(|groups| &mut groups.name),
            "permissions_table" => permissions.map(|through| &mut through.table),
            "permissions_user_id" => permissions.map(|through| &mut through.owner_id),
            "permissions_permission_id" => permissions.map(|through| &mut through.permission_id),
            "group_permissions_table" => Some(&mut group_permissions.table),
            "group_permissions_group_id" => Some(&mut group_permissions.owner_id),
            "group_permissions_permission_id" => Some(&mut group_permissions.permission_id),
            "permission_table" => Some(&mut permission.table),
            "permission_id" => Some(&mut permission.id),
            "permission_codename" => Some(&mut permission.codename),
            "permission_content_type_id" => Some(&mut permission.content_type_id),
            "content_type_table" => Some(&mut permission.content_types),
            "content_type_id" => Some(&mut permission.content_types_id),
            "content_type_app_label" => Some(&mut permission.app_label),
            _ => return None,
        })
    }
}

fn is_identifier(word: &str) -> bool {
    word.chars().all(|c| c.is_alphanumeric() || c == '_')
        && word.chars().next().is_some_and(|c| !c.is_numeric())
}

#[cfg(test)]
mod tests;
