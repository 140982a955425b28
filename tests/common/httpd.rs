//! A real Apache with a configuration, port and log of its own.

use super::client::{self, Response, basic};
use super::{directory, module, run, wait_until};
use std::collections::HashSet;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// The MPMs, all of which every live test may be run with.
pub const MPMS: [&str; 3] = ["prefork", "worker", "event"];

/// Where Debian and apxs put things.
static LIBEXECDIR: LazyLock<String> = LazyLock::new(|| apxs("LIBEXECDIR"));

/// The server's program.
pub static PROGRAM: LazyLock<String> =
    LazyLock::new(|| format!("{}/{}", apxs("SBINDIR"), apxs("PROGNAME")));

fn apxs(variable: &str) -> String {
    run(Command::new("apxs").args(["-q", variable])).trim().to_owned()
}

/// What a test says of its server before it starts.
pub struct Setup {
    pub topic: String,
    pub mpm: String,
    /// Modules of httpd's beside those that every server here has; in this order.
    pub modules: Vec<String>,
    /// Our module; before the others where `module_first`.
    pub module: String,
    pub module_first: bool,
    /// Sized for tests: one child of 8 threads, or four children of one.
    pub mpm_lines: String,
    /// The configuration of the test. `{dir}` stands for the server's directory.
    pub config: String,
    pub environment: Vec<(String, String)>,
    pub program_prefix: Vec<String>,
    /// Whom the children run as, where they can.
    pub user: String,
}

impl Setup {
    pub fn new(topic: &str, config: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            mpm: "event".into(),
            modules: Vec::new(),
            module: module(),
            module_first: false,
            mpm_lines: "StartServers 1\nMinSpareThreads 1\nMaxSpareThreads 8\nThreadsPerChild 8\n\
                        MaxRequestWorkers 8\nServerLimit 1\n"
                .into(),
            config: config.into(),
            environment: Vec::new(),
            program_prefix: Vec::new(),
            user: "www-data".into(),
        }
    }

    pub fn mpm(mut self, mpm: &str) -> Self {
        self.mpm = mpm.into();
        if mpm == "prefork" {
            self.mpm_lines =
                "StartServers 4\nMinSpareServers 1\nMaxSpareServers 4\nMaxRequestWorkers 12\n"
                    .into();
        }
        self
    }

    pub fn modules(mut self, modules: &[&str]) -> Self {
        self.modules = modules.iter().map(|&module| module.to_owned()).collect();
        self
    }

    /// Writes the configuration; gives the directory and the port.
    pub fn write(&self) -> (PathBuf, u16) {
        let dir = directory(&self.topic);
        let port = free_port();
        for folder in ["htdocs", "htdocs/public", "htdocs/members", "htdocs/secret"] {
            fs::create_dir_all(dir.join(folder)).unwrap();
            fs::write(dir.join(folder).join("index.html"), format!("this is {folder}\n")).unwrap();
        }
        fs::write(dir.join("mime.types"), "text/html html\n").unwrap();
        fs::write(dir.join("httpd.conf"), self.text(&dir, port)).unwrap();
        (dir, port)
    }

    fn text(&self, dir: &Path, port: u16) -> String {
        let base = ["authn_core", "authz_core", "auth_basic", "authn_file", "authz_user", "dir"];
        let mut modules = vec![format!("mpm_{}", self.mpm)];
        modules.extend(base.iter().map(|&module| module.to_owned()));
        modules.extend(self.modules.iter().cloned());
        let mut lines: Vec<String> = modules
            .iter()
            .map(|name| format!("LoadModule {name}_module {}/mod_{name}.so", *LIBEXECDIR))
            .collect();
        let ours = format!("LoadModule authnz_django_module {}", self.module);
        lines.insert(if self.module_first { 1 } else { lines.len() }, ours);
        let dir = dir.display();
        let user = if super::is_root() {
            let group = run(Command::new("id").args(["-gn", &self.user]));
            format!("User {}\nGroup {group}", self.user)
        } else {
            String::new()
        };
        format!(
            "ServerRoot {dir}\nServerName localhost\nListen 127.0.0.1:{port}\nPidFile {dir}/pid\n\
             {user}Mutex file:{dir} default\nDefaultRuntimeDir {dir}\nErrorLog {dir}/error.log\nLogLevel warn authnz_django:info\n\
             DocumentRoot {dir}/htdocs\n\
             {}\n<IfModule !mpm_none>\n{}</IfModule>\n<Directory {dir}/htdocs>\n    AllowOverride AuthConfig\n</Directory>\n{}\n",
            lines.join("\n"),
            self.mpm_lines,
            self.config.replace("{dir}", &dir.to_string())
        )
    }

    /// Starts the server and waits until it answers.
    pub fn start(self) -> Httpd {
        let (dir, port) = self.write();
        self.start_in(dir, port)
    }

    /// Starts the server on what `write` left, perhaps changed since.
    pub fn start_in(self, dir: PathBuf, port: u16) -> Httpd {
        let mut words = self.program_prefix.clone();
        words.push(PROGRAM.clone());
        let output = fs::File::create(dir.join("output.log")).unwrap();
        let child = Command::new(&words[0])
            .args(&words[1..])
            .args(["-DFOREGROUND", "-f"])
            .arg(dir.join("httpd.conf"))
            .envs(self.environment.clone())
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            // prefork stops by a signal to its whole process group, which must not be ours.
            .process_group(0)
            .spawn()
            .unwrap();
        let mut httpd =
            Httpd { dir, port, child, expected: Vec::new(), allowed: Vec::new(), checked: false };
        wait_until("the server's start", 20, || {
            assert!(
                httpd.child.try_wait().unwrap().is_none(),
                "the server ended: {}{}",
                httpd.output(),
                httpd.log()
            );
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        httpd
    }

    /// `apachectl configtest`: the message of a configuration that does not pass.
    pub fn configtest(&self) -> Result<String, String> {
        let (dir, _) = self.write();
        let output = Command::new(&*PROGRAM)
            .args(["-t", "-f"])
            .arg(dir.join("httpd.conf"))
            .envs(self.environment.clone())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        fs::remove_dir_all(dir).unwrap();
        if output.status.success() { Ok(text) } else { Err(text) }
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A running server. When it is dropped it is stopped, and its log must hold no error or warning
/// but those that the test expects.
pub struct Httpd {
    pub dir: PathBuf,
    pub port: u16,
    child: Child,
    expected: Vec<String>,
    allowed: Vec<String>,
    checked: bool,
}

impl Httpd {
    pub fn get(&self, path: &str) -> Response {
        client::get(self.port, path, "")
    }

    pub fn get_as(
        &self,
        path: &str,
        user: impl AsRef<[u8]>,
        password: impl AsRef<[u8]>,
    ) -> Response {
        client::get(self.port, path, &basic(user, password))
    }

    /// The status for a user.
    pub fn status(&self, path: &str, user: impl AsRef<[u8]>, password: impl AsRef<[u8]>) -> u16 {
        self.get_as(path, user, password).status
    }

    /// Lines with this text may be in the log or not.
    pub fn allow_in_log(&mut self, text: &str) {
        self.allowed.push(text.to_owned());
    }

    /// Lines with this text are no surprise in the log, and must come.
    pub fn expect_in_log(&mut self, text: &str) {
        self.expected.push(text.to_owned());
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("error.log")).unwrap_or_default()
    }

    fn output(&self) -> String {
        fs::read_to_string(self.dir.join("output.log")).unwrap_or_default()
    }

    /// How many lines of the log have this text.
    pub fn count_in_log(&self, text: &str) -> usize {
        self.log().lines().filter(|line| line.contains(text)).count()
    }

    /// How many children have said that since the log had so many lines.
    pub fn children_in_log(&self, since: usize, text: &str) -> usize {
        let log = self.log();
        let said = log.lines().skip(since).filter(|line| line.contains(text));
        let pids = said.filter_map(|line| line.split_once("[pid ")?.1.split([':', ']']).next());
        pids.collect::<HashSet<_>>().len()
    }

    pub fn pid(&self) -> u32 {
        let mut pid = None;
        // A restart writes the file anew.
        wait_until("the server's pid", 10, || {
            let text = fs::read_to_string(self.dir.join("pid")).unwrap_or_default();
            pid = text.trim().parse().ok();
            pid.is_some()
        });
        pid.unwrap()
    }

    pub fn signal(&self, name: &str) {
        // It listens before it takes signals.
        self.wait_for_start();
        run(Command::new("kill").args(["-s", name, &self.pid().to_string()]));
    }

    pub fn wait_for_start(&self) {
        wait_until("the start", 20, || self.count_in_log("resuming normal operations") > 0);
    }

    /// The processes that serve requests.
    pub fn children(&self) -> Vec<u32> {
        let parent = self.pid();
        let path = format!("/proc/{parent}/task/{parent}/children");
        let list = fs::read_to_string(path).unwrap();
        list.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    }

    /// Stops the server and gives its whole log.
    pub fn stop(&mut self) -> String {
        let mut asked = None::<Instant>;
        wait_until("the server's end", 30, || {
            if self.child.try_wait().unwrap().is_some() {
                return true;
            }
            // httpd forgets a signal that comes while it reads its configuration anew.
            if asked.is_none_or(|asked| asked.elapsed() > Duration::from_secs(5)) {
                asked = Some(Instant::now());
                let _ = Command::new("kill")
                    .args(["-s", "TERM", &self.child.id().to_string()])
                    .status();
            }
            false
        });
        self.log() + &self.output()
    }

    /// Lines of error, warning and worse that the test did not expect, nor mod_auth_basic's and
    /// mod_authz_core's own words for a refusal.
    fn unexpected(log: &str, expected: &[String]) -> Vec<String> {
        // And that no child is idle, which may be so in servers of a test's size.
        let refusals =
            ["AH01614", "AH01617", "AH01618", "AH01631", "AH01630", "AH01790", "AH00161"];
        log.lines()
            .filter(|line| {
                [":emerg]", ":alert]", ":crit]", ":error]", ":warn]"]
                    .iter()
                    .any(|level| line.contains(level))
                    || !line.starts_with('[')
            })
            .filter(|line| !refusals.iter().any(|number| line.contains(number)))
            .filter(|line| !expected.iter().any(|text| line.contains(text.as_str())))
            .map(str::to_owned)
            .collect()
    }

    /// Stops the server and demands that its log is clean and that every expected line came.
    pub fn finish(mut self) {
        self.check();
    }

    fn check(&mut self) {
        self.checked = true;
        let before = self.log().lines().count();
        let log = self.stop();
        // At its end event closes the sockets of its workers, one of which may be about to wait for
        // what a client still sends.
        let at_the_end = |line: &str| line.contains("(9)Bad file descriptor: AH03092");
        let lines = log.lines().enumerate().filter(|(n, line)| *n < before || !at_the_end(line));
        let log: String = lines.flat_map(|(_, line)| [line, "\n"]).collect();
        let known = [&self.expected[..], &self.allowed].concat();
        let unexpected = Self::unexpected(&log, &known);
        assert!(unexpected.is_empty(), "unexpected in the log:\n{}", unexpected.join("\n"));
        for text in &self.expected {
            assert!(log.contains(text), "not in the log: {text}\n{log}");
        }
        fs::remove_dir_all(&self.dir).unwrap();
    }
}

impl Drop for Httpd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // With its children, who would go on serving.
            let group = format!("-{}", self.child.id());
            let _ = Command::new("kill").args(["-s", "KILL", "--", &group]).status();
            let _ = self.child.wait();
            eprintln!("the log of {}:\n{}{}", self.dir.display(), self.log(), self.output());
        } else if !self.checked {
            self.check();
        }
    }
}
