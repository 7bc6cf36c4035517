//! The simulation: cuts the work into tasks that need nothing from each other, runs them on all
//! threads, and delivers some files again.
//!
//! A task makes whole files. It finds the records it needs by making lives again from their
//! numbers: a part of the history from its own orders, a day from the orders of the last weeks
//! and the stragglers of the last months. So nothing is kept between tasks, memory is bounded by
//! the records that one extract holds to sort them, and the number of threads shows nowhere.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use crate::afflict::{ORDINARY_DAYS, STRAGGLER_DAYS};
use crate::calendar::HISTORY;
use crate::dice::Purpose;
use crate::entity::Entity;
use crate::error::SimulateError;
use crate::extract::Extract;
use crate::options::Options;
use crate::output_file;
use crate::places::{self, Places, part_name};
use crate::shop::Shop;
use crate::summary::Summary;

/// So many make a file of about 64 MB as JSON Lines.
const ORDERS_IN_PART: u64 = 75_000;
const CUSTOMERS_IN_PART: u64 = 140_000;
/// Progress is told after so many lives.
const LIVES_IN_STEP: u64 = 2_048;

const ORDER_ENTITIES: [Entity; 4] = [Entity::Orders, Entity::OrderItems, Entity::Payments, Entity::Shipments];

/// How far a simulation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Lives of customers and orders looked at, one for each extract that could carry them.
    pub done: u64,
    /// How many there are to look at.
    pub total: u64,
    /// Records written.
    pub records: u64,
}

/// Writes the extracts of a simulated shop to the folder `out`, which is made if need be.
///
/// `out/history/<entity>/part-0000.<ext>` and so on is one load of all that was delivered in the
/// history days; `out/daily/YYYY-MM-DD/<entity>.<ext>` is the extract of one later day, beside
/// which copies of earlier files may lie (`<entity>-redelivered-<which>.<ext>`). A file has its
/// final name only when it is whole. `progress` is called now and then from this thread.
///
/// # Errors
///
/// [`SimulateError::Option`] and [`SimulateError::NotEmpty`] before anything is written;
/// [`SimulateError::Io`] when a file or folder cannot be made.
pub fn simulate(options: &Options, out: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Summary, SimulateError> {
    options.check()?;
    places::prepare(out, options.overwrite)?;
    let shop = Shop::new(options);
    let tasks = tasks(&shop);
    let places = Places::new(options, out);
    for task in &tasks {
        for &entity in task.entities() {
            places.create_folder(&shop, entity, task.extract())?;
        }
    }
    let mut summary = run(&shop, &tasks, &places, progress)?;
    redeliver(&shop, &tasks, &places, &mut summary)?;
    Ok(summary)
}

/// A piece of work that makes whole files and needs nothing from any other.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Task {
    /// History parts of orders and what belongs to them.
    Orders { part: u64, orders: Range<u64> },
    /// A history part of customers.
    Customers { part: u64, customers: Range<u64> },
    /// The history of products.
    Products,
    /// The extract of a day.
    Day { extract: u32 },
}

fn tasks(shop: &Shop) -> Vec<Task> {
    let mut tasks = Vec::new();
    if shop.options.history_days > 0 {
        let orders = shop.calendar.orders_in_history();
        let customers = shop.customers_by(HISTORY);
        let orders = parts(orders, ORDERS_IN_PART);
        tasks.extend(orders.map(|(part, orders)| Task::Orders { part, orders }));
        let customers = parts(customers, CUSTOMERS_IN_PART);
        tasks.extend(customers.map(|(part, customers)| Task::Customers { part, customers }));
        tasks.push(Task::Products);
    }
    tasks.extend((1..shop.calendar.extracts()).map(|extract| Task::Day { extract }));
    tasks
}

/// Cuts so many things into numbered parts.
fn parts(count: u64, size: u64) -> impl Iterator<Item = (u64, Range<u64>)> {
    (0..count.div_ceil(size)).map(move |part| (part, part * size..count.min((part + 1) * size)))
}

impl Task {
    fn extract(&self) -> u32 {
        match self {
            Self::Day { extract } => *extract,
            _ => HISTORY,
        }
    }

    fn part(&self) -> u64 {
        match self {
            Self::Orders { part, .. } | Self::Customers { part, .. } => *part,
            Self::Products | Self::Day { .. } => 0,
        }
    }

    fn entities(&self) -> &'static [Entity] {
        match self {
            Self::Orders { .. } => &ORDER_ENTITIES,
            Self::Customers { .. } => &[Entity::Customers],
            Self::Products => &[Entity::Products],
            Self::Day { .. } => &Entity::ALL,
        }
    }

    /// The customers whose lives have to be looked at.
    fn customers(&self, shop: &Shop) -> Range<u64> {
        match self {
            Self::Customers { customers, .. } => customers.clone(),
            Self::Day { extract } => 0..shop.customers_by(*extract),
            _ => 0..0,
        }
    }

    /// The orders whose lives have to be looked at.
    fn orders(&self, shop: &Shop) -> Range<u64> {
        match self {
            Self::Orders { orders, .. } => orders.clone(),
            Self::Day { extract } => shop.calendar.days_back(*extract, 0..ORDINARY_DAYS + 1),
            _ => 0..0,
        }
    }

    /// The orders whose lives have to be looked at if they are stragglers.
    fn old_orders(&self, shop: &Shop) -> Range<u64> {
        match self {
            Self::Day { extract } if shop.options.defects.late > 0.0 => {
                shop.calendar.days_back(*extract, ORDINARY_DAYS + 1..STRAGGLER_DAYS + 1)
            }
            _ => 0..0,
        }
    }

    fn lives(&self, shop: &Shop) -> u64 {
        let length = |range: Range<u64>| range.end - range.start;
        length(self.customers(shop)) + length(self.orders(shop)) + length(self.old_orders(shop))
    }

    fn run(&self, shop: &Shop, places: &Places, tell: &mut dyn FnMut(Step)) -> Result<Summary, SimulateError> {
        let files = self
            .entities()
            .iter()
            .map(|&entity| (entity, places.file(shop, entity, self.extract(), self.part())))
            .collect();
        let mut extract = Extract::create(shop, self.extract(), self.part(), files)?;
        let mut teller = Teller::new(tell);
        let mut life = Vec::new();
        if self.entities().contains(&Entity::Products) {
            for records in shop.catalogue.records() {
                extract.take(records)?;
            }
        }
        for customer in self.customers(shop) {
            life.clear();
            shop.customer_life(customer, &mut life);
            extract.take(&life)?;
            teller.looked_at_one(extract.records());
        }
        for order in self.old_orders(shop) {
            if shop.is_straggler(order) {
                life.clear();
                shop.order_life(order, &mut life);
                extract.take(&life)?;
            }
            teller.looked_at_one(extract.records());
        }
        for order in self.orders(shop) {
            life.clear();
            shop.order_life(order, &mut life);
            extract.take(&life)?;
            teller.looked_at_one(extract.records());
        }
        let summary = extract.finish()?;
        teller.finish(summary.records());
        Ok(summary)
    }
}

/// What a task has done since it last told.
#[derive(Debug, Clone, Copy)]
struct Step {
    lives: u64,
    records: u64,
}

/// Tells of progress now and then.
struct Teller<'a> {
    tell: &'a mut dyn FnMut(Step),
    lives: u64,
    records_told: u64,
}

impl<'a> Teller<'a> {
    fn new(tell: &'a mut dyn FnMut(Step)) -> Self {
        Self { tell, lives: 0, records_told: 0 }
    }

    fn looked_at_one(&mut self, records: u64) {
        self.lives += 1;
        if self.lives == LIVES_IN_STEP {
            self.finish(records);
        }
    }

    fn finish(&mut self, records: u64) {
        (self.tell)(Step { lives: self.lives, records: records - self.records_told });
        self.lives = 0;
        self.records_told = records;
    }
}

enum Message {
    Step(Step),
    Ended(Result<Summary, SimulateError>),
}

fn run(
    shop: &Shop,
    tasks: &[Task],
    places: &Places,
    progress: &mut dyn FnMut(Progress),
) -> Result<Summary, SimulateError> {
    let threads = match shop.options.threads {
        0 => thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads.min(tasks.len()) {
            let sender = sender.clone();
            let (next, failed) = (&next, &failed);
            scope.spawn(move || {
                while !failed.load(Ordering::Relaxed)
                    && let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    // The receiver lives as long as any sender, so nothing is lost.
                    let mut tell = |step| drop(sender.send(Message::Step(step)));
                    let result = task.run(shop, places, &mut tell);
                    failed.fetch_or(result.is_err(), Ordering::Relaxed);
                    drop(sender.send(Message::Ended(result)));
                }
            });
        }
        drop(sender);
        let mut state = Progress { done: 0, total: tasks.iter().map(|task| task.lives(shop)).sum(), records: 0 };
        progress(state);
        let mut summary = Summary::new();
        let mut failure = None;
        for message in receiver {
            match message {
                Message::Step(step) => {
                    state.done += step.lives;
                    state.records += step.records;
                    progress(state);
                }
                Message::Ended(Ok(part)) => summary.add(&part),
                Message::Ended(Err(error)) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(summary), Err)
    })
}

/// Delivers some files again, some days after they came first.
fn redeliver(shop: &Shop, tasks: &[Task], places: &Places, summary: &mut Summary) -> Result<(), SimulateError> {
    for extract in 1..shop.calendar.extracts() {
        for entity in Entity::ALL {
            let purpose = Purpose::Redelivery(entity);
            let mut dice = shop.seed.dice(purpose, u64::from(extract), 0);
            if !dice.chance(shop.options.defects.redelivery) {
                continue;
            }
            let makes = |task: &&Task| task.entities().contains(&entity);
            let history = tasks.iter().filter(|task| task.extract() == HISTORY);
            let parts = history.filter(makes).count() as u64;
            let days = extract - 1;
            let (from, name) = if parts > 0 && (days == 0 || dice.chance(0.1)) {
                let part = dice.below(parts);
                let from = places.file(shop, entity, HISTORY, part);
                (from, part_name(part))
            } else if days > 0 {
                let day = days - dice.few(1.5, days - 1);
                let from = places.file(shop, entity, day, 0);
                (from, shop.calendar.date_of_extract(day).to_string())
            } else {
                continue;
            };
            let name = format!("{}-redelivered-{name}.{}", entity.name(), places.extension());
            let to = places.day(shop, extract).join(name);
            let bytes = output_file::copy(&from, &to).map_err(SimulateError::io("write", &to))?;
            let counts = summary.entity_mut(entity);
            counts.redelivered_files += 1;
            counts.bytes += bytes;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_of_every_life_is_in_exactly_one_file() {
        // Long enough for records that come half a year late.
        let options = Options { orders: 900, history_days: 20, daily_days: 260, ..Options::nastiest() };
        let out = tempfile::TempDir::new().unwrap();
        let summary = simulate(&options, out.path(), &mut |_| ()).unwrap();
        let shop = Shop::new(&options);
        let mut records = Vec::new();
        for order in 0..options.orders {
            shop.order_life(order, &mut records);
        }
        for customer in 0..shop.customers_by(shop.calendar.extracts() - 1) {
            shop.customer_life(customer, &mut records);
        }
        records.extend(shop.catalogue.records().flatten());
        assert!(records.iter().all(|record| record.delivered_at >= record.updated_at));
        for entity in Entity::ALL {
            let made = records.iter().filter(|record| record.body.entity() == entity);
            let counts = summary.entity(entity);
            let torn = counts.broken.get(&crate::BrokenKind::Torn).unwrap_or(&0);
            assert_eq!(made.count() as u64, counts.records - torn, "{entity:?}");
        }
        let months =
            records.iter().filter(|record| record.delivered_at > record.updated_at + 60 * crate::calendar::DAY);
        assert!(months.count() > 50);
    }

    #[test]
    fn parts_cover_all_things_once() {
        let all: Vec<_> = parts(10, 4).collect();
        assert_eq!(all, [(0, 0..4), (1, 4..8), (2, 8..10)]);
        assert_eq!(parts(0, 4).count(), 0);
    }
}
