//! One connection, from the greeting to the goodbye.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::time::{sleep_until, timeout};

use crate::services::mqtt::report::{Report, SOUND};
use crate::services::mqtt::settings::ConnectionSettings;
use crate::services::mqtt::supervisor::BrokerClient;
use crate::services::mqtt::wire::{
    self, Aliases, ConnAck, ConnectionError, Frame, Frames, Incoming, Outgoing, Stream, Version,
};
use crate::units::show_duration;

/// How long a broker may take to answer a ping, at most.
const PONG: Duration = Duration::from_secs(10);
/// How many bytes are collected for one write.
const BATCH: usize = 64 << 10;
/// How long stopping waits for what has yet to go out.
pub(super) const FLUSH: Duration = Duration::from_secs(2);

/// A connection and what is half read from it and half written to it.
pub(super) struct Connection {
    version: Version,
    aliases: Aliases,
    keep_alive: Duration,
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    frames: Frames,
    out: BytesMut,
    unflushed: bool,
    /// Bytes handed to the writer and bytes put into `out`, ever.
    written: u64,
    collected: u64,
    /// Where in that count messages of QoS 0 end.
    ends: VecDeque<u64>,
    last_read: Instant,
    last_write: Instant,
    pinged: Option<Instant>,
    began: Instant,
}

impl Connection {
    /// Connects and greets; returns the connection and what the broker says of itself.
    pub(super) async fn open(
        settings: &ConnectionSettings,
        version: Version,
    ) -> Result<(Self, ConnAck), ConnectionError> {
        let (mut reader, mut writer) = tokio::io::split(wire::open(settings).await?);
        let mut out = BytesMut::new();
        version.write_connect(settings, &mut out)?;
        writer.write_all_buf(&mut out).await?;
        writer.flush().await?;
        let mut frames = Frames::new(version, settings.max_packet);
        loop {
            match frames.next()? {
                Some(Frame::Packet(Incoming::ConnAck(Ok(greeting)))) => {
                    let said = greeting.keep_alive.map(|seconds| Duration::from_secs(seconds.into()));
                    let keep_alive = said.unwrap_or(settings.session.keep_alive);
                    let mut link = Self::new(reader, writer, frames, version, keep_alive);
                    link.aliases = Aliases::new(greeting.topic_alias_maximum);
                    return Ok((link, greeting));
                }
                Some(Frame::Packet(Incoming::ConnAck(Err(why)))) => return Err(ConnectionError::Refused(why)),
                Some(_) => return Err(ConnectionError::Malformed("something else than a greeting".into())),
                None if reader.read_buf(&mut frames.buffer).await.unwrap_or(0) == 0 => {
                    return Err(ConnectionError::Closed);
                }
                None => {}
            }
        }
    }

    fn new(
        reader: ReadHalf<Box<dyn Stream>>,
        writer: WriteHalf<Box<dyn Stream>>,
        frames: Frames,
        version: Version,
        keep_alive: Duration,
    ) -> Self {
        let now = Instant::now();
        Self {
            version,
            aliases: Aliases::default(),
            keep_alive,
            reader,
            writer,
            frames,
            out: BytesMut::new(),
            unflushed: false,
            written: 0,
            collected: 0,
            ends: VecDeque::new(),
            last_read: now,
            last_write: now,
            pinged: None,
            began: now,
        }
    }

    /// Serves the connection until it breaks; `Ok` when it was closed on purpose.
    pub(super) async fn serve(&mut self, client: &BrokerClient, report: &mut Report) -> Result<(), ConnectionError> {
        let mut sound = false;
        loop {
            self.take_in(client)?;
            self.collect(client)?;
            let wake_at = self.wake_at(client, (!sound).then_some(self.began + SOUND));
            tokio::select! {
                read = self.reader.read_buf(&mut self.frames.buffer) => {
                    if read? == 0 {
                        return Err(ConnectionError::Closed);
                    }
                    self.last_read = Instant::now();
                    self.pinged = None;
                }
                wrote = write(&mut self.writer, &mut self.out, &mut self.written, &mut self.unflushed),
                    if self.unflushed || !self.out.is_empty() =>
                {
                    wrote?;
                    self.last_write = Instant::now();
                    self.tell_written(client);
                }
                () = client.acks.woken() => {}
                () = sleep_until(wake_at.into()) => {
                    if !sound && self.began.elapsed() >= SOUND {
                        sound = true;
                        report.sound();
                    }
                    self.prove_alive()?;
                }
                () = client.close.cancelled() => return self.close(client).await,
            }
        }
    }

    /// Hands over the packets that are there whole.
    fn take_in(&mut self, client: &BrokerClient) -> Result<(), ConnectionError> {
        let Some(mut frame) = self.frames.next()? else { return Ok(()) };
        let now = client.clock.now();
        let mut session = client.session();
        loop {
            session.incoming(frame, now)?;
            frame = match self.frames.next()? {
                Some(next) => next,
                None => return Ok(()),
            };
        }
    }

    /// Fills the buffer with what is to be sent.
    fn collect(&mut self, client: &BrokerClient) -> Result<(), ConnectionError> {
        let mut session = client.session();
        let was_full = session.outbox.is_full();
        while self.out.len() < BATCH {
            let Some(packet) = session.outgoing() else { break };
            let counts = matches!(packet, Outgoing::Publish { id: 0, .. });
            let before = self.out.len();
            self.version.encode_with(packet, &mut self.aliases, &mut self.out)?;
            self.collected += (self.out.len() - before) as u64;
            if counts {
                self.ends.push_back(self.collected);
            }
        }
        if was_full && !session.outbox.is_full() {
            client.room.notify_waiters();
        }
        if session.has_changes() {
            client.keep.notify_one();
        }
        Ok(())
    }

    fn tell_written(&mut self, client: &BrokerClient) {
        if self.ends.front().is_none_or(|end| *end > self.written) {
            return;
        }
        let mut session = client.session();
        while self.ends.front().is_some_and(|end| *end <= self.written) {
            self.ends.pop_front();
            session.outbox.written();
        }
    }

    /// Returns when something is to be done although nothing happens.
    fn wake_at(&self, client: &BrokerClient, sound: Option<Instant>) -> Instant {
        let keep_alive = self.keep_alive;
        let ping = match self.pinged {
            Some(pinged) => Some(pinged + keep_alive.min(PONG)),
            None => (!keep_alive.is_zero()).then(|| self.last_read.min(self.last_write) + keep_alive),
        };
        let (due, overdue) = {
            let session = client.session();
            (session.registry.due(), session.overdue())
        };
        let far = Instant::now() + Duration::from_secs(3_600);
        [ping, due, overdue, sound].into_iter().flatten().min().unwrap_or(far)
    }

    /// Pings when it is time, and gives up when no answer comes.
    fn prove_alive(&mut self) -> Result<(), ConnectionError> {
        let keep_alive = self.keep_alive;
        let patience = keep_alive.min(PONG);
        if keep_alive.is_zero() {
            return Ok(());
        }
        match self.pinged {
            Some(pinged) if pinged.elapsed() >= patience => Err(ConnectionError::Silent(show_duration(patience))),
            None if self.last_read.min(self.last_write).elapsed() >= keep_alive => {
                let before = self.out.len();
                self.version.encode(Outgoing::PingReq, &mut self.out)?;
                self.collected += (self.out.len() - before) as u64;
                self.pinged = Some(Instant::now());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Sends what waits, for a while, and says goodbye.
    async fn close(&mut self, client: &BrokerClient) -> Result<(), ConnectionError> {
        let flush = async {
            loop {
                self.take_in(client)?;
                self.collect(client)?;
                if self.out.is_empty() && client.session().outbox.is_empty() {
                    self.version.encode(Outgoing::Disconnect, &mut self.out)?;
                    write(&mut self.writer, &mut self.out, &mut self.written, &mut self.unflushed).await?;
                    return Ok(self.writer.shutdown().await?);
                }
                tokio::select! {
                    read = self.reader.read_buf(&mut self.frames.buffer) => if read? == 0 { return Err(ConnectionError::Closed) },
                    wrote = write(&mut self.writer, &mut self.out, &mut self.written, &mut self.unflushed),
                        if self.unflushed || !self.out.is_empty() =>
                    {
                        wrote?;
                        self.tell_written(client);
                    }
                    () = client.acks.woken() => {}
                }
            }
        };
        // Whatever goes wrong now, it is over.
        let _: Result<Result<(), ConnectionError>, _> = timeout(FLUSH, flush).await;
        Ok(())
    }
}

/// Writes what was collected. Cancel-safe: what is written is taken out and counted at once.
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
