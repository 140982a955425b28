//! Sessions by `watch=`, through httpd: a page of many pictures asks nothing more, and whatever Django
//! changes counts at the next request.

use crate::common::client::get;
use crate::common::django::Sessions;
use crate::common::httpd::{Httpd, MPMS};
use crate::common::session::{BASIC, base, cookie, setup};
use crate::common::wait_until;
use crate::watch::{SESSIONS, watched};

const PICTURES: usize = 100;

/// The pictures of a page, each of which is to be seen.
fn page(httpd: &Httpd, headers: &str) {
    for _ in 0..PICTURES {
        assert_eq!(get(httpd.port, "/members/", headers).status, 200);
    }
}

#[test]
fn a_page_of_pictures_asks_nothing_and_every_change_counts() {
    let cluster = watched("auth.User", &[SESSIONS]);
    cluster.sql("postgres", "ALTER ROLE apache SET log_statement = 'all'");
    for mpm in MPMS {
        let mut django = Sessions::start("db", &cluster.django());
        let config = base(&format!("{} watch=users", cluster.url()), "db")
            + &format!("<Location />\n{BASIC}Require valid-user\n</Location>\n");
        let httpd = setup(config).mpm(mpm).start();
        let log_in = |django: &mut Sessions, name: &str| {
            let session = django.log_in(name);
            let headers = cookie(&session);
            // In each child.
            wait_until("a session that is kept", 30, || {
                let before = cluster.questions();
                page(&httpd, &headers);
                // But for a heartbeat that was late.
                cluster.questions() - before < 5
            });
            (session, headers)
        };
        let answered = |headers: &str, status: u16, what: &str| {
            let is_so = || get(httpd.port, "/members/", headers).status == status;
            // In each child.
            wait_until(what, 1, || (0..20).all(|_| is_so()));
        };
        let denied = |headers: &str, what: &str| answered(headers, 401, what);
        let (session, alice) = log_in(&mut django, "alice");
        let (_, bob) = log_in(&mut django, "bob");
        django.log_out(&session);
        denied(&alice, "the logout");
        let (session, alice) = log_in(&mut django, "alice");
        django.expire(&session);
        denied(&alice, "the end");
        let (_, alice) = log_in(&mut django, "alice");
        django.change("active=alice=0");
        denied(&alice, "the deactivation");
        django.change("active=alice=1");
        answered(&alice, 200, "the return");
        page(&httpd, &alice);
        django.change("password=alice=another");
        denied(&alice, "the new password");
        django.change("password=alice=alice secret");
        page(&httpd, &bob);
        assert!(!httpd.log().contains("watch="), "{}", httpd.log());
        httpd.finish();
    }
}
