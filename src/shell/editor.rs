//! The line being typed: several lines until a `;`, completion, history.

use std::path::{Path, PathBuf};

use rustyline::{
    CompletionType, Config, Context, Editor, Helper,
    completion::{Completer, Pair},
    error::ReadlineError,
    highlight::Highlighter,
    hint::Hinter,
    history::FileHistory,
    validate::{ValidationContext, ValidationResult, Validator},
};

use super::names::Names;
use crate::{
    error::{Error, Result, io},
    query::Script,
};

const PROMPT: &str = "smelt> ";
const HISTORY_LINES: usize = 2000;

/// What the user did at the prompt.
pub(super) enum Typed {
    Text(String),
    /// Ctrl-C: the line is thrown away.
    Nothing,
    /// Ctrl-D.
    Leave,
}

/// A terminal's line editor.
pub(super) struct Line {
    editor: Editor<Assistant, FileHistory>,
    history: PathBuf,
}

impl Line {
    /// # Errors
    /// `Unavailable` where the terminal cannot be used, `Input` where the history has no place.
    pub(super) fn new(history: &Path) -> Result<Self> {
        let failed = |error: ReadlineError| Error::unavailable("the terminal cannot be used").cause(error);
        let config = Config::builder().completion_type(CompletionType::List).max_history_size(HISTORY_LINES);
        let config = config.and_then(|config| config.history_ignore_dups(true)).map_err(failed)?.build();
        let mut editor = Editor::with_config(config).map_err(failed)?;
        editor.set_helper(Some(Assistant::default()));
        if let Some(folder) = history.parent() {
            std::fs::create_dir_all(folder).map_err(|error| io("make the folder", folder, error))?;
        }
        // The first time there is none.
        let _ = editor.load_history(history);
        Ok(Self { editor, history: history.to_owned() })
    }

    pub(super) fn read(&mut self) -> Result<Typed> {
        match self.editor.readline(PROMPT) {
            Ok(text) => {
                if self.editor.add_history_entry(text.as_str()).is_ok_and(|added| added)
                    && let Err(error) = self.editor.append_history(&self.history)
                {
                    tracing::warn!(%error, "the history cannot be kept");
                }
                Ok(Typed::Text(text))
            }
            Err(ReadlineError::Interrupted) => Ok(Typed::Nothing),
            Err(ReadlineError::Eof) => Ok(Typed::Leave),
            Err(error) => Err(Error::unavailable("the terminal cannot be read").cause(error)),
        }
    }

    /// The names to complete from now on.
    pub(super) fn know(&mut self, names: Names) {
        if let Some(assistant) = self.editor.helper_mut() {
            assistant.0 = names;
        }
    }
}

#[derive(Default)]
struct Assistant(Names);

impl Helper for Assistant {}
impl Highlighter for Assistant {}
impl Hinter for Assistant {
    type Hint = String;
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, cursor: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, found) = self.0.complete(line, cursor);
        Ok((start, found.into_iter().map(|name| Pair { display: name.clone(), replacement: name }).collect()))
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = context.input();
        let ends = text.trim_start().starts_with('\\') || Script::new(text).open.is_none();
        Ok(if ends { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}
