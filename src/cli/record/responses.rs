//! The answers that the running rhaid tells, from its socket.

use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::api::{HttpTapMessage, Request};
use crate::control::Connection;

/// How many answers may wait to be written.
const WAITING: usize = 64;

/// How long the running rhaid may take to begin.
const PATIENCE: Duration = Duration::from_secs(10);

/// The answers that the running rhaid tells; none if they are not wanted.
pub(super) struct HttpResponses(Option<mpsc::Receiver<HttpTapMessage>>);

impl HttpResponses {
    /// Listens to the rhaid that runs on a data folder, and returns when it tells.
    ///
    /// # Errors
    /// If none runs there.
    pub(super) async fn open(data: Option<&Path>) -> anyhow::Result<Self> {
        let Some(data) = data else { return Ok(Self(None)) };
        let mut connection = Connection::open(data)?;
        connection.send(&Request::TapHttp)?;
        let (tell, mut told) = mpsc::channel(WAITING);
        // It waits on the socket for as long as rhaid runs, and ends with this process.
        std::thread::spawn(move || {
            while let Ok(Some(heard)) = connection.receive::<HttpTapMessage>() {
                if tell.blocking_send(heard).is_err() {
                    return;
                }
            }
        });
        match timeout(PATIENCE, told.recv()).await {
            Ok(Some(HttpTapMessage::Subscribed)) => Ok(Self(Some(told))),
            _ => anyhow::bail!("the running rhaid does not tell answers: it has ended, or is of another version"),
        }
    }

    /// Waits for the next; `None` once when rhaid has gone. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<HttpTapMessage> {
        let Some(told) = &mut self.0 else { return std::future::pending().await };
        let heard = told.recv().await;
        if heard.is_none() {
            self.0 = None;
        }
        heard
    }
}
