//! Connections: TCP or a socket in the file system, and what is wrapped around them.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rumqttc::mqttbytes::v4;
use rumqttc::tokio_rustls::TlsConnector;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::services::mqtt::settings::{BrokerAddress, ConnectionSettings};
use crate::services::mqtt::wire::quick_ack::QuickAck;
use crate::services::mqtt::wire::{proxy, tls, websocket};

/// How long one address may take to answer.
const PER_ADDRESS: Duration = Duration::from_secs(5);

/// A connection of any sort.
pub(in crate::services::mqtt) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Opens a connection to a broker.
pub(in crate::services::mqtt) async fn open(settings: &ConnectionSettings) -> io::Result<Box<dyn Stream>> {
    let (host, port, websocket, proxy) = match &settings.address {
        BrokerAddress::Socket(path) => return socket(path).await,
        BrokerAddress::Host { host, port, websocket, proxy } => (host, *port, websocket, proxy),
    };
    let tcp = match proxy {
        None => dial(host, port).await?,
        Some(proxy) => {
            let mut tcp = dial(&proxy.host, proxy.port).await?;
            proxy::pass(&mut tcp, proxy, host, port).await?;
            tcp
        }
    };
    // Without this, QoS 1 waits 40 ms for each acknowledgement.
    tcp.set_nodelay(true)?;
    let tcp = QuickAck(tcp);
    let stream: Box<dyn Stream> = match &settings.tls {
        None => Box::new(tcp),
        Some(tls) => {
            let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            Box::new(TlsConnector::from(Arc::new(tls::client(tls)?)).connect(name, tcp).await?)
        }
    };
    match websocket {
        None => Ok(stream),
        Some(_) => websocket::wrap(stream, settings).await,
    }
}

#[cfg(unix)]
async fn socket(path: &Path) -> io::Result<Box<dyn Stream>> {
    Ok(Box::new(tokio::net::UnixStream::connect(path).await?))
}

#[cfg(not(unix))]
async fn socket(path: &Path) -> io::Result<Box<dyn Stream>> {
    Err(io::Error::other(format!("{}: this system has no such sockets", path.display())))
}

/// Returns whether whoever listens there answers an MQTT greeting as a broker does.
pub(in crate::services::mqtt) async fn speaks_mqtt(address: SocketAddr) -> bool {
    let ask = async {
        let mut tcp = TcpStream::connect(address).await?;
        let mut greeting = BytesMut::new();
        v4::Packet::Connect(v4::Connect::new("rhaid-probe"))
            .write(&mut greeting, usize::MAX)
            .map_err(io::Error::other)?;
        tcp.write_all(&greeting).await?;
        let mut answer = [0; 4];
        tcp.read_exact(&mut answer).await?;
        io::Result::Ok(answer)
    };
    // A CONNACK of two bytes, whether it lets us in or not.
    matches!(timeout(PER_ADDRESS, ask).await, Ok(Ok([0x20, 2, 0 | 1, _])))
}

/// Tries the addresses of a name, one after another.
async fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
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
