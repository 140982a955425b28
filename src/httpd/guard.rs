//! The one door between C and Rust: a panic becomes the answer that fails closed, is logged once
//! with its place, and the same child serves the next request.

use super::log;
use super::request::Request;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

#[cfg(not(panic = "unwind"))]
compile_error!("the guard must be able to stop a panic: build with panic = \"unwind\"");

thread_local! {
    /// Where this thread panicked last.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps a panic's place for the guard instead of writing lines of its own into the error log. A
/// message made at run time is left out: it might hold what a client sent.
pub(super) fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Other tests of the same process want to see theirs.
        #[cfg(test)]
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            #[cfg(test)]
            before(info);
            let message = info.payload().downcast_ref::<&str>().copied().unwrap_or("panic");
            let place = match info.location() {
                Some(at) => format!("{message} at {}:{}", at.file(), at.line()),
                None => message.to_owned(),
            };
            // The thread may be ending, its place gone; then nobody asks for it either.
            let _ = PLACE.try_with(|cell| cell.replace(Some(place)));
        }));
    });
}

/// Runs a callback of httpd's; after a panic the answer is `closed`.
pub(super) fn guard<T>(closed: T, body: impl FnOnce() -> T) -> T {
    run(closed, body, |text| log::server(None, log::Level::Error, text))
}

/// The same for a callback that serves a request, in whose log the panic is told.
pub(super) fn guard_request<T>(request: &Request<'_>, closed: T, body: impl FnOnce() -> T) -> T {
    run(closed, body, |text| log::request(request, log::Level::Error, text))
}

fn run<T>(closed: T, body: impl FnOnce() -> T, report: impl FnOnce(&str)) -> T {
    panic::catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        // Dropping a payload may itself panic, outside of this guard.
        std::mem::forget(payload);
        let place = PLACE.try_with(RefCell::take).ok().flatten().unwrap_or_default();
        report(&format!("a defect of this module stopped its answer, which fails closed: {place}"));
        closed
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_fails_closed_and_tells_its_place() {
        let mut told = String::new();
        install_hook();
        let answer = run("closed", || panic!("oh"), |text| told = text.to_owned());
        assert_eq!(answer, "closed");
        assert!(told.contains("oh at src/httpd/guard.rs:"), "{told}");
        assert_eq!(run(1, || 2, |_| unreachable!()), 2);
    }

    #[test]
    fn a_message_with_values_is_not_told() {
        let mut told = String::new();
        install_hook();
        let secret = String::from("hunter2");
        run((), || panic!("cannot use {secret}"), |text| told = text.to_owned());
        assert!(!told.contains("hunter2") && told.contains("guard.rs"), "{told}");
    }
}
