//! A message on its way to a broker, for whoever waits for it.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot::Receiver;
use tokio::sync::oneshot::error::TryRecvError;

use crate::services::mqtt::Error;

/// A message on its way to a broker; to be waited for once, until it is written (QoS 0; while the broker is away: at once) or confirmed
/// (QoS 1 and 2), or what else its maker says.
///
/// It ends with [`Error::Refused`] if the broker does not take the message, and with [`Error::NotStored`] if the disk does not. Whoever
/// stops waiting does not call the message back.
#[derive(Debug)]
pub struct Delivery(Receiver<Result<(), Error>>);

/// A message that goes out whatever happens to this process.
#[derive(Debug)]
pub struct DurablePublish {
    /// Until it is on disk; at QoS 0 there is nothing to wait for.
    pub stored: Delivery,
    /// Until the broker has it.
    pub acknowledged: Delivery,
}

impl Delivery {
    pub(super) fn new(outcome: Receiver<Result<(), Error>>) -> Self {
        Self(outcome)
    }

    /// Returns how it ended, if it has.
    pub fn result(&mut self) -> Option<Result<(), Error>> {
        match self.0.try_recv() {
            Ok(answer) => Some(answer),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(Err(stopped())),
        }
    }
}

impl Future for Delivery {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or_else(|_| Err(stopped())))
    }
}

fn stopped() -> Error {
    Error::Refused("rhaid stopped before it was confirmed".into())
}
