//! The task of one client connection: reads packets, applies them to the broker, and writes replies and messages.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::broker::Broker;
use super::packet::{self, Connect, Packet, Publish, ReasonCode};
use super::routing::OUTPUT_CHUNK;
use super::sessions::{ConnectionEnd, ConnectionId, TOPIC_ALIAS_MAXIMUM};
use crate::services::mqtt::wire::{Stream, Version};

/// Time limit for CONNECT.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum size of CONNECT, in bytes: all its fields at their maximum.
const MAX_CONNECT_SIZE: usize = 384 << 10;
/// Size of the write buffer, in bytes, above which reading pauses.
const MAX_WRITE_BUFFER: usize = 4 * OUTPUT_CHUNK;
/// Minimum free space of the read buffer, in bytes.
const MIN_READ: usize = 4 << 10;
/// Maximum number of packets per step, so that one connection does not hold the broker's lock for long.
const PACKET_BATCH: usize = 64;
/// Time limit for sending the last packets.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A client connection.
pub(super) struct Connection {
    broker: Arc<Broker>,
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    /// Received bytes that are not parsed yet.
    read_buffer: BytesMut,
    /// Bytes to send.
    write_buffer: BytesMut,
    version: Version,
    limit: usize,
    /// Topic aliases of the client.
    aliases: HashMap<u16, String>,
}

/// Detaches the connection from the broker when dropped.
struct ConnectionGuard {
    broker: Arc<Broker>,
    connection_id: ConnectionId,
    end: ConnectionEnd,
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.broker.disconnect(&self.connection_id, self.end);
    }
}

impl Connection {
    /// Returns a connection that has not received CONNECT; `limit` is the maximum packet size in bytes.
    pub(super) fn new(broker: Arc<Broker>, stream: Box<dyn Stream>, limit: usize) -> Self {
        let (reader, writer) = split(stream);
        let (read_buffer, write_buffer) = (BytesMut::new(), BytesMut::new());
        Self { broker, reader, writer, read_buffer, write_buffer, version: Version::V4, limit, aliases: HashMap::new() }
    }

    /// Waits for CONNECT, and serves the client until either side disconnects.
    ///
    /// `on_connect` is called after CONNECT.
    pub(super) async fn run(mut self, stop: &CancellationToken, on_connect: impl FnOnce()) -> io::Result<()> {
        let connect = tokio::select! {
            connect = timeout(CONNECT_TIMEOUT, self.read_connect()) => connect??,
            () = stop.cancelled() => return Ok(()),
        };
        on_connect();
        let connect = match connect {
            Ok(connect) => connect,
            Err(reason) => return self.refuse(reason).await,
        };
        self.version = connect.version;
        let wake = Arc::new(Notify::new());
        let (connection_id, read_connect) = match self.broker.connect(&connect, Arc::clone(&wake)) {
            Ok(entered) => entered,
            Err(reason) => return self.refuse(reason).await,
        };
        let mut guard = ConnectionGuard { broker: Arc::clone(&self.broker), connection_id, end: ConnectionEnd::Lost };
        let keep_alive =
            read_connect.keep_alive.filter(|_| connect.version == Version::V5).unwrap_or(connect.keep_alive);
        packet::write_connack(self.version, &read_connect, &mut self.write_buffer);
        drop(connect);
        guard.end = tokio::select! {
            end = self.serve(&guard.connection_id, &wake, keep_alive) => end?,
            () = stop.cancelled() => ConnectionEnd::ServerDisconnect(ReasonCode::SERVER_SHUTTING_DOWN),
        };
        if let ConnectionEnd::ServerDisconnect(reason) = guard.end {
            packet::write_disconnect(self.version, reason, &mut self.write_buffer);
        }
        drop(guard);
        self.close().await
    }

    /// Reads CONNECT.
    async fn read_connect(&mut self) -> io::Result<Result<Connect, ReasonCode>> {
        loop {
            // The first packet must be CONNECT.
            if self.read_buffer.first().is_some_and(|first| *first != 0x10) {
                return Err(io::ErrorKind::InvalidData.into());
            }
            // A malformed CONNECT is answered in its own protocol version.
            if let Ok(Some((head, _))) = packet::fixed_header(&self.read_buffer)
                && self.read_buffer[head..].starts_with(b"\0\x04MQTT\x05")
            {
                self.version = Version::V5;
            }
            match self.take_packet(MAX_CONNECT_SIZE.min(self.limit.max(1_024))) {
                Ok(Some(Packet::Connect(connect))) => return Ok(Ok(*connect)),
                Ok(Some(_)) => return Ok(Err(ReasonCode::PROTOCOL_ERROR)),
                Ok(None) => {}
                Err(reason) => return Ok(Err(reason)),
            }
            self.reserve_buffers();
            if self.reader.read_buf(&mut self.read_buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn refuse(mut self, reason: ReasonCode) -> io::Result<()> {
        packet::write_connack_refusal(self.version, reason, &mut self.write_buffer);
        self.close().await
    }

    async fn close(mut self) -> io::Result<()> {
        let last = async {
            self.writer.write_all_buf(&mut self.write_buffer).await?;
            self.writer.shutdown().await?;
            // Closing a socket with unread bytes resets the connection, and the client could lose the last packets.
            loop {
                self.read_buffer.clear();
                self.reserve_buffers();
                if self.reader.read_buf(&mut self.read_buffer).await? == 0 {
                    return Ok(());
                }
            }
        };
        timeout(CLOSE_TIMEOUT, last).await.unwrap_or(Ok(()))
    }

    async fn serve(
        &mut self,
        connection_id: &ConnectionId,
        wake: &Notify,
        keep_alive: u16,
    ) -> io::Result<ConnectionEnd> {
        let keep_alive_timeout = keep_alive_timeout(keep_alive);
        let mut last_read = Instant::now();
        let mut deadline: std::pin::Pin<Box<Sleep>> = Box::pin(sleep_until(last_read + keep_alive_timeout));
        let (mut is_woken, mut is_flushed) = (true, true);
        loop {
            let (packets, error) = self.packets();
            let is_full = packets.len() == PACKET_BATCH;
            if !packets.is_empty() || is_woken {
                match self.broker.step(connection_id, packets, &mut self.write_buffer) {
                    Ok(more) => is_woken = more || is_full,
                    Err(end) => return Ok(end),
                }
            }
            if let Some(reason) = error {
                return Ok(ConnectionEnd::ServerDisconnect(reason));
            }
            is_flushed &= self.write_buffer.is_empty();
            self.reserve_buffers();
            tokio::select! {
                biased;
                sent = send(&mut self.writer, &mut self.write_buffer), if !self.write_buffer.is_empty() || !is_flushed => {
                    is_flushed = sent?;
                }
                // More packets or messages are ready, and the write buffer has room.
                () = std::future::ready(()), if is_woken && self.write_buffer.len() < OUTPUT_CHUNK => {}
                read = self.reader.read_buf(&mut self.read_buffer), if self.write_buffer.len() < MAX_WRITE_BUFFER => {
                    if read? == 0 {
                        return Ok(ConnectionEnd::Lost);
                    }
                    last_read = Instant::now();
                }
                () = wake.notified(), if !is_woken => is_woken = true,
                () = &mut deadline => {
                    if last_read.elapsed() >= keep_alive_timeout {
                        return Ok(ConnectionEnd::ServerDisconnect(ReasonCode::KEEP_ALIVE_TIMEOUT));
                    }
                    deadline.as_mut().reset(last_read + keep_alive_timeout);
                }
            }
        }
    }

    /// Returns the complete packets in the read buffer, at most [`PACKET_BATCH`], and the reason why the next one is malformed.
    fn packets(&mut self) -> (Vec<Packet>, Option<ReasonCode>) {
        let mut packets = Vec::new();
        if self.write_buffer.len() >= MAX_WRITE_BUFFER {
            return (packets, None);
        }
        while packets.len() < PACKET_BATCH {
            match self.take_packet(self.limit) {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break,
                Err(reason) => return (packets, Some(reason)),
            }
        }
        (packets, None)
    }

    /// Reserves space to read, and shrinks buffers that a large packet has grown.
    fn reserve_buffers(&mut self) {
        for buffer in [&mut self.read_buffer, &mut self.write_buffer] {
            if buffer.is_empty() && buffer.capacity() > MAX_WRITE_BUFFER {
                *buffer = BytesMut::new();
            }
        }
        let whole = packet::fixed_header(&self.read_buffer).ok().flatten().map_or(0, |(head, body)| head + body);
        // Grows with the bytes received: a length alone must not allocate memory.
        self.read_buffer.reserve(whole.saturating_sub(self.read_buffer.len()).clamp(MIN_READ, OUTPUT_CHUNK));
    }

    /// Takes one packet from the read buffer.
    fn take_packet(&mut self, limit: usize) -> Result<Option<Packet>, ReasonCode> {
        let Some((head, body)) = packet::fixed_header(&self.read_buffer)? else { return Ok(None) };
        if head + body > limit {
            return Err(ReasonCode::PACKET_TOO_LARGE);
        }
        if self.read_buffer.len() < head + body {
            return Ok(None);
        }
        let first = self.read_buffer[0];
        self.read_buffer.advance(head);
        let body = self.read_buffer.split_to(body).freeze();
        let packet = packet::decode(self.version, first, body)?;
        match packet {
            Packet::Publish(publish) => self.resolve_topic_alias(publish).map(|publish| Some(Packet::Publish(publish))),
            other => Ok(Some(other)),
        }
    }

    /// Replaces a topic alias by its topic.
    ///
    /// Source: MQTT 5.0, section 3.3.2.3.4.
    fn resolve_topic_alias(&mut self, mut publish: Publish) -> Result<Publish, ReasonCode> {
        let Some(alias) = publish.alias else { return Ok(publish) };
        if alias == 0 || alias > TOPIC_ALIAS_MAXIMUM {
            return Err(ReasonCode::TOPIC_ALIAS_INVALID);
        }
        if publish.topic.is_empty() {
            publish.topic.clone_from(self.aliases.get(&alias).ok_or(ReasonCode::PROTOCOL_ERROR)?);
        } else {
            self.aliases.insert(alias, publish.topic.clone());
        }
        Ok(publish)
    }
}

/// Returns one and a half times the keep-alive; without keep-alive a very long time.
///
/// Source: MQTT 5.0, section 3.1.2.10.
fn keep_alive_timeout(keep_alive: u16) -> Duration {
    match keep_alive {
        0 => Duration::from_secs(10 * 365 * 86_400),
        seconds => Duration::from_millis(u64::from(seconds) * 1_500),
    }
}

/// Writes some of the buffer, or flushes the stream if the buffer is empty; returns whether everything was flushed.
async fn send(writer: &mut WriteHalf<Box<dyn Stream>>, write_buffer: &mut BytesMut) -> io::Result<bool> {
    if write_buffer.is_empty() {
        return writer.flush().await.map(|()| true);
    }
    match writer.write_buf(write_buffer).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        _ => Ok(false),
    }
}
