//! A PostgreSQL cluster of a test's own, with the reference project's tables in it.

use super::django::{Population, populate};
use super::httpd::free_port;
use super::mariadb::Mariadb;
use super::{command_as, directory, is_root, required, run, wait_until};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

/// The password of `apache`, the role that httpd uses; no log may ever hold it.
pub const PASSWORD: &str = "apache-s3cret";

/// A running cluster, stopped and removed when it is dropped.
pub struct Cluster {
    pub dir: PathBuf,
    pub port: u16,
}

impl Cluster {
    /// A cluster with the database `site`, populated with the users of `model`.
    pub fn start(model: &str) -> (Self, Population) {
        static TEMPLATES: Mutex<Vec<(String, PathBuf, Population)>> = Mutex::new(Vec::new());
        let mut templates = TEMPLATES.lock().unwrap_or_else(PoisonError::into_inner);
        if !templates.iter().any(|(known, ..)| known == model) {
            let cluster = Self::initdb();
            cluster.sql("postgres", "CREATE ROLE apache LOGIN PASSWORD 'apache-s3cret'");
            cluster.sql("postgres", "CREATE DATABASE site");
            cluster.sql("site", "CREATE SCHEMA crm");
            let population = populate(&cluster.django(), model);
            cluster.grant(model);
            cluster.ctl(&["stop", "-m", "fast"]);
            let kept = cluster.dir.clone();
            std::mem::forget(cluster);
            templates.push((model.to_owned(), kept, population));
        }
        let (_, template, population) =
            templates.iter().find(|(known, ..)| known == model).unwrap();
        let (template, population) = (template.clone(), population.clone());
        drop(templates);
        let cluster = Self { dir: directory("cluster"), port: free_port() };
        fs::remove_dir(&cluster.dir).unwrap();
        run(Command::new("cp").arg("-a").arg(&template).arg(&cluster.dir));
        cluster.begin();
        (cluster, population)
    }

    fn initdb() -> Self {
        let cluster = Self { dir: directory("pg"), port: free_port() };
        if is_root() {
            let (uid, gid) = ids("postgres");
            chown(&cluster.dir, Some(uid), Some(gid)).unwrap();
        }
        run(cluster.command("initdb").arg("-D").arg(cluster.dir.join("data")).args([
            "-U",
            "django",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        ]));
        let lines = "local all django trust\nhost all django 127.0.0.1/32 trust\n\
                     local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n";
        fs::write(cluster.dir.join("data/pg_hba.conf"), lines).unwrap();
        cluster.begin();
        cluster
    }

    fn command(&self, program: &str) -> Command {
        let program = format!("{}/{program}", required("PGBIN"));
        let mut command =
            if is_root() { command_as("postgres", &program) } else { Command::new(program) };
        command.current_dir("/");
        command
    }

    fn ctl(&self, words: &[&str]) {
        run(self.command("pg_ctl").arg("-D").arg(self.dir.join("data")).arg("-w").args(words));
    }

    /// Starts the stopped server, on the same port.
    pub fn begin(&self) {
        let options = format!(
            "-p {} -k {} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=50 \
             -c shared_buffers=16MB",
            self.port,
            self.dir.display()
        );
        let log = self.dir.join("log");
        self.ctl(&["start", "-s", "-l", log.to_str().unwrap(), "-o", &options]);
    }

    /// Stops the server, breaking its connections.
    pub fn stop(&self) {
        self.ctl(&["stop", "-s", "-m", "fast"]);
    }

    /// Sends a signal to every process of the server: STOP makes a host that does not answer.
    pub fn signal(&self, name: &str) {
        // Where a test has stopped it, there is none.
        let Ok(pid) = fs::read_to_string(self.dir.join("data/postmaster.pid")) else { return };
        let pid = pid.lines().next().unwrap().to_owned();
        let path = format!("/proc/{pid}/task/{pid}/children");
        let children = fs::read_to_string(path).unwrap();
        // What is gone by now has ended by itself.
        let _ = Command::new("kill")
            .args(["-s", name, &pid])
            .args(children.split_whitespace())
            .stderr(std::process::Stdio::null())
            .status();
    }

    /// Runs SQL as the owner of the database.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        run(Command::new(format!("{}/psql", required("PGBIN")))
            .args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-U", "django", "-d", database])
            .arg("-h")
            .arg(&self.dir)
            .args(["-p", &self.port.to_string(), "-c", sql]))
    }

    /// Runs a file of `apache/` as the owner of the database.
    pub fn script(&self, database: &str, file: &str, words: &[&str]) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("apache").join(file);
        run(Command::new(format!("{}/psql", required("PGBIN")))
            .args(["-X", "-q", "-U", "django", "-d", database, "-h"])
            .arg(&self.dir)
            .args(["-p", &self.port.to_string()])
            .args(words.iter().flat_map(|word| ["-v", word]))
            .arg("-f")
            .arg(path));
    }

    /// A hot standby of this server, which follows it.
    pub fn standby(&self) -> Self {
        let hba = self.dir.join("data/pg_hba.conf");
        let lines = fs::read_to_string(&hba).unwrap();
        fs::write(&hba, format!("local replication django trust\n{lines}")).unwrap();
        self.sql("postgres", "SELECT pg_reload_conf()");
        let standby = Self { dir: directory("standby"), port: free_port() };
        if is_root() {
            let (uid, gid) = ids("postgres");
            chown(&standby.dir, Some(uid), Some(gid)).unwrap();
        }
        let mut backup = self.command("pg_basebackup");
        backup.args(["-U", "django", "-R", "-c", "fast", "--no-sync", "-h"]).arg(&self.dir);
        backup.args(["-p", &self.port.to_string(), "-D"]).arg(standby.dir.join("data"));
        run(&mut backup);
        standby.begin();
        standby
    }

    /// What the README tells administrators to grant.
    fn grant(&self, model: &str) {
        if !["auth.User", "accounts.User"].contains(&model) {
            // tests/export.rs grants by name.
            self.sql("site", "GRANT SELECT ON ALL TABLES IN SCHEMA public, crm TO apache");
            self.sql("site", "GRANT USAGE ON SCHEMA crm TO apache");
            return;
        }
        let table = model.to_lowercase().replace('.', "_");
        let username = if model == "auth.User" { "username, is_staff" } else { "email" };
        self.sql(
            "site",
            &format!(
                "GRANT SELECT (id, {username}, password, is_active, is_superuser) ON {table} TO apache;
                 GRANT SELECT ON {table}_groups, auth_group TO apache;
                 GRANT SELECT ON {table}_user_permissions, auth_group_permissions, auth_permission,
                     django_content_type TO apache;
                 GRANT SELECT (session_key, session_data, expire_date) ON django_session TO apache;"
            ),
        );
    }

    /// The database as Django is told of it.
    pub fn django(&self) -> String {
        format!("postgresql://django@127.0.0.1:{}/site", self.port)
    }

    /// The database as the module is told of it, by TCP and without TLS.
    pub fn url(&self) -> String {
        format!("postgresql://apache:{PASSWORD}@127.0.0.1:{}/site", self.port)
    }

    /// The questions for a user that the server was sent since it started, once the role's
    /// `log_statement` is `all`.
    pub fn questions(&self) -> usize {
        let log = fs::read_to_string(self.dir.join("log")).unwrap();
        let asked = |line: &&str| line.contains("LOG:  execute") && line.contains("auth_user");
        log.lines().filter(asked).count()
    }

    /// How many connections the module has now.
    pub fn connections(&self) -> usize {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'apache'";
        self.sql("postgres", sql).trim().parse().unwrap()
    }

    /// Restarts the server; it is up again when this returns.
    pub fn restart(&self) {
        self.stop();
        self.begin();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.signal("CONT");
        let _ = self
            .command("pg_ctl")
            .arg("-D")
            .arg(self.dir.join("data"))
            .args(["-s", "-w", "-m", "immediate", "stop"])
            .output();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The numbers of a user.
pub fn ids(user: &str) -> (u32, u32) {
    let number =
        |flag: &str| run(Command::new("id").args([flag, user])).trim().parse::<u32>().unwrap();
    (number("-u"), number("-g"))
}

/// A populated SQLite file, readable by all; `www-data` cannot write it.
pub fn sqlite(model: &str) -> (PathBuf, Population) {
    static TEMPLATE: OnceLock<Mutex<Vec<(String, PathBuf, Population)>>> = OnceLock::new();
    let mut templates =
        TEMPLATE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if !templates.iter().any(|(known, ..)| known == model) {
        let path = directory("sqlite").join("db.sqlite3");
        let population = populate(path.to_str().unwrap(), model);
        templates.push((model.to_owned(), path, population));
    }
    let (_, template, population) = templates.iter().find(|(known, ..)| known == model).unwrap();
    let path = directory("sqlite").join("db.sqlite3");
    fs::copy(template, &path).unwrap();
    readable(&path);
    (path, population.clone())
}

fn readable(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}

/// A database of any kind, as a matrix of tests goes through them.
pub enum Database {
    Sqlite(PathBuf),
    Postgresql(Cluster),
    Mysql(Mariadb),
}

impl Database {
    pub const KINDS: [&str; 3] = ["sqlite", "postgresql", "mysql"];

    pub fn start(kind: &str, model: &str) -> (Self, Population) {
        match kind {
            "sqlite" => {
                let (path, population) = sqlite(model);
                (Self::Sqlite(path), population)
            }
            "postgresql" => {
                let (cluster, population) = Cluster::start(model);
                (Self::Postgresql(cluster), population)
            }
            "mysql" => {
                let (server, population) = Mariadb::start(model);
                (Self::Mysql(server), population)
            }
            kind => panic!("no database {kind}"),
        }
    }

    /// For AuthDjangoDatabase.
    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
            Self::Postgresql(cluster) => cluster.url(),
            Self::Mysql(server) => server.url(),
        }
    }

    /// Runs SQL as the owner of the database.
    pub fn sql(&self, sql: &str) {
        match self {
            Self::Sqlite(path) => {
                run(Command::new("sqlite3").arg("-bail").arg(path).arg(sql));
            }
            Self::Postgresql(cluster) => {
                cluster.sql("site", sql);
            }
            Self::Mysql(server) => {
                server.sql("site", sql);
            }
        }
    }

    /// For DJANGO_DB.
    pub fn django(&self) -> String {
        match self {
            Self::Sqlite(path) => path.display().to_string(),
            Self::Postgresql(cluster) => cluster.django(),
            Self::Mysql(server) => server.django(),
        }
    }
}

/// Waits until the server's log is quiet about `what`.
pub fn settle(what: &str, condition: impl FnMut() -> bool) {
    wait_until(what, 15, condition);
}
