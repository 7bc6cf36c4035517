//! Log-in: is there room, is it the right database, and who is it.
//!
//! Without a password anyone on this machine is let in. With one, clients prove that they know it by
//! SCRAM-SHA-256, and an unknown user takes as long to be refused as a wrong password.

use std::{collections::HashMap, fmt::Debug, sync::Arc};

use async_trait::async_trait;
use datafusion_postgres::pgwire::{
    api::{
        ClientInfo, ConnectionHandle, METADATA_DATABASE, METADATA_USER, PgWireConnectionState,
        PidSecretKeyGenerator as _, RandomPidSecretKeyGenerator,
        auth::{
            AuthSource, LoginInfo, Password, ServerParameterProvider, StartupHandler, finish_authentication,
            protocol_negotiation,
            sasl::{
                SASLAuthStartupHandler,
                scram::{SCRAM_ITERATIONS, ScramAuth, gen_salted_password},
            },
            save_startup_parameters_to_metadata,
        },
    },
    error::{ErrorInfo, PgWireError, PgWireResult},
    messages::{PgWireBackendMessage, PgWireFrontendMessage, startup::Startup},
};
use futures::Sink;

use super::{ServeOptions, server::Shared, session::Session, settings::Settings};

/// The log-in of one connection.
pub(super) struct LogIn {
    shared: Arc<Shared>,
    scram: Option<SASLAuthStartupHandler<Parameters>>,
}

impl LogIn {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let scram = shared.secret.as_ref().map(|secret| {
            SASLAuthStartupHandler::new(Arc::new(Parameters))
                .with_scram(ScramAuth::new(Arc::clone(secret) as Arc<dyn AuthSource>))
                .with_connection_manager(Arc::clone(&shared.connections))
                .with_pid_secret_key_generator(Arc::clone(&shared.keys) as _)
        });
        Self { shared, scram }
    }

    /// Admits a client and remembers what it said, up to the point where it must prove who it is.
    pub(super) async fn begin<C>(&self, client: &mut C, startup: &Startup) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin,
        C::Error: Debug,
        PgWireError: From<C::Error>,
    {
        self.admit(client, startup)?;
        protocol_negotiation(client, startup).await?;
        save_startup_parameters_to_metadata(client, startup);
        client.set_state(PgWireConnectionState::AuthenticationInProgress);
        Ok(())
    }

    /// Takes one of the places, and checks what the client asks for.
    fn admit<C: ClientInfo>(&self, client: &C, startup: &Startup) -> PgWireResult<()> {
        let place = Arc::clone(&self.shared.places).try_acquire_owned().map_err(|_| {
            fatal("53300", "all connections are taken", Some("try again later, or raise `serve.max_connections`"))
        })?;
        client.session_extensions().insert(place);
        let named = |name: &str| startup.parameters.get(name).filter(|value| !value.is_empty());
        let user = named(METADATA_USER).ok_or_else(|| fatal("28000", "no user was named", None))?;
        let database = &self.shared.options.database;
        // A client that names no database asks for one called like its user.
        let asked = named(METADATA_DATABASE).unwrap_or(user);
        if asked != database && asked != user {
            let hint = format!("this server has `{database}`");
            return Err(fatal("3D000", format!("there is no database `{asked}`"), Some(&hint)));
        }
        let mut settings = Settings::default();
        for (name, value) in
            startup.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(options(startup))
        {
            if !matches!(name, METADATA_USER | METADATA_DATABASE | "options") {
                // Drivers send whatever they know; what is not known or not taken here stays as it is.
                let _ = settings.set(name, value);
            }
        }
        settings.force("session_authorization", user.clone());
        client.session_extensions().insert(Session::new(settings));
        Ok(())
    }
}

/// The settings in the start-up packet's `options`: `-c name=value` and `--name=value`.
fn options(startup: &Startup) -> impl Iterator<Item = (&str, &str)> {
    let text = startup.parameters.get("options").map_or("", String::as_str);
    text.split_whitespace().filter_map(|word| {
        let word = word.strip_prefix("--").or_else(|| word.strip_prefix("-c")).unwrap_or(word);
        word.split_once('=')
    })
}

#[async_trait]
impl StartupHandler for LogIn {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if let Some(scram) = &self.scram {
            if let PgWireFrontendMessage::Startup(startup) = &message {
                self.admit(client, startup)?;
            }
            return scram.on_startup(client, message).await;
        }
        let PgWireFrontendMessage::Startup(startup) = &message else { return Ok(()) };
        self.begin(client, startup).await?;
        let (process, key) = self.shared.keys.generate(client);
        client.set_pid_and_secret_key(process, key.clone());
        let (handle, registered) = self.shared.connections.register(process, key);
        client.session_extensions().insert::<Arc<ConnectionHandle>>(handle);
        client.session_extensions().insert(registered);
        finish_authentication(client, &Parameters).await
    }
}

/// Process numbers and keys by which clients cancel statements.
pub(super) type Keys = RandomPidSecretKeyGenerator;

/// The settings clients are told at log-in.
#[derive(Debug)]
pub(super) struct Parameters;

impl ServerParameterProvider for Parameters {
    fn server_parameters<C: ClientInfo>(&self, client: &C) -> Option<HashMap<String, String>> {
        let session = client.session_extensions().get::<Session>()?;
        Some(session.settings_reported().into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

/// The user and what proves the password, but not the password.
pub(super) struct Secret {
    user: String,
    salt: Vec<u8>,
    salted: Vec<u8>,
}

impl Secret {
    /// `None` where the server asks for no password.
    pub(super) fn new(options: &ServeOptions) -> Option<Self> {
        let password = options.password.as_ref()?;
        let salt = uuid::Uuid::new_v4().as_bytes().to_vec();
        let salted = gen_salted_password(password.reveal(), &salt, SCRAM_ITERATIONS);
        Some(Self { user: options.user.clone(), salt, salted })
    }
}

impl Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").field("user", &self.user).finish_non_exhaustive()
    }
}

#[async_trait]
impl AuthSource for Secret {
    async fn get_password(&self, login: &LoginInfo) -> PgWireResult<Password> {
        let salted = if login.user() == Some(self.user.as_str()) {
            self.salted.clone()
        } else {
            // Nobody knows what this is the salted form of.
            [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()].map(uuid::Uuid::into_bytes).concat()
        };
        Ok(Password::new(Some(self.salt.clone()), salted))
    }
}

/// An error that ends the connection.
pub(super) fn fatal(state: &str, message: impl Into<String>, hint: Option<&str>) -> PgWireError {
    let mut info = ErrorInfo::new("FATAL".to_owned(), state.to_owned(), message.into());
    info.hint = hint.map(str::to_owned);
    PgWireError::UserError(Box::new(info))
}
