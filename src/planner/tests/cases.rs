//! Follows models through batches, as a run would, over tables in memory.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::{arrow::array::RecordBatch, common::tree_node::TreeNodeRecursion, logical_expr::LogicalPlan};

use super::{
    data::{Batch, Row, world_of},
    database::{Database, Difference, ENDLESS, InMemory, REFUSED, Session, Shown, TABLES, shown, table_of, unique_key},
    models::Relation,
    sql::{Query, query},
};
use crate::planner::{ByDifference, Incremental, Part, Strategy, Whole};

/// How a model followed a batch.
#[derive(Debug)]
pub(super) enum Outcome {
    /// None of its tables changed.
    Untouched,
    /// Incremental equalled full.
    Equal(Counts),
    /// Computed whole; what is legal is told apart from what is not before.
    Whole(Whole),
    /// The engine refuses the plan: a run then computes the model whole.
    NotPlanned,
}

/// Of keys.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    /// Those that were recomputed.
    pub(super) affected: usize,
    /// Those whose rows differed.
    pub(super) changed: usize,
    /// All that the model had or has.
    pub(super) all: usize,
    /// Those that had to be left alone, being of another world than all that changed.
    pub(super) left_alone: usize,
    /// How often groups were kept by difference.
    pub(super) by_difference: usize,
    /// Places where models read a table for fresh rows.
    pub(super) reads: usize,
    /// Those at which not all of it is read.
    pub(super) looked_up: usize,
}

impl Counts {
    pub(super) fn add(&mut self, more: Self) {
        self.affected += more.affected;
        self.changed += more.changed;
        self.all += more.all;
        self.left_alone += more.left_alone;
        self.by_difference += more.by_difference;
        self.reads += more.reads;
        self.looked_up += more.looked_up;
    }
}

/// A model that is followed.
struct Followed {
    shapes: Vec<&'static str>,
    query: Query,
    name: String,
    rows: RecordBatch,
}

impl Followed {
    /// Whether there is no other way than to compute it whole.
    fn must_be_whole(&self, why: &Whole) -> bool {
        let has = |shape| self.shapes.contains(&shape);
        let columns = || self.query.columns.iter();
        match why {
            Whole::NoKey => columns().all(|column| column.derived),
            Whole::NothingRestricted => !columns().any(|column| column.reaching && !column.derived),
            Whole::Part(Part::Limit) => has("limit"),
            Whole::Part(Part::NotInNullable) => has("not in"),
            Whole::Part(_) => false,
        }
    }
}

/// Runs models over the tables, then follows them through the batches: what happened by batch and
/// model. `tested` are columns by which someone expects rows to be unique.
pub(super) async fn follow(
    models: &[Relation],
    tested: &[Vec<u8>],
    tables: &[Vec<Row>; 3],
    batches: &[Batch],
) -> Result<Vec<Outcome>, String> {
    let (mut shaped, mut queries) = (Vec::new(), Vec::<Query>::new());
    for model in models {
        let query = query(model, &queries);
        queries.push(query.clone());
        shaped.push((query, model.shapes()));
    }
    follow_queries(shaped, tested, tables, batches).await
}

/// The same for queries, each with the shapes in it.
pub(super) async fn follow_queries(
    models: Vec<(Query, Vec<&'static str>)>,
    tested: &[Vec<u8>],
    tables: &[Vec<Row>; 3],
    batches: &[Batch],
) -> Result<Vec<Outcome>, String> {
    let session = Session::new();
    let mut database = Database::new(tables);
    session.register_database(&database);
    let mut followed = Vec::<Followed>::new();
    for (number, (query, shapes)) in models.into_iter().enumerate() {
        let plan = session.plan(&query.sql).await?;
        let rows = session.rows(&plan).await?;
        let name = format!("m{number}");
        session.register("gold", &name, table_of(rows.clone(), unique_key(&plan)));
        followed.push(Followed { shapes, query, name, rows });
    }
    let mut outcomes = Vec::new();
    for batch in batches {
        let then = database.clone();
        database.apply(batch);
        session.register_database(&database);
        let worlds = database.worlds_since(&then);
        let mut differences: BTreeMap<String, Difference> = BTreeMap::new();
        let mut before: BTreeMap<String, RecordBatch> = BTreeMap::new();
        for (number, name) in TABLES.iter().enumerate() {
            differences.insert((*name).into(), database.since(&then, number));
            before.insert((*name).into(), then.rows(number));
        }
        for model in &mut followed {
            let plan = session.plan(&model.query.sql).await?;
            let full = session.rows(&plan).await?;
            let tables = InMemory::new(differences.clone()).since(before.clone(), model.rows.clone());
            let tables = tables.looking_up();
            let outcome = step(&session, model, &plan, tested, tables, &full, &worlds).await;
            outcomes.push(outcome.map_err(|difference| format!("{}: {}\n{difference}", model.name, model.query.sql))?);
            differences.insert(model.name.clone(), Difference::between(&model.rows, &full));
            before.insert(model.name.clone(), model.rows.clone());
            session.register("gold", &model.name, table_of(full.clone(), unique_key(&plan)));
            model.rows = full;
        }
    }
    Ok(outcomes)
}

async fn step(
    session: &Session,
    model: &Followed,
    plan: &LogicalPlan,
    tested: &[Vec<u8>],
    tables: InMemory,
    full: &RecordBatch,
    worlds: &BTreeSet<u8>,
) -> Result<Outcome, String> {
    if !reads_changed(plan, &tables) {
        return Ok(Outcome::Untouched);
    }
    let width = full.num_columns();
    let tested: Vec<Vec<usize>> =
        tested.iter().map(|key| key.iter().map(|column| usize::from(*column) % width).collect()).collect();
    let strategy = crate::planner::plan(plan, &tested, &|table| tables.changed(table), &tables);
    let incremental = match strategy.map_err(|e| format!("planning: {e}\n{}", plan.display_indent()))? {
        Strategy::Incremental(incremental) => incremental,
        Strategy::Whole(whole) if model.must_be_whole(&whole) => return Ok(Outcome::Whole(whole)),
        Strategy::Whole(whole) => {
            return Err(format!("computed whole without need: {whole}\n{}", plan.display_indent()));
        }
    };
    let (current, full) = (shown(&model.rows), shown(full));
    let (keys, fresh) = match run(session, &incremental, &tables).await {
        Err(failure) if failure.contains(REFUSED) => return Ok(Outcome::NotPlanned),
        // The model itself has ended.
        Err(failure) => return Err(failure.replace(ENDLESS, "far more rows than the model has")),
        Ok(found) => found,
    };
    let explained = || explained(plan, &incremental);
    let seen = || format!("before {current:?}\nfull   {full:?}\nkeys   {keys:?}\n{}", explained());
    let changed = differing(&current, &full, &incremental.key);
    if let Some(missed) = changed.iter().find(|missed| !keys.contains(missed)) {
        return Err(format!("key {missed:?} changed and is not affected\n{}", seen()));
    }
    let kept = current.iter().filter(|row| !keys.contains(&key_of(row, &incremental.key)));
    let mut next: Vec<Shown> = kept.chain(&fresh).cloned().collect();
    next.sort();
    if next != full {
        return Err(format!("incremental differs\nours   {next:?}\n{}", seen()));
    }
    let all: BTreeSet<Shown> = current.iter().chain(&full).map(|row| key_of(row, &incremental.key)).collect();
    let elsewhere = |key: &&Shown| !model.query.mixed && is_elsewhere(key, &incremental.key, &model.query, worlds);
    if let Some(disturbed) = keys.iter().find(elsewhere) {
        return Err(format!("key {disturbed:?} is recomputed, and only the worlds {worlds:?} changed\n{}", seen()));
    }
    let reads =
        if matches!(incremental.by_difference, Some(ByDifference::Rows)) { &[] } else { &*incremental.occurrences };
    Ok(Outcome::Equal(Counts {
        affected: keys.len(),
        changed: changed.len(),
        all: all.len(),
        left_alone: all.iter().filter(elsewhere).count(),
        by_difference: usize::from(incremental.by_difference.is_some()),
        reads: reads.len(),
        looked_up: reads.iter().filter(|read| !read.restricted_by.is_empty()).count(),
    }))
}

/// Whether a plan reads a table that changed.
pub(super) fn reads_changed(plan: &LogicalPlan, tables: &InMemory) -> bool {
    let mut changed = false;
    let _ = plan.apply_with_subqueries(|part| {
        changed |= matches!(part, LogicalPlan::TableScan(scan) if tables.changed(&scan.table_name));
        Ok(TreeNodeRecursion::Continue)
    });
    changed
}

/// Whether a key has a value of a world that is none of these.
fn is_elsewhere(key: &Shown, places: &[usize], query: &Query, worlds: &BTreeSet<u8>) -> bool {
    std::iter::zip(key, places).any(|(value, &place)| {
        query.columns[place].faithful && world_of(value).is_some_and(|world| !worlds.contains(&world))
    })
}

pub(super) fn key_of(row: &Shown, key: &[usize]) -> Shown {
    key.iter().map(|place| row[*place].clone()).collect()
}

pub(super) fn explained(model: &LogicalPlan, plan: &Incremental) -> String {
    let sets: String =
        plan.key_sets.iter().map(|set| format!("\nkey set {}\n{}", set.number, set.plan.display_indent())).collect();
    format!("K {:?}\nmodel\n{}{sets}\nfresh\n{}", plan.key, model.display_indent(), plan.fresh.display_indent())
}

/// The affected keys and the fresh rows.
async fn run(session: &Session, plan: &Incremental, tables: &InMemory) -> Result<(Vec<Shown>, Vec<Shown>), String> {
    let sets = session.key_sets(&plan.key_sets, tables).await?;
    Ok((shown(&sets[plan.affected_keys]), shown(&session.rows(&plan.fresh).await?)))
}

/// The keys whose rows differ between two states, as multisets.
pub(super) fn differing(before: &[Shown], after: &[Shown], key: &[usize]) -> BTreeSet<Shown> {
    let mut counts: BTreeMap<&Shown, i64> = BTreeMap::new();
    for row in before {
        *counts.entry(row).or_default() -= 1;
    }
    for row in after {
        *counts.entry(row).or_default() += 1;
    }
    counts.into_iter().filter(|(_, count)| *count != 0).map(|(row, _)| key_of(row, key)).collect()
}
