//! One writer at a time: a lease object with a fencing number and an expiry.
//!
//! `_smelt/lease/<fence>.json` is made create-only, so of two takers one loses; its holder alone
//! rewrites it to renew or release. The lease keeps runs from wasting work on each other. What keeps
//! them from harming each other is the publish: snapshot n+1 is put once, whoever wakes up late.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{Lake, Put, RunId, layout};
use crate::error::{Error, Kind, Result};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    holder: String,
    run: RunId,
    acquired_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    released: bool,
}

/// How to take a lease.
#[derive(Debug, Clone, Copy)]
pub struct LeaseOptions {
    /// How long to wait for another holder.
    pub wait: Duration,
    /// How long a holder may be silent before others take over.
    pub term: Duration,
}

impl Default for LeaseOptions {
    fn default() -> Self {
        Self { wait: Duration::ZERO, term: Duration::from_secs(60) }
    }
}

/// A held lease; renewed in the background until released or dropped.
#[derive(Debug)]
pub struct Lease {
    lake: Lake,
    fence: u64,
    record: Record,
    renewing: tokio::task::JoinHandle<()>,
    lost: watch::Receiver<bool>,
}

impl Lake {
    /// Takes the lease, waiting for its holder up to `options.wait`.
    ///
    /// # Errors
    /// `Conflict`, naming the holder, when it is still held after that time.
    pub async fn lease(&self, options: LeaseOptions) -> Result<Lease> {
        let started = tokio::time::Instant::now();
        loop {
            match self.try_lease(options).await? {
                Ok(lease) => return Ok(lease),
                Err(holder) => {
                    if started.elapsed() >= options.wait {
                        return Err(Error::conflict(format!(
                            "another smelt is writing to `{}`: {} since {}, lease until {}",
                            self.shown(),
                            holder.holder,
                            holder.acquired_at.format("%Y-%m-%d %H:%M:%S UTC"),
                            holder.expires_at.format("%H:%M:%S UTC"),
                        ))
                        .hint("wait for it, or give `--wait 10m`; a dead writer's lease expires by itself"));
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The highest fencing number handed out; 0 when none was.
    async fn newest_fence(&self) -> Result<u64> {
        let found = self.list(layout::LEASE, None).await?;
        Ok(found.last().and_then(|object| layout::number(&object.location)).unwrap_or(0))
    }

    /// A damaged record holds nobody back: the lease only saves wasted work.
    async fn lease_record(&self, fence: u64) -> Result<Option<Record>> {
        match self.read_json_if_there::<Record>(&layout::lease(fence)).await {
            Err(damaged) if damaged.kind() == Kind::Data => Ok(None),
            record => record,
        }
    }

    async fn try_lease(&self, options: LeaseOptions) -> Result<Result<Lease, Record>> {
        let newest = self.newest_fence().await?;
        let now = self.clock().now();
        if newest > 0
            && let Some(record) = self.lease_record(newest).await?
            && !record.released
            && record.expires_at > now
        {
            return Ok(Err(record));
        }
        let fence = newest + 1;
        let random = uuid::Uuid::new_v4().simple().to_string();
        let record = Record {
            holder: format!("process {} on {}", std::process::id(), host()),
            run: RunId(format!("{fence:08}-{}", &random[..8])),
            acquired_at: now,
            expires_at: now + TimeDelta::from_std(options.term).unwrap_or(TimeDelta::MAX),
            released: false,
        };
        if self.put_json(&layout::lease(fence), &record).await? == Put::Taken {
            let other = self.read_json::<Record>(&layout::lease(fence)).await?;
            return Ok(Err(other));
        }
        // Older leases say nothing any more; the newest alone counts.
        for old in (1..fence).rev().take(8) {
            self.delete(&layout::lease(old)).await?;
        }
        let (tell_lost, lost) = watch::channel(false);
        let renewing = tokio::spawn(renew(self.clone(), fence, record.clone(), options.term, tell_lost));
        Ok(Ok(Lease { lake: self.clone(), fence, record, renewing, lost }))
    }
}

async fn renew(lake: Lake, fence: u64, mut record: Record, term: Duration, lost: watch::Sender<bool>) {
    loop {
        tokio::time::sleep(term / 3).await;
        if lake.newest_fence().await.is_ok_and(|newest| newest > fence) {
            let _ = lost.send(true);
            return;
        }
        record.expires_at = lake.clock().now() + TimeDelta::from_std(term).unwrap_or(TimeDelta::MAX);
        if let Err(error) = lake.overwrite_json(&layout::lease(fence), &record).await {
            tracing::warn!(%error, "cannot renew the lease; trying again");
        }
    }
}

impl Lease {
    /// The run's name, which its data files carry.
    pub fn run(&self) -> &RunId {
        &self.record.run
    }

    /// Fails once another writer has taken over.
    ///
    /// # Errors
    /// `Conflict`. A later answer may differ: the publish itself is what is safe.
    pub async fn still_held(&self) -> Result<()> {
        if *self.lost.borrow() || self.lake.newest_fence().await? > self.fence {
            return Err(Error::conflict("this run lost its lease to another writer, so it stops")
                .hint("it was paused for longer than the lease; nothing was published: run again"));
        }
        Ok(())
    }

    /// Lets the next writer in; a lease that cannot be given back runs out by itself.
    pub async fn release(mut self) {
        self.renewing.abort();
        self.record.released = true;
        if let Err(error) = self.lake.overwrite_json(&layout::lease(self.fence), &self.record).await {
            tracing::warn!(%error, "the lease is not given back; the next writer waits until it runs out");
        }
    }
}

impl Drop for Lease {
    /// A run that is dropped on its way, by Ctrl-C for one, lets the next writer in at once.
    fn drop(&mut self) {
        self.renewing.abort();
        if self.record.released {
            return;
        }
        let (lake, fence) = (self.lake.clone(), self.fence);
        let record = Record { released: true, ..self.record.clone() };
        super::store::finish(async move {
            let _ = lake.overwrite_json(&layout::lease(fence), &record).await;
        });
    }
}

fn host() -> Arc<str> {
    std::env::var("HOSTNAME")
        .ok()
        .or_else(|| std::fs::read_to_string("/etc/hostname").ok().map(|name| name.trim().to_owned()))
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "this machine".into())
        .into()
}
