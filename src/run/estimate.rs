//! What a planned run would cost, judged by runs whose reports are kept: keys and bytes by record that came in.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Followed, Plan, Reason, RunReport, Workshop};
use crate::error::Result;

/// Runs that are looked back at.
const RUNS: usize = 5;

/// What following a model would take, more or less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Estimate {
    pub affected_keys: u64,
    pub rows_read: u64,
    pub bytes_written: u64,
}

impl Workshop<'_> {
    /// By model, for those that follow their inputs and did so in one of the last runs.
    ///
    /// # Errors
    /// `Data` when a kept report cannot be read.
    pub async fn estimates(&self, plan: &Plan) -> Result<BTreeMap<String, Estimate>> {
        let records: u64 = plan.entities.iter().flat_map(|entity| &entity.files).map(|file| file.landed.records).sum();
        let mut open: Vec<&str> = plan
            .models
            .iter()
            .filter(|model| matches!(model.reason, Reason::Inputs(_)))
            .map(|model| model.name.as_str())
            .collect();
        let mut estimates = BTreeMap::new();
        for id in self.lake.snapshots().await?.into_iter().rev().take(RUNS) {
            if open.is_empty() || records == 0 {
                break;
            }
            let snapshot = self.lake.snapshot(id).await?;
            let Some(report) = RunReport::of(self.lake, &snapshot).await? else { continue };
            let then: u64 = report.entities.iter().map(|entity| entity.records).sum();
            if then == 0 {
                continue;
            }
            let scaled = |number: u64| (u128::from(number) * u128::from(records)).div_ceil(u128::from(then)) as u64;
            for model in &report.models {
                let Followed::Incremental { affected_keys, read, .. } = model.followed else { continue };
                if let Some(place) = open.iter().position(|name| *name == model.model) {
                    open.swap_remove(place);
                    let estimate = Estimate {
                        affected_keys: scaled(affected_keys),
                        rows_read: scaled(read),
                        bytes_written: scaled(model.bytes_written),
                    };
                    estimates.insert(model.model.clone(), estimate);
                }
            }
        }
        Ok(estimates)
    }
}
