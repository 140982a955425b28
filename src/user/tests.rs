#![forbid(unsafe_code)]

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
fn every_key_names_something_of_its_own() {
    for key in KEYS.split(", ") {
        let word = match key {
            "lookup" => "lookup=iexact".to_owned(),
            "child" => "child=x.y".to_owned(),
            "query" => "query=people".to_owned(),
            key => format!("{key}=a name"),
        };
        let model = UserModel::parse(&["auth.User", &word]).unwrap();
        assert_ne!(model, UserModel::default(), "{word}");
    }
}

#[test]
fn has_perm_is_djangos() {
    let mut user =
        User { is_active: true, permissions: vec!["docs.view_page".into()], ..User::default() };
    assert!(user.has_perm("docs.view_page"));
    for other in ["docs.View_page", "docs.view", "view_page", "docs.*", ""] {
        assert!(!user.has_perm(other), "{other}");
    }
    user.is_superuser = true;
    assert!(user.has_perm("no.such"));
    user.is_active = false;
    assert!(!user.has_perm("docs.view_page") && !user.has_perm("no.such"));
}

#[test]
fn wants_add_up() {
    let flags = Wants { flags: true, ..Wants::NOTHING };
    let columns = |names: &[&str]| Wants {
        columns: names.iter().map(|&name| name.into()).collect(),
        permissions: true,
        ..Wants::NOTHING
    };
    let all = Wants { flags: true, ..columns(&["email", "phone"]) };
    assert!(all.cover(&flags) && !flags.cover(&all) && flags.cover(&Wants::NOTHING));
    assert!(all.cover(&columns(&["phone"])) && !all.cover(&columns(&["Phone"])));
    // Sessions are nothing that a user has.
    assert!(flags.cover(&Wants::SESSIONS) && flags.or(&Wants::SESSIONS).sessions);
    assert_eq!(flags.or(&columns(&["email"])).or(&columns(&["email", "phone"])), all);
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
        (&["auth.User", "permissions_table=none", "permissions_user_id=x"], "contradicts"),
        (&["auth.User", "lookup=regex"], "must be exact or iexact"),
        (&["auth.User", "child=hr_employee"], "needs TABLE.COLUMN"),
        (&["auth.User", "query=My People"], "\"My People\" is not a name"),
        (&["auth.User", "query=people", "child=x.y"], "no use beside query="),
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
        ..User::default()
    };
    assert!(!format!("{user:?}").contains("hash"));
}

#[test]
fn rows_agree_as_far_as_both_know() {
    let wants = Wants { columns: vec!["email".into()], ..Wants::GROUPS.or(&Wants::PERMISSIONS) };
    let all = || User {
        id: "1".into(),
        is_active: true,
        groups: vec!["a".into(), "b".into()],
        permissions: vec!["blog.add".into()],
        columns: vec![Some("x".into())],
        known: wants.clone(),
        ..User::default()
    };
    type Change = fn(&mut User);
    let changes: [(Wants, Change); 9] = [
        (Wants::NOTHING, |user| user.id = "2".into()),
        (Wants::NOTHING, |user| user.username = "x".into()),
        (Wants::NOTHING, |user| *user.password = "x".into()),
        (Wants::NOTHING, |user| user.is_active = false),
        (Wants::GROUPS, |user| user.groups.truncate(1)),
        (Wants::GROUPS, |user| user.groups = vec!["a".into(), "c".into()]),
        (Wants::FLAGS, |user| user.is_staff = true),
        (Wants::FLAGS, |user| user.is_superuser = true),
        (Wants::PERMISSIONS, |user| user.permissions.clear()),
    ];
    for (known, change) in changes {
        let mut other = all();
        other.groups.reverse();
        assert!(other.agrees_with(&all()));
        change(&mut other);
        assert!(!other.agrees_with(&all()) && !all().agrees_with(&other), "{other:?}");
        // The same, where nobody knows of it.
        if known != Wants::NOTHING {
            other.known = Wants::NOTHING;
            assert!(other.agrees_with(&all()) && all().agrees_with(&other), "{other:?}");
        }
    }
    let mut other = all();
    assert!(other.has_columns_of(&all()));
    other.columns = vec![None];
    assert!(other.agrees_with(&all()) && !other.has_columns_of(&all()));
    other.known = Wants::NOTHING;
    assert!(other.has_columns_of(&all()) && all().has_columns_of(&other));
}
