use super::triggers::{Look, Seen};
use super::*;
use crate::store::sql::Reads;

fn reads() -> Vec<Reads> {
    DIALECT.reads(&UserModel::parse(&["auth.User", "groups_table=none"]).unwrap(), &Wants::NOTHING)
}

/// A row of the look: a trigger's state, type, whether it has a condition, and its arguments.
fn trigger(enabled: &str, kind: u16, partial: bool, arguments: &[&str]) -> Vec<Option<String>> {
    let arguments: String = arguments
        .iter()
        .flat_map(|word| word.bytes().chain([0]))
        .map(|b| format!("{b:02x}"))
        .collect();
    let kind = kind.to_string();
    let partial = partial.to_string();
    ["own", "here", "1", "r", "false", "false", enabled, &kind, &partial, "true", &arguments, "x"]
        .map(|text| Some(text.to_owned()))
        .into()
}

fn lacks(rows: Vec<Vec<Option<String>>>) -> Vec<String> {
    lacks_of(&reads(), rows)
}

fn lacks_of(reads: &[Reads], rows: Vec<Vec<Option<String>>>) -> Vec<String> {
    Seen::read(&Look::at(reads.iter()), rows).lacks("users", reads)
}

const COLUMNS: [&str; 5] = ["users", "id", "username", "password", "is_active"];

#[test]
fn only_triggers_that_always_tell_all_of_it_count() {
    let rows = || trigger("A", 13, false, &["users"]);
    let truncate = || trigger("A", 32, false, &["users"]);
    let update = || trigger("A", 17, true, &COLUMNS);
    assert_eq!(lacks(vec![rows(), truncate(), update()]), [""; 0]);
    // One for all rows, without a condition.
    assert_eq!(lacks(vec![trigger("A", 29, false, &["users"]), truncate()]), [""; 0]);
    for (other, lack) in [
        (trigger("O", 17, true, &COLUMNS), "UPDATE of id, username, password, is_active"),
        (trigger("D", 17, true, &COLUMNS), "UPDATE of id, username, password, is_active"),
        (trigger("A", 17, true, &COLUMNS[..4]), "UPDATE of is_active"),
        (trigger("A", 17, true, &["users"]), "UPDATE of id, username, password, is_active"),
        (trigger("A", 17, false, &["others"]), "UPDATE of id, username, password, is_active"),
        // BEFORE: another may still change the row.
        (trigger("A", 19, false, &["users"]), "UPDATE of id, username, password, is_active"),
        // By statement it would be enough, but that is not what the script installs.
        (trigger("A", 16, false, &["users"]), "UPDATE of id, username, password, is_active"),
    ] {
        let found = lacks(vec![rows(), truncate(), other]);
        assert!(found.len() == 1 && found[0].contains(&format!("for {lack} on")), "{found:?}");
    }
    let found = lacks(vec![trigger("A", 13, true, &["users"]), update(), truncate()]);
    assert!(found[0].contains("for INSERT, DELETE on \"auth_user\" is missing"), "{found:?}");
    for (column, value, lack) in [
        (3, None, "is not there"),
        (3, Some("v"), "is no plain table"),
        (3, Some("p"), "is no plain table"),
        (4, Some("true"), "has tables that inherit from it"),
        (5, Some("true"), "has row security"),
    ] {
        let mut all = vec![rows(), truncate(), update()];
        all.iter_mut().for_each(|row| row[column] = value.map(str::to_owned));
        assert_eq!(lacks(all), [format!("\"auth_user\" {lack}")]);
    }
    // UPDATE OF some columns.
    let mut some = trigger("A", 17, false, &["users"]);
    some[9] = Some("false".into());
    assert!(lacks(vec![rows(), truncate(), some])[0].contains("UPDATE of id"));
    assert_eq!(lacks(vec![]), ["\"auth_user\" was not looked at"]);
}

/// Nobody remembers that a session is missing.
#[test]
fn new_sessions_need_no_trigger() {
    let model = Arc::<UserModel>::default();
    let mut reads = DIALECT.reads(&model, &Wants::SESSIONS);
    reads.retain(|reads| !reads.new_rows);
    let columns = ["users", "session_key", "session_data", "expire_date"];
    let all = || {
        vec![
            trigger("A", 9, false, &["users"]),
            trigger("A", 32, false, &["users"]),
            trigger("A", 17, true, &columns),
        ]
    };
    assert_eq!(lacks_of(&reads, all()), [""; 0]);
    for (missing, lack) in [(0, "DELETE"), (1, "TRUNCATE"), (2, "UPDATE of session_key")] {
        let mut rows = all();
        rows.remove(missing);
        let found = lacks_of(&reads, rows);
        assert!(found[0].contains(&format!("for {lack}")), "{found:?}");
        let remedy = "(psql -v sessions=django_session -f authnz_django_watch.sql)";
        assert!(found[0].ends_with(remedy), "{found:?}");
    }
}

#[test]
fn nothing_is_vouched_for_before_it_was_seen_nor_after_it_was_lost() {
    let ear = Ear::new("users");
    let (model, wants) =
        (Arc::new(UserModel::parse(&["auth.User", "groups_table=none"]).unwrap()), Wants::NOTHING);
    let see = |enabled: &str| {
        let (look, count) = ear.look();
        let rows =
            vec![trigger(enabled, 29, false, &["users"]), trigger("A", 32, false, &["users"])];
        ear.judge(ear.now(), &Seen::read(&look, rows), count)
    };
    assert_eq!((ear.stamp(), ear.covers(&model, &wants)), (None, None));
    assert!(ear.is_unsure() && !ear.knows(Some("here")));
    see("A");
    let first = ear.stamp().unwrap();
    assert_eq!(ear.covers(&model, &wants), Some(true));
    assert!(!ear.is_unsure() && ear.knows(Some("here")));
    assert!(!ear.knows(Some("there")) && !ear.knows(None));
    see("A");
    assert_eq!(ear.stamp(), Some(first));
    // More is wanted of the row: nobody has looked whether that is watched.
    assert_eq!(ear.covers(&model, &Wants::FLAGS), None);
    assert!(ear.is_unsure());
    see("O");
    assert_eq!(ear.covers(&model, &wants), Some(false));
    ear.deaf();
    assert_eq!(ear.stamp(), None);
    assert!(!ear.knows(Some("here")));
    see("A");
    assert_ne!(ear.stamp().unwrap(), first);
}

#[test]
fn words_of_the_directive() {
    for good in ["users", "_A1", &"x".repeat(40)] {
        assert_eq!(channel(good).as_deref(), Ok(good));
    }
    for bad in ["", "1a", "a-b", "ä", "a\"; DROP", &"x".repeat(41)] {
        assert!(channel(bad).is_err(), "{bad}");
    }
}
