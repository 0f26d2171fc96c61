//! The embedded broker, tested with mosquitto's clients.

use std::process::{Command, Stdio};

use rhaid::config::Certificate;
use rhaid::services::mqtt::Embedded;
use tempfile::TempDir;

use super::mosquitto::{Listener, publish, try_publish};
use super::transports::make_certificates;
use super::*;

/// Starts a broker on a free port, with its own data folder.
pub(super) async fn broker() -> (TempDir, Embedded, SocketAddr) {
    let data = tempfile::tempdir().unwrap();
    let mut config = Config::default_in(data.path()).mqtt;
    config.embedded.listen.set_port(0);
    let broker = Embedded::start(&config, data.path()).await.unwrap();
    let address = broker.address();
    (data, broker, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_delivered_with_the_lower_qos() {
    let (_data, _broker, address) = broker().await;
    for version in ["311", "5"] {
        for (granted, sent, expected) in [("0", "2", "0 x"), ("1", "2", "1 x"), ("2", "1", "1 x"), ("2", "2", "2 x")] {
            let listener = Listener::start(address, &["-V", version, "-t", "温度/+", "-q", granted, "-F", "%q %p"]);
            publish(address, &["-t", "温度/1", "-m", "x", "-q", sent]);
            assert_eq!(listener.line(), expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retained_messages_are_kept_until_they_are_cleared() {
    let (_data, _broker, address) = broker().await;
    publish(address, &["-t", "r", "-m", "kept", "-r"]);
    publish(address, &["-t", "r", "-n"]);
    assert_eq!(Listener::start(address, &["-t", "r", "-F", "%r %p"]).line(), "1 kept");
    publish(address, &["-t", "r", "-n", "-r"]);
    assert!(Listener::start(address, &["-t", "r"]).rest().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_retained_messages_are_all_delivered() {
    let (_data, broker, address) = broker().await;
    let mqtt = client(broker.address(), "sender", Protocol::Newest);
    for number in 0..500 {
        within_timeout(mqtt.publish(message(&format!("many/{number}"), "x", 1, true))).await.unwrap();
    }
    for version in ["311", "5"] {
        let listener = Listener::start(address, &["-V", version, "-t", "many/#", "-q", "1", "-F", "%t %p"]);
        let mut delivered: Vec<_> = (0..500).map(|_| listener.line()).collect();
        let mut expected: Vec<_> = (0..500).map(|number| format!("many/{number} x")).collect();
        delivered.sort();
        expected.sort();
        assert_eq!(delivered, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_will_of_a_killed_client_is_published() {
    let (_data, _broker, address) = broker().await;
    let listener = Listener::start(address, &["-t", "will/#", "-F", "%t %p"]);
    let dying = Listener::start(address, &["-t", "nothing", "--will-topic", "will/x", "--will-payload", "gone"]);
    drop(dying);
    assert_eq!(listener.line(), "will/x gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_queued_for_an_offline_session() {
    let (_data, _broker, address) = broker().await;
    let session = ["-i", "session", "-c", "-q", "1", "-t", "off"];
    drop(Listener::start(address, &session));
    for payload in ["1", "2", "3"] {
        publish(address, &["-t", "off", "-q", "1", "-m", payload]);
    }
    let listener = Command::new("mosquitto_sub")
        .args(["-h", "127.0.0.1", "-p", &address.port().to_string(), "-C", "3", "-W", "60"])
        .args(session)
        .stderr(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&listener.stdout), "1\n2\n3\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_subscription_delivers_each_message_once() {
    let (_data, _broker, address) = broker().await;
    let listeners = [(); 2].map(|()| Listener::start(address, &["-t", "$share/g/s"]));
    let other = Listener::start(address, &["-t", "$share/g/+"]);
    for number in 0..10 {
        publish(address, &["-t", "s", "-m", &number.to_string()]);
    }
    let mut all: Vec<_> = listeners.iter().flat_map(Listener::rest).collect();
    all.sort();
    assert_eq!(all, (0..10).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!(other.rest().len(), 10, "the same group name with another filter is another group");
}

#[tokio::test(flavor = "multi_thread")]
async fn mqtt_5_properties_arrive_and_are_removed_for_older_clients() {
    let (_data, _broker, address) = broker().await;
    let old = Listener::start(address, &["-V", "311", "-t", "p"]);
    let mqtt = client(address, "one", Protocol::V5);
    let mut new = subscribe(&mqtt, "p", 0, Retained::Live).await;
    let properties = ["-D", "publish", "content-type", "text/plain", "-D", "publish", "user-property", "a", "b"];
    publish(address, &[&["-V", "5", "-t", "p", "-m", "x"][..], &properties].concat());
    assert_eq!(old.line(), "x");
    let message = next(&mut new).await;
    assert_eq!(message.properties["content_type"], "text/plain".into());
    let rhaid::value::Value::Map(user) = &message.properties["user_properties"] else { panic!("{message:?}") };
    assert_eq!(user, &rhaid::value::Map::from([("a".to_owned(), "b".into())]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_garbage_does_not_affect_others() {
    let (_data, _broker, address) = broker().await;
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 300], &[0x10, 0xff, 0xff, 0xff, 0x7f], &[0x10, 0]] {
        let mut tcp = std::net::TcpStream::connect(address).unwrap();
        std::io::Write::write_all(&mut tcp, garbage).unwrap();
    }
    let listener = Listener::start(address, &["-t", "t"]);
    publish(address, &["-t", "t", "-m", "delivered"]);
    assert_eq!(listener.line(), "delivered");
}

#[tokio::test(flavor = "multi_thread")]
async fn client_ids_with_any_characters_are_accepted() {
    let (_data, _broker, address) = broker().await;
    for id in ["网关1", "esp:AA:BB", "a b", "a.b@c", "#+", "a/b"] {
        let receiver = format!("to {id}");
        let listener = Listener::start(address, &["-i", &receiver, "-t", "t", "-q", "1", "-F", "%q %p"]);
        publish(address, &["-i", id, "-t", "t", "-q", "1", "-m", id]);
        assert_eq!(listener.line(), format!("1 {id}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_works_for_other_clients_and_for_rhaid() {
    let data = tempfile::tempdir().unwrap();
    make_certificates(data.path());
    let mut config = Config::default_in(data.path()).mqtt;
    config.embedded.listen.set_port(0);
    config.embedded.tls =
        Some(Certificate { cert: data.path().join("server.pem"), key: data.path().join("server.key") });
    let broker = Embedded::start(&config, data.path()).await.unwrap();
    let ca = data.path().join("ca.pem");
    let listener = Listener::start(broker.address(), &["--cafile", ca.to_str().unwrap(), "-t", "t"]);
    let mqtt = connect(ConnectionSettings::new(&config, broker.address(), "one".into()).unwrap());
    for size in [1, 100_000] {
        publish_own(&mqtt, &"x".repeat(size)).await;
        assert_eq!(listener.line().len(), size);
    }
    // A client without TLS is refused.
    assert!(!try_publish(broker.address(), &["-t", "t", "-m", "plain"]).status.success());
    broker.stop().await;
    config.embedded.tls.as_mut().unwrap().key = data.path().join("ca.pem");
    let why = Embedded::start(&config, data.path()).await.err().unwrap().to_string();
    assert!(why.contains("mqtt.embedded.tls") && why.contains("ca.pem"), "{why}");
}

async fn publish_own(mqtt: &Mqtt, payload: &str) {
    within_timeout(mqtt.publish(message("t", payload, 1, false))).await.unwrap();
}
