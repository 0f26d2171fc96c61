//! One connection, from CONNECT to DISCONNECT.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::time::{sleep_until, timeout};

use crate::services::mqtt::broker_client::BrokerClient;
use crate::services::mqtt::report::{Report, STABLE};
use crate::services::mqtt::settings::ConnectionSettings;
use crate::services::mqtt::stream::Stream;
use crate::services::mqtt::wire::{
    self, ConnAck, ConnectionError, Frame, FrameDecoder, Incoming, Outgoing, OutgoingAliases, Version,
};
use crate::units::show_duration;

/// Timeout of a PINGRESP; a shorter keep alive shortens it.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Number of bytes encoded for one write.
const BATCH: usize = 64 << 10;
/// How long shutdown waits for unsent packets.
pub(super) const FLUSH: Duration = Duration::from_secs(2);

/// A connection with its read and write buffers.
pub(super) struct Connection {
    version: Version,
    aliases: OutgoingAliases,
    keep_alive: Duration,
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    decoder: FrameDecoder,
    out: BytesMut,
    unflushed: bool,
    /// Total bytes passed to the writer, and total bytes encoded into `out`.
    written: u64,
    encoded: u64,
    /// Positions in `encoded` at which messages of QoS 0 end.
    ends: VecDeque<u64>,
    last_read: Instant,
    last_write: Instant,
    ping_sent_at: Option<Instant>,
    connected_at: Instant,
}

impl Connection {
    /// Connects and sends CONNECT; returns the connection and the CONNACK.
    pub(super) async fn open(
        settings: &ConnectionSettings,
        version: Version,
    ) -> Result<(Self, ConnAck), ConnectionError> {
        let (mut reader, mut writer) = tokio::io::split(wire::open(settings).await?);
        let mut out = BytesMut::new();
        version.encode_connect(settings, &mut out)?;
        writer.write_all_buf(&mut out).await?;
        writer.flush().await?;
        let mut decoder = FrameDecoder::new(version, settings.max_packet);
        loop {
            match decoder.next()? {
                Some(Frame::Packet(Incoming::ConnAck(Ok(connack)))) => {
                    let demanded = connack.keep_alive.map(|seconds| Duration::from_secs(seconds.into()));
                    let keep_alive = demanded.unwrap_or(settings.session.keep_alive);
                    let mut connection = Self::new(reader, writer, decoder, version, keep_alive);
                    connection.aliases = OutgoingAliases::new(connack.topic_alias_maximum);
                    return Ok((connection, connack));
                }
                Some(Frame::Packet(Incoming::ConnAck(Err(why)))) => return Err(ConnectionError::Refused(why)),
                Some(_) => return Err(ConnectionError::Malformed("the first packet is not a CONNACK".into())),
                None if reader.read_buf(&mut decoder.buffer).await.unwrap_or(0) == 0 => {
                    return Err(ConnectionError::Closed);
                }
                None => {}
            }
        }
    }

    fn new(
        reader: ReadHalf<Box<dyn Stream>>,
        writer: WriteHalf<Box<dyn Stream>>,
        decoder: FrameDecoder,
        version: Version,
        keep_alive: Duration,
    ) -> Self {
        let now = Instant::now();
        Self {
            version,
            aliases: OutgoingAliases::default(),
            keep_alive,
            reader,
            writer,
            decoder,
            out: BytesMut::new(),
            unflushed: false,
            written: 0,
            encoded: 0,
            ends: VecDeque::new(),
            last_read: now,
            last_write: now,
            ping_sent_at: None,
            connected_at: now,
        }
    }

    /// Serves the connection until it fails; returns `Ok` on shutdown.
    pub(super) async fn serve(&mut self, client: &BrokerClient, report: &mut Report) -> Result<(), ConnectionError> {
        let mut is_stable = false;
        loop {
            self.receive(client)?;
            self.fill_buffer(client)?;
            self.decoder.reserve();
            let wake_at = self.wake_at(client, (!is_stable).then_some(self.connected_at + STABLE));
            tokio::select! {
                read = self.reader.read_buf(&mut self.decoder.buffer) => {
                    if read? == 0 {
                        return Err(ConnectionError::Closed);
                    }
                    self.last_read = Instant::now();
                    self.ping_sent_at = None;
                }
                wrote = write(&mut self.writer, &mut self.out, &mut self.written, &mut self.unflushed),
                    if self.unflushed || !self.out.is_empty() =>
                {
                    wrote?;
                    self.last_write = Instant::now();
                    self.report_written(client);
                }
                () = client.acks.woken() => {}
                () = sleep_until(wake_at.into()) => {
                    if !is_stable && self.connected_at.elapsed() >= STABLE {
                        is_stable = true;
                        report.stable();
                    }
                    self.check_keep_alive()?;
                }
                () = client.shutdown.cancelled() => return self.close(client).await,
            }
        }
    }

    /// Passes the packets that have been read completely to the session.
    fn receive(&mut self, client: &BrokerClient) -> Result<(), ConnectionError> {
        let Some(mut frame) = self.decoder.next()? else { return Ok(()) };
        let now = client.clock.now();
        let mut session = client.session();
        let result = loop {
            match session.incoming(frame, now).and_then(|()| self.decoder.next()) {
                Ok(Some(next)) => frame = next,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        drop(session);
        client.pass_on();
        result
    }

    /// Encodes the packets that the session has to send.
    fn fill_buffer(&mut self, client: &BrokerClient) -> Result<(), ConnectionError> {
        let mut session = client.session();
        session.spill_overdue();
        let was_full = session.outbox.is_full();
        while self.out.len() < BATCH {
            let Some(packet) = session.outgoing() else { break };
            let is_qos_0 = matches!(packet, Outgoing::Publish { id: 0, .. });
            let before = self.out.len();
            self.version.encode_with(packet, &mut self.aliases, &mut self.out)?;
            self.encoded += (self.out.len() - before) as u64;
            if is_qos_0 {
                self.ends.push_back(self.encoded);
            }
        }
        if was_full && !session.outbox.is_full() {
            client.outbox_room.notify_waiters();
        }
        if session.notifies_writer() {
            client.writes_pending.notify_one();
        }
        Ok(())
    }

    /// Reports the messages of QoS 0 that are written completely.
    fn report_written(&mut self, client: &BrokerClient) {
        if self.ends.front().is_none_or(|end| *end > self.written) {
            return;
        }
        let mut session = client.session();
        while self.ends.front().is_some_and(|end| *end <= self.written) {
            self.ends.pop_front();
            session.outbox.written();
        }
    }

    /// Returns when the next timer fires.
    fn wake_at(&self, client: &BrokerClient, stable_at: Option<Instant>) -> Instant {
        let keep_alive = self.keep_alive;
        let ping = match self.ping_sent_at {
            Some(ping_sent_at) => Some(ping_sent_at + keep_alive.min(PING_TIMEOUT)),
            None => (!keep_alive.is_zero()).then(|| self.last_read.min(self.last_write) + keep_alive),
        };
        let (unsubscribe_at, spill_at) = {
            let session = client.session();
            (session.registry.due(), session.spill_at())
        };
        let far = Instant::now() + Duration::from_secs(3_600);
        [ping, unsubscribe_at, spill_at, stable_at].into_iter().flatten().min().unwrap_or(far)
    }

    /// Sends PINGREQ when the keep alive is over; fails if PINGRESP does not come in time.
    fn check_keep_alive(&mut self) -> Result<(), ConnectionError> {
        let keep_alive = self.keep_alive;
        let limit = keep_alive.min(PING_TIMEOUT);
        if keep_alive.is_zero() {
            return Ok(());
        }
        match self.ping_sent_at {
            Some(ping_sent_at) if ping_sent_at.elapsed() >= limit => {
                Err(ConnectionError::Timeout(show_duration(limit)))
            }
            None if self.last_read.min(self.last_write).elapsed() >= keep_alive => {
                let before = self.out.len();
                self.version.encode(Outgoing::PingReq, &mut self.out)?;
                self.encoded += (self.out.len() - before) as u64;
                self.ping_sent_at = Some(Instant::now());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Sends the remaining packets for at most [`FLUSH`], then DISCONNECT.
    async fn close(&mut self, client: &BrokerClient) -> Result<(), ConnectionError> {
        let flush = async {
            loop {
                self.receive(client)?;
                self.fill_buffer(client)?;
                if self.out.is_empty() && client.session().outbox.is_empty() {
                    self.version.encode(Outgoing::Disconnect, &mut self.out)?;
                    write(&mut self.writer, &mut self.out, &mut self.written, &mut self.unflushed).await?;
                    return Ok(self.writer.shutdown().await?);
                }
                tokio::select! {
                    read = self.reader.read_buf(&mut self.decoder.buffer) => if read? == 0 { return Err(ConnectionError::Closed) },
                    wrote = write(&mut self.writer, &mut self.out, &mut self.written, &mut self.unflushed),
                        if self.unflushed || !self.out.is_empty() =>
                    {
                        wrote?;
                        self.report_written(client);
                    }
                    () = client.acks.woken() => {}
                }
            }
        };
        // An error changes nothing: the connection ends.
        let _: Result<Result<(), ConnectionError>, _> = timeout(FLUSH, flush).await;
        Ok(())
    }
}

/// Writes the encoded bytes. Cancel-safe: written bytes are removed from `out` and counted at once.
async fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    out: &mut BytesMut,
    written: &mut u64,
    unflushed: &mut bool,
) -> Result<(), ConnectionError> {
    while !out.is_empty() {
        let bytes = writer.write_buf(out).await?;
        if bytes == 0 {
            return Err(ConnectionError::Closed);
        }
        *written += bytes as u64;
        *unflushed = true;
    }
    writer.flush().await?;
    *unflushed = false;
    Ok(())
}
