//! The reference warehouse on small tables, with rows derived by hand from its definition.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{ArrayRef, RecordBatch, StringArray},
        compute::cast,
        datatypes::{DataType, Field, Schema, TimeUnit},
        util::display::{ArrayFormatter, FormatOptions},
    },
    common::{Constraint, Constraints},
    datasource::MemTable,
    prelude::SessionContext,
};
use futures::TryStreamExt as _;
use tempfile::TempDir;

use super::planning::session;
use crate::{
    engine::{self, Purpose, SqlText},
    error::SourceFile,
    gold::{self, Models},
    project::{Severity, template},
};

const TEXT: DataType = DataType::Utf8View;
const MONEY: DataType = DataType::Decimal128(18, 2);
const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// The columns of each staging table; the first is the key.
fn columns(entity: &str) -> Vec<(&'static str, DataType)> {
    match entity {
        "customers" => vec![
            ("customer_id", TEXT),
            ("email", TEXT),
            ("first_name", TEXT),
            ("last_name", TEXT),
            ("phone", TEXT),
            ("country", TEXT),
            ("city", TEXT),
            ("postal_code", TEXT),
            ("marketing_opt_in", DataType::Boolean),
            ("created_at", TIME),
            ("updated_at", TIME),
        ],
        "products" => vec![
            ("product_id", TEXT),
            ("name", TEXT),
            ("category", TEXT),
            ("brand", TEXT),
            ("unit_price", MONEY),
            ("unit_cost", MONEY),
            ("currency", TEXT),
            ("is_active", DataType::Boolean),
            ("created_at", TIME),
            ("updated_at", TIME),
        ],
        "orders" => vec![
            ("order_id", TEXT),
            ("customer_id", TEXT),
            ("order_status", TEXT),
            ("currency", TEXT),
            ("shipping_country", TEXT),
            ("discount_amount", MONEY),
            ("shipping_amount", MONEY),
            ("ordered_at", TIME),
            ("updated_at", TIME),
        ],
        "order_items" => vec![
            ("order_item_id", TEXT),
            ("order_id", TEXT),
            ("product_id", TEXT),
            ("quantity", DataType::Int32),
            ("unit_price", MONEY),
            ("discount_amount", MONEY),
            ("updated_at", TIME),
        ],
        "payments" => vec![
            ("payment_id", TEXT),
            ("order_id", TEXT),
            ("payment_method", TEXT),
            ("payment_status", TEXT),
            ("amount", MONEY),
            ("paid_at", TIME),
            ("updated_at", TIME),
        ],
        _ => vec![
            ("shipment_id", TEXT),
            ("order_id", TEXT),
            ("carrier", TEXT),
            ("tracking_number", TEXT),
            ("shipment_status", TEXT),
            ("shipped_at", TIME),
            ("delivered_at", TIME),
            ("updated_at", TIME),
        ],
    }
}

/// A warehouse whose staging tables start empty.
struct Warehouse {
    folder: TempDir,
    context: SessionContext,
}

impl Warehouse {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let warehouse = Self { context: session(&folder), folder };
        for (name, text) in template::FILES {
            let path = warehouse.folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        for entity in ["customers", "products", "orders", "order_items", "payments", "shipments"] {
            warehouse.cleaned(entity, "");
        }
        for entity in ["customers", "products"] {
            warehouse.history(entity, "", "");
        }
        warehouse
    }

    /// The current rows: values between `|`, in the order of the columns but `updated_at`, which
    /// no model reads.
    fn cleaned(&self, entity: &str, rows: &str) {
        let columns = columns(entity);
        let rows = parse(rows).into_iter().map(|mut row| {
            row.push("2024-12-31 00:00:00".into());
            row
        });
        self.register("staging", &format!("{entity}_cleaned"), &columns, rows.collect(), vec![0]);
    }

    /// All winning upserts, with `updated_at` last, and all winning deletes.
    fn history(&self, entity: &str, upserts: &str, deletes: &str) {
        let columns = columns(entity);
        let last = columns.len() - 1;
        self.register("staging", &format!("{entity}_cleaned_history"), &columns, parse(upserts), vec![0, last]);
        let columns = [columns[0].clone(), columns[last].clone()];
        self.register("staging", &format!("{entity}_cleaned_tombstones"), &columns, parse(deletes), vec![0, 1]);
    }

    fn register(
        &self,
        schema: &str,
        table: &str,
        columns: &[(&str, DataType)],
        rows: Vec<Vec<String>>,
        key: Vec<usize>,
    ) {
        let fields: Vec<Field> =
            columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect();
        let arrays: Vec<ArrayRef> = columns
            .iter()
            .enumerate()
            .map(|(index, (_, data_type))| {
                let texts: StringArray =
                    rows.iter().map(|row| Some(row[index].as_str()).filter(|text| *text != "NULL")).collect();
                cast(&texts, data_type).unwrap()
            })
            .collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
        self.provide(schema, table, vec![batch], vec![key]);
    }

    fn provide(&self, schema: &str, table: &str, batches: Vec<RecordBatch>, keys: Vec<Vec<usize>>) {
        let keys = keys.into_iter().map(Constraint::PrimaryKey).collect();
        let provider = MemTable::try_new(batches[0].schema(), vec![batches])
            .unwrap()
            .with_constraints(Constraints::new_unverified(keys));
        let name = format!("{schema}.{table}");
        self.context.deregister_table(name.as_str()).unwrap();
        self.context.register_table(name.as_str(), Arc::new(provider)).unwrap();
    }

    /// Builds every model from scratch, and gives the names of the checks with failures.
    async fn build(&self) -> Vec<String> {
        let mut sources = std::collections::BTreeSet::new();
        for entity in ["customers", "products", "orders", "order_items", "payments", "shipments"] {
            sources.extend(["", "_history", "_tombstones"].map(|suffix| format!("{entity}_cleaned{suffix}")));
        }
        let models = Models::read(self.folder.path(), &sources).unwrap();
        for model in models.iter() {
            let planned = gold::plan(&self.context, model)
                .await
                .unwrap_or_else(|e| panic!("{}: {e} {:?} {:?}", model.name, e.place(), e.hint_text()));
            let mut batches: Vec<RecordBatch> =
                gold::execute(&self.context, planned.plan.clone(), &planned.schema, planned.order.clone())
                    .await
                    .unwrap()
                    .try_collect()
                    .await
                    .unwrap();
            batches.push(RecordBatch::new_empty(Arc::clone(&planned.schema)));
            let position = |column: &String| planned.schema.index_of(column).unwrap();
            let keys = model.unique_keys.iter().map(|key| key.iter().map(position).collect()).collect();
            self.provide("gold", &model.name, batches, keys);
        }
        let mut failed = Vec::new();
        for check in models.checks() {
            let plan = engine::plan(&self.context, &check.sql, Purpose::Model)
                .await
                .unwrap_or_else(|e| panic!("{}: {e} {:?}", check.name, e.place()));
            let failures = self.context.execute_logical_plan(plan).await.unwrap().count().await.unwrap();
            if failures > 0 {
                let prefix = if check.severity == Severity::Warn { "warn " } else { "" };
                failed.push(format!("{prefix}{}", check.name));
            }
        }
        failed
    }

    /// The rows of a query, values between `|`, sorted.
    async fn rows(&self, sql: &str) -> Vec<String> {
        let text = SqlText::whole(SourceFile::new("q.sql", sql));
        let plan = engine::plan(&self.context, &text, Purpose::Query).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let batches = self.context.execute_logical_plan(plan).await.unwrap().collect().await.unwrap();
        let options = FormatOptions::new().with_null("NULL").with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"));
        let mut found = Vec::new();
        for batch in batches {
            let columns: Vec<_> =
                batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
            for row in 0..batch.num_rows() {
                found.push(
                    columns
                        .iter()
                        .map(|column| column.value(row).to_string().replace(" 00:00:00", ""))
                        .collect::<Vec<_>>()
                        .join("|"),
                );
            }
        }
        found.sort();
        found
    }

    async fn expect(&self, sql: &str, expected: &str) {
        let mut expected: Vec<String> = parse(expected).into_iter().map(|row| row.join("|")).collect();
        expected.sort();
        assert_eq!(self.rows(sql).await, expected, "{sql}");
    }
}

fn parse(rows: &str) -> Vec<Vec<String>> {
    let lines = rows.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| line.split('|').map(|value| value.trim().to_owned()).collect()).collect()
}

#[tokio::test]
async fn customer_versions_start_at_tracked_changes_and_end_at_deletes() {
    let shop = Warehouse::new();
    // C1: an untracked change (phone, created_at) and a repetition open nothing; NULL equals NULL.
    // C2: leading deletes, a gap, only the first of two deletes counts, a return without change.
    // C3: an upsert between two deletes makes the second count. C4 is only deleted, C5 unknown.
    shop.history(
        "customers",
        "C1|a@x|Ann|Lee|1|IT|Rome|100|true|2020-01-01|2024-01-01
         C1|a@x|Ann|Lee|2|IT|Rome|100|true|2020-06-06|2024-02-01
         C1|a@x|Ann|Lee|2|IT|Milan|100|true|2020-01-01|2024-03-01
         C1|a@x|Ann|Lee|2|IT|NULL|100|true|2020-01-01|2024-04-01
         C1|a@x|Ann|Lee|3|IT|NULL|100|true|2020-01-01|2024-05-01
         C1|a@x|Ann|Lee|3|IT|NULL|100|false|2020-01-01|2024-06-01 12:00:00.000001
         C2|b@x|Bo|Ek|NULL|SE|Lund|200|false|2021-01-01|2024-01-01
         C2|b@x|Bo|Ek|NULL|SE|Lund|200|false|2021-01-01|2024-03-01
         C3|c@x|Cy|Orr|NULL|IE|Cork|300|false|2021-01-01|2024-01-01
         C3|c@x|Cy|Orr|NULL|IE|Cork|300|false|2021-01-01|2024-02-05",
        "C2|2023-12-01
         C2|2023-12-05
         C2|2024-02-01
         C2|2024-02-10
         C3|2024-02-01
         C3|2024-02-10
         C3|2024-02-11
         C4|2024-01-01",
    );
    shop.cleaned(
        "customers",
        "C1|a@x|Ann|Lee|3|IT|NULL|100|false|2020-01-01
         C2|b@x|Bo|Ek|NULL|SE|Lund|200|false|2021-01-01",
    );
    shop.cleaned(
        "orders",
        "O1|C4|placed|EUR|DE|0|0|2024-01-01
         O2|C5|placed|EUR|DE|0|0|2024-01-01
         O3|C5|placed|EUR|DE|0|0|2024-01-02
         O4|C1|placed|EUR|DE|0|0|2024-01-02",
    );
    assert_eq!(shop.build().await, [""; 0]);
    shop.expect(
        "SELECT customer_id, city, marketing_opt_in, created_at, valid_from, valid_to, is_current, is_inferred FROM dim_customers",
        "C1|Rome|true|2020-01-01|1900-01-01|2024-03-01|false|false
         C1|Milan|true|2020-01-01|2024-03-01|2024-04-01|false|false
         C1|NULL|true|2020-01-01|2024-04-01|2024-06-01 12:00:00.000001|false|false
         C1|NULL|false|2020-01-01|2024-06-01 12:00:00.000001|9999-12-31|true|false
         C2|Lund|false|2021-01-01|1900-01-01|2024-02-01|false|false
         C2|Lund|false|2021-01-01|2024-03-01|9999-12-31|true|false
         C3|Cork|false|2021-01-01|1900-01-01|2024-02-01|false|false
         C3|Cork|false|2021-01-01|2024-02-05|2024-02-10|false|false
         C4|NULL|NULL|NULL|1900-01-01|9999-12-31|true|true
         C5|NULL|NULL|NULL|1900-01-01|9999-12-31|true|true",
    )
    .await;
    shop.expect(
        "SELECT customer_key FROM dim_customers WHERE customer_id IN ('C1', 'C2') AND city IN ('Rome', 'Lund') AND is_current = (city = 'Lund')",
        "2357a5ea9526063a08f2beeb24d1b588
         da2fd1e1a37b9080bbfe1131f9e41a39",
    )
    .await;

    // The real member arrives: the inferred row goes.
    shop.history("customers", "C5|e@x|Eve|Fox|NULL|US|Reno|NULL|true|2024-01-01|2024-07-01", "");
    shop.cleaned("customers", "C5|e@x|Eve|Fox|NULL|US|Reno|NULL|true|2024-01-01");
    assert_eq!(shop.build().await, [""; 0]);
    shop.expect(
        "SELECT customer_id, city, valid_from, is_current, is_inferred FROM dim_customers WHERE customer_id = 'C5'",
        "C5|Reno|1900-01-01|true|false",
    )
    .await;
}

#[tokio::test]
async fn orders_take_the_version_with_the_greatest_start_before_them() {
    let shop = Warehouse::new();
    shop.history(
        "customers",
        "C1|a@x|A|A|NULL|IT|Rome|1|true|2020-01-01|2024-01-01
         C1|a@x|A|A|NULL|IT|Oslo|1|true|2020-01-01|2024-03-01",
        "C1|2024-02-01
         C1|2024-04-01",
    );
    shop.cleaned(
        "orders",
        "before-all|C1|placed|EUR|DE|0|0|1899-12-31 23:59:59.999999
         first-day|C1|placed|EUR|DE|0|0|1900-01-01
         in-gap|C1|placed|EUR|DE|0|0|2024-02-15
         last-moment|C1|placed|EUR|DE|0|0|2024-02-29 23:59:59.999999
         at-start|C1|placed|EUR|DE|0|0|2024-03-01
         deleted|C1|placed|EUR|DE|0|0|2024-05-01
         far|C1|placed|EUR|DE|0|0|9999-12-31 23:00:00
         stranger|C9|placed|EUR|DE|0|0|1850-06-01",
    );
    assert_eq!(shop.build().await, ["warn relationships_fact_orders_order_date_key_dim_date"]);
    shop.expect(
        "SELECT order_id, order_date_key, city FROM fact_orders LEFT JOIN dim_customers USING (customer_key)",
        "before-all|18991231|NULL
         first-day|19000101|Rome
         in-gap|20240215|Rome
         last-moment|20240229|Rome
         at-start|20240301|Oslo
         deleted|20240501|Oslo
         far|99991231|Oslo
         stranger|18500601|NULL",
    )
    .await;
    shop.expect("SELECT order_id FROM fact_orders WHERE customer_key IS NULL", "before-all\nstranger").await;
    // Its order counts for the customer all the same.
    shop.expect("SELECT customer_id, order_count FROM customer_lifetime", "C1|7\nC9|1").await;
}

#[tokio::test]
async fn facts_add_up_wait_for_their_order_and_round_half_away_from_zero() {
    let shop = Warehouse::new();
    shop.history(
        "products",
        "P1|Pan|Kitchen|B|9.99|4.00|EUR|true|2020-01-01|2024-01-01
         P1|Pan|Cooking|B|9.99|4.50|EUR|true|2020-01-01|2024-03-01
         P2|Pot|NULL|B|5.00|NULL|EUR|true|2020-01-01|2024-01-01",
        "",
    );
    shop.cleaned(
        "products",
        "P1|Pan|Cooking|B|9.99|4.50|EUR|true|2020-01-01
         P2|Pot|NULL|B|5.00|NULL|EUR|true|2020-01-01",
    );
    shop.cleaned(
        "orders",
        "O1|C1|completed|EUR|DE|1.50|4.90|2024-02-01 23:30:00
         O2|C1|placed|EUR|NULL|0.00|0.00|2024-03-02 00:10:00
         O3|C1|cancelled|EUR|DE|0.00|0.00|2024-03-02
         O4|C2|placed|EUR|DE|10.00|0.00|2024-03-02
         O5|C2|placed|EUR|DE|0.01|0.00|2024-03-03",
    );
    shop.cleaned(
        "order_items",
        "I1|O1|P1|3|9.99|0.97
         I2|O1|P2|1|5.00|0.00
         I3|O2|P1|2|10.00|0.00
         I4|O2|P9|1|7.00|8.00
         I5|O3|P1|9|9.99|0.00
         I9|O9|P1|1|1.00|0.00
         I8|O9|P8|1|1.00|0.00",
    );
    shop.cleaned(
        "payments",
        "Y1|O1|card|captured|30.00|2024-02-02 08:00:00
         Y2|O1|card|refunded|5.00|2024-02-05 08:00:00
         Y3|O1|card|failed|99.00|2024-02-01 23:00:00
         Y4|O1|card|captured|8.40|NULL
         Y9|O9|card|captured|1.00|2024-02-05",
    );
    shop.cleaned(
        "shipments",
        "S1|O1|DHL|t|delivered|2024-02-03 10:00:00|2024-02-05 09:00:00
         S2|O1|DHL|t|shipped|2024-02-02 00:10:00|2024-02-04
         S3|O2|DHL|t|pending|NULL|NULL
         S9|O9|DHL|t|pending|NULL|NULL",
    );
    assert_eq!(shop.build().await, [""; 0]);
    // O1: 3 × 9.99 + 5.00 = 34.97; net 34.97 − 0.97 − 1.50 + 4.90 = 37.40; paid 30 − 5 + 8.40.
    shop.expect(
        "SELECT order_id, item_count, unit_count, gross_amount, item_discount_amount, net_amount, payment_count, paid_amount,
            first_paid_at, shipment_count, first_shipped_at, delivered_at, days_to_ship, days_to_deliver, is_paid_in_full
         FROM fact_orders",
        "O1|2|4|34.97|0.97|37.40|4|33.40|2024-02-01 23:00:00|2|2024-02-02 00:10:00|2024-02-05 09:00:00|1|4|false
         O2|2|3|27.00|8.00|19.00|0|0.00|NULL|1|NULL|NULL|NULL|NULL|false
         O3|1|9|89.91|0.00|89.91|0|0.00|NULL|0|NULL|NULL|NULL|NULL|false
         O4|0|0|0.00|0.00|-10.00|0|0.00|NULL|0|NULL|NULL|NULL|NULL|true
         O5|0|0|0.00|0.00|-0.01|0|0.00|NULL|0|NULL|NULL|NULL|NULL|true",
    )
    .await;
    shop.expect(
        "SELECT order_item_id, items.order_id, category, is_inferred, quantity, gross_amount, net_amount, cost_amount, margin_amount
         FROM fact_order_items AS items JOIN dim_products USING (product_key)",
        "I1|O1|Kitchen|false|3|29.97|29.00|12.00|17.00
         I2|O1|NULL|false|1|5.00|5.00|NULL|NULL
         I3|O2|Cooking|false|2|20.00|20.00|9.00|11.00
         I4|O2|NULL|true|1|7.00|-1.00|NULL|NULL
         I5|O3|Cooking|false|9|89.91|89.91|40.50|49.41",
    )
    .await;
    // A waiting item makes its product known.
    shop.expect("SELECT product_id FROM dim_products WHERE is_inferred", "P8\nP9").await;
    shop.expect(
        "SELECT * FROM daily_sales",
        "20240201|Kitchen|DE|1|3|29.97|29.00|17.00
         20240201|(unknown)|DE|1|1|5.00|5.00|NULL
         20240302|Cooking|(unknown)|1|2|20.00|20.00|11.00
         20240302|(unknown)|(unknown)|1|1|7.00|-1.00|NULL",
    )
    .await;
    // (37.40 + 19.00) / 2; (−10.00 − 0.01) / 2 = −5.005 goes away from zero.
    shop.expect(
        "SELECT * FROM customer_lifetime",
        "C1|2|2024-02-01 23:30:00|2024-03-02 00:10:00|56.40|28.20
         C2|2|2024-03-02|2024-03-03|-10.01|-5.01",
    )
    .await;
    shop.expect(
        "SELECT payment_id, paid_date_key FROM fact_payments",
        "Y1|20240202\nY2|20240205\nY3|20240201\nY4|NULL",
    )
    .await;
    shop.expect(
        "SELECT shipment_id, shipped_date_key, delivered_date_key, days_in_transit FROM fact_shipments",
        "S1|20240203|20240205|2\nS2|20240202|20240204|2\nS3|NULL|NULL|NULL",
    )
    .await;
}

#[tokio::test]
async fn columns_are_named_ordered_and_typed_as_the_reference_says() {
    let shop = Warehouse::new();
    shop.build().await;
    let mut found = Vec::new();
    for table in [
        "dim_date",
        "dim_customers",
        "dim_products",
        "fact_order_items",
        "fact_orders",
        "fact_payments",
        "fact_shipments",
        "daily_sales",
        "customer_lifetime",
    ] {
        let schema = shop.context.table(format!("gold.{table}")).await.unwrap().schema().as_arrow().clone();
        let columns: Vec<String> = schema
            .fields()
            .iter()
            .map(|field| {
                let kind = match field.data_type() {
                    DataType::Utf8View => "",
                    DataType::Int32 => ":int",
                    DataType::Int64 => ":big",
                    DataType::Decimal128(18, 2) => ":money",
                    DataType::Boolean => ":flag",
                    DataType::Date32 => ":date",
                    DataType::Timestamp(TimeUnit::Microsecond, None) => ":time",
                    other => panic!("{table}.{} is {other}", field.name()),
                };
                format!("{}{kind}", field.name())
            })
            .collect();
        found.push(format!("{table} {}", columns.join(" ")));
    }
    assert_eq!(
        found,
        [
            "dim_date date_key:int date:date year:int quarter:int month:int month_name week_of_year:int day_of_month:int day_of_week:int day_name is_weekend:flag",
            "dim_customers customer_key customer_id email first_name last_name country city postal_code marketing_opt_in:flag created_at:time valid_from:time valid_to:time is_current:flag is_inferred:flag",
            "dim_products product_key product_id name category brand unit_price:money unit_cost:money currency is_active:flag valid_from:time valid_to:time is_current:flag is_inferred:flag",
            "fact_order_items order_item_id order_id order_date_key:int customer_key product_key order_status ordered_at:time quantity:int unit_price:money gross_amount:money discount_amount:money net_amount:money cost_amount:money margin_amount:money",
            "fact_orders order_id order_date_key:int customer_key order_status currency shipping_country ordered_at:time item_count:big unit_count:big gross_amount:money item_discount_amount:money order_discount_amount:money shipping_amount:money net_amount:money payment_count:big paid_amount:money first_paid_at:time shipment_count:big first_shipped_at:time delivered_at:time days_to_ship:big days_to_deliver:big is_paid_in_full:flag",
            "fact_payments payment_id order_id customer_key paid_date_key:int payment_method payment_status amount:money paid_at:time",
            "fact_shipments shipment_id order_id customer_key shipped_date_key:int delivered_date_key:int carrier shipment_status shipped_at:time delivered_at:time days_in_transit:big",
            "daily_sales order_date_key:int category shipping_country order_count:big unit_count:big gross_amount:money net_amount:money margin_amount:money",
            "customer_lifetime customer_id order_count:big first_ordered_at:time last_ordered_at:time net_amount:money average_order_amount:money",
        ]
    );
    shop.expect(
        "SELECT COUNT(*), MIN(date), MAX(date), COUNT(DISTINCT date_key) FROM dim_date",
        "7670|2015-01-01|2035-12-31|7670",
    )
    .await;
    shop.expect(
        "SELECT * FROM dim_date WHERE date_key IN (20150101, 20210103, 20240229)",
        "20150101|2015-01-01|2015|1|1|January|1|1|4|Thursday|false
         20210103|2021-01-03|2021|1|1|January|53|3|7|Sunday|true
         20240229|2024-02-29|2024|1|2|February|9|29|4|Thursday|false",
    )
    .await;
}
