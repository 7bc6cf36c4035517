//! `smelt demo`: from nothing to a star schema that answers SQL, in one command.

use std::path::{Path, PathBuf};

use clap::Args;
use smelt_simulate::Options;

use super::{
    context::{Global, Opened, grouped},
    ingest::summary,
    init,
    run::{execute, tell},
    simulate,
};
use crate::{
    bronze::{IngestOptions, ingest},
    error::{self, Error, Result},
    project::Project,
    query::{Format, Layout, Page, Questions, only, write},
    run::{RunOptions, RunReport},
    serve::{EmbeddedEngine, LakeWarehouse, Warehouse},
};

/// Simulate a shop, land its extracts day by day, and show what became of them.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  smelt demo
  smelt demo my-demo --orders 200000")]
pub(super) struct DemoArgs {
    /// Where the project, its extracts and its lake are made; must not exist.
    #[arg(default_value = "smelt-demo")]
    pub(super) dir: PathBuf,
    /// Orders over the 97 days.
    #[arg(long, default_value_t = 20_000)]
    pub(super) orders: u64,
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
}

const HISTORY_DAYS: u32 = 90;
const DAILY_DAYS: u32 = 7;
const TOP_CATEGORIES: &str = "select category, sum(order_count) as orders, sum(net_amount) as net_revenue
from daily_sales group by category order by net_revenue desc limit 5";

pub(super) async fn run(args: DemoArgs, global: &Global) -> Result<()> {
    if args.dir.exists() {
        return Err(Error::input(format!("`{}` is there already", args.dir.display()))
            .hint("remove it, or name another folder: `smelt demo DIR`"));
    }
    std::fs::create_dir_all(&args.dir).map_err(|e| error::io("make", &args.dir, e))?;
    init::write(&args.dir)?;
    let extracts = args.dir.join("extracts");
    global.say(format!(
        "1. simulating {} orders: {HISTORY_DAYS} days of history, {DAILY_DAYS} daily extracts",
        grouped(args.orders)
    ));
    let options = Options {
        seed: args.seed,
        orders: args.orders,
        history_days: HISTORY_DAYS,
        daily_days: DAILY_DAYS,
        ..Options::default()
    };
    let written = simulate::write(options, extracts.clone(), global).await?;
    global.say(format!(
        "   {} records in {} files, with late, repeated, broken and deleted ones among them",
        grouped(written.records()),
        written.files()
    ));

    let project = Project::load(&args.dir, None)?;
    let lake = global.lake(&project)?;
    let opened = Opened::on(project, lake)?;
    global.say("2. landing and running the history");
    let mut reports = vec![step(&opened, &extracts.join("history"), global).await?];
    global.say("3. a week of daily extracts");
    for day in days(&extracts.join("daily"))? {
        reports.push(step(&opened, &day, global).await?);
    }
    global.answer(tell(reports.last().unwrap_or(&reports[0])));
    let daily = &reports[1..];
    let late: u64 = daily.iter().flat_map(|report| &report.entities).map(|entity| entity.late).sum();
    let quarantined: u64 = reports.iter().flat_map(|report| &report.entities).map(|entity| entity.quarantined).sum();
    let seconds: f64 = reports.iter().map(|report| report.seconds).sum();
    global.answer(format!(
        "{} snapshots in {seconds:.1} s; {} late records found their place in the daily runs; {} records are in quarantine, with their reasons",
        reports.len(), grouped(late), grouped(quarantined)
    ));
    global.answer("\ntop categories by net revenue:");
    let warehouse = LakeWarehouse::new(opened.lake.clone());
    let engine = EmbeddedEngine::new(opened.engine.clone(), opened.lake.clone(), &opened.project.settings.name);
    let questions = Questions::new(warehouse.newest().await?, std::sync::Arc::new(engine))?;
    let answer = questions.ask(&only(TOP_CATEGORIES)?).await?;
    let page = Page { layout: Layout::Columns, ..Page::ENDLESS };
    write(answer, Format::Table, page, &mut std::io::stdout()).await?;
    let dir = args.dir.display();
    global.answer(format!(
        "\nthe warehouse is in `{dir}`. Try:
  smelt --project {dir} query \"select * from customer_lifetime order by net_amount desc limit 10\"
  smelt --project {dir} shell
  smelt --project {dir} quarantine list orders
  smelt --project {dir} serve        # then: psql -h 127.0.0.1 -p 5439 -d shop"
    ));
    Ok(())
}

/// Lands one folder and runs.
async fn step(opened: &Opened, folder: &Path, global: &Global) -> Result<RunReport> {
    let options = IngestOptions {
        paths: vec![folder.to_string_lossy().into_owned()],
        entity: None,
        ingestion_date: opened.lake.clock().now().date_naive(),
    };
    let landed = ingest(&opened.lake, &opened.project, &options, &|_| {}).await?;
    let report = execute(opened, RunOptions::default(), global).await?;
    let late: u64 = report.entities.iter().map(|entity| entity.late).sum();
    global.say(format!(
        "   {}: {}; snapshot {} in {:.1} s, {} late",
        folder.file_name().unwrap_or_default().to_string_lossy(),
        summary(&landed).first().cloned().unwrap_or_default(),
        report.snapshot.map_or_else(|| "none".into(), |id| id.to_string()),
        report.seconds,
        grouped(late),
    ));
    Ok(report)
}

/// The day folders, oldest first.
fn days(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut days = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| error::io("list", folder, e))? {
        days.push(entry.map_err(|e| error::io("list", folder, e))?.path());
    }
    days.sort();
    Ok(days)
}
