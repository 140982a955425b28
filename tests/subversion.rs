//! `apache/examples/subversion.conf` with Subversion's own client.

use crate::common::cluster::sqlite;
use crate::common::example;
use crate::common::httpd::{Httpd, MPMS};
use crate::common::{run, wait_until};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A name and a password that are not ASCII; and who may commit, beside it.
const MÜLLER: (&str, &str) = ("müller", "pässwörd€😀");
const ALICE: (&str, &str) = ("alice", "alice secret");

struct Client {
    dir: PathBuf,
    url: String,
}

impl Client {
    /// The client, as a person in a terminal with UTF-8 starts it.
    fn svn(&self, (user, password): (&str, &str), words: &[&str]) -> Command {
        let mut command = Command::new("svn");
        command
            .env("LC_ALL", "C.UTF-8")
            .current_dir(&self.dir)
            .args(["--non-interactive", "--no-auth-cache", "--config-dir"])
            .arg(self.dir.join("svn-config"))
            .args(["--username", user, "--password", password])
            .args(words);
        command
    }

    /// What the client says where it is refused.
    fn refused(&self, user: (&str, &str), words: &[&str]) -> String {
        let output = self.svn(user, words).output().unwrap();
        assert!(!output.status.success(), "{} {words:?}", user.0);
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn youngest(&self) -> String {
        run(&mut self.svn(ALICE, &["info", "--show-item", "revision", &self.url])).trim().to_owned()
    }
}

/// Every answer but 401 cost one password, though mod_dav_svn asks httpd about each path on the way.
fn one_hash_a_request(httpd: &Httpd) {
    let hashes = httpd.count_in_log("password verified for");
    // httpd writes down a request when the client may be gone already.
    wait_until("as many requests as hashes in the access log", 10, || {
        let access = fs::read_to_string(httpd.dir.join("access.log")).unwrap();
        access.lines().filter(|line| !line.ends_with(" 401")).count() == hashes
    });
    let asked = httpd.count_in_log("authorization result of Require valid-user : granted");
    assert!(asked > hashes + 12, "{asked} for {hashes}: no sub-requests");
}

fn import_check_out_commit(mpm: &str, database: &Path, base: &str) {
    let repositories = database.parent().unwrap().join(format!("svn-{mpm}"));
    fs::create_dir(&repositories).unwrap();
    run(Command::new("svnadmin").arg("create").arg(repositories.join("project")));
    example::hand_over(&repositories);
    let config = format!(
        "{base}AuthDjangoCacheTimeout off\nLogLevel authz_core:debug authnz_django:debug\n\
         CustomLog {{dir}}/access.log \"%m %U %>s\"\n"
    );
    let defines = [("SVN_ROOT", repositories.to_str().unwrap())];
    let mut setup = example::setup("subversion", &defines, &config).mpm(mpm);
    // Beside mod_wsgi httpd authorizes sub-requests in the same section too.
    setup.modules.push("wsgi".into());
    let httpd = setup.start();
    let client = Client {
        dir: httpd.dir.clone(),
        url: format!("http://127.0.0.1:{}/svn/project", httpd.port),
    };
    let url = client.url.as_str();

    let folder = httpd.dir.join("brought");
    fs::create_dir(&folder).unwrap();
    for n in 0..12 {
        fs::write(folder.join(format!("{n}.txt")), "one\n").unwrap();
    }
    run(&mut client.svn(MÜLLER, &["import", "-m", "first", "brought", url]));
    run(&mut client.svn(ALICE, &["checkout", url, "copy"]));
    assert_eq!(fs::read_to_string(httpd.dir.join("copy/11.txt")).unwrap(), "one\n");
    fs::write(httpd.dir.join("copy/3.txt"), "two\n").unwrap();
    run(&mut client.svn(MÜLLER, &["commit", "-m", "second", "copy"]));
    let names = run(&mut client.svn(ALICE, &["log", "-q", "-v", url]));
    assert_eq!(names.matches(" | müller | ").count(), 2, "{names}");
    one_hash_a_request(&httpd);

    // alice reads, and that is all.
    fs::write(httpd.dir.join("copy/3.txt"), "three\n").unwrap();
    for words in [
        &["commit", "-m", "no", "copy"][..],
        &["mkdir", "-m", "no", &format!("{url}/new")],
        &["delete", "-m", "no", &format!("{url}/3.txt")],
        &["copy", "-m", "no", &format!("{url}/3.txt"), &format!("{url}/4.txt")],
        &["lock", &format!("{url}/3.txt")],
        &["propset", "svn:log", "--revprop", "-r", "1", "no", url],
    ] {
        let error = client.refused(ALICE, words).to_lowercase();
        let said = error.contains("forbidden") || error.contains("not authorized to perform lock");
        assert!(said, "{words:?}: {error}");
    }
    assert_eq!(client.youngest(), "2");
    // carol is not active, though she had the permission; nobody else is anybody.
    for user in
        [("carol", "carol secret"), ("alice", "wrong"), ("müller", "passwort"), ("nobody", "x")]
    {
        for words in [&["list", url][..], &["mkdir", "-m", "no", &format!("{url}/new")]] {
            let error = client.refused(user, words);
            assert!(error.contains("Authentication failed"), "{} {words:?}: {error}", user.0);
        }
    }
    assert_eq!(client.youngest(), "2");
    httpd.finish();
}

#[test]
fn subversion_reads_for_all_and_commits_by_permission() {
    let (database, _) = sqlite("auth.User");
    let password = format!("password={}={}", MÜLLER.0, MÜLLER.1);
    let permission = format!("permit={}=repositories.change_repository", MÜLLER.0);
    let changes = [password.as_str(), &permission, "permit=carol=repositories.change_repository"];
    let base = example::base(&database, &changes);
    for mpm in MPMS {
        import_check_out_commit(mpm, &database, &base);
    }
}
