//! Statuses and methods: lower case, each space or hyphen an underscore, then aliases.
//!
//! Values nobody has heard of pass: a new status of the source must not stop the warehouse.

/// Version of this rule's meaning.
pub const SEMANTICS_VERSION: u32 = 1;

/// The clean status: `text` itself when it is clean already, else an alias's target or `buffer`.
///
/// `aliases` are pairs of a clean status and what stands for it; they are not chained.
pub fn normalise<'a>(text: &'a str, aliases: &'a [(String, String)], buffer: &'a mut String) -> &'a str {
    let clean = text.bytes().fold(true, |clean, byte| clean & !matches!(byte, b'A'..=b'Z' | b' ' | b'-'));
    let status = if clean {
        text
    } else {
        buffer.clear();
        for (index, part) in text.split([' ', '-']).enumerate() {
            if index > 0 {
                buffer.push('_');
            }
            buffer.push_str(part);
        }
        buffer.make_ascii_lowercase();
        buffer
    };
    aliases.iter().find(|(alias, _)| alias == status).map_or(status, |(_, target)| target)
}
