//! One finished run of a program, and what may be asked of it. Every refusal shows the command and
//! all it said.

use std::{
    fmt,
    process::{Command, ExitStatus, Output, Stdio},
};

use serde_json::Value;

/// A finished process.
#[derive(Debug, Clone)]
pub(crate) struct Ran {
    command: String,
    status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// An error as `--json` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// `Input`, `Data`, `Conflict`, …
    pub(crate) kind: String,
    pub(crate) message: String,
    /// File, line and column.
    pub(crate) place: Option<(String, u64, u64)>,
    pub(crate) hint: Option<String>,
    pub(crate) causes: Vec<String>,
    /// How many further errors came with it.
    pub(crate) also: usize,
}

impl Ran {
    /// Runs a command to its end.
    pub(crate) fn run(command: &mut Command) -> Self {
        let shown = format!("{command:?}");
        let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{shown}: {error}"));
        Self::of(shown, output)
    }

    pub(crate) fn of(command: String, output: Output) -> Self {
        Self {
            command,
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.exits(0)
    }

    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code(), Some(code), "the exit code is not {code}\n{self}");
        self
    }

    /// Somewhere in what was said, with line ends and runs of spaces taken as one space.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        let said = [&self.stdout, &self.stderr].map(|said| said.split_whitespace().collect::<Vec<_>>().join(" "));
        assert!(said.iter().any(|said| said.contains(text)), "`{text}` is not said\n{self}");
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON: {error}\n{self}"))
    }

    /// The error on standard error, written as JSON.
    #[track_caller]
    pub(crate) fn fault(&self) -> Fault {
        let error: Value =
            serde_json::from_str(&self.stderr).unwrap_or_else(|error| panic!("no JSON error: {error}\n{self}"));
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Fault {
            kind: text(&error["kind"]).unwrap(),
            message: text(&error["message"]).unwrap(),
            place: error["place"].as_object().map(|place| {
                (text(&place["file"]).unwrap(), place["line"].as_u64().unwrap(), place["column"].as_u64().unwrap())
            }),
            hint: text(&error["hint"]),
            causes: error["causes"].as_array().unwrap().iter().filter_map(text).collect(),
            also: error["also"].as_array().unwrap().len(),
        }
    }
}

impl Fault {
    /// The message with its causes.
    pub(crate) fn whole(&self) -> String {
        std::iter::once(&self.message).chain(&self.causes).cloned().collect::<Vec<_>>().join(": ")
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, status, stdout, stderr } = self;
        write!(f, "$ {command}\n{status}\n--- standard output\n{stdout}\n--- standard error\n{stderr}")
    }
}
