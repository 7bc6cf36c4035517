//! Answers written out, over the warehouse in memory.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use datafusion::{arrow::datatypes::DataType, prelude::SessionContext};

use super::*;
use crate::serve::{
    Warehouse as _,
    tests::fixture::{MemoryWarehouse, TestEngine},
};

async fn questions() -> Questions {
    let view = MemoryWarehouse::new().await.newest().await.unwrap();
    Questions::new(view, TestEngine::new(64 << 20)).unwrap()
}

async fn written(sql: &str, format: Format, page: Page) -> String {
    let answer = questions().await.ask(&only(sql).unwrap()).await.unwrap();
    let mut out = Vec::new();
    write(answer, format, page, &mut out).await.unwrap();
    String::from_utf8(out).unwrap()
}

const MIXED: &str = "
    select 1 as id, cast(1234567890123456.78 as decimal(18,2)) as amount, 'a,\"b\"' as note,
        timestamp '2024-05-01 12:30:00.25' as at, true as flag, 0.5::double precision as ratio
    union all select 2, null, '', null, false, 'NaN'::double precision
    union all select 3, cast(-0.05 as decimal(18,2)), null, timestamp '1999-12-31 00:00:00', null, null
    union all select 4, cast(0 as decimal(18,2)), E'two\\nlines \\u001B[31m', null, null, '1e300'::double precision
    order by id";

#[tokio::test]
async fn csv_tells_null_from_empty_text_and_keeps_every_digit() {
    assert_eq!(
        written(MIXED, Format::Csv, Page::ENDLESS).await.lines().take(4).collect::<Vec<_>>(),
        [
            "id,amount,note,at,flag,ratio",
            "1,1234567890123456.78,\"a,\"\"b\"\"\",2024-05-01 12:30:00.25,true,0.5",
            "2,,\"\",,false,NaN",
            "3,-0.05,,1999-12-31 00:00:00,,",
        ]
    );
}

#[tokio::test]
async fn json_has_decimals_as_texts_and_no_invalid_number() {
    let text = written(MIXED, Format::Json, Page::ENDLESS).await;
    let rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        rows[0],
        serde_json::json!({"id": 1, "amount": "1234567890123456.78", "note": "a,\"b\"", "at": "2024-05-01T12:30:00.25", "flag": true, "ratio": 0.5})
    );
    assert_eq!(
        rows[1],
        serde_json::json!({"id": 2, "amount": null, "note": "", "at": null, "flag": false, "ratio": "NaN"})
    );
    assert_eq!(rows[3]["note"], "two\nlines \u{1b}[31m");
    assert_eq!(rows[3]["ratio"], 1e300);
}

#[tokio::test]
async fn a_table_is_aligned_and_cannot_talk_to_the_terminal() {
    let text = written(
        "select 1 as id, E'x\\u001B[2J\\ny' as note union all select 22, '中文' union all select 333, null order by id",
        Format::Table,
        Page::ENDLESS,
    )
    .await;
    assert_eq!(
        text,
        concat!(
            " id  | note\n",
            "-----+------------------\n",
            "   1 | x\\u{1b}[2J\\ny\n",
            "  22 | 中文\n",
            " 333 | NULL\n",
            "(3 rows)\n"
        )
        .replace("------------------", &"-".repeat(r"x\u{1b}[2J\ny".len() + 2))
    );
}

#[tokio::test]
async fn a_terminal_gets_what_fits_and_is_told_of_the_rest() {
    let narrow = Page { width: Some(40), rows: Some(3), layout: Layout::Fit };
    let text =
        written("select order_id, customer_key from fact_orders order by ordered_at", Format::Table, narrow).await;
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.iter().take(5).all(|line| line.chars().count() <= 40), "{text}");
    assert!(lines[2].contains('…') && lines[2].starts_with(" O-1"), "{text}");
    assert!(lines[5].starts_with("(the first 3 rows"), "{text}");
    assert_eq!(
        written("select 1 as a union all select 1 union all select 1", Format::Table, narrow).await.lines().last(),
        Some("(3 rows)")
    );

    let many = "select * from fact_orders order by ordered_at limit 1";
    let records = written(many, Format::Table, narrow).await;
    assert!(records.starts_with("-[ record 1 ]-\norder_id         | O-1\n"), "{records}");
    assert_eq!(
        written(many, Format::Table, Page { layout: Layout::Columns, ..Page::ENDLESS }).await.lines().count(),
        4
    );
}

/// Takes some bytes, then is gone, as `head` is.
struct Gone(usize);

impl Write for Gone {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_error() {
    for format in [Format::Table, Format::Csv, Format::Json, Format::Parquet] {
        let answer = questions().await.ask(&only("select * from fact_orders a, dim_date").unwrap()).await.unwrap();
        let written = write(answer, format, Page::ENDLESS, &mut Gone(50_000)).await.unwrap();
        assert!(!written.complete, "{format:?}");
    }
}

#[tokio::test]
async fn only_questions_are_asked() {
    let questions = questions().await;
    for (sql, state) in [
        ("drop table fact_orders", "25006"),
        ("set a = 1", "0A000"),
        ("copy fact_orders to 'x.csv'", "42501"),
        ("select * from 'x.csv'", "42P01"),
    ] {
        assert_eq!(questions.ask(&only(sql).unwrap()).await.err().unwrap().state, state, "{sql}");
    }
    assert!(only("select 1; select 2").is_err());
}

/// Reads Parquet back with another reader's defaults, and counts and adds up.
async fn counted(path: &Path, sum: &str) -> (u64, String) {
    let context = SessionContext::new();
    context
        .register_parquet("t", path.to_string_lossy(), datafusion::prelude::ParquetReadOptions::default())
        .await
        .unwrap();
    let batches =
        context.sql(&format!("select count(*), cast({sum} as varchar) from t")).await.unwrap().collect().await.unwrap();
    let count = ColumnText::new(batches[0].column(0), Spelling::Plain).unwrap();
    let sum = ColumnText::new(batches[0].column(1), Spelling::Plain).unwrap();
    let (mut first, mut second) = (String::new(), String::new());
    count.write(0, &mut first).unwrap();
    sum.write(0, &mut second).unwrap();
    (first.parse().unwrap(), second)
}

fn options(folder: &Path) -> ExportOptions {
    ExportOptions { folder: folder.to_owned(), tables: Vec::new(), all: false, force: false, part_bytes: PART_BYTES }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn exported_tables_hold_every_row_in_plain_types() {
    let (view, engine) = (MemoryWarehouse::new().await.newest().await.unwrap(), TestEngine::new(64 << 20));
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("out");
    let exported = export(&view, engine.as_ref(), &options(&folder), |_| {}).await.unwrap();
    assert_eq!(
        names(&folder),
        ["daily_sales", "dim_customers", "dim_date", "fact_order_items", "fact_orders", "published"]
    );
    let orders = exported.iter().find(|table| table.table == "fact_orders").unwrap();
    assert_eq!((orders.rows, orders.files), (5000, 1));
    assert_eq!(counted(&folder.join("fact_orders"), "sum(net_amount)").await, (5000, "15628125.00".into()));

    let file = fs::File::open(folder.join("fact_orders/part-00000.parquet")).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let field = reader.schema().field_with_name("ordered_at").unwrap();
    assert_eq!(*field.data_type(), DataType::Timestamp(datafusion::arrow::datatypes::TimeUnit::Microsecond, None));
    assert_eq!(orders.bytes, fs::metadata(folder.join("fact_orders/part-00000.parquet")).unwrap().len());

    let error = export(&view, engine.as_ref(), &options(&folder), |_| {}).await.unwrap_err();
    assert!(error.message().contains("not empty"));
}

#[tokio::test]
async fn parts_are_cut_by_size_and_replaced_only_by_force() {
    let (view, engine) = (MemoryWarehouse::new().await.newest().await.unwrap(), TestEngine::new(64 << 20));
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    fs::write(folder.join("notes.txt"), "mine").unwrap();
    fs::create_dir(folder.join(".smelt-export-dead")).unwrap();
    let mut chosen = options(folder);
    chosen.tables = vec!["fact_order_items".into(), "staging.orders_cleaned".into(), "fact_order_items".into()];
    assert!(export(&view, engine.as_ref(), &chosen, |_| {}).await.is_err(), "the folder is not empty");

    chosen.force = true;
    chosen.part_bytes = 50_000;
    let exported = export(&view, engine.as_ref(), &chosen, |_| {}).await.unwrap();
    assert_eq!(names(folder), ["fact_order_items", "notes.txt", "orders_cleaned"]);
    let items = exported.iter().find(|table| table.table == "fact_order_items").unwrap();
    assert!(items.files > 1, "{items:?}");
    assert_eq!(names(&folder.join("fact_order_items")).len(), items.files);
    assert_eq!(counted(&folder.join("fact_order_items"), "sum(quantity)").await, (12_000, "24000".into()));

    chosen.part_bytes = PART_BYTES;
    export(&view, engine.as_ref(), &chosen, |_| {}).await.unwrap();
    assert_eq!(names(&folder.join("fact_order_items")), ["part-00000.parquet"], "the old parts are gone");

    chosen.tables = vec!["fact_order_item".into()];
    let error = export(&view, engine.as_ref(), &chosen, |_| {}).await.unwrap_err();
    assert!(error.hint_text().unwrap().contains("fact_order_items"));
}

#[tokio::test]
async fn a_view_lives_as_long_as_its_answer() {
    let guard = Arc::new(());
    let view = MemoryWarehouse::new().await.newest().await.unwrap();
    let view = Arc::new(View::new(view.snapshot, view.tables.clone()).keeping(Arc::clone(&guard)));
    let questions = Questions::new(view, TestEngine::new(64 << 20)).unwrap();
    let mut answer = questions.ask(&only("select * from fact_orders").unwrap()).await.unwrap();
    drop(questions);
    assert_eq!(Arc::strong_count(&guard), 2, "an answer that is being read keeps its view");
    while answer.next().await.is_some() {}
    drop(answer);
    assert_eq!(Arc::strong_count(&guard), 1);
}
