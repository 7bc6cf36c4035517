//! Rules that models keep by themselves: a column whose values are read in the parent's own column has no others, and
//! groups are unique, whatever the data are. A run need not look for rows that break them.
//!
//! This rests on models being what their SQL gives, which is law 2, and on the keys of what they read, which are tested
//! where they do not follow in the same way. Tables that are made anew are tested in full.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use datafusion::common::TableReference;

use super::{Workshop, execute::table_of};
use crate::{
    engine::{JoinPreference, STAGING},
    error::Result,
    gold::{self, Relation},
    lake::Candidate,
    planner,
    quality::{Check, Claim},
};

/// A column of a table.
type Column = (Relation, String);

/// What a model's SQL says of its rows.
#[derive(Debug)]
struct Said {
    /// By column, columns of the model's inputs that have the column's values.
    origins: BTreeMap<String, Vec<Column>>,
    /// Columns that are together unique.
    keys: Vec<Vec<String>>,
}

/// The same of several models, as far as it has been asked for.
#[derive(Debug, Default)]
pub(super) struct SaidByModels(Mutex<BTreeMap<String, Arc<Said>>>);

impl Workshop<'_> {
    /// Whether a rule cannot break, by what the models say.
    pub(super) async fn keeps_itself(&self, candidate: &Candidate, rule: &Check, said: &SaidByModels) -> Result<bool> {
        let keeps = match &rule.claim {
            None => false,
            Some(Claim::Unique { model, columns }) => {
                let said = self.said(candidate, model, said).await?;
                said.keys.iter().any(|key| key.iter().all(|column| columns.contains(column)))
            }
            Some(Claim::Related { model, column, parent }) => {
                let column = (Relation::Model(model.clone()), column.clone());
                self.is_of(candidate, column, parent, said).await?
            }
        };
        if keeps {
            tracing::debug!(rule = rule.name, "the models keep it by themselves");
        }
        Ok(keeps)
    }

    /// Whether a column has only values of another, over however many models.
    async fn is_of(&self, candidate: &Candidate, column: Column, parent: &Column, said: &SaidByModels) -> Result<bool> {
        let (mut next, mut seen) = (vec![column], BTreeSet::new());
        while let Some(column) = next.pop() {
            if column == *parent {
                return Ok(true);
            }
            if let (Relation::Model(model), true) = (&column.0, seen.insert(column.clone())) {
                let said = self.said(candidate, model, said).await?;
                next.extend(said.origins.get(&column.1).into_iter().flatten().cloned());
            }
        }
        Ok(false)
    }

    async fn said(&self, candidate: &Candidate, model: &str, known: &SaidByModels) -> Result<Arc<Said>> {
        let said = known.0.lock().unwrap_or_else(PoisonError::into_inner).get(model).cloned();
        if let Some(said) = said {
            return Ok(said);
        }
        let definition = self.models.get(model)?;
        let inputs = definition.inputs.iter().map(table_of);
        let context = self.candidate_session(candidate, JoinPreference::Hash, inputs).await?;
        let planned = gold::plan(&context, definition).await?;
        let name = |place: usize| planned.schema.field(place).name().clone();
        let relation = |(table, column): (TableReference, String)| {
            let name = table.table().to_owned();
            let source = table.schema() == Some(STAGING);
            (
                if source { Relation::Source { schema: STAGING.into(), table: name } } else { Relation::Model(name) },
                column,
            )
        };
        let origins = planner::origins(&planned.plan).into_iter().enumerate();
        let origins = origins.map(|(place, origins)| (name(place), origins.into_iter().map(relation).collect()));
        let keys = planned.keys.iter().map(|key| key.iter().map(|&place| name(place)).collect());
        let said = Arc::new(Said { origins: origins.collect(), keys: keys.collect() });
        known.0.lock().unwrap_or_else(PoisonError::into_inner).insert(model.to_owned(), Arc::clone(&said));
        Ok(said)
    }
}
