//! `apache/django_export.py`: what it prints starts, and answers as Django does.

use crate::common::cluster::Database;
use crate::common::django::{Oracle, Population};
use crate::common::httpd::Setup;
use crate::common::mariadb::Mariadb;
use crate::common::{directory, required};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Of the role that Django uses here; each character means something to somebody on its way.
pub const PASSWORD: &str = r#" p@ss/w:ord?#%41'"\${HOME}é\"#;
const SECRET_KEY: &str = "the reference project has nothing to hide";
/// What Django 6 takes from Python 3.12, as in `tests/django/oracle.py`.
const SHIM: &str = "import inspect\nif not hasattr(inspect, 'markcoroutinefunction'):\n    \
                    from asgiref.sync import markcoroutinefunction\n    \
                    inspect.markcoroutinefunction = markcoroutinefunction\n";

/// How the script is run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Way {
    Script,
    /// `manage.py shell <django_export.py`
    Piped,
    /// `manage.py shell -c "$(cat django_export.py)"`
    Word,
}

/// What the script did.
pub struct Export {
    pub complete: bool,
    /// Standard output: the configuration.
    pub text: String,
    pub diagnostics: String,
}

impl Export {
    fn directives(&self) -> Vec<&str> {
        self.text.lines().filter(|line| !line.starts_with('#')).collect()
    }
}

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

/// In `dir`, with this Django and what lies there and in `tests/django`.
pub fn in_project<'a>(
    command: &'a mut Command,
    version: &str,
    (database, model): (&str, &str),
    dir: &Path,
) -> &'a mut Command {
    let shim = dir.join("shim");
    fs::create_dir_all(&shim).unwrap();
    fs::write(shim.join("sitecustomize.py"), SHIM).unwrap();
    let django = format!("{}/../django-{version}", required("DJANGO_VENV"));
    let (shim, here, root) = (shim.display(), dir.display(), root());
    let path = format!("{shim}:{here}:{django}:{}/tests/django", root.display());
    command
        .current_dir(dir)
        .env("PYTHONPATH", path)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("DJANGO_DB", database)
        .env("DJANGO_USER_MODEL", model)
}

/// Runs the script in `dir`, with the settings module `settings`.
pub fn export(
    version: &str,
    way: Way,
    project: (&str, &str),
    settings: &str,
    dir: &Path,
    options: &[&str],
) -> Export {
    let script = root().join("apache/django_export.py");
    let mut command = Command::new(format!("{}/bin/python", required("DJANGO_VENV")));
    match way {
        Way::Script => command.arg(&script).args(["--settings", settings]).args(options),
        Way::Piped => {
            assert!(options.is_empty());
            command
                .args(["-m", "django", "shell", "-v", "0"])
                .stdin(Stdio::from(fs::File::open(&script).unwrap()))
        }
        Way::Word => {
            assert!(options.is_empty());
            command
                .args(["-m", "django", "shell", "-v", "0", "-c"])
                .arg(fs::read_to_string(&script).unwrap())
        }
    };
    if way != Way::Script {
        command.env("DJANGO_SETTINGS_MODULE", settings);
    }
    let output = in_project(&mut command, version, project, dir).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let export = Export {
        complete: output.status.success(),
        text: text(output.stdout),
        diagnostics: text(output.stderr),
    };
    assert!(
        export.complete || output.status.code() == Some(1),
        "{version} {way:?}: {}\n{}",
        output.status,
        export.diagnostics
    );
    for secret in [PASSWORD, &encoded(PASSWORD), "p@ss", "p%40ss", SECRET_KEY] {
        assert!(!export.text.contains(secret), "{}", export.text);
        assert!(!export.diagnostics.contains(secret), "{}", export.diagnostics);
    }
    export
}

pub fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// httpd's own word on the configuration.
pub fn passes(text: &str) {
    let message = Setup::new("exported", text).configtest().unwrap_or_else(|e| panic!("{text}{e}"));
    assert!(message.contains("Syntax OK") && !message.contains("AH00111"), "{text}\n{message}");
}

/// A server with the printed text and two places answers as this Django does.
fn answers_as_django(text: &str, version: &str, database: &str, population: &Population) {
    let config = format!(
        "{text}<Location />\nAuthType Basic\nAuthName x\nAuthBasicProvider django\n</Location>\n\
         <Location /members>\nRequire valid-user\n</Location>\n\
         <Location /secret>\nRequire group secret-agents\n</Location>\n\
         <Location /staff>\nRequire django-staff\n</Location>\n\
         <Location /superuser>\nRequire django-superuser\n</Location>\n\
         <Location /direct>\nRequire django-permission auth.view_group\n</Location>\n\
         <Location /by-group>\nRequire django-permission auth.View_group\n</Location>\n"
    );
    let httpd = Setup::new("exported", config).start();
    let mut oracle = Oracle::start(version, database, &population.model);
    let old = ["3.2", "4.2"].contains(&version);
    let mut granted = 0;
    for person in population.users.iter().filter(|person| {
        person.oracle
            && person.basic
            && (old || !person.dropped)
            // Django 3.2 has no scrypt.
            && !(version == "3.2" && person.username.contains("scrypt"))
            && ["person", "inactive", "hasher", "dropped", "unusable"].contains(&&*person.kind)
    }) {
        let name = &person.username;
        for password in [&person.password, "wrong"] {
            let right = oracle.check_password(name, password).unwrap() == Some(true);
            let member = oracle.groups_for_user(name).contains(&"secret-agents".to_owned());
            let status = |yes| if yes { 200 } else { 401 };
            let asked = format!("{version} {database} {name:?} {password:?}");
            assert_eq!(httpd.status("/members/", name, password), status(right), "{asked}");
            assert_eq!(
                httpd.status("/secret/", name, password),
                status(right && member),
                "{asked}"
            );
            granted += usize::from(right && member);
        }
    }
    assert!(granted > 5, "{granted}");
    let permissions = ["auth.view_group".to_owned(), "auth.View_group".to_owned()];
    let (mut granted, mut refused) = (0, 0);
    for person in population.users.iter().filter(|person| person.kind == "permission") {
        let name = &person.username;
        let [active, staff, superuser] = oracle.flags(name);
        let answers = oracle.has_perm(name, &permissions);
        for (path, expected) in [
            ("/staff", active && staff),
            ("/superuser", active && superuser),
            ("/direct", answers[0]),
            ("/by-group", answers[1]),
        ] {
            let status = httpd.status(path, name, &person.password);
            let asked = format!("{version} {database} {name:?} {path}");
            assert_eq!(status, if expected { 404 } else { 401 }, "{asked}");
            if expected { granted += 1 } else { refused += 1 }
        }
    }
    assert!(granted > 20 && refused > 40, "{granted} granted, {refused} refused");
    httpd.finish();
}

/// The lines behind that mark, which are for another place than httpd's configuration.
fn marked(text: &str, mark: &str) -> String {
    text.lines()
        .filter_map(|line| line.strip_prefix(mark))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Every way to run the script under that Django; and what it printed as the script.
fn all_ways(version: &str, project: (&str, &str), dir: &Path, secret: Option<&str>) -> Export {
    let output = dir.join("secrets");
    fs::create_dir_all(&output).unwrap();
    // An older file, open to everybody, makes way.
    let file = output.join("default.password");
    fs::write(&file, "an older password\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    let options = ["--output", output.to_str().unwrap()];
    let script = export(version, Way::Script, project, "settings", dir, &options);
    assert!(script.complete, "{}", script.diagnostics);
    passes(&script.text);
    for way in [Way::Piped, Way::Word] {
        let export = export(version, way, project, "settings", dir, &[]);
        let moved = script.text.replace("/secrets/", "/authnz_django/");
        assert_eq!(export.text, moved, "{version} {way:?}");
        assert!(export.complete);
        passes(&export.text);
    }
    let Some(secret) = secret else {
        assert_eq!(fs::read_to_string(file).unwrap(), "an older password\n");
        assert!(!dir.join("authnz_django").exists());
        return script;
    };
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir.join("authnz_django")), 0o700);
    for dir in [output, dir.join("authnz_django")] {
        let files: Vec<_> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(files, ["default.password"], "{}", dir.display());
        assert_eq!(mode(&dir.join("default.password")), 0o600);
        let text = fs::read_to_string(dir.join("default.password")).unwrap();
        assert_eq!(text, format!("{secret}\n"));
    }
    script
}

/// The script alone, where the ways to run it were compared before.
fn one_way(version: &str, project: (&str, &str), dir: &Path) -> Export {
    let export = export(version, Way::Script, project, "settings", dir, &[]);
    assert!(export.complete, "{}", export.diagnostics);
    export
}

#[test]
fn what_is_exported_of_sqlite_answers_as_django() {
    for (model, versions) in [
        ("auth.User", &["3.2", "4.2", "5.2", "6"][..]),
        ("accounts.User", &["5.2"]),
        ("accounts.Odd", &["3.2", "6"]),
        ("accounts.Colleague", &["3.2", "6"]),
    ] {
        let (database, population) = Database::start("sqlite", model);
        // A name that a URL cannot hold as it is.
        let dir = directory("ex port%41?#é");
        fs::copy(database.django(), dir.join("db & co.sqlite3")).unwrap();
        let django = dir.join("db & co.sqlite3").display().to_string();
        for &version in versions {
            let export = match model {
                "auth.User" => all_ways(version, (&django, model), &dir, None),
                _ => one_way(version, (&django, model), &dir),
            };
            let hashers = export.directives()[2];
            assert!(
                hashers.starts_with(
                    "AuthDjangoPasswordHashers pbkdf2_sha256:1000 pbkdf2_sha1 argon2 "
                )
            );
            assert_eq!(hashers.contains(" unsalted_sha1 "), ["3.2", "4.2"].contains(&version));
            answers_as_django(&export.text, version, &django, &population);
        }
        fs::remove_dir_all(dir).unwrap();
    }
}

/// The SQL that makes a role, of the comments of a configuration.
pub fn role(text: &str) -> String {
    let lines = marked(text, "#  ");
    lines.lines().filter(|line| !line.starts_with(' ')).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_exported_of_postgresql_answers_as_django() {
    for (model, versions) in [
        ("auth.User", &["4.2", "6"][..]),
        ("accounts.Odd", &["5.2"]),
        ("accounts.Colleague", &["5.2"]),
        ("crm.User", &["4.2"]),
    ] {
        let (database, population) = Database::start("postgresql", model);
        let Database::Postgresql(cluster) = &database else { panic!() };
        let dir = directory("export");
        let url =
            format!("postgresql://apache:{}@127.0.0.1:{}/site", encoded(PASSWORD), cluster.port);
        // The cluster's own role makes way for the one whose rights the script prints.
        cluster.sql("site", "DROP OWNED BY apache");
        cluster.sql("postgres", "DROP ROLE apache");
        let mut first = String::new();
        for &version in versions {
            let export = match model {
                "auth.User" => all_ways(version, (&url, model), &dir, Some(PASSWORD)),
                _ => one_way(version, (&url, model), &dir),
            };
            let sql = role(&export.text);
            if first.is_empty() {
                cluster.sql("site", &sql);
                let quoted = PASSWORD.replace('\'', "''");
                cluster.sql("site", &format!("ALTER ROLE apache PASSWORD '{quoted}'"));
                first.clone_from(&sql);
            }
            assert_eq!(first, sql, "{version}");
            answers_as_django(&export.text, version, &cluster.django(), &population);
        }
        fs::remove_dir_all(dir).unwrap();
    }
}

/// The tables of accounts.User as those of crm.User.
const MOVED: &str = "CREATE DATABASE crm; RENAME TABLE accounts_user TO crm.people;
    RENAME TABLE accounts_user_groups TO crm.people_groups;
    RENAME TABLE accounts_user_user_permissions TO crm.people_user_permissions;
    ALTER TABLE crm.people RENAME COLUMN email TO login;";

#[test]
fn what_is_exported_of_mariadb_answers_as_django() {
    for (model, by_socket) in
        [("accounts.Odd", false), ("accounts.Colleague", true), ("crm.User", false)]
    {
        // Django itself cannot make tables in another database of MySQL's.
        let made = if model == "crm.User" { "accounts.User" } else { model };
        let (server, mut population) = Mariadb::start(made);
        if model == "crm.User" {
            server.sql("site", MOVED);
            population.model = model.to_owned();
        }
        let dir = directory("export");
        let (password, socket) = (encoded(PASSWORD), server.socket());
        let url = if by_socket {
            format!("mysql://apache:{password}@/site?host={}", socket.display())
        } else {
            format!("mysql://apache:{password}@127.0.0.1:{}/site", server.port)
        };
        let export = all_ways("5.2", (&url, model), &dir, Some(PASSWORD));
        assert_eq!(export.directives()[0].contains("?socket="), by_socket);
        // The server's own user makes way for the one whose rights the script prints.
        server.sql("", "DROP USER apache");
        server.sql("site", &role(&export.text));
        let quoted = PASSWORD.replace('\\', "\\\\").replace('\'', "\\'");
        server.sql("", &format!("ALTER USER apache IDENTIFIED BY '{quoted}'"));
        answers_as_django(&export.text, "5.2", &server.django(), &population);
        fs::remove_dir_all(dir).unwrap();
    }
}

#[test]
fn the_exported_example_protects_a_place() {
    let (database, _) = Database::start("sqlite", "auth.User");
    let dir = directory("export");
    let export =
        export("5.2", Way::Script, (&database.django(), "auth.User"), "settings", &dir, &[]);
    let example = marked(&export.text, "#").replace("the name of a group", "secret-agents");
    let example: Vec<&str> =
        example.lines().filter(|l| l.starts_with('<') || l.starts_with("    ")).collect();
    assert_eq!(example.len(), 7, "{}", export.text);
    let httpd = Setup::new("example", format!("{}{}\n", export.text, example.join("\n"))).start();
    assert_eq!(httpd.status("/secret/", "alice", "alice secret"), 200);
    assert_eq!(httpd.status("/secret/", "bob", "bob secret"), 403);
    assert_eq!(httpd.status("/secret/", "bob", "alice secret"), 401);
    httpd.finish();
    fs::remove_dir_all(dir).unwrap();
}

/// Users whom the directives can, or cannot, find.
const APP: &str = r#"
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import AbstractUser
from django.db import models

class Person(models.Model):
    name = models.CharField(max_length=150, unique=True)
    is_active = models.BooleanField(default=True)

class Employee(Person, AbstractBaseUser):
    objects = BaseUserManager()
    USERNAME_FIELD = "name"

class Boss(Employee):
    pass

class Apart(AbstractBaseUser):
    login = models.CharField(max_length=150, unique=True)
    objects = BaseUserManager()
    USERNAME_FIELD = "login"
    class Meta:
        db_table = '"crm"."apart"'

class Admin(AbstractBaseUser):
    login = models.CharField(max_length=150, unique=True)
    is_admin = models.BooleanField(default=False)
    objects = BaseUserManager()
    USERNAME_FIELD = "login"
    @property
    def is_staff(self):
        return self.is_admin
    def has_perm(self, perm, obj=None):
        return True

class Team(models.Model):
    name = models.CharField(max_length=150, unique=True)

class Player(AbstractBaseUser):
    login = models.CharField(max_length=150, unique=True)
    groups = models.ManyToManyField(Team)
    objects = BaseUserManager()
    USERNAME_FIELD = "login"

class Everybody(AbstractBaseUser):
    login = models.CharField(max_length=150, primary_key=True)
    objects = BaseUserManager()
    USERNAME_FIELD = "login"

class Computed(AbstractBaseUser):
    login = models.CharField(max_length=150, unique=True)
    until = models.DateField(null=True)
    objects = BaseUserManager()
    USERNAME_FIELD = "login"
    @property
    def is_active(self):
        return self.until is None

class Schema(AbstractUser):
    class Meta:
        db_table = 'crm"."users'

class Variable(AbstractUser):
    class Meta:
        db_table = "${HOME}"

class Manager(BaseUserManager):
    def get_queryset(self):
        return super().get_queryset().filter(deleted=False)

class Deleted(AbstractBaseUser):
    login = models.CharField(max_length=150, unique=True)
    is_active = models.BooleanField(default=True)
    deleted = models.BooleanField(default=False)
    objects = Manager()
    USERNAME_FIELD = "login"
    def check_password(self, raw):
        return super().check_password(raw + "pepper")

class Proxy(Everybody):
    class Meta:
        proxy = True
"#;

const SETTINGS: &str = r#"
import os
from settings import *
print("what settings print is no configuration")
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "crm"]
PG = {"ENGINE": "django.db.backends.postgresql", "NAME": "site", "USER": "u", "HOST": "db"}
MY = {"ENGINE": "django.db.backends.mysql", "NAME": "site", "USER": "u"}

from django.contrib.auth import hashers
class Own(hashers.PBKDF2PasswordHasher):
    algorithm = "own"
class Dear(hashers.Argon2PasswordHasher):
    time_cost, memory_cost, parallelism = 3, 65536, 4
class Pepper(hashers.PBKDF2SHA1PasswordHasher):
    def encode(self, password, salt, iterations=None):
        return super().encode(password + "pepper", salt, iterations)
class Router:
    def db_for_read(self, model, **hints):
        return "users"
"#;

/// The script with lines after `SETTINGS`.
fn with(dir: &Path, model: &str, lines: &str, options: &[&str]) -> Export {
    fs::create_dir_all(dir.join("crm")).unwrap();
    fs::write(dir.join("crm/__init__.py"), "").unwrap();
    fs::write(dir.join("crm/models.py"), APP).unwrap();
    // Cluster and file are never asked.
    fs::write(dir.join("site.sqlite3"), "").unwrap();
    fs::write(dir.join("ca.pem"), "").unwrap();
    fs::write(dir.join("special.py"), format!("{SETTINGS}{lines}\n")).unwrap();
    export("5.2", Way::Script, ("site.sqlite3", model), "special", dir, options)
}

#[test]
fn databases_become_urls() {
    let dir = directory("export");
    let ca = dir.join("ca.pem").display().to_string();
    let pg = |rest: &str| format!("DATABASES['default'] = {{**PG, {rest}}}");
    let cases = [
        ("".into(), format!("sqlite:{}/site.sqlite3", dir.display())),
        (pg(""), "postgresql://u@db/site".into()),
        (
            pg("'USER': 'a@b/c:d', 'NAME': 'x y?é%41'"),
            "postgresql://a%40b%2Fc%3Ad@db/x%20y%3F%C3%A9%2541".into(),
        ),
        (pg("'HOST': '', 'PORT': 5433"), "postgresql://u@/site?port=5433".into()),
        (pg("'HOST': '/run/pg 1'"), "postgresql://u@/site?host=/run/pg%201".into()),
        (pg("'HOST': 'a,b', 'PORT': '5433'"), "postgresql://u@a:5433,b:5433/site".into()),
        (pg("'HOST': 'a,::1', 'PORT': '1,2'"), "postgresql://u@a:1,[::1]:2/site".into()),
        (
            pg("'HOST': '', 'OPTIONS': {'hostaddr': '10.0.0.1'}"),
            "postgresql://u@/site?hostaddr=10.0.0.1".into(),
        ),
        (
            pg(&format!(
                "'OPTIONS': {{'sslmode': 'verify-full', 'sslrootcert': '{ca}', 'options': '-c search_path=crm'}}"
            )),
            format!(
                "postgresql://u@db/site?sslmode=verify-full&sslrootcert={ca}&options=-c%20search_path%3Dcrm"
            ),
        ),
        (
            pg(
                "'OPTIONS': {'sslmode': 'allow', 'target_session_attrs': 'primary', 'isolation_level': 1}",
            ),
            "postgresql://u@db/site?sslmode=prefer&target_session_attrs=read-write".into(),
        ),
        (pg("'OPTIONS': {'assume_role': 'boss'}"), "postgresql://u@db/site".into()),
        (
            "DATABASES['users'] = {**PG, 'NAME': 'routed'}\nDATABASE_ROUTERS = ['special.Router']"
                .into(),
            "postgresql://u@db/routed".into(),
        ),
    ];
    for (lines, url) in cases {
        let export = with(&dir, "auth.User", &lines, &[]);
        assert!(export.complete, "{lines}: {}", export.diagnostics);
        assert_eq!(export.directives()[0], format!("AuthDjangoDatabase {url}"), "{lines}");
        passes(&export.text);
        assert_eq!(
            export.text.contains("# OPTIONS 'assume_role' is left out"),
            lines.contains("boss")
        );
        assert!(export.diagnostics.contains("what settings print"));
    }
    let lines =
        "DATABASES['users'] = {**PG, 'NAME': 'routed'}\nDATABASE_ROUTERS = ['special.Router']";
    let export = with(&dir, "auth.User", lines, &["--database", "default"]);
    assert!(export.directives()[0].starts_with("AuthDjangoDatabase sqlite:"), "{}", export.text);
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn mysql_becomes_a_url() {
    let dir = directory("export");
    let path = |name: &str| {
        fs::write(dir.join(name), "").unwrap();
        dir.join(name).display().to_string()
    };
    let (ca, cert, key) = (path("ca.pem"), path("cert.pem"), path("key.pem"));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let file = path("my.cnf");
    let lines = format!(
        "[mysqld]\nskip-networking\n[client]\nuser = \"u\"\npassword=p@ss\n# host = elsewhere\nhost=db\n\
         database = site\nssl-ca = {ca}\nssl_mode=VERIFY_IDENTITY\ndefault-character-set = utf8mb4\n"
    );
    fs::write(&file, lines).unwrap();
    let my = |rest: &str| format!("DATABASES['default'] = {{**MY, {rest}}}");
    let options = |rest: &str| my(&format!("'HOST': 'db', 'OPTIONS': {{{rest}}}"));
    for (lines, url) in [
        (my(""), "u@/site".into()),
        (my("'HOST': 'localhost', 'PORT': 3307"), "u@/site".into()),
        (my("'HOST': 'db', 'PORT': '3307'"), "u@db:3307/site".into()),
        (my("'HOST': '/run/my sql.sock'"), "u@/site?socket=/run/my%20sql.sock".into()),
        (options("'unix_socket': '/run/x'"), "u@/site?socket=/run/x".into()),
        (
            options(&format!("'ssl': {{'ca': '{ca}'}}")),
            format!("u@db/site?sslmode=verify-ca&sslrootcert={ca}"),
        ),
        (options("'ssl_mode': 'REQUIRED'"), "u@db/site?sslmode=require".into()),
        (options("'ssl_disabled': True"), "u@db/site?sslmode=disable".into()),
        (
            options(&format!("'ssl_ca': '{ca}', 'ssl_verify_identity': True, 'charset': 'utf8'")),
            format!("u@db/site?sslmode=verify-full&sslrootcert={ca}"),
        ),
        (
            options(&format!(
                "'ssl_mode': 'VERIFY_IDENTITY', 'ssl': {{'ca': '{ca}', 'cert': '{cert}', 'key': '{key}'}}"
            )),
            format!("u@db/site?sslmode=verify-full&sslrootcert={ca}&sslcert={cert}&sslkey={key}"),
        ),
        (
            format!(
                "DATABASES['default'] = {{'ENGINE': MY['ENGINE'], 'OPTIONS': {{'read_default_file': '{file}'}}}}"
            ),
            format!("u@db/site?sslmode=verify-full&sslrootcert={ca}"),
        ),
    ] {
        let export = with(&dir, "auth.User", &lines, &[]);
        assert!(export.complete, "{lines}: {}", export.diagnostics);
        assert_eq!(export.directives()[0], format!("AuthDjangoDatabase mysql://{url}"), "{lines}");
        passes(&export.text);
        let secret = dir.join("authnz_django/default.password");
        assert_eq!(secret.exists(), lines.contains("my.cnf"), "{lines}");
        if secret.exists() {
            assert_eq!(fs::read_to_string(secret).unwrap(), "p@ss\n");
            fs::remove_dir_all(dir.join("authnz_django")).unwrap();
        }
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn models_and_hashers_become_words() {
    let dir = directory("export");
    let cases: &[(&str, &str, usize, &str, &[&str])] = &[
        (
            "crm.Proxy",
            "",
            1,
            "AuthDjangoUserModel crm.Everybody id=login username=login is_active=none is_staff=none is_superuser=none groups_table=none permissions_table=none",
            &["crm.Proxy is a proxy of crm.Everybody"],
        ),
        (
            "crm.Everybody",
            "",
            1,
            "AuthDjangoUserModel crm.Everybody id=login username=login is_active=none is_staff=none is_superuser=none groups_table=none permissions_table=none",
            &["crm.Everybody has no groups"],
        ),
        (
            "crm.Employee",
            "",
            1,
            "AuthDjangoUserModel crm.Employee table=crm_person child=crm_employee.person_ptr_id username=name \
             password=crm_employee.password is_staff=none is_superuser=none groups_table=none permissions_table=none",
            &[],
        ),
        ("crm.Schema", "", 1, r#"AuthDjangoUserModel crm.Schema "table=crm\".\"users""#, &[]),
        (
            "crm.Apart",
            "",
            1,
            "AuthDjangoUserModel crm.Apart schema=crm table=apart username=login is_active=none is_staff=none is_superuser=none groups_table=none permissions_table=none",
            &[],
        ),
        (
            "crm.Admin",
            "",
            1,
            "AuthDjangoUserModel crm.Admin username=login is_active=none is_staff=none is_superuser=none groups_table=none permissions_table=none",
            &["crm.Admin.is_staff is no column", "has a has_perm() of its own"],
        ),
        (
            "crm.Deleted",
            "AUTHENTICATION_BACKENDS = ['axes.Backend']",
            1,
            "AuthDjangoUserModel crm.Deleted username=login is_staff=none is_superuser=none groups_table=none permissions_table=none",
            &[
                "manager has a get_queryset() of its own",
                "crm.Deleted has a check_password() of its own",
                "axes.Backend",
            ],
        ),
        (
            "auth.User",
            "PASSWORD_HASHERS = ['special.Own', 'special.Dear', 'special.Pepper']",
            2,
            "AuthDjangoPasswordHashers argon2:t=3,m=65536,p=4 pbkdf2_sha1",
            &[
                "hasher 'own' (Own) is left out",
                "argon2 takes its place",
                "Pepper hashes in its own way",
            ],
        ),
        (
            "auth.User",
            "PASSWORD_HASHERS = [f'django.contrib.auth.hashers.{n}PasswordHasher' for n in ('BCrypt', 'Scrypt', 'PBKDF2')]",
            2,
            "AuthDjangoPasswordHashers bcrypt:12 scrypt pbkdf2_sha256",
            &[],
        ),
        (
            "auth.User",
            "PASSWORD_HASHERS = ['django.contrib.auth.hashers.ScryptPasswordHasher']",
            2,
            "AuthDjangoPasswordHashers scrypt:n=16384,r=8,p=5",
            &[],
        ),
    ];
    for (model, lines, index, expected, remarks) in cases {
        let export = with(&dir, model, lines, &[]);
        assert!(export.complete, "{model} {lines}: {}", export.diagnostics);
        assert_eq!(export.directives()[*index], *expected, "{model}");
        passes(&export.text);
        for remark in *remarks {
            assert!(export.text.contains(remark), "{}", export.text);
            assert!(export.diagnostics.contains(remark), "{}", export.diagnostics);
        }
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn what_cannot_be_said_is_no_configuration() {
    let dir = directory("export");
    let secret = "'PASSWORD': 'p@ss'";
    let engine = |rest: &str| format!("DATABASES['default'] = {{**PG, {secret}, {rest}}}");
    let mysql = |rest: &str, options: &str| {
        format!("DATABASES['default'] = {{**MY, {secret}, 'OPTIONS': {{{options}}}, {rest}}}")
    };
    // Which of these the server's own reading would take is not for the script to guess.
    fs::write(dir.join("my.cnf"), "[client]\npassword = p@ss\\s\n").unwrap();
    let cases = [
        ("crm.Boss", "".into(), "in more tables than a child's and its parent's: needs query="),
        ("crm.Player", "".into(), "crm.Player.groups leads to crm.Team"),
        ("crm.Computed", "".into(), "crm.Computed.is_active is computed: needs query="),
        ("crm.Variable", engine(""), "httpd cannot read"),
        ("auth.User", engine("'ENGINE': 'django.db.backends.oracle'"), "oracle"),
        ("auth.User", engine("'ENGINE': 'django.db.backends.dummy'"), "this database is unknown"),
        (
            "auth.User",
            engine("'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'"),
            "memory",
        ),
        ("auth.User", engine("'OPTIONS': {'service': 'x'}"), "service file"),
        ("auth.User", engine("'HOST': 'a,b', 'PORT': '1,2,3'"), "different numbers"),
        ("auth.User", engine("'PASSWORD': 'p@ss\\nword'"), "line break"),
        ("auth.User", mysql("'USER': ''", ""), "name no USER"),
        ("auth.User", mysql("", "'ssl_mode': 'VERIFY_CA'"), "the authority's file"),
        ("auth.User", mysql("", "'ssl': {'capath': '/etc/ssl/certs'}"), "no capath"),
        ("auth.User", mysql("", "'read_default_file': 'my.cnf'"), "my.cnf cannot be read here"),
        ("auth.User", "PASSWORD_HASHERS = ['special.Own']".into(), "none of PASSWORD_HASHERS"),
        (
            "auth.User",
            "raise ValueError('postgres://u:p@ss@db/site')".into(),
            "ValueError in the project",
        ),
        ("auth.User", "import no_such_module".into(), "ModuleNotFoundError (no_such_module)"),
    ];
    for (model, lines, reason) in cases {
        let export = with(&dir, model, &lines, &[]);
        assert!(!export.complete, "{model} {lines}: {}", export.text);
        assert!(export.directives().iter().all(|line| line.is_empty()), "{}", export.text);
        assert!(export.diagnostics.contains(reason), "{model} {lines}: {}", export.diagnostics);
        assert!(!dir.join("authnz_django").exists(), "{model} {lines}");
    }
    let export = with(&dir, "auth.User", "", &["--database", "nowhere"]);
    assert!(!export.complete && export.diagnostics.contains("nowhere"), "{}", export.diagnostics);
    fs::remove_dir_all(dir).unwrap();
}
