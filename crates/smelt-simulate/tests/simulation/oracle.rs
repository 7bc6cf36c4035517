//! The value rules of the reference warehouse, written a second time and independently of what
//! writes the values: which records belong into quarantine, and what the others say.

use std::collections::BTreeMap;

use chrono::{NaiveDate, NaiveTime, TimeDelta};
use smelt_simulate::{BrokenKind, Entity};

use crate::reading::{Fields, Raw, Record};

/// A value after cleaning.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Clean {
    Text(String),
    Number(i64),
}

/// A record that is not for quarantine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Valid {
    pub(crate) key: String,
    pub(crate) updated_at: i64,
    pub(crate) deleted: bool,
    /// The values that are not NULL; none for a delete.
    pub(crate) values: BTreeMap<&'static str, Clean>,
}

impl Valid {
    pub(crate) fn text(&self, column: &str) -> Option<&str> {
        match self.values.get(column)? {
            Clean::Text(text) => Some(text),
            Clean::Number(_) => None,
        }
    }

    pub(crate) fn number(&self, column: &str) -> Option<i64> {
        match self.values.get(column)? {
            Clean::Number(number) => Some(*number),
            Clean::Text(_) => None,
        }
    }
}

fn columns(entity: Entity) -> (&'static [&'static str], &'static [&'static str]) {
    match entity {
        Entity::Customers => (
            &[
                "customer_id",
                "email",
                "first_name",
                "last_name",
                "phone",
                "country",
                "city",
                "postal_code",
                "marketing_opt_in",
                "created_at",
                "updated_at",
            ],
            &[],
        ),
        Entity::Products => (
            &[
                "product_id",
                "name",
                "category",
                "brand",
                "unit_price",
                "unit_cost",
                "currency",
                "is_active",
                "created_at",
                "updated_at",
            ],
            &["name"],
        ),
        Entity::Orders => (
            &[
                "order_id",
                "customer_id",
                "order_status",
                "currency",
                "shipping_country",
                "discount_amount",
                "shipping_amount",
                "ordered_at",
                "updated_at",
            ],
            &["customer_id", "ordered_at", "order_status"],
        ),
        Entity::OrderItems => (
            &["order_item_id", "order_id", "product_id", "quantity", "unit_price", "discount_amount", "updated_at"],
            &["order_id", "product_id", "quantity", "unit_price"],
        ),
        Entity::Payments => (
            &["payment_id", "order_id", "payment_method", "payment_status", "amount", "paid_at", "updated_at"],
            &["order_id", "amount", "payment_status"],
        ),
        Entity::Shipments => (
            &[
                "shipment_id",
                "order_id",
                "carrier",
                "tracking_number",
                "shipment_status",
                "shipped_at",
                "delivered_at",
                "updated_at",
            ],
            &["order_id"],
        ),
    }
}

/// What the reference warehouse would make of a record.
pub(crate) fn judge(entity: Entity, record: &Record) -> Result<Valid, BrokenKind> {
    let fields = record.as_ref().map_err(|kind| *kind)?;
    let (columns, required) = columns(entity);
    let deleted = match operation(fields).as_str() {
        "" | "i" | "c" | "u" => false,
        "d" => true,
        _ => return Err(BrokenKind::UnknownOperation),
    };
    let mut values = BTreeMap::new();
    for (index, column) in columns.iter().copied().enumerate() {
        if deleted && index != 0 && column != "updated_at" {
            continue;
        }
        let Some(value) = present(fields.get(column)) else {
            if index == 0 || column == "updated_at" || required.contains(&column) {
                return Err(BrokenKind::MissingRequired);
            }
            continue;
        };
        let clean = clean(column, value).ok_or(BrokenKind::Unparsable)?;
        if let Clean::Number(number) = clean {
            if column == "quantity" && number < 1 {
                return Err(BrokenKind::QuantityBelowOne);
            }
            if is_money(column) && number < 0 {
                return Err(BrokenKind::NegativeMoney);
            }
        }
        values.insert(column, clean);
    }
    let (Some(Clean::Text(key)), Some(Clean::Number(updated_at))) =
        (values.remove(columns[0]), values.remove("updated_at"))
    else {
        unreachable!("both are required");
    };
    if deleted {
        values.clear();
    }
    Ok(Valid { key, updated_at, deleted, values })
}

fn operation(fields: &Fields) -> String {
    match fields.get("_op") {
        Some(Raw::Text(text)) => trim(text).to_ascii_lowercase(),
        _ => String::new(),
    }
}

fn present(value: Option<&Raw>) -> Option<&Raw> {
    value.filter(|value| match value {
        Raw::Text(text) => !["", "null", "NULL", "N/A", "n/a", "\\N"].contains(&trim(text)),
        Raw::Micros(_) => true,
    })
}

fn white(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\r' | '\n' | '\x0b' | '\x0c')
}

fn trim(text: &str) -> &str {
    text.trim_matches(white)
}

fn is_money(column: &str) -> bool {
    matches!(column, "unit_price" | "unit_cost" | "discount_amount" | "shipping_amount" | "amount")
}

fn clean(column: &str, value: &Raw) -> Option<Clean> {
    let text = match value {
        Raw::Micros(micros) => return Some(Clean::Number(*micros)),
        Raw::Text(text) => trim(text),
    };
    Some(match column {
        _ if column.ends_with("_id") => {
            let text: String = text.chars().filter(|letter| !white(*letter)).collect();
            Clean::Text(text.to_ascii_uppercase())
        }
        _ if column.ends_with("_at") => Clean::Number(time(text)?),
        _ if is_money(column) => Clean::Number(money(text)?),
        "quantity" => Clean::Number(count(text)?),
        "marketing_opt_in" | "is_active" => {
            let flag = match text.to_ascii_lowercase().as_str() {
                "true" | "t" | "yes" | "y" | "1" => 1,
                "false" | "f" | "no" | "n" | "0" => 0,
                _ => return None,
            };
            Clean::Number(flag)
        }
        "email" => Clean::Text(text.to_ascii_lowercase()),
        "country" | "shipping_country" | "currency" => Clean::Text(text.to_ascii_uppercase()),
        "order_status" | "payment_status" | "payment_method" | "shipment_status" => {
            let text = text.to_ascii_lowercase().replace([' ', '-'], "_");
            Clean::Text(match text.as_str() {
                "canceled" => "cancelled".to_owned(),
                "complete" => "completed".to_owned(),
                "in_transit" => "shipped".to_owned(),
                _ => text,
            })
        }
        _ => Clean::Text(text.to_owned()),
    })
}

fn digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn count(text: &str) -> Option<i64> {
    let rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    (!rest.is_empty() && digits(rest)).then(|| text.parse().ok())?
}

/// An amount in cents.
pub(crate) fn money(text: &str) -> Option<i64> {
    let text = match text.strip_prefix(['$', '€', '£', '¥']) {
        Some(rest) => rest.strip_prefix(' ').unwrap_or(rest),
        None => text,
    };
    let (negative, text) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole = whole.replace(',', "");
    if !digits(&whole) || !digits(fraction) || whole.len() > 16 {
        return None;
    }
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let cents: i64 = format!("{whole}{fraction:0<2.2}").parse().ok()?;
    let rounds_up = fraction.as_bytes().get(2).is_some_and(|digit| *digit >= b'5');
    let cents = cents + i64::from(rounds_up);
    Some(if negative { -cents } else { cents })
}

/// A moment in microseconds since 1970.
pub(crate) fn time(text: &str) -> Option<i64> {
    match text.len() {
        10 if digits(text) => return Some(text.parse::<i64>().ok()? * 1_000_000),
        13 if digits(text) => return Some(text.parse::<i64>().ok()? * 1_000),
        _ => {}
    }
    let part = |text: &str, from: usize, to: usize| -> Option<u32> {
        text.get(from..to).filter(|part| digits(part))?.parse().ok()
    };
    let shaped = |text: &str, index: usize, byte: u8| text.as_bytes().get(index) == Some(&byte);
    if !shaped(text, 4, b'-') || !shaped(text, 7, b'-') {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(
        i32::try_from(part(text, 0, 4).filter(|&year| year > 0)?).ok()?,
        part(text, 5, 7)?,
        part(text, 8, 10)?,
    )?;
    let mut rest = text.get(10..)?;
    let mut time = NaiveTime::MIN;
    if rest.starts_with(['T', ' ']) {
        if !shaped(rest, 3, b':') || !shaped(rest, 6, b':') {
            return None;
        }
        let (hour, minute, second) = (part(rest, 1, 3)?, part(rest, 4, 6)?, part(rest, 7, 9)?);
        rest = rest.get(9..)?;
        let mut micros = 0;
        if let Some(fraction) = rest.strip_prefix('.') {
            let length = fraction.bytes().take_while(u8::is_ascii_digit).count();
            if !(1..=6).contains(&length) {
                return None;
            }
            micros = format!("{:0<6}", &fraction[..length]).parse().ok()?;
            rest = &fraction[length..];
        }
        time = NaiveTime::from_hms_micro_opt(hour, minute, second, micros)?;
    }
    let offset = match rest {
        "" | "Z" => 0,
        _ => {
            let sign = match rest.as_bytes()[0] {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            let minutes = match rest.len() {
                3 => 0,
                5 => part(rest, 3, 5)?,
                6 if shaped(rest, 3, b':') => part(rest, 4, 6)?,
                _ => return None,
            };
            let minutes = part(rest, 1, 3)? * 60 + Some(minutes).filter(|&m| m < 60)?;
            sign * i64::from(Some(minutes).filter(|&minutes| minutes <= 14 * 60)?)
        }
    };
    let local = date.and_time(time).and_utc() - TimeDelta::minutes(offset);
    Some(local.timestamp_micros())
}
