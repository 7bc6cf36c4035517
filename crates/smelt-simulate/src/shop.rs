//! The shop: everything that lives are made from, shared by all threads and never changed.

use uuid::Builder;

use crate::afflict::{self, Affliction, ORDINARY_DAYS, STRAGGLER_DAYS};
use crate::calendar::{Calendar, DAY, Micros};
use crate::dice::{Dice, Purpose, Seed};
use crate::draft::Draft;
use crate::entity::Entity;
use crate::options::{KeyStyle, Options};
use crate::products::Catalogue;

#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) options: Options,
    pub(crate) seed: Seed,
    pub(crate) calendar: Calendar,
    pub(crate) catalogue: Catalogue,
}

impl Shop {
    pub(crate) fn new(options: &Options) -> Self {
        let seed = Seed(options.seed);
        let calendar = Calendar::new(options, seed);
        let catalogue = Catalogue::new(options, seed, &calendar);
        Self { options: options.clone(), seed, calendar, catalogue }
    }

    /// When an order is placed.
    pub(crate) fn placed_at(&self, order: u64) -> Micros {
        let mut dice = self.seed.dice(Purpose::Moment, order, 0);
        let placed_at = self.calendar.placed_at(order, dice.unit());
        dice.moment(placed_at)
    }

    /// Whether some of an order's records may come months late.
    pub(crate) fn is_straggler(&self, order: u64) -> bool {
        self.seed.dice(Purpose::Straggler, order, 0).chance(afflict::straggler_chance(&self.options.defects))
    }

    /// What may befall the records of an order.
    pub(crate) fn order_affliction(&self, order: u64, placed_at: Micros) -> Affliction<'_> {
        let straggler = self.is_straggler(order);
        let days = if straggler { STRAGGLER_DAYS } else { ORDINARY_DAYS };
        Affliction {
            defects: &self.options.defects,
            calendar: &self.calendar,
            straggler,
            latest: placed_at + days * DAY,
            held_until: Micros::MIN,
        }
    }

    /// The business key of a row; `part` tells the rows of one order apart.
    pub(crate) fn key(&self, entity: Entity, number: u64, part: u32) -> String {
        match self.options.keys {
            KeyStyle::Uuid => {
                let mut dice = self.seed.dice(Purpose::Key(entity), number, u64::from(part));
                let high = u128::from(dice.number()) << 64;
                let bytes = (high | u128::from(dice.number())).to_be_bytes();
                Builder::from_random_bytes(bytes).into_uuid().to_string()
            }
            KeyStyle::Ordered => {
                let prefix = entity.key_prefix();
                match entity {
                    Entity::Customers => format!("{prefix}-{number:08}"),
                    Entity::Products => format!("{prefix}-{number:05}"),
                    Entity::Orders => format!("{prefix}-{number:09}"),
                    _ => format!("{prefix}-{number:09}-{part:02}"),
                }
            }
        }
    }

    /// The first daily extract, from this one on, that carries an unknown column; none if the
    /// schema of the entity never drifts.
    pub(crate) fn drifts_from(&self, entity: Entity) -> Option<u32> {
        let mut dice = self.seed.dice(Purpose::Drift(entity), 0, 0);
        let drifts = dice.chance(self.options.defects.drift);
        let half = u64::from(self.options.daily_days.div_ceil(2));
        (drifts && half > 0).then(|| 1 + dice.below(half) as u32)
    }
}

/// Until when a customer or product who joins at `joined_at` is held back.
pub(crate) fn hold_member(calendar: &Calendar, joined_at: Micros, dice: &mut Dice) -> Micros {
    let joined_at = joined_at.max(calendar.start());
    if dice.chance(0.5) {
        joined_at + dice.between(DAY, 20 * DAY)
    } else {
        dice.between(calendar.first_daily(), calendar.end() - 1).max(joined_at)
    }
}

/// The extract by which a readable record of these has arrived.
pub(crate) fn arrival<'a>(records: impl IntoIterator<Item = &'a Draft>) -> Option<u32> {
    records.into_iter().filter(|record| !record.broken).map(|record| record.extract).min()
}
