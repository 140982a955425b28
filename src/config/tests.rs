#![forbid(unsafe_code)]

use super::*;

fn directive(name: &str) -> &'static Directive {
    DIRECTIVES.iter().find(|row| row.name.to_str() == Ok(name)).unwrap()
}

fn config(lines: &[(&str, &[&str])]) -> Config {
    let mut config = Config::default();
    for (name, words) in lines {
        directive(name).set(&mut config, words).unwrap();
    }
    config
}

#[test]
fn every_row_has_its_own_field_and_takes_its_own_default() {
    for row in DIRECTIVES {
        let mut config = Config::default();
        row.set(&mut config, &["default"]).unwrap();
        if row.default != "none" {
            let words: Vec<_> = row.default.split(' ').collect();
            row.set(&mut config, &words).unwrap();
        }
        let error = row.set(&mut config, &[]).unwrap_err();
        assert!(error.starts_with(&format!("{}: ", row.name.to_str().unwrap())), "{error}");
    }
    let mut names: Vec<_> = DIRECTIVES.iter().map(|row| row.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), DIRECTIVES.len());
}

#[test]
fn an_inner_section_takes_over_what_it_does_not_set() {
    let outer = config(&[
        ("AuthDjangoUserModel", &["accounts.User"]),
        ("AuthDjangoDatabase", &["sqlite:/srv/outer.db"]),
    ]);
    let inner = config(&[("AuthDjangoDatabase", &["sqlite:/srv/inner.db"])]);
    let merged = Config::merge(&outer, &inner);
    assert_eq!(merged.user_model.get().unwrap().table, "accounts_user");
    assert_eq!(merged.database.get().unwrap().label(), "sqlite:/srv/inner.db");
    assert!(Arc::ptr_eq(merged.user_model.get().unwrap(), outer.user_model.get().unwrap()));
    let merged = Config::merge(&merged, &Config::default());
    assert_eq!(merged.database.get().unwrap().label(), "sqlite:/srv/inner.db");
}

#[test]
fn default_sets_back_and_a_section_within_may_set_again() {
    let outer = config(&[("AuthDjangoUserModel", &["accounts.User"])]);
    let back = config(&[("AuthDjangoUserModel", &["default"])]);
    let merged = Config::merge(&outer, &back);
    assert!(merged.user_model.get().is_none());
    let merged = Config::merge(&merged, &Config::default());
    assert!(merged.user_model.get().is_none());
    let merged = Config::merge(&merged, &outer);
    assert_eq!(merged.user_model.get().unwrap().table, "accounts_user");
}

#[test]
fn queries_add_up_by_name_until_they_are_forgotten() {
    let query = |name: &'static str, sql: &'static str| {
        config(&[("AuthDjangoQuery", &[name, sql] as &[&str])])
    };
    let is = |config: &Config, name: &str, sql: &str| {
        config.queries.get(name).is_some_and(|query| **query == Query::parse(sql).unwrap())
    };
    let outer = Config::merge(&query("a", "SELECT 1"), &query("b-2_x", "SELECT 2"));
    let inner = Config::merge(&outer, &query("a", "SELECT 3"));
    assert!(is(&outer, "a", "SELECT 1") && is(&outer, "b-2_x", "SELECT 2"));
    assert!(is(&inner, "a", "SELECT 3") && is(&inner, "b-2_x", "SELECT 2"));
    assert!(inner.queries.get("c").is_none());
    let forgets =
        config(&[("AuthDjangoQuery", &["default"]), ("AuthDjangoQuery", &["c", "SELECT 4"])]);
    // Whichever two httpd merges first.
    for merged in [
        Config::merge(&inner, &forgets),
        Config::merge(&outer, &Config::merge(&query("a", "SELECT 3"), &forgets)),
    ] {
        assert!(merged.queries.get("a").is_none() && merged.queries.get("b-2_x").is_none());
        assert!(is(&merged, "c", "SELECT 4"));
    }
}

#[test]
fn what_is_wrong_with_a_query_is_said() {
    for (words, reason) in [
        (&[][..], "needs a name"),
        (&["May-Read", "SELECT 1"], "\"May-Read\" is not a name"),
        (&["", "SELECT 1"], "\"\" is not a name"),
        (&["default", "SELECT 1"], "default is no name"),
        (&["a"], "a: needs the query, in quotes"),
        (&["a", "SELECT", "1"], "a: put the whole query in quotes"),
        (&["a", "DELETE FROM x"], "a: the query must be one SELECT"),
    ] {
        let error = directive("AuthDjangoQuery").set(&mut Config::default(), words).unwrap_err();
        assert!(error.contains(reason), "{words:?}: {error}");
    }
    for words in [&["a", "b"][..], &["A"]] {
        assert!(directive("AuthDjangoRealmHash").set(&mut Config::default(), words).is_err());
    }
}

#[test]
fn a_password_is_for_the_database_beside_it() {
    let (a, b) = ("postgresql://apache@a/site", "postgresql://apache@b/site");
    let source: &[&str] = &["env:PASSWORD"];
    let outer = config(&[("AuthDjangoDatabase", &[a]), ("AuthDjangoDatabasePassword", source)]);
    let same = config(&[("AuthDjangoDatabase", &[a])]);
    let other = config(&[("AuthDjangoDatabase", &[b])]);
    let own = config(&[("AuthDjangoDatabase", &[b]), ("AuthDjangoDatabasePassword", source)]);
    let alone = config(&[("AuthDjangoDatabasePassword", source)]);
    for (base, add, expected) in [
        (&outer, &Config::default(), true),
        (&outer, &same, true),
        (&outer, &other, false),
        (&outer, &own, true),
        (&alone, &other, true),
        (&other, &alone, true),
    ] {
        assert_eq!(Config::merge(base, add).password.get().is_some(), expected);
    }
    // Nor does it come back in a section within.
    let merged = Config::merge(&Config::merge(&outer, &other), &Config::default());
    assert!(merged.password.get().is_none());
}

#[test]
fn a_password_without_use_is_refused() {
    for url in ["sqlite:/srv/db.sqlite3", "postgresql://apache:hunter2@db/site"] {
        let lines: &[(&str, &[&str])] =
            &[("AuthDjangoDatabase", &[url]), ("AuthDjangoDatabasePassword", &["env:PASSWORD"])];
        let error = config(lines).check().unwrap_err();
        assert!(error.contains("has no use") && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn sections_without_a_directive_share_what_is_around_them() {
    let unset = Config { wants: Wants::GROUPS, ..Config::default() };
    let outer = config(&[
        ("AuthDjangoDatabase", &["sqlite:/srv/db"]),
        ("AuthDjangoQuery", &["a", "SELECT 1"]),
    ]);
    for (base, add) in [(&outer, &unset), (&unset, &outer)] {
        let mut merged = Config::merge(base, add);
        assert!(Arc::ptr_eq(&merged.settings, &outer.settings) && merged.wants.groups);
        // What is set there is set nowhere else.
        directive("AuthDjangoCacheTimeout").set(&mut merged, &["7"]).unwrap();
        assert!(merged.cache_timeout.get().is_some() && merged.database.get().is_some());
        assert!(outer.cache_timeout.get().is_none());
    }
    let forgets = config(&[("AuthDjangoQuery", &["default"])]);
    let forgets = Config::merge(&Config::merge(&unset, &forgets), &unset);
    assert!(Config::merge(&outer, &forgets).queries.get("a").is_none());
    assert!(Config::default().queries.get("a").is_none());
}

#[test]
fn a_group_file_is_noted_wherever_it_is_set() {
    let set = Config { group_file: true, ..Config::default() };
    for (base, add, expected) in [
        (&set, &Config::default(), true),
        (&Config::default(), &set, true),
        (&Config::default(), &Config::default(), false),
    ] {
        assert_eq!(Config::merge(base, add).group_file, expected);
    }
}

#[test]
fn debug_tells_no_password() {
    let mut config = Config::default();
    let url = "postgresql://apache:hunter2@db/site";
    directive("AuthDjangoDatabase").set(&mut config, &[url]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn sessions_have_a_clock_where_the_database_has_none() {
    let of = |url: &str| {
        config(&[
            ("AuthDjangoDatabase", &[url]),
            ("AuthDjangoSession", &["db", "timezone=Asia/Tokyo"]),
        ])
    };
    let (tokyo, utc) = (Clock::named("Asia/Tokyo").unwrap(), Clock::default());
    for (url, clock) in
        [("sqlite:/srv/db", &tokyo), ("mysql://a@b/c", &tokyo), ("postgres://a@b/c", &utc)]
    {
        let config = of(url);
        assert_eq!(config.clock(config.sessions().unwrap()), clock, "{url}");
    }
    let off = config(&[("AuthDjangoSession", &["off"])]);
    assert!(Config::merge(&of("sqlite:/srv/db"), &off).sessions().is_none());
    let unset = Config::merge(&of("sqlite:/srv/db"), &Config::default());
    assert!(unset.sessions().is_some() && unset.reads().sessions && !off.reads().sessions);
    // A user's row is kept whether or not sessions are.
    assert!(!unset.asks().sessions);
}
