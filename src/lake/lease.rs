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
    /// Which process of which machine it is, where that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    process: Option<Process>,
    run: RunId,
    acquired_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    released: bool,
}

/// A process, told apart from all that came before and will come after.
///
/// A killed writer's lease need not run out where its machine can say that it is dead. Should that be
/// wrong, the publish is still fenced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Process {
    /// The boot of the machine, and the namespace in which `id` counts.
    machine: String,
    id: u32,
    /// Since boot, in clock ticks: numbers of processes come again.
    started: u64,
}

impl Process {
    fn this() -> Option<Self> {
        let id = std::process::id();
        Some(Self { machine: Self::machine()?, id, started: Self::started(id)? })
    }

    fn is_dead(&self) -> bool {
        Self::machine().as_ref() == Some(&self.machine) && Self::started(self.id) != Some(self.started)
    }

    fn machine() -> Option<String> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
        Some(format!("{} {}", boot.trim(), namespace.display()))
    }

    /// None for a process that is not, or that only waits to be reaped.
    fn started(id: u32) -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name, in parentheses, may hold anything.
        let (_, after) = text.rsplit_once(')')?;
        let mut fields = after.split_ascii_whitespace();
        let state = fields.next()?;
        (!matches!(state, "Z" | "X")).then_some(())?;
        fields.nth(18)?.parse().ok()
    }
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
            && !record.process.as_ref().is_some_and(Process::is_dead)
        {
            return Ok(Err(record));
        }
        let fence = newest + 1;
        let random = uuid::Uuid::new_v4().simple().to_string();
        let record = Record {
            holder: format!("process {} on {}", std::process::id(), host()),
            process: Process::this(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_is_dead_once_it_has_ended_and_not_before() {
        let me = Process::this().unwrap();
        assert!(!me.is_dead());
        let earlier = Process { started: me.started - 1, ..me.clone() };
        assert!(earlier.is_dead(), "its number was given to another");
        let elsewhere = Process { machine: "another".into(), ..earlier };
        assert!(!elsewhere.is_dead(), "nothing is known of other machines");

        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let sleeping = Process { id: child.id(), started: Process::started(child.id()).unwrap(), ..me };
        assert!(!sleeping.is_dead());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(sleeping.is_dead());
    }
}
