#![forbid(unsafe_code)]

use super::*;
use crate::store::tests::DIALECT;

const ANY: Dialect = Dialect { placeholder: |n| format!("${n}"), numbered: true, ..DIALECT };

fn sql(words: &[&str], wants: &Wants) -> String {
    ANY.select(&UserModel::parse(words).unwrap(), wants, Sought::Name("a"), None).sql
}

#[test]
fn names_cannot_leave_their_quotes() {
    let sql = sql(&["auth.User", "table=a\"; DROP TABLE x; --", "username=E Mail"], &Wants::GROUPS);
    assert!(sql.contains(r#"FROM "a""; DROP TABLE x; --" u WHERE u."E Mail" = $1"#), "{sql}");
    assert!(sql.contains(r#"FROM "a""; DROP TABLE x; --_groups" m"#), "{sql}");
}

#[test]
fn what_is_not_wanted_or_not_there_is_not_asked_for() {
    let words = &["auth.User", "is_active=none", "groups_table=none"];
    assert_eq!(
        sql(words, &Wants::NOTHING),
        "SELECT CAST(u.\"id\" AS text), CAST(u.\"username\" AS text), \
         CAST(u.\"password\" AS text), '1', NULL, NULL, NULL, NULL FROM \"auth_user\" u \
         WHERE u.\"username\" = $1 LIMIT 2"
    );
    let groups = |wants: &Wants| sql(&["auth.User"], wants).contains("auth_group");
    assert!(groups(&Wants::GROUPS) && !groups(&Wants::NOTHING) && !groups(&Wants::FLAGS));
    let none = &["auth.User", "is_staff=none", "groups_table=none", "permissions_table=none"];
    let sql = sql(none, &Wants { flags: true, permissions: true, ..Wants::NOTHING });
    assert!(sql.contains("NULL, NULL, CAST(u.\"is_superuser\" AS text), NULL FROM"), "{sql}");
}

#[test]
fn further_columns_come_last_in_quotes() {
    let words = &["hr.Person", "child=hr_employee.person_ptr_id", "groups_table=none"];
    let columns = vec!["e\"mail".into(), "hr_employee.badge".into()];
    let sql = sql(words, &Wants { columns, ..Wants::NOTHING });
    let expected = r#"NULL, NULL, CAST(u."e""mail" AS text), CAST(c."badge" AS text) FROM"#;
    assert!(sql.contains(expected), "{sql}");
}

#[test]
fn a_child_must_be_there_and_may_have_columns() {
    let sql = sql(
        &["hr.Person", "child=hr_employee.person_ptr_id", "username=hr_employee.badge"],
        &Wants::NOTHING,
    );
    assert!(
        sql.contains(
            r#"FROM ("hr_person" u JOIN "hr_employee" c ON c."person_ptr_id" = u."id") WHERE c."badge" = $1"#
        ),
        "{sql}"
    );
}

#[test]
fn a_table_may_be_in_a_schema_of_its_own() {
    let words = ["crm.User", "table=crm\".\"a\"b", "child=hr\".\"person.user_ptr_id"];
    let sql = sql(&[&words[..], &["schema=site"]].concat(), &Wants::GROUPS);
    for text in [
        r#"FROM ("crm"."a""b" u JOIN "hr"."person" c ON c."user_ptr_id" = u."id")"#,
        r#"FROM "crm"."a""b_groups" m JOIN "site"."auth_group" g"#,
    ] {
        assert!(sql.contains(text), "{sql}");
    }
}

#[test]
fn a_pattern_stands_for_itself() {
    let model = UserModel::parse(&["auth.User", "lookup=iexact", "schema=site"]).unwrap();
    let question = ANY.select(&model, &Wants::NOTHING, Sought::Name("100%_\\"), None);
    assert!(question.sql.contains(r#"FROM "site"."auth_user" u WHERE u."username" LIKE $1"#));
    assert_eq!(question.values, ["100\\%\\_\\\\"]);
}

#[test]
fn a_column_can_be_compared_as_text_too() {
    let model = UserModel::parse(&["auth.User"]).unwrap();
    let as_text: Option<fn(&str) -> String> = Some(|column| format!("TEXT({column})"));
    let question =
        Dialect { as_text, ..ANY }.select(&model, &Wants::NOTHING, Sought::Name("a"), None);
    let end = r#"u."username" = $1 AND TEXT(u."username") = $1 LIMIT 2"#;
    assert!(question.sql.ends_with(end), "{}", question.sql);
    assert_eq!(question.values, ["a"]);
    let unnumbered = Dialect { numbered: false, placeholder: |_| "?".into(), as_text, ..ANY };
    let question = unnumbered.select(&model, &Wants::NOTHING, Sought::Name("a"), None);
    let end = r#"u."username" = ? AND TEXT(u."username") = ? LIMIT 2"#;
    assert!(question.sql.ends_with(end), "{}", question.sql);
    assert_eq!(question.values, ["a", "a"]);
}

#[test]
fn parameters_are_bound_once_or_as_often_as_they_occur() {
    let query = Query::parse("SELECT 1 WHERE :username = :word1 OR :username = ''").unwrap();
    let found = Values { username: "alice", words: &["x".into()], ..Values::default() };
    let question = ANY.exists(&query, &found);
    assert!(question.sql.contains("WHERE $1 = $2 OR $1 = ''"), "{}", question.sql);
    assert_eq!(question.values, ["alice", "x"]);
    let question =
        Dialect { numbered: false, placeholder: |_| "?".into(), ..ANY }.exists(&query, &found);
    assert!(question.sql.contains("WHERE ? = ? OR ? = ''"), "{}", question.sql);
    assert_eq!(question.values, ["alice", "x", "alice"]);
}

/// Each table and each quoted column that the SELECT names is among what must be watched.
#[test]
fn what_is_read_is_known() {
    let words = ["crm.User", "table=people", "child=hr\".\"person.user_ptr_id", "schema=site"];
    let columns = vec!["email".into(), "hr\".\"person.badge".into()];
    let wants = Wants { groups: true, columns, ..Wants::PERMISSIONS };
    for (model, wants, sought) in [
        (UserModel::default(), Wants::GROUPS, Sought::Name("a")),
        (UserModel::default(), Wants::GROUPS, Sought::Id("7")),
        (UserModel::default(), Wants::FLAGS.or(&Wants::GROUPS), Sought::Name("a")),
        (UserModel::default(), Wants::PERMISSIONS, Sought::Name("a")),
        (UserModel::parse(&words).unwrap(), wants.clone(), Sought::Name("a")),
        (
            UserModel::parse(&words).unwrap(),
            wants.or(&Wants::SESSIONS),
            Sought::SessionAndUser { key: "k", id: "7" },
        ),
    ] {
        let sql = ANY.select(&model, &wants, sought, None).sql;
        let reads = ANY.reads(&model, &wants);
        let mut known: Vec<String> = Vec::new();
        for Reads { relation, columns, .. } in &reads {
            assert!(sql.contains(&format!("{relation} ")), "{relation}: {sql}");
            known.extend(relation.split('.').map(str::to_owned));
            known.extend(columns.iter().map(|column| format!("\"{column}\"")));
        }
        let named: Vec<String> =
            sql.split('"').skip(1).step_by(2).map(|name| format!("\"{name}\"")).collect();
        assert!(named.len() > 12, "{sql}");
        for name in named {
            assert!(known.contains(&name), "{name} of {sql}\n{reads:?}");
        }
    }
}

const MARKED: Dialect =
    Dialect { in_utc: Some(|column| format!("UTC({column})")), marked: true, ..ANY };

const OF_TEXTS: Dialect =
    Dialect { placeholder: |_| "?".into(), numbered: false, uuids_are_texts: true, ..ANY };

#[test]
fn by_the_primary_key() {
    let model = UserModel::parse(&["auth.User", "id=nr", "lookup=iexact"]).unwrap();
    let ask = |dialect: &Dialect, id| {
        let Question { sql, values, .. } =
            dialect.select(&model, &Wants::NOTHING, Sought::Id(id), None);
        let values: Vec<String> = values.into_iter().map(Into::into).collect();
        (sql, values)
    };
    let (sql, values) = ask(&ANY, "7");
    assert!(sql.ends_with(r#" FROM "auth_user" u WHERE u."nr" = $1 LIMIT 2"#), "{sql}");
    assert_eq!(values, ["7"]);
    let (sql, _) = ask(&MARKED, "7");
    let end = r#" FROM (SELECT 1) one LEFT JOIN "auth_user" u ON u."nr" = $1 LIMIT 2"#;
    assert!(sql.ends_with(end), "{sql}");
    let (sql, values) = ask(&OF_TEXTS, "7");
    assert!(sql.ends_with(r#" WHERE u."nr" IN (?, ?) LIMIT 2"#), "{sql}");
    assert_eq!(values, ["7", "7"]);
    let uuid = "550E8400-e29b-41d4-a716-446655440000";
    let (of_uuid, values) = ask(&OF_TEXTS, uuid);
    assert_eq!(
        (of_uuid, values),
        (sql, vec![uuid.into(), "550e8400e29b41d4a716446655440000".into()])
    );
}

#[test]
fn a_session_and_its_user_come_at_once() {
    let words = ["hr.Person", "child=hr_employee.person_ptr_id", "schema=site", "is_active=none"];
    let model = UserModel::parse(&words).unwrap();
    let session =
        |dialect: &Dialect, sought| dialect.select(&model, &Wants::NOTHING, sought, Some("here()"));
    let alone = session(&ANY, Sought::Session("k"));
    assert_eq!(
        alone.sql,
        "SELECT CAST(UP_TO(s.\"session_data\", 1048577) AS text), CAST(s.\"expire_date\" AS text), here() \
         FROM (SELECT 1) one LEFT JOIN \"site\".\"django_session\" s ON s.\"session_key\" = $1 LIMIT 2"
    );
    assert_eq!(alone.values, ["k"]);
    let both = Sought::SessionAndUser { key: "k", id: "7" };
    let question = session(&MARKED, both);
    let (begin, end) = (
        format!(
            "SELECT '{}', CAST(UP_TO(s.\"session_data\", 1048577) AS text), UTC(s.\"expire_date\"), CAST(u.\"id\" AS text), ",
            question.marker.unwrap()
        ),
        ", here() FROM (SELECT 1) one LEFT JOIN \"site\".\"django_session\" s ON s.\"session_key\" = $1 \
         LEFT JOIN (\"site\".\"hr_person\" u JOIN \"site\".\"hr_employee\" c \
         ON c.\"person_ptr_id\" = u.\"id\") ON u.\"id\" = $2 LIMIT 2",
    );
    assert!(question.sql.starts_with(&begin) && question.sql.ends_with(end), "{}", question.sql);
    assert_eq!(question.values, ["k", "7"]);
    let question = session(&OF_TEXTS, both);
    assert!(question.sql.ends_with("ON u.\"id\" IN (?, ?) LIMIT 2"), "{}", question.sql);
    assert_eq!(question.values, ["k", "7", "7"]);
    let numbered = Dialect { uuids_are_texts: true, ..ANY };
    let question = session(&numbered, both);
    assert!(question.sql.ends_with("ON u.\"id\" IN ($2, $3) LIMIT 2"), "{}", question.sql);
}
