//! Connections to a broker in this process: bytes in and bytes out, without a stream and without a task.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::sync::Notify;

use super::broker::Broker;
use super::connection_guard::ConnectionGuard;
use super::packet::{self, Packet, ReasonCode};
use super::packet_decoder::{Batch, PacketDecoder};
use super::routing::OUTPUT_CHUNK;
use super::sessions::ConnectionEnd;
use super::state::{Limits, State};
use crate::services::clock::Clock;
use crate::services::mqtt::message::Publish;
use crate::services::mqtt::wire::{ConnectionError, Outgoing, Version};

/// A broker that clients in this process connect to without a network; cheap to clone.
#[derive(Clone)]
pub struct InProcessBroker(Arc<Broker>);

/// The broker's side of a connection from this process.
pub(in crate::services::mqtt) struct InProcessPeer {
    decoder: PacketDecoder,
    guard: ConnectionGuard,
}

impl InProcessBroker {
    /// Creates a broker without limits and without files, whose messages and sessions expire by this clock.
    pub fn new(clock: &Clock) -> Self {
        let limits = Limits {
            connections: usize::MAX,
            packet: u32::MAX,
            queued: usize::MAX,
            queued_bytes: usize::MAX,
            keep_alive: u16::MAX,
        };
        Self(Arc::new(Broker::new(State::new(limits, clock.monotonic()), None, None)))
    }

    /// Connects a client by the bytes of its CONNECT, and writes CONNACK; returns `None` if the broker refuses.
    ///
    /// `wake` is notified when there are messages for the client.
    pub(in crate::services::mqtt) fn connect(
        &self,
        connect: BytesMut,
        wake: Arc<Notify>,
        out: &mut BytesMut,
    ) -> Option<InProcessPeer> {
        self.expire();
        InProcessPeer::open(&self.0, connect, wake, out)
    }

    /// Publishes a message that comes from none of the clients.
    ///
    /// # Errors
    /// If the message cannot be encoded, or the broker cannot retain it.
    pub(in crate::services::mqtt) fn publish(&self, publish: Publish) -> Result<(), ConnectionError> {
        let mut decoder = PacketDecoder::new(usize::MAX);
        decoder.version = Version::V5;
        let id = u16::from(publish.qos > 0);
        Version::V5.encode(Outgoing::Publish { publish, id, dup: false }, &mut decoder.buffer)?;
        let Batch { packets, error } = decoder.batch();
        let refused = |reason: ReasonCode| ConnectionError::Refused(format!("reason code {:#04x}", reason.0));
        for packet in packets {
            if let Packet::Publish(publish) = packet {
                self.0.publish(publish).map_err(refused)?;
            }
        }
        error.map_or(Ok(()), |reason| Err(refused(reason)))
    }

    /// Publishes due will messages and ends expired sessions. There is no task that does so at their time.
    pub(in crate::services::mqtt) fn expire(&self) {
        self.0.expire();
    }
}

impl InProcessPeer {
    fn open(broker: &Arc<Broker>, connect: BytesMut, wake: Arc<Notify>, out: &mut BytesMut) -> Option<Self> {
        let mut decoder = PacketDecoder::new(usize::MAX);
        decoder.buffer = connect;
        let opened = match decoder.connect() {
            Ok(connect) => ConnectionGuard::open(broker, &connect?, wake),
            Err(reason) => Err(reason),
        };
        match opened {
            Ok((guard, connack)) => {
                packet::write_connack(decoder.version, &connack, out);
                Some(Self { decoder, guard })
            }
            Err(reason) => {
                packet::write_connack_refusal(decoder.version, reason, out);
                None
            }
        }
    }

    /// Returns the buffer of bytes from the client.
    pub(in crate::services::mqtt) fn input(&mut self) -> &mut BytesMut {
        &mut self.decoder.buffer
    }

    /// Applies the packets in the input, and writes replies and queued messages; returns whether the connection is still open.
    ///
    /// Returns early if there is much output: a further step continues.
    pub(in crate::services::mqtt) fn step(&mut self, out: &mut BytesMut) -> bool {
        loop {
            match self.guard.step(self.decoder.batch(), out) {
                Ok(true) if out.len() < OUTPUT_CHUNK => {}
                Ok(_) => return true,
                Err(end) => {
                    self.end(end, out);
                    return false;
                }
            }
        }
    }

    /// Ends the connection and its session, as a broker that is stopped and starts without its sessions; no will is published.
    pub(in crate::services::mqtt) fn end_session(mut self) {
        self.guard.end = ConnectionEnd::ClientDisconnect { with_will: false, expiry: Some(0) };
    }

    fn end(&mut self, end: ConnectionEnd, out: &mut BytesMut) {
        if let ConnectionEnd::ServerDisconnect(reason) = end {
            packet::write_disconnect(self.decoder.version, reason, out);
        }
        self.guard.end = end;
    }
}
