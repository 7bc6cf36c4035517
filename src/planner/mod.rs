//! The change planner: how a model follows the changes of its inputs.
//!
//! In:  a model's analysed plan, and which of its inputs changed.
//! Out: an [`Incremental`] plan, or the reason why the model has to be computed whole ([`Whole`]).
//! Rule: pure. Nothing is read and nothing runs here; images of tables are only named ([`Tables`]).
//!
//! The incremental plan of a model:
//!
//! 1. a *rebuild key* K: some output columns that read no aggregate and no window (`key`);
//! 2. *sources*: where changes begin, tables and what is known of them row by row (`delta`); their rows
//!    that went and came are netted over the columns on which the model depends;
//! 3. for each source, a query for the K that its change may affect: the model *relaxed*, so that no
//!    condition hides a key whose rows differ (`relax`);
//! 4. the *fresh rows*: the model *restricted* to those keys, by semi-joins that reach as many of
//!    its tables as they can (`restrict`);
//! 5. whoever runs the plan compares fresh with current rows of those keys, as multisets.
//!
//! The fresh rows of a model that is one aggregate of counts and exact sums are the current ones, plus what
//! its groups gained, minus what they lost (`maintain`).
//!
//! What is small, changed rows, their partners and keys, is made once and kept in *key sets* (`sets`).
//! docs/incremental.md has the argument why all of this is right.
//!
//! | file | holds |
//! |---|---|
//! | `shape` | a plan as a tree in which each table occurrence has a number, and what cannot be planned |
//! | `partitions` | what windows partition by, as columns |
//! | `key`, `delta`, `relax`, `restrict` | steps 1 to 4 |
//! | `maintain` | aggregates by difference |
//! | `sets` | key sets |
//! | `appear` | what a change adds to a result, where no keys are needed: for rules that held |
//! | `origins` | of which columns of tables a query's values are: for relationships that cannot break |
//! | `render` | plans as SQL in Redshift's dialect |
//! | `columns` | small plans: columns renamed, filled with NULL, matched with keys |

mod appear;
mod columns;
mod delta;
mod key;
mod maintain;
mod origins;
mod partitions;
mod relax;
mod render;
mod restrict;
mod sets;
mod shape;

use std::fmt;

use datafusion::{
    common::{NullEquality, Result as PlanResult, TableReference},
    logical_expr::{LogicalPlan, TableScan},
};

pub use origins::{Origins, origins};
pub use render::statements;
pub use sets::KeySet;

/// Which rows of a changed table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Image {
    /// The rows that the change took away, as they were.
    Before,
    /// The rows that it brought.
    After,
}

/// Names the tables that plans read beside the model's own, which are taken as they are now.
pub trait Tables {
    /// A scan of one side of a table's change set; columns as the table's.
    fn image(&self, table: &TableReference, image: Image) -> PlanResult<LogicalPlan>;

    /// A scan of the key set with this number, each row once; columns as the [`KeySet`]'s plan.
    fn keys(&self, number: usize, plan: &LogicalPlan) -> PlanResult<LogicalPlan>;

    /// How many rows a table's change took away or brought, whichever are more; none where that is not known.
    fn changed_rows(&self, table: &TableReference) -> Option<u64> {
        let _ = table;
        None
    }

    /// A table's scan over the table as it was; none where that is not known, or it had other columns.
    ///
    /// # Errors
    /// DataFusion's.
    fn before(&self, scan: &TableScan) -> PlanResult<Option<LogicalPlan>> {
        let _ = scan;
        Ok(None)
    }

    /// A scan of the model's own rows before it follows, with all columns; none where they are not at hand.
    ///
    /// # Errors
    /// DataFusion's.
    fn current(&self) -> PlanResult<Option<LogicalPlan>> {
        Ok(None)
    }

    /// A scan of the rows of a table's scan that have keys of a set, and perhaps of others: a table whose
    /// name begins with [`MATCHING`]. None where a semi-join is as good.
    ///
    /// # Errors
    /// DataFusion's.
    fn matching(&self, scan: &TableScan, by: &Matched<'_>) -> PlanResult<Option<LogicalPlan>> {
        let _ = (scan, by);
        Ok(None)
    }
}

/// What the names of tables begin with that [`Tables::matching`] gives.
pub const MATCHING: &str = "__matching";

/// How rows are matched with a key set.
#[derive(Debug)]
pub struct Matched<'a> {
    pub set: &'a KeySet,
    /// Pairs of the scan's column and the set's.
    pub columns: Vec<(usize, usize)>,
    pub nulls: NullEquality,
}

/// How a model follows.
#[derive(Debug, Clone)]
pub enum Strategy {
    Incremental(Box<Incremental>),
    Whole(Whole),
}

/// The plan for a model whose affected keys can be told.
#[derive(Debug, Clone)]
pub struct Incremental {
    /// K, as positions in the model's columns, in ascending order.
    pub key: Vec<usize>,
    pub why: Why,
    /// Where changes come from.
    pub affected: Vec<Affected>,
    /// To be made in this order; each may read those before it.
    pub key_sets: Vec<KeySet>,
    /// The key set that has the affected keys, of all changes.
    pub affected_keys: usize,
    /// Where the model is maintained by difference: what it is told from.
    pub by_difference: Option<ByDifference>,
    /// The model's rows with affected keys, as its columns.
    pub fresh: LogicalPlan,
    /// The table occurrences, in the order of the plan.
    pub occurrences: Vec<Occurrence>,
}

impl Incremental {
    /// All that is computed, but for comparing rows.
    pub fn plans(&self) -> impl Iterator<Item = &LogicalPlan> {
        self.key_sets.iter().map(|set| &set.plan).chain([&self.fresh])
    }
}

/// How it is told what the groups of an aggregate gained and lost.
#[derive(Debug, Clone)]
pub enum ByDifference {
    /// By the rows that changed.
    Rows,
    /// By all rows below the aggregate that have touched values in these columns, then and now.
    Keys {
        columns: Vec<String>,
        /// The key set of the touched values.
        touched: usize,
    },
}

/// Why these columns are the rebuild key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The model is tested to be unique by them.
    Tested,
    /// That rows are unique by them follows from its tables' keys.
    Unique,
    /// Changed tables are joined by them, so that most changes tell their keys themselves.
    Joined,
    /// They say which things rows are about.
    Identifying,
    /// They are all that read no aggregate and no window.
    All,
    /// Of those, the one that restricts most.
    Any,
}

/// The keys that the change of some table occurrences may affect, together.
#[derive(Debug, Clone)]
pub struct Affected {
    pub occurrences: Vec<usize>,
    /// The columns on which the model depends of what changes there.
    pub columns: Vec<String>,
    /// Others that decide which rows count at all.
    pub conditions: Vec<String>,
    /// Whether it is a window: its partitions that hold a changed row are compared before and after.
    pub by_partition: bool,
    /// Distinct values of K.
    pub plan: LogicalPlan,
}

/// One place where a model reads a table.
#[derive(Debug, Clone)]
pub struct Occurrence {
    pub table: TableReference,
    pub changed: bool,
    /// The key sets that restrict what is read of it, with the columns they are matched on; none
    /// means that it is read whole.
    pub restricted_by: Vec<Restricted>,
}

/// A key set that a table occurrence is matched with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restricted {
    pub key_set: usize,
    /// Pairs of the table's column and the key set's. Where an expression is matched, its column is not told.
    pub columns: Vec<(Option<usize>, usize)>,
}

/// Why a model is computed whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whole {
    /// Every output column reads an aggregate or a window.
    NoKey,
    /// There are keys, but none restricts what is read of any table.
    NothingRestricted,
    /// A part of the model that has no keys.
    Part(Part),
}

/// Parts of a model that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Limit,
    NotInNullable,
    Subquery,
    Other(String),
}

impl fmt::Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey => f.write_str("every column of it reads an aggregate or a window"),
            Self::NothingRestricted => f.write_str("its columns say nothing of which input rows they need"),
            Self::Part(Part::Limit) => f.write_str("LIMIT keeps rows that depend on all others"),
            Self::Part(Part::NotInNullable) => {
                f.write_str("NOT IN depends on whether there is a NULL anywhere in its list")
            }
            Self::Part(Part::Subquery) => f.write_str("it has a subquery that is no join"),
            Self::Part(Part::Other(name)) => write!(f, "it has a part that is not followed: {name}"),
        }
    }
}

impl Whole {
    /// What to change in the model.
    pub fn way_out(&self) -> &'static str {
        match self {
            Self::NoKey => "let it output its GROUP BY or PARTITION BY columns",
            Self::NothingRestricted => "let it output what it groups, partitions and joins by",
            Self::Part(Part::Limit) => {
                "use ROW_NUMBER() OVER (PARTITION BY ... ORDER BY ...) in a subquery, and filter by it"
            }
            Self::Part(Part::NotInNullable) => "use NOT EXISTS",
            Self::Part(Part::Subquery) => "write it as a join with a grouped subquery",
            Self::Part(Part::Other(_)) => "move it into a model of its own",
        }
    }
}

/// Plans how a model follows when the inputs change that `changed` names. `tested` are columns by which
/// its rows are expected to be unique, whether they are or not.
///
/// # Errors
/// DataFusion's, where a plan cannot be put together: a bug, for every part was valid before.
pub fn plan(
    model: &LogicalPlan,
    tested: &[Vec<usize>],
    changed: &dyn Fn(&TableReference) -> bool,
    tables: &dyn Tables,
) -> PlanResult<Strategy> {
    let model = match shape::followed(model.clone())? {
        Ok(model) => model,
        Err(part) => return Ok(Strategy::Whole(Whole::Part(part))),
    };
    let root = match shape::Node::root(&model, changed)? {
        Ok(root) => root,
        Err(part) => return Ok(Strategy::Whole(Whole::Part(part))),
    };
    let chosen = key::choose(&root, tested);
    // Groups that reach no table may be kept by difference all the same.
    let reaching: &[usize] = chosen.as_ref().map_or(&[], |(key, _)| key);
    let mut sets = sets::KeySets::new(tables);
    let maintained = maintain::plan(&root, reaching, changed, &mut sets)?;
    let (planned, why) = match (maintained, chosen) {
        (Some(planned), Ok((key, why))) if planned.key == key => (planned, why),
        (Some(planned), _) => (planned, Why::Unique),
        (None, Err(whole)) => return Ok(Strategy::Whole(whole)),
        (None, Ok((mut key, mut why))) => {
            sets = sets::KeySets::new(tables);
            if let Some(joined) = key::joined(&root, &key, &|table| tables.changed_rows(table)) {
                (key, why) = (joined, Why::Joined);
            }
            let affected = match affected(&model, &root, &key, changed, &mut sets)? {
                Ok(affected) => affected,
                Err(part) => return Ok(Strategy::Whole(Whole::Part(part))),
            };
            let keys = restrict::keys_of(&root, &key, &affected)?;
            let affected_keys = sets.add(keys);
            let fresh = restrict::fresh_rows(&root, &key, affected_keys, &mut sets)?;
            (Planned { key, by_difference: None, affected, affected_keys, fresh }, why)
        }
    };
    Ok(Strategy::Incremental(Box::new(Incremental {
        why,
        key: planned.key,
        affected: planned.affected,
        key_sets: sets.all(),
        affected_keys: planned.affected_keys,
        by_difference: planned.by_difference,
        fresh: planned.fresh.fresh,
        occurrences: std::iter::zip(root.scans(), planned.fresh.restricted_by)
            .map(|(scan, restricted_by)| Occurrence { table: scan.table, changed: scan.changed, restricted_by })
            .collect(),
    })))
}

/// What an [`Incremental`] plan is made of.
struct Planned {
    key: Vec<usize>,
    by_difference: Option<ByDifference>,
    affected: Vec<Affected>,
    affected_keys: usize,
    fresh: restrict::FreshRows,
}

/// The keys that changes may affect, by source.
fn affected(
    model: &LogicalPlan,
    root: &shape::Node,
    key: &[usize],
    changed: &dyn Fn(&TableReference) -> bool,
    sets: &mut sets::KeySets<'_>,
) -> PlanResult<Result<Vec<Affected>, Part>> {
    let mut affected = Vec::new();
    for source in delta::sources(root) {
        let root = match shape::Node::with_source(model, changed, source.id)? {
            Ok(root) => root,
            Err(part) => return Ok(Err(part)),
        };
        let plan = relax::affected_keys(&root, key, source, sets)?;
        affected.push(Affected::of(source, plan)?);
    }
    Ok(Ok(affected))
}

impl Affected {
    fn of(source: &shape::Node, plan: LogicalPlan) -> PlanResult<Self> {
        let names = source.plan.schema().fields();
        let columns: Vec<String> = source.used.iter().map(|&place| names[place].name().clone()).collect();
        let mut conditions = delta::conditions(source)?;
        conditions.retain(|name| !columns.contains(name));
        Ok(Self {
            occurrences: source.changed_occurrences(),
            columns,
            conditions: conditions.into_iter().collect(),
            by_partition: delta::by_partition(source),
            plan,
        })
    }
}

/// What finds the rows that a change adds to a query's result.
#[derive(Debug, Clone)]
pub struct Appearing {
    /// To be made in this order; each may read those before it.
    pub key_sets: Vec<KeySet>,
    /// The rows of each of these, and perhaps others that the result has.
    pub rows: Vec<LogicalPlan>,
}

impl Appearing {
    /// All that is computed.
    pub fn plans(&self) -> impl Iterator<Item = &LogicalPlan> {
        self.key_sets.iter().map(|set| &set.plan).chain(&self.rows)
    }
}

/// Plans how to find the rows that are new in a query's result; none where it takes more than the changed rows.
///
/// # Errors
/// DataFusion's, where a plan cannot be put together.
pub fn appearing(
    query: &LogicalPlan,
    changed: &dyn Fn(&TableReference) -> bool,
    tables: &dyn Tables,
) -> PlanResult<Option<Appearing>> {
    let Ok(query) = shape::followed(query.clone())? else { return Ok(None) };
    let Ok(root) = shape::Node::root(&query, changed)? else { return Ok(None) };
    let Ok(root) = shape::Node::root(&root.slim()?, changed)? else { return Ok(None) };
    let mut sets = sets::KeySets::new(tables);
    let mut found = Vec::new();
    for source in delta::sources(&root) {
        match appear::rows(&root, source, changed, &mut sets)? {
            Some(rows) => found.push(rows),
            None => return Ok(None),
        }
    }
    Ok(Some(Appearing { key_sets: sets.all(), rows: found }))
}

#[cfg(test)]
mod tests;
