//! The way to the login page, and from there back.

use crate::config::{LoginUrl, Origin};
use crate::httpd::log::{self, Level};
use crate::httpd::request::Request;

/// Puts the address of the login page into the answer. Not where this is the login page itself: a
/// browser would go in circles.
pub(super) fn redirect(request: &Request<'_>, login_url: &LoginUrl) -> bool {
    let (client, here) = (request.top(), here(request));
    let path = client.uri();
    if login_url.is(&here, &path) {
        log::request_limited(request, Level::Warning, "login page", || {
            format!(
                "the login page \"{path}\" of AuthDjangoLoginURL is protected itself, so that nobody \
                 can log in: open it by AuthType None and Require all granted in a <Location> of its \
                 own"
            )
        });
        return false;
    }
    request.set_location(&login_url.redirect(&here, client.unparsed_uri()));
    true
}

/// This server as its ServerName has it. A client's Host may be anything.
fn here(request: &Request<'_>) -> Origin {
    let (host, port) = request.server_name();
    let host = String::from_utf8_lossy(host);
    Origin::new(request.is_https(), &host, port)
}
