//! MQTT: parse JSON, sum, publish JSON; a script compared with the same in Rust with `rumqttc`, on the same broker.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, Packet, QoS};
use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, channel};

use crate::folder;
use crate::in_process;
use crate::program::Program;

/// The maximum of messages without a response.
const WINDOW: u64 = 200;
/// The duration and the number of the rate measurements.
const ROUND: Duration = Duration::from_secs(4);
const ROUNDS: usize = 3;
/// The duration of a latency measurement.
const PACED: Duration = Duration::from_secs(5);

/// The script publishes without waiting for the PUBACK.
const SCRIPT: &str = r#"
fn sum(msg) {
    let data = msg.json();
    let sum = 0;
    for value in data.values { sum += value; }
    mqtt_publish("out/rhaid", #{ id: data.id, sum: sum }, #{ qos: msg.qos, wait: false });
}
mqtt_subscribe("in/rhaid", #{ qos: 1 }, |msg| sum(msg));
"#;

/// The work of the script, without MQTT.
const ALONE: &str = r#"
fn sum(text) {
    let data = parse_json(text);
    let sum = 0;
    for value in data.values { sum += value; }
    to_json(#{ id: data.id, sum: sum })
}
on_event("go", || for n in 0..1_000 { sum(`{"id": 123456789, "values": [3, 1, 4, 1, 5, 9, 2, 6]}`); });
"#;

pub(crate) async fn measure() {
    alone().await;
    let nothing = folder::folder([("nothing.rhai".to_owned(), String::new())]);
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
    let address = free.local_addr().expect("it has one");
    drop(free);
    let _broker = Program::start_with(nothing.path(), &[("RHAID_MQTT_EMBEDDED_LISTEN", &address.to_string())]);
    let place = folder::folder([("sum.rhai".to_owned(), SCRIPT.to_owned())]);
    std::fs::write(place.path().join("rhaid.yaml"), "limits: { breaker: 1000000 }\n").expect("the folder is ours");
    let _rhaid = Program::start_with(place.path(), &[("RHAID_MQTT_URL", &format!("mqtt://{address}"))]);
    std::thread::spawn(move || bare(address));
    let mut generator = Generator::new(address).await;
    for name in ["bare", "rhaid"] {
        generator.warm_up(name).await;
    }
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        rates(&mut generator, qos).await;
    }
    for per_second in [500, 2_000] {
        for name in ["self", "bare", "rhaid"] {
            let mut times = generator.latencies(name, per_second).await;
            let [half, most] = [50, 99].map(|percent| in_process::percentile(&mut times, percent));
            let missing = per_second * PACED.as_secs() - times.len() as u64;
            let missing = if missing > 0 { format!(", {missing} without a response") } else { String::new() };
            println!(
                "mqtt: {per_second} messages a second, {name}: {half:.2} ms, {most:.2} ms at the 99th percentile{missing}"
            );
        }
    }
}

/// Prints the interpreter's time for a message: no trigger, no run history, no publish.
async fn alone() {
    let place = folder::folder([("alone.rhai".to_owned(), ALONE.to_owned())]);
    let runtime = in_process::start(place.path()).await;
    let mut times = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        in_process::fire(&runtime, "alone").await;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    println!("mqtt: the interpreter alone takes {:.1} µs for a message", in_process::percentile(&mut times, 50));
    runtime.stop().await;
}

/// Prints the messages per second of each, measured in alternating rounds.
async fn rates(generator: &mut Generator, qos: QoS) {
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (name, rates) in ["bare", "rhaid"].iter().zip(&mut rates) {
            rates.push(generator.rate(name, qos).await);
        }
    }
    let [bare, rhaid] = rates.map(|mut rates| in_process::percentile(&mut rates, 50));
    let share = 100.0 * rhaid / bare;
    println!("mqtt: QoS {}: {rhaid:.0} messages a second, {bare:.0} without a script: {share:.0} %", qos as u8);
}

/// Does the same in Rust, without a script.
fn bare(address: SocketAddr) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("there is a thread");
    runtime.block_on(async {
        let (client, mut connection) = connect(address, "bare");
        client.try_subscribe("in/bare", QoS::AtLeastOnce).expect("there is room");
        // The connection ends with the broker.
        while let Ok(event) = connection.poll().await {
            let Event::Incoming(Packet::Publish(message)) = event else { continue };
            let data: Value = serde_json::from_slice(&message.payload).expect("the generator writes JSON");
            let values = data["values"].as_array().into_iter().flatten();
            let sum: i64 = values.filter_map(Value::as_i64).sum();
            let response = json!({ "id": data["id"], "sum": sum }).to_string();
            client.try_publish("out/bare", message.qos, false, response).expect("there is room");
        }
    });
}

fn connect(address: SocketAddr, id: &str) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(id, address.ip().to_string(), address.port());
    options.set_inflight(1_000);
    let (client, mut connection) = AsyncClient::new(options, 5_000);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    connection.set_network_options(network);
    (client, connection)
}

/// Publishes requests, and receives the responses.
struct Generator {
    client: AsyncClient,
    /// The round-trip times of responses, in milliseconds.
    responses: Receiver<f64>,
    began: Instant,
}

impl Generator {
    async fn new(address: SocketAddr) -> Self {
        let (client, mut connection) = connect(address, "generator");
        client.try_subscribe("out/+", QoS::AtLeastOnce).expect("there is room");
        while !matches!(connection.poll().await, Ok(Event::Incoming(Packet::SubAck(_)))) {}
        let (tx, responses) = channel(100_000);
        let began = Instant::now();
        tokio::spawn(async move {
            while let Ok(event) = connection.poll().await {
                if let Event::Incoming(Packet::Publish(message)) = event {
                    let response: Value = serde_json::from_slice(&message.payload).expect("both write JSON");
                    assert!(response["sum"] == 31 || response["values"].is_array(), "{response}");
                    let sent = response["id"].as_u64().expect("the id of the request");
                    let time = (began.elapsed().as_nanos() as u64 - sent) as f64 / 1e6;
                    if tx.send(time).await.is_err() {
                        return;
                    }
                }
            }
        });
        Self { client, responses, began }
    }

    /// Publishes one message; its id is the time in nanoseconds since the start.
    fn publish(&self, name: &str, qos: QoS) {
        // `self`: published to the generator itself, which measures only the broker.
        let topic = if name == "self" { "out/self".to_owned() } else { format!("in/{name}") };
        let id = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let payload = json!({ "id": id, "values": [3, 1, 4, 1, 5, 9, 2, 6] }).to_string();
        self.client.try_publish(topic, qos, false, payload).expect("there is room");
    }

    /// Waits for the next response; returns its round-trip time in milliseconds.
    async fn response(&mut self) -> f64 {
        self.responses.recv().await.expect("the connection does not end")
    }

    /// Waits for a first response, and runs one round for warm-up.
    async fn warm_up(&mut self, name: &str) {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            self.publish(name, QoS::AtMostOnce);
            if tokio::time::timeout(Duration::from_millis(500), self.response()).await.is_ok() {
                break;
            }
            assert!(Instant::now() < until, "{name} does not respond");
        }
        self.rate(name, QoS::AtMostOnce).await;
    }

    /// Returns the messages per second, with a window that is always full.
    async fn rate(&mut self, name: &str, qos: QoS) -> f64 {
        let began = Instant::now();
        let (mut sent, mut received) = (0, 0);
        while began.elapsed() < ROUND {
            while sent - received < WINDOW {
                self.publish(name, qos);
                sent += 1;
            }
            self.response().await;
            received += 1;
        }
        let rate = received as f64 / began.elapsed().as_secs_f64();
        while received < sent {
            self.response().await;
            received += 1;
        }
        rate
    }

    /// Returns the round-trip times of messages published at a steady rate, at QoS 1.
    async fn latencies(&mut self, name: &str, per_second: u64) -> Vec<f64> {
        let mut pace = tokio::time::interval(Duration::from_micros(1_000_000 / per_second));
        let (mut sent, mut times) = (0, Vec::new());
        let total = per_second * PACED.as_secs();
        while times.len() < total as usize {
            tokio::select! {
                biased;
                _ = pace.tick(), if sent < total => {
                    self.publish(name, QoS::AtLeastOnce);
                    sent += 1;
                }
                time = self.response() => times.push(time),
                // Under overload some responses are missing.
                () = tokio::time::sleep(PACED), if sent == total => break,
            }
        }
        times
    }
}
