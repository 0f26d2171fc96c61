//! The asking end of the socket.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::control::messages::{Reply, Request};
use crate::control::socket;

/// How long a running rhaid may take to answer what needs no script.
const PATIENCE: Duration = Duration::from_secs(10);

/// No rhaid runs on a data folder.
#[derive(Debug, thiserror::Error)]
#[error("no rhaid runs on {data}: start `rhaid` there first, or name the folder with --config or --data-folder")]
pub struct NotRunning {
    /// The data folder.
    pub data: String,
}

/// The running rhaid said no.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// A connection to a running rhaid.
pub struct Connection {
    lines: BufReader<UnixStream>,
}

impl Connection {
    /// Connects to the rhaid that runs on a data folder.
    ///
    /// # Errors
    /// [`NotRunning`], or what the system says.
    pub fn open(data: &Path) -> anyhow::Result<Self> {
        use std::io::ErrorKind::{ConnectionRefused, NotFound};
        match UnixStream::connect(socket::find(data)) {
            Ok(stream) => Ok(Self { lines: BufReader::new(stream) }),
            Err(error) if matches!(error.kind(), NotFound | ConnectionRefused) => {
                Err(NotRunning { data: data.display().to_string() }.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Asks, and returns the first answer.
    ///
    /// # Errors
    /// [`Refused`], or if there is no answer in ten seconds. A `fire` is waited for as long as its run lasts.
    pub fn ask<T: DeserializeOwned>(&mut self, request: &Request) -> anyhow::Result<T> {
        self.send(request)?;
        self.answer()?.ok_or_else(|| anyhow::anyhow!("rhaid ended before it answered"))
    }

    /// Asks for answers that [`Connection::answer`] returns.
    ///
    /// # Errors
    /// If rhaid has gone.
    pub fn send(&mut self, request: &Request) -> anyhow::Result<()> {
        let patience = match request {
            Request::Fire { .. } | Request::Logs { follow: true, .. } | Request::Overhear => None,
            _ => Some(PATIENCE),
        };
        let stream = self.lines.get_mut();
        stream.set_read_timeout(patience)?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        Ok(stream.write_all(&line)?)
    }

    /// Returns the next answer; `None` when rhaid has ended the connection.
    ///
    /// # Errors
    /// [`Refused`], or if none comes in time.
    pub fn answer<T: DeserializeOwned>(&mut self) -> anyhow::Result<Option<T>> {
        let mut line = String::new();
        if self.lines.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match serde_json::from_str(&line)? {
            Reply::Answer(answer) => Ok(Some(serde_json::from_value(answer)?)),
            Reply::Refusal(why) => Err(Refused(why).into()),
        }
    }
}
