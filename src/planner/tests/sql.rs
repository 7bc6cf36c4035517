//! Generated models as SQL, with what can be said of their columns without the planner.

use super::models::{Condition, JoinKind, Keep, Predicate, Relation, SetKind, Sets, TIED, WINDOWS};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Number,
    Text,
    Decimal,
    Float,
    Time,
    Truth,
}

/// A column of a query.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fact {
    kind: Type,
    /// It reads an aggregate or a window: no key.
    pub(super) derived: bool,
    /// Keys in it can restrict what is read of some table.
    pub(super) reaching: bool,
    /// Its values are of the world that the row is of.
    pub(super) faithful: bool,
}

impl Fact {
    const fn of(kind: Type) -> Self {
        Self { kind, derived: false, reaching: true, faithful: true }
    }

    const fn derived(kind: Type) -> Self {
        Self { kind, derived: true, reaching: false, faithful: false }
    }

    fn nullable(self) -> Self {
        Self { faithful: false, ..self }
    }
}

/// SQL with its columns.
#[derive(Debug, Clone)]
pub(super) struct Query {
    pub(super) sql: String,
    pub(super) columns: Vec<Fact>,
    /// Rows of different worlds may meet in it.
    pub(super) mixed: bool,
}

impl Query {
    /// One that somebody wrote: rows of it may meet as they like, and it has a key.
    pub(super) fn written(sql: &str) -> Self {
        Self { sql: sql.to_owned(), columns: vec![Fact::of(Type::Number)], mixed: true }
    }

    /// One that somebody wrote, and that has no key.
    pub(super) fn totals(sql: &str) -> Self {
        Self { sql: sql.to_owned(), columns: vec![Fact::derived(Type::Number)], mixed: true }
    }

    /// The column that a number means, of a type.
    fn column(&self, meant: u8, wanted: Type) -> Option<usize> {
        let fit: Vec<usize> = (0..self.columns.len()).filter(|place| self.columns[*place].kind == wanted).collect();
        (!fit.is_empty()).then(|| fit[usize::from(meant) % fit.len()])
    }

    /// A number for one more condition: often the last, which is what an aggregate or a window gives.
    fn more(&self, meant: u8) -> Option<usize> {
        let last = self.columns.len().checked_sub(1).filter(|last| self.columns[*last].kind == Type::Number);
        last.filter(|_| meant > 127).or_else(|| self.column(meant, Type::Number))
    }

    fn any(&self, meant: u8) -> usize {
        usize::from(meant) % self.columns.len()
    }

    fn names(&self, alias: &str) -> Vec<String> {
        (0..self.columns.len()).map(|place| format!("{alias}.c{place}")).collect()
    }

    fn faithful(&self, places: &[usize]) -> bool {
        places.iter().any(|place| self.columns[*place].faithful)
    }
}

/// A model as SQL, where the models before it are these. What it reads first is the last of them.
pub(super) fn query(relation: &Relation, models: &[Query]) -> Query {
    Writer { aliases: 0, models, leaves: 0 }.query(relation)
}

struct Writer<'a> {
    aliases: usize,
    models: &'a [Query],
    leaves: usize,
}

/// At most so many columns come from one side of a join.
const SIDE: usize = 4;

impl Writer<'_> {
    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("r{}", self.aliases)
    }

    fn query(&mut self, relation: &Relation) -> Query {
        match relation {
            Relation::Table(table) => self.table(usize::from(*table)),
            Relation::Filter(of, by) => {
                let (of, r) = self.below(of);
                let sql = format!("select * from ({}) as {r} where {}", of.sql, predicate(&of, &r, by));
                Query { sql, ..of }
            }
            Relation::Project(of, to) => self.project(of, to),
            Relation::Join(kind, left, right, on) => self.join(*kind, left, right, on),
            Relation::Exists { not, of, in_, on } => {
                let ((of, l), (in_, r)) = (self.below(of), self.below(in_));
                let (on, together) = condition(&of, &l, &in_, &r, on, true);
                let not = if *not { "not " } else { "" };
                Query {
                    sql: format!(
                        "select * from ({}) as {l} where {not}exists (select 1 from ({}) as {r} where {on})",
                        of.sql, in_.sql
                    ),
                    mixed: of.mixed || in_.mixed || !together,
                    columns: of.columns,
                }
            }
            Relation::In { not, of, list, on } => {
                let ((of, l), (list, r)) = (self.below(of), self.below(list));
                let (ours, theirs) = pair(&of, &list, on.0, on.1);
                let not = if *not { "not " } else { "" };
                Query {
                    sql: format!(
                        "select * from ({}) as {l} where {} {not}in (select {} from ({}) as {r})",
                        of.sql,
                        ours.of(&l),
                        theirs.of(&r),
                        list.sql
                    ),
                    mixed: of.mixed || list.mixed || !not.is_empty() || !together(&of, &list, ours, theirs),
                    columns: of.columns,
                }
            }
            Relation::Group { of, by, sets, aggregates, having } => self.group(of, by, *sets, aggregates, *having),
            Relation::Global(of, total) => {
                let ((of, l), (total, r)) = (self.below(of), self.below(total));
                let counted =
                    total.column(1, Type::Number).map_or("count(*)".into(), |column| format!("max({r}.c{column})"));
                let sql = format!(
                    "select {}, (select {counted} from ({}) as {r}) as c{} from ({}) as {l}",
                    of.names(&l).join(", "),
                    total.sql,
                    of.columns.len(),
                    of.sql
                );
                let columns = of.columns.iter().copied().chain([Fact::derived(Type::Number)]).collect();
                Query { sql, columns, mixed: true }
            }
            Relation::Correlated { of, in_, on, aggregate: (function, column) } => {
                let ((of, l), (in_, r)) = (self.below(of), self.below(in_));
                let (ours, theirs) = pair(&of, &in_, on.0, on.1);
                let (aggregate, kind) = aggregate(&in_, &r, *function, *column);
                let sql = format!(
                    "select {}, (select {aggregate} from ({}) as {r} where {} = {}) as c{} from ({}) as {l}",
                    of.names(&l).join(", "),
                    in_.sql,
                    theirs.of(&r),
                    ours.of(&l),
                    of.columns.len(),
                    of.sql
                );
                let mixed = of.mixed || in_.mixed || !together(&of, &in_, ours, theirs);
                let columns = of.columns.iter().copied().chain([Fact::derived(kind)]).collect();
                Query { sql, columns, mixed }
            }
            Relation::Distinct(of) => {
                let (of, r) = self.below(of);
                let kept = of.columns.len().clamp(1, 3);
                // Without the row number there is something to make distinct.
                let first = usize::from(of.columns.len() > kept);
                let names: Vec<String> = (0..kept).map(|place| format!("{r}.c{} as c{place}", place + first)).collect();
                let columns = of.columns[first..first + kept].to_vec();
                let mixed = of.mixed || !columns.iter().any(|column| column.faithful);
                Query { sql: format!("select distinct {} from ({}) as {r}", names.join(", "), of.sql), columns, mixed }
            }
            Relation::Set(kind, left, right) => self.set(*kind, left, right),
            Relation::Window { of, partition, function, argument, order, keep } => {
                self.window(of, partition, *function, *argument, *order, *keep)
            }
            Relation::Twice { of, on } => {
                let (of, x) = self.below(of);
                let (l, r) = (self.alias(), self.alias());
                let from = [format!("select * from {x}"), format!("select * from {x}")];
                let (joined, together) = joined("inner", [&of, &of], &from, [&l, &r], on, true);
                let (names, columns) = both(&of, &l, &of, &r, on.pick);
                let sql = format!("with {x} as ({}) select {} from {joined}", of.sql, named(&names));
                Query { sql, columns, mixed: of.mixed || !together }
            }
            Relation::AsOf { of, versions, on, at } => self.as_of(of, versions, *on, *at),
            Relation::Limit(of, rows) => {
                let (of, r) = self.below(of);
                let order = of.names(&r).join(", ");
                let sql = format!("select * from ({}) as {r} order by {order} limit {rows}", of.sql);
                let columns = of.columns.into_iter().map(|column| Fact { reaching: false, ..column }).collect();
                Query { sql, columns, mixed: true }
            }
        }
    }

    fn below(&mut self, relation: &Relation) -> (Query, String) {
        let query = self.query(relation);
        (query, self.alias())
    }

    fn table(&mut self, table: usize) -> Query {
        self.leaves += 1;
        let model = match self.models.len() {
            0 => None,
            count if self.leaves == 1 => Some(count - 1),
            count => (table >= 3).then(|| table % count),
        };
        if let Some(number) = model {
            let known = &self.models[number];
            let columns = known.columns.iter().map(|column| Fact { derived: false, reaching: true, ..*column });
            return Query {
                sql: format!("select * from gold.m{number}"),
                columns: columns.collect(),
                mixed: known.mixed,
            };
        }
        let kinds = [Type::Number, Type::Number, Type::Number, Type::Number, Type::Text, Type::Decimal];
        Query {
            sql: format!("select n as c0, k as c1, g as c2, v as c3, s as c4, d as c5 from staging.t{}", table % 3),
            columns: kinds.into_iter().map(Fact::of).collect(),
            mixed: false,
        }
    }

    fn project(&mut self, of: &Relation, to: &[(u8, u8)]) -> Query {
        let (of, r) = self.below(of);
        let (mut columns, mut exprs) = (Vec::new(), Vec::new());
        for (place, (column, how)) in to.iter().enumerate() {
            let column = of.any(*column);
            let fact = of.columns[column];
            let name = format!("{r}.c{column}");
            // What is of another type shows values that say nothing of their world.
            let another = |kind| Fact { kind, ..fact.nullable() };
            let (expr, made) = match (fact.kind, how % 8) {
                (Type::Number, 1) => (format!("coalesce({name}, 0) + 1"), fact),
                (Type::Number, 2) => (format!("case when {name} > 1 then 1 else 0 end"), fact.nullable()),
                (Type::Text, 1) => (format!("{name} || 'x'"), fact),
                (Type::Text, 2) => (format!("upper({name})"), fact),
                (Type::Decimal, 1) => (format!("{name} + 0.05"), fact),
                (_, 3) => ("7".into(), Fact { reaching: false, faithful: false, ..Fact::of(Type::Number) }),
                (Type::Number, 5) => (format!("cast({name} as float) * 0.5"), another(Type::Float)),
                (Type::Number, 6) => {
                    (format!("dateadd(hour, cast(20 * {name} as bigint), '2025-01-30')"), another(Type::Time))
                }
                (Type::Number, 7) => (format!("{name} > 1"), another(Type::Truth)),
                (Type::Time, 1) => (format!("date_trunc('month', {name})"), fact),
                (Type::Time, 2) => (format!("datediff(day, '2025-01-01', {name})"), another(Type::Number)),
                (Type::Truth, 1) => (format!("decode({name}, true, 1, false, 0, 2)"), another(Type::Number)),
                _ => (name, fact),
            };
            exprs.push(format!("{expr} as c{place}"));
            columns.push(made);
        }
        Query { sql: format!("select {} from ({}) as {r}", exprs.join(", "), of.sql), columns, mixed: of.mixed }
    }

    fn join(&mut self, kind: JoinKind, left: &Relation, right: &Relation, on: &Condition) -> Query {
        let ((left, l), (right, r)) = (self.below(left), self.below(right));
        let (mut names, mut columns) = both(&left, &l, &right, &r, on.pick);
        let of_left = left.columns.len().min(SIDE);
        for (place, column) in columns.iter_mut().enumerate() {
            let absent = match kind {
                JoinKind::Inner => false,
                JoinKind::Left => place >= of_left,
                JoinKind::Right => place < of_left,
                JoinKind::Full => true,
            };
            if absent {
                *column = column.nullable();
            }
        }
        let (ours, theirs) = operands(&left, &right, on);
        if let (JoinKind::Full, Some(one), Some(other)) = (kind, ours.column(), theirs.column()) {
            let (one, other) = (left.columns[one], right.columns[other]);
            names.insert(0, format!("coalesce({}, {})", ours.of(&l), theirs.of(&r)));
            // What is computed has a value where there is no row.
            let columns_only = matches!((ours, theirs), (Operand::Column(_), Operand::Column(_)));
            columns.insert(
                0,
                Fact {
                    kind: one.kind,
                    derived: one.derived || other.derived,
                    reaching: columns_only && one.reaching && other.reaching,
                    faithful: columns_only && one.faithful && other.faithful,
                },
            );
        }
        let kind = match kind {
            JoinKind::Inner => "inner",
            JoinKind::Left => "left",
            JoinKind::Right => "right",
            JoinKind::Full => "full",
        };
        // A full join has equalities only: others are no plan of the engine's.
        let from = [left.sql.clone(), right.sql.clone()];
        let (joined, together) = joined(kind, [&left, &right], &from, [&l, &r], on, kind != "full");
        let sql = format!("select {} from {joined}", named(&names));
        Query { sql, columns, mixed: left.mixed || right.mixed || !together }
    }

    fn group(
        &mut self,
        of: &Relation,
        by: &[u8],
        sets: Option<Sets>,
        aggregates: &[(u8, u8)],
        having: Option<i64>,
    ) -> Query {
        let (of, r) = self.below(of);
        // Whoever groups by a column twice groups by it.
        let asked: Vec<usize> = by.iter().map(|column| of.any(*column)).collect();
        let mut by = asked.clone();
        by.sort_unstable();
        by.dedup();
        let mut names: Vec<String> = by.iter().map(|column| format!("{r}.c{column}")).collect();
        let in_every_set = match sets {
            None => by.len(),
            Some(Sets::Listed) => 1,
            Some(Sets::Rollup | Sets::Cube) => 0,
        };
        let groups = match sets {
            None => asked.iter().map(|column| format!("{r}.c{column}")).collect::<Vec<_>>().join(", "),
            Some(Sets::Listed) => format!("grouping sets (({}), ({}))", names.join(", "), names[0]),
            Some(Sets::Rollup) => format!("rollup ({})", names.join(", ")),
            Some(Sets::Cube) => format!("cube ({})", names.join(", ")),
        };
        let kept = |(place, column): (usize, &usize)| {
            let fact = of.columns[*column];
            if place < in_every_set { fact } else { Fact::derived(fact.kind) }
        };
        let mut columns: Vec<Fact> = by.iter().enumerate().map(kept).collect();
        for (function, column) in aggregates {
            let (text, kind) = aggregate(&of, &r, *function, *column);
            // The engine cannot make two lists in different orders at a time.
            let second = text.starts_with("listagg") && names.iter().any(|name| name.starts_with("listagg"));
            let (text, kind) = if second { ("count(*)".into(), Type::Number) } else { (text, kind) };
            names.push(text);
            columns.push(Fact::derived(kind));
        }
        let having = having.map_or(String::new(), |least| format!(" having count(*) > {least}"));
        Query {
            sql: format!("select {} from ({}) as {r} group by {groups}{having}", named(&names), of.sql),
            columns,
            mixed: of.mixed || !of.faithful(&by[..in_every_set]),
        }
    }

    fn set(&mut self, kind: SetKind, left: &Relation, right: &Relation) -> Query {
        let ((left, l), (right, r)) = (self.below(left), self.below(right));
        let count = |of: &Query, kind| of.columns.iter().filter(|column| column.kind == kind).count();
        let common = |kind| count(&left, kind).min(count(&right, kind));
        // With many columns hardly a row is in both.
        let (numbers, texts) = if matches!(kind, SetKind::Except | SetKind::Intersect) { (2, 0) } else { (3, 1) };
        let take = [(Type::Number, common(Type::Number).min(numbers)), (Type::Text, common(Type::Text).min(texts))];
        if take.iter().all(|(_, take)| *take == 0) {
            return Query { sql: format!("select * from ({}) as {l}", left.sql), ..left };
        }
        let places = |of: &Query| -> Vec<usize> {
            let of_kind = |(kind, take): &(Type, usize)| {
                let places = (0..of.columns.len()).filter(|place| of.columns[*place].kind == *kind);
                let mut places: Vec<usize> = places.collect();
                // The row number says nothing in two tables: it comes last.
                let first = usize::from(places.len() > 1);
                places.rotate_left(first);
                places.truncate(*take);
                places
            };
            take.iter().flat_map(of_kind).collect()
        };
        let (ours, theirs) = (places(&left), places(&right));
        let names = |places: &[usize], alias: &str| {
            named(&places.iter().map(|place| format!("{alias}.c{place}")).collect::<Vec<_>>())
        };
        let columns: Vec<Fact> = std::iter::zip(&ours, &theirs)
            .map(|(one, other)| {
                let (one, other) = (left.columns[*one], right.columns[*other]);
                let either = matches!(kind, SetKind::UnionAll | SetKind::Union);
                Fact {
                    kind: one.kind,
                    derived: one.derived || (either && other.derived),
                    reaching: one.reaching || (either && other.reaching),
                    faithful: one.faithful && other.faithful,
                }
            })
            .collect();
        let together = kind == SetKind::UnionAll || columns.iter().any(|column| column.faithful);
        let kind = match kind {
            SetKind::UnionAll => "union all",
            SetKind::Union => "union",
            SetKind::Except => "except",
            SetKind::Intersect => "intersect",
        };
        Query {
            sql: format!(
                "select {} from ({}) as {l} {kind} select {} from ({}) as {r}",
                names(&ours, &l),
                left.sql,
                names(&theirs, &r),
                right.sql
            ),
            columns,
            mixed: left.mixed || right.mixed || !together,
        }
    }

    fn window(&mut self, of: &Relation, partition: &[u8], function: u8, argument: u8, order: u8, keep: Keep) -> Query {
        let (of, r) = self.below(of);
        // Often by the last column, which is what another window gives.
        let column = |meant: &u8| if *meant > 191 { of.columns.len() - 1 } else { of.any(*meant) };
        let partition: Vec<usize> = partition.iter().map(column).collect();
        // Now and then by what is computed of a column, which is passed on in its place.
        let mut names = of.names(&r);
        if let Some(&first) = partition.first()
            && of.columns[first].kind == Type::Number
            && order > 191
        {
            names[first] = format!("nvl({}, 0)", names[first]);
        }
        let by = match partition.as_slice() {
            [] => String::new(),
            some => {
                let by: Vec<&str> = some.iter().map(|place| names[*place].as_str()).collect();
                format!("partition by {} ", by.join(", "))
            }
        };
        // All columns: rows that tie are the same.
        let total: Vec<String> = of.names(&r).into_iter().rev().collect();
        let total = format!("over ({by}order by {}", total.join(", "));
        let number = |meant| of.column(meant, Type::Number).map(|column| format!("{r}.c{column}"));
        let argument = number(argument).unwrap_or_else(|| "1".into());
        let tied = format!("over ({by}order by {}", of.names(&r)[of.any(order)]);
        let near = format!("over ({by}order by {}", number(order).unwrap_or_else(|| "1".into()));
        let function = match function % WINDOWS {
            0 => format!("row_number() {total})"),
            1 => format!("rank() {total})"),
            2 => format!("lag({argument}) {total})"),
            3 => format!("lead({argument}) {total})"),
            4 => format!("sum({argument}) {total} rows between unbounded preceding and current row)"),
            5 => format!("count(*) over ({by})"),
            6 => format!("sum({argument}) {total} rows between 1 preceding and 1 following)"),
            7 => format!("first_value({argument}) {total} rows between 2 preceding and current row)"),
            TIED => format!("rank() {tied})"),
            9 => format!("dense_rank() {tied} desc)"),
            10 => format!("sum({argument}) {tied} range between unbounded preceding and current row)"),
            11 => format!("max({argument}) {near} range between 1 preceding and 1 following)"),
            _ => format!("count(*) {near} range between current row and unbounded following)"),
        };
        let width = of.columns.len();
        let mixed = of.mixed || !of.faithful(&partition);
        let names = named(&names);
        let passed = of
            .columns
            .iter()
            .enumerate()
            .map(|(place, column)| Fact { reaching: column.reaching && partition.contains(&place), ..*column });
        let mut columns: Vec<Fact> = passed.collect();
        if keep == Keep::Qualified {
            let sql = format!("select {names} from ({}) as {r} qualify {function} = 1", of.sql);
            return Query { sql, columns, mixed };
        }
        columns.push(Fact::derived(Type::Number));
        let inner = format!("select {names}, {function} as c{width} from ({}) as {r}", of.sql);
        let sql = if keep == Keep::First {
            let q = self.alias();
            format!("select * from ({inner}) as {q} where {q}.c{width} = 1")
        } else {
            inner
        };
        Query { sql, columns, mixed }
    }

    fn as_of(&mut self, of: &Relation, versions: &Relation, on: (u8, u8), at: (u8, u8)) -> Query {
        let ((of, l), (versions, v)) = (self.below(of), self.below(versions));
        let r = self.alias();
        let (ours, theirs) = pair(&of, &versions, on.0, on.1);
        let (Some(at), Some(from)) = (of.column(at.0, Type::Number), versions.column(at.1, Type::Number)) else {
            return Query { sql: format!("select * from ({}) as {l}", of.sql), ..of };
        };
        let order: String = versions.names(&v).into_iter().map(|name| format!(", {name}")).collect();
        let inner = format!(
            "select {}, lead({v}.c{from}) over (partition by {} order by {v}.c{from}{order}) as until from ({}) as {v}",
            versions.names(&v).join(", "),
            theirs.of(&v),
            versions.sql
        );
        let (names, mut columns) = both(&of, &l, &versions, &r, 0);
        for column in columns.iter_mut().skip(of.columns.len().min(SIDE)) {
            *column = Fact { reaching: false, ..column.nullable() };
        }
        Query {
            sql: format!(
                "select {} from ({}) as {l} left join ({inner}) as {r} on {} = {} \
                 and {l}.c{at} >= {r}.c{from} and ({l}.c{at} < {r}.until or {r}.until is null)",
                named(&names),
                of.sql,
                ours.of(&l),
                theirs.of(&r)
            ),
            columns,
            mixed: of.mixed || versions.mixed || !together(&of, &versions, ours, theirs),
        }
    }
}

/// Expressions called c0, c1, ...
fn named(exprs: &[String]) -> String {
    let named = exprs.iter().enumerate().map(|(place, expr)| format!("{expr} as c{place}"));
    named.collect::<Vec<_>>().join(", ")
}

/// Some columns of two sides, one after the other.
fn both(left: &Query, l: &str, right: &Query, r: &str, pick: u8) -> (Vec<String>, Vec<Fact>) {
    let (mut names, mut columns) = (Vec::new(), Vec::new());
    for (side, alias) in [(left, l), (right, r)] {
        let width = side.columns.len();
        for place in (0..width).cycle().skip(side.any(pick)).take(width.min(SIDE)) {
            names.push(format!("{alias}.c{place}"));
            columns.push(side.columns[place]);
        }
    }
    (names, columns)
}

#[derive(Debug, Clone, Copy)]
enum Operand {
    Column(usize),
    /// The number in a column, or 0.
    OrZero(usize),
    One,
}

impl Operand {
    fn of(self, alias: &str) -> String {
        match self {
            Self::Column(column) => format!("{alias}.c{column}"),
            Self::OrZero(column) => format!("nvl({alias}.c{column}, 0)"),
            Self::One => "1".into(),
        }
    }

    fn column(self) -> Option<usize> {
        match self {
            Self::Column(column) | Self::OrZero(column) => Some(column),
            Self::One => None,
        }
    }
}

/// Two columns of the same type.
fn pair(left: &Query, right: &Query, ours: u8, theirs: u8) -> (Operand, Operand) {
    let ours = left.any(ours);
    match right.column(theirs, left.columns[ours].kind) {
        Some(theirs) => (Operand::Column(ours), Operand::Column(theirs)),
        None => (Operand::One, Operand::One),
    }
}

/// What a condition compares: now and then what is computed of a column.
fn operands(left: &Query, right: &Query, on: &Condition) -> (Operand, Operand) {
    let computed = |operand, of: &Query, from: u8| match operand {
        Operand::Column(column) if on.pick >= from && of.columns[column].kind == Type::Number => {
            Operand::OrZero(column)
        }
        operand => operand,
    };
    let (ours, theirs) = pair(left, right, on.left, on.right);
    (computed(ours, left, 232), computed(theirs, right, 216))
}

/// Whether rows with these operands equal are of one world.
fn together(left: &Query, right: &Query, ours: Operand, theirs: Operand) -> bool {
    let faithful = |of: &Query, operand: Operand| operand.column().is_some_and(|column| of.columns[column].faithful);
    faithful(left, ours) && faithful(right, theirs)
}

/// Two sides joined, and whether rows that meet are of one world.
fn joined(
    kind: &str,
    [left, right]: [&Query; 2],
    [from_left, from_right]: &[String; 2],
    [l, r]: [&str; 2],
    on: &Condition,
    more: bool,
) -> (String, bool) {
    let (ours, theirs) = operands(left, right, on);
    // USING merges columns, which outer joins of the right side cannot.
    if !on.using || matches!(kind, "right" | "full") {
        let (text, together) = condition(left, l, right, r, on, more);
        return (format!("({from_left}) as {l} {kind} join ({from_right}) as {r} on {text}"), together);
    }
    let (mut of_left, mut of_right, mut using) =
        (format!("{} as j", ours.of(l)), format!("{} as j", theirs.of(r)), "j".to_owned());
    if let Some((ours, theirs, _)) = on.more
        && let (Some(ours), Some(theirs)) = (left.more(ours), right.more(theirs))
    {
        of_left += &format!(", {l}.c{ours} as i");
        of_right += &format!(", {r}.c{theirs} as i");
        using += ", i";
    }
    let side =
        |from: &str, alias: &str, added: &str| format!("(select *, {added} from ({from}) as {alias}) as {alias}");
    let (left_side, right_side) = (side(from_left, l, &of_left), side(from_right, r, &of_right));
    (format!("{left_side} {kind} join {right_side} using ({using})"), together(left, right, ours, theirs))
}

/// The condition, and whether rows that meet are of one world.
fn condition(left: &Query, l: &str, right: &Query, r: &str, on: &Condition, more: bool) -> (String, bool) {
    let (ours, theirs) = operands(left, right, on);
    let mut text = format!("{} = {}", ours.of(l), theirs.of(r));
    if let Some((ours, theirs, how)) = on.more.filter(|_| more)
        && let (Some(ours), Some(theirs)) = (left.more(ours), right.more(theirs))
    {
        let operator = ["<", ">=", "<>", "="][usize::from(how) % 4];
        text = format!("{text} and {l}.c{ours} {operator} {r}.c{theirs}");
    }
    (text, together(left, right, ours, theirs))
}

fn predicate(of: &Query, alias: &str, by: &Predicate) -> String {
    let column = of.any(by.column);
    let name = format!("{alias}.c{column}");
    let text = match (of.columns[column].kind, by.operator % 4) {
        (Type::Text, 0) => format!("{name} = 'a'"),
        (Type::Text, 1) => format!("{name} like '%1%'"),
        (Type::Text, _) => format!("{name} <> 'b'"),
        (Type::Decimal, 0) => format!("{name} = 0.10"),
        (Type::Time, 0) => format!("{name} < '2025-02-01'"),
        (Type::Time, 1 | 2) => format!("extract(day from {name}) > 2"),
        (Type::Truth, 0..=2) => format!("not {name}"),
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

fn aggregate(of: &Query, alias: &str, function: u8, column: u8) -> (String, Type) {
    let over = |kind, text: &dyn Fn(String) -> String, gives| {
        let column = of.column(column, kind)?;
        Some((text(format!("{alias}.c{column}")), gives))
    };
    let made = match function % 13 {
        1 => over(Type::Number, &|column| format!("sum({column})"), Type::Number),
        2 => over(Type::Number, &|column| format!("min({column})"), Type::Number),
        3 => over(Type::Number, &|column| format!("count(distinct {column})"), Type::Number),
        4 => over(Type::Number, &|column| format!("max({column})"), Type::Number),
        5 => over(Type::Number, &|column| format!("cast(median({column}) as bigint)"), Type::Number),
        // Beside COUNT(DISTINCT) the engine's optimizer makes the type of a sum wider.
        6 => over(Type::Decimal, &|column| format!("cast(sum({column}) as decimal(20, 2))"), Type::Decimal),
        7 => over(Type::Decimal, &|column| format!("avg({column})"), Type::Decimal),
        8 => over(Type::Text, &|column| format!("listagg({column}, ',') within group (order by {column})"), Type::Text),
        9 => over(Type::Text, &|column| format!("max({column})"), Type::Text),
        10 => over(Type::Text, &|column| format!("count(distinct {column})"), Type::Number),
        11 => over(Type::Time, &|column| format!("max({column})"), Type::Time),
        12 => over(Type::Truth, &|column| format!("count(case when {column} then 1 end)"), Type::Number),
        _ => None,
    };
    made.unwrap_or_else(|| ("count(*)".into(), Type::Number))
}
