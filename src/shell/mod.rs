//! The interactive shell: statements as they are typed or piped in, over the newest snapshot.
//!
//! A statement ends with `;` and may take several lines. Lines that begin with `\` speak to the shell.
//! Answers go to standard output, everything else to standard error.

mod editor;
mod names;

use std::{
    io::{self, BufRead as _, IsTerminal as _},
    path::Path,
    sync::Arc,
    time::Instant,
};

use self::{
    editor::{Line, Typed},
    names::{COMMANDS, Names, sql_type},
};
use crate::{
    error::{Error, Result, nearest},
    query::{Format, Layout, Page, Questions, Script, Statement, lines, write},
    serve::{DEFAULT_SCHEMA, SqlEngine, View, Warehouse},
};

/// A statement that is piped in may be so long.
const LONGEST: usize = 16 << 20;

/// One session of questions.
pub struct Shell<'a> {
    warehouse: &'a dyn Warehouse,
    engine: Arc<dyn SqlEngine>,
    /// The snapshot to ask; `None` is the newest at each question.
    at: Option<u64>,
    page: fn(Layout) -> Page,
    records: bool,
    timing: bool,
}

/// Whether the session goes on.
#[derive(PartialEq, Eq)]
enum Next {
    More,
    Quit,
}

impl<'a> Shell<'a> {
    /// `page` tells what answers are written on.
    pub fn new(
        warehouse: &'a dyn Warehouse,
        engine: Arc<dyn SqlEngine>,
        at: Option<u64>,
        page: fn(Layout) -> Page,
    ) -> Self {
        Self { warehouse, engine, at, page, records: false, timing: false }
    }

    /// Talks with a person, or runs what is piped in: then the first failure ends it.
    ///
    /// # Errors
    /// Those of the terminal; of a piped statement.
    pub async fn run(mut self, history: &Path) -> Result<()> {
        if io::stdin().is_terminal() { self.talk(history).await } else { self.pipe().await }
    }

    async fn talk(&mut self, history: &Path) -> Result<()> {
        let mut line = Line::new(history)?;
        let mut known = None;
        eprintln!("\\? lists the shell's own commands; statements end with ;");
        loop {
            match self.view().await {
                Ok(view) if known != Some(view.snapshot) => {
                    known = Some(view.snapshot);
                    line.know(Names::of(&view));
                }
                Ok(_) => {}
                Err(error) => complain(&error),
            }
            // The editor waits for keys on this thread; the runtime's others go on.
            match tokio::task::block_in_place(|| line.read())? {
                Typed::Nothing => {}
                Typed::Leave => return Ok(()),
                Typed::Text(text) => match self.obey(&text).await {
                    Ok(Next::More) => {}
                    Ok(Next::Quit) => return Ok(()),
                    Err(error) => complain(&error),
                },
            }
        }
    }

    async fn pipe(&mut self) -> Result<()> {
        let mut pending = String::new();
        for line in io::stdin().lock().lines() {
            let line = line.map_err(|error| Error::input("standard input is not text").cause(error))?;
            if pending.trim().is_empty() && line.trim_start().starts_with('\\') {
                if self.command(line.trim()).await? == Next::Quit {
                    return Ok(());
                }
                continue;
            }
            pending.push_str(&line);
            pending.push('\n');
            if pending.len() > LONGEST {
                return Err(Error::input("a statement is longer than 16 MiB"));
            }
            // Only a line with a `;` can end a statement.
            if line.contains(';') {
                let script = Script::new(&pending);
                for statement in &script.complete {
                    self.ask(statement).await?;
                }
                pending = script.open.map_or_else(String::new, |open| format!("{}\n", open.text));
            }
        }
        for statement in &Script::new(&pending).statements()? {
            self.ask(statement).await?;
        }
        Ok(())
    }

    async fn obey(&mut self, text: &str) -> Result<Next> {
        if text.trim_start().starts_with('\\') {
            return self.command(text.trim()).await;
        }
        for statement in &Script::new(text).statements()? {
            self.ask(statement).await?;
        }
        Ok(Next::More)
    }

    async fn view(&self) -> Result<Arc<View>> {
        match self.at {
            Some(snapshot) => self.warehouse.at(snapshot).await,
            None => self.warehouse.newest().await,
        }
    }

    fn page(&self) -> Page {
        (self.page)(if self.records { Layout::Records } else { Layout::Fit })
    }

    async fn ask(&self, statement: &Statement<'_>) -> Result<()> {
        let begun = Instant::now();
        let asking = async {
            let questions = Questions::new(self.view().await?, Arc::clone(&self.engine))?;
            let answer = questions.ask(statement).await.map_err(|error| error.in_statement(statement))?;
            write(answer, Format::Table, self.page(), &mut io::stdout()).await
        };
        let asked = tokio::select! {
            asked = asking => asked.map(drop),
            Ok(()) = tokio::signal::ctrl_c() => Err(Error::unavailable("the question was cancelled")),
        };
        if self.timing {
            eprintln!("Time: {:.1} ms", begun.elapsed().as_secs_f64() * 1000.0);
        }
        asked
    }

    async fn command(&mut self, text: &str) -> Result<Next> {
        let (name, argument) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let argument = argument.trim().trim_end_matches(';');
        match name.trim_end_matches(';') {
            "\\q" => return Ok(Next::Quit),
            "\\?" => print!("{HELP}"),
            "\\x" => self.records = switched("expanded display", self.records, argument)?,
            "\\timing" => self.timing = switched("timing", self.timing, argument)?,
            "\\dt" => print!("{}", tables(self.view().await?.as_ref(), argument, self.page())),
            "\\d" if argument.is_empty() => print!("{}", tables(self.view().await?.as_ref(), "", self.page())),
            "\\d" => print!("{}", columns(self.view().await?.as_ref(), argument, self.page())?),
            other => {
                let error = Error::input(format!("the shell has no command `{other}`"));
                return Err(match nearest(other, COMMANDS) {
                    Some(near) => error.hint(format!("did you mean `{near}`?")),
                    None => error.hint("`\\?` lists them"),
                });
            }
        }
        Ok(Next::More)
    }
}

const HELP: &str = "\
\\d            tables
\\d TABLE      a table's columns
\\dt [SCHEMA]  tables, of one schema
\\x            rows as records, one line a column, on or off
\\timing       how long statements take, on or off
\\q            leave (also Ctrl-D)
Ctrl-C cancels a statement; Tab completes names.
";

fn switched(what: &str, now: bool, argument: &str) -> Result<bool> {
    let next = match argument {
        "" => !now,
        "on" => true,
        "off" => false,
        other => return Err(Error::input(format!("`{other}` is neither `on` nor `off`"))),
    };
    eprintln!("{what} is {}", if next { "on" } else { "off" });
    Ok(next)
}

fn tables(view: &View, schema: &str, page: Page) -> String {
    let schema = schema.trim_end_matches(".*").trim_end_matches('.');
    let mut rows: Vec<Vec<String>> = view
        .tables
        .iter()
        .filter(|table| schema.is_empty() || table.schema == schema)
        .map(|table| vec![table.schema.clone(), table.name.clone(), table.provider.schema().fields().len().to_string()])
        .collect();
    rows.sort();
    let shown = lines(&["schema", "table", "columns"], &rows, page);
    format!("{shown}({} tables, snapshot {})\n", rows.len(), view.snapshot)
}

fn columns(view: &View, name: &str, page: Page) -> Result<String> {
    let Some(table) = view.table(name).or_else(|| view.tables.iter().find(|table| table.name == name)) else {
        let error = Error::input(format!("there is no table `{name}`"));
        let bare = name.rsplit('.').next().unwrap_or(name);
        return Err(match nearest(bare, view.tables.iter().map(|table| table.name.as_str())) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint("`\\dt` lists the tables there are"),
        });
    };
    let schema = table.provider.schema();
    let nullable = |nullable: bool| if nullable { "" } else { "not null" }.to_owned();
    let rows: Vec<Vec<String>> = schema
        .fields()
        .iter()
        .map(|field| vec![field.name().clone(), sql_type(field.data_type()), nullable(field.is_nullable())])
        .collect();
    let prefix = if table.schema == DEFAULT_SCHEMA { String::new() } else { format!("{}.", table.schema) };
    Ok(format!("{prefix}{}\n{}", table.name, lines(&["column", "type", "nullable"], &rows, page)))
}

fn complain(error: &Error) {
    let mut text = String::new();
    match miette::GraphicalReportHandler::new().render_report(&mut text, error) {
        Ok(()) => eprintln!("{text}"),
        Err(_) => eprintln!("error: {error}"),
    }
}
