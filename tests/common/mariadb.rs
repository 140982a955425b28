//! A MariaDB server of a test's own: MySQL's protocol and dialect, from Debian's packages.

use super::cluster::{PASSWORD, ids};
use super::django::{Population, populate};
use super::httpd::free_port;
use super::{directory, is_root, run, wait_until};
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// A running server, stopped and removed when it is dropped.
pub struct Mariadb {
    pub dir: PathBuf,
    pub port: u16,
    options: Vec<String>,
    child: Option<Child>,
}

/// Debian's `mysql` belongs to a package that would make a server of the system's; another will do.
fn user() -> &'static str {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    if users.lines().any(|line| line.starts_with("mysql:")) { "mysql" } else { "nobody" }
}

fn command(program: &str) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let (uid, gid) = ids(user());
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={uid}"), &format!("--regid={gid}"), "--clear-groups", program]);
    command
}

/// A directory that the server may write, a copy of `template` if there is one.
fn home(template: Option<&Path>) -> PathBuf {
    let dir = directory("mariadb");
    if let Some(template) = template {
        fs::remove_dir(&dir).unwrap();
        run(Command::new("cp").arg("-a").arg(template).arg(&dir));
    } else if is_root() {
        let (uid, gid) = ids(user());
        chown(&dir, Some(uid), Some(gid)).unwrap();
    }
    dir
}

impl Mariadb {
    /// A server with the database `site`, populated with the users of `model`.
    pub fn start(model: &str) -> (Self, Population) {
        static TEMPLATES: Mutex<Vec<(String, PathBuf, Population)>> = Mutex::new(Vec::new());
        let mut templates = TEMPLATES.lock().unwrap_or_else(PoisonError::into_inner);
        if !templates.iter().any(|(known, ..)| known == model) {
            let mut server = Self::empty(&[]);
            // Names that differ in case are different names: Django's own default is not so.
            server.sql("", "CREATE DATABASE site CHARACTER SET utf8mb4 COLLATE utf8mb4_bin");
            let population = populate(&server.django(), model);
            server.grant(model);
            server.stop();
            let kept = std::mem::take(&mut server.dir);
            std::mem::forget(server);
            templates.push((model.to_owned(), kept, population));
        }
        let (_, template, population) =
            templates.iter().find(|(known, ..)| known == model).unwrap();
        let (template, population) = (template.clone(), population.clone());
        drop(templates);
        (Self::begun(home(Some(&template)), &[]), population)
    }

    /// A server without a database, that `root` and `django` may do anything to.
    pub fn empty(options: &[&str]) -> Self {
        static TEMPLATE: Mutex<Option<PathBuf>> = Mutex::new(None);
        let mut template = TEMPLATE.lock().unwrap_or_else(PoisonError::into_inner);
        let template = template.get_or_insert_with(|| {
            let dir = home(None);
            run(command("mariadb-install-db")
                .args(["--no-defaults", "--skip-test-db", "--innodb-log-file-size=8M"])
                .arg("--auth-root-authentication-method=normal")
                .arg(format!("--datadir={}", dir.join("data").display()))
                .current_dir("/"));
            let mut server = Self::begun(dir, &[]);
            server.sql("", "CREATE USER django; GRANT ALL ON *.* TO django WITH GRANT OPTION");
            server.stop();
            let kept = std::mem::take(&mut server.dir);
            std::mem::forget(server);
            kept
        });
        let dir = home(Some(template));
        Self::begun(dir, options)
    }

    fn begun(dir: PathBuf, options: &[&str]) -> Self {
        let options = options.iter().map(|option| option.replace("{dir}", dir.to_str().unwrap()));
        let mut server = Self { port: free_port(), options: options.collect(), dir, child: None };
        server.begin();
        server
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.join("socket")
    }

    /// Starts the stopped server, on the same port.
    pub fn begin(&mut self) {
        let _ = fs::remove_file(self.socket());
        let path = |name: &str| self.dir.join(name).display().to_string();
        let child = command("/usr/sbin/mariadbd")
            .args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve"])
            .args(["--innodb-log-file-size=8M", "--innodb-buffer-pool-size=16M"])
            .args(["--innodb-flush-log-at-trx-commit=0", "--max-connections=50"])
            .args(["--thread-stack=256K", "--skip-log-bin"])
            .args([format!("--datadir={}", path("data")), format!("--socket={}", path("socket"))])
            .args([format!("--port={}", self.port), format!("--log-error={}", path("error.log"))])
            .args([format!("--pid-file={}", path("pid"))])
            .args(&self.options)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let socket = self.socket();
        wait_until("MariaDB starts", 30, || UnixStream::connect(&socket).is_ok());
    }

    /// Stops the server, which breaks its connections.
    pub fn stop(&mut self) {
        self.signal("TERM");
        if let Some(mut child) = self.child.take() {
            child.wait().unwrap();
        }
    }

    pub fn restart(&mut self) {
        self.stop();
        self.begin();
    }

    /// Restarts the server with further options.
    pub fn restart_with(&mut self, options: &[String]) {
        self.options.extend_from_slice(options);
        self.restart();
    }

    /// Sends a signal to the server: STOP makes a host that does not answer.
    pub fn signal(&self, name: &str) {
        if let Some(child) = &self.child {
            let _ = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
        }
    }

    /// Runs SQL as the owner of everything.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        run(Command::new("mariadb")
            .args(["--no-defaults", "-u", "root", "-N", "-B", "--default-character-set=utf8mb4"])
            .arg(format!("--socket={}", self.socket().display()))
            .arg(format!("--database={database}"))
            .args(["-e", sql]))
    }

    /// What the README tells administrators to grant.
    fn grant(&self, model: &str) {
        if !["auth.User", "accounts.User"].contains(&model) {
            // tests/export.rs grants by name.
            self.sql(
                "site",
                &format!(
                    "CREATE USER apache IDENTIFIED BY '{PASSWORD}'; GRANT SELECT ON site.* TO apache"
                ),
            );
            return;
        }
        let table = model.to_lowercase().replace('.', "_");
        let username = if model == "auth.User" { "username, is_staff" } else { "email" };
        self.sql(
            "site",
            &format!(
                "CREATE USER apache IDENTIFIED BY '{PASSWORD}';
                 GRANT SELECT (id, {username}, password, is_active, is_superuser) ON {table} TO apache;
                 GRANT SELECT ON {table}_groups TO apache; GRANT SELECT ON auth_group TO apache;
                 GRANT SELECT ON {table}_user_permissions TO apache;
                 GRANT SELECT ON auth_group_permissions TO apache;
                 GRANT SELECT ON auth_permission TO apache;
                 GRANT SELECT ON django_content_type TO apache;
                 GRANT SELECT (session_key, session_data, expire_date) ON django_session TO apache"
            ),
        );
    }

    /// The database as Django is told of it.
    pub fn django(&self) -> String {
        format!("mysql://django@127.0.0.1:{}/site", self.port)
    }

    /// The database as the module is told of it, by TCP and without TLS.
    pub fn url(&self) -> String {
        format!("mysql://apache:{PASSWORD}@127.0.0.1:{}/site", self.port)
    }

    /// How many connections the module has now.
    pub fn connections(&self) -> usize {
        let sql = "SELECT count(*) FROM information_schema.processlist WHERE user = 'apache'";
        self.sql("", sql).trim().parse().unwrap()
    }

    /// From now on the server notes what it is asked; see `statements`.
    pub fn note(&self) {
        let file = self.dir.join("general.log");
        let file = file.display();
        self.sql("", &format!("SET GLOBAL general_log_file = '{file}', GLOBAL general_log = 1"));
    }

    /// What it was asked, of the kind `Prepare`, `Execute` or `Query`, with `text` in it.
    pub fn statements(&self, kind: &str, text: &str) -> usize {
        let log = fs::read_to_string(self.dir.join("general.log")).unwrap();
        let kind = format!(" {kind}\t");
        log.lines().filter(|line| line.contains(&kind) && line.contains(text)).count()
    }
}

impl Drop for Mariadb {
    fn drop(&mut self) {
        self.signal("CONT");
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}
