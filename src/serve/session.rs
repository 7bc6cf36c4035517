//! What one connection remembers between its statements.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use datafusion_postgres::pgwire::api::results::QueryResponse;

use super::{
    settings::{Report, Settings},
    views::{Opened, Views},
};
use crate::query::SqlError;

/// A connection may keep so many cursors open.
const MOST_CURSORS: usize = 64;
/// It may keep so many prepared statements and bound portals, and so many bytes of their texts and values.
const MOST_KEPT: usize = 4096;
const MOST_KEPT_BYTES: usize = 32 << 20;

/// A declared cursor: its rows, as far as they were not fetched.
pub(super) type Cursor = Arc<tokio::sync::Mutex<QueryResponse>>;

/// One connection's state.
#[derive(Default)]
pub(super) struct Session(Mutex<State>);

#[derive(Default)]
struct State {
    settings: Settings,
    transaction: Option<Transaction>,
    cursors: HashMap<String, Cursor>,
    /// Bytes of the text or values kept for each prepared statement and portal.
    kept: HashMap<Kept, usize>,
}

/// From `BEGIN` to its end.
struct Transaction {
    /// The settings to return to when it is rolled back.
    before: Settings,
    /// The settings to go on with when it is committed, where `SET LOCAL` made others for its time.
    after: Option<Settings>,
    /// The one view all its statements read, from the first on.
    pinned: Option<Arc<Opened>>,
}

/// What the client keeps on the server under a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Kept {
    Statement(String),
    Portal(String),
}

impl Session {
    pub(super) fn new(settings: Settings) -> Self {
        Self(Mutex::new(State { settings, ..State::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The view the next statement reads: the newest, or the transaction's.
    pub(super) async fn view(&self, views: &Views) -> Result<Arc<Opened>, SqlError> {
        let path: Vec<String> = {
            let state = self.state();
            if let Some(pinned) = state.transaction.as_ref().and_then(|transaction| transaction.pinned.as_ref()) {
                return Ok(Arc::clone(pinned));
            }
            state.settings.search_path().map(str::to_owned).collect()
        };
        let opened = views.newest(&path).await?;
        if let Some(transaction) = &mut self.state().transaction {
            transaction.pinned = Some(Arc::clone(&opened));
        }
        Ok(opened)
    }

    /// `false` where a transaction is open already.
    pub(super) fn begin(&self) -> bool {
        let mut state = self.state();
        if state.transaction.is_some() {
            return false;
        }
        state.transaction = Some(Transaction { before: state.settings.clone(), after: None, pinned: None });
        true
    }

    /// Ends the transaction, its view and its cursors; `false` where none is open.
    pub(super) fn end(&self, keep_settings: bool) -> bool {
        let mut state = self.state();
        let Some(transaction) = state.transaction.take() else { return false };
        state.cursors.clear();
        if !keep_settings {
            state.settings = transaction.before;
        } else if let Some(after) = transaction.after {
            state.settings = after;
        }
        true
    }

    /// Sets, or with `None` resets, a setting.
    pub(super) fn set(&self, name: &str, value: Option<&str>, local: bool) -> Result<Report, SqlError> {
        let mut state = self.state();
        let State { settings, transaction, .. } = &mut *state;
        let change = |settings: &mut Settings| match value {
            Some(value) => settings.set(name, value),
            None => settings.reset(name),
        };
        let Some(transaction) = transaction else { return change(settings) };
        if local {
            transaction.after.get_or_insert_with(|| settings.clone());
        } else if let Some(after) = &mut transaction.after {
            change(after)?;
        }
        if name.eq_ignore_ascii_case("search_path") {
            // The view stays; names in it are looked for anew.
            transaction.pinned = None;
        }
        change(settings)
    }

    /// All settings as they were at first; what the client must be told.
    pub(super) fn reset_all(&self) -> Vec<(&'static str, String)> {
        let mut state = self.state();
        let user = state.settings.get("session_authorization").map(|(_, user)| user);
        state.settings = Settings::default();
        if let Ok(user) = user {
            state.settings.force("session_authorization", user);
        }
        state.settings.reported().collect()
    }

    pub(super) fn setting(&self, name: &str) -> Result<(&'static str, String), SqlError> {
        self.state().settings.get(name)
    }

    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        self.state().settings.all().collect()
    }

    pub(super) fn settings_reported(&self) -> Vec<(&'static str, String)> {
        self.state().settings.reported().collect()
    }

    /// The client's own limit on its statements.
    pub(super) fn statement_timeout(&self) -> Option<Duration> {
        self.state().settings.statement_timeout()
    }

    pub(super) fn declare(&self, name: &str, rows: QueryResponse) -> Result<(), SqlError> {
        let mut state = self.state();
        if state.transaction.is_none() {
            return Err(SqlError::new("25P01", "a cursor lives within a transaction").hint("BEGIN first"));
        }
        if state.cursors.contains_key(name) {
            return Err(SqlError::new("42P03", format!("cursor `{name}` exists already")));
        }
        if state.cursors.len() >= MOST_CURSORS {
            return Err(
                SqlError::new("54000", format!("a connection can have {MOST_CURSORS} cursors")).hint("CLOSE some")
            );
        }
        state.cursors.insert(name.to_owned(), Arc::new(tokio::sync::Mutex::new(rows)));
        Ok(())
    }

    pub(super) fn cursor(&self, name: &str) -> Result<Cursor, SqlError> {
        self.state().cursors.get(name).cloned().ok_or_else(|| no_cursor(name))
    }

    /// Closes one cursor, or all of them.
    pub(super) fn close(&self, name: Option<&str>) -> Result<(), SqlError> {
        let mut state = self.state();
        match name {
            None => state.cursors.clear(),
            Some(name) => drop(state.cursors.remove(name).ok_or_else(|| no_cursor(name))?),
        }
        Ok(())
    }

    /// Accounts for a statement or portal before it is kept.
    ///
    /// # Errors
    /// `54000` where the connection keeps too much.
    pub(super) fn keep(&self, what: Kept, bytes: usize) -> Result<(), SqlError> {
        let mut state = self.state();
        let before = state.kept.insert(what.clone(), bytes);
        let total: usize = state.kept.values().sum();
        if state.kept.len() <= MOST_KEPT && total <= MOST_KEPT_BYTES {
            return Ok(());
        }
        match before {
            Some(before) => state.kept.insert(what, before),
            None => state.kept.remove(&what),
        };
        Err(SqlError::new("54000", "the connection keeps too many prepared statements, or too large ones")
            .hint("DEALLOCATE those that are done with"))
    }

    pub(super) fn forget(&self, what: &Kept) {
        self.state().kept.remove(what);
    }

    /// The names of all prepared statements, which are forgotten.
    pub(super) fn forget_statements(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.state().kept.retain(|kept, _| match kept {
            Kept::Statement(name) => {
                names.push(name.clone());
                false
            }
            Kept::Portal(_) => true,
        });
        names
    }

    pub(super) fn forget_portals(&self) {
        self.state().kept.retain(|kept, _| matches!(kept, Kept::Statement(_)));
    }
}

fn no_cursor(name: &str) -> SqlError {
    SqlError::new("34000", format!("there is no cursor `{name}`"))
}
