//! `apachectl -t -D DUMP_DJANGO`: looks at every site of the configuration under test, as the user
//! that children have, and ends with status 1 if something does not work.
//!
//! Per-directory configurations cannot be walked, so each setter notes its section here, and what
//! holds there is put together from the server, the sections around it and itself. Sections that
//! meet only in a request (a `<Directory>` and a `<Location>`) do not meet here.

use super::guard::guard;
use super::log::Server;
use super::tree::Node;
use super::{child, ffi, module};
use crate::authn::Sessions;
use crate::config::Config;
use crate::error::Error;
use crate::inspect::{Capacity, Finding, Verdict, inspect};
use crate::user::Wants;
use std::ffi::{CStr, CString, c_int};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{io, process, ptr};

/// How long one site may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// A section that a directive of ours stands in.
struct Note {
    config: *const Config,
    server: *const ffi::server_rec,
    /// The node of the section in httpd's tree; NULL at the top.
    section: *const ffi::ap_directive_t,
    /// Where the first directive of ours stands.
    place: String,
}

struct Notes {
    sections: Vec<Note>,
    wants: Wants,
}

// SAFETY: all pointers lead into the configuration, which one thread reads and tests, and which
// `clear` comes before the end of.
unsafe impl Send for Notes {}

const EMPTY: Notes = Notes { sections: Vec::new(), wants: Wants::NOTHING };

static NOTES: Mutex<Notes> = Mutex::new(EMPTY);

fn wanted() -> bool {
    // SAFETY: a query with a constant.
    unsafe { ffi::ap_exists_config_define(c"DUMP_DJANGO".as_ptr()) != 0 }
}

/// Forgets the configuration before this one.
pub(super) fn clear() {
    *NOTES.lock().unwrap_or_else(PoisonError::into_inner) = EMPTY;
}

/// Notes what a Require line asks of a user's row.
pub(super) fn note_wants(wants: &Wants) {
    let mut notes = NOTES.lock().unwrap_or_else(PoisonError::into_inner);
    notes.wants = notes.wants.or(wants);
}

/// Notes the section of a directive of ours that was just read.
pub(super) fn note(cmd: &ffi::cmd_parms, config: *const Config) {
    if !wanted() || cmd.directive.is_null() {
        return;
    }
    let mut notes = NOTES.lock().unwrap_or_else(PoisonError::into_inner);
    if notes.sections.iter().any(|note| ptr::eq(note.config, config)) {
        return;
    }
    // SAFETY: httpd's tree, whose nodes live as long as the configuration.
    let Some(directive) = (unsafe { Node::new(cmd.directive) }) else { return };
    let mut place = directive.place();
    if let Some(section) = directive.parent() {
        place.push_str(&format!(" {section}"));
    }
    // SAFETY: as above.
    let section = unsafe { (*cmd.directive).parent.cast_const() };
    notes.sections.push(Note { config, server: cmd.server, section, place });
}

/// A site, and where it is named.
struct Target {
    config: Config,
    hashers: String,
    places: Vec<String>,
    /// What the sections ask of a user's row.
    wants: Wants,
}

/// The sites of the configuration, each once.
fn targets(notes: &Notes) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    for note in &notes.sections {
        let config = effective(note, notes);
        if config.database.get().is_none() {
            continue;
        }
        let hashers = child::hashers(&config).label();
        let known = targets.iter_mut().find(|target| {
            target.hashers == hashers
                && target.config.database.get() == config.database.get()
                && target.config.user_model.get() == config.user_model.get()
                && target.config.password.get().map(|password| &password.source)
                    == config.password.get().map(|password| &password.source)
                && same_sessions(&target.config, &config)
        });
        match known {
            Some(target) => {
                target.places.push(note.place.clone());
                target.wants = target.wants.or(&config.reads());
                if target.config.sessions().is_none() && config.sessions().is_some() {
                    target.config = config;
                }
            }
            None => {
                let (places, wants) = (vec![note.place.clone()], config.reads());
                targets.push(Target { config, hashers, places, wants });
            }
        }
    }
    targets
}

/// Whether the sessions that one looks at, if it does, are those of the other.
fn same_sessions(one: &Config, other: &Config) -> bool {
    let (Some(sessions), Some(others)) = (one.sessions(), other.sessions()) else { return true };
    (&sessions.site, &sessions.clock) == (&others.site, &others.clock)
        && one.secret_key.get() == other.secret_key.get()
}

/// What holds in a section: what its server has, the sections around it, and itself.
fn effective(note: &Note, notes: &Notes) -> Config {
    // SAFETY: servers, sections and their configurations live as long as the configuration that
    // is tested; nobody changes them now.
    unsafe {
        let defaults =
            note.server.as_ref().map_or(ptr::null_mut(), |server| server.lookup_defaults);
        let defaults = if defaults.is_null() {
            ptr::null()
        } else {
            ffi::ap_get_module_config(defaults, module()).cast::<Config>().cast_const()
        };
        let none = Config::default();
        let mut around = Vec::new();
        let mut node = note.section.as_ref().map_or(ptr::null(), |s| s.parent.cast_const());
        while let Some(section) = node.as_ref() {
            around.extend(notes.sections.iter().find(|other| ptr::eq(other.section, node)));
            node = section.parent;
        }
        let mut config = Config::merge(&none, defaults.as_ref().unwrap_or(&none));
        for outer in around.into_iter().rev() {
            config = Config::merge(&config, &*outer.config);
        }
        Config::merge(&config, &*note.config)
    }
}

/// The hook: httpd has found nothing wrong, and would say "Syntax OK" next.
pub(super) extern "C" fn test_config(_pool: *mut ffi::apr_pool_t, server: *mut ffi::server_rec) {
    if !wanted() {
        return;
    }
    // SAFETY: httpd passes the main server, which lives as long as the configuration.
    let server = unsafe { Server::new(server) };
    let failures = guard(1, || report(server, &mut io::stdout()));
    let _ = io::stdout().flush();
    if failures > 0 {
        // The hook has no result, and httpd would end with 0.
        process::exit(1);
    }
}

/// Writes the report; a terminal that has gone away is no reason to stop. Returns the failures.
fn report(server: Server, out: &mut dyn Write) -> usize {
    let notes = NOTES.lock().unwrap_or_else(PoisonError::into_inner);
    let targets = targets(&notes);
    let capacity = capacity();
    let mut failures = 0;
    if targets.is_empty() {
        let text = "no AuthDjangoDatabase is set anywhere: there is nothing to look at".into();
        let _ = writeln!(out, "{}", Finding { verdict: Verdict::Warning, text });
    }
    for (index, target) in targets.iter().enumerate() {
        let label = target.config.database.get().map_or("", |database| database.label());
        let table = child::user_model(&target.config).table.clone();
        let (n, count) = (index + 1, targets.len());
        let _ = writeln!(out, "site {n} of {count}: {label}");
        let _ =
            writeln!(out, "     users in {table}; AuthDjangoPasswordHashers {}", target.hashers);
        if let Some(sessions) = target.config.sessions() {
            let keys = target.config.secret_key.get().map_or(0, |keys| keys.secrets.len());
            let s = if keys == 1 { "" } else { "s" };
            let (site, backends) = (&sessions.site, sessions.site.backends.join(","));
            let _ = writeln!(
                out,
                "     sessions {}, cookie={} backends={backends}; AuthDjangoSecretKey: {keys} key{s}",
                site.engine, site.cookie
            );
        }
        for place in &target.places {
            let _ = writeln!(out, "     set at {place}");
        }
        let mut tell = |line: &str| {
            failures += usize::from(line.starts_with("FAIL"));
            let _ = writeln!(out, "{line}").and_then(|()| out.flush());
        };
        let wants = notes.wants.or(&target.wants);
        if let Err(reason) = secrets(&target.config) {
            tell(&Finding { verdict: Verdict::Failure, text: reason }.to_string());
        } else if let Err(error) = ask_as_child(server, target, &wants, capacity, &mut tell) {
            let text = format!("the check itself: {error}");
            tell(&Finding { verdict: Verdict::Failure, text }.to_string());
        }
    }
    let _ = writeln!(out, "sites: {}, failures: {failures}", targets.len());
    failures
}

/// What `post_config` reads, as the user who starts httpd.
fn secrets(config: &Config) -> Result<(), String> {
    if let Some(password) = config.password.get().filter(|password| password.value.get().is_none())
    {
        let value = password
            .source
            .read()
            .map_err(|error| format!("AuthDjangoDatabasePassword {error}"))?;
        // Nobody else sets it: there is one thread.
        let _ = password.value.set(value);
    }
    let keys = config.secret_key.get().into_iter().flat_map(|keys| &keys.secrets);
    for key in keys.filter(|key| key.value.get().is_none()) {
        let value = key.source.read().map_err(|error| format!("AuthDjangoSecretKey {error}"))?;
        let _ = key.value.set(value);
    }
    config.database.get().map_or(Ok(()), |database| database.load().map_err(|e| e.to_string()))
}

/// How the site's sessions are read, where they are.
fn sessions(config: &Config) -> Result<Option<Sessions<'_>>, Error> {
    let Some(set) = config.sessions() else { return Ok(None) };
    let keys = config.secret_key.get().ok_or(Error::NoSecretKey)?.keys()?;
    Ok(Some(Sessions { settings: &set.site, keys, clock: config.clock(set) }))
}

/// Inspects in a process of its own, which becomes what a child would be.
fn ask_as_child(
    server: Server,
    target: &Target,
    wants: &Wants,
    capacity: Capacity,
    tell: &mut dyn FnMut(&str),
) -> io::Result<()> {
    let (ours, theirs) = UnixStream::pair()?;
    // SAFETY: this process has one thread, so that the new one is whole; it does not return.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        drop(ours);
        let done = guard(false, || {
            let mut out = theirs;
            let mut tell = |finding: Finding| drop(writeln!(out, "{finding}"));
            // SAFETY: ends this process alone, should nobody else.
            unsafe { libc::alarm(PATIENCE.as_secs() as u32 + 5) };
            match become_child() {
                Ok(user) => {
                    if let Some(user) = user {
                        let text = format!("user: everything is asked as {user}, as children do");
                        tell(Finding { verdict: Verdict::Good, text });
                    }
                    child::begin(server, None);
                    let config = &target.config;
                    match child::site(Some(config)).and_then(|known| Ok((known, sessions(config)?)))
                    {
                        Ok((known, sessions)) => {
                            let hashers = child::hashers(config);
                            inspect(&known.site, hashers, wants, sessions, capacity, &mut tell);
                        }
                        Err(error) => {
                            tell(Finding { verdict: Verdict::Failure, text: error.to_string() });
                        }
                    }
                }
                Err(text) => tell(Finding { verdict: Verdict::Failure, text }),
            }
            true
        });
        // SAFETY: without the handlers of httpd, which belong to its own end.
        unsafe { libc::_exit(c_int::from(!done)) }
    }
    drop(theirs);
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    let relayed = relay(ours, Instant::now() + PATIENCE, tell);
    let mut status = 0;
    // SAFETY: the process is ours, was not waited for and so still has this number.
    unsafe {
        if relayed.is_err() {
            libc::kill(pid, libc::SIGKILL);
        }
        while libc::waitpid(pid, &mut status, 0) < 0
            && io::Error::last_os_error().kind() == ErrorKind::Interrupted
        {}
    }
    relayed?;
    if status == 0 {
        Ok(())
    } else {
        Err(io::Error::other("it ended before its end; httpd's user may know nothing of this site"))
    }
}

/// Passes on the lines of the other process until it has ended.
fn relay(mut from: UnixStream, deadline: Instant, tell: &mut dyn FnMut(&str)) -> io::Result<()> {
    let mut text = Vec::new();
    let mut part = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let seconds = PATIENCE.as_secs();
            return Err(io::Error::other(format!(
                "not done within {seconds} s: what would follow was not looked at: is the database \
                 slow, or locked?"
            )));
        }
        from.set_read_timeout(Some(left))?;
        let count = match from.read(&mut part) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) =>
            {
                continue;
            }
            Err(error) => return Err(error),
        };
        text.extend(part.iter().take(count));
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            tell(String::from_utf8_lossy(&line).trim_end());
        }
    }
}

/// What `ap_unixd_setup_child` does where httpd is started as root: User, Group, ChrootDir.
fn become_child() -> Result<Option<String>, String> {
    // SAFETY: queries and changes of this process alone; httpd's record was filled in by its
    // directives and nobody writes to it now.
    unsafe {
        if libc::geteuid() != 0 {
            return Ok(None);
        }
        let settings = ptr::addr_of!(ffi::ap_unixd_config).read();
        let (user, group) = (settings.user_id, settings.group_id);
        let failed = |what: &str| format!("{what}: {}", io::Error::last_os_error());
        if user == 0 || user == u32::MAX {
            return Err("User is not set to a user that children may have".into());
        }
        let entry = libc::getpwuid(user).as_ref();
        let name = entry.map(|entry| CStr::from_ptr(entry.pw_name).to_owned()).unwrap_or_default();
        let root: CString = CStr::from_ptr(if settings.chroot_dir.is_null() {
            c"".as_ptr()
        } else {
            settings.chroot_dir
        })
        .to_owned();
        if libc::setgid(group) != 0 {
            return Err(failed("cannot become the Group"));
        }
        let groups = if name.is_empty() {
            libc::setgroups(0, ptr::null())
        } else {
            libc::initgroups(name.as_ptr(), group)
        };
        if groups != 0 {
            return Err(failed("cannot have the groups of User"));
        }
        if !root.is_empty() && (libc::chdir(root.as_ptr()) != 0 || libc::chroot(root.as_ptr()) != 0)
        {
            return Err(failed("cannot enter ChrootDir"));
        }
        if libc::setuid(user) != 0 {
            return Err(failed("cannot become the User"));
        }
        Ok(Some(name.to_string_lossy().into_owned()))
    }
}

/// What the MPM says, if it does before a start.
fn capacity() -> Capacity {
    let ask = |what: u32| {
        let mut answer: c_int = 0;
        // SAFETY: the MPM writes an int.
        let status = unsafe { ffi::ap_mpm_query(what as c_int, &mut answer) };
        usize::try_from(answer).ok().filter(|answer| status == 0 && *answer > 0)
    };
    let threads = ask(ffi::AP_MPMQ_MAX_THREADS).or(Some(1));
    Capacity { children: ask(ffi::AP_MPMQ_MAX_DAEMONS), threads }
}
