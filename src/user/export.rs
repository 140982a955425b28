//! `AuthDjangoExport`: what of a user goes to the environment, and under which names.

#![forbid(unsafe_code)]

use super::{User, UserModel, Wants};

/// What the directive lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export(Vec<Exported>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Exported {
    what: What,
    variable: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Id,
    Username,
    IsStaff,
    IsSuperuser,
    Groups,
    Permissions,
    Column(String),
}

impl Export {
    /// Reads `NAME …`.
    ///
    /// # Errors
    /// The reason and the remedy, for `apachectl configtest`.
    pub fn parse(words: &[&str]) -> Result<Self, String> {
        if words.is_empty() {
            return Err("needs columns of the user table, or of id, username, is_staff, \
                        is_superuser, groups, permissions"
                .into());
        }
        let mut all: Vec<Exported> = Vec::new();
        for &word in words {
            if word.is_empty() || word.contains('\0') {
                return Err("\"\" is not the name of a column".into());
            }
            if same(word, "password") {
                return Err(secret(word));
            }
            let what = match word {
                "id" => What::Id,
                "username" => What::Username,
                "is_staff" => What::IsStaff,
                "is_superuser" => What::IsSuperuser,
                "groups" => What::Groups,
                "permissions" => What::Permissions,
                column => What::Column(column.to_owned()),
            };
            let variable = variable(word);
            if all.iter().any(|other| other.variable == variable) {
                return Err(format!("two names become {variable}: leave one out"));
            }
            all.push(Exported { what, variable });
        }
        Ok(Self(all))
    }

    /// Whether it leaves the passwords of `model` alone.
    ///
    /// # Errors
    /// The reason, for `apachectl configtest`.
    pub fn check(&self, model: &UserModel) -> Result<(), String> {
        match self.columns().find(|column| same(column, &model.password)) {
            Some(column) => Err(secret(column)),
            None => Ok(()),
        }
    }

    /// The names in the environment.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|exported| exported.variable.as_str())
    }

    /// What it asks of a user's row; never the password of the model, which another section may
    /// have named.
    pub fn wants(&self, model: Option<&UserModel>) -> Wants {
        let password = model.map_or("password", |model| &model.password);
        let has = |what: &[What]| self.0.iter().any(|exported| what.contains(&exported.what));
        Wants {
            groups: has(&[What::Groups]),
            flags: has(&[What::IsStaff, What::IsSuperuser]),
            permissions: has(&[What::Permissions]),
            sessions: false,
            columns: self.columns().filter(|name| !same(name, password)).map(Into::into).collect(),
        }
    }

    /// Each variable with its value: none where the column is NULL, an error where there is one
    /// that must not leave.
    pub fn values<'a>(
        &'a self,
        user: &'a User,
    ) -> impl Iterator<Item = (&'a str, Result<Option<String>, &'static str>)> {
        self.0.iter().map(|Exported { what, variable }| (variable.as_str(), value(what, user)))
    }

    fn columns(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|exported| match &exported.what {
            What::Column(name) => Some(name.as_str()),
            _ => None,
        })
    }
}

fn value(what: &What, user: &User) -> Result<Option<String>, &'static str> {
    let flag = |is: bool| Some(if is { "1" } else { "0" }.to_owned());
    let value = match what {
        What::Id => Some(user.id.clone()),
        What::Username => Some(user.username.clone()),
        What::IsStaff => flag(user.is_staff),
        What::IsSuperuser => flag(user.is_superuser),
        What::Groups => Some(user.groups.join(",")),
        What::Permissions => Some(user.permissions.join(",")),
        What::Column(name) => {
            let mut known = user.known.columns.iter().zip(&user.columns);
            let found = known.find(|(known, _)| *known == name);
            found.ok_or("it is the password")?.1.clone()
        }
    };
    match value {
        Some(value) if value.chars().any(char::is_control) => {
            Err("the value has control characters")
        }
        Some(value) if matches!(what, What::Column(_)) && is_hash(&value, user) => {
            Err("it is the password")
        }
        value => Ok(value),
    }
}

/// Whether it is the stored password, whatever the database calls its column.
fn is_hash(value: &str, user: &User) -> bool {
    !value.is_empty() && value == user.password.as_str()
}

fn variable(name: &str) -> String {
    let name = name.chars().map(|c| c.to_ascii_uppercase());
    let name = name.map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    String::from("AUTHENTICATE_") + &name.collect::<String>()
}

/// Whether a database may take the names for one column: most ignore case.
fn same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

fn secret(name: &str) -> String {
    format!("\"{name}\" is the column of the passwords, which never leave the database's side")
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::Zeroizing;

    #[test]
    fn names_become_variables() {
        let export = Export::parse(&["email", "hr_employee.Badge No", "größe", "groups"]).unwrap();
        let variables: Vec<_> = export.variables().collect();
        assert_eq!(
            variables,
            [
                "AUTHENTICATE_EMAIL",
                "AUTHENTICATE_HR_EMPLOYEE_BADGE_NO",
                "AUTHENTICATE_GR__E",
                "AUTHENTICATE_GROUPS"
            ]
        );
        let wants = export.wants(None);
        assert_eq!(wants.columns, ["email", "hr_employee.Badge No", "größe"]);
        assert!(!wants.flags && !wants.permissions);
        let wants = Export::parse(&["is_staff", "permissions"]).unwrap().wants(None);
        assert!(wants.flags && wants.permissions && wants.columns.is_empty());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (words, reason) in [
            (&[][..], "needs columns"),
            (&["email", ""], "not the name"),
            (&["email", "Email"], "two names become AUTHENTICATE_EMAIL"),
            (&["email", "password"], "column of the passwords"),
            (&["PassWord"], "column of the passwords"),
        ] {
            let error = Export::parse(words).unwrap_err();
            assert!(error.contains(reason), "{words:?}: {error}");
        }
    }

    #[test]
    fn a_password_never_leaves() {
        let model = UserModel::parse(&["auth.User", "password=Secret"]).unwrap();
        let export = Export::parse(&["SECRET", "alias", "email"]).unwrap();
        assert!(export.check(&model).is_err() && export.check(&UserModel::default()).is_ok());
        let known = export.wants(Some(&model));
        assert_eq!(known.columns, ["alias", "email"]);
        let user = User {
            password: Zeroizing::new("pbkdf2$x".into()),
            columns: vec![Some("pbkdf2$x".into()), Some(String::new())],
            known,
            ..User::default()
        };
        let values: Vec<_> = export.values(&user).map(|(_, value)| value).collect();
        let refused = Err("it is the password");
        assert_eq!(values, [refused.clone(), refused, Ok(Some(String::new()))]);
    }

    #[test]
    fn values_are_text_of_one_line() {
        let words = &["id", "username", "is_staff", "is_superuser", "groups", "permissions", "x"];
        let export = Export::parse(words).unwrap();
        let user = User {
            id: "7".into(),
            username: "bob\r\nX-Admin: 1".into(),
            is_staff: true,
            groups: vec!["a,b".into(), "ü".into()],
            columns: vec![None],
            known: export.wants(None),
            ..User::default()
        };
        let values: Vec<_> = export.values(&user).map(|(_, value)| value).collect();
        let text = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(
            values,
            [
                text("7"),
                Err("the value has control characters"),
                text("1"),
                text("0"),
                text("a,b,ü"),
                text(""),
                Ok(None)
            ]
        );
    }
}
