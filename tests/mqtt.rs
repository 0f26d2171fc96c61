//! Several brokers, and brokers that refuse or do not acknowledge.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use jiff::tz::TimeZone;
use rhaid::config::Config;
use rhaid::services::clock::Clock;
use rhaid::services::mqtt::{ConnectionSettings, Embedded, Mqtt, Publish, Retained, Subscription};
use rhaid::topic::Filter;

use crate::bench::Bench;
use crate::program::Program;

/// A second embedded broker, with a client.
struct OtherBroker {
    tokio: tokio::runtime::Runtime,
    _data: tempfile::TempDir,
    _embedded: Embedded,
    address: SocketAddr,
    client: Mqtt,
}

impl OtherBroker {
    fn start() -> Self {
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let data = tempfile::tempdir().unwrap();
        let mut config = Config::default_in(data.path()).mqtt;
        config.embedded.listen.set_port(0);
        let embedded = tokio.block_on(Embedded::start(&config, data.path())).unwrap();
        let address = embedded.address();
        let settings = ConnectionSettings::new(&config, address, "other".into()).unwrap();
        let client = {
            let _guard = tokio.enter();
            Mqtt::new(vec![settings], &Clock::system(TimeZone::UTC))
        };
        Self { tokio, _data: data, _embedded: embedded, address, client }
    }

    fn publish(&self, topic: &str, payload: &str) {
        let payload = payload.to_owned().into();
        let publish = Publish { topic: topic.into(), payload, qos: 1, ..Publish::default() };
        self.tokio.block_on(self.client.publish(publish)).unwrap();
    }

    fn subscribe(&self, topic: &str) -> Subscription {
        let _guard = self.tokio.enter();
        let mut subscription = self.client.subscribe(&Filter::parse(topic).unwrap(), 1, Retained::Live, None).unwrap();
        self.tokio.block_on(subscription.ready()).unwrap();
        subscription
    }
}

#[test]
fn a_script_subscribes_at_several_brokers_and_publishes_to_the_named_one() {
    let other = OtherBroker::start();
    let mut out = other.subscribe("out");
    let bench = Bench::new()
        .with_broker()
        .config(&format!("mqtt: {{ brokers: {{ house: {{}}, cloud: {{ url: \"mqtt://{}\" }} }} }}", other.address))
        .script(
            "both",
            r#"mqtt_subscribe("in/+", #{ broker: ["house", "cloud"], qos: 1 }, |msg| {
                print(`${msg.payload} from ${msg.broker}`);
                mqtt_publish("out", msg.payload, #{ broker: "cloud", qos: 1 });
            });"#,
        )
        .script("one", r#"mqtt_subscribe("in/+", |msg| print(`${msg.payload} from ${msg.broker}`));"#)
        .start();
    bench.subscribed();
    bench.until("connections to all brokers", || {
        let mqtt = &bench.services().mqtt;
        mqtt.is_connected(Some("cloud")) && mqtt.is_connected(Some("house")) && mqtt.is_connected(None)
    });
    bench.publish("in/a", "1");
    bench.expect_printed("one", ["1 from house"]);
    bench.until("a message from the other broker", || {
        other.publish("in/b", "2");
        bench.printed("both").contains(&"2 from cloud".to_owned())
    });
    assert_eq!(bench.printed("both")[0], "1 from house");
    assert_eq!(bench.printed("one"), ["1 from house"], "only messages of the default broker");
    let first = other.tokio.block_on(out.messages.recv()).unwrap();
    assert_eq!(&first.payload[..], b"1");
}

#[test]
fn a_handler_that_fills_the_outbox_waits_for_space_and_continues() {
    let bench = Bench::new()
        .with_broker()
        .config("mqtt: { outbox: 10 }\nlimits: { breaker: 1000000 }")
        .script(
            "echo",
            r#"mqtt_subscribe("in/{n}", #{ qos: 1 }, |msg| {
                for answer in 0..50 { mqtt_publish(`out/${msg.params.n}`, answer); }
            });"#,
        )
        .script("count", r#"mqtt_subscribe("out/+", |msg| if state.add("count", 1) == 500 { print("all arrived"); });"#)
        .start();
    bench.subscribed();
    for number in 0..10 {
        bench.publish(&format!("in/{number}"), "go");
    }
    bench.expect_printed("count", ["all arrived"]);
}

#[test]
fn an_unknown_broker_is_a_fault_at_its_location() {
    let bench = Bench::new()
        .config("mqtt: { brokers: { house: {}, cloud: { url: \"mqtt://127.0.0.1:9\" } } }")
        .script("a", "mqtt_subscribe(\"t\", #{ broker: [\"house\", \"clout\"] }, |msg| ());")
        .script("b", "mqtt_silence(\"t\", \"1h\", #{ broker: \"clout\" }, |silence| ());")
        .start();
    bench.expect_fault("a.rhai:1:").expect_fault("b.rhai:1:");
    let logged = format!("{:?}{:?}", bench.logged_about("a"), bench.logged_about("b"));
    assert_eq!(
        logged.matches("there is no broker \\\"clout\\\" in rhaid.yaml: write one of house, cloud").count(),
        2,
        "{logged}"
    );
}

#[test]
fn a_refused_subscription_is_logged_with_the_script() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut tcp = listener.accept().unwrap().0;
        packet(&mut tcp);
        tcp.write_all(&[0x20, 2, 0, 0]).unwrap();
        let subscribe = packet(&mut tcp);
        tcp.write_all(&[0x90, 3, subscribe[0], subscribe[1], 0x80]).unwrap();
        // Waits until the client closes the connection.
        let _ = tcp.read(&mut [0]);
    });
    let mut program = Program::empty();
    program.write("rhaid.yaml", "mqtt: { protocol: 3.1.1 }\n");
    program.write("scripts/listener.rhai", "mqtt_subscribe(\"secret/{name}\", |msg| ());\n");
    program.start_with(&[("RHAID_MQTT_URL", &format!("mqtt://{address}"))]);
    let line = program.wait_for("mqtt_subscribe secret/{name}: the broker refused");
    assert!(line.contains("listener"), "{line}");
}

#[test]
fn a_broker_without_acknowledgements_blocks_a_publish_until_its_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut tcp = listener.accept().unwrap().0;
        packet(&mut tcp);
        tcp.write_all(&[0x20, 2, 0, 0]).unwrap();
        // Reads everything until the client closes the connection.
        let _ = std::io::copy(&mut tcp, &mut std::io::sink());
    });
    let mut program = Program::empty();
    program.write("rhaid.yaml", "mqtt: { protocol: 3.1.1 }\n");
    let script = r#"on_mqtt("connected", |change| {
        let began = now();
        for qos in [1, 2] {
            try { mqtt_publish("t", "x", #{ qos: qos, timeout: "300ms" }); } catch (err) { print(`${err.kind}: ${err.message}`); }
        }
        print(`done in time: ${now().since(began) < 10.0}`);
    });"#;
    program.write("scripts/patient.rhai", script);
    program.start_with(&[("RHAID_MQTT_URL", &format!("mqtt://{address}"))]);
    program.wait_for("done in time: true");
    let warning = "timeout: the broker did not acknowledge the message to t within 300ms; it stays in the outbox";
    assert_eq!(program.count(warning), 2);
}

/// Reads a packet of less than 128 bytes; returns its bytes after the fixed header.
fn packet(tcp: &mut TcpStream) -> Vec<u8> {
    let mut head = [0; 2];
    tcp.read_exact(&mut head).unwrap();
    let mut body = vec![0; head[1].into()];
    tcp.read_exact(&mut body).unwrap();
    body
}
