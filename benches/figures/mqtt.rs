//! MQTT: JSON in, a sum, JSON out; one script, beside a program that does the same on `rumqttc` alone, through the same broker.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, Packet, QoS};
use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, channel};

use crate::folder;
use crate::live;
use crate::program::Program;

/// How many messages are on the way at most.
const WINDOW: u64 = 200;
/// How long each rate is measured, and how often.
const ROUND: Duration = Duration::from_secs(4);
const ROUNDS: usize = 3;
/// How long each latency is measured.
const PACED: Duration = Duration::from_secs(5);

/// No script is paused for what this measures, and none keeps a message of QoS 1 waiting for the broker's word.
const SCRIPT: &str = r#"
fn sum(msg) {
    let data = msg.json();
    let sum = 0;
    for value in data.values { sum += value; }
    mqtt_publish("out/rhaid", #{ id: data.id, sum: sum }, #{ qos: msg.qos, wait: false });
}
mqtt_subscribe("in/rhaid", #{ qos: 1 }, |msg| sum(msg));
"#;

/// What the script does to a message, without the message.
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
            let [half, most] = [50, 99].map(|percent| live::percentile(&mut times, percent));
            let missing = per_second * PACED.as_secs() - times.len() as u64;
            let missing = if missing > 0 { format!(", {missing} without an answer") } else { String::new() };
            println!(
                "mqtt: {per_second} messages a second, {name}: {half:.2} ms, {most:.2} ms at the 99th percentile{missing}"
            );
        }
    }
}

/// Prints what the interpreter takes for a message: no trigger, no run history, nothing published.
async fn alone() {
    let place = folder::folder([("alone.rhai".to_owned(), ALONE.to_owned())]);
    let runtime = live::live(place.path()).await;
    let mut times = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        live::fire(&runtime, "alone").await;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    println!("mqtt: the interpreter alone takes {:.1} µs for a message", live::percentile(&mut times, 50));
    runtime.stop().await;
}

/// Prints what goes through each in a second, in rounds that take turns.
async fn rates(generator: &mut Generator, qos: QoS) {
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (name, rates) in ["bare", "rhaid"].iter().zip(&mut rates) {
            rates.push(generator.rate(name, qos).await);
        }
    }
    let [bare, rhaid] = rates.map(|mut rates| live::percentile(&mut rates, 50));
    let share = 100.0 * rhaid / bare;
    println!("mqtt: QoS {}: {rhaid:.0} messages a second, {bare:.0} without a script: {share:.0} %", qos as u8);
}

/// Does the same without a script.
fn bare(address: SocketAddr) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("there is a thread");
    runtime.block_on(async {
        let (client, mut connection) = connect(address, "bare");
        client.try_subscribe("in/bare", QoS::AtLeastOnce).expect("there is room");
        // It ends with the broker.
        while let Ok(event) = connection.poll().await {
            let Event::Incoming(Packet::Publish(message)) = event else { continue };
            let data: Value = serde_json::from_slice(&message.payload).expect("the generator writes JSON");
            let values = data["values"].as_array().into_iter().flatten();
            let sum: i64 = values.filter_map(Value::as_i64).sum();
            let answer = json!({ "id": data["id"], "sum": sum }).to_string();
            client.try_publish("out/bare", message.qos, false, answer).expect("there is room");
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

/// Asks, and counts the answers.
struct Generator {
    client: AsyncClient,
    /// The times that answers were on the way, in milliseconds.
    answers: Receiver<f64>,
    began: Instant,
}

impl Generator {
    async fn new(address: SocketAddr) -> Self {
        let (client, mut connection) = connect(address, "generator");
        client.try_subscribe("out/+", QoS::AtLeastOnce).expect("there is room");
        while !matches!(connection.poll().await, Ok(Event::Incoming(Packet::SubAck(_)))) {}
        let (tx, answers) = channel(100_000);
        let began = Instant::now();
        tokio::spawn(async move {
            while let Ok(event) = connection.poll().await {
                if let Event::Incoming(Packet::Publish(message)) = event {
                    let answer: Value = serde_json::from_slice(&message.payload).expect("both write JSON");
                    assert!(answer["sum"] == 31 || answer["values"].is_array(), "{answer}");
                    let asked = answer["id"].as_u64().expect("it is the one that was asked with");
                    let time = (began.elapsed().as_nanos() as u64 - asked) as f64 / 1e6;
                    if tx.send(time).await.is_err() {
                        return;
                    }
                }
            }
        });
        Self { client, answers, began }
    }

    /// Sends one message; its id is when, in nanoseconds since the generator began.
    fn ask(&self, name: &str, qos: QoS) {
        // `self`: to nobody but us, so that only the broker is measured.
        let topic = if name == "self" { "out/self".to_owned() } else { format!("in/{name}") };
        let id = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let question = json!({ "id": id, "values": [3, 1, 4, 1, 5, 9, 2, 6] }).to_string();
        self.client.try_publish(topic, qos, false, question).expect("there is room");
    }

    /// Waits for the next answer; returns its time on the way, in milliseconds.
    async fn answer(&mut self) -> f64 {
        self.answers.recv().await.expect("the connection does not end")
    }

    /// Waits until there is an answer, and gives both the time to get going.
    async fn warm_up(&mut self, name: &str) {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            self.ask(name, QoS::AtMostOnce);
            if tokio::time::timeout(Duration::from_millis(500), self.answer()).await.is_ok() {
                break;
            }
            assert!(Instant::now() < until, "{name} does not answer");
        }
        self.rate(name, QoS::AtMostOnce).await;
    }

    /// Returns how many messages go through in a second, with a window that is always full.
    async fn rate(&mut self, name: &str, qos: QoS) -> f64 {
        let began = Instant::now();
        let (mut asked, mut answered) = (0, 0);
        while began.elapsed() < ROUND {
            while asked - answered < WINDOW {
                self.ask(name, qos);
                asked += 1;
            }
            self.answer().await;
            answered += 1;
        }
        let rate = answered as f64 / began.elapsed().as_secs_f64();
        while answered < asked {
            self.answer().await;
            answered += 1;
        }
        rate
    }

    /// Returns the times on the way of messages that are asked at a steady pace, with QoS 1.
    async fn latencies(&mut self, name: &str, per_second: u64) -> Vec<f64> {
        let mut pace = tokio::time::interval(Duration::from_micros(1_000_000 / per_second));
        let (mut asked, mut times) = (0, Vec::new());
        let total = per_second * PACED.as_secs();
        while times.len() < total as usize {
            tokio::select! {
                biased;
                _ = pace.tick(), if asked < total => {
                    self.ask(name, QoS::AtLeastOnce);
                    asked += 1;
                }
                time = self.answer() => times.push(time),
                // Who can not keep up leaves some out.
                () = tokio::time::sleep(PACED), if asked == total => break,
            }
        }
        times
    }
}
