//! What a planned model looks like, and what may not be planned.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::RecordBatch,
        datatypes::{DataType, Field, Schema, TimeUnit},
    },
    common::{Constraint, Constraints},
    datasource::MemTable,
    prelude::SessionContext,
};
use futures::TryStreamExt as _;
use tempfile::TempDir;

use crate::{
    engine::{JoinPreference, Limits, SessionFactory},
    error::Result,
    gold::{self, Models, Planned},
};

pub(super) fn session(spill: &TempDir) -> SessionContext {
    let limits = Limits { memory: 256 << 20, threads: 2, spill: spill.path().to_owned(), batch_size: 8192 };
    SessionFactory::new(limits).unwrap().session("shop", JoinPreference::Hash)
}

/// `staging.t(id, k, at, price, ratio)`, where `id` is the primary key.
fn table() -> MemTable {
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int32, false),
        Field::new("k", DataType::Utf8View, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("price", DataType::Decimal128(18, 2), true),
        Field::new("ratio", DataType::Float64, true),
    ]));
    let empty = RecordBatch::new_empty(Arc::clone(&schema));
    MemTable::try_new(schema, vec![vec![empty]])
        .unwrap()
        .with_constraints(Constraints::new_unverified(vec![Constraint::PrimaryKey(vec![0])]))
}

async fn plan_with(select: &str, columns: &str) -> Result<Planned> {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir_all(folder.path().join("models")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("dbt_project.yml", "name: shop\n");
    write("models/m.sql", &select.replace("FROM t", "FROM {{ source('staging', 't') }}"));
    write("models/schema.yml", &format!("models:\n  - name: m\n    meta: {{owner: me}}\n    columns: {columns}\n"));
    let models = Models::read(folder.path(), &["t".to_owned()].into())?;
    let context = session(&folder);
    context.register_table("staging.t", Arc::new(table())).unwrap();
    gold::plan(&context, models.get("m")?).await
}

async fn refusal(select: &str) -> (usize, String) {
    let error = plan_with(select, "[]").await.expect_err(select);
    let line = error.place().map_or(0, |(_, line, _)| line);
    (line, format!("{error} / {}", error.hint_text().unwrap_or_default()))
}

#[tokio::test]
async fn output_has_stored_types_all_nullable_and_its_keys() {
    let select = "SELECT id, k, COUNT(*) OVER (PARTITION BY k) AS n, ROW_NUMBER() OVER (PARTITION BY k ORDER BY id) AS place,
        CAST(at AS DATE) AS day, at, price * 2 AS twice, ratio, TRUE AS yes, 'x' AS word, CAST(3 AS SMALLINT) AS three FROM t";
    let planned = plan_with(select, "[]").await.unwrap();
    let types: Vec<(&str, DataType)> =
        planned.schema.fields().iter().map(|field| (field.name().as_str(), field.data_type().clone())).collect();
    assert_eq!(
        types,
        [
            ("id", DataType::Int32),
            ("k", DataType::Utf8View),
            ("n", DataType::Int64),
            ("place", DataType::Int64),
            ("day", DataType::Date32),
            ("at", DataType::Timestamp(TimeUnit::Microsecond, None)),
            ("twice", DataType::Decimal128(38, 2)),
            ("ratio", DataType::Float64),
            ("yes", DataType::Boolean),
            ("word", DataType::Utf8View),
            ("three", DataType::Int32),
        ]
    );
    assert!(planned.schema.fields().iter().all(|field| field.is_nullable()));
    assert_eq!(planned.keys, [vec![0], vec![1, 3]]);
    let spill = TempDir::new().unwrap();
    let context = session(&spill);
    let batches: Vec<RecordBatch> =
        gold::execute(&context, planned.plan.clone(), &planned.schema, planned.order.clone())
            .await
            .unwrap()
            .try_collect()
            .await
            .unwrap();
    assert!(batches.iter().all(|batch| batch.schema() == planned.schema));
}

#[tokio::test]
async fn keys_follow_through_joins_groups_unions_and_first_rows() {
    for (select, keys) in [
        ("SELECT k, COUNT(*) AS n FROM t GROUP BY k", vec![vec![0]]),
        ("SELECT COUNT(*) AS n FROM t", vec![vec![]]),
        ("SELECT DISTINCT k FROM t", vec![vec![0]]),
        ("SELECT k, id FROM t WHERE k = 'a'", vec![vec![1]]),
        ("SELECT k, at FROM t", vec![]),
        // The latest row of each k.
        (
            "SELECT k, at FROM (SELECT k, at, ROW_NUMBER() OVER (PARTITION BY k ORDER BY at, id) AS place FROM t) AS x WHERE place = 1",
            vec![vec![0]],
        ),
        (
            "SELECT a.id, b.price FROM {{ source('staging', 't') }} AS a LEFT JOIN {{ source('staging', 't') }} AS b ON a.id = b.id AND a.at > b.at",
            vec![vec![0]],
        ),
        (
            "SELECT a.id, b.id AS other FROM {{ source('staging', 't') }} AS a LEFT JOIN {{ source('staging', 't') }} AS b ON a.k = b.k",
            vec![vec![0, 1]],
        ),
        (
            "SELECT a.id, b.id AS other FROM {{ source('staging', 't') }} AS a FULL JOIN {{ source('staging', 't') }} AS b ON a.k = b.k",
            vec![vec![0, 1]],
        ),
        // A group of NULL on either side, neither with a partner.
        (
            "SELECT a.k, b.k AS other FROM (SELECT k FROM {{ source('staging', 't') }} GROUP BY k) AS a FULL JOIN (SELECT k FROM {{ source('staging', 't') }} GROUP BY k) AS b ON a.k = b.k",
            vec![],
        ),
        (
            "SELECT a.n, b.n AS other FROM (SELECT COUNT(*) AS n FROM {{ source('staging', 't') }}) AS a FULL JOIN (SELECT COUNT(id) + 1 AS n FROM {{ source('staging', 't') }}) AS b ON a.n = b.n",
            vec![],
        ),
        ("SELECT id, FALSE AS gone FROM t UNION ALL SELECT id, TRUE FROM t", vec![vec![0, 1]]),
        ("SELECT id, FALSE AS gone FROM t UNION ALL SELECT id, FALSE FROM t", vec![]),
        ("SELECT id, CAST(1 AS INT) AS part FROM t UNION ALL SELECT id, CAST(1 AS BIGINT) FROM t", vec![]),
        ("SELECT id, 'a' AS part FROM t UNION ALL SELECT id, CAST('a' AS VARCHAR) FROM t", vec![]),
        ("SELECT id, 1 AS part FROM t UNION ALL SELECT id, CAST(2 AS DECIMAL(10, 2)) FROM t", vec![vec![0, 1]]),
    ] {
        let planned = plan_with(select, "[]").await.unwrap_or_else(|e| panic!("{select}: {e} {:?}", e.hint_text()));
        assert_eq!(planned.keys, keys, "{select}");
    }
}

#[tokio::test]
async fn rows_that_depend_on_order_chance_or_time_are_refused_with_the_way_out() {
    for (select, line, message) in [
        (
            "SELECT id,\n ROW_NUMBER() OVER (PARTITION BY k ORDER BY at) AS place FROM t",
            2,
            "may tie / add to the ORDER BY: id",
        ),
        ("SELECT id,\n LAG(price) OVER (ORDER BY at) AS before FROM t", 2, "add to the ORDER BY: id"),
        (
            "SELECT id,\n SUM(price) OVER (PARTITION BY k ORDER BY at ROWS UNBOUNDED PRECEDING) AS so_far FROM t",
            2,
            "may tie",
        ),
        (
            "SELECT k, LISTAGG(id, ',') WITHIN GROUP (ORDER BY at) AS ids FROM t GROUP BY k",
            1,
            "add to the ORDER BY: id",
        ),
        ("SELECT k, LISTAGG(id, ',') AS ids FROM t GROUP BY k", 1, "WITHIN GROUP"),
        (
            "SELECT k,\n LISTAGG(CAST(price AS VARCHAR), ',') WITHIN GROUP (ORDER BY CAST(price AS INT)) AS l FROM t GROUP BY k",
            2,
            "may tie / add to the ORDER BY: id",
        ),
        ("SELECT k,\n ANY_VALUE(id) AS x FROM t GROUP BY k", 2, "by chance / use MIN or MAX"),
        ("SELECT id,\n ANY_VALUE(k) OVER (PARTITION BY at) AS x FROM t", 2, "by chance / use MIN or MAX"),
        ("SELECT k,\n SUM(ratio) AS total FROM t GROUP BY k", 2, "cast to DECIMAL first"),
        ("SELECT AVG(ratio) AS mean FROM t", 1, "cast to DECIMAL first"),
        ("SELECT id FROM t LIMIT 3", 1, "LIMIT without ORDER BY"),
        ("SELECT id, at FROM t ORDER BY at LIMIT 3", 1, "may tie / add to the ORDER BY: id"),
        ("SELECT id,\n GETDATE() AS now FROM t", 2, "a model cannot use `getdate`"),
        ("SELECT id FROM t WHERE at <\n CURRENT_DATE", 2, "a model cannot use `current_date`"),
        ("SELECT id, SYSDATE AS now FROM t", 1, "a model cannot use `sysdate`"),
        ("SELECT id, RANDOM() AS x FROM t", 1, "a model cannot use `random`"),
        ("SELECT id FROM t\nWHERE k IS DISTINCT FROM 'x'", 2, "DECODE"),
        ("SELECT id, SUM(price) OVER (PARTITION BY k ORDER BY id) AS x FROM t", 1, "name its frame"),
        ("SELECT id,\n STRING_AGG(k, ',') AS x FROM t GROUP BY id", 2, "LISTAGG"),
        (
            "SELECT t.id FROM t\nRIGHT SEMI JOIN {{ source('staging', 't') }} AS o ON t.id = o.id",
            2,
            "EXISTS for a semi-join",
        ),
        (
            "SELECT t.id FROM t CROSS JOIN\n({{ source('staging', 't') }} AS a LEFT ANTI JOIN\n{{ source('staging', 't') }} AS o ON a.id = o.id)",
            3,
            "NOT EXISTS for an anti-join",
        ),
        (
            "SELECT id FROM t AS a\nFULL JOIN {{ source('staging', 't') }} AS b USING (id)",
            2,
            "cannot merge columns / write ON, and COALESCE",
        ),
        ("SELECT a.k FROM t AS a NATURAL RIGHT JOIN {{ source('staging', 't') }} AS b", 1, "cannot merge columns"),
        ("SELECT x.a FROM (VALUES (1)) AS x (a)", 1, "VALUES"),
        ("SELECT id,\n pricee FROM t", 2, "did you mean `staging.t.price`?"),
        ("SELECT id,\n nvll(k, 'x') AS k FROM t", 2, "there is no function `nvll` / did you mean `nvl`?"),
        ("SELECT id, DATEDIFF(fortnight, at, at) AS x FROM t", 1, "`fortnight` is not a date part"),
        ("SELECT id + 1 FROM t", 1, "has no name of its own"),
        (
            "SELECT a.id, b.id FROM {{ source('staging', 't') }} AS a CROSS JOIN {{ source('staging', 't') }} AS b",
            1,
            "two columns called `id`",
        ),
        ("SELECT id, NULL AS nothing FROM t", 1, "cast it"),
        (
            "SELECT a.id FROM {{ source('staging', 't') }} AS a\nCROSS JOIN {{ source('staging', 't') }} AS b WHERE at IS NULL",
            2,
            "in several tables",
        ),
    ] {
        let (found, text) = refusal(select).await;
        assert!(text.contains(message), "{select}\n{text}");
        assert_eq!(found, line, "{select}\n{text}");
    }
}

#[tokio::test]
async fn ties_that_change_nothing_are_allowed() {
    for select in [
        "SELECT id, RANK() OVER (PARTITION BY k ORDER BY at) AS place FROM t",
        "SELECT id, SUM(price) OVER (PARTITION BY k) AS total FROM t",
        "SELECT k, LISTAGG(price, ',') WITHIN GROUP (ORDER BY price) AS prices FROM t GROUP BY k",
        "SELECT k, LISTAGG(CAST(price AS VARCHAR), ',') WITHIN GROUP (ORDER BY CAST(price AS VARCHAR)) AS x FROM t GROUP BY k",
        "SELECT id, k FROM t ORDER BY k, id LIMIT 3",
        "SELECT AVG(price) AS mean, AVG(id) AS whole FROM t",
    ] {
        plan_with(select, "[]").await.unwrap_or_else(|e| panic!("{select}: {e} {:?}", e.hint_text()));
    }
}

#[tokio::test]
async fn what_yaml_says_about_columns_must_be_true() {
    plan_with("SELECT id, price FROM t", "[{name: id, data_type: int}, {name: price, data_type: 'NUMERIC(18, 2)'}]")
        .await
        .unwrap();
    for (columns, message) in
        [("[{name: idd}]", "did you mean `id`?"), ("[{name: id, data_type: bigint}]", "is integer, not bigint")]
    {
        let error = plan_with("SELECT id, price FROM t", columns).await.unwrap_err();
        assert!(format!("{error} {:?}", error.hint_text()).contains(message), "{error}");
        assert_eq!(error.place().map(|(file, line, _)| (file.to_owned(), line)), Some(("models/schema.yml".into(), 4)));
    }
}
