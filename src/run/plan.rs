//! What the next run would do, and why. Pure: the same plan is explained, executed and tested.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::Serialize;

use crate::{
    bronze::{Hold, Manifest, held_files},
    lake::{BatchId, Coverage, Definitions, FileRef, Lake, Snapshot, TableName},
    error::Result,
    project::{Contract, EntityName},
    silver::{EntityTables, RawFile, Work},
};

/// All that a plan depends on.
#[derive(Debug)]
pub struct Situation<'a> {
    pub snapshot: Option<&'a Snapshot>,
    /// Every manifest, in order. Only those that are not covered, when nothing needs the others.
    pub manifests: &'a [Manifest],
    pub newest_batch: BatchId,
    pub holds: &'a [Hold],
    pub contracts: &'a BTreeMap<EntityName, Contract>,
    /// In an order in which every model comes after the models that it reads.
    pub models: &'a [ModelDefinition],
    /// One fingerprint of all checks.
    pub checks: &'a str,
    /// Make everything anew from raw.
    pub rebuild: bool,
}

/// What planning needs to know of a model.
#[derive(Debug, Clone)]
pub struct ModelDefinition {
    pub name: String,
    pub inputs: Vec<TableName>,
    pub fingerprint: String,
}

#[derive(Debug, Clone)]
pub struct Plan {
    pub entities: Vec<EntityPlan>,
    /// In execution order.
    pub models: Vec<ModelPlan>,
    pub dropped: Vec<TableName>,
    /// Only the checks changed: the tables as they are are audited, and published again.
    pub audit_only: bool,
    pub coverage: Coverage,
    pub definitions: Definitions,
}

/// An entity with work.
#[derive(Debug, Clone)]
pub struct EntityPlan {
    pub entity: EntityName,
    pub work: Work,
    pub files: Vec<RawFile>,
    pub reason: Reason,
}

/// A model whose inputs or definition change.
#[derive(Debug, Clone)]
pub struct ModelPlan {
    pub name: String,
    pub reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It has never been computed.
    New,
    NewFiles,
    ContractChanged,
    ModelChanged,
    /// Files that were held are released: they take their old place in the arrival order.
    Released,
    /// Files that were covered are held now.
    Held,
    Rebuild,
    /// These inputs change.
    Inputs(Vec<String>),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("new"),
            Self::NewFiles => f.write_str("new files"),
            Self::ContractChanged => f.write_str("its contract changed, so it is replayed from raw"),
            Self::ModelChanged => f.write_str("the model changed"),
            Self::Released => f.write_str("held files were released, so it is replayed from raw"),
            Self::Held => f.write_str("covered files are held now, so it is replayed from raw without them"),
            Self::Rebuild => f.write_str("rebuild from raw"),
            Self::Inputs(inputs) => write!(f, "changed: {}", inputs.join(", ")),
        }
    }
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        self.entities.is_empty() && self.models.is_empty() && self.dropped.is_empty() && !self.audit_only
    }
}

/// Decides what to do.
pub fn plan(situation: &Situation<'_>) -> Plan {
    let held = held_files(situation.holds, situation.manifests);
    let covered = situation.snapshot.map(|snapshot| &snapshot.coverage);
    let is_covered = |file: FileRef| covered.is_some_and(|coverage| coverage.covers(file));
    let known = situation.snapshot.map(|snapshot| &snapshot.definitions);

    let mut entities = Vec::new();
    let mut definitions = Definitions { checks: situation.checks.to_owned(), ..Definitions::default() };
    for (entity, contract) in situation.contracts {
        definitions.contracts.insert(entity.to_string(), contract.fingerprint.clone());
        let files: Vec<RawFile> = situation
            .manifests
            .iter()
            .flat_map(Manifest::files)
            .filter(|(_, landed)| landed.entity == entity.as_str())
            .map(|(reference, landed)| RawFile { reference, landed: landed.clone() })
            .collect();
        let free = |file: &RawFile| !held.contains(&file.reference);
        let reason = if situation.rebuild {
            Some(Reason::Rebuild)
        } else {
            match known.and_then(|known| known.contracts.get(entity.as_str())) {
                None => Some(Reason::New),
                Some(fingerprint) if *fingerprint != contract.fingerprint => Some(Reason::ContractChanged),
                Some(_) => {
                    // A file that comes late in its own order cannot be added: ties would go wrong.
                    let through = covered.map_or(BatchId(0), |coverage| coverage.through);
                    let pending = |file: &&RawFile| free(file) && !is_covered(file.reference);
                    if files.iter().filter(pending).any(|file| file.reference.batch <= through) {
                        Some(Reason::Released)
                    } else if files.iter().any(|file| is_covered(file.reference) && !free(file)) {
                        Some(Reason::Held)
                    } else {
                        files.iter().any(|file| pending(&file)).then_some(Reason::NewFiles)
                    }
                }
            }
        };
        let Some(reason) = reason else { continue };
        let work = if reason == Reason::NewFiles { Work::Add } else { Work::Replay };
        let files = files
            .into_iter()
            .filter(|file| free(file) && (work == Work::Replay || !is_covered(file.reference)))
            .collect();
        entities.push(EntityPlan { entity: entity.clone(), work, files, reason });
    }

    let mut changed: BTreeSet<TableName> = entities
        .iter()
        .flat_map(|plan| EntityTables::of(&situation.contracts[&plan.entity]).all().cloned().collect::<Vec<_>>())
        .collect();
    let mut models = Vec::new();
    for model in situation.models {
        definitions.models.insert(model.name.clone(), model.fingerprint.clone());
        let inputs: Vec<String> = model.inputs.iter().filter(|input| changed.contains(input)).map(ToString::to_string).collect();
        let reason = match known.and_then(|known| known.models.get(&model.name)) {
            None => Some(Reason::New),
            Some(_) if situation.rebuild => Some(Reason::Rebuild),
            Some(fingerprint) if *fingerprint != model.fingerprint => Some(Reason::ModelChanged),
            Some(_) => (!inputs.is_empty()).then_some(Reason::Inputs(inputs)),
        };
        if let Some(reason) = reason {
            changed.insert(TableName::gold(&model.name));
            models.push(ModelPlan { name: model.name.clone(), reason });
        }
    }

    let wanted: BTreeSet<TableName> = situation
        .contracts
        .values()
        .flat_map(|contract| EntityTables::of(contract).all().cloned().collect::<Vec<_>>())
        .chain(situation.models.iter().map(|model| TableName::gold(&model.name)))
        .collect();
    let there = situation.snapshot.into_iter().flat_map(|snapshot| snapshot.tables.keys());
    let dropped = there.filter(|table| !wanted.contains(table)).cloned().collect();
    let audit_only = entities.is_empty()
        && models.is_empty()
        && known.is_some_and(|known| known.checks != definitions.checks);
    Plan {
        entities,
        models,
        dropped,
        audit_only,
        coverage: Coverage { through: situation.newest_batch, without: held },
        definitions,
    }
}

/// Reads from the lake what a plan needs, and no more: old manifests only when an entity is
/// replayed or something is held.
#[derive(Debug)]
pub struct Facts {
    pub snapshot: Option<Snapshot>,
    pub manifests: Vec<Manifest>,
    pub newest_batch: BatchId,
    pub holds: Vec<Hold>,
}

impl Facts {
    pub async fn read(
        lake: &Lake,
        snapshot: Option<Snapshot>,
        contracts: &BTreeMap<EntityName, Contract>,
        rebuild: bool,
    ) -> Result<Self> {
        let holds = lake.holds().await?;
        let replays = match &snapshot {
            None => true,
            Some(snapshot) => {
                rebuild
                    || !holds.is_empty()
                    || !snapshot.coverage.without.is_empty()
                    || contracts.iter().any(|(entity, contract)| {
                        snapshot.definitions.contracts.get(entity.as_str()) != Some(&contract.fingerprint)
                    })
            }
        };
        let covered = snapshot.as_ref().map_or(BatchId(0), |snapshot| snapshot.coverage.through);
        let manifests = lake.manifests(if replays { BatchId(0) } else { covered }).await?;
        let newest_batch = manifests.last().map_or(covered, |manifest| manifest.batch.max(covered));
        Ok(Self { snapshot, manifests, newest_batch, holds })
    }
}
