//! A connection as the broker knows it, from CONNECT to its end.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::sync::Notify;

use super::broker::Broker;
use super::packet::{ConnAck, Connect, ReasonCode};
use super::packet_decoder::Batch;
use super::sessions::{ConnectionEnd, ConnectionId};

/// Detaches the connection from the broker when dropped.
pub(super) struct ConnectionGuard {
    broker: Arc<Broker>,
    connection_id: ConnectionId,
    /// How the connection has ended by the time of the drop.
    pub(super) end: ConnectionEnd,
}

impl ConnectionGuard {
    /// Attaches a connection as [`Broker::connect`] does.
    pub(super) fn open(
        broker: &Arc<Broker>,
        connect: &Connect,
        wake: Arc<Notify>,
    ) -> Result<(Self, ConnAck), ReasonCode> {
        let (connection_id, connack) = broker.connect(connect, wake)?;
        Ok((Self { broker: Arc::clone(broker), connection_id, end: ConnectionEnd::Lost }, connack))
    }

    /// Applies packets, and writes replies and queued messages; returns whether there is more to apply or to write.
    pub(super) fn step(&self, batch: Batch, out: &mut BytesMut) -> Result<bool, ConnectionEnd> {
        let is_full = batch.is_full();
        let more = self.broker.step(&self.connection_id, batch.packets, out)?;
        match batch.error {
            Some(reason) => Err(ConnectionEnd::ServerDisconnect(reason)),
            None => Ok(more || is_full),
        }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.broker.disconnect(&self.connection_id, self.end);
    }
}
