//! What real Djangos wrote, and whatever else a cookie, a row or a file can hold.

use super::*;
use crate::session::json::Value;
use crate::session::legacy;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// Django 5.2, at NOW: the user 1 by ModelBackend, whose password column is ENCODED.
pub(super) const SESSION: &str = ".eJxVjEEOwiAQRe_C2hBmYJC6dN8zECiDVA0kpV0Z765NutDtf-_9l_BhW4vfOi9-TuIiQJx-tximB9cdpHuotyanVtdljnJX5EG7HFvi5_Vw_w5K6OVbWwVsksuAMYScidA4GNAhKbKcFDIgJ46siLUDPDuTtaVMoLTGAcT7A9BONtU:1r31eq:w9noofiwK1ZYHN2Sy4ppdyspsQ_tRiPPeHbUiy62QKY";
const COOKIE_SIGNATURE: &str = "_9IbKAUE5FZi2tSeuq7yYzRUG8kdLEe8bE4S66Itzg4";
const ENCODED: &str =
    "pbkdf2_sha256$1000$abcdefghijklmnopqrstuv$1nE4fvOmiD+ZePp39y6TYTXfkn5HEwJDyz8e6UkQE1w=";
const SECRET_KEY: &str = "test-secret-key-0123456789";
/// Django 3.2 with DEFAULT_HASHING_ALGORITHM = "sha1": `{"a":1}`.
const LEGACY: &str = "NGY1MDBmMGI5YTRhYzhkMWZhN2NlNzJjNDkyZWM1NGFmYWM1NDU2Mjp7ImEiOjF9";

pub(super) fn keys() -> Keys {
    Keys::new(SECRET_KEY, &[])
}

pub(super) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn rows() -> Settings {
    Settings::new(Engine::Row)
}

fn cookies() -> Settings {
    Settings::new(Engine::SignedCookies)
}

fn decode(settings: &Settings, text: &str) -> Result<Claims, Refusal> {
    settings.decode(&Data::of_row(text), &keys(), now())
}

/// The same session as `signed_cookies` writes it.
fn signed_cookie() -> String {
    let (value, _) = SESSION.rsplit_once(':').unwrap();
    format!("{value}:{COOKIE_SIGNATURE}")
}

#[test]
fn what_django_wrote_is_somebody_s_session() {
    let claims = decode(&rows(), SESSION).unwrap();
    assert_eq!((claims.user_id.text(), claims.backend.as_str()), ("1", BACKEND));
    assert!(claims.are_proven_by(ENCODED));
    assert_eq!(decode(&cookies(), &signed_cookie()).unwrap(), claims);
}

#[test]
fn a_new_password_or_key_ends_it() {
    let claims = decode(&rows(), SESSION).unwrap();
    for proven in [false, true] {
        for encoded in ["", "!", &ENCODED[1..], &format!("{ENCODED} ")] {
            assert!(!claims.are_proven_by(encoded), "{encoded}");
        }
        // And what was remembered of it changes nothing.
        assert!(claims.are_proven_by(ENCODED), "{proven}");
    }
    let under =
        |keys| Claims { keys, proven: OnceLock::new(), ..decode(&rows(), SESSION).unwrap() };
    assert!(!under(Keys::new("new", &[])).are_proven_by(ENCODED));
    assert!(under(Keys::new("new", &["newer", SECRET_KEY])).are_proven_by(ENCODED));
}

#[test]
fn a_row_is_decoded_once_for_the_same_settings_and_keys() {
    let row = SessionRow::new(SESSION.into(), "2030-01-01 00:00:00".into());
    let [ours, same, new] = [keys(), keys(), Keys::new("new", &[])];
    let first = row.claims(&rows(), &ours, now()).unwrap();
    for keys in [&ours, &same] {
        assert!(Arc::ptr_eq(&first, &row.claims(&rows(), keys, now()).unwrap()));
    }
    let refused = Err(Refusal::Signed(signing::Refusal::Signature));
    assert_eq!(row.claims(&rows(), &new, now()), refused);
    let other = Settings { salt: "django.contrib.sessions.Mine".into(), ..rows() };
    assert_eq!(row.claims(&other, &ours, now()), refused);
    let other = Settings { backends: vec!["other".into()], ..rows() };
    assert_eq!(row.claims(&other, &ours, now()), Err(Refusal::Backend(BACKEND.into())));
}

#[test]
fn engines_do_not_take_each_other_s() {
    let refused = Err(Refusal::Signed(signing::Refusal::Signature));
    assert_eq!(decode(&rows(), &signed_cookie()), refused);
    assert_eq!(decode(&cookies(), SESSION), refused);
    let other = Settings { salt: "django.contrib.sessions.Mine".into(), ..rows() };
    assert_eq!(decode(&other, SESSION), refused);
}

#[test]
fn only_a_signed_cookie_grows_old() {
    let late = now() + AGE + Duration::from_secs(1);
    assert!(rows().decode(&Data::of_row(SESSION), &keys(), late).is_ok());
    let cookie = Data::of_row(signed_cookie());
    assert!(cookies().decode(&cookie, &keys(), now() + AGE).is_ok());
    let refused = Err(Refusal::Signed(signing::Refusal::TooOld));
    assert_eq!(cookies().decode(&cookie, &keys(), late), refused);
}

#[test]
fn a_back_end_must_be_allowed() {
    let backends = vec!["axes.backends.AxesBackend".to_owned(), format!("{BACKEND}2")];
    let refused = decode(&Settings { backends: backends.clone(), ..rows() }, SESSION);
    assert_eq!(refused, Err(Refusal::Backend(BACKEND.to_owned())));
    let backends = [&backends[..], &[BACKEND.to_owned()]].concat();
    assert!(decode(&Settings { backends, ..rows() }, SESSION).is_ok());
}

#[test]
fn sessions_of_before_3_1_count_where_they_are_asked_for() {
    assert_eq!(legacy::loads(LEGACY.as_bytes(), &rows().salt, &keys()).unwrap(), br#"{"a":1}"#);
    let refused = Err(Refusal::Signed(signing::Refusal::Signature));
    assert_eq!(decode(&rows(), LEGACY), refused);
    let legacy_rows = Settings { legacy: true, ..rows() };
    assert_eq!(decode(&legacy_rows, LEGACY), Err(Refusal::NoUser), "read, but anonymous");
    assert!(decode(&legacy_rows, SESSION).is_ok());
    assert_eq!(decode(&Settings { legacy: true, ..cookies() }, LEGACY), refused);
    for (salt, keys) in
        [("django.contrib.sessions.Mine", keys()), (&*rows().salt, Keys::new("x", &[]))]
    {
        assert_eq!(legacy::loads(LEGACY.as_bytes(), salt, &keys), None, "{salt}");
    }
    for place in 0..LEGACY.len() {
        let changed = [&LEGACY[..place], "!", &LEGACY[place + 1..]].concat();
        assert_eq!(decode(&legacy_rows, &changed), refused, "{place}");
        assert_eq!(decode(&legacy_rows, &LEGACY[..place]), refused, "{place}");
    }
}

#[test]
fn nothing_secret_is_shown() {
    let claims = decode(&rows(), SESSION).unwrap();
    let data = Data::of_row(SESSION);
    let key = SessionKey::of_row("abcdefgh12345678").unwrap();
    let shown = format!("{claims:?} {data:?} {key:?} {:?}", Found::Key(key.clone()));
    for secret in [&*claims.auth_hash, "eJxVj", "abcdefgh"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let backend = Refusal::Backend(format!("{}\n", "x".repeat(1000))).to_string();
    assert!(backend.len() < 300 && !backend.contains('\n'), "{backend}");
}

#[test]
fn a_cookie_is_read_as_django_reads_it() {
    for (header, value) in [
        ("sessionid=a", Some("a")),
        ("x=y; sessionid=a;z", Some("a")),
        ("sessionid=a;sessionid=b", Some("b")),
        ("sessionid=a; sessionid=", Some("")),
        (" \tsessionid \u{a0}= a\u{2003}\x1f ;", Some("a")),
        ("sessionid=a=b", Some("a=b")),
        ("sessionid=a, sessionid=b", Some("a, sessionid=b")),
        (r#"sessionid="a\"\073\\ \303\4x\é""#, Some("a\";\\ \u{c3}4xé")),
        ("sessionid=\"a\\\nb\\\"", Some("a\\\nb\\")),
        (r#"sessionid="""#, Some("")),
        (r#"sessionid=""#, Some("\"")),
        (r#"sessionid="a"#, Some("\"a")),
        ("sessionid", None),
        ("SessionID=a", None),
        ("xsessionid=a", None),
        ("", None),
        (";;=;", None),
    ] {
        assert_eq!(cookie(header.as_bytes(), "sessionid").as_deref(), value, "{header}");
    }
    assert_eq!(cookie(b"sessionid=\xff\xc3\xa9", "sessionid").as_deref(), Some("\u{fffd}é"));
    assert_eq!(cookie(b"a=b; nameless ; ;", "").as_deref(), Some("nameless"));
}

#[test]
fn a_key_is_what_may_be_looked_up() {
    let of_40 = "a1".repeat(20);
    for key in ["abcd1234", &of_40] {
        assert!(SessionKey::of_row(key).is_ok() && SessionKey::of_file(key).is_ok(), "{key}");
    }
    for key in [
        "",
        "abcd123",
        &format!("{of_40}a"),
        "abcd 1234",
        "abcd1234\0",
        "abcd123é",
        "\u{fffd}abcd1234",
    ] {
        assert_eq!(SessionKey::of_row(key), Err(Refusal::Key), "{key}");
        assert_eq!(SessionKey::of_file(key), Err(Refusal::Key), "{key}");
    }
    for key in ["ABCD1234", "../../etc/passwd", "abcd.1234", "abcd-1234"] {
        assert!(SessionKey::of_row(key).is_ok(), "{key}");
        assert_eq!(SessionKey::of_file(key), Err(Refusal::Key), "{key}");
    }
}

#[test]
fn a_cookie_leads_to_where_the_engine_keeps_it() {
    let found = |settings: &Settings, header: &str| settings.find(header.as_bytes());
    let Found::Key(key) = found(&rows(), "sessionid=abcd1234").unwrap() else { panic!() };
    assert_eq!(key.as_str(), "abcd1234");
    let Found::Data(data) = found(&cookies(), &format!("sessionid={SESSION}")).unwrap() else {
        panic!()
    };
    assert_eq!(data.text, SESSION.as_bytes());
    for settings in [rows(), cookies()] {
        let refused = found(&settings, "other=abcd1234").unwrap_err();
        assert_eq!(refused, Unfound::Refused(Refusal::NoCookie));
    }
}

#[test]
fn an_id_is_read_as_its_column_is() {
    let id = |value: Value| UserId::read(Some(value)).unwrap();
    let text = |text: &str| id(Value::Text(text.into()));
    for (written, integer) in [
        ("1", Some(1)),
        (" 1\n", Some(1)),
        ("+1", Some(1)),
        ("-1", Some(-1)),
        ("007", Some(7)),
        ("1_0", Some(10)),
        ("9223372036854775807", Some(i64::MAX)),
        ("9223372036854775808", None),
        ("", None),
        ("1.0", None),
        ("1__0", None),
        ("_1", None),
        ("1_", None),
        ("+ 1", None),
        ("+-1", None),
        ("0x1", None),
        ("1\0", None),
        ("é", None),
    ] {
        assert_eq!(text(written).integer(), integer, "{written:?}");
        assert_eq!(text(written).text(), written);
    }
    assert_eq!(text(" 007").spellings(), [" 007", "7"]);
    assert_eq!(text("alice").spellings(), ["alice"]);
    let digits = "550e8400e29b41d4a716446655440000";
    let spelt = "550e8400-e29b-41d4-a716-446655440000";
    for written in [digits, spelt, &spelt.to_uppercase()] {
        let all = text(written).spellings();
        assert!([written, digits, spelt].iter().all(|one| all.contains(&(*one).to_owned())));
    }
    let uuid = Some("12345678abcdef12345678abcdef0123".to_owned());
    for written in [
        "12345678abcdef12345678abcdef0123",
        "12345678-abcd-ef12-3456-78abcdef0123",
        "{12345678-ABCD-EF12-3456-78ABCDEF0123}",
        "urn:uuid:12345678-abcd-ef12-3456-78abcdef0123",
    ] {
        assert_eq!(text(written).uuid(), uuid, "{written}");
    }
    for written in ["", "1", "12345678abcdef12345678abcdef012", "12345678abcdef12345678abcdef012g"]
    {
        assert_eq!(text(written).uuid(), None, "{written}");
    }
    let number = id(Value::Integer("5".into()));
    assert_eq!((number.integer(), number.text()), (Some(5), "5"));
    assert_eq!(number.uuid().as_deref(), Some("00000000000000000000000000000005"));
    assert_eq!(id(Value::Integer("-5".into())).uuid(), None);
    for nobody in [
        None,
        Some(Value::Null),
        Some(Value::Bool(true)),
        Some(Value::Float(1.0)),
        Some(Value::Other),
    ] {
        assert_eq!(UserId::read(nobody.clone()), Err(Refusal::NoUser), "{nobody:?}");
    }
}

proptest! {
    #[test]
    fn no_header_is_too_odd(bytes: Vec<u8>, text in "[ab=;\"\\\\0-7 \t\n\u{a0}é,]{0,60}") {
        for header in [&bytes[..], text.as_bytes()] {
            for name in ["a", "b", ""] {
                let _ = cookie(header, name);
            }
        }
    }

    #[test]
    fn no_data_is_somebody_s(bytes: Vec<u8>, place in 0..SESSION.len(), byte: u8) {
        let mut changed = SESSION.as_bytes().to_vec();
        let same = changed[place] == byte;
        changed[place] = byte;
        for legacy in [false, true] {
            let settings = Settings { legacy, ..rows() };
            let decode = |data: &[u8]| settings.decode(&Data::of_row(data), &keys(), now()).is_ok();
            prop_assert!(!decode(&bytes));
            prop_assert_eq!(decode(&changed), same);
        }
    }
}
