//! Money: a decimal of fixed scale, rounded half away from zero.
//!
//! ```text
//! [$€£¥ [space]] [+-] digits, with commas that mean nothing [. digits]
//! ```
//!
//! Either side of the point may be without digits, not both. A comma is dropped wherever it stands
//! after the first digit and before the point. Leading zeros count as digits. No exponent.

use super::digit;

/// Version of this rule's meaning.
pub const SEMANTICS_VERSION: u32 = 1;

/// The most digits a 128-bit decimal holds.
pub const MAX_PRECISION: u8 = 38;

const SYMBOLS: [&str; 4] = ["$", "€", "£", "¥"];

/// The amount `text` writes, in units of `10^-scale`.
///
/// At most `precision - scale` digits may be written before the point, and the rounded amount must
/// have at most `precision` digits. Zero has no sign. `scale` is from 0 to `precision`, which is at
/// most [`MAX_PRECISION`].
pub fn parse(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (negative, digits) = match without_symbol(text).as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    let scale = u32::from(scale.unsigned_abs());
    let integer_digits = u32::from(precision).checked_sub(scale)?;

    let mut amount = 0_u128;
    let mut written = 0_u32;
    let mut at = 0;
    while let Some(&byte) = digits.get(at) {
        match byte {
            b'0'..=b'9' => {
                written += 1;
                if written > integer_digits {
                    return None;
                }
                amount = amount * 10 + u128::from(byte - b'0');
            }
            b',' if written > 0 => {}
            b'.' => break,
            _ => return None,
        }
        at += 1;
    }
    let fraction = digits.get(at + 1..).unwrap_or_default();
    if written == 0 && fraction.is_empty() {
        return None;
    }

    let mut places = 0;
    let mut round_up = false;
    for &byte in fraction {
        let digit = digit(byte)?;
        if places < scale {
            amount = amount * 10 + u128::from(digit);
        } else if places == scale {
            round_up = digit >= 5;
        }
        places = places.saturating_add(1);
    }
    amount *= 10_u128.pow(scale.saturating_sub(places));
    amount += u128::from(round_up);
    if amount >= 10_u128.pow(u32::from(precision)) {
        return None;
    }
    let amount = i128::try_from(amount).ok()?;
    Some(if negative { -amount } else { amount })
}

fn without_symbol(text: &str) -> &str {
    // Most amounts have no symbol: look at one byte.
    if matches!(text.as_bytes().first(), Some(b'$' | 0x80..)) {
        for symbol in SYMBOLS {
            if let Some(rest) = text.strip_prefix(symbol) {
                return rest.strip_prefix(' ').unwrap_or(rest);
            }
        }
    }
    text
}

/// An amount in units of `10^-scale` as text, such as `-12.50`.
pub fn format(amount: i128, scale: i8) -> String {
    let sign = if amount < 0 { "-" } else { "" };
    let places = usize::from(scale.unsigned_abs());
    let digits = format!("{:0>width$}", amount.unsigned_abs(), width = places + 1);
    let (integer, fraction) = digits.split_at(digits.len() - places);
    let point = if places > 0 { "." } else { "" };
    format!("{sign}{integer}{point}{fraction}")
}
