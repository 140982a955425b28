//! Python's JSON, and whatever is none.

use super::*;
use proptest::prelude::*;

fn member(json: &[u8]) -> Option<Option<Value>> {
    members(json, ["a"]).ok().map(|[value]| value)
}

#[test]
fn json_is_read_as_python_reads_it() {
    let text = |text: &str| Value::Text(text.into());
    let integer = |text: &str| Value::Integer(text.into());
    for (json, value) in [
        (r#"{"a":1}"#, integer("1")),
        (" {\t\"a\"\r:\n-0 } ", integer("-0")),
        (r#"{"a":1,"a":"2"}"#, text("2")),
        (r#"{"\u0061":null}"#, Value::Null),
        (r#"{"b":{"a":1},"c":["a",{}],"a":true}"#, Value::Bool(true)),
        (r#"{"a":false}"#, Value::Bool(false)),
        (r#"{"a":1.5e1}"#, Value::Float(15.0)),
        (r#"{"a":1e999}"#, Value::Float(f64::INFINITY)),
        (r#"{"a":Infinity}"#, Value::Float(f64::INFINITY)),
        (r#"{"a":-Infinity}"#, Value::Float(f64::NEG_INFINITY)),
        (r#"{"b":NaN,"a":[]}"#, Value::Other),
        (r#"{"a":"\ud83d\udd11\/\b\f\n\r\t\"\\"}"#, text("🔑/\x08\x0c\n\r\t\"\\")),
        (r#"{"a":"\ud83d"}"#, Value::Other),
        (r#"{"a":"\udd11\ud83d\u0061"}"#, Value::Other),
        (r#"{"\ud83d":1,"a":"\u00e9"}"#, text("é")),
    ] {
        assert_eq!(member(json.as_bytes()), Some(Some(value)), "{json}");
    }
    assert_eq!(member(b"{\"a\":\"\xe9\x7f\"}"), Some(Some(text("é\x7f"))), "Latin-1");
    for json in ["{}", " { } ", r#"{"b":1}"#, r#"{"A":1}"#, r#"{"a ":[[],[1,2]]}"#] {
        assert_eq!(member(json.as_bytes()), Some(None), "{json}");
    }
    for json in [
        "",
        " ",
        "1",
        "[]",
        "null",
        "\"a\"",
        "{",
        "{}}",
        "{} x",
        "{a:1}",
        "{'a':1}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":[1,]}",
        "{\"a\":[1",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":-}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":1e}",
        "{\"a\":1e+}",
        "{\"a\":-NaN}",
        "{\"a\":nul}",
        "{\"a\":True}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u00g0\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\ud83d\\u12\"}",
        "{\"a\":\"",
        "{\"a\":\"\\",
        "{\"a\":1}\u{b}",
        "\u{feff}{}",
        "{\"a\":1 2}",
        "{\"a\":1;}",
        "{1:2}",
    ] {
        assert_eq!(member(json.as_bytes()), None, "{json:?}");
    }
}

#[test]
fn json_is_neither_too_deep_nor_too_long_a_number() {
    // The object around it is one of the 128.
    for (depth, read) in [(127, true), (128, false), (400_000, false)] {
        for (open, close) in [("[", "]"), (r#"{"b":"#, "}")] {
            let inner = if open == "[" { "" } else { "1" };
            let json = format!(r#"{{"a":{}{inner}{}}}"#, open.repeat(depth), close.repeat(depth));
            assert_eq!(member(json.as_bytes()).is_some(), read, "{depth} {open}");
        }
    }
    for (digits, read) in [(4300, true), (4301, false)] {
        for sign in ["", "-"] {
            let json = format!(r#"{{"b":{sign}{}}}"#, "9".repeat(digits));
            assert_eq!(member(json.as_bytes()).is_some(), read, "{sign}{digits}");
        }
    }
}

proptest! {
    #[test]
    fn no_json_is_too_odd(bytes: Vec<u8>, text in r#"[{}\[\]":,a\\ud8f0-9.eE+\-NInty ]{0,60}"#) {
        for json in [&bytes[..], text.as_bytes(), format!("{{\"a\":{text}}}").as_bytes()] {
            // What serde_json takes, we take too; the other way round there is more.
            let strict = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(json);
            if strict.is_ok() {
                prop_assert!(member(json).is_some(), "{}", String::from_utf8_lossy(json));
            }
        }
    }

    #[test]
    fn what_serde_json_writes_is_read(text: String, escaped: bool) {
        let mut json = serde_json::json!({ "a": text }).to_string();
        if escaped || !json.is_ascii() {
            let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            json = format!(r#"{{"a":"{units}"}}"#);
        }
        prop_assert_eq!(member(json.as_bytes()), Some(Some(Value::Text(text))));
    }
}
