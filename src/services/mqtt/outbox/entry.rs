//! One message of the outbox.

use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::warn;

use crate::services::mqtt::error::Error;
use crate::services::mqtt::message::Publish;
use crate::services::mqtt::store_tracker::StoredSignal;

/// Sender of the result of a delivery.
pub(in crate::services::mqtt) type Completion = oneshot::Sender<Result<(), Error>>;

/// A message of the outbox.
pub(super) struct OutboxEntry {
    pub(super) number: u64,
    pub(super) publish: Arc<Publish>,
    pub(super) on_delivered: Option<Completion>,
    pub(super) on_stored: Option<StoredSignal>,
    /// Whether it is on disk, or will be.
    pub(super) is_stored: bool,
    /// QoS 2 on disk: the packet identifier under which it is sent.
    pub(super) packet_id: Option<u16>,
    /// Whether the packet identifier is on disk, as it must be before the message is sent.
    pub(super) is_packet_id_stored: bool,
}

impl OutboxEntry {
    /// Ends the message with this result.
    pub(super) fn finish(&mut self, outcome: Result<(), Error>) {
        if let Some(on_stored) = self.on_stored.take() {
            // A message that the broker refuses need not be stored; the refusal is reported to `on_delivered`.
            let is_refused = matches!(outcome, Err(Error::Refused(_) | Error::TooLarge { .. }));
            on_stored.complete(if is_refused { Ok(()) } else { outcome.clone() });
        }
        let unreported = match self.on_delivered.take() {
            // The receiver may have been dropped.
            Some(on_delivered) => on_delivered.send(outcome).err(),
            None => Some(outcome),
        };
        match unreported {
            // The number of dropped messages is logged.
            None | Some(Ok(()) | Err(Error::Dropped)) => {}
            Some(Err(why)) => warn!(topic = self.publish.topic, "a message was not sent: {why}"),
        }
    }
}
