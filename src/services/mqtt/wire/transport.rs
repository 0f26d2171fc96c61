//! Transports: TCP or a Unix domain socket, with proxy, TLS and WebSocket on top.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rumqttc::mqttbytes::v4;
use rumqttc::tokio_rustls::TlsConnector;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::services::mqtt::settings::{BrokerAddress, ConnectionSettings};
use crate::services::mqtt::stream::Stream;
use crate::services::mqtt::wire::quick_ack::QuickAck;
use crate::services::mqtt::wire::{proxy, tls, websocket};

/// Timeout of a connection attempt to one address.
const PER_ADDRESS: Duration = Duration::from_secs(5);

/// Opens a stream to a broker.
pub(in crate::services::mqtt) async fn open(settings: &ConnectionSettings) -> io::Result<Box<dyn Stream>> {
    if let Some(connector) = &settings.connector {
        return Ok(connector.open());
    }
    let (host, port, websocket, proxy) = match &settings.address {
        BrokerAddress::Socket(path) => return open_socket(path).await,
        BrokerAddress::Host { host, port, websocket, proxy } => (host, *port, websocket, proxy),
    };
    let tcp = match proxy {
        None => connect_tcp(host, port).await?,
        Some(proxy) => {
            let mut tcp = connect_tcp(&proxy.host, proxy.port).await?;
            proxy::connect_through(&mut tcp, proxy, host, port).await?;
            tcp
        }
    };
    // With Nagle's algorithm, QoS 1 would wait 40 ms for each acknowledgement.
    tcp.set_nodelay(true)?;
    let tcp = QuickAck(tcp);
    let stream: Box<dyn Stream> = match &settings.tls {
        None => Box::new(tcp),
        Some(tls) => {
            let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            Box::new(TlsConnector::from(Arc::new(tls::client_config(tls)?)).connect(name, tcp).await?)
        }
    };
    match websocket {
        None => Ok(stream),
        Some(_) => websocket::wrap(stream, settings).await,
    }
}

#[cfg(unix)]
async fn open_socket(path: &Path) -> io::Result<Box<dyn Stream>> {
    Ok(Box::new(tokio::net::UnixStream::connect(path).await?))
}

#[cfg(not(unix))]
async fn open_socket(path: &Path) -> io::Result<Box<dyn Stream>> {
    Err(io::Error::other(format!("{}: this system has no Unix domain sockets", path.display())))
}

/// Returns whether the listener at an address answers CONNECT as an MQTT broker does.
pub(in crate::services::mqtt) async fn speaks_mqtt(address: SocketAddr) -> bool {
    let probe = async {
        let mut tcp = TcpStream::connect(address).await?;
        let mut connect = BytesMut::new();
        v4::Packet::Connect(v4::Connect::new("rhaid-probe"))
            .write(&mut connect, usize::MAX)
            .map_err(io::Error::other)?;
        tcp.write_all(&connect).await?;
        let mut answer = [0; 4];
        tcp.read_exact(&mut answer).await?;
        io::Result::Ok(answer)
    };
    // A CONNACK of two bytes, whether it accepts the connection or not.
    matches!(timeout(PER_ADDRESS, probe).await, Ok(Ok([0x20, 2, 0 | 1, _])))
}

/// Connects to the first address of a host that accepts.
async fn connect_tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("`{host}` has no address"));
    for address in lookup_host((host, port)).await? {
        match timeout(PER_ADDRESS, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, format!("no answer from {address}")),
        }
    }
    Err(last)
}
