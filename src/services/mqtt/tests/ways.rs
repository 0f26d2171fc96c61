//! What is said before MQTT begins.

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::Tls;
use crate::secrets::Secret;
use crate::services::mqtt::BrokerAddress;

/// Lets a client that has something to send call; returns the connection.
async fn called(change: impl FnOnce(&mut ConnectionSettings)) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = settings(listener.local_addr().unwrap(), "x");
    change(&mut settings);
    let mqtt = connect(settings);
    let _waits = mqtt.send(Publish { topic: "t".into(), ..Publish::default() }).await.unwrap();
    soon(listener.accept()).await.unwrap().0
}

#[tokio::test]
async fn a_websocket_is_asked_for_with_the_headers_that_were_written() {
    let headers = vec![("Authorization".to_owned(), Secret::new("Bearer w0rd")), ("X-House".into(), Secret::new("7"))];
    let mut tcp = called(|settings| {
        settings.headers = headers;
        let BrokerAddress::Host { websocket, .. } = &mut settings.address else { panic!("no host") };
        *websocket = Some("/mqtt?x=1".into());
    })
    .await;
    let mut question = Vec::new();
    while !question.ends_with(b"\r\n\r\n") {
        question.push(soon(tcp.read_u8()).await.unwrap());
    }
    let question = String::from_utf8(question).unwrap().to_lowercase();
    for line in ["authorization: bearer w0rd", "x-house: 7", "sec-websocket-protocol: mqtt"] {
        assert!(question.contains(&format!("\r\n{line}\r\n")), "{line} is missing in {question}");
    }
    assert!(question.starts_with("get /mqtt?x=1 "), "{question}");
}

#[tokio::test]
async fn tls_begins_with_the_protocols_that_were_written() {
    let alpn = vec!["mqtt".to_owned(), "x-amzn-mqtt-ca".into()];
    let mut tcp = called(|settings| settings.tls = Some(Tls { alpn, insecure: true, ..Tls::default() })).await;
    let mut head = [0; 5];
    soon(tcp.read_exact(&mut head)).await.unwrap();
    let mut hello = vec![0; u16::from_be_bytes([head[3], head[4]]).into()];
    soon(tcp.read_exact(&mut hello)).await.unwrap();
    let offered = b"\x04mqtt\x0ex-amzn-mqtt-ca";
    assert!(hello.windows(offered.len()).any(|part| part == offered), "{hello:x?}");
}
