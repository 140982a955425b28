//! Primary keys as text: two that are one key to Django, however they are written.

#![forbid(unsafe_code)]

/// Whether a row of the key `found`, as the database writes it, is meant by `asked`, as a column of
/// integers, of UUIDs or of texts reads it (Django 6.1, the `to_python` of each). What a database takes
/// for equal beyond that, as MySQL does `7abc` and 7, is not.
pub(super) fn is_same(asked: &str, found: &str) -> bool {
    asked == found
        || integer(asked).is_some_and(|number| number.to_string() == found)
        || uuid_digits(asked).is_some_and(|digits| uuid_digits(found) == Some(digits))
}

fn integer(text: &str) -> Option<i64> {
    text.trim().parse().ok()
}

/// The 32 digits of a UUID, which a database without a type for it keeps.
pub(super) fn uuid_digits(text: &str) -> Option<String> {
    let digits = text.replace("urn:", "").replace("uuid:", "");
    let digits = digits.trim_matches(['{', '}']).replace('-', "");
    let is_uuid = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_uuid.then(|| digits.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_in_several_spellings() {
        let digits = "550e8400e29b41d4a716446655440000";
        let uuid = "550e8400-e29b-41d4-a716-446655440000";
        for (asked, found) in [
            ("7", "7"),
            ("+7", "7"),
            (" 007 ", "7"),
            ("-7", "-7"),
            ("alice", "alice"),
            (uuid, uuid),
            (uuid, digits),
            (digits, uuid),
            (&uuid.to_uppercase(), digits),
            ("{550E8400-e29b-41d4-a716-446655440000}", uuid),
        ] {
            assert!(is_same(asked, found), "{asked} {found}");
        }
        for (asked, found) in [
            ("7abc", "7"),
            ("7.0", "7"),
            ("7", "007"),
            ("0x7", "7"),
            ("7e0", "7"),
            ("", "0"),
            ("Alice", "alice"),
            ("alice ", "alice"),
            ("9223372036854775808", "-9223372036854775808"),
            (uuid, "550e8400-e29b-41d4-a716-446655440001"),
            ("550e8400", digits),
        ] {
            assert!(!is_same(asked, found), "{asked} {found}");
        }
    }
}
