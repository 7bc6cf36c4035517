//! Flags: true and false in the ways sources write them, in any case.

/// Version of this rule's meaning.
pub const SEMANTICS_VERSION: u32 = 1;

const TRUE: [&str; 5] = ["true", "1", "t", "yes", "y"];
const FALSE: [&str; 5] = ["false", "0", "f", "no", "n"];

/// The flag `text` writes.
pub fn parse(text: &str) -> Option<bool> {
    let is_one_of = |words: [&str; 5]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is_one_of(TRUE) {
        Some(true)
    } else if is_one_of(FALSE) {
        Some(false)
    } else {
        None
    }
}
