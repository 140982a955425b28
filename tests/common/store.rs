//! Stores of the module's own, asked without httpd.

use mod_authnz_django::error::Error;
use mod_authnz_django::store::{Database, Found, Gate, Host, Store};
use mod_authnz_django::user::{User, UserModel, Wants};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A server that is none, and what it was told.
#[derive(Default)]
pub struct Server(pub Mutex<Vec<String>>);

impl Host for Server {
    fn notice(&self, message: &str) {
        self.0.lock().unwrap().push(message.into());
    }
    fn spawn(&self, _: &str, body: Box<dyn FnOnce() + Send>) -> std::io::Result<()> {
        thread::Builder::new().spawn(body).map(|_| ())
    }
    fn threads(&self) -> usize {
        64
    }
}

pub fn open_on(server: &Arc<Server>, words: &[&str]) -> Arc<dyn Store> {
    let database = Database::parse(words).unwrap();
    database.load().unwrap();
    database.open(None, server.clone(), Arc::new(Gate::new(64)))
}

/// The store of `words`, opened.
pub fn open(words: &[&str]) -> Arc<dyn Store> {
    open_on(&Arc::default(), words)
}

pub fn ask_model(
    store: &Arc<dyn Store>,
    model: &[&str],
    name: &str,
) -> Result<Option<Arc<User>>, Error> {
    let model = Arc::new(UserModel::parse(model).unwrap());
    let deadline = Instant::now() + store.timeout();
    let answer = store.get_by_natural_key(&model, &Wants::GROUPS, name, deadline).map(Found::one);
    if let Err(error) = &answer {
        let text = error.to_string();
        assert!(!text.contains("s3cret") && !text.contains('\n'), "{text}");
    }
    answer
}

/// Asks for a user; whatever is answered tells no password.
pub fn ask(store: &Arc<dyn Store>, name: &str) -> Result<Option<Arc<User>>, Error> {
    ask_model(store, &["auth.User"], name)
}

pub fn error(store: &Arc<dyn Store>) -> String {
    ask(store, "alice").unwrap_err().to_string()
}

/// How long it takes until there is an answer again.
pub fn recovery(store: &Arc<dyn Store>) -> Duration {
    let begun = Instant::now();
    while ask(store, "alice").is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "no recovery");
        thread::sleep(Duration::from_millis(10));
    }
    begun.elapsed()
}
