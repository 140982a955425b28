//! `file:`, `env:` and `exec:`: where a secret comes from, so that the configuration holds none.

#![forbid(unsafe_code)]

use crate::error::Error;
use std::env;
use std::fs;
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// How long a program of `exec:` may take.
const EXEC_TIMEOUT: Duration = Duration::from_secs(10);

/// No secret is longer (bytes).
const MAX_LENGTH: u64 = 64 * 1024;

/// The SOURCE of a directive that takes a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The whole file, without the line break at its end.
    File(PathBuf),
    /// A variable of the environment that httpd is started with.
    Env(String),
    /// The first line that a program prints; words after it are its arguments.
    Exec(PathBuf, Vec<String>),
}

impl Source {
    /// Reads `file:PATH`, `env:NAME` or `exec:PROGRAM` and looks whether what it names is there
    /// and is kept from others. Reads no secret and runs nothing: `apachectl configtest` comes here.
    ///
    /// # Errors
    /// The reason and the remedy, for `apachectl configtest`.
    pub fn parse(word: &str) -> Result<Self, String> {
        match word.split_once(':') {
            Some(("file", path)) => {
                let path = absolute(path)?;
                let found = fs::metadata(&path).map_err(|e| format!("{}: {e}", path.display()))?;
                if !found.is_file() {
                    return Err(format!("{} is not a file", path.display()));
                }
                if found.permissions().mode() & 0o007 != 0 {
                    return Err(format!(
                        "{0} is open to every user of this machine: chmod o= {0}",
                        path.display()
                    ));
                }
                Ok(Self::File(path))
            }
            Some(("env", name)) if !name.is_empty() && !name.contains('=') => {
                Ok(Self::Env(name.to_owned()))
            }
            Some(("exec", line)) => {
                let mut words = line.split_whitespace();
                let program = absolute(words.next().unwrap_or_default())?;
                let found =
                    fs::metadata(&program).map_err(|e| format!("{}: {e}", program.display()))?;
                if !found.is_file() || found.permissions().mode() & 0o111 == 0 {
                    return Err(format!("{} is not a program", program.display()));
                }
                Ok(Self::Exec(program, words.map(str::to_owned).collect()))
            }
            // The word itself may be the password: it is not repeated.
            _ => Err("must be file:PATH, env:NAME or exec:PROGRAM".into()),
        }
    }

    /// Fetches the secret: once, before the fork, by the user who starts the server.
    ///
    /// # Errors
    /// `Error::Secret` with source and reason, never with what was read.
    pub fn read(&self) -> Result<Zeroizing<String>, Error> {
        let (name, text) = match self {
            Self::File(path) => (format!("file:{}", path.display()), read_file(path)),
            Self::Env(name) => (
                format!("env:{name}"),
                env::var(name)
                    .map(|value| Zeroizing::new(value.into_bytes()))
                    .map_err(|_| "httpd was started without this variable".to_owned()),
            ),
            Self::Exec(program, arguments) => {
                (format!("exec:{}", program.display()), run(program, arguments))
            }
        };
        text.and_then(|bytes| clean(&bytes))
            .map_err(|reason| Error::Secret(format!("{name}: {reason}")))
    }
}

fn absolute(path: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(path);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(format!("\"{}\" is not an absolute path", path.display()))
    }
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut bytes = Zeroizing::new(Vec::new());
    fs::File::open(path)
        .and_then(|file| file.take(MAX_LENGTH + 1).read_to_end(&mut bytes))
        .map_err(|e| e.to_string())?;
    Ok(bytes)
}

/// Runs `program`, and gives up on it after `EXEC_TIMEOUT`. A socket carries its output, because
/// reading from one can time out even where a grandchild keeps the other end open.
fn run(program: &Path, arguments: &[String]) -> Result<Zeroizing<Vec<u8>>, String> {
    let deadline = Instant::now() + EXEC_TIMEOUT;
    let (mut ours, theirs) = UnixStream::pair().map_err(|e| e.to_string())?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(OwnedFd::from(theirs))
        .spawn()
        .map_err(|e| e.to_string())?;
    let mut bytes = Zeroizing::new(Vec::new());
    let read = read_line(&mut ours, &mut bytes, deadline);
    let status = loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) => break Some(status),
            None if Instant::now() > deadline => break None,
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    match status {
        Some(status) if status.success() => read.map(|()| bytes),
        Some(status) => Err(format!("the program ended with {status}")),
        None => {
            // The only failure is that it has just ended.
            let _ = child.kill();
            let _ = child.wait();
            Err(format!("the program took longer than {} s", EXEC_TIMEOUT.as_secs()))
        }
    }
}

/// Reads to the end of the first line or of the output.
fn read_line(from: &mut UnixStream, into: &mut Vec<u8>, deadline: Instant) -> Result<(), String> {
    let mut part = Zeroizing::new([0; 1024]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        from.set_read_timeout(Some(left.max(Duration::from_millis(1))))
            .map_err(|e| e.to_string())?;
        let count = match from.read(&mut part[..]) {
            Ok(count) => count,
            // A signal of httpd's, as that of the next restart.
            Err(e) if e.kind() == ErrorKind::Interrupted && Instant::now() < deadline => continue,
            Err(e) => return Err(e.to_string()),
        };
        into.extend(part.iter().take(count));
        if let Some(end) = into.iter().position(|&byte| byte == b'\n') {
            into.truncate(end);
            return Ok(());
        }
        if count == 0 || into.len() as u64 > MAX_LENGTH {
            return Ok(());
        }
    }
}

fn clean(bytes: &[u8]) -> Result<Zeroizing<String>, String> {
    if bytes.len() as u64 > MAX_LENGTH {
        return Err(format!("longer than {MAX_LENGTH} bytes"));
    }
    let text = str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err("empty".into());
    }
    if text.contains(['\0', '\n']) {
        return Err("more than one line".into());
    }
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(name: &str, text: &str, mode: u32) -> PathBuf {
        let path = env::temp_dir().join(format!("authnz-django-{}-{name}", std::process::id()));
        fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_file_gives_its_text() {
        let path = file("secret", " pass word \n", 0o600);
        let source = Source::parse(&format!("file:{}", path.display())).unwrap();
        assert_eq!(*source.read().unwrap(), " pass word ");
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let path = file("open", "password", 0o644);
        let error = Source::parse(&format!("file:{}", path.display())).unwrap_err();
        assert!(error.contains("chmod o="), "{error}");
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_program_gives_its_first_line() {
        let source = Source::parse("exec:/usr/bin/printf pass%bword\\nmore\\n \\x20").unwrap();
        assert_eq!(*source.read().unwrap(), "pass word");
    }

    #[test]
    fn a_program_that_fails_is_an_error() {
        let error = Source::parse("exec:/bin/false").unwrap().read().unwrap_err().to_string();
        assert!(error.contains("exit status: 1"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_said_and_the_word_is_not() {
        for word in ["hunter2", "file:relative", "file:/does/not/exist", "exec:/etc/passwd", "env:"]
        {
            let error = Source::parse(word).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let unset = Source::parse("env:AUTHNZ_DJANGO_NO_SUCH_VARIABLE").unwrap();
        assert!(unset.read().unwrap_err().to_string().contains("without this variable"));
        assert!(clean(b"a\nb").is_err() && clean(b"\n").is_err() && clean(b"\xff").is_err());
    }
}
