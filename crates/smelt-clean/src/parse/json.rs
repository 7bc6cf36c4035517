//! One line of JSON: an object of texts, numbers, booleans and nulls. Strict, as RFC 8259 has it.
//!
//! Since an object or array as a value makes the record unreadable, there is no nesting to follow:
//! one pass from left to right, in which every value lands under its column's index. Of a repeated
//! key the last value counts. A number is the text of its token.

use std::fmt;

use crate::clean::{Plan, Raw, Record, UnknownColumns};

/// Parses lines, and remembers in what order their keys come.
pub(crate) struct JsonParser {
    /// For each column of the plan, then `_op`: its name as a key, quotes included; none when it
    /// has to be written with an escape.
    keys: Vec<Option<String>>,
    /// For each key, then the start of the object: the known key that followed it last time.
    /// Most lines of a file have the same keys in the same order, so this is where to look first.
    followers: Vec<usize>,
}

impl JsonParser {
    pub(crate) fn new(plan: &Plan) -> Self {
        let names = plan.columns.iter().map(|column| column.name.as_str());
        let keys = names.chain([crate::OPERATION_COLUMN]);
        let is_plain = |name: &str| !name.contains(|character| matches!(character, '"' | '\\' | '\0'..' '));
        let keys: Vec<_> = keys.map(|name| is_plain(name).then(|| format!("\"{name}\""))).collect();
        let start = keys.len();
        Self { followers: (1..start).chain([0, 0]).collect(), keys }
    }

    /// Fills `record` from a line, or tells why the line cannot be read.
    pub(crate) fn parse<'a>(
        &mut self,
        line: &'a str,
        plan: &Plan,
        record: &mut Record<'a>,
        unknown: &mut UnknownColumns,
    ) -> Result<(), Unreadable> {
        let mut cursor = Cursor { text: line, at: 0 };
        cursor.skip_white_space();
        cursor.expect(b'{', "`{`")?;
        cursor.skip_white_space();
        if !cursor.accept(b'}') {
            let mut previous = self.keys.len();
            loop {
                let column = self.key(&mut cursor, previous, plan, record, unknown)?;
                cursor.skip_white_space();
                cursor.expect(b':', "`:`")?;
                cursor.skip_white_space();
                let value = cursor.value(record)?;
                if let Some(column) = column {
                    record.set(column, value);
                    previous = column;
                }
                cursor.skip_white_space();
                if cursor.accept(b'}') {
                    break;
                }
                cursor.expect(b',', "`,` or `}`")?;
                cursor.skip_white_space();
            }
        }
        cursor.skip_white_space();
        if cursor.peek().is_some() {
            return Err(cursor.expected("the end of the line"));
        }
        Ok(())
    }

    /// Reads a key: the index of its column, if it is known.
    fn key<'a>(
        &mut self,
        cursor: &mut Cursor<'a>,
        previous: usize,
        plan: &Plan,
        record: &mut Record<'a>,
        unknown: &mut UnknownColumns,
    ) -> Result<Option<usize>, Unreadable> {
        let guess = self.followers[previous];
        if let Some(key) = &self.keys[guess]
            && cursor.rest().starts_with(key.as_bytes())
        {
            cursor.at += key.len();
            return Ok(Some(guess));
        }
        cursor.expect(b'"', "a key in double quotes")?;
        let name = cursor.string(record)?;
        let name = record.text(name).unwrap_or_default();
        let column = plan.index_of(name);
        match column {
            Some(column) => self.followers[previous] = column,
            None => unknown.see(name),
        }
        Ok(column)
    }
}

/// Why a line is not a flat JSON object.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// Something else was expected after so many bytes of the line.
    Expected { what: &'static str, at: usize },
    /// A value is an object or an array.
    Nested { what: &'static str, at: usize },
}

impl fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expected { what, at } => {
                write!(formatter, "not JSON: {what} expected after {at} bytes")
            }
            Self::Nested { what, at } => {
                write!(formatter, "the value after {at} bytes is {what}, which no column can hold")
            }
        }
    }
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn accept(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Unreadable> {
        if self.accept(byte) { Ok(()) } else { Err(self.expected(what)) }
    }

    #[cold]
    fn expected(&self, what: &'static str) -> Unreadable {
        Unreadable::Expected { what, at: self.at }
    }

    /// JSON's white space, which is not that of values.
    fn skip_white_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self, record: &mut Record<'a>) -> Result<Raw<'a>, Unreadable> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                self.string(record)
            }
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
                Ok(Raw::Text(&self.text[start..self.at]))
            }
            Some(b'n') => self.word("null", Raw::Null),
            Some(b't') => self.word("true", Raw::Text("true")),
            Some(b'f') => self.word("false", Raw::Text("false")),
            Some(b'{') => Err(Unreadable::Nested { what: "an object", at: start }),
            Some(b'[') => Err(Unreadable::Nested { what: "an array", at: start }),
            _ => Err(self.expected("a value")),
        }
    }

    fn word(&mut self, word: &'static str, value: Raw<'a>) -> Result<Raw<'a>, Unreadable> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(self.expected("a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn number(&mut self) -> Result<(), Unreadable> {
        self.accept(b'-');
        if !self.accept(b'0') {
            self.digits()?;
        }
        if self.accept(b'.') {
            self.digits()?;
        }
        if self.accept(b'e') || self.accept(b'E') {
            let _sign = self.accept(b'+') || self.accept(b'-');
            self.digits()?;
        }
        Ok(())
    }

    /// At least one digit.
    fn digits(&mut self) -> Result<(), Unreadable> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.expected("a digit"));
        }
        Ok(())
    }

    /// A string whose opening quote has been read. Borrowed, unless it has escapes.
    fn string(&mut self, record: &mut Record<'a>) -> Result<Raw<'a>, Unreadable> {
        let start = self.at;
        self.skip_plain();
        if self.peek() == Some(b'"') {
            let end = self.at;
            self.at += 1;
            return Ok(Raw::Text(&self.text[start..end]));
        }
        self.at = start;
        self.escaped_string(record.rebuilt())
    }

    /// Moves to the next quote, backslash or control character, eight bytes at a time.
    fn skip_plain(&mut self) {
        const EACH: u64 = 0x0101_0101_0101_0101;
        const HIGH_BITS: u64 = 0x80 * EACH;
        // The lowest byte with its high bit set is one that is zero; higher ones may be wrong.
        let zero = |word: u64| word.wrapping_sub(EACH) & !word & HIGH_BITS;
        let mut rest = self.rest();
        while let Some((chunk, after)) = rest.split_first_chunk() {
            let word = u64::from_le_bytes(*chunk);
            let quotes = zero(word ^ (u64::from(b'"') * EACH));
            let backslashes = zero(word ^ (u64::from(b'\\') * EACH));
            let controls = word.wrapping_sub(0x20 * EACH) & !word & HIGH_BITS;
            let found = quotes | backslashes | controls;
            if found != 0 {
                self.at += found.trailing_zeros() as usize / 8;
                return;
            }
            self.at += chunk.len();
            rest = after;
        }
        let is_plain = |byte: &&u8| !matches!(byte, b'"' | b'\\' | 0..0x20);
        self.at += rest.iter().take_while(is_plain).count();
    }

    #[cold]
    fn escaped_string(&mut self, rebuilt: &mut String) -> Result<Raw<'a>, Unreadable> {
        let start = rebuilt.len();
        loop {
            let plain = self.at;
            self.skip_plain();
            rebuilt.push_str(&self.text[plain..self.at]);
            if self.accept(b'"') {
                let end = rebuilt.len();
                return Ok(Raw::Rebuilt { start, end });
            }
            self.expect(b'\\', "a closing quote, and no control character before it,")?;
            rebuilt.push(self.escape()?);
        }
    }

    /// The character of an escape whose backslash has been read.
    fn escape(&mut self) -> Result<char, Unreadable> {
        let character = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape();
            }
            _ => return Err(self.expected("an escape")),
        };
        self.at += 1;
        Ok(character)
    }

    /// The character of one `\uXXXX`, or of two that make up a surrogate pair.
    fn unicode_escape(&mut self) -> Result<char, Unreadable> {
        let at = self.at;
        let mut code = self.four_hex_digits()?;
        if (0xD800..0xDC00).contains(&code) && self.rest().starts_with(b"\\u") {
            self.at += 2;
            let low = self.four_hex_digits()?;
            if (0xDC00..0xE000).contains(&low) {
                code = 0x1_0000 + ((code - 0xD800) << 10) + (low - 0xDC00);
            }
        }
        // Half a surrogate pair is no character.
        char::from_u32(code).ok_or(Unreadable::Expected { what: "a Unicode character", at })
    }

    fn four_hex_digits(&mut self) -> Result<u32, Unreadable> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.expected("a hexadecimal digit"))?;
            self.at += 1;
        }
        Ok(code)
    }
}
