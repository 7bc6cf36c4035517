//! The value rules: what a text means as a value of each kind, one kind a file.
//!
//! Every value is first trimmed of [`white_space`], then compared with the entity's NULL texts, and
//! only then given to its kind. The kinds come in two shapes:
//!
//! | shape | kinds | |
//! |---|---|---|
//! | `normalise` | text, identifier, email, code, status | every text is a value; some of its bytes change |
//! | `parse` | money, count, flag, timestamp | a text is a value, or it is not |
//!
//! All of it is ASCII: no rule depends on a locale or a Unicode version. Each kind has a
//! `SEMANTICS_VERSION`, which grows when a text gives another result than before, so that what was
//! cleaned with the old rule is known to be out of date.

pub mod code;
pub mod count;
pub mod email;
pub mod flag;
pub mod identifier;
pub mod money;
pub mod status;
pub mod text;
pub mod timestamp;
pub mod white_space;

/// Version of the steps before the kinds: trimming, then NULL texts.
pub const SEMANTICS_VERSION: u32 = 1;

/// The number a byte writes, if it is a digit.
fn digit(byte: u8) -> Option<u8> {
    byte.is_ascii_digit().then(|| byte - b'0')
}
