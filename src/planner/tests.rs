//! The planner against generated models, tables and batches: incremental equals full.
//!
//! A case is a small model of any covered shape, three tables of a few rows with NULLs and duplicates,
//! and batches that insert, delete, update and move rows. After each batch the kept rows with the
//! diff of their affected keys must be what the model gives over the new tables.

mod cases;
mod models;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use self::{
    cases::{Database, Outcome, follow},
    models::{Batch, Relation, batches, relation, tables},
};

/// How many cases: the size in `SMELT_TEST_SIZE`, or a number of its own for a long search.
fn cases() -> u32 {
    let long = std::env::var("SMELT_TEST_SIZE").is_ok_and(|size| size == "long");
    std::env::var("SMELT_PLANNER_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(if long {
        10_000
    } else {
        300
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn incremental_equals_full(model in relation(), tables in tables(), batches in batches()) {
        check(&model, &tables, &batches)?;
    }
}

fn check(model: &Relation, tables: &[Vec<models::Row>; 3], batches: &[Batch]) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = runtime.block_on(follow(&model.sql(), Database::new(tables), batches));
    match outcome {
        Ok(Outcome::Equal { .. } | Outcome::Whole(_) | Outcome::NotPlanned) => Ok(()),
        Err(difference) => Err(TestCaseError::fail(format!("{}\n\n{difference}", model.sql()))),
    }
}

/// What the generator makes is of all shapes, and hardly any of it is computed whole.
#[test]
fn generated_models_are_followed() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut shapes, mut whole) = (BTreeMap::<&str, usize>::new(), BTreeMap::<String, Vec<String>>::new());
    let (mut affected, mut changed, mut followed, mut not_planned) = (0, 0, 0, 0);
    for _ in 0..120 {
        let model = relation().new_tree(&mut runner).unwrap().current();
        let tables = tables().new_tree(&mut runner).unwrap().current();
        let batches = batches().new_tree(&mut runner).unwrap().current();
        for shape in model.shapes().into_iter().collect::<BTreeSet<_>>() {
            *shapes.entry(shape).or_default() += 1;
        }
        match runtime.block_on(follow(&model.sql(), Database::new(&tables), &batches)).unwrap() {
            Outcome::Equal { affected: keys, changed: really } => {
                followed += 1;
                affected += keys;
                changed += really;
            }
            Outcome::Whole(why) => whole.entry(why.to_string()).or_default().push(model.sql()),
            Outcome::NotPlanned => not_planned += 1,
        }
    }
    assert!(shapes.len() >= 20, "{shapes:?}");
    assert!(not_planned <= 1, "the engine refuses {not_planned} plans");
    assert!(followed >= 112, "{followed} models of 120 are followed; not: {whole:#?}");
    assert!(affected <= changed * 3, "{affected} keys are recomputed for {changed} that change");
}
