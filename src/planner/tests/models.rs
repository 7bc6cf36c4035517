//! Generated models, tables and batches. Every value makes a valid model: columns are meant modulo
//! how many there are, so that whatever a failing case shrinks to is still a model.

use proptest::prelude::*;

/// A row of a generated table, without its number.
pub(super) type Row = (Option<i64>, Option<i64>, Option<i64>, Option<u8>);

/// What happens to one table.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Insert(Row),
    /// Rows are meant modulo how many there are.
    Delete(usize),
    Update(usize, Row),
}

pub(super) type Batch = Vec<(u8, Change)>;

fn value() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![1 => Just(None), 6 => (0_i64..4).prop_map(Some)]
}

fn row() -> impl Strategy<Value = Row> {
    (value(), value(), value(), prop_oneof![1 => Just(None), 4 => (0_u8..3).prop_map(Some)])
}

pub(super) fn tables() -> impl Strategy<Value = [Vec<Row>; 3]> {
    let table = || prop::collection::vec(row(), 0..9);
    [table(), table(), table()]
}

pub(super) fn batches() -> impl Strategy<Value = Vec<Batch>> {
    let change = prop_oneof![
        row().prop_map(Change::Insert),
        (0_usize..9).prop_map(Change::Delete),
        (0_usize..9, row()).prop_map(|(place, row)| Change::Update(place, row)),
    ];
    prop::collection::vec(prop::collection::vec((0_u8..3, change), 1..5), 1..4)
}

/// A model, or a part of one. Its columns are called c0, c1, ...
#[derive(Debug, Clone)]
pub(super) enum Relation {
    Table(u8),
    Filter(Box<Relation>, Predicate),
    Project(Box<Relation>, Vec<(u8, u8)>),
    Join(JoinKind, Box<Relation>, Box<Relation>, Condition),
    Exists { not: bool, of: Box<Relation>, in_: Box<Relation>, on: Condition },
    In(Box<Relation>, Box<Relation>, u8, u8),
    Group { of: Box<Relation>, by: Vec<u8>, aggregates: Vec<(u8, u8)>, having: Option<i64> },
    Global(Box<Relation>, Box<Relation>),
    Distinct(Box<Relation>),
    Set(SetKind, Box<Relation>, Box<Relation>),
    Window { of: Box<Relation>, partition: Vec<u8>, function: u8, argument: u8, first_only: bool },
    Twice { of: Box<Relation>, on: Condition },
    AsOf { of: Box<Relation>, versions: Box<Relation>, on: (u8, u8), at: (u8, u8) },
}

#[derive(Debug, Clone, Copy)]
pub(super) enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum SetKind {
    UnionAll,
    Union,
    Except,
    Intersect,
}

/// `left = right`, with one more term now and then.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    left: u8,
    right: u8,
    more: Option<(u8, u8, u8)>,
}

#[derive(Debug, Clone)]
pub(super) struct Predicate {
    column: u8,
    operator: u8,
    value: i64,
    or_null: Option<u8>,
}

pub(super) fn relation() -> impl Strategy<Value = Relation> {
    let condition = || {
        (any::<u8>(), any::<u8>(), prop::option::weighted(0.25, any::<(u8, u8, u8)>()))
            .prop_map(|(left, right, more)| Condition { left, right, more })
    };
    let predicate = || {
        (any::<u8>(), any::<u8>(), 0_i64..4, prop::option::weighted(0.2, any::<u8>()))
            .prop_map(|(column, operator, value, or_null)| Predicate { column, operator, value, or_null })
    };
    (0_u8..3).prop_map(Relation::Table).prop_recursive(5, 10, 2, move |inner| {
        let part = inner.prop_map(Box::new).boxed();
        let one = || part.clone();
        let columns = |least: usize| prop::collection::vec(any::<u8>(), least..3);
        prop_oneof![
            2 => (one(), predicate()).prop_map(|(of, by)| Relation::Filter(of, by)),
            1 => (one(), prop::collection::vec(any::<(u8, u8)>(), 1..4)).prop_map(|(of, to)| Relation::Project(of, to)),
            4 => (
                prop_oneof![Just(JoinKind::Inner), Just(JoinKind::Left), Just(JoinKind::Right), Just(JoinKind::Full)],
                one(), one(), condition(),
            ).prop_map(|(kind, left, right, on)| Relation::Join(kind, left, right, on)),
            2 => (any::<bool>(), one(), one(), condition())
                .prop_map(|(not, of, in_, on)| Relation::Exists { not, of, in_, on }),
            1 => (one(), one(), any::<u8>(), any::<u8>()).prop_map(|(of, list, left, right)| Relation::In(of, list, left, right)),
            3 => (one(), columns(1), prop::collection::vec(any::<(u8, u8)>(), 0..3), prop::option::weighted(0.4, 0_i64..4))
                .prop_map(|(of, by, aggregates, having)| Relation::Group { of, by, aggregates, having }),
            1 => (one(), one()).prop_map(|(of, total)| Relation::Global(of, total)),
            1 => one().prop_map(Relation::Distinct),
            2 => (
                prop_oneof![Just(SetKind::UnionAll), Just(SetKind::Union), Just(SetKind::Except), Just(SetKind::Intersect)],
                one(), one(),
            ).prop_map(|(kind, left, right)| Relation::Set(kind, left, right)),
            3 => (one(), columns(1), any::<u8>(), any::<u8>(), prop::bool::weighted(0.3))
                .prop_map(|(of, partition, function, argument, first_only)| {
                    Relation::Window { of, partition, function, argument, first_only }
                }),
            1 => (one(), condition()).prop_map(|(of, on)| Relation::Twice { of, on }),
            1 => (one(), one(), any::<(u8, u8)>(), any::<(u8, u8)>())
                .prop_map(|(of, versions, on, at)| Relation::AsOf { of, versions, on, at }),
        ]
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Number,
    Text,
}

/// SQL with the types of its columns.
struct Query {
    sql: String,
    types: Vec<Type>,
}

impl Query {
    /// The column that a number means, of a type.
    fn column(&self, meant: u8, wanted: Type) -> Option<usize> {
        let fit: Vec<usize> = (0..self.types.len()).filter(|place| self.types[*place] == wanted).collect();
        (!fit.is_empty()).then(|| fit[usize::from(meant) % fit.len()])
    }

    fn any(&self, meant: u8) -> usize {
        usize::from(meant) % self.types.len()
    }
}

impl Relation {
    pub(super) fn sql(&self) -> String {
        Writer { aliases: 0 }.query(self).sql
    }

    /// The names of its operators.
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
            Self::In(of, list, ..) => ("in", vec![of, list]),
            Self::Group { of, .. } => ("group by", vec![of]),
            Self::Global(of, total) => ("scalar subquery", vec![of, total]),
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
            Self::Window { of, .. } => ("window", vec![of]),
            Self::Twice { of, .. } => ("cte used twice", vec![of]),
            Self::AsOf { of, versions, .. } => ("as-of join", vec![of, versions]),
        };
        std::iter::once(name).chain(parts.into_iter().flat_map(Relation::shapes)).collect()
    }
}

struct Writer {
    aliases: usize,
}

/// At most so many columns come from one side of a join.
const SIDE: usize = 4;

impl Writer {
    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("r{}", self.aliases)
    }

    /// All columns of a query, the tables' own last ones left out where there are too many.
    fn query(&mut self, relation: &Relation) -> Query {
        match relation {
            Relation::Table(table) => Query {
                sql: format!("select n as c0, k as c1, g as c2, v as c3, s as c4 from staging.t{table}"),
                types: vec![Type::Number, Type::Number, Type::Number, Type::Number, Type::Text],
            },
            Relation::Filter(of, by) => {
                let (of, r) = self.below(of);
                Query {
                    sql: format!("select * from ({}) as {r} where {}", of.sql, predicate(&of, &r, by)),
                    types: of.types,
                }
            }
            Relation::Project(of, to) => {
                let (of, r) = self.below(of);
                let mut types = Vec::new();
                let mut exprs = Vec::new();
                for (place, (column, how)) in to.iter().enumerate() {
                    let column = of.any(*column);
                    let (expr, made) = match (of.types[column], how % 5) {
                        (Type::Number, 1) => (format!("coalesce({r}.c{column}, 0) + 1"), Type::Number),
                        (Type::Number, 2) => (format!("case when {r}.c{column} > 1 then 1 else 0 end"), Type::Number),
                        (Type::Text, 1) => (format!("{r}.c{column} || 'x'"), Type::Text),
                        (_, 3) => ("7".to_owned(), Type::Number),
                        (kept, _) => (format!("{r}.c{column}"), kept),
                    };
                    exprs.push(format!("{expr} as c{place}"));
                    types.push(made);
                }
                Query { sql: format!("select {} from ({}) as {r}", exprs.join(", "), of.sql), types }
            }
            Relation::Join(kind, left, right, on) => {
                let ((left, l), (right, r)) = (self.below(left), self.below(right));
                let kind = match kind {
                    JoinKind::Inner => "inner",
                    JoinKind::Left => "left",
                    JoinKind::Right => "right",
                    JoinKind::Full => "full",
                };
                // A full join has equalities only: others are no plan of the engine's.
                let more = kind != "full";
                let on = condition(&left, &l, &right, &r, on, more);
                let (columns, types) = both(&left, &l, &right, &r);
                Query {
                    sql: format!(
                        "select {columns} from ({}) as {l} {kind} join ({}) as {r} on {on}",
                        left.sql, right.sql
                    ),
                    types,
                }
            }
            Relation::Exists { not, of, in_, on } => {
                let ((of, l), (in_, r)) = (self.below(of), self.below(in_));
                let on = condition(&of, &l, &in_, &r, on, true);
                let not = if *not { "not " } else { "" };
                Query {
                    sql: format!(
                        "select * from ({}) as {l} where {not}exists (select 1 from ({}) as {r} where {on})",
                        of.sql, in_.sql
                    ),
                    types: of.types,
                }
            }
            Relation::In(of, list, ours, theirs) => {
                let ((of, l), (list, r)) = (self.below(of), self.below(list));
                let (ours, theirs) = pair(&of, &list, *ours, *theirs);
                Query {
                    sql: format!(
                        "select * from ({}) as {l} where {} in (select {} from ({}) as {r})",
                        of.sql,
                        ours.of(&l),
                        theirs.of(&r),
                        list.sql
                    ),
                    types: of.types,
                }
            }
            Relation::Group { of, by, aggregates, having } => {
                let (of, r) = self.below(of);
                let mut by: Vec<usize> = by.iter().map(|column| of.any(*column)).collect();
                by.sort_unstable();
                by.dedup();
                let mut columns: Vec<String> = by.iter().map(|column| format!("{r}.c{column}")).collect();
                let mut types: Vec<Type> = by.iter().map(|column| of.types[*column]).collect();
                let groups = columns.join(", ");
                for (function, column) in aggregates {
                    columns.push(aggregate(&of, &r, *function, *column));
                    types.push(Type::Number);
                }
                let named: Vec<String> =
                    columns.iter().enumerate().map(|(place, column)| format!("{column} as c{place}")).collect();
                let having = having.map_or(String::new(), |least| format!(" having count(*) > {least}"));
                Query {
                    sql: format!("select {} from ({}) as {r} group by {groups}{having}", named.join(", "), of.sql),
                    types,
                }
            }
            Relation::Global(of, total) => {
                let ((of, l), (total, r)) = (self.below(of), self.below(total));
                let counted =
                    total.column(1, Type::Number).map_or("count(*)".into(), |column| format!("max({r}.c{column})"));
                let columns: Vec<String> = (0..of.types.len()).map(|place| format!("{l}.c{place}")).collect();
                let mut types = of.types.clone();
                types.push(Type::Number);
                Query {
                    sql: format!(
                        "select {}, (select {counted} from ({}) as {r}) as c{} from ({}) as {l}",
                        columns.join(", "),
                        total.sql,
                        of.types.len(),
                        of.sql
                    ),
                    types,
                }
            }
            Relation::Distinct(of) => {
                let (of, r) = self.below(of);
                let kept = of.types.len().clamp(1, 3);
                // Without the row number there is something to make distinct.
                let first = usize::from(of.types.len() > kept);
                let columns: Vec<String> =
                    (0..kept).map(|place| format!("{r}.c{} as c{place}", place + first)).collect();
                let types = of.types[first..first + kept].to_vec();
                Query { sql: format!("select distinct {} from ({}) as {r}", columns.join(", "), of.sql), types }
            }
            Relation::Set(kind, left, right) => {
                let ((left, l), (right, r)) = (self.below(left), self.below(right));
                let kind = match kind {
                    SetKind::UnionAll => "union all",
                    SetKind::Union => "union",
                    SetKind::Except => "except",
                    SetKind::Intersect => "intersect",
                };
                let numbers = |of: &Query, alias: &str, take: usize| -> Vec<String> {
                    let places = (0..of.types.len()).filter(|place| of.types[*place] == Type::Number);
                    // The row number says nothing in two tables: it comes last.
                    let mut places: Vec<usize> = places.collect();
                    let first = usize::from(places.len() > 1);
                    places.rotate_left(first);
                    places.iter().take(take).enumerate().map(|(to, from)| format!("{alias}.c{from} as c{to}")).collect()
                };
                let count = |of: &Query| of.types.iter().filter(|kept| **kept == Type::Number).count();
                let take = count(&left).min(count(&right)).min(3);
                if take == 0 {
                    return Query { sql: format!("select * from ({}) as {l}", left.sql), types: left.types };
                }
                Query {
                    sql: format!(
                        "select {} from ({}) as {l} {kind} select {} from ({}) as {r}",
                        numbers(&left, &l, take).join(", "),
                        left.sql,
                        numbers(&right, &r, take).join(", "),
                        right.sql
                    ),
                    types: vec![Type::Number; take],
                }
            }
            Relation::Window { of, partition, function, argument, first_only } => {
                let (of, r) = self.below(of);
                let partition: Vec<String> =
                    partition.iter().map(|column| format!("{r}.c{}", of.any(*column))).collect();
                // All columns: rows that tie are the same.
                let order: Vec<String> = (0..of.types.len()).rev().map(|place| format!("{r}.c{place}")).collect();
                let over = format!("over (partition by {} order by {}", partition.join(", "), order.join(", "));
                let argument = of.column(*argument, Type::Number).map_or("1".into(), |column| format!("{r}.c{column}"));
                let function = match function % 6 {
                    0 => format!("row_number() {over})"),
                    1 => format!("rank() {over})"),
                    2 => format!("lag({argument}) {over})"),
                    3 => format!("lead({argument}) {over})"),
                    4 => format!("sum({argument}) {over} rows between unbounded preceding and current row)"),
                    _ => format!("count(*) over (partition by {})", partition.join(", ")),
                };
                let width = of.types.len();
                let columns: Vec<String> = (0..width).map(|place| format!("{r}.c{place}")).collect();
                let inner = format!("select {}, {function} as c{width} from ({}) as {r}", columns.join(", "), of.sql);
                let mut types = of.types.clone();
                types.push(Type::Number);
                let sql = if *first_only {
                    let q = self.alias();
                    format!("select * from ({inner}) as {q} where {q}.c{width} = 1")
                } else {
                    inner
                };
                Query { sql, types }
            }
            Relation::Twice { of, on } => {
                let (of, x) = self.below(of);
                let (l, r) = (self.alias(), self.alias());
                let on = condition(&of, &l, &of, &r, on, true);
                let (columns, types) = both(&of, &l, &of, &r);
                Query {
                    sql: format!(
                        "with {x} as ({}) select {columns} from {x} as {l} inner join {x} as {r} on {on}",
                        of.sql
                    ),
                    types,
                }
            }
            Relation::AsOf { of, versions, on, at } => {
                let ((of, l), (versions, v)) = (self.below(of), self.below(versions));
                let r = self.alias();
                let (ours, theirs) = pair(&of, &versions, on.0, on.1);
                let (Some(at), Some(from)) = (of.column(at.0, Type::Number), versions.column(at.1, Type::Number))
                else {
                    return Query { sql: format!("select * from ({}) as {l}", of.sql), types: of.types };
                };
                let width = versions.types.len();
                let columns: Vec<String> = (0..width).map(|place| format!("{v}.c{place}")).collect();
                let partition = theirs.of(&v);
                let inner = format!(
                    "select {}, lead({v}.c{from}) over (partition by {partition} order by {v}.c{from}{}) as until from ({}) as {v}",
                    columns.join(", "),
                    (0..width).map(|place| format!(", {v}.c{place}")).collect::<String>(),
                    versions.sql
                );
                let (selected, types) = both(&of, &l, &versions, &r);
                Query {
                    sql: format!(
                        "select {selected} from ({}) as {l} left join ({inner}) as {r} on {} = {} \
                         and {l}.c{at} >= {r}.c{from} and ({l}.c{at} < {r}.until or {r}.until is null)",
                        of.sql,
                        ours.of(&l),
                        theirs.of(&r)
                    ),
                    types,
                }
            }
        }
    }

    fn below(&mut self, relation: &Relation) -> (Query, String) {
        let query = self.query(relation);
        (query, self.alias())
    }
}

/// The columns of two sides, one after the other.
fn both(left: &Query, l: &str, right: &Query, r: &str) -> (String, Vec<Type>) {
    let sides = [(left, l), (right, r)];
    let (mut columns, mut types) = (Vec::new(), Vec::new());
    for (side, alias) in sides {
        for place in 0..side.types.len().min(SIDE) {
            columns.push(format!("{alias}.c{place} as c{}", columns.len()));
            types.push(side.types[place]);
        }
    }
    (columns.join(", "), types)
}

#[derive(Debug, Clone, Copy)]
enum Operand {
    Column(usize),
    One,
}

impl Operand {
    fn of(self, alias: &str) -> String {
        match self {
            Self::Column(column) => format!("{alias}.c{column}"),
            Self::One => "1".into(),
        }
    }
}

/// Two columns of the same type.
fn pair(left: &Query, right: &Query, ours: u8, theirs: u8) -> (Operand, Operand) {
    let ours = left.any(ours);
    match right.column(theirs, left.types[ours]) {
        Some(theirs) => (Operand::Column(ours), Operand::Column(theirs)),
        None => (Operand::One, Operand::One),
    }
}

fn condition(left: &Query, l: &str, right: &Query, r: &str, on: &Condition, more: bool) -> String {
    let (ours, theirs) = pair(left, right, on.left, on.right);
    let mut text = format!("{} = {}", ours.of(l), theirs.of(r));
    if let Some((ours, theirs, how)) = on.more.filter(|_| more)
        && let (Some(ours), Some(theirs)) = (left.column(ours, Type::Number), right.column(theirs, Type::Number))
    {
        let operator = ["<", ">=", "<>", "="][usize::from(how) % 4];
        text = format!("{text} and {l}.c{ours} {operator} {r}.c{theirs}");
    }
    text
}

fn predicate(of: &Query, alias: &str, by: &Predicate) -> String {
    let column = of.any(by.column);
    let name = format!("{alias}.c{column}");
    let text = match (of.types[column], by.operator % 4) {
        (Type::Text, 0) => format!("{name} = 'a'"),
        (Type::Text, _) => format!("{name} <> 'b'"),
        (_, 0) => format!("{name} = {}", by.value),
        (_, 1) => format!("{name} <= {}", by.value),
        (_, 2) => format!("{name} > {}", by.value),
        _ => format!("{name} is not null"),
    };
    match by.or_null {
        Some(column) => format!("({text} or {alias}.c{} is null)", of.any(column)),
        None => text,
    }
}

fn aggregate(of: &Query, alias: &str, function: u8, column: u8) -> String {
    let Some(column) = of.column(column, Type::Number) else { return "count(*)".into() };
    let column = format!("{alias}.c{column}");
    match function % 5 {
        0 => "count(*)".into(),
        1 => format!("sum({column})"),
        2 => format!("min({column})"),
        3 => format!("count(distinct {column})"),
        _ => format!("max({column})"),
    }
}
