//! The way through a proxy.

use std::io;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::services::mqtt::settings::Proxy;

/// The longest answer of an HTTP proxy.
const MAX_ANSWER: usize = 16 << 10;

/// Asks a proxy to connect to a host.
pub(super) async fn pass(tcp: &mut TcpStream, proxy: &Proxy, host: &str, port: u16) -> io::Result<()> {
    let passed = match proxy.is_socks {
        true => socks(tcp, proxy, host, port).await,
        false => http(tcp, proxy, host, port).await,
    };
    passed.map_err(|error| io::Error::new(error.kind(), format!("the proxy {}:{}: {error}", proxy.host, proxy.port)))
}

/// Source: RFC 9110, section 9.3.6 (CONNECT), RFC 7617 (Basic).
async fn http(tcp: &mut TcpStream, proxy: &Proxy, host: &str, port: u16) -> io::Result<()> {
    let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let login = proxy.login.as_ref().map(|(user, password)| {
        let both = STANDARD.encode(format!("{user}:{}", password.expose()));
        format!("Proxy-Authorization: Basic {both}\r\n")
    });
    let question = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{}\r\n", login.unwrap_or_default());
    tcp.write_all(question.as_bytes()).await?;
    let mut answer = Vec::new();
    // One byte at a time: what follows the empty line is the broker's.
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(tcp.read_u8().await?);
        if answer.len() > MAX_ANSWER {
            return Err(io::Error::other("its answer does not end"));
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    let first = answer.lines().next().unwrap_or_default();
    match first.split_whitespace().nth(1) {
        Some(status) if status.starts_with('2') => Ok(()),
        _ => Err(io::Error::other(format!("it answers {first:?}"))),
    }
}

/// Source: RFC 1928 (SOCKS 5), RFC 1929 (user and password).
async fn socks(tcp: &mut TcpStream, proxy: &Proxy, host: &str, port: u16) -> io::Result<()> {
    let method = if proxy.login.is_some() { 2 } else { 0 };
    tcp.write_all(&[5, 1, method]).await?;
    let mut chosen = [0; 2];
    tcp.read_exact(&mut chosen).await?;
    if chosen != [5, method] {
        return Err(io::Error::other("it wants another login (`proxy`)"));
    }
    if let Some((user, password)) = &proxy.login {
        let mut login = vec![1];
        for text in [user.as_str(), password.expose()] {
            login.extend(short(text)?);
        }
        tcp.write_all(&login).await?;
        let mut answer = [0; 2];
        tcp.read_exact(&mut answer).await?;
        if answer[1] != 0 {
            return Err(io::Error::other("the user or the password is wrong (`proxy`)"));
        }
    }
    let mut question = vec![5, 1, 0];
    match host.parse() {
        Ok(IpAddr::V4(address)) => question.extend([&[1][..], &address.octets()].concat()),
        Ok(IpAddr::V6(address)) => question.extend([&[4][..], &address.octets()].concat()),
        Err(_) => question.extend([vec![3], short(host)?].concat()),
    }
    question.extend(port.to_be_bytes());
    tcp.write_all(&question).await?;
    socks_answer(tcp).await
}

async fn socks_answer(tcp: &mut TcpStream) -> io::Result<()> {
    let mut head = [0; 4];
    tcp.read_exact(&mut head).await?;
    let why = match head[1] {
        0 => None,
        2 => Some("it does not allow this"),
        3 => Some("the network is unreachable"),
        4 => Some("the host is unreachable"),
        5 => Some("the connection was refused"),
        _ => Some("it can not connect"),
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

/// Text behind its length in one byte.
fn short(text: &str) -> io::Result<Vec<u8>> {
    let length = u8::try_from(text.len()).map_err(|_| io::Error::other("a name of more than 255 bytes"))?;
    Ok([&[length], text.as_bytes()].concat())
}
