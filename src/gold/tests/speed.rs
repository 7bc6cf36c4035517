//! scratch
use std::{sync::Arc, time::Instant};
use datafusion::{arrow::array::RecordBatch, common::{Constraint, Constraints}, datasource::MemTable};
use futures::TryStreamExt as _;
use tempfile::TempDir;
use crate::{engine::{self, JoinPreference, Limits, Purpose, SessionFactory, SqlText}, error::SourceFile, gold::{self, Models}, project::template};

fn rss() -> String {
    std::fs::read_to_string("/proc/self/status").unwrap().lines().filter(|l| l.starts_with("VmHWM") || l.starts_with("VmRSS")).map(|l| l.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()/1024).map(|x| x.to_string()).collect::<Vec<_>>().join("/")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn speed() {
    let orders: u64 = std::env::var("ORDERS").ok().and_then(|s| s.parse().ok()).unwrap_or(100_000);
    let memory: usize = std::env::var("MEM_MB").ok().and_then(|s| s.parse().ok()).unwrap_or(2048);
    let joins = if std::env::var("SMJ").is_ok() { JoinPreference::SortMerge } else { JoinPreference::Hash };
    let folder = TempDir::new().unwrap();
    let gen_factory = SessionFactory::new(Limits { memory: 16 << 30, threads: 2, spill: folder.path().join("spill"), batch_size: 8192 }).unwrap();
    let generate = gen_factory.session("shop", JoinPreference::Hash);
    let factory = SessionFactory::new(Limits { memory: memory << 20, threads: 2, spill: folder.path().join("spill"), batch_size: 8192 }).unwrap();
    let context = factory.session("shop", joins);
    for (name, text) in template::FILES {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let digits = (0..10).map(|d| format!("SELECT {d} AS d")).collect::<Vec<_>>().join(" UNION ALL ");
    let numbers = format!("(SELECT a.d + 10*b.d + 100*c.d + 1000*e.d + 10000*f.d + 100000*g.d + 1000000*h.d AS n FROM ({digits}) a CROSS JOIN ({digits}) b CROSS JOIN ({digits}) c CROSS JOIN ({digits}) e CROSS JOIN ({digits}) f CROSS JOIN ({digits}) g CROSS JOIN (SELECT d FROM ({digits}) x WHERE d < 3) h)");
    let customers = orders / 6;
    let tables: Vec<(&str, String, Vec<usize>)> = vec![
        ("customers_cleaned", format!("SELECT 'C'||lpad(n::varchar,8,'0') AS customer_id, 'm'||n||'@x.com' AS email, 'Ann' AS first_name, 'Lee'||(n%1000) AS last_name, '1' AS phone, 'DE' AS country, 'City'||(n%500) AS city, '12345' AS postal_code, n%2=0 AS marketing_opt_in, TIMESTAMP '2022-01-01' AS created_at, TIMESTAMP '2022-01-01' AS updated_at FROM {numbers} WHERE n < {customers}"), vec![0]),
        ("customers_cleaned_history", format!("SELECT 'C'||lpad((n/2)::varchar,8,'0') AS customer_id, 'm'||(n/2)||'@x.com' AS email, 'Ann' AS first_name, 'Lee'||(n%1000) AS last_name, '1' AS phone, 'DE' AS country, 'City'||(n%500) AS city, '12345' AS postal_code, n%2=0 AS marketing_opt_in, TIMESTAMP '2022-01-01' AS created_at, DATEADD(day, (n%2)*400, TIMESTAMP '2022-01-01') AS updated_at FROM {numbers} WHERE n < {customers}*2"), vec![0,10]),
        ("customers_cleaned_tombstones", format!("SELECT 'C'||lpad((n*50)::varchar,8,'0') AS customer_id, TIMESTAMP '2024-01-01' AS updated_at FROM {numbers} WHERE n < {customers}/50"), vec![0,1]),
        ("products_cleaned", "SELECT 'P'||n AS product_id, 'x' AS name, 'Cat'||(n%20) AS category, 'B' AS brand, 9.99::decimal(18,2) AS unit_price, 5.00::decimal(18,2) AS unit_cost, 'EUR' AS currency, true AS is_active, TIMESTAMP '2022-01-01' AS created_at, TIMESTAMP '2022-01-01' AS updated_at FROM ".to_owned()+&numbers+" WHERE n < 2000", vec![0]),
        ("products_cleaned_history", "SELECT 'P'||(n/4) AS product_id, 'x' AS name, 'Cat'||((n/4)%20) AS category, 'B' AS brand, (9.99+n%4)::decimal(18,2) AS unit_price, 5.00::decimal(18,2) AS unit_cost, 'EUR' AS currency, true AS is_active, TIMESTAMP '2022-01-01' AS created_at, DATEADD(day, (n%4)*200, TIMESTAMP '2022-01-01') AS updated_at FROM ".to_owned()+&numbers+" WHERE n < 8000", vec![0,9]),
        ("products_cleaned_tombstones", "SELECT 'P'||n AS product_id, TIMESTAMP '2024-01-01' AS updated_at FROM ".to_owned()+&numbers+" WHERE n < 50", vec![0,1]),
        ("orders_cleaned", format!("SELECT 'O'||lpad(n::varchar,9,'0') AS order_id, 'C'||lpad(((n*7919)%{customers})::varchar,8,'0') AS customer_id, CASE WHEN n%20=0 THEN 'cancelled' ELSE 'completed' END AS order_status, 'EUR' AS currency, CASE n%4 WHEN 0 THEN 'DE' WHEN 1 THEN 'FR' WHEN 2 THEN 'IT' END AS shipping_country, 1.00::decimal(18,2) AS discount_amount, 4.90::decimal(18,2) AS shipping_amount, DATEADD(second, n*70, TIMESTAMP '2022-01-01') AS ordered_at, TIMESTAMP '2022-01-01' AS updated_at FROM {numbers} WHERE n < {orders}"), vec![0]),
        ("order_items_cleaned", format!("SELECT 'I'||lpad(n::varchar,9,'0') AS order_item_id, 'O'||lpad((n*10/26)::varchar,9,'0') AS order_id, 'P'||((n*31)%2010) AS product_id, (n%5+1)::integer AS quantity, (n%100+0.99)::decimal(18,2) AS unit_price, 0.50::decimal(18,2) AS discount_amount, TIMESTAMP '2022-01-01' AS updated_at FROM {numbers} WHERE n < {orders}*26/10"), vec![0]),
        ("payments_cleaned", format!("SELECT 'Y'||lpad(n::varchar,9,'0') AS payment_id, 'O'||lpad(n::varchar,9,'0') AS order_id, 'card' AS payment_method, 'captured' AS payment_status, 30.00::decimal(18,2) AS amount, DATEADD(second, n*70+60, TIMESTAMP '2022-01-01') AS paid_at, TIMESTAMP '2022-01-01' AS updated_at FROM {numbers} WHERE n < {orders}"), vec![0]),
        ("shipments_cleaned", format!("SELECT 'S'||lpad(n::varchar,9,'0') AS shipment_id, 'O'||lpad(n::varchar,9,'0') AS order_id, 'DHL' AS carrier, 't'||n AS tracking_number, 'delivered' AS shipment_status, DATEADD(second, n*70+86400, TIMESTAMP '2022-01-01') AS shipped_at, DATEADD(second, n*70+200000, TIMESTAMP '2022-01-01') AS delivered_at, TIMESTAMP '2022-01-01' AS updated_at FROM {numbers} WHERE n < {orders}"), vec![0]),
    ];
    let mut sources = std::collections::BTreeSet::new();
    for (name, sql, key) in tables {
        sources.insert(name.to_owned());
        let text = SqlText::whole(SourceFile::new("q.sql", sql));
        let plan = engine::plan(&generate, &text, Purpose::Query).await.unwrap_or_else(|e| panic!("{name}: {e} {:?}", std::error::Error::source(&e).map(|e| e.to_string())));
        let frame = generate.execute_logical_plan(plan).await.unwrap();
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let parts = frame.collect_partitioned().await.unwrap();
        eprintln!("{name} {}", parts.iter().flatten().map(RecordBatch::num_rows).sum::<usize>());
        let all: Vec<RecordBatch> = parts.into_iter().flatten().collect();
        let half = all.len() / 2;
        let (a, b) = all.split_at(half);
        let schema2 = Arc::new(datafusion::arrow::datatypes::Schema::new(schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect::<Vec<_>>()));
        let fix = |x: &[RecordBatch]| x.iter().map(|r| RecordBatch::try_new(Arc::clone(&schema2), r.columns().to_vec()).unwrap()).collect::<Vec<_>>();
        let provider = MemTable::try_new(Arc::clone(&schema2), vec![fix(a), fix(b)]).unwrap().with_constraints(Constraints::new_unverified(vec![Constraint::PrimaryKey(key)]));
        context.register_table(format!("staging.{name}"), Arc::new(provider)).unwrap();
    }
    eprintln!("generated rss {}", rss());
    let models = Models::read(folder.path(), &sources).unwrap();
    let all = Instant::now();
    for model in models.iter() {
        let start = Instant::now();
        let planned = gold::plan(&context, model).await.unwrap_or_else(|e| panic!("{}: {e} {:?}", model.name, e.hint_text()));
        let planning = start.elapsed();
        let got = match gold::execute(&context, &planned).await { Ok(s) => s.try_collect::<Vec<_>>().await, Err(e) => Err(e) };
        let batches = match got { Ok(b) => b, Err(e) => { eprintln!("{} FAILED {}", model.name, e); 
            let retry = factory.session("shop", JoinPreference::SortMerge);
            retry.register_catalog("shop", context.catalog("shop").unwrap());
            let again = Instant::now();
            let b: Vec<RecordBatch> = gold::execute(&retry, &planned).await.unwrap().try_collect().await.unwrap_or_else(|e| panic!("again {e}"));
            eprintln!("   sort-merge {:?}", again.elapsed());
            b
        } };
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        eprintln!("{:20} {rows:8} rows plan {planning:?} total {:?} rss {} spilled {}", model.name, start.elapsed(), rss(), context.runtime_env().disk_manager.used_disk_space());
        let position = |column: &String| planned.schema.index_of(column).unwrap();
        let keys = model.unique_keys.iter().map(|key| Constraint::PrimaryKey(key.iter().map(position).collect())).collect();
        let mut batches = batches; if batches.is_empty() { batches.push(RecordBatch::new_empty(Arc::clone(&planned.schema))); }
        let half = batches.len() / 2; let b = batches.split_off(half);
        let provider = MemTable::try_new(Arc::clone(&planned.schema), vec![batches, b]).unwrap().with_constraints(Constraints::new_unverified(keys));
        context.register_table(format!("gold.{}", model.name), Arc::new(provider)).unwrap();
    }
    eprintln!("models {:?}", all.elapsed());
    let all = Instant::now();
    for check in models.checks() {
        let start = Instant::now();
        let plan = engine::plan(&context, &check.sql, Purpose::Model).await.unwrap();
        let failures = context.execute_logical_plan(plan).await.unwrap().count().await;
        if start.elapsed().as_millis() > 100 || !matches!(failures, Ok(0)) { eprintln!("{:50} {:?} {failures:?}", check.name, start.elapsed()); }
    }
    eprintln!("checks {:?}", all.elapsed());
    if let Ok(name) = std::env::var("EXPLAIN") {
        let planned = gold::plan(&context, models.get(&name).unwrap()).await.unwrap();
        let physical = context.execute_logical_plan(planned.plan).await.unwrap().create_physical_plan().await.unwrap();
        eprintln!("{}", datafusion::physical_plan::displayable(physical.as_ref()).indent(false));
    }
}
