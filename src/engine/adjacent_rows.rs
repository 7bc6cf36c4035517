//! LAG, LEAD and ROW_NUMBER over many small partitions, a batch at a time.
//!
//! DataFusion's window operator takes each partition by itself, and in it each row: a history with
//! two versions a customer costs it microseconds a row and function. But where rows are sorted by
//! partition, LAG(x) is column x moved down by one row, and NULL where a partition starts; LEAD is
//! the same upwards, and needs to see one row of the next batch. So this operator works on whole
//! columns and holds two batches at most, however many partitions and functions there are.
//!
//! It takes the place of DataFusion's operator by a rule, after planning is done, where all
//! functions of a window are of these three, with offset 1 and no default, and respect NULLs.

use std::{fmt, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt64Array, new_null_array},
        buffer::{BooleanBuffer, MutableBuffer},
        compute::{concat, nullif, partition},
        datatypes::SchemaRef,
        util::bit_util,
    },
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{
        PhysicalExpr,
        window::{StandardWindowExpr, StandardWindowFunctionExpr, WindowExpr},
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode, PlanProperties, ReplaceChildrenOptions,
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet},
        stream::RecordBatchStreamAdapter,
        windows::{BoundedWindowAggExec, WindowUDFExpr},
    },
};
use futures::{StreamExt as _, stream};

/// The rule that puts [`AdjacentRowsExec`] into plans.
#[derive(Debug)]
pub(super) struct AdjacentRows;

impl PhysicalOptimizerRule for AdjacentRows {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let replacement = node
                .downcast_ref::<BoundedWindowAggExec>()
                .and_then(|window| AdjacentRowsExec::instead_of(window, &node));
            Ok(match replacement {
                Some(adjacent) => Transformed::yes(Arc::new(adjacent) as _),
                None => Transformed::no(node),
            })
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "adjacent_rows"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// One column that the operator adds.
#[derive(Debug, Clone)]
enum Added {
    /// LAG
    Previous(Arc<dyn PhysicalExpr>),
    /// LEAD
    Next(Arc<dyn PhysicalExpr>),
    /// ROW_NUMBER
    Number,
}

impl Added {
    fn of(window: &Arc<dyn WindowExpr>) -> Option<Self> {
        let function = window.as_any().downcast_ref::<StandardWindowExpr>()?.get_standard_func_expr();
        let function = function.as_any().downcast_ref::<WindowUDFExpr>()?;
        match function.fun().name() {
            "row_number" => return Some(Self::Number),
            "lag" | "lead" if function.args().len() < 3 => {}
            _ => return None,
        }
        // A planner may have turned LAG into LEAD over the reverse order: what counts is which rows
        // the evaluator looks at. Away from the edges that tells offset and NULL treatment too.
        let evaluator = StandardWindowFunctionExpr::create_evaluator(function).ok()?;
        let looks_at = evaluator.get_range(10, 20).ok()?;
        let value = Arc::clone(StandardWindowFunctionExpr::expressions(function).first()?);
        match (evaluator.is_causal(), looks_at.start, looks_at.end) {
            (true, 9, 11) => Some(Self::Previous(value)),
            (false, 10, 11) => Some(Self::Next(value)),
            _ => None,
        }
    }
}

/// See the module's text. Everything but running is what the replaced operator says.
#[derive(Debug)]
struct AdjacentRowsExec {
    window: Arc<dyn ExecutionPlan>,
    partition_by: Arc<[Arc<dyn PhysicalExpr>]>,
    added: Arc<[Added]>,
    metrics: ExecutionPlanMetricsSet,
}

impl AdjacentRowsExec {
    fn instead_of(window: &BoundedWindowAggExec, node: &Arc<dyn ExecutionPlan>) -> Option<Self> {
        let added = window.window_expr().iter().map(Added::of).collect::<Option<Arc<[_]>>>()?;
        let partition_by: Arc<[_]> = window.window_expr().first()?.partition_by().into();
        (window.input_order_mode == InputOrderMode::Sorted && !partition_by.is_empty()).then(|| Self {
            window: Arc::clone(node),
            partition_by,
            added,
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl DisplayAs for AdjacentRowsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, exprs: &[Arc<dyn PhysicalExpr>]| {
            exprs
                .iter()
                .enumerate()
                .try_for_each(|(index, expr)| write!(f, "{}{expr}", if index == 0 { "" } else { ", " }))
        };
        f.write_str("AdjacentRowsExec: partition_by=[")?;
        list(f, &self.partition_by)?;
        f.write_str("], added=[")?;
        for (index, added) in self.added.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            match added {
                Added::Previous(value) => write!(f, "previous {value}")?,
                Added::Next(value) => write!(f, "next {value}")?,
                Added::Number => f.write_str("number")?,
            }
        }
        f.write_str("]")
    }
}

impl ExecutionPlan for AdjacentRowsExec {
    fn name(&self) -> &'static str {
        "AdjacentRowsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.window.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.window.children()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.window.apply_expressions(f)
    }

    fn required_input_ordering(&self) -> Vec<Option<datafusion::physical_expr::OrderingRequirements>> {
        self.window.required_input_ordering()
    }

    fn input_distribution_requirements(&self) -> datafusion::physical_plan::InputDistributionRequirements {
        self.window.input_distribution_requirements()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        self.window.maintains_input_order()
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self {
            window: Arc::clone(&self.window).replace_children(children, options)?,
            partition_by: Arc::clone(&self.partition_by),
            added: Arc::clone(&self.added),
            metrics: ExecutionPlanMetricsSet::new(),
        }))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(datafusion::physical_plan::ChildrenPropertiesMode::Recompute),
        )
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let [input] = self.window.children()[..] else {
            return datafusion::common::internal_err!("a window has one input");
        };
        let work = Work {
            schema: self.schema(),
            partition_by: Arc::clone(&self.partition_by),
            added: Arc::clone(&self.added),
            metrics: BaselineMetrics::new(&self.metrics, partition),
        };
        let start = (input.execute(partition, context)?, work, None, None);
        let batches = stream::try_unfold(start, |(mut input, work, mut held, mut before)| async move {
            loop {
                let next = match input.next().await.transpose()? {
                    Some(batch) if batch.num_rows() == 0 => continue,
                    Some(batch) => Some(work.read(batch)?),
                    None => None,
                };
                let ended = next.is_none();
                let Some(part) = std::mem::replace(&mut held, next) else {
                    if ended {
                        return Ok(None);
                    }
                    continue;
                };
                let (batch, last) = work.finish(&part, before.as_ref(), held.as_ref())?;
                before = Some(last);
                return Ok(Some((batch, (input, work, held, before))));
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// A batch that is not empty, and what the window functions look at in it.
struct Part {
    batch: RecordBatch,
    keys: Vec<ArrayRef>,
    /// The argument of each function; none for ROW_NUMBER.
    values: Vec<Option<ArrayRef>>,
}

/// The last row of the part before.
struct LastRow {
    keys: Vec<ArrayRef>,
    values: Vec<Option<ArrayRef>>,
    number: u64,
}

struct Work {
    schema: SchemaRef,
    partition_by: Arc<[Arc<dyn PhysicalExpr>]>,
    added: Arc<[Added]>,
    metrics: BaselineMetrics,
}

impl Work {
    fn read(&self, batch: RecordBatch) -> Result<Part> {
        let _timer = self.metrics.elapsed_compute().timer();
        let evaluate = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(&batch)?.into_array(batch.num_rows());
        let keys = self.partition_by.iter().map(evaluate).collect::<Result<_>>()?;
        let values = self
            .added
            .iter()
            .map(|added| match added {
                Added::Previous(value) | Added::Next(value) => evaluate(value).map(Some),
                Added::Number => Ok(None),
            })
            .collect::<Result<_>>()?;
        Ok(Part { batch, keys, values })
    }

    fn finish(&self, part: &Part, before: Option<&LastRow>, after: Option<&Part>) -> Result<(RecordBatch, LastRow)> {
        let _timer = self.metrics.elapsed_compute().timer();
        let rows = part.batch.num_rows();
        let starts = starts(part, before, after)?;
        let mut columns = part.batch.columns().to_vec();
        let mut number = 0;
        for (index, added) in self.added.iter().enumerate() {
            let Some(values) = &part.values[index] else {
                columns.push(numbers(&starts, rows, before.map_or(0, |before| before.number), &mut number));
                continue;
            };
            let nothing = || new_null_array(values.data_type(), 1);
            let (moved, ends) = if matches!(added, Added::Previous(_)) {
                let edge = before.and_then(|before| before.values[index].clone()).unwrap_or_else(nothing);
                (concat(&[&edge, values])?.slice(0, rows), starts.slice(0, rows))
            } else {
                let edge =
                    after.and_then(|after| Some(after.values[index].as_ref()?.slice(0, 1))).unwrap_or_else(nothing);
                (concat(&[values, &edge])?.slice(1, rows), starts.slice(1, rows))
            };
            columns.push(nullif(&moved, &BooleanArray::new(ends, None))?);
        }
        let last = |array: &ArrayRef| array.slice(rows - 1, 1);
        let last = LastRow {
            keys: part.keys.iter().map(last).collect(),
            values: part.values.iter().map(|values| values.as_ref().map(last)).collect(),
            number,
        };
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        self.metrics.record_output(rows);
        Ok((batch, last))
    }
}

/// For each row of the part, and for the row after it, whether a partition starts there.
fn starts(part: &Part, before: Option<&LastRow>, after: Option<&Part>) -> Result<BooleanBuffer> {
    let rows = part.batch.num_rows();
    let context = usize::from(before.is_some());
    let keys = (0..part.keys.len())
        .map(|index| {
            let first_after = after.map(|after| after.keys[index].slice(0, 1));
            let arrays: Vec<&dyn Array> = before
                .map(|before| before.keys[index].as_ref())
                .into_iter()
                .chain([part.keys[index].as_ref()])
                .chain(first_after.as_ref().map(AsRef::as_ref))
                .collect();
            concat(&arrays)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut bits = MutableBuffer::from_len_zeroed(bit_util::ceil(rows + 1, 8));
    for range in partition(&keys)?.ranges() {
        // The row before the part is here for comparison only.
        if let Some(row) = range.start.checked_sub(context) {
            bit_util::set_bit(bits.as_slice_mut(), row);
        }
    }
    if after.is_none() {
        bit_util::set_bit(bits.as_slice_mut(), rows);
    }
    Ok(BooleanBuffer::new(bits.into(), 0, rows + 1))
}

fn numbers(starts: &BooleanBuffer, rows: usize, before: u64, last: &mut u64) -> ArrayRef {
    let mut number = before;
    let numbers: UInt64Array = (0..rows)
        .map(|row| {
            number = if starts.value(row) { 1 } else { number + 1 };
            number
        })
        .collect();
    *last = number;
    Arc::new(numbers)
}
