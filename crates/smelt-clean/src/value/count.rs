//! Counts: whole numbers of 32 bits. An optional sign, then digits; nothing else.

use super::digit;

/// Version of this rule's meaning.
pub const SEMANTICS_VERSION: u32 = 1;

/// The number `text` writes. Leading zeros are fine, a fraction is not, not even `.0`.
pub fn parse(text: &str) -> Option<i32> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let mut magnitude = 0_i64;
    for &byte in digits {
        magnitude = magnitude * 10 + i64::from(digit(byte)?);
        if magnitude > -i64::from(i32::MIN) {
            return None;
        }
    }
    i32::try_from(if negative { -magnitude } else { magnitude }).ok()
}
