//! A client's link to a broker in this process: every exchange of packets ends before the call that caused it returns.

use std::sync::Arc;

use bytes::BytesMut;
use parking_lot::Mutex;

use crate::services::clock::Clock;
use crate::services::mqtt::client_session::ClientSession;
use crate::services::mqtt::embedded::{InProcessBroker, InProcessPeer};
use crate::services::mqtt::message::Publish;
use crate::services::mqtt::settings::ConnectionSettings;
use crate::services::mqtt::wire::{
    ConnAck, ConnectionError, Frame, FrameDecoder, Incoming, Outgoing, OutgoingAliases, Version,
};

/// A link to a broker in this process, used in place of a network connection.
pub struct InProcessLink {
    pub(super) broker: InProcessBroker,
    /// Called with each message that the client publishes, before the broker has it.
    on_publish: Box<dyn Fn(&Publish) + Send + Sync>,
    /// Locked during an exchange, so that messages stay in order; `None` while disconnected.
    connection: Mutex<Option<LinkConnection>>,
}

/// A connection with the codecs of both sides.
struct LinkConnection {
    peer: InProcessPeer,
    version: Version,
    aliases: OutgoingAliases,
    decoder: FrameDecoder,
}

impl InProcessLink {
    /// Creates a link to a broker; `on_publish` is called with each message that the client publishes.
    pub fn new(broker: InProcessBroker, on_publish: impl Fn(&Publish) + Send + Sync + 'static) -> Self {
        Self { broker, on_publish: Box::new(on_publish), connection: Mutex::default() }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connection.lock().is_some()
    }

    /// Connects with these settings.
    pub(super) fn connect(
        &self,
        settings: &ConnectionSettings,
        session: &Mutex<ClientSession>,
    ) -> Result<(), ConnectionError> {
        let mut connection = self.connection.lock();
        let (opened, connack) = LinkConnection::open(&self.broker, settings)?;
        session.lock().connected(&connack);
        *connection = Some(opened);
        Ok(())
    }

    /// Exchanges packets until neither side has one to send; disconnects on an error.
    pub(super) fn exchange(&self, session: &Mutex<ClientSession>, clock: &Clock) -> Result<(), ConnectionError> {
        let mut connection = self.connection.lock();
        let Some(open) = &mut *connection else { return Ok(()) };
        self.broker.expire();
        let result = loop {
            let exchanged =
                open.send(session, &self.on_publish).and_then(|sent| Ok(sent + open.receive(session, clock)?));
            match exchanged {
                Ok(0) => break Ok(()),
                Ok(_) => {}
                Err(why) => break Err(why),
            }
        };
        if result.is_err() {
            *connection = None;
        }
        result
    }

    /// Disconnects as a client that keeps its session.
    pub(super) fn disconnect(&self) {
        if let Some(mut open) = self.connection.lock().take()
            && open.version.encode(Outgoing::Disconnect, open.peer.input()).is_ok()
        {
            open.peer.step(&mut BytesMut::new());
        }
    }

    /// Disconnects as a broker that is stopped and loses the client's session.
    pub(super) fn end_session(&self) {
        if let Some(open) = self.connection.lock().take() {
            open.peer.end_session();
        }
    }
}

impl LinkConnection {
    fn open(broker: &InProcessBroker, settings: &ConnectionSettings) -> Result<(Self, ConnAck), ConnectionError> {
        let version = Version::preferred(settings.protocol);
        let mut connect = BytesMut::new();
        version.encode_connect(settings, &mut connect)?;
        let mut decoder = FrameDecoder::new(version, settings.max_packet);
        let peer = broker.connect(connect, Arc::default(), &mut decoder.buffer);
        match (peer, decoder.next()?) {
            (Some(peer), Some(Frame::Packet(Incoming::ConnAck(Ok(connack))))) => {
                let aliases = OutgoingAliases::new(connack.topic_alias_maximum);
                Ok((Self { peer, version, aliases, decoder }, connack))
            }
            (_, Some(Frame::Packet(Incoming::ConnAck(Err(why))))) => Err(ConnectionError::Refused(why)),
            _ => Err(ConnectionError::Closed),
        }
    }

    /// Encodes the packets that the session has to send; returns their number.
    fn send(
        &mut self,
        session: &Mutex<ClientSession>,
        on_publish: &dyn Fn(&Publish),
    ) -> Result<usize, ConnectionError> {
        let mut session = session.lock();
        let mut sent = 0;
        while let Some(packet) = session.outgoing() {
            if let Outgoing::Publish { publish, id, .. } = &packet {
                on_publish(publish);
                if *id == 0 {
                    session.outbox.written();
                }
            }
            self.version.encode_with(packet, &mut self.aliases, self.peer.input())?;
            sent += 1;
        }
        Ok(sent)
    }

    /// Has the broker apply the sent packets, and passes its packets to the session; returns their number.
    fn receive(&mut self, session: &Mutex<ClientSession>, clock: &Clock) -> Result<usize, ConnectionError> {
        let is_open = self.peer.step(&mut self.decoder.buffer);
        let mut session = session.lock();
        let mut received = 0;
        while let Some(frame) = self.decoder.next()? {
            session.incoming(frame, clock.now())?;
            received += 1;
        }
        if is_open { Ok(received) } else { Err(ConnectionError::Closed) }
    }
}
