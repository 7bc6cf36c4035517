//! What a server is told: where to listen, whom to let in, and how much it may give to whom.

use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

use crate::{
    error::{Error, Result},
    project::Serve,
};

/// A checked set of options; see [`ServeOptions::new`].
#[derive(Debug, Clone)]
pub struct ServeOptions {
    pub host: String,
    pub port: u16,
    /// The name clients log in with where a password is set, and SQL's `current_user`.
    pub user: String,
    pub password: Option<Password>,
    /// PEM files of the certificate chain and its private key.
    pub tls: Option<TlsFiles>,
    /// The database's name.
    pub database: String,
    /// Longest time one statement may take; `None` is no limit.
    pub statement_timeout: Option<Duration>,
    pub max_connections: usize,
}

#[derive(Debug, Clone)]
pub struct TlsFiles {
    pub certificates: PathBuf,
    pub key: PathBuf,
}

/// A password that does not print.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// # Errors
    /// `Input` where it is empty.
    pub fn new(text: &str) -> Result<Self> {
        let text = text.trim_end_matches(['\n', '\r']);
        if text.is_empty() {
            return Err(Error::input("the server's password is empty"));
        }
        Ok(Self(text.to_owned()))
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl ServeOptions {
    /// The project's settings for a database.
    pub fn new(settings: &Serve, database: &str) -> Self {
        Self {
            host: settings.host.clone(),
            port: settings.port,
            user: settings.user.clone(),
            password: None,
            tls: None,
            database: database.to_owned(),
            statement_timeout: match settings.statement_timeout_secs {
                0 => None,
                seconds => Some(Duration::from_secs(seconds)),
            },
            max_connections: settings.max_connections,
        }
    }

    /// # Errors
    /// `Input` where others could reach the server without a password.
    pub fn check(&self) -> Result<()> {
        if self.password.is_none() && !self.is_loopback() {
            return Err(Error::input(format!(
                "`{}` can be reached from other machines, and there is no password",
                self.host
            ))
            .hint("set `SMELT_PASSWORD` or `--password-file`, or listen on 127.0.0.1"));
        }
        if self.max_connections == 0 {
            return Err(Error::input("`max_connections` is 0: nobody could connect"));
        }
        Ok(())
    }

    /// Whether only this machine can reach the server.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_needed_beyond_loopback_and_never_printed() {
        let mut options = ServeOptions::new(&Serve::default(), "shop");
        for (host, alone) in
            [("127.0.0.1", true), ("::1", true), ("localhost", true), ("0.0.0.0", false), ("::", false), ("db", false)]
        {
            options.host = host.into();
            options.password = None;
            assert_eq!(options.check().is_ok(), alone, "{host}");
            options.password = Some(Password::new("hunter2\n").unwrap());
            options.check().unwrap();
        }
        assert!(!format!("{options:?}").contains("hunter2"));
        assert_eq!(options.password.unwrap().reveal(), "hunter2");
    }
}
