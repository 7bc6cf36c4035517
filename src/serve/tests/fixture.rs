//! A small warehouse in memory, whose snapshots advance when a test says so.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use datafusion::{datasource::MemTable, logical_expr::LogicalPlan, prelude::SessionContext};
use tempfile::TempDir;

use crate::{
    engine::{self, JoinPreference, Limits, Purpose, SessionFactory, SqlText},
    error::{Result, SourceFile},
    project::Serve,
    serve::{ServeOptions, SqlEngine, View, ViewTable, Warehouse},
};

/// The embedded engine without a lake, within a limit of memory.
pub(crate) struct TestEngine {
    factory: SessionFactory,
    _spill: TempDir,
}

impl TestEngine {
    pub(crate) fn new(memory: usize) -> Arc<Self> {
        let spill = tempfile::tempdir().unwrap();
        let limits = Limits { memory, threads: 2, spill: spill.path().to_owned(), batch_size: 8192 };
        Arc::new(Self { factory: SessionFactory::new(limits).unwrap(), _spill: spill })
    }
}

#[async_trait]
impl SqlEngine for TestEngine {
    fn session(&self) -> Result<SessionContext> {
        Ok(self.factory.session("shop", JoinPreference::Hash))
    }

    async fn plan(&self, session: &SessionContext, sql: &str) -> datafusion::error::Result<LogicalPlan> {
        let text = SqlText::whole(SourceFile::new("query", sql));
        engine::plan(session, &text, Purpose::Query)
            .await
            .map_err(|error| datafusion::error::DataFusionError::External(Box::new(error)))
    }
}

/// The snapshot's number is in `gold.published`, so that a test sees which one answered.
pub(crate) struct MemoryWarehouse {
    tables: Vec<ViewTable>,
    newest: AtomicU64,
}

impl MemoryWarehouse {
    pub(crate) async fn new() -> Arc<Self> {
        let context = SessionContext::new();
        let mut tables = Vec::new();
        for (schema, name, sql) in TABLES {
            tables.push(ViewTable {
                schema: (*schema).into(),
                name: (*name).into(),
                provider: table(&context, sql).await,
            });
        }
        Arc::new(Self { tables, newest: AtomicU64::new(1) })
    }

    pub(crate) fn publish(&self, snapshot: u64) {
        self.newest.store(snapshot, Ordering::SeqCst);
    }
}

async fn table(context: &SessionContext, sql: &str) -> Arc<MemTable> {
    let frame = context.sql(sql).await.unwrap();
    let schema = Arc::clone(frame.schema().inner());
    Arc::new(MemTable::try_new(schema, vec![frame.collect().await.unwrap()]).unwrap())
}

#[async_trait]
impl Warehouse for MemoryWarehouse {
    async fn newest(&self) -> Result<Arc<View>> {
        self.at(self.newest.load(Ordering::SeqCst)).await
    }

    async fn at(&self, snapshot: u64) -> Result<Arc<View>> {
        let context = SessionContext::new();
        let mut tables = self.tables.clone();
        let provider = table(&context, &format!("select cast({snapshot} as bigint) as snapshot")).await;
        tables.push(ViewTable { schema: "gold".into(), name: "published".into(), provider });
        Ok(Arc::new(View::new(snapshot, tables)))
    }
}

/// Options for a free port on loopback.
pub(crate) fn options() -> ServeOptions {
    let mut options = ServeOptions::new(&Serve::default(), "shop");
    options.port = 0;
    options
}

/// The shape of the reference warehouse, in small.
const TABLES: &[(&str, &str, &str)] = &[
    (
        "gold",
        "fact_orders",
        "select 'O-' || cast(value as varchar) as order_id,
                cast(20240101 + value % 28 as int) as order_date_key,
                md5('C-' || cast(value % 700 as varchar)) as customer_key,
                case value % 4 when 0 then 'cancelled' when 1 then 'shipped' else 'completed' end as order_status,
                'EUR' as currency,
                case when value % 10 = 0 then null else 'DE' end as shipping_country,
                arrow_cast(1704067200000000 + value * 60000001, 'Timestamp(Microsecond, Some(\"UTC\"))') as ordered_at,
                cast(value % 5 as bigint) as item_count,
                cast(value * 1.25 as decimal(18,2)) as net_amount,
                value % 3 = 0 as is_paid_in_full
         from generate_series(1, 5000)",
    ),
    (
        "gold",
        "fact_order_items",
        "select 'I-' || cast(value as varchar) as order_item_id, 'O-' || cast(1 + value % 5000 as varchar) as order_id,
                cast(1 + value % 3 as bigint) as quantity, cast(value * 0.75 as decimal(18,2)) as net_amount
         from generate_series(1, 12000)",
    ),
    (
        "gold",
        "dim_customers",
        "select md5('C-' || cast(value as varchar)) as customer_key, 'C-' || cast(value as varchar) as customer_id,
                'Jör\u{2603}n ' || cast(value as varchar) as first_name, 'DE' as country,
                arrow_cast('1900-01-01T00:00:00', 'Timestamp(Microsecond, Some(\"UTC\"))') as valid_from,
                value % 2 = 0 as is_current
         from generate_series(0, 699)",
    ),
    (
        "gold",
        "dim_date",
        "select cast(20240100 + value as int) as date_key, cast(date '2023-12-31' + cast(value as int) as date) as date
         from generate_series(1, 31)",
    ),
    (
        "gold",
        "daily_sales",
        "select 20240101 as order_date_key, 'toys' as category, cast(1.5 as decimal(18,2)) as net_amount",
    ),
    (
        "staging",
        "orders_cleaned",
        "select 'O-' || cast(value as varchar) as order_id, 'C-' || cast(value % 700 as varchar) as customer_id
         from generate_series(1, 100)",
    ),
];
