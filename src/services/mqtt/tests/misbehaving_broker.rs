//! A scripted MQTT 3.1.1 broker.

use bytes::BytesMut;
use rumqttc::mqttbytes::{QoS, v4};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A broker whose packets are sent by the test.
pub(super) struct MisbehavingBroker {
    listener: TcpListener,
}

/// The broker's side of a connection.
pub(super) struct ClientConnection {
    tcp: TcpStream,
    buffer: BytesMut,
    pub(super) connect: v4::Connect,
}

impl MisbehavingBroker {
    pub(super) async fn listen() -> Self {
        Self { listener: TcpListener::bind(("127.0.0.1", 0)).await.unwrap() }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Accepts a connection and closes it after the first byte.
    pub(super) async fn accept_and_close(&self) {
        let (mut tcp, _) = soon(self.listener.accept()).await.unwrap();
        soon(tcp.read_u8()).await.unwrap();
    }

    /// Accepts a connection and its CONNECT.
    pub(super) async fn accept(&self, session_present: bool) -> ClientConnection {
        let (tcp, _) = soon(self.listener.accept()).await.unwrap();
        let connect = v4::Connect::new("");
        let mut peer = ClientConnection { tcp, buffer: BytesMut::new(), connect };
        let v4::Packet::Connect(connect) = peer.read().await else { panic!("no CONNECT") };
        peer.connect = connect;
        peer.write(v4::Packet::ConnAck(v4::ConnAck::new(v4::ConnectReturnCode::Success, session_present))).await;
        peer
    }
}

impl ClientConnection {
    pub(super) async fn read(&mut self) -> v4::Packet {
        soon(self.read_or_end()).await.expect("the client closed the connection")
    }

    /// Returns the next packet; `None` when the client closes the connection.
    pub(super) async fn read_or_end(&mut self) -> Option<v4::Packet> {
        loop {
            match v4::Packet::read(&mut self.buffer, usize::MAX) {
                Ok(packet) => return Some(packet),
                Err(rumqttc::mqttbytes::Error::InsufficientBytes(_)) => {}
                Err(error) => panic!("{error}"),
            }
            if self.tcp.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    pub(super) async fn write(&mut self, packet: v4::Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, usize::MAX).unwrap();
        self.tcp.write_all(&bytes).await.unwrap();
    }

    /// Reads a SUBSCRIBE, grants it, and returns its filters.
    pub(super) async fn grant(&mut self) -> Vec<String> {
        let v4::Packet::Subscribe(subscribe) = self.read().await else { panic!("no SUBSCRIBE") };
        let codes = subscribe.filters.iter().map(|filter| v4::SubscribeReasonCode::Success(filter.qos)).collect();
        self.write(v4::Packet::SubAck(v4::SubAck::new(subscribe.pkid, codes))).await;
        subscribe.filters.into_iter().map(|filter| filter.path).collect()
    }

    /// Sends a message of QoS 1.
    pub(super) async fn send(&mut self, topic: &str, payload: &str, id: u16, dup: bool) {
        let mut publish = v4::Publish::new(topic, QoS::AtLeastOnce, payload);
        (publish.pkid, publish.dup) = (id, dup);
        self.write(v4::Packet::Publish(publish)).await;
    }

    /// Reads a PUBLISH and returns its payload and packet identifier.
    pub(super) async fn message(&mut self) -> (String, u16) {
        let v4::Packet::Publish(publish) = self.read().await else { panic!("no PUBLISH") };
        (String::from_utf8(publish.payload.to_vec()).unwrap(), publish.pkid)
    }
}
