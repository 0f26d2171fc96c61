//! HTTP responses from the running rhaid, through its control socket.

use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::api::{HttpTapMessage, Request};
use crate::control::Connection;

/// Capacity of the channel, in responses.
const CAPACITY: usize = 64;

/// Time limit for the start of the subscription.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A subscription to HTTP responses; `None` without `--http` and after the end of the connection.
pub(super) struct HttpResponses(Option<mpsc::Receiver<HttpTapMessage>>);

impl HttpResponses {
    /// Subscribes to the responses of the rhaid that runs on a data folder.
    ///
    /// # Errors
    /// If none is running, or it does not confirm the subscription.
    pub(super) async fn open(data: Option<&Path>) -> anyhow::Result<Self> {
        let Some(data) = data else { return Ok(Self(None)) };
        let mut connection = Connection::open(data)?;
        connection.send(&Request::TapHttp)?;
        let (tx, mut rx) = mpsc::channel(CAPACITY);
        // The thread blocks on the socket until rhaid stops or this process exits.
        std::thread::spawn(move || {
            while let Ok(Some(message)) = connection.receive::<HttpTapMessage>() {
                if tx.blocking_send(message).is_err() {
                    return;
                }
            }
        });
        match timeout(TIMEOUT, rx.recv()).await {
            Ok(Some(HttpTapMessage::Subscribed)) => Ok(Self(Some(rx))),
            _ => {
                anyhow::bail!("the running rhaid does not send HTTP responses: it has stopped, or has another version")
            }
        }
    }

    /// Waits for the next message; returns `None` once when the connection ends. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<HttpTapMessage> {
        let Some(rx) = &mut self.0 else { return std::future::pending().await };
        let message = rx.recv().await;
        if message.is_none() {
            self.0 = None;
        }
        message
    }
}
