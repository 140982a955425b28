//! `AuthDjangoUnavailable`: a way in while the database is down, and no way around it.

use crate::common::cluster::{Cluster, sqlite};
use crate::common::httpd::{Httpd, MPMS, Setup};
use crate::common::wait_until;
use std::fs;

/// `secret` in SHA-1, as `htpasswd -s` writes it.
const USERS: &str = "rescue:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";

/// Django first, then the file of the rescue user.
const SECTION: &str = "AuthType Basic\nAuthName x\nAuthBasicProvider django file\n\
    AuthUserFile {dir}/users\nAuthDjangoUnavailable not-found\n";

fn start(topic: &str, mpm: &str, config: String) -> Httpd {
    let setup = Setup::new(topic, config).mpm(mpm).modules(&["authz_groupfile"]);
    let (dir, port) = setup.write();
    fs::write(dir.join("users"), USERS).unwrap();
    fs::write(dir.join("groups"), "secret-agents: rescue\n").unwrap();
    setup.start_in(dir, port)
}

#[test]
fn unavailable_lets_the_rescue_user_in_and_nobody_else() {
    let (cluster, _) = Cluster::start("auth.User");
    for mpm in MPMS {
        let mut config = format!(
            "AuthDjangoDatabase {}\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\n",
            cluster.url()
        );
        for (path, lines) in [
            ("/members", "Require valid-user"),
            ("/secret", "Require user rescue\nRequire group secret-agents"),
            ("/last", "Require group secret-agents\nRequire user rescue"),
            (
                "/all",
                "<RequireAll>\nRequire user rescue\nRequire group secret-agents\n</RequireAll>",
            ),
            ("/permission", "Require django-permission auth.view_group\nRequire user rescue"),
            ("/file", "AuthGroupFile {dir}/groups\nRequire group secret-agents"),
            ("/error", "AuthDjangoUnavailable error\nRequire valid-user"),
            ("/default", "AuthDjangoUnavailable default\nRequire valid-user"),
        ] {
            config += &format!("<Location {path}>\n{SECTION}{lines}\n</Location>\n");
        }
        let mut httpd = start("rescue", mpm, config);
        httpd.expect_in_log("is not available");
        let well = |httpd: &Httpd| {
            httpd.status("/members/", "alice", "alice secret") == 200
                && httpd.status("/secret/", "alice", "alice secret") == 200
                && httpd.status("/secret/", "bob", "bob secret") == 401
                && httpd.status("/last", "rescue", "secret") == 404
                && httpd.status("/all", "rescue", "secret") == 401
                && httpd.status("/error", "rescue", "secret") == 404
        };
        assert!(well(&httpd), "{mpm}");
        cluster.stop();
        for _ in 0..4 {
            for (path, user, password, status) in [
                ("/members/", "rescue", "secret", 200),
                ("/members/", "rescue", "wrong", 401),
                ("/members/", "alice", "alice secret", 401),
                ("/members/", "alice", "wrong", 401),
                ("/secret/", "rescue", "secret", 200),
                ("/secret/", "alice", "alice secret", 401),
                // httpd ends at the first error, and does not come to the grant.
                ("/last", "rescue", "secret", 500),
                ("/all", "rescue", "secret", 500),
                ("/permission", "rescue", "secret", 500),
                // A file lets its own users in; Django is not asked for them.
                ("/file", "rescue", "secret", 404),
                ("/file", "alice", "alice secret", 401),
                ("/error", "rescue", "secret", 500),
                ("/error", "alice", "alice secret", 500),
                ("/default", "rescue", "secret", 500),
            ] {
                let answer = httpd.status(path, user, password);
                assert_eq!(answer, status, "{mpm} {path} {user} {password}");
            }
            assert_eq!(httpd.get("/secret/").status, 401);
        }
        cluster.begin();
        let children = if mpm == "prefork" { 4 } else { 1 };
        let mut times = 0;
        wait_until("the database's return", 15, || {
            times = if well(&httpd) { times + 1 } else { 0 };
            times > children * 3
        });
        httpd.finish();
    }
}

#[test]
fn unavailable_is_never_an_error_of_sql() {
    let (path, _) = sqlite("auth.User");
    let config = format!(
        "AuthDjangoDatabase sqlite:{}\nAuthDjangoUserModel auth.User table=people\n\
         <Location /members>\n{SECTION}Require valid-user\n</Location>\n",
        path.display()
    );
    let mut httpd = start("sqlerror", "event", config);
    httpd.expect_in_log("no such table: people");
    for user in ["rescue", "alice", "nobody"] {
        assert_eq!(httpd.status("/members/", user, "secret"), 500, "{user}");
    }
    httpd.finish();
}

#[test]
fn an_outage_is_bridged_for_those_who_were_verified_lately() {
    let (cluster, _) = Cluster::start("auth.User");
    for mpm in MPMS {
        // What a child remembers for an outage needs no cache.
        let cache = if mpm == "worker" { "off" } else { "local" };
        let config = format!(
            "AuthDjangoDatabase {}\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\nAuthDjangoCache {cache}\n\
             AuthDjangoQuery any \"SELECT 1\"\nAuthDjangoUnavailable stale=600\n\
             <Location />\nAuthType Basic\nAuthName x\nAuthBasicProvider django\n</Location>\n\
             <Location /members>\nRequire valid-user\n</Location>\n\
             <Location /secret>\nRequire group secret-agents\n</Location>\n\
             <Location /query>\nRequire django-query any\n</Location>\n\
             <Location /short>\nAuthDjangoUnavailable stale=1\nRequire valid-user\n</Location>\n\
             <Location /error>\nAuthDjangoUnavailable error\nRequire valid-user\n</Location>\n",
            cluster.url()
        );
        let mut setup = Setup::new("stale", config).mpm(mpm);
        if mpm == "prefork" {
            // One child, so that who was verified was verified by it.
            setup.mpm_lines = "StartServers 1\nServerLimit 1\nMaxRequestWorkers 1\n".into();
        }
        let mut httpd = setup.start();
        httpd.expect_in_log("users who were verified lately are let in");
        httpd.expect_in_log("is not available");
        let ask = |path: &str, user: &str, password: &str| httpd.status(path, user, password);
        assert_eq!(ask("/members/", "alice", "alice secret"), 200, "{mpm}");
        assert_eq!(ask("/members/", "bob", "bob secret"), 200, "{mpm}");
        assert_eq!(ask("/members/", "carol", "carol secret"), 401, "{mpm}");
        cluster.stop();
        std::thread::sleep(std::time::Duration::from_millis(1100));
        for _ in 0..3 {
            for (path, user, password, status) in [
                ("/members/", "alice", "alice secret", 200),
                ("/secret/", "alice", "alice secret", 200),
                ("/secret/", "bob", "bob secret", 401),
                ("/members/", "alice", "wrong", 500),
                ("/members/", "carol", "carol secret", 500),
                ("/members/", "zoe", "alice secret", 500),
                // The database has to be asked, is to be known fresher, or is to be there.
                ("/query", "alice", "alice secret", 500),
                ("/short", "alice", "alice secret", 500),
                ("/error", "alice", "alice secret", 500),
            ] {
                assert_eq!(ask(path, user, password), status, "{mpm} {path} {user} {password}");
            }
        }
        assert_eq!(httpd.count_in_log("verified lately are let in"), 1, "{mpm}: said once");
        cluster.begin();
        wait_until("the database's return", 15, || {
            httpd.status("/query", "alice", "alice secret") == 404
        });
        httpd.finish();
    }
}

/// A server that is there and says nothing; what is still kept of another user is no sign of life.
#[test]
fn an_outage_is_told_of_once_and_the_next_one_again() {
    let (cluster, _) = Cluster::start("auth.User");
    for mpm in MPMS {
        let config = format!(
            "AuthDjangoDatabase {} timeout=1 rows=3\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\n\
             AuthDjangoUnavailable stale=600\n<Location /members>\nAuthType Basic\nAuthName x\n\
             AuthBasicProvider django\nRequire valid-user\n</Location>\n",
            cluster.url()
        );
        let mut setup = Setup::new("silent", config).mpm(mpm);
        if mpm == "prefork" {
            setup.mpm_lines = "StartServers 1\nServerLimit 1\nMaxRequestWorkers 1\n".into();
        }
        let mut httpd = setup.start();
        let news = "users who were verified lately are let in";
        httpd.expect_in_log(news);
        httpd.allow_in_log("is not available");
        let ask = |user: &str| httpd.status("/members/", user, format!("{user} secret"));
        for outage in 1..=2 {
            wait_until("an answer", 15, || ask("bob") == 200 && ask("carol") == 401);
            std::thread::sleep(std::time::Duration::from_millis(3100));
            assert_eq!(ask("alice"), 200, "{mpm}: read anew");
            cluster.signal("STOP");
            for user in ["bob", "alice", "bob", "alice", "bob"] {
                assert_eq!(ask(user), 200, "{mpm} {outage} {user}");
            }
            assert_eq!(httpd.count_in_log(news), outage, "{mpm}");
            cluster.signal("CONT");
        }
        httpd.finish();
    }
}

/// Whichever of the children see it.
#[test]
fn one_child_tells_of_an_outage_for_all_of_them() {
    let (cluster, _) = Cluster::start("auth.User");
    for mpm in MPMS {
        let config = format!(
            "AuthDjangoDatabase {}\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\n\
             AuthDjangoUnavailable stale=600\nLogLevel authnz_django:debug\n\
             <Location /members>\nAuthType Basic\nAuthName x\nAuthBasicProvider django\n\
             Require valid-user\n</Location>\n",
            cluster.url()
        );
        let mut setup = Setup::new("outages", config).mpm(mpm);
        setup.mpm_lines = match mpm {
            "prefork" => "StartServers 3\nServerLimit 3\nMaxRequestWorkers 3\n",
            _ => {
                "StartServers 3\nServerLimit 3\nThreadsPerChild 32\nMaxRequestWorkers 96\n\
                 MinSpareThreads 1\nMaxSpareThreads 96\n"
            }
        }
        .into();
        let mut httpd = setup.start();
        let news = "users who were verified lately are let in";
        httpd.expect_in_log(news);
        httpd.allow_in_log("is not available");
        let bridged = "before the database went away";
        let ask = || {
            std::thread::scope(|scope| {
                for _ in 0..6 {
                    scope.spawn(|| {
                        assert_eq!(
                            httpd.status("/members/", "alice", "alice secret"),
                            200,
                            "{mpm}"
                        );
                    });
                }
            });
        };
        wait_until("three children who know her", 20, || {
            ask();
            httpd.children_in_log(0, "alice: password verified for") == 3
        });
        for outage in 1..=2 {
            // Longer than what counts as one outage.
            std::thread::sleep(std::time::Duration::from_millis(1100));
            ask();
            let since = httpd.log().lines().count();
            cluster.stop();
            wait_until("children who bridge it", 20, || {
                ask();
                httpd.count_in_log(news) >= outage && httpd.children_in_log(since, bridged) == 3
            });
            (0..5).for_each(|_| ask());
            assert_eq!(httpd.count_in_log(news), outage, "{mpm}");
            cluster.begin();
            wait_until("the database's return", 15, || {
                httpd.status("/members/", "carol", "carol secret") == 401
            });
        }
        httpd.finish();
    }
}
