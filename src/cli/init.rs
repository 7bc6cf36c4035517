//! `smelt init`: writes the e-commerce project.

use std::path::{Path, PathBuf};

use clap::Args;

use super::context::Global;
use crate::{
    error::{self, Error, Result},
    project::template,
};

/// Make a new project: contracts, models, tests and settings of an e-commerce warehouse.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  smelt init shop && cd shop
  smelt init .")]
pub(super) struct InitArgs {
    /// The folder; made when missing. Files that are there already are never touched.
    #[arg(default_value = ".")]
    pub(super) dir: PathBuf,
}

pub(super) fn run(args: &InitArgs, global: &Global) -> Result<()> {
    let written = write(&args.dir)?;
    if global.json {
        return global.answer_json(&serde_json::json!({"project": args.dir, "files": written}));
    }
    global.answer(format!("made a project in `{}`: {} files", args.dir.display(), written.len()));
    global.say("next: land extracts with `smelt ingest PATH`, then `smelt run` and `smelt query`");
    Ok(())
}

/// Writes the template's files; none, if any of them is there.
pub(super) fn write(folder: &Path) -> Result<Vec<&'static str>> {
    let there: Vec<&str> =
        template::FILES.iter().map(|(name, _)| *name).filter(|name| folder.join(name).exists()).collect();
    if let Some(first) = there.first() {
        return Err(Error::input(format!("`{}` is there already", folder.join(first).display()))
            .hint("name an empty folder: `smelt init DIR`"));
    }
    for (name, text) in template::FILES {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|e| error::io("make", parent, e))?;
        }
        std::fs::write(&path, text).map_err(|e| error::io("write", &path, e))?;
    }
    Ok(template::FILES.iter().map(|(name, _)| *name).collect())
}
