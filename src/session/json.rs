//! The JSON of a session, as Python reads it: NaN, numbers of any size and halves of surrogate pairs
//! are nothing unusual in a session, and `serde_json` takes none of them. Only the members that are
//! asked for are kept.

#![forbid(unsafe_code)]

/// Arrays and objects within each other. Python gives up near 1000; ours is a bound of the stack.
const MAX_DEPTH: usize = 128;

/// `sys.get_int_max_str_digits()`: Python reads no longer integer.
const MAX_DIGITS: usize = 4300;

/// A value, as far as anybody here asks.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// An integer's own digits.
    Integer(String),
    Float(f64),
    Text(String),
    /// An array, an object, or a text with half a surrogate pair, which is not Unicode.
    Other,
}

/// It is not JSON, or not an object, or too deep.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotAnObject;

type Read<T> = Result<T, NotAnObject>;

/// The members `names` of the object `json`, of those of one name the last. As Django does, bytes
/// are read as Latin-1.
pub(super) fn members<const N: usize>(json: &[u8], names: [&str; N]) -> Read<[Option<Value>; N]> {
    let mut found = [const { None }; N];
    let mut reader = Reader { rest: json };
    reader.space();
    reader.object(MAX_DEPTH, &mut |name, value| {
        let asked = names.iter().zip(&mut found).find(|(asked, _)| name == Some(*asked));
        if let Some((_, place)) = asked {
            *place = Some(value);
        }
    })?;
    reader.space();
    if reader.rest.is_empty() { Ok(found) } else { Err(NotAnObject) }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn next(&mut self) -> Read<u8> {
        let (&first, rest) = self.rest.split_first().ok_or(NotAnObject)?;
        self.rest = rest;
        Ok(first)
    }

    fn take(&mut self, text: &[u8]) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, text: &[u8]) -> Read<()> {
        if self.take(text) { Ok(()) } else { Err(NotAnObject) }
    }

    fn space(&mut self) {
        self.skip(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    fn skip(&mut self, is: impl Fn(u8) -> bool) {
        let end = self.rest.iter().position(|&byte| !is(byte)).unwrap_or(self.rest.len());
        self.rest = self.rest.get(end..).unwrap_or_default();
    }

    fn value(&mut self, depth: usize) -> Read<Value> {
        let literal = |reader: &mut Self, text: &[u8], value| reader.expect(text).map(|()| value);
        match self.peek().ok_or(NotAnObject)? {
            b'"' => Ok(self.text()?.map_or(Value::Other, Value::Text)),
            b'{' => self.object(depth, &mut |_, _| ()).map(|()| Value::Other),
            b'[' => self.array(depth).map(|()| Value::Other),
            b'n' => literal(self, b"null", Value::Null),
            b't' => literal(self, b"true", Value::Bool(true)),
            b'f' => literal(self, b"false", Value::Bool(false)),
            b'N' => literal(self, b"NaN", Value::Float(f64::NAN)),
            b'I' => literal(self, b"Infinity", Value::Float(f64::INFINITY)),
            _ if self.take(b"-Infinity") => Ok(Value::Float(f64::NEG_INFINITY)),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: usize, member: &mut dyn FnMut(Option<&str>, Value)) -> Read<()> {
        let depth = depth.checked_sub(1).ok_or(NotAnObject)?;
        self.expect(b"{")?;
        self.space();
        if self.take(b"}") {
            return Ok(());
        }
        loop {
            let name = self.text()?;
            self.space();
            self.expect(b":")?;
            self.space();
            let value = self.value(depth)?;
            member(name.as_deref(), value);
            self.space();
            if self.take(b"}") {
                return Ok(());
            }
            self.expect(b",")?;
            self.space();
        }
    }

    fn array(&mut self, depth: usize) -> Read<()> {
        let depth = depth.checked_sub(1).ok_or(NotAnObject)?;
        self.expect(b"[")?;
        self.space();
        if self.take(b"]") {
            return Ok(());
        }
        loop {
            self.value(depth)?;
            self.space();
            if self.take(b"]") {
                return Ok(());
            }
            self.expect(b",")?;
            self.space();
        }
    }

    /// None for a text that is not Unicode.
    fn text(&mut self) -> Read<Option<String>> {
        self.expect(b"\"")?;
        let mut text = String::new();
        let mut is_unicode = true;
        loop {
            match self.next()? {
                b'"' => return Ok(is_unicode.then_some(text)),
                0..=0x1f => return Err(NotAnObject),
                b'\\' => match self.escape()? {
                    Some(character) => text.push(character),
                    None => is_unicode = false,
                },
                latin1 => text.push(char::from(latin1)),
            }
        }
    }

    /// None for half a surrogate pair.
    fn escape(&mut self) -> Read<Option<char>> {
        Ok(Some(match self.next()? {
            same @ (b'"' | b'\\' | b'/') => char::from(same),
            b'b' => '\x08',
            b'f' => '\x0c',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.hex()?;
                let after = self.rest;
                if let 0xd800..=0xdbff = unit
                    && self.take(b"\\u")
                    && let low @ 0xdc00..=0xdfff = self.hex()?
                {
                    let both = char::decode_utf16([unit, low]).next();
                    return Ok(both.and_then(Result::ok));
                }
                self.rest = after;
                return Ok(char::from_u32(unit.into()));
            }
            _ => return Err(NotAnObject),
        }))
    }

    fn hex(&mut self) -> Read<u16> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = char::from(self.next()?).to_digit(16).ok_or(NotAnObject)?;
            unit = unit << 4 | u16::try_from(digit).map_err(|_| NotAnObject)?;
        }
        Ok(unit)
    }

    fn number(&mut self) -> Read<Value> {
        let whole = self.rest;
        self.take(b"-");
        if !self.take(b"0") {
            self.digits()?;
        }
        let digits = whole.len() - self.rest.len();
        let mut is_integer = true;
        if self.take(b".") {
            is_integer = false;
            self.digits()?;
        }
        if self.take(b"e") || self.take(b"E") {
            is_integer = false;
            let _ = self.take(b"+") || self.take(b"-");
            self.digits()?;
        }
        let text = whole.get(..whole.len() - self.rest.len()).unwrap_or_default();
        let text = str::from_utf8(text).map_err(|_| NotAnObject)?;
        if !is_integer {
            return text.parse().map(Value::Float).map_err(|_| NotAnObject);
        }
        if digits - usize::from(text.starts_with('-')) > MAX_DIGITS {
            return Err(NotAnObject);
        }
        Ok(Value::Integer(text.to_owned()))
    }

    fn digits(&mut self) -> Read<()> {
        let before = self.rest.len();
        self.skip(|byte| byte.is_ascii_digit());
        if self.rest.len() < before { Ok(()) } else { Err(NotAnObject) }
    }
}

#[cfg(test)]
mod tests;
