//! As much of a PostgreSQL client as the tests need: log-in, the simple protocol, cancelling.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

pub(crate) struct Client {
    socket: TcpStream,
    /// Process number and key, by which to cancel.
    key: Vec<u8>,
    pub(crate) parameters: Vec<(String, String)>,
    /// I, T or E: idle, in a transaction, in a failed one.
    pub(crate) status: char,
}

/// What a script came to: the rows of all its statements as texts, their tags, and the error that ended it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) rows: Vec<Vec<Option<String>>>,
    pub(crate) tags: Vec<String>,
    pub(crate) error: Option<Failure>,
}

#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) severity: String,
    pub(crate) state: String,
    pub(crate) message: String,
    pub(crate) hint: String,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Result<Self, Failure> {
        Self::connect_to(address, "anna", "shop")
    }

    pub(crate) fn connect_to(address: SocketAddr, user: &str, database: &str) -> Result<Self, Failure> {
        let mut body = 196_608_u32.to_be_bytes().to_vec();
        for text in ["user", user, "database", database] {
            body.extend(text.as_bytes());
            body.push(0);
        }
        body.push(0);
        let mut client =
            Self { socket: TcpStream::connect(address).unwrap(), key: Vec::new(), parameters: Vec::new(), status: '?' };
        client.socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        client.send_raw(&[&(body.len() as u32 + 4).to_be_bytes()[..], &body].concat());
        let outcome = client.receive().unwrap();
        match outcome.error {
            Some(failure) => Err(failure),
            None => Ok(client),
        }
    }

    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    pub(crate) fn send(&mut self, sql: &str) {
        let length = (sql.len() as u32 + 5).to_be_bytes();
        self.send_raw(&[b"Q", &length[..], sql.as_bytes(), b"\0"].concat());
    }

    pub(crate) fn run(&mut self, sql: &str) -> Outcome {
        self.send(sql);
        self.receive().unwrap()
    }

    /// The rows, where nothing may fail.
    pub(crate) fn rows(&mut self, sql: &str) -> Vec<Vec<Option<String>>> {
        let outcome = self.run(sql);
        assert!(outcome.error.is_none(), "{sql}: {:?}", outcome.error);
        outcome.rows
    }

    /// The one value, where nothing may fail.
    pub(crate) fn value(&mut self, sql: &str) -> String {
        self.rows(sql)[0][0].clone().unwrap()
    }

    /// The error, where there must be one.
    pub(crate) fn failure(&mut self, sql: &str) -> Failure {
        self.run(sql).error.unwrap_or_else(|| panic!("{sql} did not fail"))
    }

    /// Reads until the server waits again, or ends the connection with an error.
    pub(crate) fn receive(&mut self) -> io::Result<Outcome> {
        let mut outcome = Outcome::default();
        loop {
            let (kind, body) = match self.message() {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && outcome.error.is_some() => {
                    return Ok(outcome);
                }
                message => message?,
            };
            match kind {
                b'D' => outcome.rows.push(row(&body)),
                b'C' => outcome.tags.push(text(&body)),
                b'E' => outcome.error = Some(failure(&body)),
                b'K' => self.key = body,
                b'S' => {
                    let mut texts = body.split(|byte| *byte == 0).map(text);
                    self.parameters.push((texts.next().unwrap(), texts.next().unwrap()));
                }
                b'Z' => {
                    self.status = char::from(body[0]);
                    return Ok(outcome);
                }
                _ => {}
            }
        }
    }

    pub(crate) fn message(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.socket.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize - 4;
        let mut body = vec![0; length];
        self.socket.read_exact(&mut body)?;
        Ok((head[0], body))
    }

    /// Asks the server, on another connection, to stop what this one runs.
    pub(crate) fn cancel(&self) {
        let mut other = TcpStream::connect(self.socket.peer_addr().unwrap()).unwrap();
        let length = (self.key.len() as u32 + 8).to_be_bytes();
        other.write_all(&[&length[..], &80_877_102_u32.to_be_bytes(), &self.key].concat()).unwrap();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.strip_suffix(b"\0").unwrap_or(bytes).to_vec()).unwrap()
}

fn row(body: &[u8]) -> Vec<Option<String>> {
    let count = u16::from_be_bytes([body[0], body[1]]);
    let mut rest = &body[2..];
    (0..count)
        .map(|_| {
            let length = i32::from_be_bytes(rest[..4].try_into().unwrap());
            rest = &rest[4..];
            let value = usize::try_from(length).ok()?;
            let (bytes, after) = rest.split_at(value);
            rest = after;
            Some(text(bytes))
        })
        .collect()
}

fn failure(body: &[u8]) -> Failure {
    let field = |code: u8| {
        body.split(|byte| *byte == 0)
            .find(|field| field.first() == Some(&code))
            .map(|field| text(&field[1..]))
            .unwrap_or_default()
    };
    Failure { severity: field(b'S'), state: field(b'C'), message: field(b'M'), hint: field(b'H') }
}
