//! The judges that are not smelt run in Python; their packages come from PyPI, once.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::LazyLock,
};

use crate::ran::Ran;

static ORACLE: LazyLock<String> = LazyLock::new(|| interpreter("oracle"));
static PEERS: LazyLock<String> = LazyLock::new(|| interpreter("peers"));

/// A script of `tests/oracle`, about to be run.
pub(crate) fn oracle(script: &str) -> Command {
    prepared(&ORACLE, "oracle", script)
}

/// A script of `tests/peers`, about to be run.
pub(crate) fn peers(script: &str) -> Command {
    prepared(&PEERS, "peers", script)
}

fn prepared(interpreter: &str, folder: &str, script: &str) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(tests().join(folder).join(script)).stdin(Stdio::null());
    // Nothing is left in the source tree.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn interpreter(folder: &str) -> String {
    let made = Ran::run(&mut Command::new(tests().join(folder).join("venv"))).ok();
    made.stdout.trim().to_owned()
}

fn tests() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"))
}
