//! The cases in which incremental systems go wrong, each by its name. The tables `t0`, `t1` and `t2` have
//! the columns k, g and v (numbers), s (text), d (decimal), and n, which is unique.
//!
//! None of these models may be computed whole.

use datafusion::{
    common::{
        JoinType, NullEquality,
        tree_node::{TreeNode as _, TreeNodeRecursion},
    },
    logical_expr::{Join, LogicalPlan},
};

use super::{
    appearing,
    cases::{Counts, Outcome, follow_queries},
    data::{Batch, Change, Row},
    of_case,
    sql::Query,
};
use crate::planner::{Part, Whole};

/// A row: k, g and v; then, if they matter, s and d, which are told by number. `-` is NULL.
fn row(text: &str) -> Row {
    let mut values = text.split(' ').map(|value| value.parse::<u8>().ok());
    let mut next = || values.next().flatten();
    Row { world: 0, numbers: [next(), next(), next()], text: next(), decimal: next() }
}

fn insert(table: u8, text: &str) -> (u8, Change) {
    (table, Change::Insert(row(text)))
}

/// Deletes the row at a place; those after it move up.
fn delete(table: u8, place: usize) -> (u8, Change) {
    (table, Change::Delete(place))
}

/// Gives a row another value of `k`, `g` or `v`.
fn set(table: u8, place: usize, column: &str, value: impl Into<Option<u8>>) -> (u8, Change) {
    let column = ["k", "g", "v"].iter().position(|name| *name == column).unwrap() as u8;
    (table, Change::Set(place, column, value.into()))
}

/// Follows models, each of which may read those before it as m0, m1, ... (with columns c0, c1, ...), through batches. Of the last one:
/// the keys that were recomputed and those that changed, by batch.
fn follow(models: &[&str], tables: [&[&str]; 3], batches: &[Batch]) -> Vec<Counts> {
    let queries: Vec<_> = models.iter().map(|sql| (Query::written(sql), Vec::new())).collect();
    let tables = tables.map(|rows| rows.iter().map(|text| row(text)).collect());
    let count = queries.len();
    let outcomes = of_case(follow_queries(queries, &[], &tables, batches)).unwrap();
    assert_eq!(outcomes.len(), count * batches.len());
    let counts = outcomes.into_iter().map(|outcome| match outcome {
        Outcome::Equal(counts) => counts,
        Outcome::Untouched => Counts::default(),
        other => panic!("{models:?}: {other:?}"),
    });
    counts.skip(count - 1).step_by(count).collect()
}

/// Why a model is computed whole with each of the batches; the shape is that for which it may be.
fn whole(sql: &str, shape: &'static str, tables: [&[&str]; 3], batches: &[Batch]) -> Whole {
    let tables = tables.map(|rows| rows.iter().map(|text| row(text)).collect());
    let models = vec![(Query::totals(sql), vec![shape])];
    let outcomes = of_case(follow_queries(models, &[], &tables, batches)).unwrap();
    let mut why = outcomes.into_iter().map(|outcome| match outcome {
        Outcome::Whole(why) => why,
        other => panic!("{sql}: {other:?}"),
    });
    let first = why.next().unwrap();
    assert!(why.all(|other| other == first));
    first
}

fn changed(counts: &[Counts]) -> Vec<usize> {
    counts.iter().map(|counts| counts.changed).collect()
}

/// The part does not change, and only the keys of its rows are looked up; of its list that would leave nothing, in which
/// NULL is not.
#[test]
fn the_list_of_not_in_is_whole_where_only_null_is_looked_up() {
    let kept = "select l.k as kept, t.k, t.v from \
                (select k from staging.t0 where k not in (select n from staging.t2)) l full join staging.t1 t on l.k = t.k";
    let tables: [&[&str]; 3] = [&["- 0 0", "1 0 0", "7 0 0"], &["5 0 0", "6 0 0"], &["0 0 0", "0 0 0"]];
    let counts = follow(&[kept], tables, &[vec![delete(1, 0)], vec![insert(1, "- 0 0")]]);
    assert_eq!(changed(&counts), [1, 1]);
}

#[test]
fn a_newer_version_that_is_filtered_hides_the_one_before_it() {
    let newest = "select k, g from (select *, row_number() over (partition by k order by g desc) as rn from staging.t0) \
                  where rn = 1 and v = 0";
    let counts = follow(&[newest], [&["1 1 0", "2 1 0"], &[], &[]], &[vec![insert(0, "1 2 1")], vec![delete(0, 2)]]);
    assert_eq!(changed(&counts), [1, 1]);
    assert!(counts.iter().all(|counts| counts.affected == 1), "{counts:?}");
}

#[test]
fn a_newer_version_without_a_partner_hides_the_one_before_it() {
    let newest = "select t.k, t.g from (select *, row_number() over (partition by k order by g desc) as rn from staging.t0) t \
                  join staging.t1 c on t.v = c.k where rn = 1";
    let counts =
        follow(&[newest], [&["1 1 7"], &["7 0 0"], &[]], &[vec![insert(0, "1 2 9")], vec![insert(1, "9 0 0")]]);
    assert_eq!(changed(&counts), [1, 1]);
}

const AS_OF: &str = "select o.n, w.g, w.valid_to from staging.t0 o join \
                     (select *, lead(g) over (partition by k order by g) as valid_to from staging.t1) w \
                     on o.k = w.k and o.v >= w.g and (o.v < w.valid_to or w.valid_to is null)";

#[test]
fn a_later_version_ends_the_one_that_a_fact_found() {
    let counts = follow(&[AS_OF], [&["1 0 1", "1 0 3"], &["1 0 0"], &[]], &[vec![insert(1, "1 2 0")]]);
    assert_eq!(changed(&counts), [2]);
}

#[test]
fn a_late_version_in_the_middle_of_history_repoints_facts() {
    let tables: [&[&str]; 3] = [&["1 0 1", "1 0 3", "1 0 6"], &["1 0 0", "1 5 0"], &[]];
    let found = "select o.n, w.g from staging.t0 o join \
                 (select *, lead(g) over (partition by k order by g) as valid_to from staging.t1) w \
                 on o.k = w.k and o.v >= w.g and (o.v < w.valid_to or w.valid_to is null)";
    let counts = follow(&[found], tables, &[vec![insert(1, "1 2 0")], vec![delete(1, 2)]]);
    assert_eq!(changed(&counts), [1, 1], "the fact at 3 alone finds another version");
    assert!(counts.iter().all(|counts| counts.affected == 1), "{counts:?}");
}

/// What the row is measured by is in no column of the result, and on the other side a sum: pairs before and after
/// look the same.
#[test]
fn a_row_that_crosses_a_computed_bound_is_found() {
    let sql = "select a.n, t.n as m from (select *, sum(v) over (partition by k) as bound from staging.t0) a \
               join staging.t1 t on a.k = t.k and t.v > a.bound";
    // The bounds change, too, if not this one.
    let batches = [(9, 2), (8, 3), (2, 4)].map(|(v, k)| vec![set(1, 0, "v", v), insert(0, &format!("{k} 0 5"))]);
    let counts = follow(&[sql], [&["1 0 5"], &["1 3 4"], &[]], &batches);
    assert_eq!(changed(&counts), [1, 0, 1]);
}

/// The engine takes the other column of the inner groups for one that hangs on `n`, which rows without a partner lack.
#[test]
fn groups_of_groups_by_a_key_that_may_be_missing_are_no_more_than_asked_for() {
    let sql = "select n, count(*) as kinds from \
               (select a.d, b.n from staging.t0 a left join staging.t0 b on a.n = b.n and a.k < b.k group by a.d, b.n) x \
               group by n";
    let counts = follow(&[sql], [&["1 0 0 - 1"], &[], &[]], &[vec![insert(0, "1 0 0 - 2")]]);
    assert_eq!(changed(&counts), [1]);
}

#[test]
fn an_outer_join_that_does_not_change_keeps_its_rows_without_a_partner() {
    let sql = "select a.n, c.v from staging.t0 a left join staging.t1 b on a.k = b.k join staging.t2 c on a.g = c.g";
    let counts = follow(&[sql], [&["1 5 0"], &[], &["0 5 0"]], &[vec![set(2, 0, "v", 1)]]);
    assert_eq!(changed(&counts), [1]);
}

#[test]
fn the_missing_side_of_an_outer_join_appears_and_vanishes_under_coalesce() {
    let sql = "select a.n, coalesce(b.v, 0) as v from staging.t0 a left join staging.t1 b on a.k = b.k";
    let batches = [vec![insert(1, "1 0 3")], vec![set(1, 0, "v", 0)], vec![delete(1, 0)]];
    let counts = follow(&[sql], [&["1 0 0", "2 0 0"], &[], &[]], &batches);
    assert_eq!(changed(&counts), [1, 1, 0], "a partner with 0 looks as none");
}

#[test]
fn a_full_join_is_followed_from_both_sides() {
    let sql = "select coalesce(a.k, b.k) as k, a.v, b.v as w from staging.t0 a full join staging.t1 b on a.k = b.k";
    let batches = [vec![delete(0, 0)], vec![insert(1, "3 0 1"), delete(1, 0)], vec![insert(0, "- 0 1")]];
    let counts = follow(&[sql], [&["1 0 1", "2 0 1"], &["1 0 2"], &[]], &batches);
    assert_eq!(changed(&counts), [2, 2, 1], "all columns are the key");
}

/// A row of totals has no partner, so that its condition is false before anything is read.
#[test]
fn a_row_of_totals_without_a_partner_does_not_pass_its_condition() {
    let sql = "select * from (select a.k, a.s, b.g, b.rows from (select k, sum(v) as s from staging.t0 group by k) a \
               right join (select k, g, count(*) as rows from staging.t2 group by rollup (k, g)) b on a.k = b.k) t \
               where t.s = 3";
    let batches = [vec![insert(0, "1 0 2"), insert(2, "1 0 0")], vec![insert(0, "1 0 1")], vec![insert(2, "- 0 0")]];
    let counts = follow(&[sql], [&[], &[], &["2 0 0"]], &batches);
    assert_eq!(changed(&counts), [0, 1, 0]);
}

/// Nothing else of the rows is kept, so that the only key is what is made of the column that both sides share.
#[test]
fn a_full_join_is_followed_by_what_is_made_of_its_shared_column() {
    let tables: [&[&str]; 3] = [&["1 0 1", "2 0 1", "- 0 4"], &["1 0 2", "9 0 0", "- 0 5"], &[]];
    let batches = [vec![delete(0, 0)], vec![insert(1, "3 0 1"), delete(1, 0)], vec![insert(0, "- 0 1")]];
    for made in ["coalesce(a.k, b.k, 7)", "coalesce(coalesce(b.k, a.k), 7) + 1", "nvl(a.k, b.k) % 7"] {
        let sql = format!(
            "select {made} as k, count(*) as rows, sum(a.v) as v, sum(b.v) as w \
                           from staging.t0 a full join staging.t1 b on a.k = b.k group by 1"
        );
        let counts = follow(&[&sql], tables, &batches);
        assert_eq!(changed(&counts), [1, 2, 1], "{made}");
        assert!(counts.iter().all(|counts| counts.affected <= 2), "{made}: {counts:?}");
    }
}

/// The one side computes a value of no row at all: rows of the other that have none in common with it are of that key.
#[test]
fn what_is_computed_of_an_absent_row_is_no_shared_column() {
    let tables: [&[&str]; 3] = [&["1 0 0"], &["1 0 0", "5 0 0"], &[]];
    for (shared, on) in [
        ("coalesce(nvl(a.k, 0), nvl(b.k, 0))", "nvl(a.k, 0) = nvl(b.k, 0)"),
        ("coalesce(a.k, nvl(b.k, 0))", "a.k = nvl(b.k, 0)"),
    ] {
        let sql = format!(
            "select k, count(*) as rows from (select {shared} as k from staging.t0 a full join staging.t1 b on {on} \
             union all select k from staging.t2) u group by k"
        );
        let batches =
            [vec![insert(1, "6 0 0")], vec![insert(0, "- 0 0")], vec![delete(1, 1)], vec![insert(2, "0 0 0")]];
        assert!(changed(&follow(&[&sql], tables, &batches)).iter().all(|changed| *changed > 0), "{shared}");
    }
}

/// Rows that a condition of the model leaves out meet what its keys are made of: there it would divide by zero, or be cast
/// from what is no number.
#[test]
fn keys_that_fail_on_rows_left_out_are_followed() {
    let tables: [&[&str]; 3] = [&["1 1 1 0", "0 2 2 0", "5 3 0 1"], &["1 0 1 1", "0 0 2 0", "4 0 0 0"], &[]];
    let batches = [
        vec![insert(0, "4 0 1 0")],
        vec![insert(1, "5 0 2 1"), insert(1, "5 0 1 1"), insert(0, "0 1 1 1")],
        vec![delete(0, 0)],
    ];
    for (key, from, expected) in [
        ("100 / coalesce(a.k, b.k)", "full join staging.t1 b on a.k = b.k where coalesce(a.k, b.k) <> 0", [1, 1, 1]),
        ("100 / a.k", "left join staging.t1 b on b.v = 4 / a.k where a.k > 0", [1, 1, 1]),
        ("100 / nvl(b.k, 0)", "left join staging.t1 b on a.k = b.k where nvl(b.k, 0) <> 0", [1, 1, 1]),
        ("cast(case when a.k = 0 then a.s else '7' end as int)", "where a.k <> 0", [1, 0, 1]),
    ] {
        let sql = format!("select {key} as q, sum(a.v) as v, count(*) as rows from staging.t0 a {from} group by 1");
        assert_eq!(changed(&follow(&[&sql], tables, &batches)), expected, "{sql}");
    }
}

/// By the keys of one side alone, this side is looked at twice: for its own keys, and for the rows of the other
/// that lose their partner, which takes more of its columns.
#[test]
fn a_full_join_by_the_keys_of_one_side_finds_who_loses_a_partner_there() {
    let sql = "select a.k, a.w, b.n, b.v from \
               (select g.k, t.g as w from (select k, count(*) as c from staging.t0 group by k) g \
               join staging.t1 t on g.k = t.k) a full join staging.t2 b on a.w = b.k";
    let tables: [&[&str]; 3] = [&["1 0 0", "2 0 0"], &["1 5 0", "2 6 0"], &["5 0 7", "6 0 8"]];
    let counts = follow(&[sql], tables, &[vec![delete(0, 0)], vec![insert(0, "1 0 0")]]);
    assert_eq!(changed(&counts), [2, 2]);
}

#[test]
fn a_count_over_no_rows_is_still_a_row() {
    let sql = "select a.n, a.v, t.rows from staging.t0 a cross join (select count(*) as rows from staging.t1) t";
    let batches = [
        vec![set(0, 0, "v", 2)],
        vec![insert(1, "0 0 0")],
        // The count stays, though its table changes.
        vec![set(0, 0, "v", 3), set(1, 0, "v", 1)],
    ];
    let counts = follow(&[sql], [&["1 0 1"], &[], &[]], &batches);
    assert_eq!(changed(&counts), [1, 1, 1]);
    let sql =
        "select t.rows, a.n, a.v from (select count(*) as rows from staging.t1) t left join staging.t0 a on a.k = 1";
    let counts = follow(&[sql], [&["1 0 1"], &["0 0 0"], &[]], &[vec![delete(0, 0), set(1, 0, "v", 1)]]);
    assert_eq!(changed(&counts), [2], "without a partner it is still there");
}

/// What nobody looks at may change as it likes, and so may rows that have no partner before and after.
#[test]
fn changes_that_change_no_row_affect_no_key() {
    for (sql, batch) in [
        ("select k, max(g) as g from staging.t0 group by k", vec![set(0, 0, "v", 7)]),
        ("select n, k from staging.t0 where v > 0", vec![set(0, 0, "g", 7), insert(0, "1 1 0")]),
        (
            "select n from staging.t0 a where exists (select 1 from staging.t1 b where b.k = a.k)",
            vec![insert(0, "5 0 0")],
        ),
        (
            "select a.k, b.v from staging.t0 a join staging.t1 b on a.k = b.k",
            vec![insert(0, "5 0 0"), set(0, 0, "v", 3)],
        ),
        ("select k from staging.t0 intersect select k from staging.t1", vec![insert(0, "5 0 0")]),
        ("select k, count(*) as n from staging.t0 where g = 1 group by k", vec![set(0, 1, "v", 8), insert(0, "5 0 0")]),
    ] {
        let counts = follow(&[sql], [&["1 1 1", "2 1 2"], &["1 0 0"], &[]], &[batch]);
        assert_eq!((counts[0].affected, counts[0].changed), (0, 0), "{sql}");
    }
}

#[test]
fn rows_move_from_one_group_and_one_parent_to_another() {
    let sql = "select p.n, max(c.v) as v from staging.t0 p join staging.t1 c on p.k = c.k group by p.n";
    let tables: [&[&str]; 3] = [&["1 0 0", "2 0 0", "3 0 0"], &["1 0 5", "1 0 2", "3 0 1"], &[]];
    let counts = follow(&[sql], tables, &[vec![set(1, 0, "k", 2)]]);
    assert_eq!((counts[0].affected, counts[0].changed), (2, 2), "both parents, and no other");
}

#[test]
fn inputs_that_change_together_match_in_their_before_images_alone() {
    let sql = "select a.n, b.v from staging.t0 a join staging.t1 b on a.k = b.k";
    let counts = follow(&[sql], [&["1 0 0"], &["1 0 4"], &[]], &[vec![set(0, 0, "k", 2), set(1, 0, "k", 3)]]);
    assert_eq!(changed(&counts), [1]);
}

#[test]
fn having_is_crossed_in_either_direction() {
    let sql = "select k, max(v) as v from staging.t0 group by k having count(*) > 1";
    let counts = follow(&[sql], [&["1 0 1", "2 0 1"], &[], &[]], &[vec![insert(0, "1 0 2")], vec![delete(0, 0)]]);
    assert_eq!(changed(&counts), [1, 1]);
}

#[test]
fn both_sides_of_a_self_join_change() {
    let sql = "select a.n, b.n as other from staging.t0 a join staging.t0 b on a.k = b.g";
    let counts =
        follow(&[sql], [&["1 1 0", "2 1 0", "3 3 0"], &[], &[]], &[vec![set(0, 0, "k", 3), set(0, 2, "g", 1)]]);
    assert!(counts[0].changed >= 2, "{counts:?}");
}

#[test]
fn null_is_a_key() {
    let sql = "select k, max(v) as v from staging.t0 group by k";
    let batches = [vec![insert(0, "- 0 5")], vec![delete(0, 2)], vec![delete(0, 0), delete(0, 0)]];
    let counts = follow(&[sql], [&["- 0 1", "1 0 1"], &[], &[]], &batches);
    assert_eq!(changed(&counts), [1, 1, 2]);
}

#[test]
fn rows_that_are_the_same_come_and_go_one_by_one() {
    let sql = "select k, g from staging.t0";
    let counts =
        follow(&[sql], [&["1 1 0", "1 1 1", "2 1 0"], &[], &[]], &[vec![delete(0, 0)], vec![insert(0, "1 1 2")]]);
    assert_eq!(changed(&counts), [1, 1]);
}

#[test]
fn a_key_leaves_the_result_and_returns() {
    let sql = "select n, k from staging.t0 where v > 1";
    let counts = follow(&[sql], [&["1 0 2", "2 0 2"], &[], &[]], &[vec![set(0, 0, "v", 0)], vec![set(0, 0, "v", 3)]]);
    assert_eq!(changed(&counts), [1, 1]);
}

#[test]
fn keys_of_two_tables_do_not_cross() {
    let sql = "select a.k, b.k as other, a.v from staging.t0 a join staging.t1 b on a.g = b.g";
    let tables: [&[&str]; 3] = [&["1 0 0", "2 0 0"], &["1 0 0", "2 0 0"], &[]];
    follow(&[sql], tables, &[vec![set(0, 0, "v", 1), set(1, 1, "g", 1)]]);
}

#[test]
fn a_row_before_another_changes_what_the_other_sees() {
    let sql = "select n, k, lag(v) over (partition by k order by g) as before from staging.t0";
    let counts =
        follow(&[sql], [&["1 1 1", "1 2 2", "2 1 1"], &[], &[]], &[vec![set(0, 0, "v", 3)], vec![delete(0, 0)]]);
    assert_eq!(changed(&counts), [1, 1], "by partition");
}

/// The upper window's partitions are found by what the lower one computes, of rows that no key is known of.
#[test]
fn a_window_over_what_another_one_computes_is_followed_beside_a_join() {
    let numbered = "(select *, row_number() over (partition by k order by n) as nth from staging.t0) i";
    let tables: [&[&str]; 3] = [&["1 1 1", "1 2 2", "2 1 4"], &["1 0 0", "2 0 0"], &[]];
    let batches = [vec![insert(0, "2 1 1")], vec![delete(0, 0)], vec![set(0, 0, "k", 2)]];
    for sql in [
        format!(
            "select i.n, i.k, i.nth, count(*) over (partition by i.k, i.nth) as c from {numbered} join staging.t1 o on o.k = i.k"
        ),
        format!(
            "select i.k, sum(i.v) over (partition by i.k) as v from {numbered} left join staging.t1 o on o.k = i.k where i.nth = 1 or o.g = 1"
        ),
        format!(
            "select k, nth, max(v) over (partition by k, nth) as v from (select k, nth, sum(v) as v from {numbered} group by k, nth) g"
        ),
    ] {
        let counts = follow(&[&sql], tables, &batches);
        assert!(changed(&counts).iter().sum::<usize>() >= 2, "{sql}: {counts:?}");
    }
}

#[test]
fn a_partner_comes_to_an_anti_join_and_goes_again() {
    let sql = "select n from staging.t0 a where not exists (select 1 from staging.t1 b where b.k = a.k)";
    let batches = [vec![insert(1, "1 0 0")], vec![insert(1, "1 0 1")], vec![delete(1, 0)], vec![delete(1, 0)]];
    let counts = follow(&[sql], [&["1 0 0", "2 0 0"], &[], &[]], &batches);
    assert_eq!(changed(&counts), [1, 0, 0, 1]);
}

#[test]
fn a_row_that_both_branches_have_stays_until_neither_has_it() {
    let sql = |kind: &str| format!("select k from staging.t0 {kind} select k from staging.t1");
    let tables: [&[&str]; 3] = [&["1 0 0", "2 0 0"], &["1 0 0"], &[]];
    let batches = [vec![insert(1, "2 0 0")], vec![delete(0, 0)], vec![delete(1, 0)], vec![insert(0, "1 0 0")]];
    for (kind, expected) in
        [("union", [0, 0, 1, 1]), ("union all", [1, 1, 1, 1]), ("except", [1, 0, 0, 1]), ("intersect", [1, 1, 0, 0])]
    {
        assert_eq!(changed(&follow(&[&sql(kind)], tables, &batches)), expected, "{kind}");
    }
}

/// What only the newest rows are asked, others do not pass: a division by zero, a text that is no number.
#[test]
fn what_fails_on_rows_that_a_window_hides_is_not_asked_of_them() {
    for (asked, expected) in
        [("case when rn = 1 then 6 / v end > 1", [1, 0]), ("rn = 1 and 6 / nullif(v, 0) > 1", [1, 0])]
    {
        let sql = format!(
            "select k, g from (select *, row_number() over (partition by k order by g desc) as rn from staging.t0) x \
             where {asked}"
        );
        let tables: [&[&str]; 3] = [&["1 1 0", "1 2 3", "2 1 2"], &[], &[]];
        let counts = follow(&[&sql], tables, &[vec![insert(0, "1 3 1")], vec![insert(0, "1 0 0")]]);
        assert_eq!(changed(&counts), expected, "{asked}");
    }
}

/// The total of all groups changes with each of them: only what is in every set is a key.
#[test]
fn totals_of_grouping_sets_are_of_all_their_rows() {
    let sql = "select k, g, sum(v) as v from staging.t0 group by grouping sets ((k, g), (k))";
    let tables: [&[&str]; 3] = [&["1 1 1", "1 2 2", "2 1 4"], &[], &[]];
    let batches = [vec![insert(0, "1 2 3")], vec![delete(0, 2)], vec![set(0, 0, "k", 2)]];
    assert_eq!(changed(&follow(&[sql], tables, &batches)), [1, 1, 2]);
    for sets in ["rollup (k, g)", "cube (k, g)"] {
        let sql = format!("select k, g, sum(v) as v from staging.t0 group by {sets}");
        assert_eq!(whole(&sql, "rollup", tables, &batches), Whole::NoKey, "{sets}");
    }
}

/// One NULL in the list, and nothing is outside it.
#[test]
fn a_null_that_comes_into_the_list_of_not_in_is_no_row_of_it() {
    let sql = "select n, k from staging.t0 where k not in (select k from staging.t1)";
    let tables: [&[&str]; 3] = [&["1 0 0", "2 0 0"], &["1 0 0"], &[]];
    let batches = [vec![insert(1, "- 0 0")], vec![delete(1, 1)]];
    assert_eq!(whole(sql, "not in", tables, &batches), Whole::Part(Part::NotInNullable));
    // Whether NULL is outside the list hangs on whether anything is in it.
    let sql = "select n, k from staging.t0 where k not in (select k from staging.t1 where k is not null)";
    assert_eq!(whole(sql, "not in", tables, &batches), Whole::Part(Part::NotInNullable));
    let sql = "select n, k from staging.t0 where k > 0 and k not in (select k from staging.t1 where k is not null)";
    let batches = [vec![insert(1, "2 0 0")], vec![delete(1, 0)], vec![insert(0, "- 0 0"), insert(0, "3 0 0")]];
    assert_eq!(changed(&follow(&[sql], tables, &batches)), [1, 1, 1]);
}

/// What is partitioned by is in no table; rows move from one partition to another, and one is NULL.
#[test]
fn windows_are_followed_by_what_they_compute_their_partitions_of() {
    let tables: [&[&str]; 3] = [&["1 1 1", "3 2 2", "2 1 4", "- 1 5"], &[], &[]];
    let batches = [vec![set(0, 0, "v", 3)], vec![set(0, 0, "k", 2)], vec![insert(0, "- 2 2")], vec![delete(0, 1)]];
    for sql in [
        "select n, k % 2 as odd, sum(v) over (partition by k % 2) as v from staging.t0",
        "select k % 2 as odd, v from staging.t0 qualify row_number() over (partition by k % 2 order by v desc, n) = 1",
        "select k % 2 as odd, k, sum(sum(v)) over (partition by k % 2 order by k) as v from staging.t0 group by k",
        "select * from (select n, k % 2 as odd, rank() over (partition by k % 2, g order by v) as place from staging.t0) x \
         where odd = 1 or place = 1",
    ] {
        let counts = follow(&[sql], tables, &batches);
        assert!(counts.iter().all(|counts| counts.affected < 4), "{sql}: {counts:?}");
        assert!(changed(&counts).iter().sum::<usize>() >= 3, "{sql}: {counts:?}");
    }
}

#[test]
fn a_model_follows_a_model_that_follows() {
    let totals = "select k, count(*) as rows from staging.t0 group by k";
    let above = "select t.c0, b.v from gold.m0 t join staging.t1 b on t.c1 = b.k";
    let tables: [&[&str]; 3] = [&["1 0 0", "2 0 0", "2 0 0"], &["1 0 7", "2 0 8"], &[]];
    let counts = follow(&[totals, above], tables, &[vec![insert(0, "1 0 0")], vec![set(0, 1, "v", 9)]]);
    assert_eq!(changed(&counts), [1, 0], "what does not change a total does not reach what reads it");
}

/// Follows a coarse aggregate, which is to be kept by difference each time.
fn by_difference(sql: &str, tables: [&[&str]; 3], batches: &[Batch]) -> Vec<usize> {
    let counts = follow(&[sql], tables, batches);
    assert!(counts.iter().all(|counts| counts.by_difference == 1), "{counts:?}");
    changed(&counts)
}

#[test]
fn a_column_that_is_grouped_by_twice_is_one_group() {
    let sql = "select k, count(*) as n, sum(v) as s from staging.t0 group by k, k";
    let counts =
        follow(&[sql], [&["1 0 2", "1 0 3", "2 0 5"], &[], &[]], &[vec![insert(0, "1 0 4")], vec![delete(0, 2)]]);
    assert_eq!(changed(&counts), [1, 1]);
}

#[test]
fn a_group_is_gone_with_its_last_row_and_there_again_with_its_first() {
    let sql = "select k, count(*) as rows, sum(v) as v from staging.t0 group by k";
    let batches = [vec![delete(0, 0)], vec![insert(0, "1 0 0")], vec![set(0, 1, "k", 2)]];
    assert_eq!(by_difference(sql, [&["1 0 4", "2 0 1"], &[], &[]], &batches), [1, 1, 2]);
}

#[test]
fn a_sum_that_comes_to_zero_is_none_only_if_it_adds_nothing() {
    let tables: [&[&str]; 3] = [&["1 0 4", "1 0 0", "2 0 4", "2 0 -", "3 0 4"], &[], &[]];
    let batches = [vec![delete(0, 4), delete(0, 2), delete(0, 0)], vec![set(0, 0, "v", None)], vec![delete(0, 0)]];
    for sql in [
        "select k, sum(v) as v from staging.t0 group by k",
        "select k, sum(v) as v, count(*) as rows from staging.t0 group by k",
    ] {
        assert_eq!(by_difference(sql, tables, &batches), [3, 1, 1], "0 and NULL, then NULL, then no group");
    }
}

#[test]
fn a_group_of_which_nothing_is_counted_is_still_there() {
    // What is unique may be NULL, once.
    let pairs = "select k, g from staging.t0 group by k, g";
    let counted =
        "select c0 as k, count(c1) as known, sum(c1) as g, count(distinct c1) as different from gold.m0 group by c0";
    let batches = [vec![delete(0, 1)], vec![insert(0, "1 0 0")], vec![delete(0, 0), delete(0, 0)]];
    let counts = follow(&[pairs, counted], [&["1 - 0", "1 3 0", "2 3 0"], &[], &[]], &batches);
    assert!(counts.iter().all(|counts| counts.by_difference == 1), "{counts:?}");
    assert_eq!(changed(&counts)[..2], [1, 1]);
}

#[test]
fn a_value_is_counted_once_however_many_rows_have_it() {
    let sql = "select a.g, count(distinct a.k) as different, count(*) as rows from staging.t0 a \
               join staging.t1 b on a.k = b.k group by a.g";
    let tables: [&[&str]; 3] = [&["1 1 0", "1 1 1", "2 1 0", "2 2 0"], &["1 0 0", "2 0 0"], &[]];
    let batches =
        [vec![delete(0, 0)], vec![set(0, 0, "g", 2)], vec![insert(1, "1 0 1")], vec![delete(1, 0), delete(1, 1)]];
    assert_eq!(by_difference(sql, tables, &batches), [1, 2, 1, 1]);
}

#[test]
fn a_least_value_that_goes_is_followed_by_the_next() {
    let sql = "select k, min(v) as least, max(v) as greatest from staging.t0 group by k";
    let tables: [&[&str]; 3] = [&["1 0 3", "1 0 5", "1 0 5", "2 0 4", "3 0 -"], &[], &[]];
    let batches = [
        vec![delete(0, 0)],
        vec![insert(0, "1 0 2")],
        // One of two that are the greatest.
        vec![set(0, 0, "v", None)],
        // The first that is known, and one from another group.
        vec![set(0, 3, "v", 7), set(0, 2, "k", 3)],
        vec![delete(0, 3)],
    ];
    assert_eq!(by_difference(sql, tables, &batches), [1, 1, 0, 2, 1]);
}

/// Follows a query that has no row, and has one by the last batch: the short way is there for every batch, and finds it.
fn appears(sql: &str, tables: [&[&str]; 3], before: &[Batch], last: Batch) {
    let tables = tables.map(|rows| rows.iter().map(|text| row(text)).collect());
    let batches = [before, &[last]].concat();
    let found = of_case(appearing::follow(sql, &tables, &batches)).unwrap();
    assert_eq!((found.not_told, found.none, found.some), (0, before.len(), 1), "{sql}");
}

const REPEATED: &str = "select k, g from staging.t0 group by k, g having count(*) > 1";

#[test]
fn a_second_row_of_a_key_appears() {
    let tables: [&[&str]; 3] = [&["1 1 0", "2 1 0", "- 1 0"], &[], &[]];
    // A row keeps its key; then one leaves its key to another.
    let before = [vec![set(0, 0, "v", 3)], vec![set(0, 0, "g", 2), set(0, 1, "k", 1)]];
    appears(REPEATED, tables, &before, vec![insert(0, "1 2 5")]);
    appears(REPEATED, tables, &before, vec![set(0, 0, "g", 1)]);
    appears(REPEATED, tables, &before, vec![insert(0, "- 1 0")]);
}

#[test]
fn two_new_rows_of_a_key_appear() {
    let tables: [&[&str]; 3] = [&["1 1 0"], &[], &[]];
    let before = [vec![insert(0, "2 1 0")]];
    appears(REPEATED, tables, &before, vec![insert(0, "3 1 0"), insert(0, "3 1 1")]);
    appears(REPEATED, tables, &before, vec![delete(0, 0), insert(0, "1 1 0"), insert(0, "1 1 1")]);
}

const ALONE: &str = "select a.n from staging.t0 a where a.k is not null and \
                     not exists (select 1 from staging.t1 b where b.k = a.k and b.g = a.g)";

#[test]
fn a_row_without_a_partner_appears() {
    let tables: [&[&str]; 3] = [&["1 1 0"], &["1 1 0", "1 1 1", "2 1 0"], &[]];
    // One partner was there, one comes along, and one is not needed.
    let before = [vec![insert(0, "2 1 0"), insert(0, "3 1 0"), insert(1, "3 1 0")], vec![insert(0, "- 4 0")]];
    appears(ALONE, tables, &before, vec![insert(0, "4 1 0")]);
    appears(ALONE, tables, &before, vec![set(0, 0, "g", 2)]);
    let its_partner_came = [&before[..], &[vec![insert(1, "4 1 0")]]].concat();
    appears(ALONE, tables, &its_partner_came, vec![insert(0, "4 1 0"), delete(1, 4)]);
}

#[test]
fn a_row_whose_last_partner_goes_appears() {
    let tables: [&[&str]; 3] = [&["1 1 0", "2 1 0"], &["1 1 0", "1 1 1", "2 1 0"], &[]];
    // One of two goes; then one goes for another.
    let before = [vec![delete(1, 0)], vec![delete(1, 1), insert(1, "2 1 7")]];
    appears(ALONE, tables, &before, vec![delete(1, 0)]);
    appears(ALONE, tables, &before, vec![set(1, 1, "g", 2)]);
}

/// Not for what is found, but for what it costs: where a thousand rows of a value came for a thousand that went, each would
/// be paired with each.
#[test]
fn rows_that_went_are_told_apart_before_those_that_came_are_sought_among_them() {
    let tables: [&[&str]; 3] = [&["1 1 0", "1 1 1"], &["1 1 0", "1 1 1"], &[]];
    let tables = tables.map(|rows| rows.iter().map(|text| row(text)).collect());
    let batch = vec![set(0, 0, "g", 2), delete(1, 0)];
    let sets = of_case(appearing::key_sets(ALONE, &tables, &batch)).unwrap();
    let mut sought = 0;
    for set in sets {
        set.apply(|node| {
            if let LogicalPlan::Join(Join {
                join_type: JoinType::LeftAnti,
                null_equality: NullEquality::NullEqualsNull,
                right,
                ..
            }) = node
            {
                assert!(matches!(right.as_ref(), LogicalPlan::Distinct(_)), "{}", set.display_indent());
                sought += 1;
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .unwrap();
    }
    assert!(sought > 0);
}

#[test]
fn a_row_that_meets_a_new_partner_appears() {
    let less = "select a.n from staging.t0 a join staging.t1 b on a.k = b.k where a.v < b.v";
    let tables: [&[&str]; 3] = [&["1 1 5", "2 1 5"], &["1 1 0"], &[]];
    let before = [vec![insert(1, "2 0 3"), set(0, 0, "v", 4)], vec![set(1, 1, "g", 3)]];
    appears(less, tables, &before, vec![set(1, 1, "v", 6)]);
    appears(less, tables, &before, vec![insert(1, "1 0 8")]);
    appears(less, tables, &before, vec![set(0, 1, "v", 2)]);
    appears(less, tables, &before, vec![set(0, 0, "k", 3), insert(1, "3 0 9")]);
}
