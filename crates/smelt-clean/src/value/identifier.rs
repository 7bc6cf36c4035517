//! Identifiers, for business and foreign keys: upper case, without any white space.

use super::white_space::is_white_space;

/// Version of this rule's meaning.
pub const SEMANTICS_VERSION: u32 = 1;

/// The clean identifier: `text` itself when it is clean already, else written to `buffer`.
pub fn normalise<'a>(text: &'a str, buffer: &'a mut String) -> &'a str {
    // Without early exit, so that the compiler looks at many bytes at once.
    let clean = text.bytes().fold(true, |clean, byte| clean & !byte.is_ascii_lowercase() & !is_white_space(byte));
    if clean {
        return text;
    }
    buffer.clear();
    for part in text.split(|character: char| u8::try_from(character).is_ok_and(is_white_space)) {
        buffer.push_str(part);
    }
    buffer.make_ascii_uppercase();
    buffer
}
