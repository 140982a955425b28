//! Media files as `apache/examples/media.conf` protects them: who gets what, that nothing about a file
//! changes but who may have it, and that no way around the rules leads to it.

use crate::common::client::{basic, exchange, get, send};
use crate::common::cluster::{Cluster, Database};
use crate::common::example;
use crate::common::httpd::{Httpd, MPMS};
use crate::common::{directory, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The tables of the site's own, and the permission of its application `docs`: bob is a member of
/// apollo, and may view pages.
const SITE: [&str; 8] = [
    "CREATE TABLE projects_project (id integer, slug text)",
    "CREATE TABLE projects_member (project_id integer, user_id integer)",
    "INSERT INTO projects_project VALUES (1, 'apollo')",
    "INSERT INTO projects_project VALUES (2, 'gemini')",
    "INSERT INTO projects_member SELECT 1, id FROM auth_user WHERE username IN ('bob', 'carol')",
    "INSERT INTO django_content_type (app_label, model) VALUES ('docs', 'page')",
    "INSERT INTO auth_permission (content_type_id, codename, name) \
     SELECT id, 'view_page', 'view' FROM django_content_type WHERE app_label = 'docs'",
    "INSERT INTO auth_user_user_permissions (user_id, permission_id) \
     SELECT u.id, p.id FROM auth_user u, auth_permission p \
     WHERE u.username = 'bob' AND p.codename = 'view_page'",
];

fn site(database: &Database) {
    for sql in SITE {
        database.sql(sql);
    }
}

/// MEDIA_ROOT, and the same files beside it for everybody.
fn files() -> PathBuf {
    let dir = directory("media-files");
    let root = dir.join("media");
    for folder in ["docs", "secret", "projects/apollo", "projects/gemini", "photos", "index"] {
        fs::create_dir_all(root.join(folder)).unwrap();
        fs::write(root.join(folder).join("file.txt"), text(folder)).unwrap();
    }
    fs::write(root.join("index/index.html"), text("a page")).unwrap();
    fs::write(root.join("403.html"), "the page of a refusal").unwrap();
    for n in 1..30 {
        fs::write(root.join(format!("photos/{n}.txt")), "x").unwrap();
        fs::write(root.join(format!("projects/apollo/{n}.txt")), "x").unwrap();
    }
    // `cp -a` keeps the times, of which an ETag is made.
    run(Command::new("cp").arg("-a").arg(&root).arg(dir.join("plain")));
    fs::write(dir.join("plain/401.html"), "please log in").unwrap();
    dir
}

/// What is in the file of a folder.
fn text(folder: &str) -> String {
    format!("this is {folder}, {}", "0123456789".repeat(1000))
}

/// The example, with other ways to the files around it; `mpm` with all that it needs.
fn start(mpm: &str, database: &Database, dir: &Path) -> Httpd {
    let dir = dir.display();
    let config = format!(
        "AuthDjangoDatabase {}\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\n\
         AuthDjangoCacheTimeout off\nLogLevel authnz_django:debug\n\
         Alias /plain {dir}/plain\nAlias /another {dir}/media\n\
         <Directory {dir}/plain>\nRequire all granted\n</Directory>\n\
         <Directory {dir}/media/photos>\nOptions +Indexes\n</Directory>\n\
         <Location /media/projects/apollo>\nOptions +Indexes\nIndexOptions FancyIndexing\n</Location>\n\
         RewriteEngine On\n\
         RewriteRule \"^/passed/(.*)\" \"/media/$1\" [PT]\n\
         RewriteRule \"^/straight/(.*)\" \"{dir}/media/$1\" [L]\n\
         RewriteRule \"^/moved/(.*)\" \"/media/$1\" [R]\n",
        database.url()
    );
    let root = format!("{dir}/media");
    example::setup("media", &[("MEDIA_ROOT", &root)], &config)
        .mpm(mpm)
        .modules(&["alias", "rewrite", "autoindex", "mime", "include"])
        .start()
}

#[test]
fn each_folder_is_for_those_whom_its_rule_names() {
    let (database, _) = Database::start("sqlite", "auth.User");
    site(&database);
    let dir = files();
    for mpm in MPMS {
        let httpd = start(mpm, &database, &dir);
        for (path, alice, bob) in [
            ("/media/photos/file.txt", 200, 200),
            ("/media/docs/file.txt", 403, 200),
            ("/media/secret/file.txt", 200, 403),
            ("/media/projects/apollo/file.txt", 403, 200),
            ("/media/projects/gemini/file.txt", 403, 403),
            ("/media/projects/none/file.txt", 403, 403),
            ("/media/projects/apollo", 403, 301),
            ("/media/projects/", 403, 403),
            ("/media/none", 404, 404),
        ] {
            let status = |user: &str| httpd.status(path, user, format!("{user} secret"));
            assert_eq!((status("alice"), status("bob")), (alice, bob), "{mpm} {path}");
            // A folder that is closed to everybody asks nobody for a password.
            let closed = path == "/media/projects/";
            let refused = if closed { 403 } else { 401 };
            let asked = httpd.get(path);
            assert_eq!((status("carol"), asked.status), (refused, refused), "{mpm} {path}");
            assert_eq!(asked.header("WWW-Authenticate").is_none(), closed, "{mpm} {path}");
        }
        httpd.finish();
    }
    fs::remove_dir_all(dir).unwrap();
}

/// The answer without its date, and without what tells the two aliases apart.
fn answer(httpd: &Httpd, method: &str, path: &str, headers: &str) -> String {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\n\r\n"
    );
    let text = String::from_utf8(exchange(httpd.port, &request).unwrap()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let (dates, lines): (Vec<_>, Vec<_>) =
        head.split("\r\n").partition(|line| line.starts_with("Date: "));
    assert_eq!(dates.len(), 1, "{head}");
    format!("{}\r\n\r\n{body}", lines.join("\r\n")).replace("/plain/", "/media/")
}

#[test]
fn a_protected_file_is_served_byte_for_byte_as_any_other() {
    let (database, _) = Database::start("sqlite", "auth.User");
    site(&database);
    let dir = files();
    for mpm in MPMS {
        let httpd = start(mpm, &database, &dir);
        let plain = httpd.get("/plain/photos/file.txt");
        let etag = plain.header("ETag").unwrap();
        let modified = plain.header("Last-Modified").unwrap();
        let past = "Mon, 01 Jan 2001 00:00:00 GMT";
        let mut seen = Vec::new();
        for headers in [
            String::new(),
            "Range: bytes=0-9\r\n".into(),
            "Range: bytes=-5\r\n".into(),
            "Range: bytes=9990-\r\n".into(),
            "Range: bytes=0-4,10-14,-1\r\n".into(),
            "Range: bytes=99999-\r\n".into(),
            format!("Range: bytes=0-9\r\nIf-Range: {etag}\r\n"),
            format!("Range: bytes=0-9\r\nIf-Range: {past}\r\n"),
            format!("If-None-Match: {etag}\r\n"),
            "If-None-Match: \"other\"\r\n".into(),
            format!("If-Match: {etag}\r\n"),
            "If-Match: \"other\"\r\n".into(),
            format!("If-Modified-Since: {modified}\r\n"),
            format!("If-Modified-Since: {past}\r\n"),
            format!("If-Unmodified-Since: {past}\r\n"),
            "Accept-Encoding: gzip\r\n".into(),
        ] {
            for path in ["photos/file.txt", "index/", "index", "none"] {
                for method in ["GET", "HEAD"] {
                    let open = answer(&httpd, method, &format!("/plain/{path}"), &headers);
                    let credentials = basic("bob", "bob secret");
                    let ours = answer(
                        &httpd,
                        method,
                        &format!("/media/{path}"),
                        &(credentials + &headers),
                    );
                    assert!(open == ours, "{mpm} {method} {path} {headers}\n{open}\n{ours}");
                    seen.push(open[9..12].to_owned());
                }
            }
        }
        for status in ["200", "206", "301", "304", "404", "412", "416"] {
            assert!(seen.iter().any(|seen| seen == status), "no answer was {status}");
        }
        let ranges = get(
            httpd.port,
            "/media/photos/file.txt",
            &(basic("bob", "bob secret") + "Range: bytes=0-4,10-14\r\n"),
        );
        assert_eq!(ranges.status, 206);
        let kind = ranges.header("Content-Type").unwrap();
        assert!(kind.starts_with("multipart/byteranges"), "{kind}");
        httpd.finish();
    }
    fs::remove_dir_all(dir).unwrap();
}

/// Whatever a client makes of an address, who may not have the file does not get it.
#[test]
fn no_spelling_of_an_address_leads_around_a_rule() {
    let (database, _) = Database::start("sqlite", "auth.User");
    site(&database);
    let dir = files();
    let mut httpd = start("event", &database, &dir);
    // The friend of a folder may not see its listing.
    httpd.expect_in_log("AH01276");
    let mut served = 0;
    for (folder, friend, stranger) in
        [("secret", "alice", "bob"), ("docs", "bob", "alice"), ("projects/apollo", "bob", "alice")]
    {
        let upper = folder.to_uppercase();
        let escaped: String = folder.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let escaped = escaped.replace("%2f", "/");
        for path in [
            format!("/media/{folder}/file.txt"),
            format!("//media/{folder}/file.txt"),
            format!("/media//{folder}/file.txt"),
            format!("/media/{}/file.txt", folder.replace('/', "//")),
            format!("/media/{folder}//file.txt"),
            format!("/media/./{folder}/file.txt"),
            format!("/media/%2e/{folder}/file.txt"),
            format!("/./media/{folder}/./file.txt"),
            format!("/media/photos/../{folder}/file.txt"),
            format!("/media/photos/%2e%2e/{folder}/file.txt"),
            format!("/media/photos/.%2e/{folder}/file.txt"),
            format!("/media/projects/gemini/../../{folder}/file.txt"),
            format!("/plain/../media/{folder}/file.txt"),
            format!("/media/%2e%2e/media/{folder}/file.txt"),
            format!("/media/{escaped}/file.txt"),
            format!("/%6dedia/{folder}/%66ile.txt"),
            format!("/media/{folder}%2ffile.txt"),
            format!("/media%2f{folder}/file.txt"),
            format!("/media/{folder}%5cfile.txt"),
            format!("/media/{folder}/%252e/file.txt"),
            format!("/MEDIA/{folder}/file.txt"),
            format!("/media/{upper}/file.txt"),
            format!("/media/{folder}/FILE.TXT"),
            format!("/media/{folder}/file.txt/"),
            format!("/media/{folder}/file.txt//"),
            format!("/media/{folder}/file.txt/info"),
            format!("/media/{folder}/file.txt/../file.txt"),
            format!("/media/{folder}/file.txt/../../photos/../{folder}/file.txt"),
            format!("/media/{folder};x/file.txt"),
            format!("/media/{folder}/file.txt;x"),
            format!("/media/{folder}/file.txt%00"),
            format!("/media/{folder}/file.txt%00.html"),
            format!("/media/{folder}/file.txt%20"),
            format!("/media/{folder}./file.txt"),
            format!("/media/{folder}/file.txt?x=/plain/"),
            format!("/media/{folder}/file.txt%3fx"),
            format!("/media/{folder}/file.txt#x"),
            format!("http://localhost/media/{folder}/file.txt"),
            format!("http://other/media/{folder}/file.txt"),
            format!("/another/{folder}/file.txt"),
            format!("/passed/{folder}/file.txt"),
            format!("/passed//{folder}/../{folder}/file.txt"),
            format!("/straight/{folder}/file.txt"),
            format!("/straight/photos/..%2f{folder}/file.txt"),
            format!("/moved/{folder}/file.txt"),
            format!("/media/{folder}"),
            format!("/media/{folder}/"),
            format!("/media/{folder}/1.txt"),
        ] {
            let ask = |method: &str, headers: &str| {
                let request = format!(
                    "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\n\r\n"
                );
                send(httpd.port, &request).unwrap()
            };
            for headers in [
                String::new(),
                basic("carol", "carol secret"),
                basic(stranger, format!("{stranger} secret")),
                basic(friend, "wrong"),
                // What a client says of a project is not what the address says.
                basic(stranger, format!("{stranger} secret")) + "MATCH_PROJECT: gemini\r\n",
            ] {
                for method in ["GET", "HEAD", "POST"] {
                    let response = ask(method, &headers);
                    let refused = [400, 401, 403, 404].contains(&response.status)
                        || response.status == 302 && path.starts_with("/moved/");
                    assert!(refused, "{method} {path} {headers}: {response:?}");
                    assert!(!response.body.contains("this is"), "{method} {path}: {response:?}");
                }
            }
            let response = ask("GET", &basic(friend, format!("{friend} secret")));
            served += usize::from(response.status == 200 && response.body.contains("this is"));
        }
    }
    // The ways that do lead to a file are many, so that the test would see one that leads around.
    assert!(served > 50, "{served}");
    httpd.finish();
    fs::remove_dir_all(dir).unwrap();
}

/// The statements that PostgreSQL was sent since it started.
fn statements(cluster: &Cluster, about: &str) -> usize {
    let log = fs::read_to_string(cluster.dir.join("log")).unwrap();
    log.lines().filter(|line| line.contains("LOG:  execute") && line.contains(about)).count()
}

#[test]
fn listings_index_pages_and_documents_of_errors_cost_one_hash_and_one_query() {
    let (database, _) = Database::start("postgresql", "auth.User");
    site(&database);
    database.sql("GRANT SELECT ON projects_project, projects_member TO apache");
    database.sql("ALTER ROLE apache SET log_statement = 'all'");
    let Database::Postgresql(cluster) = &database else { panic!() };
    let dir = files();
    let verified = "user bob: password verified for";
    for mpm in MPMS {
        let httpd = start(mpm, &database, &dir);
        // bob has no business in secret; the page of the refusal is one that he may see.
        let mut hashes = 0;
        for (path, status, text, queries) in [
            ("/media/photos/", 200, "29.txt", 0),
            ("/media/projects/apollo/", 200, "29.txt", 1),
            ("/media/index/", 200, "a page", 0),
            ("/media/secret/file.txt", 403, "Forbidden", 0),
        ] {
            let before = (statements(cluster, "auth_user"), statements(cluster, "projects_member"));
            let page = httpd.get_as(path, "bob", "bob secret");
            assert_eq!(page.status, status, "{mpm} {path}");
            assert!(page.body.contains(text), "{mpm} {path} {}", page.body);
            hashes += 1;
            assert_eq!(httpd.count_in_log(verified), hashes, "{mpm} {path}");
            assert_eq!(statements(cluster, "auth_user") - before.0, 1, "{mpm} {path}");
            assert_eq!(statements(cluster, "projects_member") - before.1, queries, "{mpm} {path}");
        }
        httpd.finish();
    }
    fs::remove_dir_all(dir).unwrap();
}

/// The documents are looked for by an internal redirect, which is judged as any request.
#[test]
fn documents_of_errors_are_shown_to_those_who_may_see_them() {
    let (database, _) = Database::start("sqlite", "auth.User");
    site(&database);
    let dir = files();
    for mpm in MPMS {
        let config = format!(
            "AuthDjangoDatabase {}\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\n\
             LogLevel authnz_django:debug\nAlias /plain {dir}/plain\n\
             <Directory {dir}/plain>\nRequire all granted\n</Directory>\n\
             ErrorDocument 401 /plain/401.html\nErrorDocument 403 /media/403.html\n\
             <Location /media/photos>\nErrorDocument 401 /media/secret/file.txt\n</Location>\n",
            database.url(),
            dir = dir.display()
        );
        let root = format!("{}/media", dir.display());
        let httpd = example::setup("media", &[("MEDIA_ROOT", &root)], &config)
            .mpm(mpm)
            .modules(&["alias", "mime"])
            .start();
        let asked = httpd.get("/media/docs/file.txt");
        assert_eq!((asked.status, asked.body.as_str()), (401, "please log in"), "{mpm}");
        assert_eq!(asked.header("WWW-Authenticate"), Some("Basic realm=\"Media\""));
        let wrong = httpd.get_as("/media/docs/file.txt", "bob", "wrong");
        assert_eq!((wrong.status, wrong.body.as_str()), (401, "please log in"), "{mpm}");
        assert_eq!(httpd.count_in_log("user bob: password verified"), 0);

        let refused = httpd.get_as("/media/secret/file.txt", "bob", "bob secret");
        assert_eq!((refused.status, refused.body.as_str()), (403, "the page of a refusal"));
        assert_eq!(httpd.count_in_log("user bob: password verified"), 1, "{mpm}");

        // A document that is itself protected is not shown to whom it asks for a password.
        let asked = httpd.get("/media/photos/file.txt");
        assert_eq!(asked.status, 401, "{mpm}");
        assert!(!asked.body.contains("this is"), "{mpm} {}", asked.body);
        assert_eq!(asked.header("WWW-Authenticate"), Some("Basic realm=\"Media\""));
        httpd.finish();
    }
    fs::remove_dir_all(dir).unwrap();
}
