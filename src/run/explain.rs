//! How a model follows its inputs, told before any of them changes; and how its last run went.
//!
//! The same planner is asked as in a run, over tables without rows, once with every input changed and
//! once with each alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::{
    common::{Result as PlanResult, TableReference, tree_node::TreeNodeRecursion},
    datasource::{MemTable, provider_as_source},
    logical_expr::{LogicalPlan, LogicalPlanBuilder, TableScan},
    prelude::SessionContext,
};
use serde::Serialize;

use super::{ModelReport, RunReport, Workshop, following::name_of};
use crate::{
    error::{Error, Result},
    gold::{self, Model},
    lake::SnapshotId,
    planner::{self, Affected, ByDifference, Image, Incremental, Strategy, Tables, Whole, Why},
};

/// How a model follows.
#[derive(Debug, Serialize)]
pub struct Explanation {
    pub model: String,
    pub owner: String,
    #[serde(flatten)]
    pub strategy: Explained,
    pub inputs: Vec<Input>,
    /// The last run that had it as work, of those whose reports are kept.
    pub last_run: Option<LastRun>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "strategy", rename_all = "snake_case")]
pub enum Explained {
    /// No input is another table: only its definition changes it.
    Constant,
    Incremental {
        /// The rebuild key.
        key: Vec<String>,
        why: String,
        /// Where current rows plus what groups gained, minus what they lost, are the fresh ones: how that is told.
        #[serde(skip_serializing_if = "Option::is_none")]
        by_difference: Option<String>,
        /// The tables that fresh rows are computed from, as often as the model reads them.
        reads: Vec<Read>,
    },
    Whole {
        why: String,
        way_out: String,
    },
}

/// One place where the model reads a table.
#[derive(Debug, Serialize)]
pub struct Read {
    pub table: String,
    /// The columns by which its rows are looked up; none where all of it is read.
    pub by: Vec<Lookup>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Lookup {
    pub columns: Vec<String>,
    /// Whether by affected keys; else by the rows that it is joined with, which are restricted already.
    pub affected_keys: bool,
    /// Whether all of its rows are read, as what is compared with keys is computed of them.
    pub read_whole: bool,
}

/// What the change of one input means.
#[derive(Debug, Serialize)]
pub struct Input {
    pub table: String,
    #[serde(flatten)]
    pub change: Change,
}

#[derive(Debug, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Keys are affected by rows that changed in these columns, or of which conditions on others came to hold or
    /// to fail.
    Followed { columns: Vec<String>, conditions: Vec<String>, by_partition: bool },
    /// All rows are computed.
    Whole { why: String, way_out: String },
}

#[derive(Debug, Serialize)]
pub struct LastRun {
    pub snapshot: SnapshotId,
    pub report: ModelReport,
}

impl Workshop<'_> {
    /// Explains a model; its last run is that of a snapshot, or the newest that had it as work.
    ///
    /// # Errors
    /// `Input` for an unknown model or snapshot, or definitions that do not work.
    pub async fn explain(&self, model: &str, run: Option<SnapshotId>) -> Result<Explanation> {
        let model = self.models.get(model)?;
        let context = self.rehearse().await?;
        let planned = gold::plan(&context, model).await?;
        let tables = Nothing::of(&planned.plan, model, &planned.schema);
        let inputs: Vec<String> = tables.schemas.keys().cloned().collect();
        let tested = planned.tested(model);
        let ask = |changed: &dyn Fn(&str) -> bool| {
            planner::plan(&planned.plan, &tested, &|table| changed(&name_of(table)), &tables)
                .map_err(|e| Error::bug(format!("model `{}` cannot be explained", model.name)).cause(e))
        };
        let strategy = match ask(&|_| true)? {
            _ if inputs.is_empty() => Explained::Constant,
            Strategy::Incremental(plan) => explained(&plan, &planned.schema, &tables),
            Strategy::Whole(whole) => Explained::Whole { why: whole.to_string(), way_out: whole.way_out().to_owned() },
        };
        let change = |input: &String| {
            let change = match ask(&|table| table == input)? {
                Strategy::Incremental(plan) => {
                    let all = |names: &dyn Fn(&Affected) -> &Vec<String>| -> Vec<String> {
                        let names: BTreeSet<&String> = plan.affected.iter().flat_map(names).collect();
                        names.into_iter().cloned().collect()
                    };
                    Change::Followed {
                        columns: all(&|affected| &affected.columns),
                        conditions: all(&|affected| &affected.conditions),
                        by_partition: plan.affected.iter().any(|affected| affected.by_partition),
                    }
                }
                Strategy::Whole(whole) => Change::Whole { why: whole.to_string(), way_out: whole.way_out().to_owned() },
            };
            Ok(Input { table: input.clone(), change })
        };
        Ok(Explanation {
            model: model.name.clone(),
            owner: model.owner.clone(),
            strategy,
            inputs: inputs.iter().map(change).collect::<Result<_>>()?,
            last_run: self.last_run(model, run).await?,
        })
    }

    /// What a run would do to follow a change of all the model's inputs, as SQL in Redshift's dialect.
    ///
    /// # Errors
    /// `Input` for an unknown model, or one that is computed whole.
    pub async fn sql(&self, model: &str) -> Result<Vec<String>> {
        let model = self.models.get(model)?;
        let context = self.rehearse().await?;
        let planned = gold::plan(&context, model).await?;
        let tables = Nothing::of(&planned.plan, model, &planned.schema);
        let failed = |e| Error::bug(format!("model `{}` has no SQL to follow by", model.name)).cause(e);
        let tested = planned.tested(model);
        let plan = match planner::plan(&planned.plan, &tested, &|_| true, &tables).map_err(failed)? {
            Strategy::Incremental(plan) => plan,
            Strategy::Whole(whole) => {
                let error = Error::input(format!("model `{}` is computed whole: {whole}", model.name));
                return Err(error.hint(format!("to change that, {}", whole.way_out())));
            }
        };
        let columns: Vec<&str> = planned.schema.fields().iter().map(|field| field.name().as_str()).collect();
        planner::statements(&plan, &gold_table(model), &columns, &|set| TableReference::bare(key_set_name(set)))
            .map_err(failed)
    }

    /// Why a model is computed whole when these of its inputs change; none where it is incremental. `rehearsal` has every
    /// table, without rows.
    pub(super) async fn whole(
        &self,
        model: &Model,
        rehearsal: &SessionContext,
        inputs: &[String],
    ) -> Result<Option<Whole>> {
        let planned = gold::plan(rehearsal, model).await?;
        let tables = Nothing::of(&planned.plan, model, &planned.schema);
        let changed = |table: &TableReference| inputs.contains(&name_of(table));
        let strategy = planner::plan(&planned.plan, &planned.tested(model), &changed, &tables)
            .map_err(|e| Error::bug(format!("model `{}` cannot be explained", model.name)).cause(e))?;
        Ok(match strategy {
            Strategy::Incremental(_) => None,
            Strategy::Whole(whole) => Some(whole),
        })
    }

    async fn last_run(&self, model: &Model, run: Option<SnapshotId>) -> Result<Option<LastRun>> {
        let snapshots = match run {
            Some(snapshot) => vec![snapshot],
            None => self.lake.snapshots().await?.into_iter().rev().collect(),
        };
        for id in snapshots {
            let snapshot = self.lake.snapshot(id).await?;
            let report = RunReport::of(self.lake, &snapshot).await?;
            let report = report.and_then(|report| report.models.into_iter().find(|one| one.model == model.name));
            if let Some(report) = report {
                return Ok(Some(LastRun { snapshot: id, report }));
            }
        }
        Ok(None)
    }
}

fn explained(plan: &Incremental, schema: &Schema, tables: &Nothing) -> Explained {
    let why = match plan.why {
        Why::Tested => "a test says that they are unique together",
        Why::Unique => "that they are unique together follows from the tables' keys",
        Why::Joined => "changed tables are joined by them, so that most changes tell their keys themselves",
        Why::Identifying => "they say what a row is about",
        Why::All => "they are all columns that read no aggregate and no window",
        Why::Any => "of the columns that read no aggregate and no window it restricts most",
    };
    let (wanted, by_difference) = match &plan.by_difference {
        None => (plan.affected_keys, None),
        Some(ByDifference::Rows) => (plan.affected_keys, Some("the rows that changed".to_owned())),
        Some(ByDifference::Keys { columns, touched }) => {
            (*touched, Some(format!("rows with an affected {}", columns.join(", "))))
        }
    };
    let reads = plan.occurrences.iter().map(|occurrence| {
        let table = name_of(&occurrence.table);
        let column = |place: usize| tables.schemas.get(&table).map(|schema| schema.field(place).name().clone());
        let mut by: Vec<Lookup> = Vec::new();
        for restricted in &occurrence.restricted_by {
            let read_whole = restricted.columns.iter().any(|(place, _)| place.is_none());
            let columns = restricted.columns.iter();
            let columns =
                columns.map(|(place, _)| place.and_then(column).unwrap_or_else(|| "an expression".into())).collect();
            let lookup = Lookup { columns, affected_keys: restricted.key_set == wanted, read_whole };
            if !by.contains(&lookup) {
                by.push(lookup);
            }
        }
        Read { table, by }
    });
    let reads = match plan.by_difference {
        Some(ByDifference::Rows) => Vec::new(),
        _ => reads.collect(),
    };
    let key = plan.key.iter().map(|&place| schema.field(place).name().clone()).collect();
    Explained::Incremental { key, why: why.to_owned(), by_difference, reads }
}

/// Change sets and key sets without rows.
struct Nothing {
    /// By table, as it is scanned.
    schemas: BTreeMap<String, SchemaRef>,
    /// The model's own table.
    own: (TableReference, SchemaRef),
}

impl Nothing {
    fn of(plan: &LogicalPlan, model: &Model, schema: &SchemaRef) -> Self {
        let mut schemas = BTreeMap::new();
        // Nothing fails here: the closure does not.
        let _ = plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                schemas.insert(name_of(&scan.table_name), scan.source.schema());
            }
            Ok(TreeNodeRecursion::Continue)
        });
        Self { schemas, own: (gold_table(model), Arc::clone(schema)) }
    }
}

/// What tables are called that are none of the warehouse's.
fn key_set_name(number: usize) -> String {
    format!("__keys_{number}")
}

fn gold_table(model: &Model) -> TableReference {
    TableReference::partial(crate::engine::GOLD, model.name.as_str())
}

fn image_name(table: &TableReference, side: &str) -> String {
    format!("__{side}_{}", name_of(table).replace('.', "_"))
}

fn nothing(name: impl Into<TableReference>, schema: SchemaRef) -> PlanResult<LogicalPlan> {
    let table = Arc::new(MemTable::try_new(schema, vec![Vec::new()])?);
    LogicalPlanBuilder::scan(name, provider_as_source(table), None)?.build()
}

impl Tables for Nothing {
    fn image(&self, table: &TableReference, image: Image) -> PlanResult<LogicalPlan> {
        let name = name_of(table);
        match self.schemas.get(&name) {
            Some(schema) => {
                let side = match image {
                    Image::Before => "went",
                    Image::After => "came",
                };
                nothing(image_name(table, side), Arc::clone(schema))
            }
            None => datafusion::common::plan_err!("{name} is no input"),
        }
    }

    fn before(&self, scan: &TableScan) -> PlanResult<Option<LogicalPlan>> {
        let name = image_name(&scan.table_name, "was");
        let table = Arc::new(MemTable::try_new(scan.source.schema(), vec![Vec::new()])?);
        let scan =
            LogicalPlanBuilder::scan(TableReference::bare(name), provider_as_source(table), scan.projection.clone())?;
        scan.build().map(Some)
    }

    fn current(&self) -> PlanResult<Option<LogicalPlan>> {
        let (name, schema) = &self.own;
        nothing(name.clone(), Arc::clone(schema)).map(Some)
    }

    fn keys(&self, number: usize, plan: &LogicalPlan) -> PlanResult<LogicalPlan> {
        let fields = plan.schema().fields().iter().enumerate();
        let fields = fields.map(|(place, field)| Field::new(format!("k{place}"), field.data_type().clone(), true));
        nothing(key_set_name(number), Arc::new(Schema::new(fields.collect::<Vec<_>>())))
    }
}
