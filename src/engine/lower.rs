//! From Redshift's spelling to DataFusion's, on the parsed SQL.
//!
//! Only what has another spelling is rewritten here; what has another meaning is a function or a
//! planner in `redshift`. For models, what Redshift would refuse or what would make two runs
//! over the same rows differ is an error, with the way out.

use std::{mem, ops::ControlFlow};

use datafusion::sql::sqlparser::{
    ast::{
        BinaryOperator, CaseWhen, CastKind, CharacterLength, DataType, Distinct, Expr, Function, FunctionArg,
        FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Ident, Join, JoinConstraint,
        JoinOperator, LimitClause, ObjectName, Query, Select, SetExpr, SetOperator, Spanned, TableFactor, TimezoneInfo,
        TopQuantity, Value, VisitorMut, WindowFrameUnits, WindowType, helpers::attached_token::AttachedToken,
    },
    tokenizer::Span,
};

use super::{
    column_names::name_columns,
    redshift::{CUT, DatePart},
    sql::Purpose,
    text::SqlText,
};
use crate::error::{Error, nearest};

/// What the session has under a function's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// The same result for the same arguments, always.
    Pure,
    /// Reads the clock or throws dice.
    Impure,
    Aggregate,
    Window,
}

/// The functions of a session.
pub(super) trait Functions {
    fn find(&self, name: &str) -> Option<Known>;
    fn names(&self) -> Vec<String>;
}

pub(super) struct Lowering<'a> {
    pub(super) sql: &'a SqlText,
    pub(super) purpose: Purpose,
    pub(super) functions: &'a dyn Functions,
    pub(super) errors: Vec<Error>,
}

/// Names that are rewritten and that no function of the session has.
const REWRITTEN: &[&str] =
    &["charindex", "concat", "date", "decode", "getdate", "listagg", "mod", "nvl", "nvl2", "pgdate_part", "sysdate"];

impl VisitorMut for Lowering<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::Select(select) = query.body.as_mut()
            && let Some(top) = select.top.take()
        {
            let limit = match top.quantity {
                Some(TopQuantity::Constant(rows)) => Some(number(rows)),
                Some(TopQuantity::Expr(rows)) => Some(rows),
                None => None,
            };
            if top.percent || top.with_ties || limit.is_none() || query.limit_clause.is_some() {
                self.refuse(select.span(), "TOP takes a number of rows alone", "write `SELECT TOP 10 ...`");
            }
            query.limit_clause = Some(LimitClause::LimitOffset { limit, offset: None, limit_by: Vec::new() });
        }
        minus_is_except(&mut query.body);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        if self.purpose == Purpose::Query {
            name_columns(select);
        }
        if self.purpose == Purpose::Model {
            if let Some(Distinct::On(_)) = select.distinct {
                let way_out = "use `QUALIFY ROW_NUMBER() OVER (PARTITION BY ... ORDER BY ...) = 1`";
                self.refuse(select.select_token.0.span, "Redshift has no DISTINCT ON", way_out);
            }
            if !select.named_window.is_empty() {
                self.refuse(
                    select.select_token.0.span,
                    "Redshift has no WINDOW clause",
                    "write the window after each OVER",
                );
            }
        }
        select.from.iter().for_each(|from| self.joins(&from.joins));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<()> {
        if self.purpose == Purpose::Model {
            match table {
                TableFactor::Derived { lateral: true, subquery, .. } => {
                    self.refuse(subquery.span(), "Redshift has no LATERAL joins", "join a grouped subquery instead");
                }
                TableFactor::Derived { subquery, .. } if matches!(*subquery.body, SetExpr::Values(_)) => {
                    let span = subquery.span();
                    self.refuse(span, "Redshift has no VALUES in FROM", "write `SELECT ... UNION ALL SELECT ...`");
                }
                _ => {}
            }
        }
        if let TableFactor::NestedJoin { table_with_joins, .. } = table {
            self.joins(&table_with_joins.joins);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) => {
                if let Some(lowered) = self.function(function) {
                    *expr = lowered;
                }
            }
            Expr::Identifier(name) if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("sysdate") => {
                let span = name.span;
                self.clock(span, "sysdate");
                *expr = now();
            }
            Expr::Between { expr: value, negated, low, high } => {
                let [value, low, high] = [value, low, high].map(|part| mem::replace(part.as_mut(), null()));
                // Two comparisons, so that a date between timestamps is compared as one.
                *expr = Expr::Nested(Box::new(if *negated {
                    let below = binary(value.clone(), BinaryOperator::Lt, low);
                    binary(below, BinaryOperator::Or, binary(value, BinaryOperator::Gt, high))
                } else {
                    let from = binary(value.clone(), BinaryOperator::GtEq, low);
                    binary(from, BinaryOperator::And, binary(value, BinaryOperator::LtEq, high))
                }));
            }
            Expr::Convert { is_try: false, expr: value, data_type: Some(data_type), charset: None, styles, .. }
                if styles.is_empty() =>
            {
                *expr = cast(mem::replace(value.as_mut(), null()), data_type.clone());
            }
            Expr::IsDistinctFrom(left, _) | Expr::IsNotDistinctFrom(left, _) if self.purpose == Purpose::Model => {
                let way_out = "write `DECODE(a, b, 0, 1) = 1`: DECODE takes NULL for equal to NULL";
                self.refuse(left.span(), "Redshift has no IS DISTINCT FROM", way_out);
            }
            _ => {}
        }
        if let Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, data_type, .. } = expr
            && let Some(length) = characters(data_type)
        {
            let whole = mem::replace(expr, null());
            *expr = call(CUT, vec![whole, number(length)]);
        }
        ControlFlow::Continue(())
    }
}

impl Lowering<'_> {
    fn refuse(&mut self, span: Span, message: &str, way_out: &str) {
        self.errors.push(self.sql.error_at(span, message).hint(way_out));
    }

    /// Joins that Redshift has. Nothing else that is written gives the planner a semi-join of the right side. What USING
    /// merges is the left side's column to the engine, which is NULL where there is no left row.
    fn joins(&mut self, joins: &[Join]) {
        for join in joins {
            let span = join.relation.span();
            match &join.join_operator {
                JoinOperator::Right(on) | JoinOperator::RightOuter(on) | JoinOperator::FullOuter(on)
                    if matches!(on, JoinConstraint::Using(_) | JoinConstraint::Natural) =>
                {
                    let way_out = "write ON, and COALESCE of both sides' columns where either may be missing";
                    self.refuse(span, "RIGHT and FULL JOIN cannot merge columns", way_out);
                }
                JoinOperator::Join(_)
                | JoinOperator::Inner(_)
                | JoinOperator::Left(_)
                | JoinOperator::LeftOuter(_)
                | JoinOperator::Right(_)
                | JoinOperator::RightOuter(_)
                | JoinOperator::FullOuter(_)
                | JoinOperator::CrossJoin(_) => {}
                _ if self.purpose == Purpose::Model => {
                    let way_out = "use INNER, LEFT, RIGHT, FULL or CROSS JOIN; EXISTS for a semi-join, NOT EXISTS for an anti-join";
                    self.refuse(span, "Redshift has no such join", way_out);
                }
                _ => {}
            }
        }
    }

    /// Reading the clock is for people's queries, not for models.
    fn clock(&mut self, span: Span, name: &str) {
        if self.purpose == Purpose::Model {
            self.errors.push(impure(self.sql, span, name));
        }
    }

    /// What a call is rewritten to; `None` leaves it, as it is now.
    fn function(&mut self, function: &mut Function) -> Option<Expr> {
        let span = function.name.span();
        let name = match function.name.0.as_slice() {
            [one] => one.as_ident()?.value.to_ascii_lowercase(),
            _ => return self.unknown(span, &function.name.to_string()),
        };
        if self.purpose == Purpose::Model {
            self.portable(&name, function);
        }
        if !REWRITTEN.contains(&name.as_str()) && self.functions.find(&name).is_none() && !is_built_in(&name) {
            return self.unknown(span, &name);
        }
        if self.functions.find(&name) == Some(Known::Impure) {
            self.clock(span, &name);
        }
        if matches!(name.as_str(), "datediff" | "dateadd" | "date_part" | "pgdate_part" | "date_trunc")
            && let Some(first) = arguments(function).and_then(|given| given.into_iter().next())
            && let Expr::Identifier(part) = first
        {
            let part = mem::replace(part, Ident::new(""));
            if DatePart::parse(&part.value).is_none() {
                let way_out = "use year, quarter, month, week, day, hour, minute, second ...";
                self.refuse(part.span, &format!("`{}` is not a date part", part.value), way_out);
            }
            *first = text(&part.value);
        }
        if name == "listagg" {
            return self.listagg(function);
        }
        if name == "regexp_replace" {
            return self.regexp_replace(function);
        }
        match name.as_str() {
            "nvl" => rename(function, "coalesce"),
            "pgdate_part" => rename(function, "date_part"),
            _ => {}
        }
        let rewritten = matches!(
            name.as_str(),
            "nvl2" | "decode" | "charindex" | "concat" | "mod" | "date" | "getdate" | "convert_timezone"
        );
        if !rewritten {
            return None;
        }
        let mut given = match arguments(function) {
            Some(given) => given.into_iter().map(|argument| mem::replace(argument, null())).collect(),
            None => Vec::new(),
        };
        let count = given.len();
        let mut next = given.drain(..);
        let mut argument = || Box::new(next.next().unwrap_or_else(null));
        let lowered = match (name.as_str(), count) {
            ("nvl2", 3) => {
                let (value, filled, empty) = (argument(), argument(), argument());
                case(vec![CaseWhen { condition: Expr::IsNotNull(value), result: *filled }], Some(empty))
            }
            ("decode", 3..) => {
                let value = argument();
                let mut conditions = Vec::new();
                for _ in 0..(count - 1) / 2 {
                    let condition = Expr::IsNotDistinctFrom(value.clone(), argument());
                    conditions.push(CaseWhen { condition, result: *argument() });
                }
                case(conditions, (count % 2 == 0).then(argument))
            }
            ("charindex", 2) => {
                let wanted = *argument();
                call("strpos", vec![*argument(), wanted])
            }
            ("concat", 2) => Expr::Nested(Box::new(binary(*argument(), BinaryOperator::StringConcat, *argument()))),
            ("mod", 2) => Expr::Nested(Box::new(binary(*argument(), BinaryOperator::Modulo, *argument()))),
            ("date", 1) => cast(*argument(), DataType::Date),
            ("getdate", 0) => {
                self.clock(span, "getdate");
                now()
            }
            ("convert_timezone", 2) => call("convert_timezone", vec![text("UTC"), *argument(), *argument()]),
            ("convert_timezone", 3) => call("convert_timezone", vec![*argument(), *argument(), *argument()]),
            _ => {
                self.refuse(span, &format!("`{name}` does not take {count} arguments"), "see Redshift's reference");
                null()
            }
        };
        Some(lowered)
    }

    /// `LISTAGG(x, ',') WITHIN GROUP (ORDER BY y)`.
    fn listagg(&mut self, function: &mut Function) -> Option<Expr> {
        let order = mem::take(&mut function.within_group);
        let span = function.name.span();
        if order.is_empty() {
            let way_out = "add `WITHIN GROUP (ORDER BY ...)`";
            self.refuse(span, "LISTAGG without an order gives another text each time", way_out);
        }
        rename(function, "string_agg");
        let FunctionArguments::List(list) = &mut function.args else { return None };
        if let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(value))) = list.args.first_mut() {
            *value = cast(mem::replace(value, null()), DataType::Varchar(None));
        }
        if list.args.len() == 1 {
            list.args.push(unnamed(text("")));
        }
        list.clauses.push(FunctionArgumentClause::OrderBy(order));
        None
    }

    /// Redshift replaces every match, DataFusion the first unless told otherwise.
    fn regexp_replace(&mut self, function: &mut Function) -> Option<Expr> {
        let span = function.name.span();
        let FunctionArguments::List(list) = &mut function.args else { return None };
        match list.args.len() {
            2 => list.args.extend([unnamed(text("")), unnamed(text("g"))]),
            3 => list.args.push(unnamed(text("g"))),
            _ => self.refuse(
                span,
                "REGEXP_REPLACE is supported with a text, a pattern and a replacement",
                "leave position and flags out",
            ),
        }
        None
    }

    /// What models may not call because Redshift has it not, or has it otherwise.
    fn portable(&mut self, name: &str, function: &Function) {
        let span = function.name.span();
        match name {
            "string_agg" | "array_agg" => {
                self.refuse(
                    span,
                    &format!("Redshift has no `{name}`"),
                    "use `LISTAGG(x, ',') WITHIN GROUP (ORDER BY ...)`",
                );
            }
            "now" | "current_timestamp" | "age" => {}
            _ => {
                let Some(WindowType::WindowSpec(window)) = &function.over else { return };
                let frame = window.window_frame.as_ref();
                if self.functions.find(name) == Some(Known::Aggregate) && !window.order_by.is_empty() && frame.is_none()
                {
                    let way_out = "add `ROWS UNBOUNDED PRECEDING`, or leave the ORDER BY out";
                    self.refuse(
                        span,
                        &format!("Redshift wants `{name}` over an ordered window to name its frame"),
                        way_out,
                    );
                }
                if frame.is_some_and(|frame| frame.units != WindowFrameUnits::Rows) {
                    self.refuse(span, "Redshift knows window frames of ROWS only", "write `ROWS BETWEEN ...`");
                }
            }
        }
    }

    fn unknown(&mut self, span: Span, name: &str) -> Option<Expr> {
        let names = self.functions.names();
        let known = names.iter().map(String::as_str).chain(REWRITTEN.iter().copied());
        let error = self.sql.error_at(span, format!("there is no function `{name}`")).sqlstate("42883");
        self.errors.push(match nearest(name, known) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error,
        });
        None
    }
}

/// A call of something that gives other rows another time.
pub(super) fn impure(sql: &SqlText, span: Span, name: &str) -> Error {
    sql.error_at(span, format!("a model cannot use `{name}`: the same raw would give other rows another time"))
        .hint("take times from columns such as `updated_at`, and ids from keys, as `md5(order_id)`")
}

/// Functions that the planner knows without a registry.
fn is_built_in(name: &str) -> bool {
    matches!(name, "unnest" | "grouping")
}

/// The plain arguments of a call, or `None` when one is named or a star.
fn arguments(function: &mut Function) -> Option<Vec<&mut Expr>> {
    let FunctionArguments::List(FunctionArgumentList { args, .. }) = &mut function.args else {
        return Some(Vec::new());
    };
    args.iter_mut()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        })
        .collect()
}

/// The length of a text type that has one.
fn characters(data_type: &DataType) -> Option<u64> {
    match data_type {
        DataType::Varchar(Some(CharacterLength::IntegerLength { length, .. }))
        | DataType::CharacterVarying(Some(CharacterLength::IntegerLength { length, .. }))
        | DataType::CharVarying(Some(CharacterLength::IntegerLength { length, .. }))
        | DataType::Nvarchar(Some(CharacterLength::IntegerLength { length, .. }))
        | DataType::Char(Some(CharacterLength::IntegerLength { length, .. }))
        | DataType::Character(Some(CharacterLength::IntegerLength { length, .. })) => Some(*length),
        _ => None,
    }
}

fn minus_is_except(body: &mut SetExpr) {
    if let SetExpr::SetOperation { op, left, right, .. } = body {
        if *op == SetOperator::Minus {
            *op = SetOperator::Except;
        }
        minus_is_except(left);
        minus_is_except(right);
    }
}

fn rename(function: &mut Function, name: &str) {
    let span = function.name.span();
    function.name = ObjectName::from(vec![Ident::with_span(span, name)]);
}

fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.into_iter().map(unnamed).collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn unnamed(expr: Expr) -> FunctionArg {
    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
}

fn case(conditions: Vec<CaseWhen>, else_result: Option<Box<Expr>>) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions,
        else_result,
    }
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

fn now() -> Expr {
    cast(call("now", Vec::new()), DataType::Timestamp(None, TimezoneInfo::None))
}

fn text(value: &str) -> Expr {
    Expr::Value(Value::SingleQuotedString(value.to_owned()).with_empty_span())
}

fn number(value: u64) -> Expr {
    Expr::Value(Value::Number(value.to_string(), false).with_empty_span())
}

fn null() -> Expr {
    Expr::Value(Value::Null.with_empty_span())
}
