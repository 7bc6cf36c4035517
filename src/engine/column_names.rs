//! What the columns of a person's question are called where it does not say: as PostgreSQL and
//! Redshift call them, and each once.
//!
//! DataFusion would call `COUNT(*)` by its text and `CAST(a AS DATE)` like `a`, and it refuses a
//! select list that has a name twice. Models must name what they make, so they never come here.

use std::collections::HashSet;

use datafusion::sql::sqlparser::ast::{DataType, Expr, Ident, ObjectName, Select, SelectItem, SetExpr};

/// Names every item of the select list that has no name, or one that came before.
pub(super) fn name_columns(select: &mut Select) {
    let given = select.projection.iter().filter_map(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
        _ => None,
    });
    let mut taken: HashSet<String> = given.collect();
    for item in &mut select.projection {
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        let wanted = name(expr).unwrap_or_else(|| "?column?".to_owned());
        let is_column = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        if is_column && taken.insert(wanted.clone()) {
            continue;
        }
        let mut unique = wanted.clone();
        let mut again = 0;
        while (is_column && again == 0) || !taken.insert(unique.clone()) {
            again += 1;
            unique = format!("{wanted}_{again}");
        }
        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', unique) };
    }
}

/// The name that an expression lends its column.
fn name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(column) => Some(folded(column)),
        Expr::CompoundIdentifier(parts) => parts.last().map(folded),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => name(inner),
        Expr::Function(function) => last(&function.name),
        Expr::Cast { expr, data_type, .. } => name(expr).or_else(|| type_name(data_type)),
        Expr::Case { else_result, .. } => {
            let otherwise = else_result.as_deref();
            let column = otherwise.filter(|e| matches!(e, Expr::Identifier(_) | Expr::CompoundIdentifier(_)));
            column.and_then(name).or_else(|| Some("case".to_owned()))
        }
        Expr::Exists { .. } => Some("exists".to_owned()),
        Expr::Extract { .. } => Some("date_part".to_owned()),
        Expr::Substring { .. } => Some("substring".to_owned()),
        Expr::Trim { .. } => Some("btrim".to_owned()),
        Expr::Position { .. } => Some("position".to_owned()),
        Expr::Ceil { .. } => Some("ceil".to_owned()),
        Expr::Floor { .. } => Some("floor".to_owned()),
        Expr::Subquery(query) => match query.body.as_ref() {
            SetExpr::Select(select) => match select.projection.first()? {
                SelectItem::UnnamedExpr(expr) => name(expr),
                SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

fn type_name(data_type: &DataType) -> Option<String> {
    let text = data_type.to_string().to_ascii_lowercase();
    text.split(['(', ' ']).next().map(str::to_owned)
}

fn last(name: &ObjectName) -> Option<String> {
    name.0.last().and_then(|part| part.as_ident()).map(folded)
}

fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_ascii_lowercase() }
}
