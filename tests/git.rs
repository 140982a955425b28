//! `apache/examples/git.conf` with git.

use crate::common::client::{basic, send};
use crate::common::cluster::sqlite;
use crate::common::example;
use crate::common::httpd::{Httpd, MPMS};
use crate::common::run;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A name and a password that are not ASCII, as git wants them in an address.
const MÜLLER: &str = "m%C3%BCller:p%C3%A4ssw%C3%B6rd%E2%82%AC%F0%9F%98%80";
const ALICE: &str = "alice:alice%20secret";

/// Writes down who pushed, and everything that the server told the hook.
const HOOK: &str = "#!/bin/sh\necho \"$REMOTE_USER\" >>pushed\nenv >environment\n";

/// git with a home of its own in `dir`, and nobody to ask for passwords.
fn git(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .env("HOME", dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env_remove("GIT_ASKPASS")
        .current_dir(dir)
        .args(["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"])
        .args(words);
    command
}

/// What git says where it is refused.
fn refused(dir: &Path, words: &[&str]) -> String {
    let output = git(dir, words).output().unwrap();
    assert!(!output.status.success(), "{words:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn repository(root: &Path) -> PathBuf {
    let bare = root.join("project.git");
    fs::create_dir(root).unwrap();
    run(&mut git(root, &["init", "--bare", "--initial-branch=main", "project.git"]));
    fs::write(bare.join("hooks/pre-receive"), HOOK).unwrap();
    fs::set_permissions(bare.join("hooks/pre-receive"), fs::Permissions::from_mode(0o755)).unwrap();
    example::hand_over(root);
    bare
}

/// What a client that bends git's addresses is answered.
fn addresses(httpd: &Httpd) {
    for (method, path, expected) in [
        ("GET", "info/refs?service=git-upload-pack", 200),
        ("GET", "HEAD", 200),
        ("GET", "info/refs?service=git-receive-pack", 403),
        ("GET", "info/refs?service=git%2Dreceive-pack", 403),
        ("GET", "info/refs?service=git-upload-pack&service=git-receive-pack", 403),
        ("GET", "/info/refs?service=git-receive-pack", 403),
        ("GET", "git-receive-pack?service=git-receive-pack", 403),
        ("POST", "git-receive-pack", 403),
        ("POST", "git%2Dreceive-pack", 403),
        ("POST", "git-receive-pack?/git-upload-pack", 403),
        ("POST", "/git-receive-pack", 403),
        ("POST", "git-upload-pack/../git-receive-pack", 403),
        ("PUT", "git-receive-pack", 403),
    ] {
        let status = |credentials: &str| {
            // An empty push.
            let (length, body) = if method == "GET" { (0, "") } else { (4, "0000") };
            let request = format!(
                "{method} /git/project.git/{path} HTTP/1.1\r\nHost: localhost\r\n{credentials}\
                 Content-Type: application/x-git-receive-pack-request\r\n\
                 Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            send(httpd.port, &request).unwrap().status
        };
        assert_eq!(status(&basic("alice", "alice secret")), expected, "{method} {path}");
        assert_eq!(status(&basic("carol", "carol secret")), 401, "{method} {path}");
        assert_eq!(status(""), 401, "{method} {path}");
    }
}

fn clone_and_push(mpm: &str, database: &Path, base: &str) {
    let root = database.parent().unwrap().join(format!("git-{mpm}"));
    let bare = repository(&root);
    let defines = [("GIT_ROOT", root.to_str().unwrap())];
    let mut setup = example::setup("git", &defines, base).mpm(mpm);
    if mpm != "prefork" {
        // As a2enmod does.
        setup.modules.iter_mut().filter(|name| *name == "cgi").for_each(|name| name.push('d'));
    }
    let httpd = setup.start();
    let url = |user: &str| format!("http://{user}@127.0.0.1:{}/git/project.git", httpd.port);
    let dir = httpd.dir.join("clients");
    fs::create_dir(&dir).unwrap();
    let tip = || fs::read_to_string(bare.join("refs/heads/main")).unwrap();

    run(&mut git(&dir, &["clone", "-q", &url(MÜLLER), "writer"]));
    let writer = dir.join("writer");
    // More than git sends in one piece.
    let noise: Vec<u8> =
        (0..3_000_000_u64).map(|n| (n.wrapping_mul(n * 2_654_435_761) >> 13) as u8).collect();
    fs::write(writer.join("file"), noise).unwrap();
    run(&mut git(&writer, &["add", "file"]));
    run(&mut git(&writer, &["commit", "-q", "-m", "first"]));
    run(&mut git(&writer, &["push", "-q", "origin", "HEAD:main"]));
    run(&mut git(&dir, &["clone", "-q", &url(ALICE), "reader"]));
    let reader = dir.join("reader");
    assert!(fs::read(reader.join("file")).unwrap() == fs::read(writer.join("file")).unwrap());
    assert_eq!(fs::read_to_string(bare.join("pushed")).unwrap(), "müller\n");
    let environment = fs::read_to_string(bare.join("environment")).unwrap();
    assert!(environment.contains("AUTH_TYPE=Basic\n"), "{environment}");
    assert!(!environment.contains("AUTHORIZATION"), "{environment}");

    // alice reads, and that is all.
    let before = tip();
    run(&mut git(&reader, &["commit", "-q", "--allow-empty", "-m", "second"]));
    for words in [
        &["push", "origin", "HEAD:main"][..],
        &["push", "origin", "HEAD:refs/heads/new"],
        &["push", "origin", ":main"],
    ] {
        let error = refused(&reader, words);
        assert!(error.contains("The requested URL returned error: 403"), "{words:?}: {error}");
    }
    // carol is not active, though she had the permission; nobody else is anybody.
    for user in ["carol:carol%20secret", "alice:wrong", "m%C3%BCller:passwort", "nobody:x"] {
        for words in [&["ls-remote", &url(user)][..], &["push", &url(user), "HEAD:main"]] {
            let error = refused(&reader, words);
            assert!(error.contains("Authentication failed"), "{words:?}: {error}");
        }
    }
    assert_eq!(tip(), before);
    assert_eq!(fs::read_to_string(bare.join("pushed")).unwrap(), "müller\n");
    addresses(&httpd);
    httpd.finish();
}

#[test]
fn git_clones_for_all_and_pushes_by_permission() {
    let (database, _) = sqlite("auth.User");
    let permission = "permit=müller=repositories.change_repository";
    let changes =
        ["password=müller=pässwörd€😀", permission, "permit=carol=repositories.change_repository"];
    let base = example::base(&database, &changes);
    for mpm in MPMS {
        clone_and_push(mpm, &database, &base);
    }
}
