//! The same options make the same files, and the summary says what is in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use smelt_simulate::{BrokenKind, Compression, EntitySummary, Format, KeyStyle, Options};

use crate::reading::files;
use crate::recount::{Counts, recount};
use crate::{clean, nastiest, run};

#[test]
fn equal_options_give_equal_bytes_whatever_the_number_of_threads() {
    for (format, compression) in [
        (Format::JsonLines, Compression::None),
        (Format::JsonLines, Compression::Gzip),
        (Format::Csv, Compression::Zstd),
        (Format::Parquet, Compression::None),
        (Format::Parquet, Compression::Gzip),
        (Format::Parquet, Compression::Zstd),
    ] {
        let options = |seed, threads| Options { seed, threads, format, compression, ..nastiest(400) };
        let (one, one_summary) = run(&options(3, 1));
        let (many, many_summary) = run(&options(3, 5));
        assert_eq!(one_summary, many_summary);
        let (one, many) = (contents(one.path()), contents(many.path()));
        assert!(one == many, "{format:?} {compression:?} differs");
        let (other, _) = run(&options(4, 1));
        assert!(one != contents(other.path()));
    }
}

/// All files of a folder with their contents, by path within it.
fn contents(out: &Path) -> BTreeMap<String, Vec<u8>> {
    files(out)
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(out).unwrap().to_str().unwrap().to_owned();
            (name, fs::read(&path).unwrap())
        })
        .collect()
}

#[test]
fn the_summary_counts_what_is_in_the_files() {
    for (format, compression, keys, history_days) in [
        (Format::JsonLines, Compression::None, KeyStyle::Ordered, 40),
        (Format::JsonLines, Compression::Zstd, KeyStyle::Uuid, 0),
        (Format::Csv, Compression::Gzip, KeyStyle::Ordered, 40),
        (Format::Parquet, Compression::Zstd, KeyStyle::Uuid, 40),
    ] {
        let options = Options { format, compression, keys, history_days, ..nastiest(1_500) };
        let (out, summary) = run(&options);
        let (counts, _) = recount(out.path(), &options);
        for entity in &summary.entities {
            let name = entity.entity.name();
            assert_eq!(comparable(entity), regrouped(counts[&entity.entity].clone()), "{name} in {format:?}");
        }
    }
}

/// Who turns rivals off can rely on it: also a delete has a time of its own.
#[test]
fn without_ties_no_two_records_of_a_key_have_one_time() {
    let mut options = nastiest(3_000);
    options.defects.ties = 0.0;
    let (_out, summary) = run(&options);
    for entity in &summary.entities {
        assert_eq!(entity.ties, 0, "{:?}", entity.entity);
        assert!(entity.deletes > 0, "{:?}", entity.entity);
    }
}

#[test]
fn a_clean_shop_has_no_defect() {
    for format in [Format::JsonLines, Format::Csv, Format::Parquet] {
        let options = Options { format, ..clean(1_000) };
        let (out, summary) = run(&options);
        let (counts, _) = recount(out.path(), &options);
        for entity in &summary.entities {
            let expected =
                Counts { files: entity.files, bytes: entity.bytes, records: entity.records, ..Counts::default() };
            assert_eq!(comparable(entity), expected);
            assert_eq!(counts[&entity.entity], expected);
        }
    }
}

fn comparable(summary: &EntitySummary) -> Counts {
    regrouped(Counts {
        files: summary.files,
        redelivered_files: summary.redelivered_files,
        drifted_files: summary.drifted_files,
        bytes: summary.bytes,
        records: summary.records,
        late: summary.late,
        duplicates: summary.duplicates,
        ties: summary.ties,
        deletes: summary.deletes,
        revivals: summary.revivals,
        stale: summary.stale,
        orphans: summary.orphans,
        broken: summary.broken.clone(),
    })
}

/// Counts a cut-off record as what it looks like, and other unreadable ones with it: half a line
/// of broken JSON is broken in one way or another.
fn regrouped(mut counts: Counts) -> Counts {
    let unreadable = [BrokenKind::Torn, BrokenKind::NotAnObject, BrokenKind::InvalidUtf8, BrokenKind::FieldCount];
    for kind in unreadable {
        if let Some(count) = counts.broken.remove(&kind) {
            *counts.broken.entry(BrokenKind::Malformed).or_default() += count;
        }
    }
    counts
}
