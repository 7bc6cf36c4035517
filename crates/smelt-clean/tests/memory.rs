//! A record of 200 MB must cost bounded memory. Alone in its process, since it looks at the peak.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{self, Read};

use smelt_clean::{Cleaner, ColumnSpec, Compression, EntitySpec, Format, Input, Kind, ReadOptions, open};

const LONG: u64 = 200 << 20;

fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn a_record_of_200_megabytes_and_as_many_blank_lines_cost_bounded_memory() {
    let spec = EntitySpec {
        columns: vec![ColumnSpec::new("id", Kind::Identifier), ColumnSpec::new("at", Kind::Timestamp)],
        key: vec![0],
        version: 1,
        null_texts: Vec::new(),
    };
    let good = |id: u32| Box::new(io::Cursor::new(format!("{{\"id\":{id},\"at\":\"2024-01-01\"}}\n")));
    let csv = |id: u32| Box::new(io::Cursor::new(format!("{id},2024-01-01\n")));
    let header = io::Cursor::new("id,at\n");
    let long = || io::repeat(b'x').take(LONG);
    let json_lines = good(1)
        .chain(io::Cursor::new("{\"id\":\""))
        .chain(long())
        .chain(io::Cursor::new("\"}\n"))
        .chain(io::repeat(b'\n').take(LONG))
        .chain(io::repeat(b' ').take(LONG))
        .chain(io::Cursor::new("\n"))
        .chain(good(3));
    let quoted = header.chain(csv(1)).chain(io::Cursor::new("\"")).chain(io::repeat(b'\n').take(LONG));

    for (format, file, rows, rejected) in
        [(Format::JsonLines, Box::new(json_lines) as Box<dyn Read + Send>, 2, 1), (Format::Csv, Box::new(quoted), 1, 1)]
    {
        let options = ReadOptions::new(format, Compression::None);
        let mut cleaner = Cleaner::new(&spec, options.limits).unwrap();
        let mut counts = (0, 0);
        for block in open(Input::Stream(file), &options).unwrap() {
            let cleaned = cleaner.clean(&block.unwrap()).unwrap();
            counts.0 += cleaned.rows.num_rows();
            counts.1 += cleaned.rejected.len();
            for rejected in &cleaned.rejected {
                assert_eq!(rejected.position, 2);
                assert!(rejected.record.len() < options.limits.kept_record_bytes + 100);
            }
        }
        assert_eq!(counts, (rows, rejected), "{format:?}");
    }
    let peak = peak_bytes();
    assert!(peak < 100 << 20, "{peak} bytes at the peak");
}
