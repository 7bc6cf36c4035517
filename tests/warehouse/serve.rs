//! Other tools ask the server: psycopg, AWS's Redshift driver and psql, on a warehouse that publishes
//! meanwhile.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
};

use crate::{
    python,
    ran::Ran,
    shop::{SMELT, Shop},
    simulated::Simulation,
};

const PASSWORD: &str = "not 'a' secret";

/// A server on a free port; stopped in the end.
struct Server {
    process: Child,
    port: String,
}

impl Server {
    fn start(shop: &Shop) -> Self {
        let mut command = shop.command(["serve", "--port", "0"]);
        let mut process = command.env("SMELT_PASSWORD", PASSWORD).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let said = lines.next().expect("the server ended").unwrap();
        // Its further words are read, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let address = said.split("postgresql://").nth(1).and_then(|rest| rest.split('/').next());
        let port =
            address.and_then(|address| address.rsplit(':').next()).unwrap_or_else(|| panic!("no port in `{said}`"));
        let port = port.to_owned();
        Self { process, port }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn drivers_ask_a_warehouse_that_publishes_meanwhile() {
    let simulation = Simulation::plain(31, 6_000, 1);
    let extracts = simulation.write();
    let [history, day] = &extracts.batches()[..] else { panic!("one day was simulated") };
    let shop = Shop::new();
    shop.take_in(history);

    let server = Server::start(&shop);
    let advance = format!(
        "cd '{}' && '{SMELT}' --quiet ingest '{}' && '{SMELT}' run > /dev/null",
        shop.folder().display(),
        day.display()
    );
    let mut checks = python::peers("wire.py");
    checks.args(["--port", &server.port, "--database", "shop", "--user", "smelt", "--password", PASSWORD]);
    let ran = Ran::run(checks.args(["--advance", &advance]));
    assert_eq!(ran.code(), Some(0), "{simulation}\n{ran}");
    assert!(ran.stdout.lines().filter(|line| line.starts_with("ok ")).count() > 15, "{ran}");
    assert!(!ran.stdout.contains("skip"), "{ran}");
}
