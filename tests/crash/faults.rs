//! The fate of a process that fails at its k-th write: it dies there, or lives to see the error.

use std::{
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;

use crate::meddled_store::{Fate, Operation, Verdict};

/// What happens at the write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It is not done, and no request after it.
    DiesBefore,
    /// It is done, unheard, and no request after it is.
    DiesAfter,
    /// It alone is not done: the process lives on and deals with it.
    FailsOnce,
    /// It alone goes unheard.
    UnheardOnce,
}

impl Mode {
    pub(crate) const ALL: [Self; 4] = [Self::DiesBefore, Self::DiesAfter, Self::FailsOnce, Self::UnheardOnce];

    fn is_deadly(self) -> bool {
        matches!(self, Self::DiesBefore | Self::DiesAfter)
    }
}

/// One fault, at a write counted from 1; or none, to see which writes there are.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    fault: Option<(u64, Mode)>,
    writes: AtomicU64,
    dead: AtomicBool,
    seen: Mutex<Vec<Operation>>,
}

impl Faults {
    pub(crate) fn none() -> Self {
        Self::default()
    }

    pub(crate) fn at(write: u64, mode: Mode) -> Self {
        Self { fault: Some((write, mode)), ..Self::default() }
    }

    /// Whether the process came as far as its fault.
    pub(crate) fn struck(&self) -> bool {
        self.fault.is_some_and(|(write, _)| self.writes.load(Ordering::SeqCst) >= write)
    }

    /// Every request so far, reading ones too.
    pub(crate) fn requests(&self) -> Vec<Operation> {
        self.seen.lock().unwrap().clone()
    }

    /// The writes so far; the k-th is at k - 1.
    pub(crate) fn writes(&self) -> Vec<Operation> {
        self.requests().into_iter().filter(Operation::writes).collect()
    }
}

#[async_trait]
impl Fate for Faults {
    async fn decide(&self, operation: &Operation) -> Verdict {
        // One at a time, so that the order seen is the order counted.
        let mut seen = self.seen.lock().unwrap();
        if self.dead.load(Ordering::SeqCst) {
            return Verdict::Refuse;
        }
        seen.push(operation.clone());
        if !operation.writes() {
            return Verdict::Do;
        }
        let write = self.writes.fetch_add(1, Ordering::SeqCst) + 1;
        match self.fault {
            Some((fatal, mode)) if fatal == write => {
                self.dead.store(mode.is_deadly(), Ordering::SeqCst);
                match mode {
                    Mode::DiesBefore | Mode::FailsOnce => Verdict::Refuse,
                    Mode::DiesAfter | Mode::UnheardOnce => Verdict::DoUnheard,
                }
            }
            _ => Verdict::Do,
        }
    }

    fn hears(&self) -> bool {
        !self.dead.load(Ordering::SeqCst)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DiesBefore => "dies before it",
            Self::DiesAfter => "dies after it",
            Self::FailsOnce => "it fails once",
            Self::UnheardOnce => "its answer is lost once",
        })
    }
}
