//! White space is always these six: space, tab, carriage return, line feed, form feed, vertical tab.

/// Whether `byte` is white space. No byte of a longer UTF-8 character is.
pub fn is_white_space(byte: u8) -> bool {
    // Tab, line feed, vertical tab, form feed and carriage return are neighbours.
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Whether there is nothing but white space in `bytes`.
pub fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| is_white_space(*byte))
}

/// `text` without the white space around it.
pub fn trim(text: &str) -> &str {
    let bytes = text.as_bytes();
    let start = bytes.iter().take_while(|byte| is_white_space(**byte)).count();
    let after = &bytes[start..];
    let trailing = after.iter().rev().take_while(|byte| is_white_space(**byte)).count();
    &text[start..text.len() - trailing]
}
