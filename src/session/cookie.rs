//! One cookie of a `Cookie` header, as Django reads it (`http.parse_cookie`).

#![forbid(unsafe_code)]

/// The value of the cookie `name`: the last one counts. httpd has made one header of several: with
/// `, ` between those of HTTP/1.1, which are therefore one value here and to Django under mod_wsgi,
/// and with `; ` between those of HTTP/2, as RFC 9113 wants it. Bytes that are not UTF-8 are U+FFFD,
/// as they are to Django.
pub fn cookie(header: &[u8], name: &str) -> Option<String> {
    String::from_utf8_lossy(header)
        .split(';')
        .filter_map(|chunk| {
            let (key, value) = chunk.split_once('=').unwrap_or(("", chunk));
            let (key, value) = (strip(key), strip(value));
            (key == name && !(key.is_empty() && value.is_empty())).then(|| unquote(value))
        })
        .next_back()
}

/// Python's `str.strip`: to it the four separators of ASCII are white space, too.
fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c))
}

/// `http.cookies._unquote`: in a quoted value `\ooo` is a character of three octal digits, and a
/// backslash makes any other character but a line feed itself.
fn unquote(value: &str) -> String {
    let Some(quoted) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut text = String::with_capacity(quoted.len());
    let mut rest = quoted;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        text.push_str(plain);
        let octal = escaped.get(..3).filter(|digits| is_octal(digits.as_bytes()));
        let code = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        let mut characters = escaped.chars();
        if let Some(code) = code {
            text.push(char::from(code));
            rest = escaped.get(3..).unwrap_or_default();
        } else if let Some(character) = characters.next().filter(|&c| c != '\n') {
            text.push(character);
            rest = characters.as_str();
        } else {
            text.push('\\');
            rest = escaped;
        }
    }
    text.push_str(rest);
    text
}

fn is_octal(digits: &[u8]) -> bool {
    matches!(digits, [b'0'..=b'3', b'0'..=b'7', b'0'..=b'7'])
}
