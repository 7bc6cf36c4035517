//! Text into statements: where each ends, and whether it asks, changes or sets something.
//!
//! The words come from the same tokeniser the planner uses, so that what is judged here is what would
//! be planned. The plan is judged once more in [`super::read_only`]: this module is for clear messages.

use std::ops::Range;

use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::SqlError;
use crate::engine::Redshift;

/// One statement, without its `;`.
#[derive(Debug, Clone)]
pub struct Statement<'a> {
    pub text: &'a str,
    /// Where in the script the text begins, in bytes.
    pub offset: usize,
    tokens: Vec<Token>,
    /// Where in the text each token begins.
    starts: Vec<usize>,
}

/// What a statement is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It asks for rows.
    Ask,
    /// It speaks to the session: `SET`, `BEGIN`, `DECLARE` and their like.
    Session,
    /// It would change data, definitions or files.
    Change,
    /// No statement begins so.
    Unknown,
}

const ASKING: [&str; 5] = ["SELECT", "WITH", "VALUES", "TABLE", "EXPLAIN"];
const SPEAKING: [&str; 17] = [
    "SET",
    "RESET",
    "SHOW",
    "BEGIN",
    "START",
    "COMMIT",
    "END",
    "ROLLBACK",
    "ABORT",
    "DEALLOCATE",
    "DISCARD",
    "DECLARE",
    "FETCH",
    "CLOSE",
    "SAVEPOINT",
    "RELEASE",
    "UNLISTEN",
];
const CHANGING: [&str; 36] = [
    "INSERT", "UPDATE", "DELETE", "MERGE", "UPSERT", "REPLACE", "TRUNCATE", "CREATE", "ALTER", "DROP", "RENAME",
    "COPY", "UNLOAD", "LOAD", "IMPORT", "EXPORT", "ATTACH", "DETACH", "INSTALL", "GRANT", "REVOKE", "COMMENT", "LOCK",
    "VACUUM", "ANALYZE", "ANALYSE", "REFRESH", "REINDEX", "CLUSTER", "CALL", "DO", "EXECUTE", "PREPARE", "LISTEN",
    "NOTIFY", "KILL",
];

impl<'a> Statement<'a> {
    fn new(script: &'a str, part: Range<usize>, tokens: Vec<(usize, Token)>) -> Self {
        let text = script[part.clone()].trim_start();
        let base = part.end - text.len();
        let (starts, tokens) = tokens.into_iter().map(|(start, token)| (start - base, token)).unzip();
        Self { text: text.trim_end(), offset: base, tokens, starts }
    }

    /// The first word in capitals, or nothing where the statement begins with something else.
    pub fn verb(&self) -> String {
        self.word(0)
    }

    /// The word at a position in capitals; nothing where there is none. Quoted names are no words.
    pub fn word(&self, position: usize) -> String {
        match self.tokens.get(position) {
            Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
            _ => String::new(),
        }
    }

    /// Everything but blanks and comments.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// The text from a token on.
    pub fn text_from(&self, position: usize) -> &'a str {
        self.starts.get(position).map_or("", |start| &self.text[*start..])
    }

    pub fn purpose(&self) -> Purpose {
        let first = self.tokens.iter().find(|token| **token != Token::LParen);
        let verb = match first {
            Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
            _ => return Purpose::Unknown,
        };
        if ASKING.contains(&verb.as_str()) {
            Purpose::Ask
        } else if SPEAKING.contains(&verb.as_str()) {
            Purpose::Session
        } else if CHANGING.contains(&verb.as_str()) {
            Purpose::Change
        } else {
            Purpose::Unknown
        }
    }

    /// Why the statement is not one that asks for rows.
    pub fn refusal(&self) -> SqlError {
        let verb = self.verb();
        match self.purpose() {
            Purpose::Change if FILES.contains(&verb.as_str()) => {
                SqlError::new("42501", format!("{verb} is refused: SQL reaches published tables only, never files"))
                    .hint("`smelt query -o FILE` and `smelt export DIR` write files; extracts land with `smelt ingest`")
            }
            Purpose::Change => SqlError::new("25006", format!("{verb} is refused: published snapshots are read only"))
                .hint("land extracts or change contracts and models, then `smelt run` publishes the next snapshot"),
            Purpose::Session => SqlError::new("0A000", format!("{verb} has no meaning here"))
                .hint("ask with SELECT, WITH, VALUES or EXPLAIN"),
            Purpose::Ask | Purpose::Unknown => {
                let start: String = self.text.trim_start().chars().take(20).collect();
                SqlError::new("42601", format!("there is no statement that begins with `{}`", start.trim_end()))
                    .hint("ask with SELECT, WITH, VALUES or EXPLAIN")
            }
        }
    }
}

const FILES: [&str; 8] = ["COPY", "UNLOAD", "LOAD", "IMPORT", "EXPORT", "ATTACH", "DETACH", "INSTALL"];

/// A text cut at its semicolons.
#[derive(Debug, Clone)]
pub struct Script<'a> {
    /// Those that a `;` ends, without empty ones.
    pub complete: Vec<Statement<'a>>,
    /// What follows the last `;`, where it is more than blanks and comments.
    pub open: Option<Statement<'a>>,
    /// The text ends inside a string, a quoted name or a comment.
    pub unfinished: bool,
}

impl<'a> Script<'a> {
    pub fn new(text: &'a str) -> Self {
        let mut spanned = Vec::new();
        let tokenised = Tokenizer::new(&Redshift, text).tokenize_with_location_into_buf(&mut spanned);
        let mut offsets = Offsets::new(text);
        let mut script = Self { complete: Vec::new(), open: None, unfinished: tokenised.is_err() };
        let (mut start, mut tokens) = (0, Vec::new());
        for TokenWithSpan { token, span } in spanned {
            match token {
                Token::SemiColon => {
                    let end = offsets.of(span.start);
                    if !tokens.is_empty() {
                        script.complete.push(Statement::new(text, start..end, std::mem::take(&mut tokens)));
                    }
                    start = end + 1;
                }
                Token::EOF | Token::Whitespace(_) => {}
                token => tokens.push((offsets.of(span.start), token)),
            }
        }
        if !tokens.is_empty() || script.unfinished {
            script.open = Some(Statement::new(text, start..text.len(), tokens));
        }
        script
    }

    /// All statements, the last with or without its `;`.
    ///
    /// # Errors
    /// `42601` where the text ends inside a string, a quoted name or a comment.
    pub fn statements(self) -> Result<Vec<Statement<'a>>, SqlError> {
        if self.unfinished {
            return Err(SqlError::new("42601", "the text ends inside a string, a quoted name or a comment")
                .hint("close it; inside a string, a single quote is written twice"));
        }
        Ok(self.complete.into_iter().chain(self.open).collect())
    }
}

/// The one statement of a text.
///
/// # Errors
/// `42601` where there is none, or more than one.
pub fn only(text: &str) -> Result<Statement<'_>, SqlError> {
    let mut statements = Script::new(text).statements()?.into_iter();
    match (statements.next(), statements.next()) {
        (Some(statement), None) => Ok(statement),
        (None, _) => Err(SqlError::new("42601", "there is no statement in the text")),
        (Some(_), Some(_)) => Err(SqlError::new("42601", "only one statement can be asked at a time")
            .hint("the shell takes several, each ended by `;`")),
    }
}

/// Turns the tokeniser's lines and columns, which come in order, into byte offsets.
struct Offsets<'a> {
    text: &'a str,
    offset: usize,
    line: u64,
    column: u64,
}

impl<'a> Offsets<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, offset: 0, line: 1, column: 1 }
    }

    fn of(&mut self, place: Location) -> usize {
        for character in self.text[self.offset..].chars() {
            if (self.line, self.column) >= (place.line, place.column) {
                break;
            }
            self.offset += character.len_utf8();
            if character == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_in_strings_names_and_comments_end_nothing() {
        let script = Script::new("select ';', \"a;b\" -- ;\n, 'é;' /* ; */ ;\n\n ; select 2 -- bye");
        let texts: Vec<_> = script.complete.iter().map(|statement| statement.text).collect();
        assert_eq!(texts, ["select ';', \"a;b\" -- ;\n, 'é;' /* ; */"]);
        assert_eq!(script.open.unwrap().text, "select 2 -- bye");
        assert!(!script.unfinished);
    }

    #[test]
    fn a_text_that_ends_inside_a_string_is_unfinished() {
        for text in ["select 'a", "select \"a", "select /* a"] {
            assert!(Script::new(text).unfinished, "{text}");
            assert_eq!(Script::new(text).statements().unwrap_err().state, "42601");
        }
    }

    #[test]
    fn every_statement_finds_its_purpose_whatever_stands_before_it() {
        for (text, purpose) in [
            ("/* x */ SELECT 1", Purpose::Ask),
            ("((select 1))", Purpose::Ask),
            ("explain analyze select 1", Purpose::Ask),
            ("set x to 1", Purpose::Session),
            ("copy t to 'x'", Purpose::Change),
            ("\"select\" 1", Purpose::Unknown),
            ("frobnicate", Purpose::Unknown),
        ] {
            assert_eq!(only(text).unwrap().purpose(), purpose, "{text}");
        }
        assert_eq!(only("copy t from 'x'").unwrap().refusal().state, "42501");
        assert_eq!(only("delete from t").unwrap().refusal().state, "25006");
    }
}
