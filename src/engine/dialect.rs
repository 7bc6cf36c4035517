//! The grammar that smelt's SQL is read with: Redshift's, as far as the parser knows it.
//!
//! The parser's own Redshift dialect misses what Redshift has learnt since (`ROLLUP`, `CUBE`,
//! `GROUPING SETS`) and folds no quoted names; Redshift reads `"Order_ID"` as `order_id`.

use std::any::TypeId;

use datafusion::sql::sqlparser::{
    dialect::{Dialect, RedshiftSqlDialect},
    tokenizer::{Token, TokenWithSpan, Tokenizer, TokenizerError},
};

#[derive(Debug)]
pub(crate) struct Redshift;

impl Dialect for Redshift {
    fn dialect(&self) -> TypeId {
        TypeId::of::<RedshiftSqlDialect>()
    }
    fn is_identifier_start(&self, ch: char) -> bool {
        RedshiftSqlDialect {}.is_identifier_start(ch)
    }
    fn is_identifier_part(&self, ch: char) -> bool {
        RedshiftSqlDialect {}.is_identifier_part(ch)
    }
    fn supports_group_by_expr(&self) -> bool {
        true
    }
    fn convert_type_before_value(&self) -> bool {
        true
    }
    fn supports_top_before_distinct(&self) -> bool {
        true
    }
    fn supports_string_escape_constant(&self) -> bool {
        true
    }
    fn supports_string_literal_backslash_escape(&self) -> bool {
        true
    }
    fn supports_string_literal_concatenation_with_newline(&self) -> bool {
        true
    }
    fn allow_extract_custom(&self) -> bool {
        true
    }
    fn allow_extract_single_quotes(&self) -> bool {
        true
    }
    fn supports_select_wildcard_exclude(&self) -> bool {
        true
    }
    fn supports_select_exclude(&self) -> bool {
        true
    }
    fn supports_window_function_null_treatment_arg(&self) -> bool {
        true
    }
    fn supports_nested_comments(&self) -> bool {
        true
    }
}

/// The tokens of `sql` with quoted names folded to lower case, and `E'…'`, as drivers quote, as a string.
pub(crate) fn tokens(sql: &str) -> Result<Vec<TokenWithSpan>, TokenizerError> {
    let mut tokens = Tokenizer::new(&Redshift, sql).tokenize_with_location()?;
    for token in &mut tokens {
        match &mut token.token {
            Token::Word(word) if word.quote_style.is_some() => word.value = word.value.to_ascii_lowercase(),
            Token::EscapedStringLiteral(text) => token.token = Token::SingleQuotedString(std::mem::take(text)),
            _ => {}
        }
    }
    Ok(tokens)
}

/// The same text for every spelling of the same SQL: no comments, one blank between tokens, bare
/// words in lower case. For fingerprints.
pub(crate) fn canonical(sql: &str) -> Result<String, TokenizerError> {
    let mut text = String::with_capacity(sql.len());
    for token in tokens(sql)? {
        match &token.token {
            Token::Whitespace(_) | Token::EOF => continue,
            Token::Word(word) if word.quote_style.is_none() => text.push_str(&word.value.to_ascii_lowercase()),
            // The token does not say which quotes are part of it.
            Token::Word(word) => text.push_str(&format!("\"{}\"", word.value.replace('"', "\"\""))),
            Token::SingleQuotedString(value) => text.push_str(&format!("'{}'", value.replace('\'', "''"))),
            other => text.push_str(&other.to_string()),
        }
        text.push(' ');
    }
    while text.ends_with("; ") {
        text.truncate(text.len() - 2);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_text_ignores_layout_and_comments_but_not_literals() {
        let plain = canonical("select a, 'X' from t").unwrap();
        assert_eq!(canonical("SELECT  A , -- the key\n 'X'\nFROM T; ").unwrap(), plain);
        assert_ne!(canonical("select a, 'x' from t").unwrap(), plain);
        assert_ne!(canonical("select a, 'X' from u").unwrap(), plain);
        assert_ne!(canonical("select 'a'' , ''b'").unwrap(), canonical("select 'a' , 'b'").unwrap());
        assert_ne!(canonical("select \"a\"\" , \"\"b\"").unwrap(), canonical("select \"a\" , \"b\"").unwrap());
    }
}
