//! A test client that sends raw bytes and checks the replies.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than any step here takes on the slowest machine.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);

/// A connection and its protocol level: 4 or 5.
pub(super) struct RawClient {
    pub(super) tcp: TcpStream,
    pub(super) version: u8,
}

/// The fields of CONNECT.
#[derive(Clone)]
pub(super) struct ConnectFields {
    pub(super) id: &'static str,
    pub(super) clean_start: bool,
    pub(super) keep_alive: u16,
    pub(super) properties: Vec<u8>,
    /// Flags, properties, topic and payload.
    pub(super) will: Option<(u8, Vec<u8>, &'static str, &'static str)>,
}

pub(super) fn clean_session(id: &'static str) -> ConnectFields {
    ConnectFields { id, clean_start: true, keep_alive: 0, properties: Vec::new(), will: None }
}

/// Returns a CONNECT with a session expiry of one hour.
pub(super) fn persistent_session(id: &'static str) -> ConnectFields {
    ConnectFields { clean_start: false, properties: vec![0x11, 0, 0, 0x0e, 0x10], ..clean_session(id) }
}

/// Returns a string with its length prefix.
pub(super) fn text(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    [&(text.len() as u16).to_be_bytes()[..], text].concat()
}

/// Returns a packet with this first byte and body.
pub(super) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut all = vec![first];
    let mut left = body.len();
    while left > 0x7f {
        all.push(left as u8 | 0x80);
        left >>= 7;
    }
    all.push(left as u8);
    all.extend(body);
    all
}

impl ConnectFields {
    pub(super) fn bytes(&self, version: u8) -> Vec<u8> {
        let mut flags = u8::from(self.clean_start) << 1;
        flags |= self.will.as_ref().map_or(0, |will| will.0 | 4);
        let mut body = [text("MQTT"), vec![version, flags], self.keep_alive.to_be_bytes().to_vec()].concat();
        if version == 5 {
            body.push(self.properties.len() as u8);
            body.extend(&self.properties);
        }
        body.extend(text(self.id));
        if let Some((_, properties, topic, payload)) = &self.will {
            if version == 5 {
                body.push(properties.len() as u8);
                body.extend(properties);
            }
            body.extend([text(topic), text(payload)].concat());
        }
        packet(0x10, &body)
    }
}

impl RawClient {
    pub(super) async fn open(address: SocketAddr, version: u8) -> Self {
        Self { tcp: TcpStream::connect(address).await.unwrap(), version }
    }

    /// Sends CONNECT, and returns the client with the flags, the code and the properties of CONNACK.
    pub(super) async fn try_connect(address: SocketAddr, version: u8, connect: &ConnectFields) -> (Self, Vec<u8>) {
        let mut client = Self::open(address, version).await;
        client.send(&connect.bytes(version)).await;
        let (first, body) = client.packet().await;
        assert_eq!(first, 0x20);
        (client, body)
    }

    /// Sends CONNECT, and expects to be accepted.
    pub(super) async fn connect(address: SocketAddr, version: u8, connect: ConnectFields) -> Self {
        let (client, answer) = Self::try_connect(address, version, &connect).await;
        assert_eq!(answer[1], 0, "{answer:?}");
        client
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.tcp.write_all(bytes).await.unwrap();
    }

    /// Returns the next packet's first byte and body.
    pub(super) async fn packet(&mut self) -> (u8, Vec<u8>) {
        self.maybe_packet().await.expect("the broker has closed the connection")
    }

    /// As [`Self::packet`]; `None` if the broker closes the connection.
    pub(super) async fn maybe_packet(&mut self) -> Option<(u8, Vec<u8>)> {
        timeout(TIMEOUT, async {
            let first = self.tcp.read_u8().await.ok()?;
            let (mut length, mut shift) = (0, 0);
            loop {
                let byte = self.tcp.read_u8().await.ok()?;
                length |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            let mut body = vec![0; length];
            self.tcp.read_exact(&mut body).await.ok()?;
            Some((first, body))
        })
        .await
        .expect("the broker sends nothing")
    }

    /// Expects the connection to be closed, on MQTT 5 with this reason code.
    pub(super) async fn expect_end(&mut self, reason: u8) {
        let mut last = None;
        while let Some(packet) = self.maybe_packet().await {
            last = Some(packet);
        }
        match self.version {
            5 => assert_eq!(last, Some((0xe0, vec![reason, 0]))),
            _ => assert_ne!(last.map(|last| last.0), Some(0xe0)),
        }
    }

    /// Expects that no packet is pending: the next packet is PINGRESP.
    pub(super) async fn expect_nothing(&mut self) {
        self.send(&[0xc0, 0]).await;
        assert_eq!(self.packet().await, (0xd0, vec![]));
    }

    /// Subscribes with these options and properties, and returns the reason code of the filter.
    pub(super) async fn subscribe_with(&mut self, filter: &str, options: u8, properties: &[u8]) -> u8 {
        let mut body = vec![0, 9];
        if self.version == 5 {
            body.push(properties.len() as u8);
            body.extend(properties);
        }
        body.extend([text(filter), vec![options]].concat());
        self.send(&packet(0x82, &body)).await;
        let (first, answer) = self.packet().await;
        assert_eq!((first, &answer[..2]), (0x90, &[0, 9][..]));
        *answer.last().unwrap()
    }

    pub(super) async fn subscribe(&mut self, filter: &str, qos: u8) {
        assert_eq!(self.subscribe_with(filter, qos, &[]).await, qos);
    }

    /// Returns an encoded PUBLISH; `flags` is the lower half of the first byte.
    pub(super) fn message(&self, flags: u8, id: u16, properties: &[u8], topic: &str, payload: &[u8]) -> Vec<u8> {
        let mut body = text(topic);
        if flags & 6 != 0 {
            body.extend(id.to_be_bytes());
        }
        if self.version == 5 {
            body.push(properties.len() as u8);
            body.extend(properties);
        }
        body.extend(payload);
        packet(0x30 | flags, &body)
    }

    pub(super) async fn publish(&mut self, flags: u8, properties: &[u8], topic: &str, payload: &str) {
        let bytes = self.message(flags, 77, properties, topic, payload.as_bytes());
        self.send(&bytes).await;
    }

    /// Publishes with QoS 1, and returns the reason code of PUBACK.
    pub(super) async fn publish_qos1(&mut self, flags: u8, properties: &[u8], topic: &str, payload: &str) -> u8 {
        self.publish(flags | 2, properties, topic, payload).await;
        let (first, answer) = self.packet().await;
        assert_eq!((first, &answer[..2]), (0x40, &[0, 77][..]));
        answer.get(2).copied().unwrap_or(0)
    }

    /// Returns the next packet, which must be PUBLISH.
    pub(super) async fn next(&mut self) -> ReceivedPublish {
        let (first, body) = self.packet().await;
        assert_eq!(first >> 4, 3, "{first:x} {body:?}");
        let mut at = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
        let topic = String::from_utf8(body[2..at].to_vec()).unwrap();
        let mut id = 0;
        if first & 6 != 0 {
            id = u16::from_be_bytes([body[at], body[at + 1]]);
            at += 2;
        }
        let mut properties = Vec::new();
        if self.version == 5 {
            let count = usize::from(body[at]);
            properties = body[at + 1..=at + count].to_vec();
            at += 1 + count;
        }
        let payload = String::from_utf8_lossy(&body[at..]).into_owned();
        ReceivedPublish { flags: first & 15, topic, id, properties, payload }
    }

    /// Sends PUBACK, PUBREC, PUBREL or PUBCOMP.
    pub(super) async fn ack(&mut self, first: u8, id: u16) {
        self.send(&packet(first, &id.to_be_bytes())).await;
    }

    /// Expects PUBACK, PUBREC, PUBREL or PUBCOMP.
    pub(super) async fn expect_ack(&mut self, first: u8, id: u16) {
        assert_eq!(self.packet().await, (first, id.to_be_bytes().to_vec()));
    }

    /// Sends DISCONNECT, and waits until the broker closes the connection.
    pub(super) async fn disconnect(mut self) {
        self.send(&[0xe0, 0]).await;
        while self.maybe_packet().await.is_some() {}
    }

    /// Closes the connection without DISCONNECT.
    pub(super) async fn drop_connection(mut self) {
        self.tcp.shutdown().await.unwrap();
        while self.maybe_packet().await.is_some() {}
    }
}

/// A received PUBLISH.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ReceivedPublish {
    pub(super) flags: u8,
    pub(super) topic: String,
    pub(super) id: u16,
    pub(super) properties: Vec<u8>,
    pub(super) payload: String,
}
