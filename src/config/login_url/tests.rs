use super::*;

fn url(text: &str) -> LoginUrl {
    LoginUrl::from_words(&[text]).unwrap()
}

fn here() -> Origin {
    Origin::new(true, "Site.example", Some(443))
}

#[test]
fn next_is_the_path_for_a_page_of_this_server() {
    for (login, to) in [
        ("/login/", "/login/?next=/a/b%3Fc%3Dd%26e%3D%252F"),
        ("/login/?x=y&next=/z", "/login/?x=y&next=/a/b%3Fc%3Dd%26e%3D%252F"),
        ("/login/?next=/z#f", "/login/?next=/a/b%3Fc%3Dd%26e%3D%252F#f"),
        ("https://site.example/login", "https://site.example/login?next=/a/b%3Fc%3Dd%26e%3D%252F"),
        (
            "https://SITE.example:443/login",
            "https://SITE.example:443/login?next=/a/b%3Fc%3Dd%26e%3D%252F",
        ),
    ] {
        assert_eq!(url(login).redirect(&here(), b"/a/b?c=d&e=%2F"), to);
    }
}

#[test]
fn next_is_the_whole_address_for_a_page_of_another() {
    let next = "?next=https%3A//site.example/a%3Fb";
    for login in [
        "http://site.example/login",
        "https://site.example:8443/login",
        "https://login.example/",
        "https://login.example",
    ] {
        assert_eq!(url(login).redirect(&here(), b"/a?b"), format!("{login}{next}"));
    }
    let here = Origin::new(false, "::1", Some(8080));
    let to = url("https://l.example/").redirect(&here, b"/");
    assert_eq!(to, "https://l.example/?next=http%3A//%5B%3A%3A1%5D%3A8080/");
    let login = url("http://[::1]:8080/login");
    assert_eq!(login.redirect(&here, b"/a"), "http://[::1]:8080/login?next=/a");
}

#[test]
fn next_names_no_other_server() {
    for (uri, next) in [
        ("//evil.example/x", "/evil.example/x"),
        ("////evil.example", "/evil.example"),
        ("/\\evil.example", "/%255Cevil.example"),
        ("\\\\evil.example/x", "/x"),
        ("/\t/evil.example", "/%2509/evil.example"),
        ("/\n", "/%250A"),
        ("/a\r\nLocation: x", "/a%250D%250ALocation%3A%2520x"),
        ("http://evil.example/x", "/x"),
        ("http://evil.example//x", "/x"),
        ("http://evil.example", "/"),
        ("http://evil.example?x", "/%3Fx"),
        ("evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("*", "/"),
        ("", "/"),
        ("/%2F%2Fevil.example", "/%252F%252Fevil.example"),
        ("/%5Cevil.example", "/%255Cevil.example"),
        ("/x#//evil.example", "/x"),
        ("/\u{e9}", "/%25C3%25A9"),
    ] {
        let to = url("/l").redirect(&here(), uri.as_bytes());
        assert_eq!(to, format!("/l?next={next}"), "{uri:?}");
    }
    let long = [b"/", &[b'x'; MAX_NEXT][..]].concat();
    assert_eq!(url("/l?a").redirect(&here(), &long), "/l?a");
}

#[test]
fn a_page_knows_itself() {
    assert!(url("/login/?x").is(&here(), "/login/"));
    assert!(url("https://site.example/login/").is(&here(), "/login/"));
    assert!(url("https://site.example").is(&here(), "/"));
    assert!(!url("https://other.example/login/").is(&here(), "/login/"));
    assert!(!url("/login/").is(&here(), "/login"));
}

#[test]
fn what_is_no_address_of_a_page_is_refused() {
    for wrong in [
        "",
        "login",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/a b",
        "/a\u{7f}",
        "ftp://host/",
        "javascript:alert(1)",
        "https://",
        "https:///login",
        "http://user@host/",
        "http://host:port/",
        "http://host:99999/",
        "/\u{e9}",
        "admin:login",
        "/\"",
    ] {
        assert!(LoginUrl::from_words(&[wrong]).is_err(), "{wrong:?}");
    }
    assert!(LoginUrl::from_words(&["/a", "/b"]).is_err());
    assert!(LoginUrl::from_words(&[]).is_err());
}
