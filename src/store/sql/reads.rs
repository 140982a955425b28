//! What the SELECT of a user reads: who watches it must watch no less.

#![forbid(unsafe_code)]

use super::Dialect;
use super::select::{EXPIRE_DATE, SESSION_DATA, SESSION_KEY, SESSIONS};
use crate::user::{UserModel, Wants};

/// A table, and the columns of it that are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reads {
    /// Quoted, and with its schema if it has one.
    pub(crate) relation: String,
    pub(crate) columns: Vec<String>,
    /// Whether a new row can change what was read: not where none is remembered to be missing.
    pub(crate) new_rows: bool,
}

impl Dialect {
    /// The tables and columns of `select`, of a model without a query of its own.
    pub(crate) fn reads(&self, model: &UserModel, wants: &Wants) -> Vec<Reads> {
        let mut users = vec![&model.id, &model.username, &model.password];
        users.extend(&model.is_active);
        if wants.flags {
            users.extend(model.is_staff.iter().chain(&model.is_superuser));
        }
        users.extend(&wants.columns);
        let (of_child, of_user): (Vec<&String>, Vec<&String>) =
            users.into_iter().partition(|name| child_column(model, name).is_some());
        let mut all = Vec::new();
        let mut more = |table: &str, columns: &[&str]| {
            let columns = columns.iter().map(|&column| column.to_owned()).collect();
            let new_rows = table != SESSIONS;
            all.push(Reads { relation: self.table(model, table), columns, new_rows });
        };
        more(&model.table, &of_user.into_iter().map(String::as_str).collect::<Vec<_>>());
        if let Some((table, key)) = &model.child {
            let columns = of_child.into_iter().filter_map(|name| child_column(model, name));
            more(table, &columns.chain([key.as_str()]).collect::<Vec<_>>());
        }
        if let Some(groups) = &model.groups {
            if wants.groups || wants.permissions {
                more(&groups.through, &[&groups.user_id, &groups.group_id]);
            }
            if wants.groups {
                more(&groups.table, &[&groups.id, &groups.name]);
            }
        }
        if wants.permissions {
            let own = model.permissions.as_ref();
            let by_group = model.groups.as_ref().map(|_| &model.group_permissions);
            for through in own.into_iter().chain(by_group) {
                more(&through.table, &[&through.owner_id, &through.permission_id]);
            }
            let permission = &model.permission;
            let columns = [&permission.id, &permission.codename, &permission.content_type_id];
            more(&permission.table, &columns.map(String::as_str));
            more(&permission.content_types, &[&permission.content_types_id, &permission.app_label]);
        }
        if wants.sessions {
            more(SESSIONS, &[SESSION_KEY, SESSION_DATA, EXPIRE_DATE]);
        }
        all
    }
}

/// The name within the child's table, of a column that is there.
pub(super) fn child_column<'a>(model: &UserModel, name: &'a str) -> Option<&'a str> {
    let (table, _) = model.child.as_ref()?;
    name.strip_prefix(table.as_str()).and_then(|rest| rest.strip_prefix('.'))
}
