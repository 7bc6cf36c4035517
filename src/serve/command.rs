//! What a statement asks of a session: rows, or something between the client and its connection.

use datafusion::sql::sqlparser::tokenizer::Token;

use crate::query::{Purpose, SqlError, Statement};

/// A statement as the session understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Ask,
    Begin,
    Commit,
    Rollback,
    Set {
        name: String,
        value: Option<String>,
        local: bool,
    },
    ResetAll,
    Show(String),
    ShowAll,
    ShowTables,
    /// Forget a prepared statement, or all of them.
    Deallocate(Option<String>),
    /// Forget everything but the connection.
    Discard,
    Declare {
        cursor: String,
        query: String,
    },
    Fetch {
        cursor: String,
        rows: Option<usize>,
    },
    Close(Option<String>),
    Unlisten,
}

impl Command {
    /// What the client is told when it is done.
    pub(super) fn tag(&self) -> &'static str {
        match self {
            Self::Ask => "SELECT",
            Self::Begin => "BEGIN",
            Self::Commit => "COMMIT",
            Self::Rollback => "ROLLBACK",
            Self::Set { value: Some(_), .. } => "SET",
            Self::Set { value: None, .. } | Self::ResetAll => "RESET",
            Self::Show(_) | Self::ShowAll | Self::ShowTables => "SHOW",
            Self::Deallocate(Some(_)) => "DEALLOCATE",
            Self::Deallocate(None) => "DEALLOCATE ALL",
            Self::Discard => "DISCARD ALL",
            Self::Declare { .. } => "DECLARE CURSOR",
            Self::Fetch { .. } => "FETCH",
            Self::Close(Some(_)) => "CLOSE CURSOR",
            Self::Close(None) => "CLOSE CURSOR ALL",
            Self::Unlisten => "UNLISTEN",
        }
    }

    /// # Errors
    /// Why the statement is refused.
    pub(super) fn read(statement: &Statement<'_>) -> Result<Self, SqlError> {
        match statement.purpose() {
            Purpose::Ask => Ok(Self::Ask),
            Purpose::Session => speak(statement),
            Purpose::Change | Purpose::Unknown => Err(statement.refusal()),
        }
    }
}

fn speak(statement: &Statement<'_>) -> Result<Command, SqlError> {
    let word = |position: usize| statement.word(position);
    let (first, second, third) = (word(0), word(1), word(2));
    Ok(match (first.as_str(), second.as_str(), third.as_str()) {
        ("BEGIN", ..) | ("START", "TRANSACTION", _) => Command::Begin,
        ("COMMIT" | "END", ..) => Command::Commit,
        ("ROLLBACK", "TO", _) | ("ROLLBACK", _, "TO") => return Err(no_savepoints()),
        ("ROLLBACK" | "ABORT", ..) => Command::Rollback,
        ("SAVEPOINT" | "RELEASE", ..) => return Err(no_savepoints()),
        ("SET", "SESSION", "CHARACTERISTICS") | ("SET", "TRANSACTION", _) => characteristics(statement)?,
        ("SET", "SESSION", "AUTHORIZATION") | ("SET", "ROLE" | "AUTHORIZATION", _) => {
            return Err(SqlError::new("42501", "there is one user, who cannot become another"));
        }
        ("SET", "SESSION", _) => set(statement, 2, false)?,
        ("SET", "LOCAL", _) => set(statement, 2, true)?,
        ("SET", ..) => set(statement, 1, false)?,
        ("RESET", "ALL", _) => Command::ResetAll,
        ("RESET", "TIME", _) => Command::Set { name: "TimeZone".into(), value: None, local: false },
        ("RESET", ..) => Command::Set { name: name(statement, 1)?.0, value: None, local: false },
        ("SHOW", "ALL", _) => Command::ShowAll,
        ("SHOW", "TABLES", _) => Command::ShowTables,
        ("SHOW", "TIME", _) => Command::Show("TimeZone".into()),
        ("SHOW", "TRANSACTION", "ISOLATION") => Command::Show("transaction_isolation".into()),
        ("SHOW", ..) => Command::Show(name(statement, 1)?.0),
        ("DEALLOCATE", "PREPARE", _) => Command::Deallocate(all_or_name(statement, 2)?),
        ("DEALLOCATE", ..) => Command::Deallocate(all_or_name(statement, 1)?),
        ("DISCARD", ..) => Command::Discard,
        ("DECLARE", ..) => declare(statement)?,
        ("FETCH", ..) => fetch(statement)?,
        ("CLOSE", ..) => Command::Close(all_or_name(statement, 1)?),
        ("UNLISTEN", ..) => Command::Unlisten,
        _ => return Err(statement.refusal()),
    })
}

fn no_savepoints() -> SqlError {
    SqlError::new(
        "0A000",
        "there are no savepoints: a transaction reads one snapshot, and there is nothing to take back",
    )
}

fn incomplete(statement: &Statement<'_>) -> SqlError {
    SqlError::new("42601", format!("{} is not complete or not understood: `{}`", statement.verb(), statement.text))
}

/// `READ WRITE` is a wish that cannot be met; the rest is what there is anyway.
fn characteristics(statement: &Statement<'_>) -> Result<Command, SqlError> {
    let words: Vec<String> = (0..statement.tokens().len()).map(|position| statement.word(position)).collect();
    if words.windows(2).any(|pair| pair[0] == "READ" && pair[1] == "WRITE") {
        return Err(SqlError::new("25006", "published snapshots are read only"));
    }
    Ok(Command::Set { name: "default_transaction_read_only".into(), value: Some("on".into()), local: false })
}

/// The dotted name at a position, and the position after it.
fn name(statement: &Statement<'_>, start: usize) -> Result<(String, usize), SqlError> {
    let tokens = statement.tokens();
    let (mut name, mut position) = (String::new(), start);
    while let Some(Token::Word(word)) = tokens.get(position) {
        name.push_str(&word.value);
        position += 1;
        if tokens.get(position) != Some(&Token::Period) {
            return Ok((name, position));
        }
        name.push('.');
        position += 1;
    }
    Err(incomplete(statement))
}

fn set(statement: &Statement<'_>, start: usize, local: bool) -> Result<Command, SqlError> {
    let (name, next) = match statement.word(start).as_str() {
        "TIME" if statement.word(start + 1) == "ZONE" => ("TimeZone".to_owned(), start + 2),
        "NAMES" => ("client_encoding".to_owned(), start + 1),
        _ => {
            let (name, next) = name(statement, start)?;
            let assigned = statement.tokens().get(next) == Some(&Token::Eq) || statement.word(next) == "TO";
            if !assigned {
                return Err(incomplete(statement));
            }
            (name, next + 1)
        }
    };
    let value = value(statement, next)?;
    let value = (!value.eq_ignore_ascii_case("default")).then_some(value);
    Ok(Command::Set { name, value, local })
}

/// The rest of the statement as a value: words, numbers and strings, in a list or alone.
fn value(statement: &Statement<'_>, start: usize) -> Result<String, SqlError> {
    let mut value = String::new();
    for token in statement.tokens().get(start..).unwrap_or_default() {
        match token {
            Token::Word(word) if word.quote_style.is_some() => value.push_str(&format!("\"{}\"", word.value)),
            Token::Word(word) => value.push_str(&word.value),
            Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => value.push_str(text),
            Token::Number(number, _) => value.push_str(number),
            Token::Comma => value.push_str(", "),
            Token::Minus => value.push('-'),
            Token::Plus => value.push('+'),
            Token::Div => value.push('/'),
            _ => return Err(incomplete(statement)),
        }
    }
    if statement.tokens().len() <= start { Err(incomplete(statement)) } else { Ok(value) }
}

fn all_or_name(statement: &Statement<'_>, start: usize) -> Result<Option<String>, SqlError> {
    if statement.word(start) == "ALL" { Ok(None) } else { Ok(Some(name(statement, start)?.0)) }
}

/// `DECLARE name [options] CURSOR [WITH|WITHOUT HOLD] FOR query`.
fn declare(statement: &Statement<'_>) -> Result<Command, SqlError> {
    let (cursor, next) = name(statement, 1)?;
    let words: Vec<String> = (0..statement.tokens().len()).map(|position| statement.word(position)).collect();
    let starts = words.iter().skip(next).position(|word| word == "FOR").map(|position| position + next);
    let options = starts.map_or(&[][..], |end| &words[next..end]);
    if !options.iter().any(|word| word == "CURSOR") {
        return Err(incomplete(statement));
    }
    if options.windows(2).any(|pair| pair[0] != "NO" && pair[1] == "SCROLL")
        || options.first().is_some_and(|word| word == "SCROLL")
    {
        return Err(SqlError::new("0A000", "cursors go forward only"));
    }
    let query = starts.map_or("", |position| statement.text_from(position + 1));
    if query.is_empty() {
        return Err(incomplete(statement));
    }
    Ok(Command::Declare { cursor, query: query.to_owned() })
}

/// `FETCH [NEXT | n | ALL | FORWARD [n | ALL]] [FROM | IN] name`.
fn fetch(statement: &Statement<'_>) -> Result<Command, SqlError> {
    let mut position = 1;
    let mut rows = Some(1);
    match statement.word(position).as_str() {
        "NEXT" => position += 1,
        "FORWARD" => position += 1,
        "PRIOR" | "FIRST" | "LAST" | "ABSOLUTE" | "RELATIVE" | "BACKWARD" => {
            return Err(SqlError::new("0A000", "cursors go forward only"));
        }
        _ => {}
    }
    if statement.word(position) == "ALL" {
        rows = None;
        position += 1;
    } else if let Some(Token::Number(number, _)) = statement.tokens().get(position) {
        rows = Some(number.parse().map_err(|_| incomplete(statement))?);
        position += 1;
    }
    if matches!(statement.word(position).as_str(), "FROM" | "IN") {
        position += 1;
    }
    Ok(Command::Fetch { cursor: name(statement, position)?.0, rows })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::only;

    fn read(text: &str) -> Result<Command, SqlError> {
        Command::read(&only(text).unwrap())
    }

    fn set(name: &str, value: Option<&str>) -> Command {
        Command::Set { name: name.into(), value: value.map(str::to_owned), local: false }
    }

    #[test]
    fn what_drivers_say_is_understood() {
        for (text, command) in [
            ("begin transaction isolation level repeatable read", Command::Begin),
            ("START TRANSACTION READ ONLY", Command::Begin),
            ("END", Command::Commit),
            ("abort", Command::Rollback),
            ("SET extra_float_digits = 3", set("extra_float_digits", Some("3"))),
            ("set datestyle to ISO, 'DMY'", set("datestyle", Some("ISO, DMY"))),
            ("SET SESSION TIME ZONE 'Europe/Berlin'", set("TimeZone", Some("Europe/Berlin"))),
            ("set search_path to \"$user\", staging", set("search_path", Some("\"$user\", staging"))),
            ("SET x.y = -1", set("x.y", Some("-1"))),
            ("set statement_timeout to default", set("statement_timeout", None)),
            ("reset statement_timeout", set("statement_timeout", None)),
            ("SHOW transaction isolation level", Command::Show("transaction_isolation".into())),
            ("show standard_conforming_strings", Command::Show("standard_conforming_strings".into())),
            ("DEALLOCATE ALL", Command::Deallocate(None)),
            ("deallocate prepare \"_pg3_0\"", Command::Deallocate(Some("_pg3_0".into()))),
            ("DISCARD ALL", Command::Discard),
            ("fetch forward 100 from c", Command::Fetch { cursor: "c".into(), rows: Some(100) }),
            ("FETCH ALL IN c", Command::Fetch { cursor: "c".into(), rows: None }),
            ("fetch c", Command::Fetch { cursor: "c".into(), rows: Some(1) }),
            ("CLOSE c", Command::Close(Some("c".into()))),
        ] {
            assert_eq!(read(text).unwrap(), command, "{text}");
        }
        let declared = read("DECLARE \"a for c\" NO SCROLL CURSOR WITHOUT HOLD FOR select 'for' from t").unwrap();
        assert_eq!(declared, Command::Declare { cursor: "a for c".into(), query: "select 'for' from t".into() });
    }

    #[test]
    fn what_cannot_be_done_says_why() {
        for (text, state) in [
            ("savepoint a", "0A000"),
            ("rollback to a", "0A000"),
            ("set session authorization bob", "42501"),
            ("set transaction read write", "25006"),
            ("set x", "42601"),
            ("set x to", "42601"),
            ("declare c scroll cursor for select 1", "0A000"),
            ("fetch prior from c", "0A000"),
            ("fetch", "42601"),
            ("prepare p as select 1", "25006"),
            ("copy t to stdout", "42501"),
        ] {
            assert_eq!(read(text).unwrap_err().state, state, "{text}");
        }
    }
}
