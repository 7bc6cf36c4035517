//! One extract in the making: takes the records that it carries out of the lives it is shown,
//! and writes them into a file for each entity, roughly in the order of their delivery.

use std::path::PathBuf;

use crate::calendar::{MINUTE, Micros};
use crate::dice::{Dice, Purpose};
use crate::draft::{Body, Draft};
use crate::dress::dress;
use crate::encode::Encoder;
use crate::entity::Entity;
use crate::error::SimulateError;
use crate::options::{Compression, Defects, Format};
use crate::output_file::OutputFile;
use crate::row::{Layout, Times};
use crate::shop::Shop;
use crate::summary::Summary;

/// So many records are held to be sorted before they are written.
const PENDING: usize = 128 * 1024;
/// By so much the order within a file differs from the order of delivery.
const DISORDER: Micros = 20 * MINUTE;

pub(crate) struct Extract<'a> {
    shop: &'a Shop,
    number: u32,
    files: [Option<EntityFile>; 6],
    pending: Vec<Draft>,
    scratch: Vec<Draft>,
    dice: Dice,
    summary: Summary,
}

struct EntityFile {
    path: PathBuf,
    layout: Layout,
    encoder: Encoder,
    dice: Dice,
    empty: bool,
}

impl<'a> Extract<'a> {
    /// Begins the `part`-th piece of an extract with these files.
    pub(crate) fn create(
        shop: &'a Shop,
        extract: u32,
        part: u64,
        paths: Vec<(Entity, PathBuf)>,
    ) -> Result<Self, SimulateError> {
        let mut files = [const { None }; 6];
        let mut summary = Summary::new();
        for (entity, path) in paths {
            let file = EntityFile::create(shop, entity, extract, part, path)?;
            let counts = summary.entity_mut(entity);
            counts.files += 1;
            counts.drifted_files += u64::from(file.layout.drifted);
            files[entity as usize] = Some(file);
        }
        Ok(Self {
            shop,
            number: extract,
            files,
            pending: Vec::new(),
            scratch: Vec::new(),
            dice: shop.seed.dice(Purpose::Shuffle, u64::from(extract), part),
            summary,
        })
    }

    /// Takes what it carries of the life of a customer, product or order.
    pub(crate) fn take(&mut self, life: &[Draft]) -> Result<(), SimulateError> {
        let mut customer_arrival = None;
        for record in life {
            if record.extract != self.number {
                continue;
            }
            let mut record = *record;
            if let Body::Order(order) = record.body
                && !record.deleted
            {
                // Looked up here, as few of the lives looked at have a record in this extract.
                let arrival = *customer_arrival
                    .get_or_insert_with(|| self.shop.customer_arrival(order.customer, &mut self.scratch));
                record.marks.orphan = arrival.is_none_or(|arrival| record.extract < arrival);
            }
            record.delivered_at += self.dice.between(-DISORDER / 2, DISORDER / 2);
            self.pending.push(record);
        }
        if self.pending.len() >= PENDING {
            self.write()?;
        }
        Ok(())
    }

    /// How many records have been written so far.
    pub(crate) fn records(&self) -> u64 {
        self.summary.records()
    }

    /// Writes the rest and gives the files their names.
    pub(crate) fn finish(mut self) -> Result<Summary, SimulateError> {
        self.write()?;
        for file in self.files.into_iter().flatten() {
            let counts = self.summary.entity_mut(file.layout.entity);
            let (bytes, torn) = file.finish(&self.shop.options.defects)?;
            counts.bytes += bytes;
            if torn {
                counts.count_torn();
            }
        }
        Ok(self.summary)
    }

    fn write(&mut self) -> Result<(), SimulateError> {
        self.pending.sort_by_key(|record| record.delivered_at);
        for record in self.pending.drain(..) {
            let entity = record.body.entity();
            let Some(file) = &mut self.files[entity as usize] else {
                continue;
            };
            let mut row = dress(self.shop, &record, &file.layout);
            file.encoder.write(&mut row).map_err(SimulateError::io("write", &file.path))?;
            file.empty = false;
            self.summary.entity_mut(entity).count(&record, row.broken);
        }
        Ok(())
    }
}

impl EntityFile {
    fn create(shop: &Shop, entity: Entity, extract: u32, part: u64, path: PathBuf) -> Result<Self, SimulateError> {
        let options = &shop.options;
        let purpose = Purpose::File(entity);
        let mut dice = shop.seed.dice(purpose, u64::from(extract), part);
        let layout = Layout {
            entity,
            format: options.format,
            times: match options.format {
                Format::Parquet => *dice.weighted(&[(Times::Text, 2), (Times::Naive, 1), (Times::Utc, 1)]),
                _ => Times::Text,
            },
            operations: has_operations(&options.defects),
            drifted: shop.drifts_from(entity).is_some_and(|first| first <= extract),
            messy: options.defects.messy,
        };
        let outer = match options.format {
            Format::Parquet => Compression::None,
            _ => options.compression,
        };
        let mut create = || {
            let file = OutputFile::create(&path, outer)?;
            Encoder::new(&layout, options.compression, file, &mut dice)
        };
        let encoder = create().map_err(SimulateError::io("create", &path))?;
        Ok(Self { path, layout, encoder, dice, empty: true })
    }

    /// Ends the file, torn or not; returns its size on disk, and whether it is torn.
    fn finish(mut self, defects: &Defects) -> Result<(u64, bool), SimulateError> {
        let tears = self.dice.chance((defects.broken * 10.0).min(0.5));
        let end = || {
            let torn = tears && !self.empty && self.encoder.tear()?;
            Ok((self.encoder.finish()?, torn))
        };
        end().map_err(SimulateError::io("write", &self.path))
    }
}

/// A shop without defects has no use for an `_op` column.
fn has_operations(defects: &Defects) -> bool {
    defects.deletes > 0.0 || defects.broken > 0.0 || defects.messy > 0.0
}
