//! Transports to a broker: WebSockets, Unix domain sockets, TLS with client certificates, proxies; and wills.

use std::path::Path;
use std::process::Command;

use rhaid::config::{Tls, Will};
use rhaid::secrets::Secret;
use rhaid::services::mqtt::{BrokerAddress, Proxy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::mosquitto::{self, Listener, Mosquitto};
use super::*;

/// Publishes messages of 200 kB at every QoS and waits for their delivery.
async fn round_trip(settings: ConnectionSettings) {
    let mqtt = connect(settings);
    let mut all = subscribe(&mqtt, "a/#", 1, Retained::Live).await;
    let payload = "x".repeat(200_000);
    for qos in 0..=2 {
        publish(&mqtt, "a/温度", &payload, qos, false).await;
        assert_eq!(next(&mut all).await.payload, payload);
    }
    assert_eq!(within_timeout(mqtt.close()).await, 0);
}

fn at(settings: ConnectionSettings, port: u16, websocket: Option<&str>, proxy: Option<Proxy>) -> ConnectionSettings {
    let address = BrokerAddress::Host { host: "127.0.0.1".into(), port, websocket: websocket.map(Into::into), proxy };
    ConnectionSettings { address, ..settings }
}

/// Creates a CA, and certificates for a server at 127.0.0.1 and for a client.
pub(super) fn make_certificates(folder: &Path) {
    let openssl = |arguments: &[&str]| {
        let made = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    openssl(&[
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=ca", "-keyout", "ca.key", "-out",
        "ca.pem",
    ]);
    std::fs::write(folder.join("server.txt"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    std::fs::write(folder.join("client.txt"), "extendedKeyUsage=clientAuth\n").unwrap();
    for name in ["server", "client"] {
        let (key, request, made, more) =
            (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"), format!("{name}.txt"));
        openssl(&[
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            &format!("/CN={name}"),
            "-keyout",
            &key,
            "-out",
            &request,
        ]);
        openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            &more,
            "-out",
            &made,
        ]);
    }
}

pub(super) fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_carries_messages_of_any_size() {
    let port = free_port();
    let broker = Mosquitto::start(&format!("listener {port} 127.0.0.1\nprotocol websockets"));
    for (protocol, id) in BOTH {
        round_trip(at(settings(broker.address, id, protocol), port, Some("/mqtt"), None)).await;
    }
    // Without a WebSocket listener there is no connection.
    let mqtt = connect(at(settings(broker.address, "x", Protocol::V5), broker.address.port(), Some("/mqtt"), None));
    let refused = timeout(Duration::from_secs(2), mqtt.publish(message("t", "x", 1, false))).await;
    assert!(refused.is_err(), "{:?}", mqtt.states());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_carries_messages_of_any_size() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("m.sock");
    let broker = Mosquitto::start(&format!("listener 0 {}", socket.display()));
    for (protocol, id) in BOTH {
        round_trip(ConnectionSettings {
            address: BrokerAddress::Socket(socket.clone()),
            ..settings(broker.address, id, protocol)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_sent_on_request_also_with_websockets() {
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let port = free_port();
    let files = format!(
        "cafile {0}/ca.pem\ncertfile {0}/server.pem\nkeyfile {0}/server.key\nrequire_certificate true\n",
        folder.path().display()
    );
    let broker = Mosquitto::start(&format!("{files}listener {port} 127.0.0.1\nprotocol websockets\n{files}"));
    let file = |name: &str| Some(folder.path().join(name));
    let with = Tls {
        ca: file("ca.pem"),
        certificate: file("client.pem"),
        key: file("client.key"),
        alpn: vec!["mqtt".into()],
        insecure: false,
    };
    for (protocol, id) in BOTH {
        let secured = ConnectionSettings { tls: Some(with.clone()), ..settings(broker.address, id, protocol) };
        round_trip(secured.clone()).await;
        round_trip(at(secured, port, Some("/"), None)).await;
    }
    let without = Tls { certificate: None, key: None, ..with };
    let mqtt = connect(ConnectionSettings { tls: Some(without), ..settings(broker.address, "x", Protocol::V5) });
    let refused = timeout(Duration::from_secs(2), mqtt.publish(message("t", "x", 1, false))).await;
    assert!(refused.is_err(), "{:?}", mqtt.states());
}

/// Starts an HTTP or SOCKS 5 proxy for one client, with the user `me` and the password `sesame`.
pub(super) async fn proxy(is_socks: bool) -> (Proxy, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let login = Some(("me".into(), Secret::new("sesame")));
    let proxy = Proxy { is_socks, host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port(), login };
    let task = tokio::spawn(async move {
        let mut client = listener.accept().await.unwrap().0;
        let mut broker = if is_socks { socks(&mut client).await } else { http(&mut client).await };
        // Either side may close the connection.
        let _ = copy_bidirectional(&mut client, &mut broker).await;
    });
    (proxy, task)
}

async fn http(client: &mut TcpStream) -> TcpStream {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(client.read_u8().await.unwrap());
    }
    let request = String::from_utf8(request).unwrap();
    assert!(request.contains("\r\nProxy-Authorization: Basic bWU6c2VzYW1l\r\n"), "{request}");
    let target = request.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap();
    let broker = TcpStream::connect(target).await.unwrap();
    client.write_all(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n").await.unwrap();
    broker
}

async fn socks(client: &mut TcpStream) -> TcpStream {
    let mut methods = [0; 3];
    client.read_exact(&mut methods).await.unwrap();
    assert_eq!(methods, [5, 1, 2]);
    client.write_all(&[5, 2]).await.unwrap();
    let mut login = [0; 11];
    client.read_exact(&mut login).await.unwrap();
    assert_eq!(&login, b"\x01\x02me\x06sesame");
    client.write_all(&[1, 0]).await.unwrap();
    let mut request = [0; 10];
    client.read_exact(&mut request).await.unwrap();
    assert_eq!(request[..8], [5, 1, 0, 1, 127, 0, 0, 1]);
    let broker = TcpStream::connect(("127.0.0.1", u16::from_be_bytes([request[8], request[9]]))).await.unwrap();
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
    broker
}

#[tokio::test(flavor = "multi_thread")]
async fn http_and_socks_proxies_are_used() {
    let broker = Mosquitto::start("");
    for is_socks in [false, true] {
        let (proxy, task) = proxy(is_socks).await;
        let direct = settings(broker.address, "one", Protocol::V5);
        round_trip(at(direct, broker.address.port(), None, Some(proxy))).await;
        within_timeout(task).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_will_is_published_after_a_lost_connection_and_not_after_a_disconnect() {
    let broker = Mosquitto::start("");
    for (protocol, id) in BOTH {
        let listener = Listener::start(broker.address, &["-t", "will/#", "-q", "1", "-F", "%t %q %r %p"]);
        let topic = format!("will/{id}");
        let will = Will { topic: topic.clone(), payload: "go\u{e9}".into(), qos: 1, retain: true, ..Will::default() };
        let with_will = ConnectionSettings { will: Some(will), ..settings(broker.address, id, protocol) };
        let leaving = connect(with_will.clone());
        publish(&leaving, "will/marker", "1", 1, false).await;
        leaving.close().await;
        let taken_over = connect(with_will);
        publish(&taken_over, "will/marker", "2", 1, false).await;
        // Another client with the same id: the broker closes our session without a DISCONNECT of ours.
        mosquitto::publish(broker.address, &["-i", id, "-t", "will/marker", "-m", "3", "-q", "1"]);
        let lines: Vec<_> = (0..4).map(|_| listener.line()).collect();
        assert!(lines.contains(&format!("{topic} 1 0 go\u{e9}")), "{lines:?}");
        assert_eq!(lines.iter().filter(|line| line.starts_with("will/marker")).count(), 3);
        taken_over.close().await;
        mosquitto::publish(broker.address, &["-t", &topic, "-n", "-r"]);
    }
}
