//! White space is always these six: space, tab, carriage return, line feed, form feed, vertical tab.

use std::ops::Range;

/// Whether `byte` is white space. No byte of a longer UTF-8 character is.
pub fn is_white_space(byte: u8) -> bool {
    // Tab, line feed, vertical tab, form feed and carriage return are neighbours.
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Whether there is nothing but white space in `bytes`.
pub fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| is_white_space(*byte))
}

/// Where in `text` lies what the white space is around.
pub fn trimmed(text: &str) -> Range<usize> {
    let bytes = text.as_bytes();
    let (mut start, mut end) = (0, bytes.len());
    while start < end && is_white_space(bytes[start]) {
        start += 1;
    }
    while start < end && is_white_space(bytes[end - 1]) {
        end -= 1;
    }
    start..end
}

/// `text` without the white space around it.
pub fn trim(text: &str) -> &str {
    &text[trimmed(text)]
}
