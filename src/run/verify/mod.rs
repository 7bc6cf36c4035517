//! `smelt verify`: proves laws 2 and 3 on a snapshot. Its tables are made from raw once more, in a lake
//! aside, and compared with those that are published; its records are counted once more.
//!
//! ```text
//! scope     which tables can be compared, and what has to be computed for that: pure
//! equality  one table against the other, row by row
//! sample    a share of the rows
//! ```
//!
//! Rule: nothing is written to the lake that is verified. What the snapshot covers decides the raw files
//! that count, whatever landed or was held since; a table whose definition changed since is left out.

mod equality;
mod sample;
mod scope;

use std::{collections::BTreeMap, time::Instant};

use object_store::path::Path;
use serde::Serialize;

pub use equality::{Example, Outcome};
pub use scope::LeftOut;

use self::{
    equality::{Question, Standing, unreadable},
    scope::{Maker, scope},
};
use super::{Progress, Reason, Workshop, audit, execute::table_of, plan::EntityPlan};
use crate::{
    bronze::Manifest,
    error::{Error, Kind, Result},
    gold::Model,
    lake::{Aside, BatchId, Candidate, Coverage, EntityTotals, Lake, Snapshot, SnapshotId, TableName},
    project::{Contract, EntityName},
    silver::{EntityTables, RawFile, Work},
};

#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// Names of the tables to compare; all of them when empty.
    pub tables: Vec<String>,
    /// Compare only the rows of about so many percent of the keys.
    pub sample: Option<f64>,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Verification {
    pub snapshot: SnapshotId,
    pub coverage: Coverage,
    pub sample: Option<f64>,
    /// Whether everything that was compared and counted is as raw gives it.
    pub equal: bool,
    pub tables: Vec<TableVerdict>,
    pub entities: Vec<Recount>,
    /// Tables that were wanted and could not be compared.
    pub left_out: Vec<LeftOut>,
    pub seconds: f64,
}

#[derive(Debug, Clone, Serialize)]
pub struct TableVerdict {
    pub table: TableName,
    pub owner: String,
    pub outcome: Outcome,
    /// In the warehouse, and as raw gives them.
    pub rows: u64,
    pub rebuilt_rows: u64,
    /// Rows of the warehouse that were compared.
    pub compared: u64,
}

/// Law 3, counted once more.
#[derive(Debug, Clone, Serialize)]
pub struct Recount {
    pub entity: String,
    pub owner: String,
    pub equal: bool,
    /// What the snapshot says.
    pub snapshot: EntityTotals,
    pub rebuilt: EntityTotals,
}

impl Recount {
    /// The totals that differ: their names, what the snapshot says, and what was counted now. `late` is
    /// not one of them, for it tells in which runs records came; nor is `drift`, which names only so many
    /// columns, those that a cleaner meets first.
    pub fn differing(&self) -> Vec<(&'static str, u64, u64)> {
        let terms = |totals: &EntityTotals| {
            [
                ("raw", totals.raw),
                ("current", totals.current),
                ("superseded", totals.superseded),
                ("tombstones", totals.tombstones),
                ("quarantined", totals.quarantined),
            ]
        };
        let both = std::iter::zip(terms(&self.snapshot), terms(&self.rebuilt));
        both.filter(|(then, now)| then.1 != now.1).map(|(then, now)| (then.0, then.1, now.1)).collect()
    }
}

/// Makes the tables of a snapshot from raw, and compares.
///
/// # Errors
/// `Input` for a table that there is not; `Data` when raw cannot be read; `Unavailable` when there is no
/// room. That something differs is no error: it is what was found.
pub async fn verify(
    workshop: Workshop<'_>,
    snapshot: &Snapshot,
    aside: &Aside,
    options: &VerifyOptions,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Verification> {
    let started = Instant::now();
    let found = Verifier::new(workshop, snapshot, options).await?.work(aside, progress).await;
    let mut found = found.map_err(|error| aside.explain(error))?;
    found.seconds = started.elapsed().as_secs_f64();
    Ok(found)
}

/// What makes a table.
#[derive(Debug, Clone, Copy)]
enum Definition<'a> {
    Contract(&'a EntityName, &'a Contract),
    Model(&'a Model),
}

struct Verifier<'a> {
    workshop: Workshop<'a>,
    snapshot: &'a Snapshot,
    options: &'a VerifyOptions,
    /// Of the batches that the snapshot covers.
    manifests: Vec<Manifest>,
    definitions: Vec<Definition<'a>>,
    makers: Vec<Maker>,
}

impl<'a> Verifier<'a> {
    async fn new(workshop: Workshop<'a>, snapshot: &'a Snapshot, options: &'a VerifyOptions) -> Result<Self> {
        let contracts = workshop.project.contracts.iter().map(|(name, contract)| Definition::Contract(name, contract));
        let definitions: Vec<Definition<'_>> = contracts.chain(workshop.models.iter().map(Definition::Model)).collect();
        let makers = definitions.iter().map(|definition| definition.maker(snapshot)).collect();
        let mut manifests = workshop.lake.manifests(BatchId(0)).await?;
        manifests.retain(|manifest| manifest.batch <= snapshot.coverage.through);
        Ok(Self { workshop, snapshot, options, manifests, definitions, makers })
    }

    async fn work(&self, aside: &Aside, progress: &(dyn Fn(Progress) + Send + Sync)) -> Result<Verification> {
        let scope = scope(&self.makers, self.snapshot.tables.keys(), &self.options.tables)?;
        let raw = self.manifests.iter().flat_map(|manifest| &manifest.files);
        let lake = aside.lake(self.workshop.lake, raw.map(|file| Path::from(file.raw.as_str())))?;
        let rebuild = Workshop { lake: &lake, ..self.workshop };
        let candidate = Candidate::aside(&lake);
        let (mut tables, mut entities) = (Vec::new(), Vec::new());
        for (done, &step) in scope.steps.iter().enumerate() {
            match self.definitions[step] {
                Definition::Contract(name, contract) => {
                    entities.push(self.recount(rebuild, &candidate, name, contract, progress).await?);
                }
                Definition::Model(model) => {
                    progress(Progress::Model { model: model.name.clone() });
                    rebuild.model(&candidate, model, &Reason::Rebuild).await?;
                }
            }
            for table in self.makers[step].makes.iter().filter(|table| scope.compared.contains(table)) {
                progress(Progress::Compare { table: table.clone() });
                tables.push(self.compare(rebuild, &candidate, table).await?);
            }
            self.clear(&candidate, &self.makers[step], &scope.steps[done + 1..]).await?;
        }
        let equal = tables.iter().all(|verdict: &TableVerdict| verdict.outcome == Outcome::Equal)
            && entities.iter().all(|recount: &Recount| recount.equal);
        Ok(Verification {
            snapshot: self.snapshot.id,
            coverage: self.snapshot.coverage.clone(),
            sample: self.options.sample,
            equal,
            tables,
            entities,
            left_out: scope.left_out,
            seconds: 0.0,
        })
    }

    /// Makes an entity's tables from the raw files that the snapshot covers.
    async fn recount(
        &self,
        rebuild: Workshop<'_>,
        candidate: &Candidate,
        entity: &EntityName,
        contract: &Contract,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Recount> {
        let landed = self.manifests.iter().flat_map(Manifest::files);
        let covered = landed
            .filter(|(reference, file)| file.entity == entity.as_str() && self.snapshot.coverage.covers(*reference))
            .map(|(reference, landed)| RawFile { reference, landed: landed.clone() });
        let plan = EntityPlan {
            entity: entity.clone(),
            work: Work::Replay,
            files: covered.collect(),
            reason: Reason::Rebuild,
        };
        let rebuilt = rebuild.entity(candidate, &plan, &BTreeMap::new(), progress).await?.totals;
        let tables = EntityTables::of(contract);
        let [current, quarantined] =
            [rows(candidate, &tables.cleaned).await?, rows(candidate, &tables.quarantine).await?];
        audit::account(entity.as_str(), &rebuilt, current, quarantined)?;
        let snapshot = self.snapshot.entities.get(entity.as_str()).cloned().unwrap_or_default();
        let mut recount =
            Recount { entity: entity.to_string(), owner: contract.owner.clone(), equal: false, snapshot, rebuilt };
        recount.equal = recount.differing().is_empty();
        Ok(recount)
    }

    async fn compare(&self, rebuild: Workshop<'_>, candidate: &Candidate, table: &TableName) -> Result<TableVerdict> {
        let rebuilt = candidate.files(table).await?;
        let rebuilt = rebuilt.ok_or_else(|| Error::bug(format!("table `{table}` was not made from raw")))?;
        let state = self.snapshot.tables.get(table);
        let mut verdict = TableVerdict {
            table: table.clone(),
            owner: state.map(|state| state.owner.clone()).unwrap_or_default(),
            outcome: Outcome::Equal,
            rows: state.map_or(0, |state| state.rows),
            rebuilt_rows: rebuilt.rows(),
            compared: 0,
        };
        let warehouse = match self.standing(table).await {
            Err(damaged) if damaged.kind() == Kind::Data => {
                verdict.outcome = unreadable(&damaged);
                return Ok(verdict);
            }
            files => files?,
        };
        verdict.rows = warehouse.files.rows();
        let question = Question {
            table,
            key: self.workshop.key_among(table, &warehouse.files.schema),
            percent: self.options.sample,
            seed: self.snapshot.id.0,
        };
        let answer = rebuild.equal(&question, warehouse, Standing { lake: rebuild.lake, files: rebuilt }).await?;
        (verdict.outcome, verdict.compared) = (answer.outcome, answer.compared);
        Ok(verdict)
    }

    /// A table as it is published.
    async fn standing(&self, table: &TableName) -> Result<Standing<'a>> {
        let lake: &Lake = self.workshop.lake;
        let state = self.snapshot.tables.get(table);
        let state =
            state.ok_or_else(|| Error::data(format!("snapshot {} has no table `{table}`", self.snapshot.id)))?;
        Ok(Standing { lake, files: lake.table_files(table, state).await? })
    }

    /// Deletes what a step made or read and no later one reads: the disk holds what is needed, and not the
    /// warehouse once more.
    async fn clear(&self, candidate: &Candidate, done: &Maker, later: &[usize]) -> Result<()> {
        let needed = |table: &TableName| later.iter().any(|&step| self.makers[step].reads.contains(table));
        for table in done.makes.iter().chain(&done.reads).filter(|table| !needed(table)) {
            let lake = candidate.lake();
            for file in candidate.files(table).await?.into_iter().flat_map(|files| files.files) {
                lake.delete(&Path::from(format!("{}/{}", lake.table_folder(table), file.path))).await?;
            }
        }
        Ok(())
    }
}

impl Definition<'_> {
    fn maker(&self, snapshot: &Snapshot) -> Maker {
        let known = &snapshot.definitions;
        match self {
            Self::Contract(entity, contract) => Maker {
                makes: EntityTables::of(contract).all().cloned().collect(),
                reads: Vec::new(),
                differs: differs("its contract", known.contracts.get(entity.as_str()), &contract.fingerprint),
            },
            Self::Model(model) => Maker {
                makes: vec![TableName::gold(&model.name)],
                reads: model.inputs.iter().map(table_of).collect(),
                differs: differs("the model", known.models.get(&model.name), &model.fingerprint),
            },
        }
    }
}

fn differs(what: &str, then: Option<&String>, now: &str) -> Option<String> {
    match then {
        None => Some(format!("{what} is new")),
        Some(then) if then != now => Some(format!("{what} changed after the snapshot")),
        Some(_) => None,
    }
}

async fn rows(candidate: &Candidate, table: &TableName) -> Result<u64> {
    Ok(candidate.files(table).await?.map_or(0, |files| files.rows()))
}
