//! Futures of published messages.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot::Receiver;
use tokio::sync::oneshot::error::TryRecvError;

use crate::services::mqtt::error::Error;

/// A future of a published message; resolves once, when the message is written (QoS 0; at once while the broker is offline), acknowledged
/// (QoS 1 and 2), or stored ([`DurablePublish::stored`]).
///
/// It fails with [`Error::Refused`] if the broker refuses the message, and with [`Error::NotStored`] if the store does. Dropping it does not
/// cancel the message.
#[derive(Debug)]
pub struct Delivery(Receiver<Result<(), Error>>);

/// Futures of a message that is sent even if this process ends before.
#[derive(Debug)]
pub struct DurablePublish {
    /// Resolves when the message is on disk; at once for QoS 0.
    pub stored: Delivery,
    /// Resolves when the broker has acknowledged the message.
    pub acknowledged: Delivery,
}

impl Delivery {
    pub(super) fn new(outcome: Receiver<Result<(), Error>>) -> Self {
        Self(outcome)
    }

    /// Returns the result, if there is one yet.
    pub fn result(&mut self) -> Option<Result<(), Error>> {
        match self.0.try_recv() {
            Ok(result) => Some(result),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(Err(stopped())),
        }
    }
}

impl Future for Delivery {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|result| result.unwrap_or_else(|_| Err(stopped())))
    }
}

fn stopped() -> Error {
    Error::Refused("rhaid stopped before the message was acknowledged".into())
}
