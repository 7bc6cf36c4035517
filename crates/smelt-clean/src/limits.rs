//! What bounds the memory that one file, however hostile, can take.

/// Bounds on what is held in memory. One block being read and one being cleaned are a small
/// multiple of `block_bytes + max_record_bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A text record with more bytes (its line end not counted) is passed over and rejected.
    pub max_record_bytes: usize,
    /// A block is handed on once it holds this many bytes and at least one whole record.
    pub block_bytes: usize,
    /// A block is handed on once it holds this many records: short ones take more memory when
    /// cleaned, and most when rejected, than in the file.
    pub block_records: usize,
    /// How much of a rejected record is kept.
    pub kept_record_bytes: usize,
    /// How much of a value or an unknown column's name is kept in a reason or a report.
    pub kept_value_bytes: usize,
    /// How many unknown columns of one block are told apart; further ones are counted as `…`.
    pub unknown_columns: usize,
    /// How much of a Parquet file that cannot be read in place (streamed or compressed) may be
    /// spooled to an unnamed temporary file.
    pub spooled_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_record_bytes: 16 << 20,
            block_bytes: 1 << 20,
            block_records: 16_384,
            kept_record_bytes: 1 << 20,
            kept_value_bytes: 256,
            unknown_columns: 1_000,
            spooled_bytes: 16 << 30,
        }
    }
}

/// `text`, or as much of its start as fits in `bytes`, followed by `…`.
pub(crate) fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let mut kept = text[..text.floor_char_boundary(bytes)].to_owned();
    kept.push('…');
    kept
}
