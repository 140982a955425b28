//! Django itself: it makes the users, and it is asked what is right.

use super::{directory, is_root, required, run};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A user of the reference project (`tests/django/populate.py`).
#[derive(Debug, Clone)]
pub struct Person {
    pub username: String,
    pub password: String,
    pub kind: String,
    pub groups: Vec<String>,
    /// Django may be asked about this row.
    pub oracle: bool,
    /// Only Django 4.2 and older know its algorithm.
    pub dropped: bool,
    /// The row costs what a live one does.
    pub slow: bool,
    /// Basic authentication can carry the name.
    pub basic: bool,
}

/// What `populate.py` made.
#[derive(Debug, Clone)]
pub struct Population {
    pub model: String,
    pub hashers: Vec<String>,
    pub groups: Vec<String>,
    pub permissions: Vec<String>,
    pub users: Vec<Person>,
}

/// The line that names the reference project's user model; none where it is Django's own.
pub fn user_model(model: &str) -> &'static str {
    match model {
        "auth.User" => "",
        "accounts.User" => "AuthDjangoUserModel accounts.User username=email is_staff=none\n",
        "accounts.Odd" => {
            r#"AuthDjangoUserModel accounts.Odd "table=Odd User's Täble" "id=Serial No" \
                "username=Log In" "password=Pass\\Word" "is_active=Is Active?" is_staff=none \
                "groups_table=Odd Members\\" "groups_user_id=Who Is It" \
                "groups_group_id=Which Group" permissions_user_id=odd_id
"#
        }
        model => panic!("the reference project has no {model}"),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(text).collect()
}

/// Makes the tables and users of the reference project.
pub fn populate(database: &str, model: &str) -> Population {
    let output = run(python("5.2", "populate.py", database, model));
    let value: Value = serde_json::from_str(&output).unwrap();
    let users = value["users"].as_array().unwrap();
    Population {
        model: model.to_owned(),
        hashers: texts(&value["hashers"]),
        groups: texts(&value["groups"]),
        permissions: texts(&value["permissions"]),
        users: users
            .iter()
            .map(|user| Person {
                username: text(&user["username"]),
                password: text(&user["password"]),
                kind: text(&user["kind"]),
                groups: texts(&user["groups"]),
                oracle: user["oracle"].as_bool().unwrap(),
                dropped: user["dropped"].as_bool().unwrap(),
                slow: user["slow"].as_bool().unwrap(),
                basic: user["basic"].as_bool().unwrap(),
            })
            .collect(),
    }
}

/// A script of `tests/django` under the Django of that version.
pub fn python<'a>(version: &str, script: &str, database: &str, model: &str) -> &'a mut Command {
    let venv = required("DJANGO_VENV");
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/django");
    let mut command = Command::new(format!("{venv}/bin/python"));
    command
        .arg(scripts.join(script))
        .current_dir(&scripts)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("DJANGO_DB", database)
        .env("DJANGO_USER_MODEL", model);
    if version != "5.2" {
        command.env("PYTHONPATH", format!("{venv}/../django-{version}"));
    }
    Box::leak(Box::new(command))
}

/// The tables that the site of `remote_settings.py` needs beside those of the reference project, in
/// the SQLite file `path`, and the users `names`: `-bob` is not active.
pub fn prepare(path: &Path, names: &[&str]) {
    let path = path.to_str().unwrap();
    run(python("5.2", "remote_prepare.py", path, "auth.User").args(names));
}

/// Where that site is, for programs that import it, and the examples that it is built from.
pub fn site_path() -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    format!("{root}/tests/django:{root}/apache/examples")
}

/// Django's own `check_password` and `groups_for_user` (`contrib/auth/handlers/modwsgi.py`).
pub struct Oracle {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Oracle {
    pub fn start(version: &str, database: &str, model: &str) -> Self {
        let mut child = python(version, "oracle.py", database, model)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let questions = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, questions, answers }
    }

    fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.questions, "{question}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{question}: {line:?}: {e}"))
    }

    /// True, false, or null for nobody; `Err` where Django raises.
    pub fn check_password(
        &mut self,
        username: &str,
        password: &str,
    ) -> Result<Option<bool>, String> {
        let question = json!({"op": "check_password", "username": username, "password": password});
        let reply = self.ask(&question);
        match reply.get("error") {
            Some(error) => Err(text(error)),
            None => Ok(reply["answer"].as_bool()),
        }
    }

    pub fn groups_for_user(&mut self, username: &str) -> Vec<String> {
        let reply = self.ask(&json!({"op": "groups_for_user", "username": username}));
        texts(&reply["answer"])
    }

    /// Django's `user.has_perm`, for each.
    pub fn has_perm(&mut self, username: &str, permissions: &[String]) -> Vec<bool> {
        let question = json!({"op": "has_perm", "username": username, "permissions": permissions});
        let reply = self.ask(&question);
        reply["answer"].as_array().unwrap().iter().map(|is| is.as_bool().unwrap()).collect()
    }

    /// `is_active`, `is_staff`, `is_superuser`.
    pub fn flags(&mut self, username: &str) -> [bool; 3] {
        let reply = self.ask(&json!({"op": "flags", "username": username}));
        ["is_active", "is_staff", "is_superuser"]
            .map(|name| reply["answer"][name].as_bool().unwrap())
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A session as Django has written it.
pub struct Session {
    pub key: String,
    /// `_auth_user_id`.
    pub user_id: String,
    /// `session_data`.
    pub data: String,
    /// In UTC, without the fraction of a second.
    pub expire_date: String,
}

/// The site's login page: Django's sessions of one engine.
pub struct Sessions {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    engine: &'static str,
    /// Where those of the engine `file` are.
    pub files: PathBuf,
}

impl Sessions {
    pub fn start(engine: &'static str, database: &str) -> Self {
        let mut child = python("5.2", "sessions.py", database, "auth.User")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let questions = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, questions, answers, engine, files: directory("sessions") }
    }

    /// The words of AuthDjangoSession.
    pub fn words(&self) -> String {
        match self.engine {
            "file" => format!("file path={}", self.files.display()),
            engine => engine.to_owned(),
        }
    }

    fn ask(&mut self, mut question: Value, mut settings: Value) -> Value {
        if self.engine == "file" {
            settings["SESSION_FILE_PATH"] = json!(self.files);
        }
        question["engine"] = json!(self.engine);
        question["settings"] = settings;
        writeln!(self.questions, "{question}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let mut reply: Value = serde_json::from_str(&line).unwrap();
        assert!(reply.get("error").is_none(), "{question}: {reply}");
        reply["answer"].take()
    }

    /// Logs in, and gives the value of the cookie.
    pub fn log_in(&mut self, name: &str) -> String {
        self.log_in_with(name, json!({}))
    }

    /// The same, where the settings differ from those of the reference project.
    pub fn log_in_with(&mut self, name: &str, settings: Value) -> String {
        text(&self.ask(json!({"login": name}), settings))
    }

    /// By another back end.
    pub fn log_in_by(&mut self, backend: &str, name: &str) -> String {
        text(&self.ask(json!({"login": name, "backend": backend}), json!({})))
    }

    pub fn anonymous(&mut self) -> String {
        text(&self.ask(json!({"anonymous": true}), json!({})))
    }

    pub fn log_out(&mut self, cookie: &str) {
        self.ask(json!({"logout": cookie}), json!({}));
    }

    pub fn expire(&mut self, cookie: &str) {
        self.ask(json!({"expire": cookie}), json!({}));
    }

    pub fn change(&mut self, what: impl Into<String>) {
        self.ask(json!({"change": [what.into()]}), json!({}));
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.files);
    }
}

/// Django as a user of its own, whose connection stays open until it is told to close it.
pub struct Resident {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Resident {
    pub fn start(user: &str, database: &str, model: &str) -> Self {
        assert!(is_root(), "this test runs Django as {user}: run `make test` as root");
        let mut child = python("5.2", "resident.py", database, model)
            .arg(user)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let questions = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, questions, answers }
    }

    fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.questions, "{question}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let mut reply: Value = serde_json::from_str(&line).unwrap();
        assert!(reply.get("error").is_none(), "{question}: {reply}");
        reply["answer"].take()
    }

    pub fn change(&mut self, what: impl Into<String>) {
        self.ask(&json!({"change": [what.into()]}));
    }

    /// Logs in, as a site's login page does.
    pub fn log_in(&mut self, name: &str) -> Session {
        let answer = self.ask(&json!({"log in": name}));
        let [key, user_id, data, expire_date] = <[String; 4]>::try_from(texts(&answer)).unwrap();
        Session { key, user_id, data, expire_date }
    }

    /// The first row.
    pub fn sql(&mut self, sql: &str) -> Value {
        self.ask(&json!({"sql": sql}))
    }

    pub fn close(&mut self) {
        self.ask(&json!({"close": true}));
    }

    /// As a crash or the OOM killer does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
