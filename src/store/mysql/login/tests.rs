use super::*;
use std::fmt::Write;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Computed with Python's hashlib from the two formulas of MySQL's manual.
#[test]
fn proofs() {
    let nonce = b"12345678abcdefghijkl";
    let native = scramble(NATIVE, "s3cret", nonce).unwrap();
    assert_eq!(hex(&native), "d9941514ab146c3b2b6a41b12d6e151fc417aacb");
    let caching = scramble(CACHING, "s3cret", nonce).unwrap();
    assert_eq!(hex(&caching), "56ab4e45e45b8c312a4890fed48db3506b3ea31c83410538c69051d520c621b2");
    assert!(scramble(NATIVE, "", nonce).unwrap().is_empty());
    assert!(scramble(CACHING, "", nonce).unwrap().is_empty());
    for plugin in [&b"mysql_clear_password"[..], b"sha256_password", b"dialog", b""] {
        assert!(scramble(plugin, "s3cret", nonce).is_none());
    }
}
