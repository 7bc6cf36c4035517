//! Receipts: that an extract was handed in, when, and from where. One for every file of every
//! landing, new or not; freshness counts from the newest.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::{
    error::Result,
    lake::{BatchId, Lake, layout},
};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Receipt {
    pub entity: String,
    pub received_at: DateTime<Utc>,
    pub source: String,
    pub sha256: String,
    /// The batch that holds the bytes; `None` for a file without records.
    pub batch: Option<BatchId>,
}

impl Lake {
    pub(super) async fn write_receipt(&self, receipt: &Receipt) -> Result<()> {
        // The time leads the name, so that the newest is found by listing alone.
        let name = format!("{:020}-{}.json", receipt.received_at.timestamp_micros(), uuid::Uuid::new_v4().simple());
        let path = Path::from(layout::RECEIPTS).join(receipt.entity.as_str()).join(name);
        self.put_json(&path, receipt).await?;
        Ok(())
    }

    /// By entity: when an extract was last handed in.
    pub async fn last_receipts(&self) -> Result<BTreeMap<String, DateTime<Utc>>> {
        let mut last = BTreeMap::new();
        for object in self.list(layout::RECEIPTS, None).await? {
            let mut parts = object.location.parts().rev();
            let (Some(name), Some(entity)) = (parts.next(), parts.next()) else { continue };
            let micros = name.as_ref().split('-').next().and_then(|text| text.parse().ok());
            if let Some(time) = micros.and_then(DateTime::from_timestamp_micros) {
                // Listed in name order, so the last one wins.
                last.insert(entity.as_ref().to_owned(), time);
            }
        }
        Ok(last)
    }
}
