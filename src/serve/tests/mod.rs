//! The server from the outside: conversations over a socket, in one process, with tables in memory.

pub(crate) mod client;
pub(crate) mod fixture;

use std::{net::SocketAddr, sync::Arc, thread, time::Duration};

use tokio::{runtime::Runtime, sync::oneshot};

use self::{
    client::Client,
    fixture::{MemoryWarehouse, TestEngine, options},
};
use super::{Password, ServeOptions, Server};

/// A server on its own threads. Dropped, it is stopped.
struct Running {
    address: SocketAddr,
    warehouse: Arc<MemoryWarehouse>,
    stop: Option<oneshot::Sender<()>>,
    runtime: Option<Runtime>,
    served: Option<tokio::task::JoinHandle<()>>,
}

impl Running {
    fn start(options: ServeOptions, memory: usize) -> Self {
        let runtime = crate::cli::runtime(2).unwrap();
        let warehouse = runtime.block_on(MemoryWarehouse::new());
        let server =
            runtime.block_on(Server::bind(options, Arc::clone(&warehouse) as _, TestEngine::new(memory))).unwrap();
        let address = server.address().unwrap();
        let (stop, stopped) = oneshot::channel();
        let served = runtime.spawn(server.run(async move { drop(stopped.await) }));
        Self { address, warehouse, stop: Some(stop), runtime: Some(runtime), served: Some(served) }
    }

    fn client(&self) -> Client {
        Client::connect(self.address).unwrap()
    }

    /// Stops the server and waits until it has.
    fn stop(&mut self) {
        drop(self.stop.take());
        if let (Some(runtime), Some(served)) = (&self.runtime, self.served.take()) {
            runtime.block_on(served).unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn start() -> Running {
    Running::start(options(), 256 << 20)
}

/// Minutes of work that yields often and holds little.
const LONG: &str = "select count(*) from fact_order_items a, fact_order_items b, fact_order_items c where a.net_amount * b.net_amount < c.net_amount";

#[test]
fn answers_show_as_postgres_shows_them() {
    let server = start();
    let mut client = server.client();
    let sql = "select order_id, ordered_at, net_amount, is_paid_in_full, shipping_country, item_count \
               from fact_orders where order_id in ('O-3', 'O-10') order by ordered_at";
    let texts =
        |row: &[Option<String>]| row.iter().map(|cell| cell.clone().unwrap_or("NULL".into())).collect::<Vec<_>>();
    let rows = client.rows(sql);
    assert_eq!(texts(&rows[0]), ["O-3", "2024-01-01 00:03:00.000003", "3.75", "t", "DE", "3"]);
    assert_eq!(texts(&rows[1]), ["O-10", "2024-01-01 00:10:00.00001", "12.50", "f", "NULL", "0"]);
    assert_eq!(
        client
            .value("select count(*) from gold.fact_orders o join staging.orders_cleaned s on s.order_id = o.order_id"),
        "100"
    );
    assert_eq!(client.value("select count(*) from shop.gold.fact_orders"), "5000");
    assert_eq!(
        client.value("select cast(net_amount * 1000000000000000000000 as decimal(38,2)) from daily_sales"),
        "1500000000000000000000.00"
    );
    assert_eq!(client.rows("select * from fact_orders").len(), 5000);
}

#[test]
fn nothing_but_questions_gets_through() {
    let server = start();
    let mut client = server.client();
    let secret = tempfile::NamedTempFile::with_suffix(".csv").unwrap();
    std::fs::write(secret.path(), "a\n1\n").unwrap();
    let path = secret.path().display();
    let mut wrong = Vec::new();
    for (sql, state) in [
        (format!("copy fact_orders to '{path}'"), "42501"),
        (format!("copy (select 1) to '{path}'"), "42501"),
        ("copy fact_orders from stdin".into(), "42501"),
        (format!("create external table t stored as csv location '{path}'"), "25006"),
        ("create table t as select 1".into(), "25006"),
        ("create view v as select 1".into(), "25006"),
        ("insert into fact_orders select * from fact_orders".into(), "25006"),
        ("update fact_orders set order_id = '1'".into(), "25006"),
        ("delete from fact_orders".into(), "25006"),
        ("drop table fact_orders".into(), "25006"),
        ("truncate fact_orders".into(), "25006"),
        ("set datafusion.execution.batch_size = 1".into(), "42501"),
        ("set datafusion.catalog.information_schema = false".into(), "42501"),
        ("explain analyze insert into fact_orders select * from fact_orders".into(), "25006"),
        (format!("explain copy fact_orders to '{path}'"), "25006"),
        ("prepare p as select 1".into(), "25006"),
        ("select * from information_schema.df_settings".into(), "42501"),
        ("select 1 where exists (select 1 from information_schema.df_settings)".into(), "42501"),
        (format!("select * from '{path}'"), "42P01"),
        (format!("select * from \"{path}\""), "42P01"),
        (format!("select * from read_csv('{path}')"), "42P01"),
        (format!("select * from parquet_metadata('{path}')"), "42P01"),
        ("select getenv('PATH')".into(), "42883"),
        (format!("select pg_read_file('{path}')"), "42883"),
        ("select @@version".into(), "42601"),
        ("select 1 as one into t".into(), "25006"),
        ("with x as (insert into fact_orders select * from fact_orders) select 1".into(), "0A000"),
    ] {
        let failure = client.failure(&sql);
        if (failure.state.as_str(), failure.severity.as_str()) != (state, "ERROR") {
            wrong.push(format!("{sql}: {failure:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(std::fs::read(secret.path()).unwrap(), b"a\n1\n");
    assert_eq!(client.value("select count(*) from fact_orders"), "5000", "the connection goes on");
}

#[test]
fn errors_carry_a_state_and_the_nearest_name() {
    let server = start();
    let mut client = server.client();
    let mut wrong = Vec::new();
    for (sql, state, hint) in [
        ("selct 1", "42601", "SELECT"),
        ("select 1 from", "42601", ""),
        ("select 'a", "42601", "close it"),
        ("select * from fact_order", "42P01", "fact_orders`"),
        ("select * from orders_cleaned", "42P01", "`staging.orders_cleaned`"),
        ("select * from stagin.orders_cleaned", "3F000", "staging"),
        ("select order_ids from fact_orders", "42703", "order_id"),
        ("select o.nett_amount from fact_orders o", "42703", "o.net_amount"),
        ("select order_id from fact_orders o, fact_order_items i", "42702", "table before it"),
        ("select lowr('a')", "42883", "`lower`"),
        ("select 1/0", "22012", ""),
        ("select cast('x' as int)", "22P02", ""),
        ("show serch_path", "42704", "`search_path`"),
    ] {
        let failure = client.failure(sql);
        if failure.state != state || !failure.hint.contains(hint) {
            wrong.push(format!("{sql}: {failure:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_script_runs_until_its_first_error() {
    let server = start();
    let mut client = server.client();
    let outcome = client.run("select 1; set application_name = 'x'; select nothing; select 2");
    assert_eq!(outcome.rows, [[Some("1".to_owned())]]);
    assert_eq!(outcome.tags, ["SELECT 1", "SET"]);
    assert_eq!(outcome.error.unwrap().state, "42703");
    assert!(client.run(" ; -- nothing\n").tags.is_empty());
    assert_eq!(client.value("show application_name"), "x");
    assert!(client.parameters.contains(&("application_name".into(), "x".into())));
}

#[test]
fn a_transaction_reads_one_snapshot_and_others_the_newest() {
    let server = start();
    let (mut inside, mut outside) = (server.client(), server.client());
    let published = "select snapshot from published";
    inside.rows("begin");
    assert_eq!((inside.value(published), inside.status), ("1".into(), 'T'));
    server.warehouse.publish(2);
    assert_eq!(outside.value(published), "2");
    assert_eq!(inside.value(published), "1");
    assert_eq!(inside.failure("select nothing").state, "42703");
    assert_eq!(inside.status, 'E');
    assert_eq!(inside.failure(published).state, "25P02");
    assert_eq!(inside.run("commit").tags, ["ROLLBACK"]);
    assert_eq!((inside.value(published), inside.status), ("2".into(), 'I'));
    server.warehouse.publish(3);
    assert_eq!(inside.value(published), "3");
}

#[test]
fn settings_follow_their_transaction() {
    let server = start();
    let mut client = server.client();
    client.rows("set search_path to staging");
    assert_eq!(client.value("select count(*) from orders_cleaned"), "100");
    client.rows("begin; set search_path to gold; set local statement_timeout to '5s'");
    assert_eq!(client.value("select count(*) from fact_orders"), "5000");
    assert_eq!(client.value("show statement_timeout"), "5s");
    client.rows("commit");
    assert_eq!(client.value("show search_path"), "gold");
    assert_eq!(client.value("show statement_timeout"), "0");
    client.rows("begin; set search_path to staging; rollback");
    assert_eq!(client.value("show search_path"), "gold");
}

#[test]
fn cursors_are_fetched_piece_by_piece() {
    let server = start();
    let mut client = server.client();
    client.rows("begin; declare c no scroll cursor for select order_id from fact_orders order by ordered_at");
    assert_eq!(client.rows("fetch forward 2 from c"), [[Some("O-1".to_owned())], [Some("O-2".to_owned())]]);
    assert_eq!(client.rows("fetch 1 from c")[0][0].as_deref(), Some("O-3"));
    assert_eq!(client.run("fetch all from c").tags, ["FETCH 4997"]);
    assert!(client.rows("fetch next from c").is_empty());
    client.rows("close c");
    assert_eq!(client.failure("fetch 1 from c").state, "34000");
    client.rows("rollback");
    assert_eq!(client.failure("declare c cursor for select 1").state, "25P01");
}

#[test]
fn long_statements_end_by_time_or_by_their_users_wish() {
    let mut options = options();
    options.statement_timeout = Some(Duration::from_millis(700));
    let server = Running::start(options, 256 << 20);
    let mut client = server.client();
    let failure = client.failure(LONG);
    assert_eq!(failure.state, "57014");
    assert!(failure.message.contains("0.7 s"), "{failure:?}");
    client.rows("set statement_timeout = 100");
    assert!(client.failure(LONG).message.contains("0.1 s"));
    client.rows("set statement_timeout = '1h'");
    assert!(client.failure(LONG).message.contains("0.7 s"), "the server's limit stays");
    assert_eq!(client.value("select 1"), "1");

    let server = start();
    let mut client = server.client();
    client.send(LONG);
    thread::sleep(Duration::from_millis(300));
    client.cancel();
    let failure = client.receive().unwrap().error.unwrap();
    assert_eq!(failure.state, "57014");
    assert!(failure.message.contains("cancelled"));
    assert_eq!(client.value("select 1"), "1");
}

#[test]
fn memory_runs_out_for_the_statement_and_not_for_the_server() {
    let server = Running::start(options(), 1 << 20);
    let mut client = server.client();
    let wide = "(select repeat(order_id, 200) as wide from fact_orders)";
    let failure = client.failure(&format!("select count(*) from {wide} a full join {wide} b on a.wide = b.wide"));
    assert_eq!(failure.state, "53200", "{failure:?}");
    assert!(failure.hint.contains("memory limit"));
    assert_eq!(client.value("select count(*) from fact_orders"), "5000");
}

#[test]
fn places_are_limited_and_given_back() {
    let mut options = options();
    options.max_connections = 2;
    let server = Running::start(options, 256 << 20);
    let first = server.client();
    let _second = server.client();
    let refused = Client::connect(server.address).err().unwrap();
    assert_eq!((refused.state.as_str(), refused.severity.as_str()), ("53300", "FATAL"));
    drop(first);
    let third = (0..100).find_map(|_| {
        thread::sleep(Duration::from_millis(20));
        Client::connect(server.address).ok()
    });
    assert_eq!(third.expect("a place is free again").value("select 1"), "1");
}

#[test]
fn only_the_database_there_is_can_be_connected_to() {
    let server = start();
    let refused = Client::connect_to(server.address, "anna", "shp").err().unwrap();
    assert_eq!(refused.state, "3D000");
    assert!(refused.hint.contains("`shop`"));
    Client::connect_to(server.address, "anna", "anna").expect("a client that names no database");
}

#[test]
fn nobody_talks_before_the_password_and_nothing_large_is_read() {
    let mut options = options();
    options.password = Some(Password::new("hunter2").unwrap());
    let server = Running::start(options, 256 << 20);
    let mut client = std::net::TcpStream::connect(server.address).unwrap();
    use std::io::{Read as _, Write as _};
    let startup = [&196_608_u32.to_be_bytes()[..], b"user\0smelt\0database\0shop\0\0"].concat();
    client.write_all(&(startup.len() as u32 + 4).to_be_bytes()).unwrap();
    client.write_all(&startup).unwrap();
    client.write_all(b"Q\0\0\0\x0dselect 1\0").unwrap();
    // A message of a gigabyte is announced, and a little of it sent.
    client.write_all(b"p\x3f\xff\xff\xff").unwrap();
    let flood = client.write_all(&vec![b'x'; 4 << 20]);
    let mut answer = Vec::new();
    let end = client.read_to_end(&mut answer);
    let said = String::from_utf8_lossy(&answer);
    assert!(said.contains("SCRAM-SHA-256"), "{said}");
    assert!(!said.contains("SELECT 1"), "a statement was answered before log-in");
    assert!(flood.is_err() || end.is_err() || said.contains("FATAL"), "the connection was cut off: {said}");
}

#[test]
fn a_stopping_server_says_so_and_lets_statements_finish() {
    let mut server = start();
    let (mut idle, mut busy) = (server.client(), server.client());
    busy.send("select count(*) from fact_order_items a join fact_order_items b on a.quantity < b.quantity");
    thread::sleep(Duration::from_millis(100));
    server.stop();
    assert_eq!(idle.receive().unwrap().error.unwrap().state, "57P01");
    assert_eq!(busy.receive().unwrap().rows.len(), 1);
    assert!(std::net::TcpStream::connect(server.address).is_err());
}

#[test]
fn statements_too_deep_for_the_planner_do_not_bring_it_down() {
    let server = start();
    let mut client = server.client();
    let repeated = |count: usize| {
        [
            format!("select {}1", "1+".repeat(count)),
            format!("select 1{}", "::int".repeat(count)),
            format!("select {}'a'", "'a'||".repeat(count)),
            format!("select * from fact_orders where {} true", "order_id = 'x' or ".repeat(count)),
            format!("select 1 {}", "union all select 1 ".repeat(count)),
            format!("select 1 from dim_date {}", "cross join dim_date ".repeat(count)),
            format!("select 1 from dim_date {}", ", dim_date ".repeat(count)),
            format!("select {}1{}", "(".repeat(count), ")".repeat(count)),
            format!("select {}true", "not ".repeat(count)),
            format!("select {}1", "- ".repeat(count)),
        ]
    };
    for sql in repeated(100_000) {
        let failure = client.failure(&sql);
        assert!(["54001", "42601"].contains(&failure.state.as_str()), "{}: {failure:?}", &sql[..40]);
    }
    for sql in &repeated(150)[..6] {
        // Names repeat in some; what counts is that they reach the planner, which comes back.
        assert!(client.run(sql).error.is_none_or(|failure| failure.state != "54001"), "{}", &sql[..40]);
    }
    assert_eq!(client.value("select 1"), "1");
}

/// Serves the tables in memory for the clients of `tests/peers/wire.py`, until it is killed.
///
/// `PEER_PORT` is the port, `PEER_PASSWORD` the password if there is one, `PEER_SNAPSHOT` a file whose
/// number is the newest snapshot.
#[test]
#[ignore = "serves until it is killed"]
fn serve_for_peers() {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut options = options();
    options.port = variable("PEER_PORT").and_then(|port| port.parse().ok()).unwrap_or(5439);
    options.password = variable("PEER_PASSWORD").map(|password| Password::new(&password).unwrap());
    options.max_connections = 5;
    options.statement_timeout = Some(Duration::from_secs(5));
    if let (Some(certificates), Some(key)) = (variable("PEER_CERT"), variable("PEER_KEY")) {
        options.tls = Some(super::TlsFiles { certificates: certificates.into(), key: key.into() });
    }
    let server = Running::start(options, 64 << 20);
    println!("serving at {}", server.address);
    loop {
        thread::sleep(Duration::from_millis(50));
        let newest = variable("PEER_SNAPSHOT")
            .and_then(|path| std::fs::read_to_string(path).ok())
            .and_then(|text| text.trim().parse().ok());
        if let Some(newest) = newest {
            server.warehouse.publish(newest);
        }
    }
}
