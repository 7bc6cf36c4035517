//! Text: as it is, inner white space and line feeds kept.

/// Version of this rule's meaning.
pub const SEMANTICS_VERSION: u32 = 1;

/// The trimmed text itself. Here so that every kind has its place.
pub fn normalise(text: &str) -> &str {
    text
}
