//! A run: from what is new, in raw or in the definitions, to one published snapshot.
//!
//! ```text
//! plan      what would happen, and why: pure, from manifests, holds, definitions and the snapshot
//! estimate  what that would cost, by what runs before have cost
//! rehearse  every model and rule planned over empty tables: mistakes show before work
//! execute   lease → finish what a dead run left → silver → gold → audit → publish → roll forward
//! in_order  several entities, or models, at once, each after those that it reads
//! model     a model's table follows what changed, or is computed whole
//! following change sets and key sets as the planner's plans read them
//! difference fresh rows against current ones
//! audit     law 3 always; the contracts' rules and the models' tests
//! kept      rules that models keep by themselves
//! freshness how old the newest landing of each entity is
//! report    what a run says when it is done, and keeps in the ledger
//! explain   how a model follows, and how its last run went
//! verify    the newest snapshot's tables against those that raw gives
//! changes   what differs in a table between two snapshots
//! rollback  an earlier snapshot's contents as the next one
//! ```
//!
//! Rule: nothing is seen by any reader before the publish, and a run that fails leaves the last
//! snapshot in place.

mod audit;
mod changes;
mod difference;
mod estimate;
mod execute;
mod explain;
mod following;
mod freshness;
mod in_order;
mod kept;
mod model;
mod plan;
mod rehearse;
mod report;
mod rollback;
mod verify;

pub use audit::{Audited, CheckResult};
pub use changes::{ChangedRow, Changes};
pub use estimate::{Estimate, Expectations, Expected};
pub use execute::{Progress, RunOptions, Workshop, run};
pub use explain::{Change, Explained, Explanation, Input, LastRun, Lookup, Read};
pub use freshness::{Staleness, judge_freshness};
pub use model::Followed;
pub use plan::{EntityPlan, Facts, ModelDefinition, ModelPlan, Plan, Reason, Situation, plan};
pub use report::{EntityReport, ModelReport, RunReport};
pub use rollback::rollback;
pub use verify::{Example, LeftOut, Outcome, Recount, TableVerdict, Verification, VerifyOptions, verify};
