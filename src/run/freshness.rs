//! How old the newest landing of each entity is, against its contract's SLA. It warns and sets the
//! exit code, and never keeps a snapshot from being published.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::project::{Contract, EntityName};

/// An entity whose newest landing is older than its contract allows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Staleness {
    pub entity: String,
    pub owner: String,
    pub last_landing: DateTime<Utc>,
    #[serde(serialize_with = "as_seconds")]
    pub allowed: TimeDelta,
}

fn as_seconds<S: serde::Serializer>(allowed: &TimeDelta, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(allowed.num_seconds())
}

/// The stale entities, by the receipts of their landings. One of which nothing ever landed has no age:
/// a new project is not stale.
pub fn judge_freshness(
    contracts: &BTreeMap<EntityName, Contract>,
    receipts: &BTreeMap<String, DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Vec<Staleness> {
    contracts
        .values()
        .filter_map(|contract| {
            let allowed = contract.freshness?.max_age;
            let last_landing = *receipts.get(contract.entity.as_str())?;
            (now - last_landing > allowed).then(|| Staleness {
                entity: contract.entity.to_string(),
                owner: contract.owner.clone(),
                last_landing,
                allowed,
            })
        })
        .collect()
}
