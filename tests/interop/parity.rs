//! Feature parity with paho-mqtt: each feature in a script or in `rhaid.yaml`, tested with paho-mqtt or mosquitto's clients.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::http::python;
use super::mosquitto::{self, Listener, Mosquitto};
use super::process::{Home, Process};
use super::transports::{free_port, make_certificates, proxy};
use super::*;

/// Starts rhaid with a script and lines of `rhaid.yaml`.
fn start(script: &str, yaml: &str, variables: &[(&str, &str)]) -> (Home, Process) {
    let home = Home::new(&[("parity.rhai", script)]);
    fs::write(home.path().join("rhaid.yaml"), yaml).unwrap();
    let mut process = home.spawn(variables);
    process.expect("is live");
    (home, process)
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_have_the_features_of_paho() {
    let broker = Mosquitto::start("");
    for version in ["3.1.1", "5"] {
        let yaml = format!("mqtt: {{ url: \"mqtt://{}\", protocol: {version} }}\n", broker.address);
        let (_home, mut process) = start(include_str!("parity.rhai"), &yaml, &[]);
        process.expect("connected to");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/parity.py");
        let mut command = Command::new(python("python"));
        command.args([script, &broker.address.port().to_string(), version]);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "MQTT {version}\n{stdout}{stderr}\n{}", process.output());
        assert_eq!(process.output().matches("lost the connection").count(), 0);
    }
}

/// Creates a password file with the user `house` and the password `sesame`; returns its path.
fn passwords(folder: &Path) -> String {
    let file = folder.join("passwords");
    let made = Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&file).args(["house", "sesame"]).status();
    assert!(made.unwrap().success());
    file.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one row for each transport")]
async fn every_transport_is_configured_in_rhaid_yaml() {
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let (tls, ws, wss) = (free_port(), free_port(), free_port());
    let socket = folder.path().join("m.sock");
    let at = folder.path().display();
    let files =
        format!("cafile {at}/ca.pem\ncertfile {at}/server.pem\nkeyfile {at}/server.key\nrequire_certificate true");
    let broker = Mosquitto::start(&format!(
        "allow_anonymous false\npassword_file {}\n\
         listener {tls} 127.0.0.1\n{files}\n\
         listener {ws} 127.0.0.1\nprotocol websockets\n\
         listener {wss} 127.0.0.1\nprotocol websockets\n{files}\n\
         listener 0 {}\n",
        passwords(folder.path()),
        socket.display()
    ));
    let ((http, _http), (socks, _socks)) = (proxy(false).await, proxy(true).await);
    let login = "username: house, password: \"${MQTT_PASSWORD}\"";
    let certificates =
        format!("tls: {{ ca: {at}/ca.pem, certificate: {at}/client.pem, key: {at}/client.key, alpn: [mqtt] }}");
    let yaml = format!(
        "mqtt:\n  brokers:\n    \
         plain: {{ url: \"mqtt://{address}\", {login} }}\n    \
         tls: {{ url: \"mqtts://127.0.0.1:{tls}\", {login}, {certificates} }}\n    \
         unchecked: {{ url: \"mqtts://127.0.0.1:{tls}\", {login}, tls: {{ insecure: true, certificate: {at}/client.pem, key: {at}/client.key }} }}\n    \
         ws: {{ url: \"ws://127.0.0.1:{ws}/mqtt\", {login}, headers: {{ X-House: attic }} }}\n    \
         wss: {{ url: \"wss://127.0.0.1:{wss}/mqtt\", {login}, {certificates} }}\n    \
         unix: {{ url: \"unix://{socket}\", {login} }}\n    \
         http: {{ url: \"mqtt://{address}\", {login}, proxy: \"http://me:sesame@127.0.0.1:{http_port}\" }}\n    \
         socks: {{ url: \"mqtts://127.0.0.1:{tls}\", {login}, {certificates}, proxy: \"socks5://me:sesame@127.0.0.1:{socks_port}\" }}\n",
        address = broker.address,
        socket = socket.display(),
        http_port = http.port,
        socks_port = socks.port,
    );
    let brokers = ["plain", "tls", "unchecked", "ws", "wss", "unix", "http", "socks"];
    let script = format!(
        r#"mqtt_subscribe("in/{{number}}", #{{ broker: {brokers:?}, qos: 1 }}, |msg| {{
            mqtt_publish(`out/${{msg.broker}}`, `${{msg.payload.len()}} ${{mqtt_connected(msg.broker)}}`, #{{ broker: msg.broker, qos: 1 }});
        }});"#
    );
    let listener =
        Listener::start(broker.address, &["-u", "house", "-P", "sesame", "-t", "out/#", "-q", "1", "-F", "%t %p"]);
    // Proxy variables of the environment do not apply to brokers.
    let proxies = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].map(|name| (name, "http://127.0.0.1:9"));
    let (_home, mut process) = start(&script, &yaml, &[&proxies[..], &[("MQTT_PASSWORD", "sesame")]].concat());
    for broker_name in brokers {
        until_logged(&mut process, broker_name);
    }
    let payload = "温".repeat(60_000);
    let file = folder.path().join("payload");
    fs::write(&file, &payload).unwrap();
    let sent = ["-u", "house", "-P", "sesame", "-q", "1", "-t", "in/1", "-f", file.to_str().unwrap()];
    // The subscriptions may come after the connections.
    let mut missing = Vec::from(brokers);
    let end = std::time::Instant::now() + TIMEOUT;
    while !missing.is_empty() {
        assert!(std::time::Instant::now() < end, "no message from {missing:?}: {}", process.output());
        mosquitto::publish(broker.address, &sent);
        for line in listener.rest() {
            let (topic, result) = line.split_once(' ').unwrap();
            assert_eq!(result, format!("{} true", 60_000), "{line}");
            missing.retain(|broker_name| topic.strip_prefix("out/") != Some(broker_name));
        }
    }
    assert!(!process.output().contains("sesame"), "{}", process.output());
}

/// A web server with TLS; killed when dropped.
struct WebServer(Child);

impl WebServer {
    fn start(folder: &Path, port: u16) -> Self {
        let accept = format!("127.0.0.1:{port}");
        let mut command = Command::new("openssl");
        command.args(["s_server", "-quiet", "-www", "-cert", "server.pem", "-key", "server.key", "-accept", &accept]);
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn https_and_mqtts_work_in_one_script() {
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let at = folder.path().display();
    let broker = Mosquitto::start(&format!("certfile {at}/server.pem\nkeyfile {at}/server.key"));
    let port = free_port();
    let _server = WebServer::start(folder.path(), port);
    let yaml = format!(
        "mqtt: {{ url: \"mqtts://{}\", tls: {{ ca: {at}/ca.pem }} }}\npermissions: {{ \"*\": {{ read: [\"{at}/**\"] }} }}\n",
        broker.address
    );
    let script = format!(
        r#"on_mqtt("connected", |change| {{
            for round in 0..3 {{
                let r = http_get("https://127.0.0.1:{port}/", #{{ verify: "{at}/ca.pem", retry: 5 }});
                mqtt_publish("status", r.status_code, #{{ qos: 1, timeout: "20s" }});
            }}
            print("both work");
        }});"#
    );
    let (_home, mut process) = start(&script, &yaml, &[]);
    process.expect("both work");
}

/// Waits until the connection to a broker is logged.
fn until_logged(process: &mut Process, broker: &str) {
    let end = std::time::Instant::now() + TIMEOUT;
    let is_it = |line: &str| line.contains("connected to") && line.contains(&format!("broker={broker}"));
    while !process.output().lines().any(is_it) {
        assert!(std::time::Instant::now() < end, "no connection to {broker}: {}", process.output());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_config_sets_the_fields_of_connect() {
    let broker = Mosquitto::start("log_dest file FOLDER/log\nlog_type notice\nconnection_messages true");
    for (version, known) in [("3.1.1", "p2"), ("5", "p5"), ("auto", "p5")] {
        for (clean_start, clean) in [("true", "c1"), ("false", "c0")] {
            let id = format!("网关-{known}-{clean}");
            let yaml = format!(
                "mqtt: {{ url: \"mqtt://{}\", protocol: {version}, client_id: {id}, clean_start: {clean_start}, \
                 keep_alive: 17s, username: house, password: sesame }}",
                broker.address
            );
            let (_home, mut process) = start("mqtt_subscribe(\"t\", |msg| ());", &yaml, &[]);
            process.expect("connected to");
            let line = format!("as {id} ({known}, {clean}, k17, u'house').");
            let end = std::time::Instant::now() + TIMEOUT;
            while !fs::read_to_string(broker.folder().join("log")).unwrap_or_default().contains(&line) {
                assert!(std::time::Instant::now() < end, "no {line:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Publishes until the script has received the message.
async fn publish_until_received(process: &mut Process, broker: SocketAddr, name: &str) {
    let (topic, end) = (format!("in/{name}"), std::time::Instant::now() + TIMEOUT);
    while !process.output().contains(&format!("received {name}")) {
        assert!(std::time::Instant::now() < end, "{name} was not received: {}", process.output());
        mosquitto::publish(broker, &["-q", "1", "-m", "x", "-t", &topic]);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_queues_messages_for_the_configured_session_expiry() {
    let broker = Mosquitto::start("");
    for (keys, is_queued) in [
        ("protocol: 5", true),
        ("protocol: 5, clean_start: true", false),
        ("protocol: 5, session_expiry: 1s", false),
        ("protocol: 3.1.1", true),
        ("protocol: 3.1.1, clean_start: true", false),
    ] {
        let yaml = format!("mqtt: {{ url: \"mqtt://{}\", {keys} }}", broker.address);
        let script = "mqtt_subscribe(\"in/{name}\", #{ qos: 1 }, |msg| print(`received ${msg.params.name}`));";
        let (home, mut process) = start(script, &yaml, &[]);
        publish_until_received(&mut process, broker.address, "before").await;
        process.kill();
        mosquitto::publish(broker.address, &["-q", "1", "-m", "x", "-t", "in/meanwhile"]);
        // Longer than the shortest session expiry; brokers check about once a second.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let mut process = home.spawn(&[]);
        process.expect("connected to");
        publish_until_received(&mut process, broker.address, "after").await;
        assert_eq!(process.output().contains("received meanwhile"), is_queued, "{keys}: {}", process.output());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configured_will_is_published_with_its_properties() {
    let broker = Mosquitto::start("");
    let form = "%t|%q|%p|%C|%R|%D|%E|%P";
    let listener = Listener::start(broker.address, &["-V", "5", "-t", "house/#", "-q", "2", "-F", form]);
    for (version, carried) in [("5", "text/plain|house/回答|x1|3600|room:attic"), ("3.1.1", "||||")] {
        let yaml = format!(
            "mqtt:\n  url: mqtt://{}\n  protocol: {version}\n  will:\n    topic: house/rhaid\n    payload: gone 了\n    \
             qos: 2\n    content_type: text/plain\n    response_topic: house/回答\n    correlation_data: x1\n    \
             message_expiry: 1h\n    user_properties: {{ room: attic }}\n",
            broker.address
        );
        let (_home, mut process) = start("mqtt_subscribe(\"t\", |msg| ());", &yaml, &[]);
        process.expect("connected to");
        process.kill();
        assert_eq!(listener.line(), format!("house/rhaid|2|gone 了|{carried}"));
    }
}

/// Publishes until a script that may not be subscribed yet responds; returns the response.
fn first_response(broker: &Mosquitto, topic: &str, listener: &Listener) -> String {
    let end = std::time::Instant::now() + TIMEOUT;
    loop {
        assert!(std::time::Instant::now() < end, "no response to {topic}");
        mosquitto::publish(broker.address, &["-q", "1", "-m", "x", "-t", topic]);
        if let Some(first) = listener.rest().into_iter().next() {
            return first;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_refused_by_the_broker_fails() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules");
    fs::write(&rules, "topic readwrite open/#\n").unwrap();
    let broker = Mosquitto::start(&format!("acl_file {}", rules.display()));
    let script = r#"
        fn try_publish(topic, qos) {
            try { mqtt_publish(topic, "x", #{ qos: qos, timeout: "20s" }); } catch (err) { return `${err.kind}: ${err.message}`; }
            "taken"
        }
        fn try_publish_later(topic) {
            let sent = mqtt_publish(topic, "x", #{ qos: 1, wait: false });
            for round in 0..2 {
                try { sent.wait("20s"); } catch (err) { if round == 1 { return `${err.kind} ${sent.is_confirmed()}`; } }
            }
            `taken ${sent.is_confirmed()}`
        }
        mqtt_subscribe("open/go", #{ qos: 1 }, |msg| {
            let all = [];
            for qos in 1..3 { for topic in ["open/x", "closed/x"] { all.push(try_publish(topic, qos)); } }
            for topic in ["open/x", "closed/x"] { all.push(try_publish_later(topic)); }
            mqtt_publish("open/results", all, #{ qos: 1 });
        });
    "#;
    let yaml = format!("mqtt: {{ url: \"mqtt://{}\", protocol: 5 }}", broker.address);
    let listener = Listener::start(broker.address, &["-t", "open/results", "-q", "1"]);
    let (_home, mut process) = start(script, &yaml, &[]);
    process.expect("connected to");
    let results = first_response(&broker, "open/go", &listener);
    let refused = "refused: the broker refused: not authorized";
    let expected = serde_json::json!(["taken", refused, "taken", refused, "taken true", "refused false"]).to_string();
    assert_eq!(results, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_messages_are_refused_or_skipped_without_a_disconnect() {
    let broker = Mosquitto::start("");
    let script = r#"
        mqtt_subscribe("in/{size}", #{ qos: 1 }, |msg| {
            let size = msg.params.size.parse_int();
            mqtt_publish("results", `${size} ${try_to(size)}`, #{ qos: 1 });
        });
        fn try_to(size) {
            try { mqtt_publish("large", blob(size, 65), #{ qos: 1 }); } catch (err) { return err.kind; }
            "sent"
        }
    "#;
    let large = "x".repeat(20_000);
    for version in ["3.1.1", "5"] {
        let listener = Listener::start(broker.address, &["-t", "results", "-q", "1"]);
        let yaml = format!("mqtt: {{ url: \"mqtt://{}\", protocol: {version}, max_packet: 10KiB }}", broker.address);
        let (_home, mut process) = start(script, &yaml, &[]);
        process.expect("connected to");
        assert_eq!(first_response(&broker, "in/1000", &listener), "1000 sent");
        mosquitto::publish(broker.address, &["-q", "1", "-m", &large, "-t", "in/1"]);
        mosquitto::publish(broker.address, &["-q", "1", "-m", "x", "-t", "in/20000"]);
        assert_eq!(listener.line(), "20000 too_large", "MQTT {version}");
        process.expect("bytes is dropped: it is larger than `mqtt.max_packet`");
        mosquitto::publish(broker.address, &["-q", "1", "-m", "x", "-t", "in/2000"]);
        assert_eq!(listener.line(), "2000 sent");
        assert_eq!(process.output().matches("connected to").count(), 1, "{}", process.output());
    }
}
