//! What a planned run would do for each model, by the planner; and what that would cost, judged by runs whose reports
//! are kept: keys, rows and bytes by record that came in.

use std::collections::BTreeMap;

use datafusion::prelude::SessionContext;
use serde::Serialize;

use super::{Followed, ModelPlan, ModelReport, Plan, Reason, RunReport, Workshop};
use crate::{
    error::Result,
    lake::{SnapshotId, TableName},
    silver::{EntityTables, Work},
};

/// Runs that are looked back at.
const RUNS: usize = 5;

/// How a model with work would be computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "strategy", rename_all = "snake_case")]
pub enum Expected {
    /// By affected keys, if there are not too many of them.
    Incremental {
        /// Where it followed in one of the last runs.
        estimate: Option<Estimate>,
    },
    /// All of its rows.
    Whole { why: String },
}

/// What something would take, more or less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Estimate {
    pub affected_keys: u64,
    pub rows_read: u64,
    pub bytes_written: u64,
    /// The run by which it is judged published this.
    pub judged_by: SnapshotId,
}

/// What a planned run would do and write.
#[derive(Debug, Clone, Serialize)]
pub struct Expectations {
    /// By model, for those with work.
    pub models: BTreeMap<String, Expected>,
    /// In all, and the run by which it is judged; none where no run that only took files in is on record.
    pub bytes_written: Option<(u64, SnapshotId)>,
}

impl Workshop<'_> {
    /// What a planned run would do. `rehearsal` has every table, without rows.
    ///
    /// # Errors
    /// `Data` when a kept report cannot be read.
    pub async fn expected(&self, plan: &Plan, rehearsal: &SessionContext) -> Result<Expectations> {
        let mut models = BTreeMap::new();
        for model in &plan.models {
            let expected = match self.why_whole(plan, model, rehearsal).await? {
                Some(why) => Expected::Whole { why },
                None => Expected::Incremental { estimate: None },
            };
            models.insert(model.name.clone(), expected);
        }
        let mut expectations = Expectations { models, bytes_written: None };
        self.judge(plan, &mut expectations).await?;
        Ok(expectations)
    }

    /// Why all rows of a model would be computed, whatever the change.
    async fn why_whole(&self, plan: &Plan, model: &ModelPlan, rehearsal: &SessionContext) -> Result<Option<String>> {
        let Reason::Inputs(inputs) = &model.reason else { return Ok(Some(model.reason.to_string())) };
        let replayed = plan.entities.iter().filter(|entity| entity.work == Work::Replay);
        let replayed = replayed.filter_map(|entity| self.project.contracts.get(&entity.entity));
        let anew: Vec<String> = replayed
            .flat_map(|contract| EntityTables::of(contract).all().map(ToString::to_string).collect::<Vec<_>>())
            .chain(
                plan.models
                    .iter()
                    .filter(|other| matches!(other.reason, Reason::New | Reason::Rebuild))
                    .map(|other| TableName::gold(&other.name).to_string()),
            )
            .collect();
        if let Some(input) = inputs.iter().find(|input| anew.contains(input)) {
            return Ok(Some(format!("{input} is made anew")));
        }
        let whole = self.whole(self.models.get(&model.name)?, rehearsal, inputs).await?;
        Ok(whole.map(|whole| whole.to_string()))
    }

    /// Adds what the last runs say of it.
    async fn judge(&self, plan: &Plan, expectations: &mut Expectations) -> Result<()> {
        let records: u64 = plan.entities.iter().flat_map(|entity| &entity.files).map(|file| file.landed.records).sum();
        let all_add = plan.entities.iter().all(|entity| entity.work == Work::Add);
        for id in self.lake.snapshots().await?.into_iter().rev().take(RUNS) {
            let snapshot = self.lake.snapshot(id).await?;
            let Some(report) = RunReport::of(self.lake, &snapshot).await? else { continue };
            let then: u64 = report.entities.iter().map(|entity| entity.records).sum();
            if then == 0 || records == 0 {
                continue;
            }
            let scaled = |number: u64| (u128::from(number) * u128::from(records)).div_ceil(u128::from(then)) as u64;
            let followed =
                |report: &ModelReport| matches!(report.followed, Followed::Incremental { .. } | Followed::Unchanged);
            if all_add && expectations.bytes_written.is_none() && report.models.iter().all(followed) {
                expectations.bytes_written = Some((scaled(report.bytes_written), id));
            }
            for model in &report.models {
                let Followed::Incremental { affected_keys, read, .. } = model.followed else { continue };
                let expected = expectations.models.get_mut(&model.model);
                if let Some(Expected::Incremental { estimate: estimate @ None }) = expected {
                    *estimate = Some(Estimate {
                        affected_keys: scaled(affected_keys),
                        rows_read: scaled(read),
                        bytes_written: scaled(model.bytes_written),
                        judged_by: id,
                    });
                }
            }
        }
        Ok(())
    }
}
