//! Generated models. Every value makes a valid one: columns are meant modulo how many there are, so
//! that whatever a failing case shrinks to is still a model.

use proptest::prelude::*;

/// A model, or a part of one. Its columns are called c0, c1, ...
#[derive(Debug, Clone)]
pub(super) enum Relation {
    /// One of the three tables, or of the models before this one.
    Table(u8),
    Filter(Box<Relation>, Predicate),
    Project(Box<Relation>, Vec<(u8, u8)>),
    Join(JoinKind, Box<Relation>, Box<Relation>, Condition),
    Exists {
        not: bool,
        of: Box<Relation>,
        in_: Box<Relation>,
        on: Condition,
    },
    In {
        not: bool,
        of: Box<Relation>,
        list: Box<Relation>,
        on: (u8, u8),
    },
    Group {
        of: Box<Relation>,
        by: Vec<u8>,
        sets: Option<Sets>,
        aggregates: Vec<(u8, u8)>,
        having: Option<i64>,
    },
    /// With a scalar subquery over all of another relation.
    Global(Box<Relation>, Box<Relation>),
    /// With a scalar subquery over the rows of another that match.
    Correlated {
        of: Box<Relation>,
        in_: Box<Relation>,
        on: (u8, u8),
        aggregate: (u8, u8),
    },
    Distinct(Box<Relation>),
    Set(SetKind, Box<Relation>, Box<Relation>),
    Window {
        of: Box<Relation>,
        partition: Vec<u8>,
        function: u8,
        argument: u8,
        order: u8,
        keep: Keep,
    },
    Twice {
        of: Box<Relation>,
        on: Condition,
    },
    AsOf {
        of: Box<Relation>,
        versions: Box<Relation>,
        on: (u8, u8),
        at: (u8, u8),
    },
    Limit(Box<Relation>, u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SetKind {
    UnionAll,
    Union,
    Except,
    Intersect,
}

/// Groups of several kinds at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sets {
    /// Of all columns, and of the first.
    Listed,
    Rollup,
    Cube,
}

/// What becomes of the rows of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    All,
    /// Those where it gives 1.
    First,
    /// The same, by QUALIFY.
    Qualified,
}

/// `left = right`, with one more term now and then; `pick` says which columns are passed on. Joins may
/// say it with USING, of which the engine makes another plan than of ON.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    pub(super) using: bool,
    pub(super) left: u8,
    pub(super) right: u8,
    pub(super) more: Option<(u8, u8, u8)>,
    pub(super) pick: u8,
}

#[derive(Debug, Clone)]
pub(super) struct Predicate {
    pub(super) column: u8,
    pub(super) operator: u8,
    pub(super) value: i64,
    pub(super) or_null: Option<u8>,
}

fn condition() -> impl Strategy<Value = Condition> {
    (any::<bool>(), any::<u8>(), any::<u8>(), prop::option::weighted(0.35, any::<(u8, u8, u8)>()), any::<u8>())
        .prop_map(|(using, left, right, more, pick)| Condition { using, left, right, more, pick })
}

fn predicate() -> impl Strategy<Value = Predicate> {
    (any::<u8>(), any::<u8>(), 0_i64..4, prop::option::weighted(0.2, any::<u8>()))
        .prop_map(|(column, operator, value, or_null)| Predicate { column, operator, value, or_null })
}

fn table() -> impl Strategy<Value = Relation> {
    (0_u8..6).prop_map(Relation::Table)
}

fn join_kind() -> impl Strategy<Value = JoinKind> {
    prop_oneof![Just(JoinKind::Inner), Just(JoinKind::Left), Just(JoinKind::Right), Just(JoinKind::Full)]
}

fn set_kind() -> impl Strategy<Value = SetKind> {
    prop_oneof![Just(SetKind::UnionAll), Just(SetKind::Union), Just(SetKind::Except), Just(SetKind::Intersect)]
}

fn sets() -> impl Strategy<Value = Sets> {
    prop_oneof![2 => Just(Sets::Listed), 1 => Just(Sets::Rollup), 1 => Just(Sets::Cube)]
}

/// Any model, of so many operators or fewer.
fn relation(depth: u32, size: u32) -> impl Strategy<Value = Relation> {
    table().prop_recursive(depth, size, 2, move |inner| {
        let part = inner.prop_map(Box::new).boxed();
        let one = || part.clone();
        let columns = |least: usize| prop::collection::vec(any::<u8>(), least..3);
        let partition = prop_oneof![1 => Just(Vec::new()), 12 => columns(1)];
        prop_oneof![
            8 => (one(), predicate()).prop_map(|(of, by)| Relation::Filter(of, by)),
            4 => (one(), prop::collection::vec(any::<(u8, u8)>(), 1..4)).prop_map(|(of, to)| Relation::Project(of, to)),
            16 => (join_kind(), one(), one(), condition())
                .prop_map(|(kind, left, right, on)| Relation::Join(kind, left, right, on)),
            // Also by what an aggregate gives: of such a condition nothing can be said before it is computed.
            5 => (join_kind(), one(), any::<u8>(), any::<(u8, u8)>(), one(), condition())
                .prop_map(|(kind, of, by, aggregate, right, on)| {
                    let on = Condition { left: 0, more: Some((u8::MAX, on.left, 3)), ..on };
                    Relation::Join(kind, Box::new(grouped(of, by, aggregate)), right, on)
                }),
            // By what another one computes, beside rows that say nothing of it.
            3 => (join_kind(), one(), one(), any::<(u8, u8)>(), condition(), any::<(u8, u8, u8)>(), keep())
                .prop_map(|(kind, other, of, by, on, function, keep)| {
                    let computed = Box::new(window(of, vec![by.0], function, Keep::All));
                    // Of a table with a column more, the last ones are passed on.
                    let joined = Relation::Join(kind, other, computed, Condition { using: false, pick: 3, ..on });
                    window(Box::new(joined), vec![by.1, u8::MAX], function, keep)
                }),
            // Groups of NULL have no partner on either side.
            3 => (join_kind(), one(), one(), any::<[u8; 2]>(), any::<(u8, u8)>(), condition())
                .prop_map(|(kind, of, other, by, aggregate, on)| {
                    let on = Condition { left: 0, right: 0, ..on };
                    let [left, right] = [(of, by[0]), (other, by[1])].map(|(of, by)| Box::new(grouped(of, by, aggregate)));
                    Relation::Join(kind, left, right, on)
                }),
            9 => (any::<bool>(), one(), one(), condition())
                .prop_map(|(not, of, in_, on)| Relation::Exists { not, of, in_, on }),
            4 => (prop::bool::weighted(0.25), one(), one(), any::<(u8, u8)>())
                .prop_map(|(not, of, list, on)| Relation::In { not, of, list, on }),
            12 => (
                one(), columns(1), prop::option::weighted(0.15, sets()),
                prop::collection::vec(any::<(u8, u8)>(), 0..3), prop::option::weighted(0.4, 0_i64..4),
            ).prop_map(|(of, by, sets, aggregates, having)| Relation::Group { of, by, sets, aggregates, having }),
            3 => (one(), one()).prop_map(|(of, total)| Relation::Global(of, total)),
            4 => (one(), one(), any::<(u8, u8)>(), any::<(u8, u8)>())
                .prop_map(|(of, in_, on, aggregate)| Relation::Correlated { of, in_, on, aggregate }),
            4 => one().prop_map(Relation::Distinct),
            8 => (set_kind(), one(), one()).prop_map(|(kind, left, right)| Relation::Set(kind, left, right)),
            12 => (one(), partition, any::<(u8, u8, u8)>(), keep())
                .prop_map(|(of, partition, function, keep)| window(of, partition, function, keep)),
            4 => (one(), condition()).prop_map(|(of, on)| Relation::Twice { of, on }),
            4 => (one(), one(), any::<(u8, u8)>(), any::<(u8, u8)>())
                .prop_map(|(of, versions, on, at)| Relation::AsOf { of, versions, on, at }),
            1 => (one(), 1_u8..4).prop_map(|(of, rows)| Relation::Limit(of, rows)),
        ]
    })
}

fn keep() -> impl Strategy<Value = Keep> {
    prop_oneof![4 => Just(Keep::All), 2 => Just(Keep::First), 1 => Just(Keep::Qualified)]
}

/// `function` with its argument and its order.
fn window(of: Box<Relation>, partition: Vec<u8>, function: (u8, u8, u8), keep: Keep) -> Relation {
    let (function, argument, order) = function;
    Relation::Window { of, partition, function, argument, order, keep }
}

fn grouped(of: Box<Relation>, by: u8, aggregate: (u8, u8)) -> Relation {
    Relation::Group { of, by: vec![by], sets: None, aggregates: vec![aggregate], having: None }
}

/// A model, or a few, each of which reads the one before it.
pub(super) fn chain() -> impl Strategy<Value = Vec<Relation>> {
    prop_oneof![
        5 => prop::collection::vec(relation(5, 10), 1),
        1 => prop::collection::vec(relation(3, 5), 2..4),
    ]
}

/// One model.
pub(super) fn model() -> impl Strategy<Value = Relation> {
    relation(5, 10)
}

/// A model that is one aggregate of counts, sums, least and greatest values.
pub(super) fn coarse() -> impl Strategy<Value = Relation> {
    let kept = prop::sample::select(&[0_u8, 1, 1, 2, 3, 4, 6, 9, 10, 11, 12][..]);
    let aggregates = prop::collection::vec((kept, any::<u8>()), 1..4);
    (relation(3, 6), prop::collection::vec(any::<u8>(), 1..3), aggregates)
        .prop_map(|(of, by, aggregates)| Relation::Group { of: Box::new(of), by, sets: None, aggregates, having: None })
}

/// A query of the kind that finds rows which break a rule: hardly anything in it looks at several rows.
pub(super) fn rule() -> impl Strategy<Value = Relation> {
    table().prop_recursive(4, 6, 2, move |inner| {
        let part = inner.prop_map(Box::new).boxed();
        let one = || part.clone();
        prop_oneof![
            4 => (one(), predicate()).prop_map(|(of, by)| Relation::Filter(of, by)),
            2 => (one(), prop::collection::vec(any::<(u8, u8)>(), 1..4)).prop_map(|(of, to)| Relation::Project(of, to)),
            4 => (one(), one(), condition())
                .prop_map(|(left, right, on)| Relation::Join(JoinKind::Inner, left, right, on)),
            10 => (prop::bool::weighted(0.7), one(), one(), condition())
                .prop_map(|(not, of, in_, on)| Relation::Exists { not, of, in_, on }),
            2 => (one(), one()).prop_map(|(left, right)| Relation::Set(SetKind::UnionAll, left, right)),
            1 => (one(), prop::collection::vec(any::<u8>(), 1..3), any::<(u8, u8, u8)>())
                .prop_map(|(of, partition, function)| window(of, partition, function, Keep::All)),
            3 => (one(), prop::collection::vec(any::<u8>(), 1..3)).prop_map(|(of, by)| Relation::Group {
                of, by, sets: None, aggregates: Vec::new(), having: Some(1),
            }),
        ]
    })
}

impl Relation {
    /// The names of its operators, the topmost first.
    pub(super) fn shapes(&self) -> Vec<&'static str> {
        let (name, parts): (&str, Vec<&Relation>) = match self {
            Self::Table(_) => ("table", vec![]),
            Self::Filter(of, _) => ("filter", vec![of]),
            Self::Project(of, _) => ("project", vec![of]),
            Self::Join(kind, left, right, _) => (
                match kind {
                    JoinKind::Inner => "inner join",
                    JoinKind::Left => "left join",
                    JoinKind::Right => "right join",
                    JoinKind::Full => "full join",
                },
                vec![left, right],
            ),
            Self::Exists { not, of, in_, .. } => (if *not { "not exists" } else { "exists" }, vec![of, in_]),
            Self::In { not, of, list, .. } => (if *not { "not in" } else { "in" }, vec![of, list]),
            Self::Group { of, sets, .. } => (
                match sets {
                    None => "group by",
                    Some(Sets::Listed) => "grouping sets",
                    Some(Sets::Rollup) => "rollup",
                    Some(Sets::Cube) => "cube",
                },
                vec![of],
            ),
            Self::Global(of, total) => ("scalar subquery", vec![of, total]),
            Self::Correlated { of, in_, .. } => ("correlated subquery", vec![of, in_]),
            Self::Distinct(of) => ("distinct", vec![of]),
            Self::Set(kind, left, right) => (
                match kind {
                    SetKind::UnionAll => "union all",
                    SetKind::Union => "union",
                    SetKind::Except => "except",
                    SetKind::Intersect => "intersect",
                },
                vec![left, right],
            ),
            Self::Window { of, function, keep, .. } => (
                match keep {
                    Keep::All if function % WINDOWS >= TIED => "window with ties",
                    Keep::All => "window",
                    Keep::First => "window = 1",
                    Keep::Qualified => "qualify",
                },
                vec![of],
            ),
            Self::Twice { of, .. } => ("cte used twice", vec![of]),
            Self::AsOf { of, versions, .. } => ("as-of join", vec![of, versions]),
            Self::Limit(of, _) => ("limit", vec![of]),
        };
        std::iter::once(name).chain(parts.into_iter().flat_map(Relation::shapes)).collect()
    }
}

/// How many window functions there are, and the first of those that give the same to rows that tie.
pub(super) const WINDOWS: u8 = 13;
pub(super) const TIED: u8 = 8;
