//! Client side of the control socket: JSON, one message per line.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::api::{Reply, Request};
use crate::control::socket;

/// Timeout of requests that run no script.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// No rhaid runs on a data folder.
#[derive(Debug, thiserror::Error)]
#[error(
    "no rhaid is running with the data folder {data}: start `rhaid` first, or select another folder with --config or --data-folder"
)]
pub struct NotRunning {
    /// The data folder.
    pub data: String,
}

/// The running rhaid rejected the request or could not carry it out.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RequestFailed(pub String);

/// A connection to a running rhaid.
pub struct Connection {
    stream: BufReader<UnixStream>,
}

impl Connection {
    /// Connects to the rhaid that runs on a data folder.
    ///
    /// # Errors
    /// [`NotRunning`], or the error of the operating system.
    pub fn open(data: &Path) -> anyhow::Result<Self> {
        use std::io::ErrorKind::{ConnectionRefused, NotFound};
        match UnixStream::connect(socket::find(data)) {
            Ok(stream) => Ok(Self { stream: BufReader::new(stream) }),
            Err(error) if matches!(error.kind(), NotFound | ConnectionRefused) => {
                Err(NotRunning { data: data.display().to_string() }.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a request and returns the first response.
    ///
    /// # Errors
    /// [`RequestFailed`], or a timeout after ten seconds. [`Request::Fire`] has no timeout: it waits for the end of the run.
    pub fn ask<T: DeserializeOwned>(&mut self, request: &Request) -> anyhow::Result<T> {
        self.send(request)?;
        self.receive()?.ok_or_else(|| anyhow::anyhow!("rhaid ended before it responded"))
    }

    /// Sends a request whose responses [`Connection::receive`] returns.
    ///
    /// # Errors
    /// If rhaid has ended.
    pub fn send(&mut self, request: &Request) -> anyhow::Result<()> {
        let read_timeout = match request {
            Request::Fire { .. } | Request::Logs { follow: true, .. } | Request::TapHttp => None,
            _ => Some(READ_TIMEOUT),
        };
        let stream = self.stream.get_mut();
        stream.set_read_timeout(read_timeout)?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        Ok(stream.write_all(&line)?)
    }

    /// Returns the next response; `None`: rhaid has closed the connection.
    ///
    /// # Errors
    /// [`RequestFailed`], or a timeout.
    pub fn receive<T: DeserializeOwned>(&mut self) -> anyhow::Result<Option<T>> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match serde_json::from_str(&line)? {
            Reply::Value(value) => Ok(Some(serde_json::from_value(value)?)),
            Reply::Error(why) => Err(RequestFailed(why).into()),
        }
    }
}
