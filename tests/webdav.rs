//! `apache/examples/webdav.conf` with cadaver and the whole litmus suite.

use crate::common::client::{Response, basic, send};
use crate::common::cluster::sqlite;
use crate::common::example;
use crate::common::httpd::{Httpd, MPMS};
use crate::common::run;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const ALICE: (&str, &str) = ("alice", "alice secret");

/// `alice secret` in SHA-1, as `htpasswd -s` writes it.
const FILE_PASSWORD: &str = "{SHA}eQb8Za9K2SztuYO7h/8NTf+0PeA=";

/// The example, with alice and müller in its group and carol, who is not active; in its folder
/// one for mod_authn_file's alice, and one for others.
fn start(mpm: &str) -> (Httpd, PathBuf) {
    let (database, _) = sqlite("auth.User");
    let groups = ["alice", "müller", "carol"].map(|name| format!("group={name}=editors"));
    let changes = [&groups[0], &groups[1], &groups[2], "password=müller=pässwörd€😀"];
    let base = example::base(&database, &changes);
    let root = database.with_file_name("webdav");
    for folder in ["", "file", "team", "team/board"] {
        fs::create_dir(root.join(folder)).unwrap();
    }
    let users = root.with_file_name("users");
    fs::write(&users, format!("alice:{FILE_PASSWORD}\n")).unwrap();
    // The lock database is made by httpd's user, in a folder that it may write to.
    let locks = root.with_file_name("locks");
    fs::create_dir(&locks).unwrap();
    example::hand_over(&root);
    example::hand_over(&locks);
    let lock = locks.join("DAVLock");
    let config = format!(
        "{base}AuthDjangoCacheTimeout off\nLogLevel authnz_django:debug\n\
         <FilesMatch \"\\.status$\">\nSetHandler server-status\n</FilesMatch>\n\
         <Directory {0}/team/board>\nRequire django-group board\n</Directory>\n\
         <Directory {0}/file>\nAuthBasicProvider file\nAuthUserFile {1}\nRequire valid-user\n</Directory>\n",
        root.display(),
        users.display()
    );
    let defines =
        [("WEBDAV_ROOT", root.to_str().unwrap()), ("WEBDAV_LOCKS", lock.to_str().unwrap())];
    let mut setup = example::setup("webdav", &defines, &config).mpm(mpm);
    setup.modules.extend(["status", "autoindex"].map(str::to_owned));
    (setup.start(), root)
}

/// What litmus says of the folder, for alice; it fails where a test of its does.
fn litmus(httpd: &Httpd, folder: &str) -> String {
    let url = format!("http://127.0.0.1:{}{folder}/", httpd.port);
    run(Command::new("litmus").args([&url, ALICE.0, ALICE.1]).current_dir(&httpd.dir))
}

#[test]
fn litmus_finds_what_it_finds_with_a_file_of_users() {
    for mpm in MPMS {
        let (mut httpd, _) = start(mpm);
        let said = litmus(&httpd, "/webdav");
        assert_eq!(said.matches(", 0 failed").count(), 5, "{said}");
        assert_eq!(said, litmus(&httpd, "/webdav/file"));
        // What it provokes.
        ["[dav:error]", "XML parser error", "XML Parser Error"]
            .iter()
            .for_each(|text| httpd.expect_in_log(text));
        httpd.finish();
    }
}

/// Runs cadaver's commands as a member whose name and password are not ASCII.
fn cadaver(httpd: &Httpd, commands: &str) -> String {
    let netrc = "machine 127.0.0.1 login müller password pässwörd€😀\n";
    fs::write(httpd.dir.join(".netrc"), netrc).unwrap();
    let mut child = Command::new("cadaver")
        .arg(format!("http://127.0.0.1:{}/webdav/", httpd.port))
        .env("HOME", &httpd.dir)
        .env("LC_ALL", "C.UTF-8")
        .current_dir(&httpd.dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A request with an empty body, and with the headers in `more`, each with its line break.
fn ask(httpd: &Httpd, method: &str, path: &str, credentials: &str, more: &str) -> Response {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost:{}\r\n{credentials}{more}\
         Content-Length: 0\r\nConnection: close\r\n\r\n",
        httpd.port
    );
    send(httpd.port, &request).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != ".DAV");
    names.sort();
    names
}

#[test]
fn members_share_a_folder_and_others_are_refused() {
    let (httpd, root) = start("event");
    fs::write(httpd.dir.join("letter.txt"), "dear all\n").unwrap();
    let said = cadaver(
        &httpd,
        "mkcol letters\nput letter.txt letters/first.txt\nlock letters/first.txt\n\
         copy letters/first.txt second.txt\nunlock letters/first.txt\n\
         move letters/first.txt third.txt\ndelete second.txt\nls\nget third.txt\nquit\n",
    );
    assert_eq!(said.matches("succeeded.").count(), 9, "{said}");
    let all = ["file", "letters", "team", "third.txt"];
    assert_eq!(names(&root), all);
    assert_eq!(fs::read_to_string(httpd.dir.join("third.txt")).unwrap(), "dear all\n");

    let to = |path: &str| format!("Destination: http://localhost:{}{path}\r\n", httpd.port);
    for (method, path) in [
        ("GET", "/webdav/third.txt"),
        ("GET", "/webdav/"),
        ("OPTIONS", "/webdav/"),
        ("PROPFIND", "/webdav/"),
        ("PROPPATCH", "/webdav/third.txt"),
        ("PUT", "/webdav/new.txt"),
        ("PUT", "/webdav/third.txt"),
        ("POST", "/webdav/third.txt"),
        ("DELETE", "/webdav/third.txt"),
        ("DELETE", "/webdav/"),
        ("MOVE", "/webdav/third.txt"),
        ("COPY", "/webdav/third.txt"),
        ("LOCK", "/webdav/third.txt"),
        ("LOCK", "/webdav/new.txt"),
        ("UNLOCK", "/webdav/third.txt"),
        ("MKCOL", "/webdav/new"),
        ("MADE-UP", "/webdav/third.txt"),
    ] {
        for (credentials, status) in [
            (basic("bob", "bob secret"), 403),
            (basic("carol", "carol secret"), 401),
            (basic("alice", "wrong"), 401),
            (String::new(), 401),
        ] {
            let answer = ask(&httpd, method, path, &credentials, &to("/webdav/stolen.txt"));
            assert_eq!(answer.status, status, "{method} {path} {credentials}");
        }
    }
    assert_eq!(names(&root), all);
    assert_eq!(fs::read_to_string(root.join("third.txt")).unwrap(), "dear all\n");

    // Nor a member, into and out of a folder of another group's. That she takes it along with the
    // one around it is mod_dav's doing, and the README says so.
    let alice = basic(ALICE.0, ALICE.1);
    fs::write(root.join("team/board/minutes.txt"), "secret\n").unwrap();
    example::hand_over(&root);
    for (method, path, destination, status) in [
        ("MOVE", "/webdav/third.txt", "/webdav/team/board/stolen.txt", 403),
        ("COPY", "/webdav/third.txt", "/webdav/team/board/stolen.txt", 403),
        ("COPY", "/webdav/letters/", "/webdav/team/board/", 403),
        ("COPY", "/webdav/team/board/minutes.txt", "/webdav/stolen.txt", 403),
        ("MOVE", "/webdav/team/board/", "/webdav/stolen/", 403),
        ("COPY", "/webdav/third.txt", "/webdav/letters/third.txt", 201),
        ("GET", "/webdav/team/board/minutes.txt", "", 403),
    ] {
        let answer = ask(&httpd, method, path, &alice, &to(destination));
        assert_eq!(answer.status, status, "{method} {path} {destination}: {}", answer.body);
    }
    assert_eq!(names(&root), all);
    assert_eq!(names(&root.join("team/board")), ["minutes.txt"]);
    for (method, path, destination, status) in [
        ("COPY", "/webdav/team/", "/webdav/copied/", 201),
        ("MOVE", "/webdav/team/", "/webdav/moved/", 201),
        ("DELETE", "/webdav/copied/", "", 204),
    ] {
        let answer = ask(&httpd, method, path, &alice, &to(destination));
        assert_eq!(answer.status, status, "{method} {path} {destination}: {}", answer.body);
    }
    assert_eq!(names(&root), ["file", "letters", "moved", "third.txt"]);
    let minutes = httpd.get_as("/webdav/moved/board/minutes.txt", ALICE.0, ALICE.1);
    assert_eq!(minutes.body, "secret\n");
    httpd.finish();
}

/// A script of the server's kind is only read, and httpd asks itself about every file of a list.
#[test]
fn what_members_put_is_data_and_a_list_costs_one_password() {
    let (httpd, root) = start("event");
    for n in 0..20 {
        fs::write(root.join(format!("{n}.status")), "just text\n").unwrap();
    }
    fs::write(root.join(".htaccess"), "Require all granted\n").unwrap();
    let alice = basic(ALICE.0, ALICE.1);
    let page = ask(&httpd, "GET", "/webdav/7.status", &alice, "");
    assert_eq!((page.status, page.body.as_str()), (200, "just text\n"));
    assert_eq!(httpd.get("/webdav/7.status").status, 401);
    for (method, status) in [("PROPFIND", 207), ("GET", 200)] {
        let before = httpd.count_in_log("password verified for");
        let list = ask(&httpd, method, "/webdav/", &alice, "Depth: 1\r\n");
        assert_eq!(list.status, status, "{method}");
        assert!(list.body.matches(".status").count() >= 20, "{}", list.body);
        assert_eq!(httpd.count_in_log("password verified for") - before, 1, "{method}");
    }
    httpd.finish();
}
