//! Plans every model and every rule over tables without rows, so that a mistake in one of them is told
//! before anything is cleaned or computed.

use std::{collections::BTreeSet, sync::Arc};

use arrow::datatypes::SchemaRef;
use datafusion::prelude::SessionContext;

use super::{Workshop, execute::register};
use crate::{
    engine::{JoinPreference, Purpose, plan},
    error::{Error, Result},
    gold,
    lake::{TableFiles, TableName},
    silver::EntityTables,
};

impl Workshop<'_> {
    /// Gives a session with all tables, which have no rows.
    ///
    /// # Errors
    /// `Input`, with everything that is wrong in models and rules.
    pub async fn rehearse(&self) -> Result<SessionContext> {
        let context = self.session(JoinPreference::Hash);
        // Rules are not told what is unique.
        let of_rules = self.session(JoinPreference::Hash);
        let register_empty = |table: &TableName, schema: SchemaRef| {
            let provider = self.untold_table(table, TableFiles::empty(Arc::clone(&schema)))?;
            register(&of_rules, table, provider)?;
            register(&context, table, self.lake_table(table, TableFiles::empty(schema))?)
        };
        for contract in self.project.contracts.values() {
            for (table, schema) in EntityTables::of(contract).readable(contract) {
                register_empty(&table, schema)?;
            }
        }
        let mut errors = Vec::new();
        // A model that cannot be planned makes those that read it fail for no reason of their own.
        let mut unknown: BTreeSet<&str> = BTreeSet::new();
        let missing = |inputs: &[gold::Relation], unknown: &BTreeSet<&str>| {
            inputs.iter().any(|input| matches!(input, gold::Relation::Model(name) if unknown.contains(name.as_str())))
        };
        for model in self.models.iter() {
            if missing(&model.inputs, &unknown) {
                unknown.insert(&model.name);
                continue;
            }
            match gold::plan(&context, model).await {
                Ok(planned) => register_empty(&TableName::gold(&model.name), planned.schema)?,
                Err(error) => {
                    unknown.insert(&model.name);
                    errors.push(error);
                }
            }
        }
        for rule in self.rules() {
            if missing(&rule.inputs, &unknown) {
                continue;
            }
            if let Err(error) = plan(&of_rules, &rule.sql, Purpose::Model).await {
                errors.push(error);
            } else if let Ok(told) = plan(&context, &rule.sql, Purpose::Model).await {
                // What keys leave no choice of is no matter of chance: rules of keys are looked at as all others.
                errors.extend(gold::check_determinism(&told, &rule.sql).err());
            }
        }
        errors.extend(self.misses_what_they_wait_for());
        Error::all(errors)?;
        Ok(context)
    }

    /// What contracts say of waiting is no part of their fingerprints: nothing is made anew where it changes.
    pub(super) fn misses_what_they_wait_for(&self) -> impl Iterator<Item = Error> {
        self.project.contracts.values().filter_map(|contract| self.misses_what_it_waits_for(contract))
    }

    fn misses_what_it_waits_for(&self, contract: &crate::project::Contract) -> Option<Error> {
        let waits = contract.waits_for.as_ref()?;
        let missing = if !contract.spec.columns.iter().any(|column| column.name == waits.column) {
            format!("has no column `{}` to wait with", waits.column)
        } else if !self.project.contracts.contains_key(waits.entity.as_str()) {
            format!("waits for entity `{}`, which has no contract", waits.entity)
        } else {
            return None;
        };
        let at = contract.source.text().find("waitsFor").unwrap_or(0);
        Some(Error::input(format!("`{}` {missing}", contract.file)).at(&contract.source, at..at + "waitsFor".len()))
    }
}
