//! Tests of the bytes that are sent before CONNECT: WebSocket handshake and TLS.

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::Tls;
use crate::secrets::Secret;
use crate::services::mqtt::BrokerAddress;

/// Has a client connect to a listener; returns the accepted stream.
async fn connected(change: impl FnOnce(&mut ConnectionSettings)) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = settings(listener.local_addr().unwrap(), "x");
    change(&mut settings);
    let mqtt = connect(settings);
    let _delivery = mqtt.send(Publish { topic: "t".into(), ..Publish::default() }).await.unwrap();
    soon(listener.accept()).await.unwrap().0
}

#[tokio::test]
async fn the_websocket_handshake_has_the_configured_headers() {
    let headers = vec![("Authorization".to_owned(), Secret::new("Bearer w0rd")), ("X-House".into(), Secret::new("7"))];
    let mut tcp = connected(|settings| {
        settings.headers = headers;
        let BrokerAddress::Host { websocket, .. } = &mut settings.address else { panic!("no host") };
        *websocket = Some("/mqtt?x=1".into());
    })
    .await;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(soon(tcp.read_u8()).await.unwrap());
    }
    let request = String::from_utf8(request).unwrap().to_lowercase();
    for line in ["authorization: bearer w0rd", "x-house: 7", "sec-websocket-protocol: mqtt"] {
        assert!(request.contains(&format!("\r\n{line}\r\n")), "{line} is missing in {request}");
    }
    assert!(request.starts_with("get /mqtt?x=1 "), "{request}");
}

#[tokio::test]
async fn the_tls_handshake_offers_the_configured_alpn_protocols() {
    let alpn = vec!["mqtt".to_owned(), "x-amzn-mqtt-ca".into()];
    let mut tcp = connected(|settings| settings.tls = Some(Tls { alpn, insecure: true, ..Tls::default() })).await;
    let mut head = [0; 5];
    soon(tcp.read_exact(&mut head)).await.unwrap();
    let mut hello = vec![0; u16::from_be_bytes([head[3], head[4]]).into()];
    soon(tcp.read_exact(&mut hello)).await.unwrap();
    let offered = b"\x04mqtt\x0ex-amzn-mqtt-ca";
    assert!(hello.windows(offered.len()).any(|part| part == offered), "{hello:x?}");
}
