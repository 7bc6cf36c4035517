//! Questions: one SQL statement over one snapshot, as a stream of rows, and the ways to write them.
//!
//! In:  a [`View`](crate::serve::View), a statement, a format.
//! Out: rows on a sink, in bounded memory.
//! Rule: nothing here can change the lake, and only an output the user named is written.

mod aligned;
mod depth;
mod export;
mod file;
mod output;
mod read_only;
mod sql_error;
mod statement;
mod values;

use std::sync::Arc;

use datafusion::{
    arrow::{array::RecordBatch, datatypes::SchemaRef},
    error::DataFusionError,
    execution::SendableRecordBatchStream,
    logical_expr::{LogicalPlan, LogicalPlanBuilder},
    prelude::SessionContext,
};
use futures::StreamExt as _;

pub(crate) use aligned::printable;
pub use aligned::{Layout, Page, lines};
pub(crate) use depth::check as check_depth;
pub use export::{ExportOptions, Exported, PART_BYTES, export};
pub use file::NewFile;
pub use output::{Format, Written, write};
pub use read_only::read_only;
pub use sql_error::SqlError;
pub use statement::{Purpose, Script, Statement, only};
pub use values::{ColumnText, Spelling, shown_batch, shown_schema, shown_type};

use crate::{
    engine::execute,
    serve::{SqlEngine, View, open},
};

/// One snapshot, ready to be asked.
pub struct Questions {
    pub view: Arc<View>,
    session: SessionContext,
    engine: Arc<dyn SqlEngine>,
}

/// The rows of an answer. The view it reads stays alive as long as it does.
pub struct Answer {
    pub schema: SchemaRef,
    rows: SendableRecordBatchStream,
    view: Arc<View>,
}

impl Questions {
    /// # Errors
    /// `Unavailable` where the engine cannot be set up.
    pub fn new(view: Arc<View>, engine: Arc<dyn SqlEngine>) -> crate::error::Result<Self> {
        let session = open(&engine.session()?.state(), &view);
        Ok(Self { view, session, engine })
    }

    /// Plans one statement and begins to run it.
    ///
    /// # Errors
    /// A statement that does not ask for rows, does not parse, or names what there is not.
    pub async fn ask(&self, statement: &Statement<'_>) -> Result<Answer, SqlError> {
        if statement.purpose() != Purpose::Ask {
            return Err(statement.refusal());
        }
        let plan = plan(self.engine.as_ref(), &self.session, &self.view, statement).await?;
        run(&self.session, &plan, &self.view).await
    }
}

/// Plans one statement and makes sure that it only reads.
pub async fn plan(
    engine: &dyn SqlEngine,
    session: &SessionContext,
    view: &View,
    statement: &Statement<'_>,
) -> Result<LogicalPlan, SqlError> {
    check_depth(statement)?;
    let explain = Explain::of(statement);
    // Blanks in place of EXPLAIN and its words: the places errors name stay true.
    let (words, _) = statement.text.split_at(statement.text.len() - explain.asked.len());
    let blanks: String = words.chars().map(|character| if character == '\n' { '\n' } else { ' ' }).collect();
    let sql = blanks + explain.asked;
    let plan = engine.plan(session, &sql).await.map_err(|error| SqlError::explain(&error, view))?;
    read_only(&plan)?;
    explain.wrap(plan).map_err(|error| SqlError::explain(&error, view))
}

/// `EXPLAIN [ANALYZE] [VERBOSE]` before a question.
struct Explain<'a> {
    asked: &'a str,
    wanted: bool,
    analyze: bool,
    verbose: bool,
}

impl<'a> Explain<'a> {
    fn of(statement: &Statement<'a>) -> Self {
        let mut explain =
            Self { asked: statement.text, wanted: statement.verb() == "EXPLAIN", analyze: false, verbose: false };
        let mut position = 1;
        while explain.wanted {
            match statement.word(position).as_str() {
                "ANALYZE" => explain.analyze = true,
                "VERBOSE" => explain.verbose = true,
                _ => break,
            }
            position += 1;
        }
        if explain.wanted {
            explain.asked = statement.text_from(position);
        }
        explain
    }

    fn wrap(&self, plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
        if !self.wanted {
            return Ok(plan);
        }
        LogicalPlanBuilder::from(plan).explain(self.verbose, self.analyze)?.build()
    }
}

/// Begins to run a plan that [`plan`] made.
pub async fn run(session: &SessionContext, plan: &LogicalPlan, view: &Arc<View>) -> Result<Answer, SqlError> {
    let explain = |error| SqlError::explain(&error, view);
    let state = session.state();
    let physical = state.create_physical_plan(plan).await.map_err(explain)?;
    let rows = execute(physical, session.task_ctx(), Arc::clone(view))
        .map_err(|error| explain(DataFusionError::External(Box::new(error))))?;
    Ok(Answer { schema: shown_schema(&rows.schema()), rows, view: Arc::clone(view) })
}

impl Answer {
    /// The next rows, in the answer's [`schema`](Self::schema); `None` after the last.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, SqlError>> {
        loop {
            let shown = match self.rows.next().await? {
                Ok(batch) if batch.num_rows() == 0 => continue,
                Ok(batch) => shown_batch(&batch, &self.schema).map_err(DataFusionError::from),
                Err(error) => Err(error),
            };
            return Some(shown.map_err(|error| SqlError::explain(&error, &self.view)));
        }
    }
}

#[cfg(test)]
mod tests;
