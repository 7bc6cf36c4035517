//! `smelt serve`: the server in the foreground, until it is told to stop.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::Args;

use crate::{
    error::{self, Error, Result},
    project::Serve,
    serve::{Password, ServeOptions, Server, SqlEngine, TlsFiles, Warehouse},
};

/// Answer SQL on the PostgreSQL and Redshift wire protocol.
///
/// Each statement reads the newest published snapshot; BEGIN … COMMIT reads one. The password, needed
/// where other machines can connect, comes from `SMELT_PASSWORD` or a file.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  smelt serve
  psql -h 127.0.0.1 -p 5439 -d NAME               NAME is the project's name
  SMELT_PASSWORD=... smelt serve --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem")]
pub(super) struct ServeArgs {
    /// The address to listen on.
    #[arg(long)]
    pub(super) host: Option<String>,
    #[arg(long, short)]
    pub(super) port: Option<u16>,
    /// The name clients log in with where a password is set.
    #[arg(long)]
    pub(super) user: Option<String>,
    /// A file that holds the password.
    #[arg(long, value_name = "FILE")]
    pub(super) password_file: Option<PathBuf>,
    /// Certificate chain, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(super) tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(super) tls_key: Option<PathBuf>,
    /// Longest time one statement may take, in seconds; 0 is no limit.
    #[arg(long, value_name = "SECONDS")]
    pub(super) statement_timeout: Option<u64>,
    #[arg(long, value_name = "N")]
    pub(super) max_connections: Option<usize>,
}

impl ServeArgs {
    /// The project's settings with what the arguments change.
    ///
    /// # Errors
    /// `Input` for a password that cannot be read or is empty.
    pub(super) fn options(&self, settings: &Serve, database: &str) -> Result<ServeOptions> {
        let mut options = ServeOptions::new(settings, database);
        let set = |value: &Option<String>, place: &mut String| {
            if let Some(value) = value {
                place.clone_from(value);
            }
        };
        set(&self.host, &mut options.host);
        set(&self.user, &mut options.user);
        options.port = self.port.unwrap_or(options.port);
        options.max_connections = self.max_connections.unwrap_or(options.max_connections);
        if let Some(seconds) = self.statement_timeout {
            options.statement_timeout = (seconds > 0).then(|| Duration::from_secs(seconds));
        }
        if let (Some(certificates), Some(key)) = (&self.tls_cert, &self.tls_key) {
            options.tls = Some(TlsFiles { certificates: certificates.clone(), key: key.clone() });
        }
        options.password = self.password()?;
        options.check()?;
        Ok(options)
    }

    fn password(&self) -> Result<Option<Password>> {
        if let Some(path) = &self.password_file {
            let text = std::fs::read_to_string(path).map_err(|error| error::io("read", path, error))?;
            return Password::new(&text).map(Some);
        }
        match std::env::var("SMELT_PASSWORD") {
            Ok(text) => Password::new(&text).map(Some),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Err(Error::input("`SMELT_PASSWORD` is not UTF-8")),
        }
    }
}

/// Serves until Ctrl-C or SIGTERM; statements that run then may finish within ten seconds.
///
/// # Errors
/// `Input` for options that cannot work, `Unavailable` where the address is taken.
pub(super) async fn run(
    options: ServeOptions,
    warehouse: Arc<dyn Warehouse>,
    engine: Arc<dyn SqlEngine>,
) -> Result<()> {
    let stop = stop()?;
    let (database, open, tls) = (options.database.clone(), options.password.is_none(), options.tls.is_some());
    let exposed = !options.is_loopback() && !tls;
    let server = Server::bind(options, Arc::clone(&warehouse), engine).await?;
    let address = server.address()?;
    match warehouse.newest().await {
        Ok(view) => eprintln!("serving snapshot {} at postgresql://{address}/{database}", view.snapshot),
        Err(error) => eprintln!("listening at postgresql://{address}/{database}: {error}"),
    }
    if open {
        eprintln!("no password is asked for: only this machine can connect");
    }
    if exposed {
        eprintln!("without TLS, rows cross the network unencrypted: give `--tls-cert` and `--tls-key`");
    }
    server.run(stop).await;
    eprintln!("stopped");
    Ok(())
}

#[cfg(unix)]
fn stop() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).map_err(|error| Error::unavailable("cannot listen for signals").cause(error));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => (),
            _ = terminate.recv() => (),
        }
    })
}

#[cfg(not(unix))]
fn stop() -> Result<impl Future<Output = ()>> {
    Ok(super::interrupted())
}
