//! The task of one client connection: reads packets, applies them to the broker, and writes replies and messages.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::broker::Broker;
use super::connection_guard::ConnectionGuard;
use super::packet::{self, Connect, ReasonCode};
use super::packet_decoder::{Batch, PacketDecoder};
use super::routing::OUTPUT_CHUNK;
use super::sessions::ConnectionEnd;
use crate::services::mqtt::stream::Stream;
use crate::services::mqtt::wire::Version;

/// Time limit for CONNECT.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Size of the write buffer, in bytes, above which reading pauses.
const MAX_WRITE_BUFFER: usize = 4 * OUTPUT_CHUNK;
/// Minimum free space of the read buffer, in bytes.
const MIN_READ: usize = 4 << 10;
/// Time limit for sending the last packets.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A client connection.
pub(super) struct Connection {
    broker: Arc<Broker>,
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    /// Received bytes, and the packets in them.
    decoder: PacketDecoder,
    /// Bytes to send.
    write_buffer: BytesMut,
}

impl Connection {
    /// Returns a connection that has not received CONNECT; `limit` is the maximum packet size in bytes.
    pub(super) fn new(broker: Arc<Broker>, stream: Box<dyn Stream>, limit: usize) -> Self {
        let (reader, writer) = split(stream);
        Self { broker, reader, writer, decoder: PacketDecoder::new(limit), write_buffer: BytesMut::new() }
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
        let wake = Arc::new(Notify::new());
        let (mut guard, connack) = match ConnectionGuard::open(&self.broker, &connect, Arc::clone(&wake)) {
            Ok(opened) => opened,
            Err(reason) => return self.refuse(reason).await,
        };
        let keep_alive = connack.keep_alive.filter(|_| connect.version == Version::V5).unwrap_or(connect.keep_alive);
        packet::write_connack(connect.version, &connack, &mut self.write_buffer);
        drop(connect);
        guard.end = tokio::select! {
            end = self.serve(&guard, &wake, keep_alive) => end?,
            () = stop.cancelled() => ConnectionEnd::ServerDisconnect(ReasonCode::SERVER_SHUTTING_DOWN),
        };
        if let ConnectionEnd::ServerDisconnect(reason) = guard.end {
            packet::write_disconnect(self.decoder.version, reason, &mut self.write_buffer);
        }
        drop(guard);
        self.close().await
    }

    /// Reads CONNECT.
    async fn read_connect(&mut self) -> io::Result<Result<Connect, ReasonCode>> {
        loop {
            // The first packet must be CONNECT.
            if self.decoder.buffer.first().is_some_and(|first| *first != 0x10) {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if let Some(connect) = self.decoder.connect().transpose() {
                return Ok(connect);
            }
            self.reserve_buffers();
            if self.reader.read_buf(&mut self.decoder.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn refuse(mut self, reason: ReasonCode) -> io::Result<()> {
        packet::write_connack_refusal(self.decoder.version, reason, &mut self.write_buffer);
        self.close().await
    }

    async fn close(mut self) -> io::Result<()> {
        let last = async {
            self.writer.write_all_buf(&mut self.write_buffer).await?;
            self.writer.shutdown().await?;
            // Closing a socket with unread bytes resets the connection, and the client could lose the last packets.
            loop {
                self.decoder.buffer.clear();
                self.reserve_buffers();
                if self.reader.read_buf(&mut self.decoder.buffer).await? == 0 {
                    return Ok(());
                }
            }
        };
        timeout(CLOSE_TIMEOUT, last).await.unwrap_or(Ok(()))
    }

    async fn serve(&mut self, guard: &ConnectionGuard, wake: &Notify, keep_alive: u16) -> io::Result<ConnectionEnd> {
        let keep_alive_timeout = keep_alive_timeout(keep_alive);
        let mut last_read = Instant::now();
        let mut deadline = Box::pin(sleep_until(last_read + keep_alive_timeout));
        let (mut is_woken, mut is_flushed) = (true, true);
        loop {
            let has_room = self.write_buffer.len() < MAX_WRITE_BUFFER;
            let batch = if has_room { self.decoder.batch() } else { Batch::default() };
            if is_woken || !batch.is_empty() {
                match guard.step(batch, &mut self.write_buffer) {
                    Ok(more) => is_woken = more,
                    Err(end) => return Ok(end),
                }
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
                read = self.reader.read_buf(&mut self.decoder.buffer), if self.write_buffer.len() < MAX_WRITE_BUFFER => {
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

    /// Reserves space to read, and shrinks buffers that a large packet has grown.
    fn reserve_buffers(&mut self) {
        for buffer in [&mut self.decoder.buffer, &mut self.write_buffer] {
            if buffer.is_empty() && buffer.capacity() > MAX_WRITE_BUFFER {
                *buffer = BytesMut::new();
            }
        }
        let whole = packet::fixed_header(&self.decoder.buffer).ok().flatten().map_or(0, |(head, body)| head + body);
        // Grows with the bytes received: a length alone must not allocate memory.
        self.decoder.buffer.reserve(whole.saturating_sub(self.decoder.buffer.len()).clamp(MIN_READ, OUTPUT_CHUNK));
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
