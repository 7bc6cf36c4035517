//! What every command needs: the project, its lake, and how to talk to the user.

use std::{io::IsTerminal, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    clock::{Clock, SystemClock},
    engine::{Limits, SessionFactory},
    error::Result,
    gold::Models,
    lake::{Lake, LeaseOptions},
    project::Project,
    run::Workshop,
};

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
pub(super) struct Global {
    /// The project folder.
    #[arg(long, global = true, value_name = "DIR", default_value = ".", env = "SMELT_PROJECT")]
    pub(super) project: PathBuf,
    /// The target, instead of the one that smelt.yml names.
    #[arg(long, global = true, value_name = "NAME", env = "SMELT_TARGET")]
    pub(super) target: Option<String>,
    /// Answer as JSON, errors too.
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Say nothing but the answer.
    #[arg(long, short, global = true)]
    pub(super) quiet: bool,
    /// Log what is done to standard error; twice for more. `SMELT_LOG` takes filters instead.
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
}

/// How long a writing command waits for another writer.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Wait {
    /// Wait so long for another writer to finish, such as `30s` or `10m`.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    pub(super) wait: Duration,
}

impl Wait {
    pub(super) fn lease(self) -> LeaseOptions {
        LeaseOptions { wait: self.wait, ..LeaseOptions::default() }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| format!("`{text}` is not a time such as 30s or 10m"))?;
    let seconds = match &text[digits..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(format!("`{text}` is not a time such as 30s or 10m")),
    };
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

impl Global {
    pub(super) fn load(&self) -> Result<Project> {
        Project::load(&self.project, self.target.as_deref())
    }

    pub(super) fn lake(&self, project: &Project) -> Result<Lake> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Lake::open(&project.lake(), project.settings.zones.clone(), clock)
    }

    /// A spinner on a terminal; nothing otherwise.
    pub(super) fn spinner(&self) -> ProgressBar {
        if self.quiet || self.json || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = ProgressBar::new_spinner().with_style(style);
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }

    /// A line for people, on standard error.
    #[expect(clippy::print_stderr, reason = "the one place where commands speak to people")]
    pub(super) fn say(&self, line: impl AsRef<str>) {
        if !self.quiet && !self.json {
            eprintln!("{}", line.as_ref());
        }
    }

    /// The answer, on standard output. A reader that went away is not an error.
    pub(super) fn answer(&self, text: impl AsRef<str>) {
        use std::io::Write;
        let _ = writeln!(std::io::stdout(), "{}", text.as_ref().trim_end());
    }

    /// The answer as JSON.
    pub(super) fn answer_json<T: serde::Serialize>(&self, value: &T) -> Result<()> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|e| crate::error::Error::bug("an answer does not become JSON").cause(e))?;
        self.answer(text);
        Ok(())
    }
}

/// A loaded project with its lake, models and engine.
pub(super) struct Opened {
    pub(super) project: Project,
    pub(super) lake: Lake,
    pub(super) models: Models,
    pub(super) engine: Arc<SessionFactory>,
    /// Removed with its content when the command ends.
    #[expect(dead_code, reason = "held for its drop")]
    spill: tempfile::TempDir,
}

impl Opened {
    pub(super) fn open(global: &Global) -> Result<Self> {
        let project = global.load()?;
        let lake = global.lake(&project)?;
        Self::on(project, lake)
    }

    /// With a lake that is open already.
    pub(super) fn on(project: Project, lake: Lake) -> Result<Self> {
        let models = Models::load(&project)?;
        let spill = tempfile::Builder::new()
            .prefix("smelt-")
            .tempdir()
            .map_err(|e| crate::error::io("make a folder for temporary files in", &std::env::temp_dir(), e))?;
        let engine = Arc::new(SessionFactory::new(Limits {
            memory: project.settings.memory_limit.0,
            threads: project.settings.threads,
            spill: spill.path().to_owned(),
            batch_size: 8192,
        })?);
        Ok(Self { project, lake, models, engine, spill })
    }

    pub(super) fn workshop(&self) -> Workshop<'_> {
        Workshop { lake: &self.lake, project: &self.project, models: &self.models, engine: &self.engine }
    }
}

/// `1234567` as `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes as people say them.
pub(super) fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

/// Rows as aligned columns; numbers to the right.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|name| name.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let numeric = |column: usize| {
        rows.iter()
            .all(|row| row[column].is_empty() || row[column].starts_with(|c: char| c.is_ascii_digit() || c == '-'))
    };
    let line = |cells: Vec<&str>| {
        let mut text = String::new();
        for (column, cell) in cells.into_iter().enumerate() {
            let pad = " ".repeat(widths[column] - cell.chars().count());
            let (left, right) = if numeric(column) { (pad.as_str(), "") } else { ("", pad.as_str()) };
            text.push_str(&format!("{left}{cell}{right}  "));
        }
        text.trim_end().to_owned() + "\n"
    };
    let mut text = line(header.to_vec());
    for row in rows {
        text.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    text
}
