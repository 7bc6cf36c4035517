//! The one public error: what failed, where in the user's files, why, and the way out.
//!
//! A kind says what the caller does next and is the exit code; everything else is for people.
//! Modules build errors with [`Error::input`] and its sisters, then add place, cause and hint.

use std::{fmt, ops::Range, sync::Arc};

use miette::{Diagnostic, LabeledSpan, SourceCode};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller does next; the number is the process's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Our own invariant failed: report it.
    Bug = 1,
    /// A setting, contract, model, argument or extract is wrong: fix it, run again.
    Input = 2,
    /// Rows or stored files break a stated rule: look at the rows or the file.
    Data = 3,
    /// Another writer won, or holds the lock: run again.
    Conflict = 4,
    /// The store or the disk does not answer: run again later, safe.
    Unavailable = 5,
    /// The request may have committed: look at `smelt snapshots` before anything else.
    OutcomeUnknown = 6,
}

/// A text file of the user's, shared by all the diagnostics that point into it.
#[derive(Debug, Clone)]
pub struct SourceFile(Arc<miette::NamedSource<String>>);

impl SourceFile {
    pub fn new(name: impl AsRef<str>, text: impl Into<String>) -> Self {
        Self(Arc::new(miette::NamedSource::new(name, text.into())))
    }

    pub fn name(&self) -> &str {
        self.0.name()
    }

    pub fn text(&self) -> &str {
        self.0.inner()
    }

    /// Line and column, both from 1, of a byte offset.
    pub fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let text = self.text();
        let mut end = offset.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }

    /// The byte offset of a line and column, both from 1; past the end gives the end.
    pub fn offset(&self, line: usize, column: usize) -> usize {
        let text = self.text();
        let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        let rest = text[start..].split('\n').next().unwrap_or_default();
        start + rest.chars().take(column.saturating_sub(1)).map(char::len_utf8).sum::<usize>()
    }
}

#[derive(Debug, Clone)]
struct Place {
    file: SourceFile,
    span: Range<usize>,
    label: Option<String>,
}

#[derive(Debug)]
struct Inner {
    kind: Kind,
    message: String,
    place: Option<Place>,
    hint: Option<String>,
    cause: Option<Box<dyn std::error::Error + Send + Sync + 'static>>,
    also: Vec<Error>,
    sqlstate: Option<&'static str>,
}

/// See the module's text.
#[derive(Debug)]
pub struct Error(Box<Inner>);

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            place: None,
            hint: None,
            cause: None,
            also: Vec::new(),
            sqlstate: None,
        }))
    }
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(Kind::Bug, message)
    }
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(Kind::Input, message)
    }
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(Kind::Data, message)
    }
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, message)
    }
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, message)
    }
    pub fn outcome_unknown(message: impl Into<String>) -> Self {
        Self::new(Kind::OutcomeUnknown, message)
    }

    /// The place in the user's file that the message is about (byte offsets).
    #[must_use]
    pub fn at(mut self, file: &SourceFile, span: Range<usize>) -> Self {
        self.0.place = Some(Place { file: file.clone(), span, label: None });
        self
    }
    /// A word beside the marked place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        if let Some(place) = &mut self.0.place {
            place.label = Some(label.into());
        }
        self
    }
    /// What to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }
    #[must_use]
    pub fn cause(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }
    /// Further errors found by the same check, shown below this one.
    #[must_use]
    pub fn also(mut self, others: impl IntoIterator<Item = Error>) -> Self {
        self.0.also.extend(others);
        self
    }
    /// What SQL clients are told, for errors about a statement.
    #[must_use]
    pub fn sqlstate(mut self, state: &'static str) -> Self {
        self.0.sqlstate = Some(state);
        self
    }
    /// The first of several errors, carrying the rest; `Ok` where there is none.
    pub fn all(errors: impl IntoIterator<Item = Error>) -> Result<()> {
        let mut errors = errors.into_iter();
        match errors.next() {
            None => Ok(()),
            Some(first) => Err(first.also(errors)),
        }
    }

    pub fn kind(&self) -> Kind {
        self.0.kind
    }
    pub fn exit_code(&self) -> u8 {
        self.0.kind as u8
    }
    pub fn message(&self) -> &str {
        &self.0.message
    }
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
    pub fn sqlstate_code(&self) -> Option<&'static str> {
        self.0.sqlstate
    }
    /// The marked place as `(file, line, column)`.
    pub fn place(&self) -> Option<(&str, usize, usize)> {
        self.0.place.as_ref().map(|place| {
            let (line, column) = place.file.line_and_column(place.span.start);
            (place.file.name(), line, column)
        })
    }
    /// For `--json`: the same facts as fields.
    pub fn to_json(&self) -> serde_json::Value {
        let mut causes = Vec::new();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        serde_json::json!({
            "kind": format!("{:?}", self.kind()),
            "message": self.message(),
            "place": self.place().map(|(file, line, column)| serde_json::json!({"file": file, "line": line, "column": column})),
            "causes": causes,
            "hint": self.hint_text(),
            "also": self.0.also.iter().map(Error::to_json).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as _)
    }
}

impl Diagnostic for Error {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.hint.as_ref().map(|hint| Box::new(hint) as _)
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.0.place.as_ref().map(|place| &*place.file.0 as _)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.0.place.as_ref()?;
        let end = place.file.text().len();
        let start = place.span.start.min(end);
        let span = start..place.span.end.clamp(start, end);
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(place.label.clone(), span))))
    }
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        if self.0.also.is_empty() {
            return None;
        }
        Some(Box::new(self.0.also.iter().map(|error| error as &dyn Diagnostic)))
    }
}

/// A failed file operation, with the path and what a person can do about it.
pub fn io(doing: &str, path: &std::path::Path, error: std::io::Error) -> Error {
    use std::io::ErrorKind as Io;
    let path = path.display();
    let (kind, hint) = match error.kind() {
        Io::NotFound => (Kind::Input, Some("check the path; `--project DIR` names the project folder")),
        Io::PermissionDenied => (Kind::Input, Some("give this user the right to read (and, in the lake, to write) it")),
        Io::StorageFull | Io::QuotaExceeded => {
            (Kind::Unavailable, Some("free some space and run again: nothing was published"))
        }
        _ => (Kind::Unavailable, None),
    };
    let built = Error::new(kind, format!("cannot {doing} `{path}`")).cause(error);
    match hint {
        Some(hint) => built.hint(hint),
        None => built,
    }
}

/// The name among `known` that is nearest to `wanted`, if near enough to be a slip of the pen.
pub fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (distance(&wanted.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= (name.chars().count().max(wanted.chars().count()) * 2 / 5).max(1))
        .min()
        .map(|(_, name)| name)
}

fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, from) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_and_line_are_inverse_also_beyond_ascii() {
        let file = SourceFile::new("a.yml", "Köln: 1\nname: x\n");
        let offset = file.offset(2, 3);
        assert_eq!(&file.text()[offset..=offset], "m");
        assert_eq!(file.line_and_column(offset), (2, 3));
    }

    #[test]
    fn nearest_finds_slips_and_ignores_strangers() {
        assert_eq!(nearest("order_itms", ["orders", "order_items", "payments"]), Some("order_items"));
        assert_eq!(nearest("zebra", ["orders", "payments"]), None);
    }
}
