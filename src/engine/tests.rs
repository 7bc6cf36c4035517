//! Redshift's semantics, one expression a line, run through the whole engine.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{ArrayRef, Int32Array, RecordBatch, StringViewArray},
        datatypes::Schema,
        util::display::{ArrayFormatter, FormatOptions},
    },
    datasource::MemTable,
    prelude::SessionContext,
};
use futures::TryStreamExt as _;

use super::{JoinPreference, Limits, Purpose, SessionFactory, SqlText, plain, plan, run};
use crate::error::{Error, SourceFile};

fn session() -> SessionContext {
    session_with(JoinPreference::Hash)
}

fn session_with(joins: JoinPreference) -> SessionContext {
    let spill = std::env::temp_dir().join("smelt-engine-tests");
    let limits = Limits { memory: 64 << 20, threads: 2, spill, batch_size: 8192 };
    SessionFactory::new(limits).unwrap().session("shop", joins)
}

fn sql(text: &str) -> SqlText {
    SqlText::whole(SourceFile::new("q.sql", text))
}

/// The rows of a query, each value as text.
async fn rows(context: &SessionContext, text: &str) -> Result<Vec<Vec<String>>, String> {
    let plan = plan(context, &sql(text), Purpose::Query).await.map_err(|e| describe(&e))?;
    let frame = context.execute_logical_plan(plan).await.map_err(|e| e.to_string())?;
    Ok(as_texts(&frame.collect().await.map_err(|e| e.to_string())?))
}

fn as_texts(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for batch in batches {
        let options = FormatOptions::new().with_null("NULL");
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            found.push(columns.iter().map(|column| column.value(row).to_string()).collect());
        }
    }
    found
}

fn describe(error: &Error) -> String {
    format!(
        "{error} {:?} {:?} {:?}",
        error.place(),
        error.hint_text(),
        std::error::Error::source(error).map(ToString::to_string)
    )
}

#[tokio::test]
async fn expressions_mean_what_redshift_means() {
    let context = session();
    let mut wrong = Vec::new();
    for line in include_str!("expressions.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (expression, expected) = line.rsplit_once(" => ").expect("`expression => value`");
        let found = match rows(&context, &format!("select {expression}")).await {
            Ok(rows) => rows[0][0].clone(),
            Err(error) => format!("error: {error}"),
        };
        // The same over a column, so that nothing is folded away at planning.
        let matches = found == expected.trim() || (expected.trim() == "error" && found.starts_with("error"));
        if !matches {
            wrong.push(format!("{expression}\n   wanted {expected}\n   found  {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is done without the optimiser is what it would have given.
#[tokio::test]
async fn rows_in_memory_are_taken_as_planned_queries_would() {
    let context = session();
    let numbers: ArrayRef = Arc::new((0..20_i32).map(|n| (n % 7 > 0).then_some(n)).collect::<Int32Array>());
    let texts: ArrayRef =
        Arc::new((0..20).map(|n| (n % 5 > 0).then(|| format!("text {}", n % 3))).collect::<StringViewArray>());
    let rows_there = RecordBatch::try_from_iter_with_nullable([("n", numbers, true), ("t", texts, true)]).unwrap();
    let there =
        MemTable::try_new(rows_there.schema(), vec![vec![rows_there.slice(0, 9)], vec![rows_there.slice(9, 11)]]);
    context.register_table("gold.there", Arc::new(there.unwrap())).unwrap();
    let nothing = MemTable::try_new(rows_there.schema(), vec![vec![]]).unwrap();
    context.register_table("gold.nothing", Arc::new(nothing)).unwrap();
    let queries = [
        "select * from there",
        "select * from there where n is null",
        "select n from there where t not in ('text 1', 'text 2') or t is null",
        "select t, n + 1, n / 0.5 from (select n, t from there where n > 3) as some where t like '%1' and n < 17",
        "select 1 from there where false",
        "select current_date > date '2020-01-01' from there",
        "select case when n > 5 then upper(t) else 'few' end from there as th where coalesce(n, 8) in (8, 9, 10.0)",
        "select distinct t from there",
        "select distinct t, n % 2, 'one' as one, null as none from there where n > 2",
        "select b, 'x' from (select distinct 1 as a, t as b, n as c from there) as some where c in (4, 11)",
        "select t, n from there union all select t, n + 1 from there where n < 5",
        "select n from (select n, t from there union select n, t from there where n > 15) as both where t is not null",
        "select t, n % 2 from there group by n % 2, t",
        "select t, sum(cast(n as bigint)) from there group by t, t",
        "select t, null as unknown, sum(cast(n as bigint)) from nothing group by 1, 2",
        "select distinct n, unknown from (select null as unknown, n from nothing) as some where n > 1",
        "select t, sum(cast(n * 2 as bigint)) as twice from there group by t, n % 4 having sum(cast(n * 2 as bigint)) <> 6",
        "select k, s from (select t as k, n, sum(1) as s from there group by t, n) as sums where k <> 'text 1'",
    ];
    for query in queries {
        let plan = plan(&context, &sql(query), Purpose::Query).await.unwrap();
        assert!(plain::rows(&context.state(), &plan).unwrap().is_some(), "{query}");
        let types = |schema: &Schema| schema.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
        let expected = types(plan.schema().as_arrow());
        let ours: Vec<RecordBatch> = run(&context, plan).await.unwrap().try_collect().await.unwrap();
        assert!(ours.iter().all(|batch| types(&batch.schema()) == expected), "{query}");
        let mut planned = rows(&context, query).await.unwrap();
        // Several threads give them in any order.
        planned.sort();
        let mut ours = as_texts(&ours);
        ours.sort();
        assert_eq!(ours, planned, "{query}");
    }
    for query in [
        "select count(*) from there",
        "select distinct 1 from there",
        "select n, tenth from (select n, 10 / (n - 1) as tenth from there) as some where n <> 1",
        "select n, tenth from (select n, 10 / (n - 1) as tenth from there group by n, 10 / (n - 1)) as some where n <> 1",
        "select t, sum(cast(n as bigint)), count(*) from there group by t",
        "select t, sum(distinct cast(n as bigint)) from there group by t",
        "select t, sum(n) from there group by rollup (t)",
        "select n from there where n > (select min(n) from there)",
        "select n from there where n >= all (select n from there where n is not null)",
        "select n from there order by n limit 2",
    ] {
        let plan = plan(&context, &sql(query), Purpose::Query).await.unwrap();
        assert!(plain::rows(&context.state(), &plan).unwrap().is_none(), "{query}");
    }
    // Many rows are the planner's, and so are groups where queries are to spill.
    let many: ArrayRef = Arc::new((0..=128 * 1024).collect::<Int32Array>());
    let many = RecordBatch::try_from_iter([("n", many)]).unwrap();
    for (name, rows) in [("gold.many", many.num_rows()), ("gold.some", many.num_rows() - 1)] {
        let table = MemTable::try_new(many.schema(), vec![vec![many.slice(0, rows)]]).unwrap();
        context.register_table(name, Arc::new(table)).unwrap();
    }
    let mut spilling = context.state();
    spilling.config_mut().options_mut().optimizer.prefer_hash_join = false;
    for (query, here, where_spilling) in [
        ("select n from many where n > 1", false, false),
        ("select n from some where n > 1", true, true),
        ("select n from some union all select n from some where n < 3", false, false),
        ("select distinct n from some", true, false),
        ("select n, sum(cast(n as bigint)) from some group by n", true, false),
    ] {
        let plan = plan(&context, &sql(query), Purpose::Query).await.unwrap();
        assert_eq!(plain::rows(&context.state(), &plan).unwrap().is_some(), here, "{query}");
        assert_eq!(plain::rows(&spilling, &plan).unwrap().is_some(), where_spilling, "{query}");
    }
    let left_out = "select tenth from (select n, 10 / (n - 1) as tenth from there) as some where n <> 1";
    assert!(rows(&context, left_out).await.is_ok());
    let failing = plan(&context, &sql("select 1 / (n - n) from there"), Purpose::Query).await.unwrap();
    let failure = run(&context, failing).await.unwrap().try_collect::<Vec<RecordBatch>>().await;
    assert!(failure.is_err());
}

/// DataFusion's function of a name is gone, not hidden: it does not come back in sessions made from others.
#[tokio::test]
async fn functions_keep_their_meaning_in_sessions_made_from_others() {
    use datafusion::execution::SessionStateBuilder;
    for _ in 0..20 {
        let state = SessionStateBuilder::new_from_existing(session().state()).build();
        let context = SessionContext::new_with_state(state);
        let sql = "select to_char(timestamp '2024-01-05 10:00:00', 'YYYYMMDD'), date_trunc('week', date '2024-01-05')";
        assert_eq!(rows(&context, sql).await.unwrap(), [["20240105", "2024-01-01T00:00:00"]]);
    }
}

/// What is rounded has the scale that was planned, so that values beside it keep theirs.
#[tokio::test]
async fn rounded_decimals_and_others_are_of_one_type() {
    let context = session();
    let amounts = "(select cast(28.50 as decimal(18, 2)) as a union all select cast(50.00 as decimal(18, 2))) t";
    for (query, expected) in [
        (
            format!("select case when a > 30 then round(a, 0) else a end as b from {amounts} order by b"),
            ["28.50", "50.00"],
        ),
        (
            format!("select a from {amounts} where round(a, 1) in (select a from {amounts}) order by a"),
            ["28.50", "50.00"],
        ),
        (format!("select round(a, 0) as b from {amounts} group by round(a, 0) order by b"), ["29", "50"]),
    ] {
        let found = rows(&context, &query).await.unwrap();
        assert_eq!(found.into_iter().flatten().collect::<Vec<_>>(), expected, "{query}");
    }
}

/// Conditions stay with their columns, whatever joins do with the sides and however columns are called.
#[tokio::test]
async fn columns_of_one_name_are_told_apart() {
    let values = |numbers: &[i64]| {
        let rows: Vec<String> = numbers.iter().map(|number| format!("select {number} as n")).collect();
        format!("({})", rows.join(" union all "))
    };
    let (few, more) = (values(&[1, 2]), values(&[3, 4, 5]));
    let right = format!("select b.n from {more} a right join {few} b on a.n = b.n where a.n = 0 or a.n is null");
    let least = "select o.amount, p.amount from (select 1 as id, 300 as amount union all select 2, 100) o
        join (select 1 as id, 10 as amount union all select 2, 30) p on o.id = p.id
        join (select 1 as id union all select 2) c on p.id = c.id order by p.amount limit 1";
    let as_of = "select a.b, c.b from (select 100 as a, 1 as b, 0 as c) a
        join (select 10 as a, 1 as b) c on a.b = c.b and a.a > c.a";
    let one_branch = "with l as (select 1 as k, 5 as v), r as (select 1 as k, 0 as v)
        select u.v from (select l.k, r.v from l join r on l.k = r.k union all select k, v from l where 1 = 0) u
        where u.v < u.k";
    for joins in [JoinPreference::Hash, JoinPreference::SortMerge] {
        let context = session_with(joins);
        let mut found = rows(&context, &right).await.unwrap();
        found.sort();
        assert_eq!(found, [["1"], ["2"]], "{joins:?}");
        assert_eq!(rows(&context, least).await.unwrap(), [["300", "10"]], "{joins:?}");
        assert_eq!(rows(&context, as_of).await.unwrap(), [["1", "1"]], "{joins:?}");
        assert_eq!(rows(&context, one_branch).await.unwrap(), [["0"]], "{joins:?}");
    }
}

/// Also where the engine adds groups to those that were asked for.
#[tokio::test]
async fn a_group_that_is_asked_for_twice_is_one() {
    let context = session();
    let tables =
        "with t as (select 1 as a, 7 as v union all select 2, 9), u as (select a, max(v) as k from t group by a)";
    let twice = "select a, a as b, sum(k) as s, count(*) as n, sum(k + 1) as m from u group by a, a";
    for query in [twice.to_owned(), format!("select a, b, sum(s), sum(n), sum(m) from ({twice}) as g group by a, b")] {
        let mut found = rows(&context, &format!("{tables} {query}")).await.unwrap();
        found.sort();
        assert_eq!(found, [["1", "1", "7", "1", "8"], ["2", "2", "9", "1", "10"]], "{query}");
    }
}

/// What the engine believes of keys takes no groups away: not behind a join, below DISTINCT or where a key is missing.
#[tokio::test]
async fn groups_that_were_asked_for_stay() {
    let context = session();
    let tables = "with o as (select 1 as k, 1 as y, 1 as z union all select 1, 1, 2 union all select 1, 2, 1 \
                  union all select 2, 1, 1 union all select null, 1, 1 union all select null, 2, 9), \
                  x as (select k, count(*) as s from o group by k)";
    for (groups, expected) in [
        (
            "select k, y, count(*) as n from (select x.k, o.y, o.z from x join o on x.k = o.k group by x.k, o.y, o.z) as g group by k, y",
            3,
        ),
        (
            "select k, y, count(*) as n from (select distinct x.k, o.y, o.z from x join o on x.k = o.k) as g group by k, y",
            3,
        ),
        (
            "select distinct k, y from (select x.k, o.y, max(o.z) as z from x join o on x.k = o.k group by x.k, o.y) as g",
            3,
        ),
        ("select x.k, x.s, count(*) as n from o left join x on o.z + 1 = x.s group by x.k, x.s", 3),
        (
            "select g.k, g.y from (select x.k, o.y from x join o on x.k = o.k group by x.k, o.y) as g join o on g.k = o.k",
            7,
        ),
    ] {
        let found = rows(&context, &format!("{tables} select count(*) from ({groups}) as q")).await.unwrap();
        assert_eq!(found, [[expected.to_string()]], "{groups}");
    }
}

/// The condition is known to be false before any row is read, and there is still none.
#[tokio::test]
async fn the_row_that_an_aggregate_gives_of_nothing_is_left_out_by_conditions() {
    let context = session();
    let tables = "with o as (select 1 as k union all select 2)";
    for query in [
        "select * from (select 5 as x, count(*) as n from o) as t where x = 1",
        "select * from (select null::int as x, count(*) as n from o union all select 2, 3) as t where x = 1",
        "select * from (select k, 5 as x, count(*) as n from o group by rollup(k)) as t where x = 1 and n < 9",
        "select * from (select k, 5 as x, count(*) as n from o group by grouping sets ((k), ())) as t where x = 1",
        "select u.k, t.n from (select null::int as x, count(*) as n from o) as t join o as u on t.x = u.k",
    ] {
        assert_eq!(rows(&context, &format!("{tables} {query}")).await.unwrap(), [[""; 0]; 0], "{query}");
    }
    let kept = format!("{tables} select * from (select 5 as x, count(*) as n from o where k > 2) as t where x = 5");
    assert_eq!(rows(&context, &kept).await.unwrap(), [["5", "0"]]);
}

/// Two columns ask whether `k` is NULL, and what is grouped by them comes from a union.
#[tokio::test]
async fn columns_that_are_never_null_are_grouped_by_whoever_sees_that() {
    let context = session();
    let never_null = "select coalesce(k, 0) as a, coalesce(k, y) as b from o";
    for groups in ["select a, b, count(*) from u group by a, b", "select distinct a, b, 2 from u"] {
        let query = format!(
            "with o as (select 1 as k, 4 as y union all select null, 5), u as ({never_null} union all {never_null}) {groups}"
        );
        let mut found = rows(&context, &query).await.unwrap();
        found.sort();
        assert_eq!(found, [["0", "5", "2"], ["1", "1", "2"]], "{groups}");
    }
}

/// Rows of `t(n, k, o, v)`: `n` is unique, keys repeat, come in any order and may be NULL.
fn scattered(seed: u64, rows: u64) -> String {
    let mut state = seed;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let value = |number: u64| if number == 0 { "NULL".to_owned() } else { format!("'v{number}'") };
    let selects: Vec<String> = (0..rows)
        .map(|n| {
            format!(
                "SELECT {n} AS n, CAST({} AS VARCHAR) AS k, {} AS o, CAST({} AS VARCHAR) AS v",
                value(next(5)),
                next(4),
                value(next(3))
            )
        })
        .collect();
    selects.join(" UNION ALL ")
}

#[tokio::test]
async fn adjacent_rows_are_those_of_the_plain_window_operator() {
    let folder = tempfile::TempDir::new().unwrap();
    for seed in 0..24 {
        let table = scattered(seed, 1 + seed * 2);
        // A default makes DataFusion's own operator work; no value is equal to it.
        let windows = |default: &str| {
            format!(
                "SELECT n, NULLIF(LAG(v{default}) OVER w, '-'), NULLIF(LEAD(v{default}) OVER w, '-'), ROW_NUMBER() OVER w, NULLIF(LEAD(v{default}) OVER back, '-')
                 FROM ({table}) AS t WINDOW w AS (PARTITION BY k ORDER BY o, n), back AS (PARTITION BY k ORDER BY o DESC, n DESC) ORDER BY n"
            )
        };
        let limits =
            Limits { memory: 64 << 20, threads: 2, spill: folder.path().into(), batch_size: 1 + seed as usize % 5 };
        let context = SessionFactory::new(limits).unwrap().session("shop", JoinPreference::Hash);
        let found = rows(&context, &windows("")).await.unwrap();
        assert_eq!(found, rows(&context, &windows(", 1, '-'")).await.unwrap(), "seed {seed}");
        let shown = rows(&context, &format!("EXPLAIN {}", windows(""))).await.unwrap().concat().concat();
        assert!(shown.contains("AdjacentRowsExec") && !shown.contains("BoundedWindowAggExec"), "{shown}");
        let shown = rows(&context, &format!("EXPLAIN {}", windows(", 1, '-'"))).await.unwrap().concat().concat();
        assert!(shown.contains("BoundedWindowAggExec"), "{shown}");
    }
}
