//! The command line as a whole: parsing, dispatch, errors and exit codes.

use std::{process::ExitCode, sync::Arc};

use clap::{Parser, Subcommand};

use super::{
    changes,
    context::{Global, Opened},
    demo, explain, export, ingest, init, quarantine, query, run, serve, shell, simulate, snapshots, status, verify,
};
use crate::{
    error::{Error, Result},
    serve::{EmbeddedEngine, LakeWarehouse},
};

/// A medallion e-commerce data warehouse in one binary: land messy extracts, clean them by
/// contract, keep a star schema that always equals a full rebuild, and serve it as SQL.
#[derive(Debug, Parser)]
#[command(
    name = "smelt",
    version,
    propagate_version = true,
    after_help = "Exit codes: 0 done, 1 bug, 2 configuration or input, 3 data or quality, 4 conflict or lock held, 5 unavailable, 6 outcome unknown.

Start with `smelt demo`, or make a project with `smelt init`."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::InitArgs),
    Demo(demo::DemoArgs),
    Simulate(simulate::SimulateArgs),
    Ingest(ingest::IngestArgs),
    Run(run::RunArgs),
    Plan(run::PlanArgs),
    Explain(explain::ExplainArgs),
    Rebuild(run::RebuildArgs),
    Verify(verify::VerifyArgs),
    Status(status::StatusArgs),
    Query(query::QueryArgs),
    Shell(shell::ShellArgs),
    Export(export::ExportArgs),
    Serve(serve::ServeArgs),
    Tables(snapshots::TablesArgs),
    Snapshots(snapshots::SnapshotsArgs),
    Changes(changes::ChangesArgs),
    Rollback(snapshots::RollbackArgs),
    Hold(status::HoldArgs),
    Release(status::ReleaseArgs),
    Quarantine(quarantine::QuarantineArgs),
    Gc(snapshots::GcArgs),
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    logging(&cli.global);
    let json = cli.global.json;
    let runtime = match super::runtime(0) {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, json),
    };
    let outcome = runtime.block_on(dispatch(cli));
    // Background renewals and pins end with the process; nothing waits for them.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, json),
    }
}

#[expect(clippy::print_stderr, reason = "errors go to standard error, here and nowhere else")]
fn fail(error: &Error, json: bool) -> ExitCode {
    let code = ExitCode::from(error.exit_code());
    if json {
        eprintln!("{}", error.to_json());
        return code;
    }
    let mut text = String::new();
    let themed = miette::GraphicalReportHandler::new();
    match themed.render_report(&mut text, error) {
        Ok(()) => eprintln!("{text}"),
        Err(_) => eprintln!("error: {error}"),
    }
    code
}

fn logging(global: &Global) {
    let default = match global.verbose {
        0 => "off",
        1 => "smelt=info",
        _ => "smelt=debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("SMELT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let set = if global.json { logs.json().try_init() } else { logs.try_init() };
    if let Err(error) = set {
        tracing::debug!(%error, "logging was set up already");
    }
}

async fn dispatch(cli: Cli) -> Result<()> {
    let global = cli.global;
    match cli.command {
        Command::Init(args) => init::run(&args, &global),
        Command::Demo(args) => demo::run(args, &global).await,
        Command::Simulate(args) => simulate::run(args, &global).await,
        Command::Ingest(args) => ingest::run(args, &global).await,
        Command::Run(args) => run::run(args, &global).await,
        Command::Plan(_) => run::plan(&global).await,
        Command::Explain(args) => explain::run(args, &global).await,
        Command::Rebuild(args) => run::rebuild(args, &global).await,
        Command::Verify(args) => verify::run(args, &global).await,
        Command::Status(_) => status::status(&global).await,
        Command::Tables(args) => snapshots::tables(args, &global).await,
        Command::Snapshots(args) => snapshots::snapshots(args, &global).await,
        Command::Changes(args) => changes::run(args, &global).await,
        Command::Rollback(args) => snapshots::rollback(args, &global).await,
        Command::Hold(args) => status::hold(args, &global).await,
        Command::Release(args) => status::release(args, &global).await,
        Command::Quarantine(args) => quarantine::run(args, &global).await,
        Command::Gc(args) => snapshots::gc(args, &global).await,
        Command::Query(args) => {
            let (_opened, warehouse, engine) = questions(&global)?;
            query::run(args, &global, &*warehouse, engine).await
        }
        Command::Export(args) => {
            let (_opened, warehouse, engine) = questions(&global)?;
            export::run(args, &global, &*warehouse, engine).await
        }
        Command::Shell(args) => {
            let (opened, warehouse, engine) = questions(&global)?;
            shell::run(args, &opened.project.root, &*warehouse, engine).await
        }
        Command::Serve(args) => {
            let (opened, warehouse, engine) = questions(&global)?;
            serve::run(args.options(&opened.project.settings.serve, &opened.project.settings.name)?, warehouse, engine)
                .await
        }
    }
}

type Questions = (Opened, Arc<LakeWarehouse>, Arc<EmbeddedEngine>);

/// What answers questions about the project's lake.
fn questions(global: &Global) -> Result<Questions> {
    let opened = Opened::open(global)?;
    let warehouse = Arc::new(LakeWarehouse::new(opened.lake.clone()));
    let engine = EmbeddedEngine::new(Arc::clone(&opened.engine), opened.lake.clone(), &opened.project.settings.name);
    Ok((opened, warehouse, Arc::new(engine)))
}
