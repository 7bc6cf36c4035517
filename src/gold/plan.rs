//! A model's plan with the types that its table keeps, and running it.

use std::{ops::Range, sync::Arc};

use datafusion::{
    arrow::{
        array::RecordBatch,
        datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    },
    common::{Column, DataFusionError},
    execution::SendableRecordBatchStream,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, lit},
    physical_plan::stream::RecordBatchStreamAdapter,
    prelude::SessionContext,
};
use futures::StreamExt as _;

use super::{Model, determinism, is_name, unique_keys};
use crate::{
    engine::{self, Purpose},
    error::{Error, Result, nearest},
};

/// What computes a model, and what its table looks like.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Analysed, not optimised; its output columns have the stored names and types. Its rows are in no order.
    pub plan: LogicalPlan,
    /// The columns by which the table's files are ordered, by position.
    pub order: Vec<usize>,
    /// Every column may be NULL: what a table keeps does not hang on what a plan can prove.
    pub schema: SchemaRef,
    /// Columns that are together unique, by position, the smallest key first.
    pub keys: Vec<Vec<usize>>,
}

impl Planned {
    /// Columns by which the model is tested to be unique, by position; whether it is or not.
    pub fn tested(&self, model: &Model) -> Vec<Vec<usize>> {
        let place = |column: &String| self.schema.index_of(column).ok();
        model.unique_keys.iter().filter_map(|key| key.iter().map(place).collect()).collect()
    }
}

/// Plans a model over the tables of the session, which must have every input.
///
/// # Errors
/// `Input`, pointing into the model's file, or into the YAML file for what that says about columns.
pub async fn plan(context: &SessionContext, model: &Model) -> Result<Planned> {
    let plan = engine::plan(context, &model.sql, Purpose::Model).await?;
    determinism::check(&plan, &model.sql)?;
    let fields = stored_fields(model, &plan)?;
    described(model, &fields)?;
    let columns = std::iter::zip(plan.schema().iter(), &fields).map(|(from, field)| {
        let column = Expr::from(from);
        let unchanged = from.1.data_type() == field.data_type();
        let column = if unchanged { column } else { cast(column, field.data_type().clone()) };
        // Joins and groups take -0 for 0, so a change of the one to the other would be followed or not: 0 is kept.
        let column = if field.data_type().is_floating() { column + lit(0.0) } else { column };
        column.alias(field.name())
    });
    let columns: Vec<Expr> = columns.collect();
    let plan = LogicalPlanBuilder::from(plan)
        .project(columns)
        .and_then(LogicalPlanBuilder::build)
        .map_err(|e| Error::bug(format!("the columns of model `{}` cannot be stored", model.name)).cause(e))?;
    let keys = unique_keys(&plan).into_iter().map(|key| key.into_iter().collect()).collect();
    let order = order(&plan, model)?;
    Ok(Planned { plan, order, schema: Arc::new(Schema::new(fields)), keys })
}

/// Where the columns of the model's sort key are.
fn order(plan: &LogicalPlan, model: &Model) -> Result<Vec<usize>> {
    let known: Vec<&str> = plan.schema().fields().iter().map(|field| field.name().as_str()).collect();
    let place = |column: &String| {
        known.iter().position(|known| known == column).ok_or_else(|| {
            let message = format!("model `{}` has no column `{column}` to sort by", model.name);
            let error = model.sql.error(0..1, message);
            match nearest(column, known.iter().copied()) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error,
            }
        })
    };
    model.sort_key.iter().map(place).collect()
}

/// Runs a model's plan, or another with its columns, and orders the rows by some of them. The batches
/// have exactly `schema`.
///
/// # Errors
/// DataFusion's own, so that the caller can tell running out of memory from the rest.
pub async fn execute(
    context: &SessionContext,
    plan: LogicalPlan,
    schema: &SchemaRef,
    order: impl IntoIterator<Item = usize>,
) -> Result<SendableRecordBatchStream, DataFusionError> {
    let by: Vec<_> = order
        .into_iter()
        .map(|place| Expr::Column(Column::from(plan.schema().qualified_field(place))).sort(true, true))
        .collect();
    let plan = if by.is_empty() { plan } else { LogicalPlanBuilder::from(plan).sort(by)?.build()? };
    let stream = engine::beside(engine::run(context, plan).await?);
    let schema = Arc::clone(schema);
    let batches = stream.map({
        let schema = Arc::clone(&schema);
        move |batch| {
            let batch = batch?;
            let options = datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            Ok(RecordBatch::try_new_with_options(Arc::clone(&schema), batch.columns().to_vec(), &options)?)
        }
    });
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
}

fn stored_fields(model: &Model, plan: &LogicalPlan) -> Result<Vec<Field>> {
    let mut errors = Vec::new();
    let mut fields: Vec<Field> = Vec::new();
    for (index, field) in plan.schema().fields().iter().enumerate() {
        let name = field.name();
        let whole = 0..model.sql.text().len();
        if !is_name(name) {
            let message =
                format!("column {} of model `{}` has no name of its own: it would be `{name}`", index + 1, model.name);
            errors.push(
                model.sql.error(0..1, message).hint("give it one with AS, in lower case letters, digits and `_`"),
            );
        } else if fields.iter().any(|known| known.name() == name) {
            let message = format!("model `{}` has two columns called `{name}`", model.name);
            errors.push(
                model
                    .sql
                    .error(place(model, name).unwrap_or(whole), message)
                    .hint("give one of them another name with AS"),
            );
        }
        match stored(field.data_type()) {
            Some(data_type) => fields.push(Field::new(name, data_type, true)),
            None => {
                let message = format!(
                    "column `{name}` of model `{}` is of type {}, which tables cannot keep",
                    model.name,
                    field.data_type()
                );
                errors.push(
                    model
                        .sql
                        .error(place(model, name).unwrap_or(0..1), message)
                        .hint("cast it, for example to VARCHAR"),
                );
            }
        }
    }
    Error::all(errors)?;
    Ok(fields)
}

/// Where a column's name was last written, which is most often where it is made.
fn place(model: &Model, name: &str) -> Option<Range<usize>> {
    model.sql.text().rfind(name).map(|at| at..at + name.len())
}

/// The type that a table keeps a column of a query in.
fn stored(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8View,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Float64,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale) => DataType::Decimal128(*precision, *scale),
        DataType::Boolean => DataType::Boolean,
        DataType::Date32 | DataType::Date64 => DataType::Date32,
        DataType::Timestamp(..) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Dictionary(_, value) => stored(value)?,
        _ => return None,
    })
}

/// What the YAML file says about columns must be true.
fn described(model: &Model, fields: &[Field]) -> Result<()> {
    Error::all(std::iter::zip(&model.columns, &model.column_spans).filter_map(|(column, span)| {
        let Some(field) = fields.iter().find(|field| *field.name() == column.name) else {
            let message = format!("model `{}` has no column `{}`", model.name, column.name);
            let error = Error::input(message).at(&model.described_in, span.clone());
            return Some(match nearest(&column.name, fields.iter().map(|field| field.name().as_str())) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error,
            });
        };
        let declared = column.data_type.as_deref()?;
        let real = sql_type(field.data_type());
        (canonical_type(declared) != real).then(|| {
            Error::input(format!("column `{}` of model `{}` is {real}, not {declared}", column.name, model.name))
                .at(&model.described_in, span.clone())
                .hint(format!(
                    "write `CAST(... AS {declared}) AS {}` in the model, or correct `data_type`",
                    column.name
                ))
        })
    }))
}

/// How Redshift calls a stored type.
fn sql_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Int32 => "integer".into(),
        DataType::Int64 => "bigint".into(),
        DataType::Float64 => "double precision".into(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Boolean => "boolean".into(),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(..) => "timestamp".into(),
        _ => "varchar".into(),
    }
}

fn canonical_type(written: &str) -> String {
    let text = written.trim().to_ascii_lowercase();
    let (name, size) = match text.split_once('(') {
        Some((name, size)) => (name.trim(), Some(size.trim_end_matches(')').replace(' ', ""))),
        None => (text.as_str(), None),
    };
    match name {
        "int" | "int4" => "integer".into(),
        "int8" => "bigint".into(),
        "bool" => "boolean".into(),
        "float" | "float8" | "double" => "double precision".into(),
        "timestamp without time zone" => "timestamp".into(),
        "varchar" | "text" | "string" | "character varying" | "nvarchar" => "varchar".into(),
        "decimal" | "numeric" => match size.as_deref() {
            None => "decimal(18,0)".into(),
            Some(size) if !size.contains(',') => format!("decimal({size},0)"),
            Some(size) => format!("decimal({size})"),
        },
        other => other.into(),
    }
}
