//! `apache/examples/sessions.conf`: who logs in to the Django site behind Apache gets its files from Apache.

use crate::common::client::{basic, get};
use crate::common::cluster::sqlite;
use crate::common::django::Sessions;
use crate::common::httpd::MPMS;
use crate::common::{directory, example};
use crate::proxy::Process;
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn whoever_is_logged_in_gets_the_files() {
    let (database, _) = sqlite("auth.User");
    let url = database.display().to_string();
    let site = Process::start("one", &url, &[], &[]).wait();
    let folder = directory("sessions");
    let (media, key) = (folder.join("media"), folder.join("secret_key"));
    fs::create_dir_all(media.join("secret")).unwrap();
    fs::write(media.join("picture.svg"), "<svg/>\n").unwrap();
    fs::write(media.join("secret/plan.txt"), "the plan\n").unwrap();
    example::hand_over(&media);
    fs::write(&key, "the reference project has nothing to hide\n").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let defines = [
        ("SESSIONS_KEY", key.to_str().unwrap()),
        ("SESSIONS_MEDIA", media.to_str().unwrap()),
        ("SESSIONS_SITE", &format!("http://{}", site.address())),
    ];
    let base = example::base(&database, &["group=alice=secret-agents"]);
    for mpm in MPMS {
        let mut httpd = example::setup("sessions", &defines, &base).mpm(mpm).start();
        httpd.allow_in_log("AH01630");
        let asked = "/media/picture.svg?size=2";
        let navigates =
            "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nAccept: text/html\r\n";
        let sent = get(httpd.port, asked, navigates);
        let login = "/accounts/login/?next=/media/picture.svg%3Fsize%3D2";
        let location = sent.header("Location").unwrap();
        assert_eq!((sent.status, location.ends_with(login)), (302, true), "{location}");
        // The page itself is Django's, and so is all else.
        assert_eq!(get(httpd.port, login, "").json()["authenticated"], false);

        let log_in = |name: &str| {
            let path = format!("/open-session/?username={name}&password={name}%20secret");
            get(httpd.port, &path, "").cookie("sessionid").unwrap()
        };
        let (alice, bob) = (log_in("alice"), log_in("bob"));
        let header = |cookie: &str| format!("Cookie: {cookie}\r\n{navigates}");
        assert_eq!(get(httpd.port, "/", &header(&alice)).json()["user"], "alice");
        for (who, path, status) in [
            (&alice, asked, 200),
            (&alice, "/media/secret/plan.txt", 200),
            (&bob, asked, 200),
            (&bob, "/media/secret/plan.txt", 403),
        ] {
            let answer = get(httpd.port, path, &header(who));
            assert_eq!(answer.status, status, "{mpm} {path} {answer:?}");
            assert_eq!(answer.header("Vary"), Some("Cookie"));
            assert_eq!(answer.header("Cache-Control"), Some("private, no-cache"));
        }
        let picture = get(httpd.port, asked, &header(&alice));
        assert_eq!(picture.header("Content-Security-Policy"), Some("script-src 'none'"));
        // A program with a password.
        assert_eq!(get(httpd.port, asked, &basic("bob", "bob secret")).status, 200);
        assert_eq!(get(httpd.port, asked, &basic("bob", "wrong")).status, 401);

        // The browser asks again, and after the logout in vain.
        let etag =
            format!("{}If-None-Match: {}\r\n", header(&alice), picture.header("ETag").unwrap());
        assert_eq!(get(httpd.port, asked, &etag).status, 304);
        Sessions::start("db", &url).log_out(alice.split_once('=').unwrap().1);
        assert_eq!(get(httpd.port, asked, &etag).status, 302);
        httpd.finish();
    }
    fs::remove_dir_all(folder).unwrap();
}
