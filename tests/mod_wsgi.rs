//! mod_wsgi on the same server: `apache/examples/mod_wsgi.conf`, and what sub-requests cost.

use crate::common::client::{basic, get};
use crate::common::cluster::{Cluster, ids, sqlite};
use crate::common::django::{prepare, site_path};
use crate::common::httpd::{MPMS, Setup};
use crate::common::{directory, example, required, run};
use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::Command;

/// The database of a site that is not the module's, which mod_wsgi's processes write.
fn site() -> PathBuf {
    let dir = directory("site");
    let path = dir.join("db.sqlite3");
    prepare(&path, &["alice"]);
    let (uid, gid) = ids("www-data");
    chown(&path, Some(uid), Some(gid)).unwrap();
    chown(&dir, Some(uid), Some(gid)).unwrap();
    path
}

#[test]
fn django_under_mod_wsgi_sees_our_user() {
    let (users, _) = sqlite("auth.User");
    run(Command::new("sqlite3")
        .arg(&users)
        .arg("UPDATE auth_user SET email = 'a@b.example' WHERE username = 'alice'"));
    let site = site();
    let script = format!("{}/tests/django/remote_wsgi.py", env!("CARGO_MANIFEST_DIR"));
    let defines = [
        ("WSGI_PROJECT", &*site_path()),
        ("WSGI_SCRIPT", &script),
        ("WSGI_VENV", &required("DJANGO_VENV")),
    ];
    for mpm in MPMS {
        for first in [true, false] {
            let config = format!(
                "WSGISocketPrefix {{dir}}/wsgi\nAuthDjangoDatabase sqlite:{}\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\n",
                users.display()
            );
            let mut setup =
                example::setup("mod_wsgi", &defines, &config).mpm(mpm).modules(&["wsgi"]);
            setup.module_first = first;
            setup.environment = vec![
                ("DJANGO_DB".into(), site.display().to_string()),
                (
                    "REMOTE_MIDDLEWARE".into(),
                    "django.contrib.auth.middleware.RemoteUserMiddleware".into(),
                ),
                ("REMOTE_BACKEND".into(), "django.contrib.auth.backends.RemoteUserBackend".into()),
                ("PYTHONDONTWRITEBYTECODE".into(), "1".into()),
            ];
            let httpd = setup.start();
            assert_eq!(httpd.get("/").status, 401);
            assert_eq!(httpd.status("/", "alice", "wrong"), 401);
            assert_eq!(httpd.status("/", "carol", "carol secret"), 401);
            let spoof = "REMOTE_USER: mallory\r\nRemote-User: mallory\r\nAUTHENTICATE_EMAIL: mallory\r\n\
                         Authenticate-Email: mallory\r\n";
            for headers in ["", spoof] {
                let headers = basic("alice", "alice secret") + headers;
                let known = get(httpd.port, "/", &headers).json();
                assert_eq!(known["user"], "alice", "{mpm} {first}: {known}");
                let meta = &known["meta"];
                assert_eq!(meta["REMOTE_USER"], "alice");
                assert_eq!(meta["AUTHENTICATE_EMAIL"], "a@b.example");
                assert!(meta["AUTHENTICATE_GROUPS"].as_str().unwrap().contains("top secret"));
                assert_eq!(meta.get("HTTP_AUTHORIZATION"), None, "{meta}");
            }
            // As Django has always known who is new to it.
            let bob = httpd.get_as("/", "bob", "bob secret").json();
            assert_eq!((&bob["user"], &bob["users"]), (&"bob".into(), &2.into()));
            httpd.finish();
        }
    }
}

/// mod_wsgi registers its provider plainly, so that httpd asks anew for every sub-request: we
/// answer those from what the request remembers.
#[test]
fn a_listing_verifies_once_beside_mod_wsgi() {
    let (cluster, _) = Cluster::start("auth.User");
    cluster.sql("postgres", "ALTER ROLE apache SET log_statement = 'all'");
    let auth =
        "AuthType Basic\nAuthName x\nAuthBasicProvider django\nRequire group secret-agents\n";
    let config = format!(
        "AuthDjangoDatabase {}\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\nAuthDjangoCacheTimeout off\n\
         LogLevel authnz_django:debug\n\
         <Directory {{dir}}/htdocs>\nOptions +Indexes\nIndexOptions FancyIndexing\n</Directory>\n\
         <Directory {{dir}}/htdocs/directory>\n{auth}</Directory>\n<Location /location>\n{auth}</Location>\n",
        cluster.url()
    );
    let places = ["directory", "location", "htaccess"];
    for mpm in MPMS {
        for first in [true, false] {
            let modules = ["wsgi", "autoindex", "mime"];
            let mut setup = Setup::new("beside", config.as_str()).mpm(mpm).modules(&modules);
            setup.module_first = first;
            let (dir, port) = setup.write();
            for place in places {
                let place = dir.join("htdocs").join(place);
                fs::create_dir(&place).unwrap();
                for n in 0..30 {
                    fs::write(place.join(format!("file-{n}.txt")), "x").unwrap();
                }
            }
            fs::write(dir.join("htdocs/htaccess/.htaccess"), auth).unwrap();
            let httpd = setup.start_in(dir, port);
            for (place, count) in places.iter().zip(1..) {
                let before = cluster.questions();
                let page = httpd.get_as(&format!("/{place}/"), "alice", "alice secret");
                assert_eq!(page.status, 200);
                assert!(page.body.contains("file-29.txt"), "{}", page.body);
                let what = format!("{mpm}, the module first: {first}, {place}");
                assert_eq!(cluster.questions() - before, 1, "{what}");
                assert_eq!(httpd.count_in_log("user alice: password verified"), count, "{what}");
                assert_eq!(httpd.status(&format!("/{place}/"), "bob", "bob secret"), 401, "{what}");
            }
            httpd.finish();
        }
    }
}
