//! What happens to the output folder, and what is said when something is wrong.

use std::fs;

use smelt_simulate::{Entity, Options, SimulateError, simulate};
use tempfile::TempDir;

use crate::reading::files;
use crate::{clean, nastiest, run};

#[test]
fn only_whole_files_are_left_and_progress_reaches_the_end() {
    let out = TempDir::new().unwrap();
    let mut last = None;
    let summary = simulate(&nastiest(300), out.path(), &mut |progress| {
        last = Some(progress);
    })
    .unwrap();
    let progress = last.unwrap();
    assert_eq!(progress.done, progress.total);
    assert_eq!(progress.records, summary.records());
    let files = files(out.path());
    assert_eq!(files.len() as u64, summary.files());
    assert!(files.iter().all(|path| path.extension().unwrap() == "jsonl"));
}

#[test]
fn a_folder_with_content_is_refused_unless_it_may_be_overwritten() {
    let out = TempDir::new().unwrap();
    fs::create_dir_all(out.path().join("daily/2001-01-01")).unwrap();
    fs::write(out.path().join("daily/2001-01-01/orders.jsonl"), "old").unwrap();
    fs::write(out.path().join("notes.txt"), "mine").unwrap();
    let mut options = clean(50);
    let refused = simulate(&options, out.path(), &mut |_| ()).unwrap_err();
    assert!(matches!(refused, SimulateError::NotEmpty { ref path } if path == out.path()));
    assert_eq!(files(out.path()).len(), 2);

    options.overwrite = true;
    simulate(&options, out.path(), &mut |_| ()).unwrap();
    assert!(!out.path().join("daily/2001-01-01").exists());
    assert!(out.path().join("history/orders/part-0000.jsonl").exists());
    assert_eq!(fs::read(out.path().join("notes.txt")).unwrap(), b"mine");
}

#[test]
fn errors_name_the_option_or_the_path() {
    let out = TempDir::new().unwrap();
    let mut options = clean(10);
    options.defects.late = f64::NAN;
    let error = simulate(&options, out.path(), &mut |_| ()).unwrap_err();
    assert_eq!(error.to_string(), "option `defects.late` must be between 0 and 1");
    let file = out.path().join("file");
    fs::write(&file, "").unwrap();
    let error = simulate(&clean(10), &file, &mut |_| ()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot create {}", file.display()));
    let days = Options { history_days: 0, daily_days: 0, ..clean(10) };
    let error = simulate(&days, out.path(), &mut |_| ()).unwrap_err();
    assert!(matches!(error, SimulateError::Option { .. }));
}

#[test]
fn tiny_and_one_sided_simulations_work() {
    for (orders, history_days, daily_days) in [(0, 1, 1), (1, 0, 1), (1, 1, 0), (7, 3, 300)] {
        let options = Options { orders, history_days, daily_days, ..Options::nastiest() };
        let (out, summary) = run(&options);
        assert_eq!(out.path().join("history").exists(), history_days > 0);
        assert_eq!(out.path().join("daily").exists(), daily_days > 0);
        assert!(summary.entity(Entity::Products).records > 0);
    }
}
