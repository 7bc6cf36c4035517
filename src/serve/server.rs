//! The listening side: connections come, each has its conversation, and all of them end in order.

use std::{io, net::SocketAddr, path::Path, sync::Arc, task::Poll, time::Duration};

use datafusion_postgres::pgwire::{
    api::{
        ClientInfo as _, ConnectionManager, METADATA_USER, NoopHandler, PgWireConnectionState,
        auth::sasl::SCRAM_SHA_256_METHOD, cancel::DefaultCancelHandler,
    },
    error::{ErrorInfo, PgWireError},
    messages::{PgWireBackendMessage, PgWireFrontendMessage, startup::Startup},
    tokio::{
        TlsAcceptor,
        server::{negotiate_tls, process_error, process_message},
        tokio_rustls::rustls::{
            ServerConfig,
            crypto::ring,
            pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        },
    },
};
use futures::{Sink, SinkExt as _, StreamExt as _};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};

use super::{
    ServeOptions, SqlEngine, Warehouse,
    handler::{Handler, Prepared},
    options::TlsFiles,
    startup::{Keys, LogIn, Secret, fatal},
    views::Views,
};
use crate::error::{self, Error, Result};

/// A client that has not logged in by then is dropped.
const LOG_IN_TIME: Duration = Duration::from_secs(30);
/// Bytes a client may send before it has logged in, and in one message afterwards.
const LOG_IN_BYTES: usize = 64 << 10;
const MESSAGE_BYTES: usize = 16 << 20;
/// Connections beyond the limit that may be open to log in, be told that there is no place, or cancel.
const WAITING_ROOM: usize = 64;
/// Statements that run when the server is stopped may go on for so long.
const GRACE: Duration = Duration::from_secs(10);

/// What all connections share.
pub(super) struct Shared {
    pub(super) options: ServeOptions,
    pub(super) views: Views,
    pub(super) connections: Arc<ConnectionManager>,
    pub(super) keys: Arc<Keys>,
    pub(super) places: Arc<Semaphore>,
    pub(super) secret: Option<Arc<Secret>>,
    tls: Option<TlsAcceptor>,
}

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
}

impl Server {
    /// Listens, but answers nobody yet.
    ///
    /// # Errors
    /// `Input` for options that cannot work, `Unavailable` where the address is taken.
    pub async fn bind(
        options: ServeOptions,
        warehouse: Arc<dyn Warehouse>,
        engine: Arc<dyn SqlEngine>,
    ) -> Result<Self> {
        options.check()?;
        let tls = options.tls.as_ref().map(acceptor).transpose()?;
        let address = (options.host.as_str(), options.port);
        let listener = TcpListener::bind(address).await.map_err(|error| {
            let hint = match error.kind() {
                io::ErrorKind::AddrInUse => "another server listens there: stop it, or choose another `--port`",
                _ => "check `serve.host` and `serve.port`",
            };
            Error::unavailable(format!("cannot listen on {}:{}", options.host, options.port)).cause(error).hint(hint)
        })?;
        let shared = Shared {
            views: Views::new(warehouse, engine, &options)?,
            connections: Arc::default(),
            keys: Arc::default(),
            places: Arc::new(Semaphore::new(options.max_connections)),
            secret: Secret::new(&options).map(Arc::new),
            tls,
            options,
        };
        Ok(Self { listener, shared: Arc::new(shared) })
    }

    /// Where it listens.
    pub fn address(&self) -> Result<SocketAddr> {
        self.listener.local_addr().map_err(|error| Error::unavailable("the listener has no address").cause(error))
    }

    /// Answers until `stop` comes; then idle connections end at once, and running statements may
    /// finish within ten seconds.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = watch::channel(false);
        let room = Arc::new(Semaphore::new(self.shared.options.max_connections + WAITING_ROOM));
        let mut connections = JoinSet::new();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(ended) = connections.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a connection failed");
                    }
                }
                accepted = self.listener.accept() => match accepted {
                    Ok((socket, peer)) => {
                        let Ok(seat) = Arc::clone(&room).try_acquire_owned() else { continue };
                        let (shared, stopped) = (Arc::clone(&self.shared), stopped.clone());
                        connections.spawn(async move {
                            tracing::debug!(%peer, "connected");
                            match converse(socket, shared, stopped).await {
                                Ok(()) => tracing::debug!(%peer, "disconnected"),
                                Err(error) => tracing::debug!(%peer, %error, "connection lost"),
                            }
                            drop(seat);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        // Most often there are too many open files; connections that end free some.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
        drop(self.listener);
        let _ = stopping.send(true);
        let all_ended = async { while connections.join_next().await.is_some() {} };
        if timeout(GRACE, all_ended).await.is_err() {
            connections.shutdown().await;
        }
    }
}

/// One connection, from its first byte to its last.
async fn converse(socket: TcpStream, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) -> io::Result<()> {
    let negotiated = timeout(LOG_IN_TIME, negotiate_tls::<Prepared>(socket, shared.tls.clone())).await;
    let Some(mut socket) = negotiated.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? else { return Ok(()) };
    let log_in = Arc::new(LogIn::new(Arc::clone(&shared)));
    let handler = Arc::new(Handler { shared: Arc::clone(&shared) });
    let cancel = Arc::new(DefaultCancelHandler::new(Arc::clone(&shared.connections)));
    let log_in_ends = tokio::time::Instant::now() + LOG_IN_TIME;
    loop {
        let logging_in = matches!(
            socket.state(),
            PgWireConnectionState::AwaitingStartup | PgWireConnectionState::AuthenticationInProgress
        );
        let most = if logging_in { LOG_IN_BYTES } else { MESSAGE_BYTES };
        // The decoder would wait for a message of any announced size; what has piled up is what counts.
        let next = std::future::poll_fn(|context| {
            if socket.read_buffer().len() > most {
                return Poll::Ready(Some(Err(fatal(
                    "54000",
                    format!("a message is larger than {} KiB", most >> 10),
                    None,
                ))));
            }
            socket.poll_next_unpin(context)
        });
        let message = tokio::select! {
            message = next => message,
            _ = stopped.wait_for(|stopped| *stopped) => Some(Err(fatal("57P01", "the server is stopping", None))),
            () = tokio::time::sleep_until(log_in_ends), if logging_in => return Ok(()),
        };
        let Some(message) = message else { return Ok(()) };
        let (outcome, waits_for_sync) = match message {
            Ok(PgWireFrontendMessage::Terminate(_)) => return Ok(()),
            Ok(PgWireFrontendMessage::Startup(startup)) if shared.secret.is_some() && is_aws_driver(&startup) => {
                let invited = async {
                    log_in.begin(&mut socket, &startup).await?;
                    socket.get_mut().write_all(&aws_invitation()).await?;
                    Ok(socket.get_mut().flush().await?)
                };
                (invited.await, false)
            }
            Ok(message) => {
                let waits_for_sync = message.is_extended_query();
                let outcome = process_message(
                    message,
                    &mut socket,
                    Arc::clone(&log_in),
                    Arc::clone(&handler),
                    Arc::clone(&handler),
                    Arc::new(NoopHandler),
                    Arc::clone(&cancel),
                );
                (outcome.await, waits_for_sync)
            }
            // What does not decode cannot be followed by anything that does.
            Err(error) => return refuse(&mut socket, ErrorInfo::from(error)).await,
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "statement failed");
            let info = match error {
                PgWireError::IoError(error) => return Err(error),
                // The proof does not name the user again.
                PgWireError::InvalidPassword(_) => {
                    let user = socket.metadata().get(METADATA_USER).cloned().unwrap_or_default();
                    ErrorInfo::from(PgWireError::InvalidPassword(user))
                }
                error => ErrorInfo::from(error),
            };
            // The library lets a client go on after an error that is not fatal: never before it is let in.
            if logging_in {
                return refuse(&mut socket, info).await;
            }
            let over = info.is_fatal();
            process_error(&mut socket, PgWireError::UserError(Box::new(info)), waits_for_sync).await?;
            if over {
                return Ok(());
            }
        }
    }
}

/// Tells the client why the connection ends, and ends it.
async fn refuse<S>(socket: &mut S, mut info: ErrorInfo) -> io::Result<()>
where
    S: Sink<PgWireBackendMessage, Error = io::Error> + Unpin,
{
    "FATAL".clone_into(&mut info.severity);
    socket.send(PgWireBackendMessage::ErrorResponse(info.into())).await?;
    socket.close().await
}

/// AWS's Python driver says so when it connects.
fn is_aws_driver(startup: &Startup) -> bool {
    startup.parameters.get("driver_version").is_some_and(|name| name.starts_with("Redshift Python Driver"))
}

/// The list of log-in methods as AWS's driver reads it. It takes the byte that ends the list for one more
/// method and gives up, so for it the list goes out without that byte; what follows is as for others.
fn aws_invitation() -> Vec<u8> {
    const SASL: u32 = 10;
    let length = (4 + 4 + SCRAM_SHA_256_METHOD.len() + 1) as u32;
    [b"R", &length.to_be_bytes()[..], &SASL.to_be_bytes(), SCRAM_SHA_256_METHOD.as_bytes(), b"\0"].concat()
}

fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor> {
    let unreadable = |path: &Path, error: Box<dyn std::error::Error + Send + Sync>| {
        Error::input(format!("`{}` is not the PEM file it should be", path.display())).cause(error)
    };
    let read = |path: &Path| std::fs::read(path).map_err(|error| error::io("read", path, error));
    let pem = read(&files.certificates)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable(&files.certificates, Box::new(error)))?;
    let key =
        PrivateKeyDer::from_pem_slice(&read(&files.key)?).map_err(|error| unreadable(&files.key, Box::new(error)))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_no_client_auth())
        .and_then(|builder| builder.with_single_cert(chain, key))
        .map_err(|error| unreadable(&files.certificates, Box::new(error)))?;
    let mut config = config;
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
