//! Every user, password and group of the reference project, asked of Apache and of Django.

use crate::common::client::{basic, get};
use crate::common::cluster::Database;
use crate::common::django::{Oracle, Person, Population, user_model};
use crate::common::httpd::{Httpd, MPMS, Setup};
use std::collections::HashMap;
use std::fmt::Write;

/// Rows that Django is not asked about, or would refuse by an exception, are refused by us.
const REFUSED: &str = "the stored password is refused";

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A name that a configuration can spell: `%{` begins an expression.
fn spelled(name: &&String) -> bool {
    !name.contains("%{")
}

fn config(database: &Database, population: &Population) -> String {
    let mut config =
        format!("AuthDjangoDatabase {}\n{}", database.url(), user_model(&population.model));
    config.push_str(
        "AuthDjangoPasswordHashers pbkdf2_sha256:1000 pbkdf2_sha1 argon2 bcrypt_sha256 bcrypt \
         scrypt md5 sha1 unsalted_sha1 unsalted_md5\n\
         <Location />\n    AuthType Basic\n    AuthName django\n    AuthBasicProvider django\n\
         Header always set X-User \"expr=%{REMOTE_USER}\" \"expr=! %{REMOTE_USER} =~ /[[:cntrl:]]/\"\n</Location>\n\
         <Location /members>\n    Require valid-user\n</Location>\n",
    );
    let groups = population.groups.iter().filter(spelled).enumerate();
    groups.fold(config, |mut config, (n, group)| {
        let rule = if n % 2 == 0 { "group" } else { "django-group" };
        let (path, name) = (format!("/group/{n}"), quoted(group));
        writeln!(config, "<Location {path}>\n    Require {rule} {name}\n</Location>").unwrap();
        config
    })
}

/// What Django answers, by name and password.
type Answers = HashMap<(String, String), bool>;

fn django_answers(version: &str, database: &Database, population: &Population) -> Answers {
    let mut oracle = Oracle::start(version, &database.django(), &population.model);
    let mut legacy = Oracle::start("4.2", &database.django(), &population.model);
    let mut answers = Answers::new();
    for person in population.users.iter().filter(|person| person.oracle) {
        let oracle = if person.dropped { &mut legacy } else { &mut oracle };
        for password in candidates(person) {
            let answer = oracle.check_password(&person.username, &password);
            // What raises in Django lets nobody in.
            let granted = answer.unwrap_or(None).unwrap_or(false);
            answers.insert((person.username.clone(), password), granted);
        }
    }
    answers
}

/// The right password and some that look like it.
fn candidates(person: &Person) -> Vec<String> {
    let right = &person.password;
    let mut passwords = vec![right.clone(), format!("{right} "), right.to_uppercase()];
    if !right.is_empty() {
        passwords.push(String::new());
        passwords.push(right.chars().skip(1).collect());
    }
    if person.slow {
        passwords.truncate(2);
    }
    passwords.dedup();
    passwords
}

fn compare_passwords(httpd: &Httpd, population: &Population, answers: &Answers) {
    // A row of Django's own cost raises that of every refusal after it, so these come last.
    let mut users: Vec<_> = population.users.iter().filter(|person| person.basic).collect();
    users.sort_by_key(|person| person.slow);
    let mut granted = 0;
    for person in users {
        for password in candidates(person) {
            let expected =
                answers.get(&(person.username.clone(), password.clone())).copied().unwrap_or(false);
            let response = httpd.get_as("/members/", &person.username, &password);
            let status = if expected { 200 } else { 401 };
            assert_eq!(response.status, status, "{person:?} with {password:?}");
            if expected && !person.username.chars().any(char::is_control) {
                assert_eq!(response.header("X-User"), Some(person.username.trim()), "{person:?}");
            }
            granted += u32::from(expected);
        }
    }
    assert!(granted > 50, "only {granted} were let in: the comparison is empty");
}

fn compare_groups(httpd: &Httpd, database: &Database, population: &Population) {
    let mut oracle = Oracle::start("5.2", &database.django(), &population.model);
    let (mut member, mut stranger) = (0, 0);
    let asked = population.users.iter().filter(|person| {
        person.basic && matches!(person.kind.as_str(), "person" | "inactive") && !person.slow
    });
    for person in asked.filter(|person| !person.username.starts_with("inactive-")) {
        let groups = oracle.groups_for_user(&person.username);
        for (n, group) in population.groups.iter().filter(spelled).enumerate() {
            let status = httpd.status(&format!("/group/{n}/"), &person.username, &person.password);
            // The folder does not exist, but who may see that is decided before.
            let expected = if groups.contains(group) { 404 } else { 401 };
            assert_eq!(status, expected, "{person:?} and {group:?}");
            if expected == 404 { member += 1 } else { stranger += 1 }
        }
    }
    assert!(member > 20 && stranger > 20, "{member} members, {stranger} others");
}

fn matrix(kind: &str, model: &str) {
    let (database, population) = Database::start(kind, model);
    compare(&database, &population, &MPMS);
}

fn compare(database: &Database, population: &Population, mpms: &[&str]) {
    let answers = django_answers("5.2", database, population);
    for mpm in mpms {
        let mut httpd = Setup::new("differential", config(database, population))
            .mpm(mpm)
            .modules(&["headers"])
            .start();
        httpd.expect_in_log(REFUSED);
        compare_passwords(&httpd, population, &answers);
        compare_groups(&httpd, database, population);
        httpd.finish();
    }
}

#[test]
fn sqlite_answers_as_django_does() {
    matrix("sqlite", "auth.User");
}

#[test]
fn postgresql_answers_as_django_does() {
    matrix("postgresql", "auth.User");
}

#[test]
fn mysql_answers_as_django_does() {
    matrix("mysql", "auth.User");
}

#[test]
fn sqlite_answers_as_django_does_for_a_custom_user_model() {
    matrix("sqlite", "accounts.User");
}

#[test]
fn postgresql_answers_as_django_does_for_a_custom_user_model() {
    matrix("postgresql", "accounts.User");
}

#[test]
fn mysql_answers_as_django_does_for_a_custom_user_model() {
    matrix("mysql", "accounts.User");
}

/// Names are a matter of the database, not of the MPM, nor of what a hash costs.
#[test]
fn every_database_answers_as_django_does_for_a_user_model_whose_names_follow_no_rule() {
    for kind in Database::KINDS {
        let (database, mut population) = Database::start(kind, "accounts.Odd");
        population.users.retain(|person| !person.slow);
        compare(&database, &population, &["event"]);
    }
}

#[test]
fn django_6_agrees_with_django_5() {
    let (database, population) = Database::start("sqlite", "auth.User");
    let five = django_answers("5.2", &database, &population);
    let six = django_answers("6", &database, &population);
    let different: Vec<_> =
        five.iter().filter(|(key, value)| six.get(key) != Some(value)).collect();
    assert!(different.is_empty(), "{different:?}");
}

#[test]
fn credentials_in_latin_1_are_understood() {
    let (database, population) = Database::start("sqlite", "auth.User");
    let httpd = Setup::new("latin1", config(&database, &population)).modules(&["headers"]).start();
    let latin1 = |text: &str| text.chars().map(|c| u8::try_from(c).unwrap()).collect::<Vec<_>>();
    let user = population.users.iter().find(|person| person.username == "müller").unwrap();
    let sent = basic(latin1(&user.username), latin1(&user.password));
    let response = get(httpd.port, "/members/", &sent);
    assert_eq!((response.status, response.header("X-User")), (200, Some("müller")));
    let user =
        population.users.iter().find(|person| person.username == "password latin-1").unwrap();
    let sent = basic(latin1(&user.username), latin1(&user.password));
    assert_eq!(get(httpd.port, "/members/", &sent).status, 200);
    for garbage in [&b"\xff\xfe\xfd"[..], b"\xc3", b"\xed\xa0\x80"] {
        assert_eq!(get(httpd.port, "/members/", &basic(garbage, garbage)).status, 401);
    }
    httpd.finish();
}
