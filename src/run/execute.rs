//! Executes a plan under the lease and publishes the candidate.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use arrow::datatypes::Schema;
use datafusion::{common::TableReference, prelude::SessionContext};

use super::{
    Audited, EntityReport, ModelReport, Plan, RunReport,
    audit::{self, Wanted},
    freshness::judge_freshness,
    in_order::in_order,
    kept::SaidByModels,
    plan::{EntityPlan, Facts, ModelDefinition, ModelPlan, Situation, plan},
};
use crate::{
    engine::{self, JoinPreference, Purpose, SessionFactory},
    engine_error,
    error::{Error, Result},
    gold::{self, Models},
    lake::{
        Candidate, Contents, EntityTotals, Lake, LakeTable, Lease, LeaseOptions, Origin, Snapshot, TableFiles,
        TableName, Zone,
    },
    project::Project,
    quality::{self, Check},
    silver::{self, EntityTables},
};

/// Entities, and models, that are worked on at the same time.
const AT_ONCE: usize = 2;

/// Rows of change sets are kept while they take no more than one part in so many of the memory.
const KEPT: usize = 16;

#[derive(Debug, Clone, Copy, Default)]
pub struct RunOptions {
    /// Make everything anew from raw.
    pub rebuild: bool,
    pub lease: LeaseOptions,
}

/// What is being done now.
#[derive(Debug, Clone)]
pub enum Progress {
    Entity { entity: String, files: usize, records: u64 },
    Model { model: String },
    Audit { rules: usize },
    Compare { table: TableName },
    Publish,
}

/// All that a run works with.
#[derive(Debug, Clone, Copy)]
pub struct Workshop<'a> {
    pub lake: &'a Lake,
    pub project: &'a Project,
    pub models: &'a Models,
    pub engine: &'a SessionFactory,
}

/// Takes everything new through silver and gold to a published snapshot; or says that nothing is new.
///
/// # Errors
/// Of any stage; then the last snapshot is still the newest.
pub async fn run(
    workshop: Workshop<'_>,
    options: RunOptions,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<RunReport> {
    let started = Instant::now();
    let (facts, planned) = workshop.plan(options.rebuild).await?;
    // What is published works as it is defined.
    let known = facts.snapshot.as_ref().is_some_and(|snapshot| snapshot.definitions == planned.definitions);
    if !planned.is_empty() && !known {
        workshop.rehearse().await?;
    }
    Error::all(workshop.misses_what_they_wait_for())?;
    let mut report = RunReport {
        snapshot: None,
        entities: Vec::new(),
        models: Vec::new(),
        dropped: Vec::new(),
        audit: Audited::default(),
        stale: Vec::new(),
        seconds: 0.0,
        bytes_read: 0,
        bytes_written: 0,
    };
    if !planned.is_empty() {
        let lease = workshop.lake.lease(options.lease).await?;
        let outcome = workshop.locked(&lease, options, &mut report, progress).await;
        lease.release().await;
        outcome?;
        workshop.collect_if_due().await;
    }
    let receipts = workshop.lake.last_receipts().await?;
    report.stale = judge_freshness(&workshop.project.contracts, &receipts, workshop.lake.clock().now());
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// What is to be brought up to date, and the rules (those at the positions in `held` held before).
#[derive(Clone, Copy)]
struct Work<'a> {
    entities: &'a [EntityPlan],
    models: &'a [ModelPlan],
    rules: &'a [Check],
    held: &'a [usize],
}

/// What came of it: reports in the plan's order, and the positions of the rules that hold.
#[derive(Default)]
struct Done {
    entities: Vec<EntityReport>,
    models: Vec<ModelReport>,
    holding: BTreeSet<usize>,
}

impl Workshop<'_> {
    /// The facts as they are now, and what a run would do.
    pub async fn plan(&self, rebuild: bool) -> Result<(Facts, Plan)> {
        let newest = self.lake.newest().await?;
        let facts = Facts::read(self.lake, newest, &self.project.contracts, rebuild).await?;
        let models: Vec<ModelDefinition> = self
            .models
            .iter()
            .map(|model| ModelDefinition {
                name: model.name.clone(),
                inputs: model.inputs.iter().map(table_of).collect(),
                fingerprint: model.fingerprint.clone(),
            })
            .collect();
        let plan = plan(&Situation {
            snapshot: facts.snapshot.as_ref(),
            manifests: &facts.manifests,
            newest_batch: facts.newest_batch,
            holds: &facts.holds,
            contracts: &self.project.contracts,
            models: &models,
            checks: &quality::fingerprint(&self.rules()),
            rebuild,
        });
        Ok((facts, plan))
    }

    /// Every rule of the project: the contracts', then the models' tests.
    pub fn rules(&self) -> Vec<Check> {
        quality::rules(self.project, self.models)
    }

    async fn locked(
        &self,
        lease: &Lease,
        options: RunOptions,
        report: &mut RunReport,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<()> {
        let started = Instant::now();
        if let Some(newest) = self.lake.newest().await? {
            // A dead run may have published and not copied its log entries.
            self.lake.roll_forward(&newest).await?;
        }
        // What was planned before the lease may be done by now.
        let (facts, plan) = self.plan(options.rebuild).await?;
        if plan.is_empty() {
            return Ok(());
        }
        let candidate = Candidate::begin(self.lake, lease, facts.snapshot, None).await?;
        let candidate = candidate.keeping(self.project.settings.memory_limit.0 / KEPT);
        match self.build(lease, &candidate, &plan, options, report, progress).await {
            Ok(snapshot) => {
                report.snapshot = Some(snapshot.id);
                report.seconds = started.elapsed().as_secs_f64();
                report.keep(self.lake, &snapshot).await;
                Ok(())
            }
            Err(error) => {
                let error = candidate.explain(error).await;
                candidate.discard().await;
                Err(error)
            }
        }
    }

    async fn build(
        &self,
        lease: &Lease,
        candidate: &Candidate,
        plan: &Plan,
        options: RunOptions,
        report: &mut RunReport,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Snapshot> {
        let mut totals: BTreeMap<String, EntityTotals> =
            candidate.base().map(|base| base.entities.clone()).unwrap_or_default();
        totals.retain(|entity, _| self.project.contracts.contains_key(entity.as_str()));
        // What a change takes is little, and leaves cores idle; what is made anew takes all the memory.
        let at_once = if options.rebuild || candidate.base().is_none() { 1 } else { AT_ONCE };
        let rules = self.rules();
        let held = Self::held(candidate, &rules);
        let work = Work { entities: &plan.entities, models: &plan.models, rules: &rules, held: &held };
        let done = self.follow(candidate, work, &totals, at_once, progress).await?;
        tracing::debug!("tables are up to date");
        for entity in &done.entities {
            report.bytes_read += entity.bytes_read;
            totals.insert(entity.entity.clone(), entity.totals.clone());
        }
        (report.entities, report.models) = (done.entities, done.models);
        let holding = done.holding;
        for table in &plan.dropped {
            candidate.drop_table(table.clone());
            report.dropped.push(table.to_string());
        }
        self.audit(candidate, &totals, (&rules, &holding), report, progress).await?;
        tracing::debug!("the rules are tested");
        progress(Progress::Publish);
        report.bytes_written = candidate.bytes_added();
        let origin = if options.rebuild { Origin::Rebuild } else { Origin::Run };
        let broken = report.audit.failed.iter().map(|check| check.rule.clone()).collect();
        let contents = Contents {
            coverage: plan.coverage.clone(),
            definitions: plan.definitions.clone(),
            entities: totals,
            broken: Some(broken),
        };
        candidate.publish(lease, origin, contents).await
    }

    /// Each entity, each model after what it reads, and each rule that held after that; several at once.
    async fn follow(
        &self,
        candidate: &Candidate,
        work: Work<'_>,
        totals: &BTreeMap<String, EntityTotals>,
        at_once: usize,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Done> {
        enum Piece<'a> {
            Entity(&'a EntityPlan),
            Model(&'a ModelPlan),
            Rule(usize),
            /// The rows of the entity at a position that wait for others.
            Waiting(usize, Box<Check>),
        }
        enum Outcome {
            Entity(Box<EntityReport>),
            Model(Box<ModelReport>),
            Rule(usize, bool),
            Waiting(usize, u64),
        }
        let mut made: BTreeMap<TableName, usize> = BTreeMap::new();
        for (place, entity) in work.entities.iter().enumerate() {
            let tables = EntityTables::of(self.project.contract(entity.entity.as_str())?);
            made.extend(tables.all().map(|table| (table.clone(), place)));
        }
        let models = work.models.iter().zip(work.entities.len()..);
        made.extend(models.map(|(model, place)| (TableName::gold(&model.name), place)));
        let reads = |inputs: &[gold::Relation]| -> Vec<usize> {
            inputs.iter().filter_map(|input| made.get(&table_of(input)).copied()).collect()
        };
        let (mut pieces, mut after) = (Vec::new(), Vec::new());
        for entity in work.entities {
            pieces.push(Piece::Entity(entity));
            after.push(Vec::new());
        }
        for model in work.models {
            pieces.push(Piece::Model(model));
            after.push(reads(&self.models.get(&model.name)?.inputs));
        }
        for &rule in work.held {
            pieces.push(Piece::Rule(rule));
            after.push(reads(&work.rules[rule].inputs));
        }
        for (place, entity) in work.entities.iter().enumerate() {
            if let Some(rows) = quality::waiting(self.project.contract(entity.entity.as_str())?, self.project) {
                after.push(reads(&rows.inputs));
                pieces.push(Piece::Waiting(place, Box::new(rows)));
            }
        }
        let said = SaidByModels::default();
        let done = in_order(&after, at_once, async |place| match &pieces[place] {
            Piece::Entity(entity) => {
                self.entity(candidate, entity, totals, progress).await.map(|done| Outcome::Entity(Box::new(done)))
            }
            Piece::Model(model) => {
                self.follow_one(candidate, model, progress).await.map(|done| Outcome::Model(Box::new(done)))
            }
            Piece::Rule(rule) => {
                Ok(Outcome::Rule(*rule, self.still_holds(candidate, &work.rules[*rule], &said).await?))
            }
            Piece::Waiting(place, rows) => Ok(Outcome::Waiting(*place, self.waiting(candidate, rows).await?)),
        });
        let mut all = Done::default();
        for outcome in done.await? {
            match outcome {
                Outcome::Entity(report) => all.entities.push(*report),
                Outcome::Model(report) => all.models.push(*report),
                Outcome::Rule(rule, true) => drop(all.holding.insert(rule)),
                Outcome::Rule(_, false) => {}
                // Entities are the first pieces.
                Outcome::Waiting(place, rows) => all.entities[place].waiting = Some(rows),
            }
        }
        Ok(all)
    }

    /// How many rows wait since this change; where that cannot be told, how many wait at all.
    async fn waiting(&self, candidate: &Candidate, rows: &Check) -> Result<u64> {
        if let Some(new) = self.new_failures(candidate, rows, Wanted::All).await? {
            return Ok(new);
        }
        let context = self.audit_session(candidate, rows.inputs.iter().map(table_of)).await?;
        let all = engine::plan(&context, &rows.sql, Purpose::Model).await?;
        quality::count_rows(&context, all).await.map_err(engine_error)
    }

    async fn follow_one(
        &self,
        candidate: &Candidate,
        model: &ModelPlan,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<ModelReport> {
        let definition = self.models.get(&model.name)?;
        progress(Progress::Model { model: model.name.clone() });
        let started = Instant::now();
        let computed = self.model(candidate, definition, &model.reason).await?;
        Ok(ModelReport {
            model: model.name.clone(),
            owner: definition.owner.clone(),
            reason: model.reason.to_string(),
            followed: computed.followed,
            rows: computed.rows,
            seconds: started.elapsed().as_secs_f64(),
            bytes_written: computed.bytes_written,
        })
    }

    pub(super) async fn entity(
        &self,
        candidate: &Candidate,
        plan: &EntityPlan,
        totals: &BTreeMap<String, EntityTotals>,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<EntityReport> {
        let contract = self.project.contract(plan.entity.as_str())?;
        progress(Progress::Entity {
            entity: plan.entity.to_string(),
            files: plan.files.len(),
            records: plan.files.iter().map(|file| file.landed.records).sum(),
        });
        let started = Instant::now();
        let before = totals.get(plan.entity.as_str()).cloned().unwrap_or_default();
        let engine = self.session(JoinPreference::Hash).task_ctx();
        let done = silver::run_entity(&engine, candidate, contract, &plan.files, plan.work, &before).await?;
        Ok(EntityReport {
            entity: plan.entity.to_string(),
            owner: contract.owner.clone(),
            reason: plan.reason.to_string(),
            records: done.records,
            late: done.late,
            quarantined: done.quarantined,
            drift: done.drift,
            missing: done.missing,
            totals: done.totals,
            waiting: None,
            seconds: started.elapsed().as_secs_f64(),
            bytes_read: done.bytes,
        })
    }

    async fn audit(
        &self,
        candidate: &Candidate,
        totals: &BTreeMap<String, EntityTotals>,
        (rules, holding): (&[Check], &BTreeSet<usize>),
        report: &mut RunReport,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<()> {
        for (entity, contract) in &self.project.contracts {
            let tables = EntityTables::of(contract);
            let quarantined = candidate.files(&tables.quarantine).await?.map_or(0, |files| files.rows());
            let current = candidate.files(&tables.cleaned).await?.map_or(0, |files| files.rows());
            let totals = totals.get(entity.as_str()).cloned().unwrap_or_default();
            audit::account(entity.as_str(), &totals, current, quarantined)?;
        }
        progress(Progress::Audit { rules: rules.len() });
        let context = self.audit_session(candidate, candidate.tables()).await?;
        report.audit = self.test(&context, rules, holding).await?;
        report.audit.gate(&report.entities)
    }

    pub(super) fn session(&self, joins: JoinPreference) -> SessionContext {
        let context = self.engine.session(&self.project.settings.name, joins);
        context.register_object_store(&self.lake.url, self.lake.store());
        context
    }

    /// What is unique in a table: by construction in staging, by a test of severity `error` in gold.
    pub(super) fn keys(&self, table: &TableName) -> Vec<Vec<String>> {
        match table.zone {
            Zone::Staging => {
                let mut contracts = self.project.contracts.values();
                contracts.find_map(|contract| EntityTables::of(contract).key(contract, table)).into_iter().collect()
            }
            Zone::Gold => self.models.get(&table.name).map(|model| model.unique_keys.clone()).unwrap_or_default(),
        }
    }

    /// Columns that tell a table's rows apart, of those that it has: the keys are those of today's definitions.
    pub(super) fn key_among(&self, table: &TableName, schema: &Schema) -> Vec<String> {
        let there = |key: &Vec<String>| key.iter().all(|column| schema.index_of(column).is_ok());
        self.keys(table).into_iter().find(there).unwrap_or_default()
    }

    /// A session that sees some of the candidate's tables.
    pub(super) async fn candidate_session(
        &self,
        candidate: &Candidate,
        joins: JoinPreference,
        tables: impl IntoIterator<Item = TableName>,
    ) -> Result<SessionContext> {
        let context = self.session(joins);
        for table in tables {
            if let Some(files) = candidate.files(&table).await? {
                register(&context, &table, self.lake_table(&table, files)?)?;
            }
        }
        Ok(context)
    }

    /// A session for rules. It is not told what is unique in its tables: rules are to find out.
    pub(super) async fn audit_session(
        &self,
        candidate: &Candidate,
        tables: impl IntoIterator<Item = TableName>,
    ) -> Result<SessionContext> {
        let context = self.session(JoinPreference::Hash);
        for table in tables {
            if let Some(files) = candidate.files(&table).await? {
                register(&context, &table, self.untold_table(&table, files)?)?;
            }
        }
        Ok(context)
    }

    /// A table's files as a DataFusion table, which tells the keys that the table has.
    pub(super) fn lake_table(&self, table: &TableName, files: TableFiles) -> Result<LakeTable> {
        Ok(self.untold_table(table, files)?.with_keys(&self.keys(table)))
    }

    /// The same, without its keys.
    pub(super) fn untold_table(&self, table: &TableName, files: TableFiles) -> Result<LakeTable> {
        LakeTable::new(self.lake, self.lake.table_folder(table), files).map_err(engine_error)
    }

    /// Collects garbage once enough snapshots have expired to be worth a sweep.
    async fn collect_if_due(&self) {
        const WORTH: usize = 8;
        let retention = self.project.settings.retention;
        if !retention.after_run {
            return;
        }
        let collected = async {
            if self.lake.expirable(retention).await?.len() >= WORTH {
                self.lake.collect(retention, false).await?;
            }
            Ok::<_, Error>(())
        };
        if let Err(error) = collected.await {
            tracing::warn!(%error, "garbage was not collected; `smelt gc` tries again");
        }
    }
}

pub(super) fn register(context: &SessionContext, table: &TableName, provider: LakeTable) -> Result<()> {
    let schema = match table.zone {
        Zone::Staging => crate::engine::STAGING,
        Zone::Gold => crate::engine::GOLD,
    };
    let name = TableReference::partial(schema, table.name.as_str());
    context.register_table(name, Arc::new(provider)).map_err(engine_error)?;
    Ok(())
}

/// The table behind a model's input.
pub(super) fn table_of(relation: &gold::Relation) -> TableName {
    match relation {
        gold::Relation::Source { table, .. } => TableName::staging(table),
        gold::Relation::Model(name) => TableName::gold(name),
    }
}
