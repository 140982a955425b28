//! Is it a browser that comes to look, or something that cannot log in?

use crate::httpd::request::Request;

/// The variable by which an administrator decides instead, as by SetEnvIfExpr: 1 or 0.
const VARIABLE: &std::ffi::CStr = c"authnz-django-redirect";

/// What tells.
#[derive(Default)]
pub(super) struct Headers<'a> {
    sec_fetch_mode: Option<&'a [u8]>,
    sec_fetch_dest: Option<&'a [u8]>,
    x_requested_with: Option<&'a [u8]>,
    accept: Option<&'a [u8]>,
}

impl<'a> Headers<'a> {
    pub(super) fn of(request: &Request<'a>) -> Self {
        Self {
            sec_fetch_mode: request.header(c"Sec-Fetch-Mode"),
            sec_fetch_dest: request.header(c"Sec-Fetch-Dest"),
            x_requested_with: request.header(c"X-Requested-With"),
            accept: request.header(c"Accept"),
        }
    }

    /// Whether the answer is a page that somebody will look at.
    pub(super) fn navigates(&self, request: &Request<'_>) -> bool {
        if !matches!(request.method(), b"GET" | b"HEAD") {
            return false;
        }
        match request.top().variable(VARIABLE) {
            Some(b"0") => false,
            Some(b"1") => true,
            _ => self.want_a_page(),
        }
    }

    /// A browser of today says so; of another, `Accept` does.
    fn want_a_page(&self) -> bool {
        if self.is_by_script() {
            return false;
        }
        match (self.sec_fetch_mode, self.sec_fetch_dest) {
            (Some(mode), dest) => {
                mode == b"navigate" && dest.is_none_or(|dest| dest == b"document")
            }
            (None, Some(dest)) => dest == b"document",
            (None, None) => self.accept.is_some_and(|accept| {
                accept.windows(9).any(|part| part.eq_ignore_ascii_case(b"text/html"))
            }),
        }
    }

    /// Whether a page has asked for it: by a script, as a picture, in a frame.
    pub(super) fn is_part_of_a_page(&self) -> bool {
        self.is_by_script()
            || self.sec_fetch_mode.is_some_and(|mode| mode != b"navigate")
            || self.sec_fetch_dest.is_some_and(|dest| dest != b"document")
    }

    /// Whether any browser of today has sent them.
    pub(super) fn are_a_browsers(&self) -> bool {
        self.sec_fetch_mode.is_some()
            || self.sec_fetch_dest.is_some()
            || self.x_requested_with.is_some()
    }

    fn is_by_script(&self) -> bool {
        self.x_requested_with.is_some_and(|with| with.eq_ignore_ascii_case(b"XMLHttpRequest"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers<'a>(mode: &'a str, dest: &'a str, with: &'a str, accept: &'a str) -> Headers<'a> {
        let some = |text: &'a str| (!text.is_empty()).then_some(text.as_bytes());
        Headers {
            sec_fetch_mode: some(mode),
            sec_fetch_dest: some(dest),
            x_requested_with: some(with),
            accept: some(accept),
        }
    }

    #[test]
    fn a_browser_that_navigates_wants_a_page() {
        for (mode, dest, with, accept, page, part) in [
            ("navigate", "document", "", "text/html", true, false),
            ("navigate", "document", "", "*/*", true, false),
            ("navigate", "", "", "", true, false),
            ("navigate", "iframe", "", "text/html", false, true),
            ("no-cors", "image", "", "image/png,*/*", false, true),
            ("cors", "empty", "", "text/html", false, true),
            ("same-origin", "empty", "", "*/*", false, true),
            ("websocket", "websocket", "", "", false, true),
            ("navigate", "document", "XMLHttpRequest", "text/html", false, true),
            ("", "", "", "text/html,application/xhtml+xml;q=0.9", true, false),
            ("", "", "", "application/json, Text/HTML", true, false),
            ("", "", "xmlhttprequest", "text/html", false, true),
            ("", "", "", "*/*", false, false),
            ("", "", "", "application/json", false, false),
            ("", "", "", "", false, false),
            ("", "document", "", "", true, false),
        ] {
            let asked = headers(mode, dest, with, accept);
            assert_eq!(asked.want_a_page(), page, "{mode} {dest} {with} {accept}");
            assert_eq!(asked.is_part_of_a_page(), part, "{mode} {dest} {with} {accept}");
        }
    }
}
