//! The SELECT that counts passwords, for an administrator.

#![forbid(unsafe_code)]

use super::{Dialect, mark};
use crate::store::inspect::{MOST_PASSWORDS, PREFIX};
use crate::store::question::Question;
use crate::user::UserModel;

impl Dialect {
    /// Columns: id, the beginning of the password, is_active; where answers are marked, a row of
    /// NULLs if there are no users. `None` where users come from a query that wants a name.
    pub(crate) fn passwords(&self, model: &UserModel) -> Option<Question<'static>> {
        if model.query.is_some() {
            return None;
        }
        let text = |column: &str| format!("CAST({} AS {})", self.column(model, column), self.text);
        let columns = format!(
            "{}, substr({}, 1, {PREFIX}), {}",
            text(&model.id),
            text(&model.password),
            model.is_active.as_ref().map_or_else(|| "'1'".into(), |column| text(column)),
        );
        let (source, limit) = (self.source(model), MOST_PASSWORDS + 1);
        Some(if self.marked {
            mark(
                format!("{columns} FROM (SELECT 1) one LEFT JOIN {source} ON 1 = 1 LIMIT {limit}"),
                Vec::new(),
            )
        } else {
            let sql = format!("SELECT {columns} FROM {source} LIMIT {limit}");
            Question { sql, values: Vec::new(), marker: None }
        })
    }
}
