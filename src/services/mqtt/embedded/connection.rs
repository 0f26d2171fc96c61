//! One client's connection.

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
use super::packet::{self, Connect, Packet, Published, Reason};
use super::routing::READY;
use super::sessions::{ConnectionId, End, MAX_ALIASES};
use crate::services::mqtt::wire::{Stream, Version};

/// How long a client may take to say who it is.
const GREETING: Duration = Duration::from_secs(10);
/// How large a greeting may be, in bytes: all its fields at their longest.
const MAX_GREETING: usize = 384 << 10;
/// How much may wait to be sent before nothing more is read.
const MAX_READY: usize = 4 * READY;
/// How much is read at a time at least, in bytes.
const READ: usize = 4 << 10;
/// How many packets are answered at a time, so that everybody gets a turn.
const TURN: usize = 64;
/// How long the last words may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// One client's connection.
pub(super) struct Connection {
    hub: Arc<Broker>,
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    /// What was read and not understood yet.
    fresh: BytesMut,
    /// What is to be sent.
    ready: BytesMut,
    version: Version,
    limit: usize,
    /// The topics for which the client has aliases.
    aliases: HashMap<u16, String>,
}

/// A place in the house, given back when dropped.
struct Place {
    hub: Arc<Broker>,
    ticket: ConnectionId,
    end: End,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.hub.leave(&self.ticket, self.end);
    }
}

impl Connection {
    /// Makes one that has not been greeted; `limit` is the largest packet that is taken.
    pub(super) fn new(hub: Arc<Broker>, stream: Box<dyn Stream>, limit: usize) -> Self {
        let (reader, writer) = split(stream);
        let (fresh, ready) = (BytesMut::new(), BytesMut::new());
        Self { hub, reader, writer, fresh, ready, version: Version::V4, limit, aliases: HashMap::new() }
    }

    /// Hears who the client is, and serves it until one of both goes.
    ///
    /// `greeted` is called when the client has said who it is.
    pub(super) async fn run(mut self, stop: &CancellationToken, greeted: impl FnOnce()) -> io::Result<()> {
        let connect = tokio::select! {
            connect = timeout(GREETING, self.greeting()) => connect??,
            () = stop.cancelled() => return Ok(()),
        };
        greeted();
        let connect = match connect {
            Ok(connect) => connect,
            Err(reason) => return self.refuse(reason).await,
        };
        self.version = connect.version;
        let wake = Arc::new(Notify::new());
        let (ticket, greeting) = match self.hub.enter(&connect, Arc::clone(&wake)) {
            Ok(entered) => entered,
            Err(reason) => return self.refuse(reason).await,
        };
        let mut place = Place { hub: Arc::clone(&self.hub), ticket, end: End::Lost };
        let keep_alive = greeting.keep_alive.filter(|_| connect.version == Version::V5).unwrap_or(connect.keep_alive);
        packet::greet(self.version, &greeting, &mut self.ready);
        drop(connect);
        place.end = tokio::select! {
            end = self.serve(&place.ticket, &wake, keep_alive) => end?,
            () = stop.cancelled() => End::ServerDisconnect(Reason::STOPPING),
        };
        if let End::ServerDisconnect(reason) = place.end {
            packet::goodbye(self.version, reason, &mut self.ready);
        }
        drop(place);
        self.farewell().await
    }

    /// Reads the first packet.
    async fn greeting(&mut self) -> io::Result<Result<Connect, Reason>> {
        loop {
            // Nobody speaks before saying who it is.
            if self.fresh.first().is_some_and(|first| *first != 0x10) {
                return Err(io::ErrorKind::InvalidData.into());
            }
            // The answer to a greeting that can not be read is in its version all the same.
            if let Ok(Some((head, _))) = packet::length(&self.fresh)
                && self.fresh[head..].starts_with(b"\0\x04MQTT\x05")
            {
                self.version = Version::V5;
            }
            match self.cut(MAX_GREETING.min(self.limit.max(1_024))) {
                Ok(Some(Packet::Connect(connect))) => return Ok(Ok(*connect)),
                Ok(Some(_)) => return Ok(Err(Reason::PROTOCOL)),
                Ok(None) => {}
                Err(reason) => return Ok(Err(reason)),
            }
            self.make_room();
            if self.reader.read_buf(&mut self.fresh).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn refuse(mut self, reason: Reason) -> io::Result<()> {
        packet::refuse(self.version, reason, &mut self.ready);
        self.farewell().await
    }

    async fn farewell(mut self) -> io::Result<()> {
        let last = async {
            self.writer.write_all_buf(&mut self.ready).await?;
            self.writer.shutdown().await?;
            // A connection that is closed with something unread takes our last words away from the client.
            loop {
                self.fresh.clear();
                self.make_room();
                if self.reader.read_buf(&mut self.fresh).await? == 0 {
                    return Ok(());
                }
            }
        };
        timeout(FAREWELL, last).await.unwrap_or(Ok(()))
    }

    async fn serve(&mut self, ticket: &ConnectionId, wake: &Notify, keep_alive: u16) -> io::Result<End> {
        // One and a half times what was agreed (MQTT 5.0, section 3.1.2.10); nothing agreed is a very long time.
        let silence = match keep_alive {
            0 => Duration::from_secs(10 * 365 * 86_400),
            seconds => Duration::from_millis(u64::from(seconds) * 1_500),
        };
        let mut heard = Instant::now();
        let mut deadline: std::pin::Pin<Box<Sleep>> = Box::pin(sleep_until(heard + silence));
        let (mut is_woken, mut is_flushed) = (true, true);
        loop {
            let (packets, broken) = self.packets();
            let is_full = packets.len() == TURN;
            if !packets.is_empty() || is_woken {
                match self.hub.turn(ticket, packets, &mut self.ready) {
                    Ok(more) => is_woken = more || is_full,
                    Err(end) => return Ok(end),
                }
            }
            if let Some(reason) = broken {
                return Ok(End::ServerDisconnect(reason));
            }
            is_flushed &= self.ready.is_empty();
            self.make_room();
            tokio::select! {
                biased;
                sent = send(&mut self.writer, &mut self.ready), if !self.ready.is_empty() || !is_flushed => {
                    is_flushed = sent?;
                }
                // More is there than fits into one turn, and there is room again.
                () = std::future::ready(()), if is_woken && self.ready.len() < READY => {}
                read = self.reader.read_buf(&mut self.fresh), if self.ready.len() < MAX_READY => {
                    if read? == 0 {
                        return Ok(End::Lost);
                    }
                    heard = Instant::now();
                }
                () = wake.notified(), if !is_woken => is_woken = true,
                () = &mut deadline => {
                    if heard.elapsed() >= silence {
                        return Ok(End::ServerDisconnect(Reason::SILENT));
                    }
                    deadline.as_mut().reset(heard + silence);
                }
            }
        }
    }

    /// Returns the packets that are there whole, at most [`TURN`], and why what comes then is none.
    fn packets(&mut self) -> (Vec<Packet>, Option<Reason>) {
        let mut packets = Vec::new();
        if self.ready.len() >= MAX_READY {
            return (packets, None);
        }
        while packets.len() < TURN {
            match self.cut(self.limit) {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break,
                Err(reason) => return (packets, Some(reason)),
            }
        }
        (packets, None)
    }

    /// Has room to read, and gives back what a large packet needed.
    fn make_room(&mut self) {
        for buffer in [&mut self.fresh, &mut self.ready] {
            if buffer.is_empty() && buffer.capacity() > MAX_READY {
                *buffer = BytesMut::new();
            }
        }
        let whole = packet::length(&self.fresh).ok().flatten().map_or(0, |(head, body)| head + body);
        // Not more than has come already: a length is soon said.
        self.fresh.reserve(whole.saturating_sub(self.fresh.len()).clamp(READ, READY));
    }

    /// Takes one packet out of what was read.
    fn cut(&mut self, limit: usize) -> Result<Option<Packet>, Reason> {
        let Some((head, body)) = packet::length(&self.fresh)? else { return Ok(None) };
        if head + body > limit {
            return Err(Reason::TOO_LARGE);
        }
        if self.fresh.len() < head + body {
            return Ok(None);
        }
        let first = self.fresh[0];
        self.fresh.advance(head);
        let body = self.fresh.split_to(body).freeze();
        let packet = packet::decode(self.version, first, body)?;
        match packet {
            Packet::Publish(published) => self.named(published).map(|published| Some(Packet::Publish(published))),
            other => Ok(Some(other)),
        }
    }

    /// Puts the topic in for its alias.
    ///
    /// Source: MQTT 5.0, section 3.3.2.3.4.
    fn named(&mut self, mut published: Published) -> Result<Published, Reason> {
        let Some(alias) = published.alias else { return Ok(published) };
        if alias == 0 || alias > MAX_ALIASES {
            return Err(Reason::ALIAS);
        }
        if published.topic.is_empty() {
            published.topic.clone_from(self.aliases.get(&alias).ok_or(Reason::PROTOCOL)?);
        } else {
            self.aliases.insert(alias, published.topic.clone());
        }
        Ok(published)
    }
}

/// Sends some of what is ready, or what is still held back if nothing is; returns whether everything is on its way.
async fn send(writer: &mut WriteHalf<Box<dyn Stream>>, ready: &mut BytesMut) -> io::Result<bool> {
    if ready.is_empty() {
        return writer.flush().await.map(|()| true);
    }
    match writer.write_buf(ready).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        _ => Ok(false),
    }
}
