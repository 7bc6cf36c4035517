//! What the affected keys rest on, each by itself:
//!
//! 1. *monotone*: rows more in any changed table are never an affected key less, nor, with no change to begin at, a key of
//!    the relaxed model less;
//! 2. *contains*: with no change to begin at, the keys of the relaxed model contain the model's, as it
//!    was and as it is;
//! 3. *delta*: when the rows of one source change, and all others are as they were or as they are, its
//!    affected keys contain every key whose rows differ. One source after the other gives the whole change.
//!
//! Of affected keys the first does not hold where rows that stay can show that others do not matter: below anti joins,
//! and in sources that are windows, whose changed rows are told from all rows of their partitions.

use std::collections::BTreeSet;

use datafusion::{
    common::tree_node::{Transformed, TransformedResult, TreeNode},
    datasource::provider_as_source,
    logical_expr::{JoinType, LogicalPlan, TableScan},
};

use super::{
    cases::{differing, key_of, reads_changed},
    data::{Batch, Row},
    database::{Database, InMemory, REFUSED, Session, Shown, TABLES, shown, table_of},
    models::Relation,
    sql::query,
};
use crate::planner::{
    Incremental, Strategy, delta, plan, relax,
    sets::KeySets,
    shape::{self, Node},
};

/// Which lemmas a case tested, by what it could have found: differing keys, keys, and affected keys.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tested {
    pub(super) delta: usize,
    pub(super) contains: usize,
    pub(super) monotone: usize,
}

/// Two states of the tables, and a model over them.
struct Case {
    session: Session,
    then: Database,
    now: Database,
    sql: String,
}

/// Checks the lemmas for a model and a batch; `more` are rows for the first of them.
pub(super) async fn check(
    model: &Relation,
    tables: &[Vec<Row>; 3],
    batch: &Batch,
    more: &[Row],
) -> Result<Tested, String> {
    let then = Database::new(tables);
    let mut now = then.clone();
    now.apply(batch);
    let mut case = Case { session: Session::new(), then, now, sql: query(model, &[]).sql };
    let Some((plan, incremental, keys)) = case.affected().await? else { return Ok(Tested::default()) };
    let at = |failure: String| {
        let affected: String =
            incremental.affected.iter().map(|one| format!("\n{}", one.plan.display_indent())).collect();
        format!("{}\n{failure}\nK {:?}\n{}{affected}", case.sql, incremental.key, plan.display_indent())
    };
    let tables = case.tables();
    let root = Node::root(&plan, &|table| tables.changed(table)).unwrap().unwrap();
    let mut tested = Tested {
        delta: case.delta(&plan, &incremental, &keys).await.map_err(at)?,
        contains: case.contains(&root, &plan, &incremental.key).await.map_err(at)?,
        monotone: 0,
    };
    let ever = case.ever(&root, &incremental.key).await?;
    for (number, name) in TABLES.iter().enumerate() {
        if tables.changed(&(*name).into()) {
            for row in more {
                // The later state has numbers that the earlier one has not.
                let added = case.now.insert(number, *row);
                case.then.put(number, added);
            }
        }
    }
    let Some((plan, _, grown_keys)) = case.affected().await? else { return Ok(tested) };
    let grown = Node::root(&plan, &|table| tables.changed(table)).unwrap().unwrap();
    let mut pairs = Vec::new();
    if let (Some(ever), Some(grown)) = (ever, case.ever(&grown, &incremental.key).await?) {
        pairs.push((ever, grown));
    }
    if is_monotone(&root) {
        pairs.extend(std::iter::zip(keys, grown_keys));
    }
    for (one, other) in pairs {
        if let Some(lost) = one.difference(&other).next() {
            return Err(format!("{}\nkey {lost:?} is affected no more with rows more: {other:?}", case.sql));
        }
        tested.monotone += one.len();
    }
    Ok(tested)
}

impl Case {
    fn tables(&self) -> InMemory {
        let differences = TABLES.iter().enumerate();
        InMemory::new(differences.map(|(number, name)| ((*name).into(), self.now.since(&self.then, number))).collect())
    }

    /// The model with its subqueries as joins, how it follows, and what each source affects.
    async fn affected(&self) -> Result<Option<(LogicalPlan, Incremental, Vec<BTreeSet<Shown>>)>, String> {
        self.session.register_database(&self.now);
        let model = self.session.plan(&self.sql).await?;
        let tables = self.tables();
        if !reads_changed(&model, &tables) {
            return Ok(None);
        }
        let Strategy::Incremental(incremental) = plan(&model, &[], &|table| tables.changed(table), &tables).unwrap()
        else {
            return Ok(None);
        };
        match self.keys(&incremental, &tables).await {
            Err(failure) if failure.contains(REFUSED) => Ok(None),
            Err(failure) => Err(failure),
            Ok(keys) => Ok(Some((shape::followed(model).unwrap().unwrap(), *incremental, keys))),
        }
    }

    /// What each source affects.
    async fn keys(&self, incremental: &Incremental, tables: &InMemory) -> Result<Vec<BTreeSet<Shown>>, String> {
        self.session.key_sets(&incremental.key_sets, tables).await?;
        let mut keys = Vec::new();
        for affected in &incremental.affected {
            keys.push(shown(&self.session.rows(&affected.plan).await?).into_iter().collect());
        }
        Ok(keys)
    }

    /// The model's rows where these occurrences of tables are as they are now, the others as they were.
    async fn hybrid(&self, plan: &LogicalPlan, now: &BTreeSet<usize>) -> Result<Vec<Shown>, String> {
        let mut occurrence = 0;
        let hybrid = plan.clone().transform_down(|part| {
            let LogicalPlan::TableScan(scan) = part else { return Ok(Transformed::no(part)) };
            let database = if now.contains(&occurrence) { &self.now } else { &self.then };
            occurrence += 1;
            let number = TABLES.iter().position(|name| *name == scan.table_name.table()).unwrap();
            let source = provider_as_source(table_of(database.rows(number), Some(vec![0])));
            Ok(Transformed::yes(LogicalPlan::TableScan(TableScan { source, ..scan })))
        });
        Ok(shown(&self.session.rows(&hybrid.data().unwrap()).await?))
    }

    async fn delta(
        &self,
        plan: &LogicalPlan,
        incremental: &Incremental,
        keys: &[BTreeSet<Shown>],
    ) -> Result<usize, String> {
        let mut found = 0;
        let mut sources: Vec<_> = std::iter::zip(&incremental.affected, keys).collect();
        for _ in 0..2 {
            let mut changed = BTreeSet::new();
            let mut before = self.hybrid(plan, &changed).await?;
            for (source, keys) in &sources {
                changed.extend(&source.occurrences);
                let after = self.hybrid(plan, &changed).await?;
                let differing = differing(&before, &after, &incremental.key);
                if let Some(missed) = differing.iter().find(|key| !keys.contains(*key)) {
                    return Err(format!(
                        "key {missed:?} differs by the change of {:?} after others of {changed:?}\nbefore {before:?}\nafter  {after:?}\nkeys   {keys:?}",
                        source.occurrences
                    ));
                }
                found += differing.len();
                before = after;
            }
            let full = shown(&self.session.rows(&self.session.plan(&self.sql).await?).await?);
            if before != full {
                return Err(format!("with subqueries as joins the model differs\nfull {full:?}\nours {before:?}"));
            }
            if sources.len() == 1 {
                break;
            }
            sources.reverse();
        }
        Ok(found)
    }

    /// The keys of the relaxed model with no change to begin at; none where the engine refuses the plan.
    async fn ever(&self, root: &Node, key: &[usize]) -> Result<Option<BTreeSet<Shown>>, String> {
        let tables = self.tables();
        let mut sets = KeySets::new(&tables);
        let ever = relax::keys_ever(root, key, &mut sets).unwrap();
        let made = self.session.key_sets(&sets.all(), &tables).await;
        let ever = match made {
            Ok(_) => self.session.rows(&ever).await,
            Err(failure) => Err(failure),
        };
        match ever {
            Err(failure) if failure.contains(REFUSED) => Ok(None),
            ever => Ok(Some(shown(&ever?).into_iter().collect())),
        }
    }

    async fn contains(&self, root: &Node, plan: &LogicalPlan, key: &[usize]) -> Result<usize, String> {
        let Some(ever) = self.ever(root, key).await? else { return Ok(0) };
        let mut found = 0;
        let all = (0..root.scans().len()).collect();
        for state in [BTreeSet::new(), all] {
            for row in self.hybrid(plan, &state).await? {
                let key = key_of(&row, key);
                if !ever.contains(&key) {
                    return Err(format!("key {key:?} is not among the keys of the relaxed model: {ever:?}"));
                }
                found += 1;
            }
        }
        Ok(found)
    }
}

fn is_monotone(root: &Node) -> bool {
    fn any(plan: &LogicalPlan, is: &dyn Fn(&LogicalPlan) -> bool) -> bool {
        is(plan) || plan.inputs().into_iter().any(|input| any(input, is))
    }
    let anti = |plan: &LogicalPlan| matches!(plan, LogicalPlan::Join(join) if join.join_type == JoinType::LeftAnti);
    let window = |plan: &LogicalPlan| matches!(plan, LogicalPlan::Window(_));
    !any(&root.plan, &anti) && !delta::sources(root).into_iter().any(|source| any(&source.plan, &window))
}
