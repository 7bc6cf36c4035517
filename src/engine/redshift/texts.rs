//! Redshift's text and number functions that DataFusion lacks.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{ArrayRef, Int64Array},
        datatypes::DataType,
    },
    common::{Result, exec_datafusion_err},
};
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::scalar::{Argument, Call, Function, collect_texts};
use crate::project::hex;

/// The function that an explicit cast to VARCHAR(n) becomes.
pub(crate) const CUT: &str = "cut_to_bytes";

pub(super) fn functions() -> Vec<Function> {
    use Argument::{Integer, Text};
    vec![
        Function { name: "strtol", arguments: &[Text, Integer], optional: 0, output: DataType::Int64, body: strtol },
        Function { name: "sha2", arguments: &[Text, Integer], optional: 0, output: DataType::Utf8View, body: sha2 },
        Function { name: CUT, arguments: &[Text, Integer], optional: 0, output: DataType::Utf8View, body: cut },
    ]
}

/// An empty text is 0.
fn strtol(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, bases) = (call.texts(0)?, call.integers(1)?);
    let rows = std::iter::zip(&texts, &bases).map(|pair| match pair {
        (Some(text), Some(base)) => number(text, base)
            .map(Some)
            .ok_or_else(|| exec_datafusion_err!("`{text}` is not a 64-bit integer in base {base} (bases are 2 to 36)")),
        _ => Ok(None),
    });
    Ok(Arc::new(rows.collect::<Result<Int64Array>>()?))
}

fn number(text: &str, base: i64) -> Option<i64> {
    let base = u32::try_from(base).ok().filter(|base| (2..=36).contains(base))?;
    let text = text.trim_start();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = if base == 16 {
        digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")).unwrap_or(digits)
    } else {
        digits
    };
    if text.is_empty() {
        return Some(0);
    }
    if digits.starts_with(['+', '-']) {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{digits}"), base).ok()
}

/// Lower-case hex; 0 bits mean 256, and bits that SHA-2 does not have give the empty text.
fn sha2(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, bits) = (call.texts(0)?, call.integers(1)?);
    let rows = std::iter::zip(&texts, &bits).map(|(text, bits)| text.zip(bits));
    collect_texts(rows, |(value, bits), text| {
        text.push_str(&match bits {
            0 | 256 => hex(&Sha256::digest(value)),
            224 => hex(&Sha224::digest(value)),
            384 => hex(&Sha384::digest(value)),
            512 => hex(&Sha512::digest(value)),
            _ => String::new(),
        });
        Ok(())
    })
}

/// At most so many bytes, in whole characters.
fn cut(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, lengths) = (call.texts(0)?, call.integers(1)?);
    let rows = std::iter::zip(&texts, &lengths).map(|(text, length)| text.zip(length));
    collect_texts(rows, |(value, length), text| {
        let mut end = usize::try_from(length).unwrap_or(0).min(value.len());
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        text.push_str(&value[..end]);
        Ok(())
    })
}
