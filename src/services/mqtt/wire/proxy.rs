//! Connections through an HTTP or SOCKS 5 proxy.

use std::io;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::services::mqtt::settings::Proxy;

/// Limit of an HTTP proxy's response header, in bytes.
const MAX_RESPONSE: usize = 16 << 10;

/// Has a proxy connect to a host.
pub(super) async fn connect_through(tcp: &mut TcpStream, proxy: &Proxy, host: &str, port: u16) -> io::Result<()> {
    let connected = match proxy.is_socks {
        true => socks(tcp, proxy, host, port).await,
        false => http(tcp, proxy, host, port).await,
    };
    connected.map_err(|error| io::Error::new(error.kind(), format!("the proxy {}:{}: {error}", proxy.host, proxy.port)))
}

/// Source: RFC 9110, section 9.3.6 (CONNECT), RFC 7617 (Basic).
async fn http(tcp: &mut TcpStream, proxy: &Proxy, host: &str, port: u16) -> io::Result<()> {
    let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let login = proxy.login.as_ref().map(|(user, password)| {
        let credentials = STANDARD.encode(format!("{user}:{}", password.expose()));
        format!("Proxy-Authorization: Basic {credentials}\r\n")
    });
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{}\r\n", login.unwrap_or_default());
    tcp.write_all(request.as_bytes()).await?;
    let mut response = Vec::new();
    // One byte at a time: bytes after the empty line belong to the broker.
    while !response.ends_with(b"\r\n\r\n") {
        response.push(tcp.read_u8().await?);
        if response.len() > MAX_RESPONSE {
            return Err(io::Error::other("its response header is too long"));
        }
    }
    let response = String::from_utf8_lossy(&response);
    let status_line = response.lines().next().unwrap_or_default();
    match status_line.split_whitespace().nth(1) {
        Some(status) if status.starts_with('2') => Ok(()),
        _ => Err(io::Error::other(format!("it answers {status_line:?}"))),
    }
}

/// Source: RFC 1928 (SOCKS 5), RFC 1929 (user and password).
async fn socks(tcp: &mut TcpStream, proxy: &Proxy, host: &str, port: u16) -> io::Result<()> {
    let method = if proxy.login.is_some() { 2 } else { 0 };
    tcp.write_all(&[5, 1, method]).await?;
    let mut chosen = [0; 2];
    tcp.read_exact(&mut chosen).await?;
    if chosen != [5, method] {
        return Err(io::Error::other("it requires another authentication method (`proxy`)"));
    }
    if let Some((user, password)) = &proxy.login {
        let mut login = vec![1];
        for text in [user.as_str(), password.expose()] {
            login.extend(with_length(text)?);
        }
        tcp.write_all(&login).await?;
        let mut answer = [0; 2];
        tcp.read_exact(&mut answer).await?;
        if answer[1] != 0 {
            return Err(io::Error::other("the user or the password is wrong (`proxy`)"));
        }
    }
    let mut request = vec![5, 1, 0];
    match host.parse() {
        Ok(IpAddr::V4(address)) => request.extend([&[1][..], &address.octets()].concat()),
        Ok(IpAddr::V6(address)) => request.extend([&[4][..], &address.octets()].concat()),
        Err(_) => request.extend([vec![3], with_length(host)?].concat()),
    }
    request.extend(port.to_be_bytes());
    tcp.write_all(&request).await?;
    read_socks_reply(tcp).await
}

async fn read_socks_reply(tcp: &mut TcpStream) -> io::Result<()> {
    let mut head = [0; 4];
    tcp.read_exact(&mut head).await?;
    let why = match head[1] {
        0 => None,
        2 => Some("it does not allow this connection"),
        3 => Some("the network is unreachable"),
        4 => Some("the host is unreachable"),
        5 => Some("the connection was refused"),
        _ => Some("it cannot connect"),
    };
    if let Some(why) = why {
        return Err(io::Error::other(why));
    }
    let address_bytes = match head[3] {
        1 => 4,
        4 => 16,
        _ => tcp.read_u8().await?.into(),
    };
    tcp.read_exact(&mut vec![0; address_bytes + 2]).await?;
    Ok(())
}

/// Returns text after its length in one byte.
fn with_length(text: &str) -> io::Result<Vec<u8>> {
    let length = u8::try_from(text.len()).map_err(|_| io::Error::other("a name of more than 255 bytes"))?;
    Ok([&[length], text.as_bytes()].concat())
}
