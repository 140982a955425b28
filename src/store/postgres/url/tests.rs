use super::*;
use crate::store::tls::Verify;
use std::os::unix::fs::PermissionsExt;

fn url(text: &str) -> Url {
    Url::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn the_password_is_in_no_text() {
    for (text, label, redacted) in [
        (
            "postgresql://me:s%40cret@db/site?sslmode=disable",
            "postgresql://me@db/site?sslmode=disable",
            Some("postgresql://me:*****@db/site?sslmode=disable"),
        ),
        (
            "postgres://me@db/site?password=s%40cret&connect_timeout=3",
            "postgres://me@db/site?connect_timeout=3",
            Some("postgres://me@db/site?password=*****&connect_timeout=3"),
        ),
        ("postgresql://me@db/site", "postgresql://me@db/site", None),
    ] {
        let url = url(text);
        assert_eq!(url.label, label);
        assert_eq!(url.redacted.as_deref(), redacted);
        let password = url.config.get_password();
        assert_eq!(password, redacted.map(|_| &b"s@cret"[..]));
    }
    for text in [
        "postgresql://me:secret@secret@db/site",
        "postgresql://me:sec/secret@db/site",
        "postgresql://me:1?secret=x@db/site",
        "postgresql://me:secret@db:secret/site",
        "postgresql://me:secret%@db/site",
        "postgresql://me:secret@db/site?secret!x=1",
        "postgresql://me:secret@db/site?secret",
        "postgresql://me:secret@db/site?connect_timeout=secret",
        "postgresql://me:secret@db/site?sslmode=secret",
        "postgresql://me:secret@db/site?hostaddr=secret",
    ] {
        let error = Url::parse(text).err().unwrap();
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn one_place_for_the_watch() {
    let tcp = |host: &str, port| Place { host: Host::Tcp(host.into()), address: None, port };
    let unix = |path: &str, port| Place { host: Host::Unix(path.into()), address: None, port };
    for (text, place) in [
        ("db", tcp("db", 5432)),
        ("db:5433", tcp("db", 5433)),
        ("::1", tcp("::1", 5432)),
        ("[::1]", tcp("::1", 5432)),
        ("[::1]:7", tcp("::1", 7)),
        ("/run/pg", unix("/run/pg", 5432)),
        ("/run/pg:7", unix("/run/pg", 7)),
    ] {
        assert_eq!(Place::parse(text).as_ref(), Ok(&place), "{text}");
    }
    for text in ["", ":5432", "a,b", "db:0x", "me@db"] {
        assert!(Place::parse(text).is_err(), "{text}");
    }
    // TLS is the URL's, wherever the URL leads.
    for (place, mode) in [("db", SslMode::Require), ("/run/pg", SslMode::Disable)] {
        let url = url("postgresql://me@/site?host=/tmp&sslmode=require");
        assert_eq!(url.config.get_ssl_mode(), SslMode::Disable);
        assert_eq!(ssl_mode(url.encrypt, &[Place::parse(place).unwrap()]), mode);
    }
}

#[test]
fn places_as_libpq_has_them() {
    let tcp = |host: &str, port| Place { host: Host::Tcp(host.into()), address: None, port };
    let unix = |path: &str, port| Place { host: Host::Unix(path.into()), address: None, port };
    for (text, places) in [
        ("postgresql:///site", vec![unix("/var/run/postgresql", 5432)]),
        ("postgresql://me@:5433/site", vec![unix("/var/run/postgresql", 5433)]),
        ("postgresql://me@/site?host=/tmp&port=5434", vec![unix("/tmp", 5434)]),
        ("postgresql://%2Ftmp/site", vec![unix("/tmp", 5432)]),
        ("postgresql://a,b:1,[::1]:2/s", vec![tcp("a", 5432), tcp("b", 1), tcp("::1", 2)]),
        ("postgresql://x/s?host=a,b&port=7", vec![tcp("a", 7), tcp("b", 7)]),
    ] {
        assert_eq!(url(text).places, places, "{text}");
    }
    let [place] = &url("postgresql:///s?hostaddr=127.0.0.1").places[..] else { panic!() };
    assert_eq!(
        (&place.host, place.address),
        (&Host::Tcp("127.0.0.1".into()), "127.0.0.1".parse().ok())
    );
}

#[test]
fn a_socket_has_no_address() {
    for text in [
        "postgresql:///s?host=/tmp&hostaddr=192.0.2.1&sslmode=verify-full",
        "postgresql://%2Ftmp/s?hostaddr=192.0.2.1",
        "postgresql://a,%2Ftmp/s?hostaddr=192.0.2.1,192.0.2.2",
    ] {
        let error = Url::parse(text).err().unwrap_or_else(|| panic!("{text} is taken"));
        assert!(error.contains("hostaddr=") && error.contains("unix socket"), "{error}");
    }
    // One that is a socket beside one that is none.
    let url = url("postgresql://a,%2Ftmp/s?hostaddr=192.0.2.1,&sslmode=require");
    assert_eq!(url.config.get_ssl_mode(), SslMode::Require);
}

#[test]
fn modes() {
    for (text, ssl, verify) in [
        ("postgresql://a/s", SslMode::Prefer, Verify::Nothing),
        ("postgresql://a/s?sslmode=require", SslMode::Require, Verify::Nothing),
        ("postgresql://a/s?sslmode=verify-full", SslMode::Require, Verify::Full),
        ("postgresql://a/s?sslmode=verify-full&sslrootcert=system", SslMode::Require, Verify::Full),
        (
            "postgresql://a/s?sslmode=verify-ca&sslrootcert=/etc/hosts",
            SslMode::Require,
            Verify::Authority,
        ),
        (
            "postgresql://a/s?sslmode=require&sslrootcert=/etc/hosts",
            SslMode::Require,
            Verify::Authority,
        ),
        ("postgresql:///s?sslmode=require", SslMode::Disable, Verify::Nothing),
    ] {
        let url = url(text);
        assert_eq!((url.config.get_ssl_mode(), url.tls.verify), (ssl, verify), "{text}");
    }
    for (text, reason) in [
        ("postgresql://a/s?sslrootcert=system", "sslrootcert=system needs sslmode=verify-full"),
        ("postgresql://a/s?sslmode=require&sslrootcert=system", "needs sslmode=verify-full"),
        ("postgresql://a/s?sslmode=verify-ca&sslrootcert=system", "needs sslmode=verify-full"),
        ("postgresql://a/s?sslmode=verify-ca", "sslmode=verify-ca needs sslrootcert=FILE"),
    ] {
        let error = Url::parse(text).err().unwrap_or_else(|| panic!("{text} is taken"));
        assert!(error.contains(reason), "{text}: {error}");
    }
    let missing = Url::parse("postgresql://a/s?sslmode=verify-ca&sslrootcert=/no/such").err();
    assert_eq!(missing.unwrap(), "/no/such: no such file");
    let unknown = Url::parse("postgresql://a/s?sslmod=x").err().unwrap();
    assert!(unknown.contains("sslmod=") && unknown.contains("sslrootcert"), "{unknown}");
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let key = std::env::temp_dir().join(format!("authnz-django-key-{}", std::process::id()));
    std::fs::write(&key, "").unwrap();
    let path = key.display();
    let url = format!("postgresql://a/s?sslcert=/etc/hosts&sslkey={path}");
    for (mode, taken) in [(0o644, false), (0o604, false), (0o601, false), (0o640, true)] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        let error = Url::parse(&url).err();
        assert_eq!(error.is_none(), taken, "{mode:o}: {error:?}");
        assert!(error.is_none_or(|error| error.contains(&format!("chmod o= {path}"))));
    }
    std::fs::remove_file(&key).unwrap();
}

#[test]
fn values_keep_their_quotes_and_blanks() {
    let url =
        url("postgresql://o'neil@a/s?options=-c%20search_path%3Da%5C%20b&application_name=it's");
    assert_eq!(url.config.get_user(), Some("o'neil"));
    assert_eq!(url.config.get_options(), Some("-c search_path=a\\ b"));
    assert_eq!(url.config.get_application_name(), Some("it's"));
}
