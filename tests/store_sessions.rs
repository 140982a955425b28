//! Sessions that Django has made, and their users by primary key, in a database of each kind.

use crate::common::cluster::{Cluster, Database};
use crate::common::django::{Resident, Session};
use crate::common::store::open;
use crate::common::wait_until;
use mod_authnz_django::error::Error;
use mod_authnz_django::session::{Engine, SessionRow, Settings};
use mod_authnz_django::signing::Keys;
use mod_authnz_django::store::{Found, Store};
use mod_authnz_django::user::{User, UserModel, Wants};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// `SECRET_KEY` of the reference project.
const SECRET: &str = "the reference project has nothing to hide";

/// A user who logs in on two tables, with a UUID for a key.
pub const EMPLOYEE: &[&str] = &[
    "accounts.Employee",
    "table=accounts_person",
    "id=key",
    "child=accounts_employee.person_ptr_id",
    "username=name",
    "password=accounts_employee.password",
    "groups_table=accounts_employee_groups",
];

struct Site {
    store: Arc<dyn Store>,
    model: Arc<UserModel>,
    wants: Wants,
}

impl Site {
    fn new(words: &[&str], model: &[&str]) -> Self {
        let model = Arc::new(UserModel::parse(model).unwrap());
        Self { store: open(words), model, wants: Wants::GROUPS }
    }

    fn try_session(
        &self,
        key: &str,
        id: Option<&str>,
    ) -> Result<(Option<Arc<SessionRow>>, Found), Error> {
        let deadline = Instant::now() + self.store.timeout();
        self.store.session(&self.model, &self.wants, key, id, deadline)
    }

    fn session(&self, key: &str, id: Option<&str>) -> (Option<Arc<SessionRow>>, Option<Arc<User>>) {
        let (session, user) = self.try_session(key, id).unwrap();
        (session, user.one())
    }

    /// Session and user, which must both be there.
    fn both(&self, session: &Session) -> (Arc<SessionRow>, Arc<User>) {
        let (row, user) = self.session(&session.key, Some(&session.user_id));
        (row.unwrap(), user.unwrap())
    }

    fn by_id(&self, id: &str) -> Option<Arc<User>> {
        let deadline = Instant::now() + self.store.timeout();
        self.store.get_by_id(&self.model, &self.wants, id, deadline).unwrap().one()
    }

    fn by_name(&self, name: &str) -> Arc<User> {
        let deadline = Instant::now() + self.store.timeout();
        let found = self.store.get_by_natural_key(&self.model, &self.wants, name, deadline);
        found.unwrap().one().unwrap()
    }

    /// The session is Django's, and of nobody but this user.
    #[track_caller]
    fn proves(&self, session: &Session, name: &str) {
        let (row, user) = self.both(session);
        assert_eq!(row.data.as_str(), session.data);
        assert!(row.expire_date.starts_with(&session.expire_date), "{row:?}");
        assert_eq!(*user, *self.by_name(name));
        assert_eq!(*self.by_id(&session.user_id).unwrap(), *user);
        let (settings, keys) = (Settings::new(Engine::Row), Keys::new(SECRET, &[]));
        let claims = row.claims(&settings, &keys, SystemTime::now()).unwrap();
        assert_eq!(claims.user_id.text(), session.user_id);
        assert!(claims.are_proven_by(&user.password));
    }

    fn keeps(&self, session: &Session) -> bool {
        let ((row, user), (row_again, user_again)) = (self.both(session), self.both(session));
        Arc::ptr_eq(&row, &row_again) && Arc::ptr_eq(&user, &user_again)
    }
}

/// How many questions the server was sent while `work` was done.
fn questions(database: &Database, work: impl FnOnce()) -> Option<usize> {
    let count = || match database {
        Database::Sqlite(_) => None,
        Database::Postgresql(cluster) => Some(cluster.questions()),
        Database::Mysql(server) => Some(server.statements("Execute", "auth_user")),
    };
    let before = count();
    work();
    // What was answered is in the log.
    count().map(|after| after - before.unwrap())
}

#[test]
fn a_session_and_its_user_are_one_question() {
    for kind in Database::KINDS {
        let (database, _) = Database::start(kind, "auth.User");
        match &database {
            Database::Sqlite(_) => {}
            Database::Postgresql(cluster) => drop(cluster.sql(
                "postgres",
                "ALTER ROLE apache SET log_statement = 'all'; \
                 ALTER ROLE apache SET timezone = 'Asia/Kolkata'; \
                 ALTER ROLE apache SET datestyle = 'German'",
            )),
            Database::Mysql(server) => server.note(),
        }
        let mut django = Resident::start("root", &database.django(), "auth.User");
        let site = Site::new(&[&database.url()], &["auth.User"]);
        let alice = django.log_in("alice");
        site.proves(&alice, "alice");
        let (key, id) = (alice.key.as_str(), alice.user_id.as_str());
        let asked = questions(&database, || drop(site.session(key, Some(id))));
        assert!(asked.is_none_or(|asked| asked == 1), "{kind}: {asked:?}");

        let (session, nobody) = site.session(key, None);
        assert!(session.is_some() && nobody.is_none(), "{kind}");
        for other in ["", &key[1..], "no such session", &format!("{key}\0"), "schlüssel", "%"] {
            assert!(site.session(other, Some(id)).0.is_none(), "{kind}: {other:?}");
        }
        let uuid = "00000000-0000-0000-0000-000000000001";
        let odd = [uuid.replace('-', ""), format!("{id}abc"), format!("{id}.0"), format!("{id}e0")];
        let more = [uuid, "999999", "-1", "", "alice", "ä", "0\0", "0x1", "' OR 1=1 --"];
        for other in odd.iter().map(String::as_str).chain(more) {
            // The digits of that UUID are a number, of many zeros.
            let one = other.parse() == Ok(1) && id == "1";
            let (session, user) = site.session(key, Some(other));
            assert!(session.is_some() && user.is_some() == one, "{kind}: {other:?} {user:?}");
            assert_eq!(site.by_id(other).is_some(), one, "{kind}: {other:?}");
        }

        // Whether it has ended, the caller must see.
        django.change(format!("expire={key}=-5"));
        let (ended, _) = site.both(&alice);
        assert!(ended.expire_date < alice.expire_date && ended.expire_date.starts_with("20"));
        let bob = django.log_in("bob");
        site.proves(&bob, "bob");
        django.change(format!("password=bob={kind}"));
        assert_eq!(site.both(&bob).1.password, site.by_name("bob").password);
        django.change("delete=bob");
        let (session, user) = site.session(&bob.key, Some(&bob.user_id));
        assert!(session.is_some() && user.is_none(), "{kind}");
        django.change(format!("logout={key}"));
        assert!(site.session(key, Some(id)).0.is_none(), "{kind}");
    }
}

#[test]
fn users_in_two_tables_with_a_uuid_for_a_key() {
    for kind in Database::KINDS {
        let (database, _) = Database::start(kind, "accounts.Colleague");
        let mut django = Resident::start("root", &database.django(), "accounts.Colleague");
        // Nobody else's name is the same but for its case.
        let session = django.log_in("everywhere");
        assert_eq!(session.user_id.len(), 36, "{}", session.user_id);
        for more in [&[][..], &["lookup=iexact", "is_active=none"]] {
            let site = Site::new(&[&database.url()], &[EMPLOYEE, more].concat());
            site.proves(&session, "everywhere");
            let hyphenated = session.user_id.to_uppercase();
            for spelling in [&hyphenated, &session.user_id.replace('-', "")] {
                assert_eq!(site.by_id(spelling), site.by_id(&session.user_id), "{kind}");
            }
            let other = session.user_id.replace(['0', '1', '2', '3'], "f");
            for nobody in [other.as_str(), "7", &session.user_id[1..]] {
                let (row, user) = site.session(&session.key, Some(nobody));
                assert!(row.is_some() && user.is_none(), "{kind}: {nobody}");
            }
        }
    }
}

/// As newer Djangos make it on MariaDB.
#[test]
fn a_column_of_mariadbs_own_uuids() {
    let (database, _) = Database::start("mysql", "accounts.Colleague");
    let uuid = "550e8400-e29b-41d4-a716-446655440000";
    database.sql(&format!(
        "CREATE TABLE native (id uuid PRIMARY KEY, username varchar(9), password varchar(9)); \
         INSERT INTO native VALUES ('{uuid}', 'alice', 'x')"
    ));
    let model = ["a.B", "table=native", "is_active=none", "groups_table=none"];
    let site = Site::new(&[&database.url()], &model);
    for spelling in [uuid, &uuid.replace('-', ""), &uuid.to_uppercase()] {
        assert_eq!(site.by_id(spelling).unwrap().username, "alice", "{spelling}");
    }
    for nobody in ["7", "alice", "", &uuid[1..], "550e8400-e29b-41d4-a716-446655440001"] {
        assert_eq!(site.by_id(nobody), None, "{nobody}");
    }
}

#[test]
fn a_schema_and_names_of_a_sites_own() {
    let (cluster, _) = Cluster::start("crm.User");
    let mut django = Resident::start("root", &cluster.django(), "crm.User");
    let session = django.log_in("alice");
    let model = ["crm.User", "username=login", "is_active=none", "is_staff=none"];
    let apart = Site::new(&[&cluster.url()], &[&model[..], &[r#"table=crm"."people"#]].concat());
    apart.proves(&session, "alice");
    // All of it.
    cluster.sql(
        "site",
        "ALTER TABLE django_session SET SCHEMA crm; ALTER TABLE auth_group SET SCHEMA crm",
    );
    let model = [&model[..], &["schema=crm", "table=people"]].concat();
    Site::new(&[&cluster.url()], &model).proves(&session, "alice");
    let error = apart.try_session(&session.key, None).unwrap_err().to_string();
    assert!(error.contains("AuthDjangoUserModel names the tables"), "{error}");
}

#[test]
fn users_of_a_query_have_no_sessions() {
    let (database, _) = Database::start("sqlite", "auth.User");
    let site = Site::new(&[&database.url()], &["auth.User", "query=people"]);
    let deadline = Instant::now() + site.store.timeout();
    let by_id = site.store.get_by_id(&site.model, &site.wants, "1", deadline).unwrap_err();
    let told =
        "AuthDjangoQuery people: AuthDjangoSession needs a table of users (table=), not query=";
    assert_eq!(by_id.to_string(), told);
    assert_eq!(site.try_session("key", Some("1")).unwrap_err(), by_id);
    assert_eq!(site.try_session("key", None), Ok((None, Found::Nobody)));
}

#[test]
fn sqlite_tells_of_every_change_to_a_kept_session() {
    let (database, _) = Database::start("sqlite", "auth.User");
    let mut django = Resident::start("root", &database.django(), "auth.User");
    let site = Site::new(&[&database.url()], &["auth.User"]);
    let session = django.log_in("alice");
    let key = session.key.as_str();
    assert!(site.keeps(&session));
    // Each of the two is kept for whoever asks.
    let (row, user) = site.both(&session);
    assert!(Arc::ptr_eq(&user, &site.by_id(&session.user_id).unwrap()));
    assert!(Arc::ptr_eq(&row, &site.session(key, None).0.unwrap()));
    for change in [
        format!("remember={key}=x"),
        format!("expire={key}=100"),
        format!("expire={key}=-100"),
        "password=alice=new".into(),
        "active=alice=0".into(),
        "ungroup=alice=secret-agents".into(),
    ] {
        let before = site.both(&session);
        assert!(site.keeps(&session));
        django.change(change.as_str());
        assert_ne!(site.both(&session), before, "{change}");
    }
    let (ended, user) = site.both(&session);
    let now = django.sql("SELECT datetime('now')")[0].as_str().unwrap().to_owned();
    assert!(ended.expire_date < now && !user.is_active);
    django.change(format!("logout={key}"));
    assert!(site.session(key, Some(&session.user_id)).0.is_none());
    // Under the same key again.
    database.sql(&format!(
        "INSERT INTO django_session VALUES ('{key}', '{}', '2099-01-01 00:00:00')",
        "x".repeat(100_000)
    ));
    let again = |site: &Site| site.session(key, None).0.unwrap();
    assert_eq!(again(&site).expire_date, "2099-01-01 00:00:00");
    // Too long to be kept.
    assert!(!Arc::ptr_eq(&again(&site), &again(&site)));
}

#[test]
fn sessions_are_kept_for_as_long_as_the_administrator_wishes() {
    let (database, _) = Database::start("mysql", "auth.User");
    let mut django = Resident::start("root", &database.django(), "auth.User");
    let session = django.log_in("alice");
    let always = Site::new(&[&database.url()], &["auth.User"]);
    let kept = Site::new(&[&database.url(), "rows=2"], &["auth.User"]);
    assert!(!always.keeps(&session) && kept.keeps(&session));
    django.change(format!("logout={}", session.key));
    let there = |site: &Site| site.session(&session.key, Some(&session.user_id)).0.is_some();
    assert!(!there(&always));
    wait_until("the end of the row", 10, || !there(&kept));
    // That there is none is not remembered.
    let insert =
        format!("INSERT INTO django_session VALUES ('{}', '', '2099-01-01 00:00:00')", session.key);
    database.sql(&insert);
    assert!(there(&kept));
}
