//! `apache/examples/xsendfile.conf`: a view of Django's that decides, and this module, over the same
//! files.

use crate::common::client::{basic, send};
use crate::common::cluster::{ids, sqlite};
use crate::common::django::{prepare, site_path};
use crate::common::httpd::MPMS;
use crate::common::{directory, example, required};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

/// Who has auth.view_group.
const READER: (&str, &str) = ("permission-08", "secret");
const TEXT: &str = "all that there is to report\n";

#[test]
fn a_view_decides_or_the_module() {
    let (database, _) = sqlite("auth.User");
    prepare(&database, &[]);
    let (uid, gid) = ids("www-data");
    chown(&database, Some(uid), Some(gid)).unwrap();
    chown(database.parent().unwrap(), Some(uid), Some(gid)).unwrap();
    let folder = directory("files");
    let files = folder.join("files");
    fs::create_dir(&files).unwrap();
    fs::set_permissions(&files, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(files.join("report.txt"), TEXT).unwrap();
    fs::write(folder.join("secret.txt"), "not for the site").unwrap();
    let script = format!("{}/tests/django/remote_wsgi.py", env!("CARGO_MANIFEST_DIR"));
    let defines = [
        ("XSENDFILE_FILES", files.to_str().unwrap()),
        ("XSENDFILE_PROJECT", &*site_path()),
        ("XSENDFILE_SCRIPT", &script),
        ("XSENDFILE_VENV", &required("DJANGO_VENV")),
    ];
    let config = format!(
        "WSGISocketPrefix {{dir}}/wsgi\nAddType text/plain .txt\nAuthDjangoDatabase sqlite:{}\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\n",
        database.display()
    );
    for mpm in MPMS {
        let mut setup = example::setup("xsendfile", &defines, &config).mpm(mpm).modules(&[
            "alias",
            "mime",
            "wsgi",
            "xsendfile",
        ]);
        setup.environment = vec![
            ("DJANGO_DB".into(), database.display().to_string()),
            ("REMOTE_FILES".into(), files.display().to_string()),
            ("PYTHONDONTWRITEBYTECODE".into(), "1".into()),
        ];
        let mut httpd = setup.start();
        let ask = |method: &str, path: &str, headers: &str| {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
            );
            send(httpd.port, &request).unwrap()
        };
        let session = |(name, password): (&str, &str)| {
            let password = password.replace(' ', "%20");
            let path = format!("/open-session/?username={name}&password={password}");
            format!("Cookie: {}\r\n", ask("GET", &path, "").cookie("sessionid").unwrap())
        };
        let alice = ("alice", "alice secret");
        let (allowed, known) = (session(READER), session(alice));

        assert_eq!(ask("GET", "/downloads/report.txt", "").status, 403);
        assert_eq!(ask("GET", "/downloads/report.txt", &known).status, 403);
        // Neither a header of the client's nor another view of the site's names a file.
        let forged = format!("X-Sendfile: {}\r\n", files.join("report.txt").display());
        assert_eq!(ask("GET", "/downloads/report.txt", &forged).status, 403);
        let elsewhere = ask("GET", "/elsewhere/report.txt", &allowed);
        assert_eq!((elsewhere.status, elsewhere.body.as_str()), (200, ""));
        // The view refuses what leads out of the folder, and so does mod_xsendfile.
        for path in ["/downloads/%2e%2e%2fsecret.txt", "/downloads/..%2fsecret.txt"] {
            assert!([400, 404].contains(&ask("GET", path, &allowed).status), "{path}");
        }
        assert_eq!(ask("GET", "/downloads/none.txt", &allowed).status, 404);

        assert_eq!(ask("GET", "/files/report.txt", "").status, 401);
        assert_eq!(ask("GET", "/files/report.txt", &basic(alice.0, alice.1)).status, 403);
        assert_eq!(ask("GET", "/files/report.txt", &basic(READER.0, "wrong")).status, 401);
        assert_eq!(ask("GET", "/files/report.txt", &allowed).status, 401);

        // Who may read it gets the same file in the same way.
        for (path, headers) in [
            ("/downloads/report.txt", allowed.clone()),
            ("/files/report.txt", basic(READER.0, READER.1)),
        ] {
            let whole = ask("GET", path, &headers);
            assert_eq!((whole.status, whole.body.as_str()), (200, TEXT), "{mpm} {path}");
            assert_eq!(whole.header("Content-Type"), Some("text/plain"), "{path}");
            assert_eq!(whole.header("Content-Length"), Some(&*TEXT.len().to_string()), "{path}");
            assert_eq!(whole.header("X-Sendfile"), None, "{path}");
            let etag = whole.header("ETag").unwrap();
            let date = whole.header("Last-Modified").unwrap();
            let part = ask("GET", path, &format!("{headers}Range: bytes=4-7\r\n"));
            assert_eq!((part.status, part.body.as_str()), (206, &TEXT[4..8]), "{path}");
            let head = ask("HEAD", path, &headers);
            assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
            for condition in
                [format!("If-None-Match: {etag}"), format!("If-Modified-Since: {date}")]
            {
                let unchanged = ask("GET", path, &format!("{headers}{condition}\r\n"));
                assert_eq!(unchanged.status, 304, "{path} {condition}");
            }
        }
        httpd.expect_in_log("xsendfile: cannot open file");
        httpd.finish();
    }
}
