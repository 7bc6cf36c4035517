//! How fast extracts become clean columns on one core.
//! `cargo run --release --example throughput [-- part of a title]`
//!
//! The data is that of a shop's orders and order items, as messy as extracts are: some values in
//! other spellings, one line in two hundred broken. Each figure is megabytes of uncompressed text
//! (for Parquet: of the same records as CSV) per second of one core, the best of some rounds.

use std::{error::Error, fmt::Write, fs, sync::Arc, time::Instant};

use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    error::ArrowError,
};
use parquet::arrow::ArrowWriter;
use smelt_clean::{
    Cleaner, ColumnSpec, Compression, EntitySpec, Format, Input, Kind, ReadOptions, count_records, open,
};

const RECORDS: u64 = 400_000;
const ROUNDS: usize = 7;

fn main() -> Result<(), Box<dyn Error>> {
    let only = std::env::args().nth(1).unwrap_or_default();
    println!("{:<32} {:>8} {:>8}", "", "split", "clean");
    for (name, spec, names) in [("orders", orders(), ORDERS.as_slice()), ("order_items", items(), ITEMS.as_slice())] {
        let records: Vec<Vec<String>> =
            (0..RECORDS).map(|number| if name == "orders" { order(number) } else { item(number) }).collect();
        let json = json_lines(names, &records);
        let csv = csv(names, &records);
        let csv_bytes = csv.len();
        for (format, file, compression) in [
            (Format::JsonLines, json.clone().into_bytes(), Compression::None),
            (Format::JsonLines, zstd::encode_all(json.as_bytes(), 3)?, Compression::Zstd),
            (Format::JsonLines, gzip(json.as_bytes())?, Compression::Gzip),
            (Format::Csv, csv.into_bytes(), Compression::None),
            (Format::Parquet, parquet(names, &records)?, Compression::None),
        ] {
            let plain = match format {
                Format::JsonLines => json.len(),
                Format::Csv | Format::Parquet => csv_bytes,
            };
            let title = format!("{name} {format:?} {compression}");
            if !title.contains(&only) {
                continue;
            }
            measure(&title, &spec, file, plain, &ReadOptions::new(format, compression))?;
        }
    }
    Ok(())
}

/// Seconds that this thread has been on a core; where the system does not tell, seconds.
fn seconds(since: Instant) -> f64 {
    let on_core = fs::read_to_string("/proc/thread-self/schedstat");
    let nanoseconds = on_core.ok().and_then(|line| line.split(' ').next()?.parse::<f64>().ok());
    nanoseconds.map_or(since.elapsed().as_secs_f64(), |nanoseconds| nanoseconds / 1e9)
}

/// Prints the speed of finding the records alone, and of all of it.
fn measure(
    title: &str,
    spec: &EntitySpec,
    file: Vec<u8>,
    plain_bytes: usize,
    options: &ReadOptions,
) -> Result<(), Box<dyn Error>> {
    let file = bytes::Bytes::from(file);
    let since = Instant::now();
    let (mut split, mut clean) = (f64::MAX, f64::MAX);
    let mut kept = (0, 0);
    for _ in 0..ROUNDS {
        let start = seconds(since);
        count_records(Input::Bytes(file.clone()), options)?;
        split = split.min(seconds(since) - start);

        let start = seconds(since);
        let mut cleaner = Cleaner::new(spec, options.limits)?;
        kept = (0, 0);
        for block in open(Input::Bytes(file.clone()), options)? {
            let cleaned = cleaner.clean(&block?)?;
            kept.0 += cleaned.rows.num_rows();
            kept.1 += cleaned.rejected.len();
        }
        clean = clean.min(seconds(since) - start);
    }
    let speed = |seconds: f64| plain_bytes as f64 / 1e6 / seconds;
    let (split, clean) = (speed(split), speed(clean));
    let (rows, rejected) = kept;
    // Of a Parquet file, only the footer is read to count its records.
    let split = if options.format == Format::Parquet { "footer".to_owned() } else { format!("{split:.0}") };
    println!("{title:<32} {split:>8} {clean:>8.0} MB/s   {rows} rows, {rejected} rejected");
    Ok(())
}

const ORDERS: [&str; 10] = [
    "order_id",
    "customer_id",
    "order_status",
    "currency",
    "shipping_country",
    "discount_amount",
    "shipping_amount",
    "ordered_at",
    "updated_at",
    "_op",
];

const ITEMS: [&str; 8] =
    ["order_item_id", "order_id", "product_id", "quantity", "unit_price", "discount_amount", "updated_at", "_op"];

fn kind(name: &str) -> Kind {
    match name {
        "order_status" => Kind::Status {
            aliases: vec![
                ("canceled".into(), "cancelled".into()),
                ("complete".into(), "completed".into()),
                ("in_transit".into(), "shipped".into()),
            ],
        },
        "currency" | "shipping_country" => Kind::Code,
        "quantity" => Kind::Count,
        name if name.ends_with("_id") => Kind::Identifier,
        name if name.ends_with("_at") => Kind::Timestamp,
        _ => Kind::Money { precision: 18, scale: 2 },
    }
}

fn spec(names: &[&str], required: &[&str]) -> EntitySpec {
    let column = |name: &&str| {
        let mut column = ColumnSpec::new(*name, kind(name));
        column.required = required.contains(name);
        match column.kind {
            Kind::Money { .. } => column.minimum = Some("0".into()),
            Kind::Count => column.minimum = Some("1".into()),
            _ => {}
        }
        if *name == "discount_amount" || *name == "shipping_amount" {
            column.default = Some("0".into());
        }
        column
    };
    let names = &names[..names.len() - 1];
    EntitySpec {
        columns: names.iter().map(column).collect(),
        key: vec![0],
        version: names.len() - 1,
        null_texts: ["", "null", "NULL", "N/A", "n/a", "\\N"].map(str::to_owned).to_vec(),
    }
}

fn orders() -> EntitySpec {
    spec(&ORDERS, &["customer_id", "ordered_at", "order_status"])
}

fn items() -> EntitySpec {
    spec(&ITEMS, &["order_id", "product_id", "quantity", "unit_price"])
}

/// Pseudo-random, the same every time.
fn mix(number: u64, salt: u64) -> u64 {
    let mixed = (number ^ salt << 32).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 33
}

fn pick<'a>(number: u64, salt: u64, from: &[&'a str]) -> &'a str {
    from[(mix(number, salt) % from.len() as u64) as usize]
}

fn time(number: u64, salt: u64) -> String {
    let random = mix(number, salt);
    let (month, day, hour) = (random % 12 + 1, random / 12 % 28 + 1, random / 336 % 24);
    let (minute, second) = (random / 8_064 % 60, random / 483_840 % 60);
    match random % 20 {
        0 => (1_700_000_000 + random % 30_000_000).to_string(),
        1 => format!("2024-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}+02:00"),
        2 => format!("2024-{month:02}-{day:02}"),
        _ => format!("2024-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}Z", random % 1_000_000),
    }
}

fn amount(number: u64, salt: u64) -> String {
    let random = mix(number, salt);
    let (units, cents) = (random % 2_000, random / 2_000 % 100);
    match random % 25 {
        0 => format!("$1,{:03}.{cents:02}", units % 1_000),
        1 => format!("€ {units}"),
        2 => String::new(),
        _ => format!("{units}.{cents:02}"),
    }
}

fn order(number: u64) -> Vec<String> {
    let statuses = ["pending", "paid", "shipped", "completed", "completed", "cancelled", "Shipped", "in transit"];
    vec![
        format!("ORD-{number:08}"),
        format!("{}-{:06}", pick(number, 1, &["CUS", "CUS", "CUS", "cus"]), mix(number, 2) % 1_000_000),
        pick(number, 3, &statuses).to_owned(),
        pick(number, 4, &["EUR", "USD", "GBP", "eur"]).to_owned(),
        pick(number, 5, &["DE", "FR", "US", "GB", " nl", "N/A"]).to_owned(),
        amount(number, 6),
        amount(number, 7),
        time(number, 8),
        time(number, 9),
        pick(number, 10, &["u", "u", "i", "c", "", "u", "u", "i", "u", "d"]).to_owned(),
    ]
}

fn item(number: u64) -> Vec<String> {
    vec![
        format!("ITM-{number:09}"),
        format!("ORD-{:08}", number / 3),
        format!("PRD-{:05}", mix(number, 1) % 100_000),
        pick(number, 2, &["1", "2", "1", "3", "002", "1"]).to_owned(),
        amount(number, 3) + "1",
        amount(number, 4),
        time(number, 5),
        pick(number, 6, &["u", "u", "i", "c", "", "u", "u", "i", "u", "d"]).to_owned(),
    ]
}

fn json_lines(names: &[&str], records: &[Vec<String>]) -> String {
    let mut lines = String::new();
    for (number, record) in records.iter().enumerate() {
        let mut separator = '{';
        for (name, value) in names.iter().zip(record) {
            let number = !value.starts_with('0') && value.parse::<f64>().is_ok();
            let quote = if number { "" } else { "\"" };
            let _ = write!(lines, "{separator}\"{name}\":{quote}{value}{quote}");
            separator = ',';
        }
        lines.push_str(if number % 200 == 7 { "\n" } else { "}\n" });
    }
    lines
}

fn csv(names: &[&str], records: &[Vec<String>]) -> String {
    let mut lines = names.join(",") + "\n";
    for (number, record) in records.iter().enumerate() {
        for (index, value) in record.iter().enumerate() {
            let quote = if value.contains(',') { "\"" } else { "" };
            let separator = if index > 0 { "," } else { "" };
            let _ = write!(lines, "{separator}{quote}{value}{quote}");
        }
        lines.push_str(if number % 200 == 7 { ",\n" } else { "\n" });
    }
    lines
}

fn parquet(names: &[&str], records: &[Vec<String>]) -> Result<Vec<u8>, Box<dyn Error>> {
    let column = |index: usize| -> ArrayRef {
        let values = records.iter().map(|record| record[index].as_str());
        Arc::new(StringArray::from_iter_values(values))
    };
    let columns = names.iter().enumerate().map(|(index, name)| (*name, column(index)));
    let batch: Result<RecordBatch, ArrowError> = RecordBatch::try_from_iter(columns);
    let batch = batch?;
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(file)
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::copy(&mut &*bytes, &mut encoder)?;
    Ok(encoder.finish()?)
}
