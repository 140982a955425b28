//! What real Djangos signed, and what nobody did.

use super::*;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use proptest::prelude::*;
use std::io::Write;

/// `signing.dumps({"a": 1}, salt=SALT)` of Django 5.2, under KEY, at NOW.
const SIGNED: &str = "eyJhIjoxfQ:1r31eq:-erKf6X8XuUqGwrV8KEYexjqNCph05oz8-C135MZMYM";
const KEY: &str = "test-secret-key-0123456789";
const SALT: &str = "django.contrib.sessions.SessionStore";
const NOW: Duration = Duration::from_secs(1_700_000_000);
const SIGNER: Signer<'_> = Signer { salt: SALT, sha1: false };

fn keys() -> Keys {
    Keys::new(KEY, &[])
}

fn now() -> SystemTime {
    UNIX_EPOCH + NOW
}

fn loads(signed: &[u8], keys: &Keys) -> Result<Vec<u8>, Refusal> {
    SIGNER.loads(signed, keys, None, now())
}

/// Signs `value` as it stands: payload, `:` and timestamp.
fn sign(value: &[u8], algorithm: Algorithm) -> Vec<u8> {
    let mac = algorithm.mac(&format!("{SALT}signer"), KEY.as_bytes(), value).unwrap();
    [value, b":", URL_SAFE_NO_PAD.encode(mac).as_bytes()].concat()
}

/// A payload of today, signed.
fn payload(text: &str) -> Result<Vec<u8>, Refusal> {
    loads(&sign(format!("{text}:1r31eq").as_bytes(), Algorithm::Sha256), &keys())
}

fn compressed(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn inflated(compressed: &[u8]) -> Result<Vec<u8>, Refusal> {
    payload(&format!(".{}", URL_SAFE_NO_PAD.encode(compressed)))
}

#[test]
fn what_django_signed_is_read() {
    assert_eq!(loads(SIGNED.as_bytes(), &keys()).unwrap(), br#"{"a":1}"#);
    assert_eq!(sign(b"eyJhIjoxfQ:1r31eq", Algorithm::Sha256), SIGNED.as_bytes());
}

#[test]
fn every_key_is_tried_and_no_other() {
    for keys in [Keys::new("new", &[KEY]), Keys::new("newest", &["new", KEY])] {
        assert!(loads(SIGNED.as_bytes(), &keys).is_ok(), "{keys:?}");
    }
    for keys in [Keys::new("new", &[]), Keys::new("test-secret-key-012345678", &["9"])] {
        assert_eq!(loads(SIGNED.as_bytes(), &keys), Err(Refusal::Signature));
    }
}

#[test]
fn an_empty_key_signs_nothing() {
    let signed = |mac| [b"eyJhIjoxfQ:1r31eq:", URL_SAFE_NO_PAD.encode(mac).as_bytes()].concat();
    let mac = Algorithm::Sha256.mac(&format!("{SALT}signer"), b"", b"eyJhIjoxfQ:1r31eq").unwrap();
    for keys in [Keys::new("", &[]), Keys::new(KEY, &["", "old"]), Keys::new("", &[""])] {
        assert_eq!(loads(&signed(&*mac), &keys), Err(Refusal::Signature), "{keys:?}");
        assert_eq!(loads(&signed(b""), &keys), Err(Refusal::Signature), "{keys:?}");
    }
}

#[test]
fn another_purpose_is_refused() {
    for salt in ["", "django.contrib.sessions.backends.signed_cookies"] {
        let signer = Signer { salt, ..SIGNER };
        assert_eq!(signer.unsign(SIGNED.as_bytes(), &keys()), Err(Refusal::Signature));
    }
}

#[test]
fn no_byte_may_change() {
    let signed = SIGNED.as_bytes();
    for place in 0..signed.len() {
        for bit in 0..8 {
            let mut changed = signed.to_vec();
            changed[place] ^= 1 << bit;
            assert_eq!(loads(&changed, &keys()), Err(Refusal::Signature), "{place}.{bit}");
        }
        for part in [&signed[..place], &signed[place + 1..]] {
            assert_eq!(loads(part, &keys()), Err(Refusal::Signature), "{place}");
        }
    }
    for more in [&b"="[..], b" ", b"\n", b"\0", b":"] {
        for whole in [[signed, more].concat(), [more, signed].concat()] {
            assert_eq!(loads(&whole, &keys()), Err(Refusal::Signature), "{more:?}");
        }
    }
}

#[test]
fn sha1_counts_where_it_is_asked_for() {
    let signed = sign(b"eyJhIjoxfQ:1r31eq", Algorithm::Sha1);
    assert_eq!(loads(&signed, &keys()), Err(Refusal::Signature));
    let signer = Signer { sha1: true, ..SIGNER };
    assert!(signer.loads(&signed, &keys(), None, now()).is_ok());
    assert!(signer.loads(SIGNED.as_bytes(), &keys(), None, now()).is_ok());
}

#[test]
fn an_age_is_reached_and_not_passed() {
    let at = |seconds, nanos| UNIX_EPOCH + NOW + Duration::new(seconds, nanos);
    let unsign = |max_age, now| {
        let max_age = Some(Duration::from_secs(max_age));
        SIGNER.unsign_timestamp(SIGNED.as_bytes(), &keys(), max_age, now).map(<[u8]>::len)
    };
    for (max_age, now, answer) in [
        (100, at(100, 0), Ok(10)),
        (100, at(100, 1), Err(Refusal::TooOld)),
        (0, at(0, 0), Ok(10)),
        (0, at(0, 1), Err(Refusal::TooOld)),
        // To come; and a clock that was never set.
        (0, at(0, 0) - Duration::from_secs(500), Ok(10)),
        (0, UNIX_EPOCH - Duration::from_secs(1), Ok(10)),
        (u64::MAX, at(100, 0), Ok(10)),
    ] {
        assert_eq!(unsign(max_age, now), answer, "{max_age} {now:?}");
    }
}

#[test]
fn a_timestamp_is_a_number_to_the_base_62() {
    for (text, number) in [
        ("1r31eq", 1_700_000_000),
        ("0", 0),
        ("0001", 1),
        ("z", 61),
        ("10", 62),
        ("-1", -1),
        // As Django has it.
        ("-", 0),
    ] {
        assert_eq!(b62_decode(text.as_bytes()), Some(number), "{text}");
    }
    for text in ["", "+1", "1 ", "--1", "1-", "é", "zzzzzzzzzzzz", "1r31eq\0"] {
        assert_eq!(b62_decode(text.as_bytes()), None, "{text}");
        let signed = sign(format!("eyJhIjoxfQ:{text}").as_bytes(), Algorithm::Sha256);
        assert_eq!(loads(&signed, &keys()), Err(Refusal::Timestamp), "{text}");
    }
    let signed = sign(b"eyJhIjoxfQ", Algorithm::Sha256);
    assert_eq!(loads(&signed, &keys()), Err(Refusal::Timestamp));
}

#[test]
fn base64_is_of_urls_with_or_without_padding() {
    for (text, bytes) in
        [("-_8", &b"\xfb\xff"[..]), ("-_8=", b"\xfb\xff"), ("YQ", b"a"), ("YR", b"a")]
    {
        assert_eq!(payload(text).unwrap(), bytes, "{text}");
    }
    for text in ["+/8", "Y", "Y Q", "YQ\n", "YQ:", "=", "é"] {
        assert_eq!(payload(text), Err(Refusal::Base64), "{text:?}");
    }
}

#[test]
fn a_stream_of_zlib_is_whole_and_right() {
    let data = br#"{"a":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}"#;
    let stream = compressed(data);
    assert_eq!(inflated(&stream).unwrap(), data);
    assert_eq!(inflated(&[&stream[..], b"more"].concat()).unwrap(), data);
    for end in 0..stream.len() {
        assert_eq!(inflated(&stream[..end]), Err(Refusal::Zlib), "{end}");
    }
    let mut changed = stream.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(inflated(&changed), Err(Refusal::Zlib), "the checksum");
    assert_eq!(inflated(data), Err(Refusal::Zlib));
}

#[test]
fn a_bomb_does_not_go_off() {
    let most = vec![b' '; payload::MAX_INFLATED];
    assert_eq!(inflated(&compressed(&most)).unwrap().len(), most.len());
    for more in [1, 1 << 26] {
        let bomb = compressed(&vec![b' '; payload::MAX_INFLATED + more]);
        assert!(bomb.len() < MAX_SIGNED / 2);
        assert_eq!(inflated(&bomb), Err(Refusal::TooBig), "{more}");
    }
}

#[test]
fn too_long_is_refused_unread() {
    let signed = sign(&[&vec![b'A'; MAX_SIGNED][..], b":1r31eq"].concat(), Algorithm::Sha256);
    assert_eq!(loads(&signed, &keys()), Err(Refusal::TooLong));
}

#[test]
fn a_digest_is_compared_whole() {
    // Django 5.2: salted_hmac("salt", "value", KEY, algorithm=…).hexdigest().
    for (algorithm, digest) in [
        (Algorithm::Sha256, "cd0736f4fc8a55296dd466449e03afbd1d0b64c666744799ffea8210f57431c1"),
        (Algorithm::Sha1, "87b9c78a94a09d0a585da67156b11a703c082e63"),
    ] {
        let is = |claimed: &[u8]| algorithm.is_hexdigest(claimed, "salt", b"value", &keys());
        assert!(is(digest.as_bytes()), "{algorithm:?}");
        assert!(!is(digest.to_uppercase().as_bytes()));
        assert!(!is(&digest.as_bytes()[1..]));
        assert!(!is(b""));
        assert!(!algorithm.is_hexdigest(digest.as_bytes(), "sal", b"tvalue", &keys()));
    }
}

#[test]
fn keys_are_not_shown() {
    assert_eq!(format!("{:?}", Keys::new("hunter2", &["hunter3"])), "Keys(2)");
}

proptest! {
    #[test]
    fn no_bytes_are_too_odd(bytes: Vec<u8>, text in "[A-Za-z0-9_:.=-]{0,200}") {
        for signed in [&bytes[..], text.as_bytes()] {
            prop_assert_eq!(loads(signed, &keys()), Err(Refusal::Signature));
        }
        // Signed, so that what follows the signature is met.
        let _ = payload(&text);
        let _ = inflated(&bytes);
        let header = [&b"\x78\x9c"[..], &bytes].concat();
        let _ = inflated(&header);
    }

    #[test]
    fn what_is_compressed_comes_back(bytes: Vec<u8>) {
        prop_assert_eq!(inflated(&compressed(&bytes)).unwrap(), bytes);
    }
}
