use super::*;
use crate::store::tls::Verify;

fn url(text: &str) -> Url {
    Url::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn the_password_is_in_no_text() {
    for (text, label, redacted) in [
        (
            "mysql://me:s%40cret@db/site?sslmode=disable",
            "mysql://me@db/site?sslmode=disable",
            Some("mysql://me:*****@db/site?sslmode=disable"),
        ),
        (
            "mariadb://me@db/site?password=s%40cret&connect_timeout=3",
            "mariadb://me@db/site?connect_timeout=3",
            Some("mariadb://me@db/site?password=*****&connect_timeout=3"),
        ),
        ("mysql://me@db/site", "mysql://me@db/site", None),
    ] {
        let url = url(text);
        assert_eq!((url.label.as_str(), url.redacted.as_deref()), (label, redacted));
        assert_eq!(url.password.as_ref().map(|p| p.as_str()), redacted.map(|_| "s@cret"));
    }
    for text in [
        "mysql://me:secret@secret@db/site",
        "mysql://me:sec/secret@db/site",
        "mysql://me:secret@db:secret/site",
        "mysql://me:secret@db/",
        "mysql://:secret@db/site",
        "mysql://me:secret@db/site?secret!x=1",
        "mysql://me:secret@db/site?connect_timeout=secret",
        "mysql://me:secret@db/site?charset=secret",
        "mysql://me:secret@db/site?socket=secret",
        "mysql://me:secret@db/site?sslmode=secret",
    ] {
        let error = Url::parse(text).err().unwrap_or_else(|| panic!("{text} is taken"));
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn places_and_sockets() {
    let tcp = |host: &str, port| Place::Tcp { host: host.into(), address: None, port };
    let unix = |path: &str| Place::Unix(path.into());
    for (text, places) in [
        ("mysql://me@/site", vec![unix("/run/mysqld/mysqld.sock")]),
        ("mysql://me@/site?socket=/tmp/a%20b", vec![unix("/tmp/a b")]),
        ("mysql://me@localhost/site?socket=/tmp/x", vec![unix("/tmp/x")]),
        ("mysql://me@localhost/site", vec![tcp("localhost", 3306)]),
        ("mysql://me@a,b:1,[::1]:2/s", vec![tcp("a", 3306), tcp("b", 1), tcp("::1", 2)]),
    ] {
        assert_eq!(url(text).places, places, "{text}");
    }
    for text in
        ["mysql://me@db/s?socket=/x", "mysql://me@:3306/s", "mysql://me@a,,b/s", "mysql://me@a:0/s"]
    {
        assert!(Url::parse(text).is_err(), "{text}");
    }
}

#[test]
fn modes() {
    for (text, encrypt, verify) in [
        ("mysql://me@a/s", Encrypt::Prefer, Verify::Nothing),
        ("mysql://me@a/s?sslmode=disable", Encrypt::Never, Verify::Nothing),
        ("mysql://me@a/s?sslmode=require", Encrypt::Always, Verify::Nothing),
        (
            "mysql://me@a/s?sslmode=verify-ca&sslrootcert=/etc/hosts",
            Encrypt::Always,
            Verify::Authority,
        ),
        ("mysql://me@a/s?sslmode=verify-full", Encrypt::Always, Verify::Full),
        ("mysql://me@a/s?sslrootcert=/etc/hosts", Encrypt::Prefer, Verify::Authority),
    ] {
        let url = url(text);
        assert_eq!((url.encrypt, url.tls.verify), (encrypt, verify), "{text}");
    }
    assert_eq!(
        Url::parse("mysql://me@a/s?sslmode=verify-ca&sslrootcert=/no/such").err().unwrap(),
        "/no/such: no such file"
    );
    for (text, reason) in [
        ("mysql://me@a/s?sslmode=verify-ca", "sslmode=verify-ca needs sslrootcert=FILE"),
        ("mysql://me@a/s?sslrootcert=system", "sslrootcert=system needs sslmode=verify-full"),
    ] {
        let error = Url::parse(text).err().unwrap_or_else(|| panic!("{text} is taken"));
        assert!(error.contains(reason), "{text}: {error}");
    }
}
