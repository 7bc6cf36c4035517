//! Email addresses: lower case.

/// Version of this rule's meaning.
pub const SEMANTICS_VERSION: u32 = 1;

/// The clean address: `text` itself when it is clean already, else written to `buffer`.
pub fn normalise<'a>(text: &'a str, buffer: &'a mut String) -> &'a str {
    let clean = text.bytes().fold(true, |clean, byte| clean & !byte.is_ascii_uppercase());
    if clean {
        return text;
    }
    buffer.clear();
    buffer.push_str(text);
    buffer.make_ascii_lowercase();
    buffer
}
