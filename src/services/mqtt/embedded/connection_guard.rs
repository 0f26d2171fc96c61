//! A connection as the broker knows it, from CONNECT to its end.

use std::sync::Arc;

use tokio::sync::Notify;

use super::broker::Broker;
use super::packet::{ConnAck, Connect, ReasonCode};
use super::sessions::{ConnectionEnd, ConnectionId};

/// Detaches the connection from the broker when dropped.
pub(super) struct ConnectionGuard {
    pub(super) broker: Arc<Broker>,
    pub(super) connection_id: ConnectionId,
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
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.broker.disconnect(&self.connection_id, self.end);
    }
}
