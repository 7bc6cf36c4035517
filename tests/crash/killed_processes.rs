//! Claim: the program can be killed at any moment, by a signal that nothing can catch; then readers
//! see a whole snapshot, and the next run simply works.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    chance::Chance,
    contents::{Outcome, told},
    shop::{Range, Undisturbed},
    site::Site,
    size::{by_size, is_long},
};

const WORKED: usize = 1;

/// A project like the shop's whose lake is the site's.
fn project(below: &TempDir, site: &Site) -> PathBuf {
    let root = below.path().join(site.path().file_name().unwrap());
    Range::Whole.write(&root, &site.path().display().to_string());
    root
}

fn smelt(project: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smelt"));
    command.arg("--project").arg(project).args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// What is killed.
#[derive(Debug, Clone, Copy)]
enum Work {
    Ingest,
    Run,
    Rebuild,
}

impl Work {
    async fn base(self, undisturbed: &Undisturbed) -> Site {
        match self {
            Self::Ingest => undisturbed.after[WORKED - 1].site.copy(),
            Self::Run => undisturbed.about_to_run(WORKED).await,
            Self::Rebuild => undisturbed.after[WORKED].site.copy(),
        }
    }

    fn command(self, project: &Path, undisturbed: &Undisturbed) -> Command {
        match self {
            Self::Ingest => smelt(project, &["ingest", &undisturbed.shop.extracts[WORKED].to_string_lossy()]),
            Self::Run => smelt(project, &["run"]),
            Self::Rebuild => smelt(project, &["rebuild"]),
        }
    }
}

/// Proves law 4 for the program as it is: after each of many kills at random moments of ingests, runs
/// and rebuilds, readers see the old or the new snapshot whole; and the next ingest and run give the
/// tables of a warehouse where nothing was ever killed.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_at_any_moment_the_next_run_simply_works() {
    let undisturbed = Undisturbed::make(Range::Whole, by_size(2_000, 20_000), WORKED as u32).await;
    let temporary = TempDir::new().unwrap();
    let mut chance = Chance::new("after_a_kill_at_any_moment_the_next_run_simply_works");
    let kills = by_size(5, 50);
    let (mut hit, mut published) = (0, 0);
    for kill in 0..kills {
        let work = *chance.one_of(&[Work::Run, Work::Run, Work::Rebuild, Work::Ingest]);
        let whole = time_undisturbed(work, &undisturbed, &temporary).await;
        let moment = Duration::from_micros(chance.below(whole.as_micros() as u64));
        let judged = async {
            let site = work.base(&undisturbed).await;
            let before = site.process().see_newest().await?;
            let mut child =
                work.command(&project(&temporary, &site), &undisturbed).spawn().map_err(|e| e.to_string())?;
            thread::sleep(moment);
            hit += u32::from(child.try_wait().map_err(|e| e.to_string())?.is_none());
            child.kill().and_then(|()| child.wait()).map_err(|e| e.to_string())?;

            let seen = site.process().see_newest().await?;
            let is_new = seen.id != before.id;
            published += u32::from(is_new);
            let old = if matches!(work, Work::Rebuild) { WORKED } else { WORKED - 1 };
            let expected = &undisturbed.after[if is_new { WORKED } else { old }].seen;
            seen.same_as(expected).map_err(|problem| format!("a reader sees neither old nor new: {problem}"))?;
            next_works(&site, &undisturbed, &temporary, is_long() && kill == kills - 1).await
        };
        judged.await.unwrap_or_else(|problem| {
            panic!("{work:?}, kill {kill} after {moment:?} of {whole:?}: {problem}");
        });
    }
    println!("{kills} kills, {hit} of a living process, {published} after its publish");
}

/// How long the work takes when nobody kills it.
async fn time_undisturbed(work: Work, undisturbed: &Undisturbed, temporary: &TempDir) -> Duration {
    let site = work.base(undisturbed).await;
    let mut command = work.command(&project(temporary, &site), undisturbed);
    let started = Instant::now();
    let ended = command.status().unwrap();
    assert!(ended.success(), "{work:?} ends with {ended}");
    started.elapsed()
}

/// The next ingest and run, at once: that the process is dead can be told on its machine.
async fn next_works(site: &Site, undisturbed: &Undisturbed, temporary: &TempDir, as_program: bool) -> Outcome {
    let process = site.process();
    let killed_on = process.see_newest().await?.id;
    process.ingest(WORKED).await.map_err(|e| told(&e))?;
    if as_program {
        let ended = smelt(&project(temporary, site), &["run"]).status().map_err(|e| e.to_string())?;
        if !ended.success() {
            return Err(format!("the next run ends with {ended}"));
        }
    } else {
        process.run().await.map_err(|e| format!("the next run does not work: {}", told(&e)))?;
    }
    let next = process.see_newest().await?;
    next.same_as(&undisturbed.after[WORKED].seen)?;
    if next.id == killed_on {
        // What a dead run left is known for garbage once the snapshot it would have published is there.
        process.rebuild().await.map_err(|e| format!("a rebuild does not work: {}", told(&e)))?;
    }
    site.tidy().await?;
    process.see_newest().await?.same_as(&undisturbed.after[WORKED].seen)
}
