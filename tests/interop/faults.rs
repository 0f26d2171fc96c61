//! Numbered messages during faults of rhaid, the broker and the connection: none is lost at QoS 1 and 2.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::mosquitto::Mosquitto;
use super::process::{Home, Process, get};
use super::seed::SeededRandom;
use super::tcp_proxy::{Mode, TcpProxy};
use super::*;

/// Counts each numbered message in its state and publishes it again; both take effect together, or the message is redelivered.
const COUNTER: &str = r#"
mqtt_subscribe("in/{number}", #{ qos: QOS }, |msg| {
    state.add(msg.params.number, 1);
    mqtt_publish("out/" + msg.params.number, msg.payload, #{ qos: QOS, timeout: "2m" });
});
webhook("counted", #{ methods: ["GET"], public: true }, |request| {
    let all = "";
    for key in state.keys() { all += `${key} ${state[key]};`; }
    all
});
"#;

/// Configuration of a broker with unlimited queues for offline sessions.
const UNLIMITED_QUEUES: &str = "max_queued_messages 0\n";

fn start(home: &Home, broker: SocketAddr, more: &[(&str, &str)]) -> Process {
    let url = format!("mqtt://{broker}");
    let fixed = [("RHAID_MQTT_URL", url.as_str()), ("RHAID_LIMITS_BREAKER", "1000000"), ("RHAID_LIMITS_TIMEOUT", "3m")];
    home.spawn(&[&fixed[..], more].concat())
}

/// The messages received on `out/+`, by number.
struct Received(Arc<Mutex<BTreeMap<u32, Vec<bytes::Bytes>>>>);

impl Received {
    async fn watch(mqtt: &Mqtt) -> Self {
        let mut all = subscribe(mqtt, "out/+", 2, Retained::Live).await;
        let received = Arc::new(Mutex::new(BTreeMap::new()));
        let writes = Arc::clone(&received);
        tokio::spawn(async move {
            while let Some(message) = all.messages.recv().await {
                let number = message.topic.trim_start_matches("out/").parse().unwrap();
                writes.lock().entry(number).or_insert_with(Vec::new).push(message.payload.clone());
            }
        });
        Self(received)
    }

    fn missing(&self, upto: u32) -> Vec<u32> {
        let received = self.0.lock();
        (0..upto).filter(|number| !received.contains_key(number)).collect()
    }

    /// Waits until all numbers below `upto` are received.
    async fn expect_all(&self, upto: u32) {
        let end = tokio::time::Instant::now() + 2 * TIMEOUT;
        while !self.missing(upto).is_empty() {
            assert!(
                tokio::time::Instant::now() < end,
                "{} of {upto} were not received: {:?}",
                self.missing(upto).len(),
                self.missing(upto)
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns the number of repeated messages.
    fn repeats(&self) -> usize {
        self.0.lock().values().map(|all| all.len() - 1).sum()
    }

    /// Returns the number of repeated messages with an equal payload.
    fn copies(&self) -> usize {
        let received = self.0.lock();
        received.values().map(|all| all.len() - all.iter().collect::<std::collections::HashSet<_>>().len()).sum()
    }
}

/// Publishes increasing numbers until stopped; the task returns their count after all are acknowledged.
fn keep_publishing(mqtt: &Mqtt, qos: u8, pause: Duration) -> (Arc<Mutex<bool>>, tokio::task::JoinHandle<u32>) {
    let (stop, mqtt) = (Arc::new(Mutex::new(false)), mqtt.clone());
    let stopped = Arc::clone(&stop);
    let task = tokio::spawn(async move {
        let (mut number, mut deliveries) = (0, Vec::new());
        while !*stopped.lock() {
            deliveries.push(
                within_timeout(mqtt.send(message(&format!("in/{number}"), &number.to_string(), qos, false)))
                    .await
                    .unwrap(),
            );
            number += 1;
            tokio::time::sleep(pause).await;
        }
        for (number, delivery) in deliveries.into_iter().enumerate() {
            // After a restart with persistence mosquitto refuses some QoS 2 messages; these are published again.
            if within_timeout(delivery).await.is_err() {
                publish(&mqtt, &format!("in/{number}"), &number.to_string(), qos, false).await;
            }
        }
        number
    });
    (stop, task)
}

/// Waits until the script receives published messages.
async fn until_subscribed(mqtt: &Mqtt, process: &mut Process) {
    process.expect("connected to");
    let mut probe = subscribe(mqtt, "out/9999999", 0, Retained::Live).await;
    loop {
        publish(mqtt, "in/9999999", "probe", 1, false).await;
        if timeout(Duration::from_millis(500), probe.messages.recv()).await.is_ok() {
            return;
        }
    }
}

/// Returns the script's count of each number.
fn counted(process: &mut Process) -> BTreeMap<u32, u32> {
    let response = process.get("counted").expect("a response");
    let parse = |line: &str| {
        let (number, times) = line.split_once(' ').unwrap();
        (number.parse().unwrap(), times.parse().unwrap())
    };
    response.split_terminator(';').map(parse).filter(|(number, _)| *number != 9_999_999).collect()
}

async fn kills_of_rhaid(rounds: u64, qos: u8, mut random: SeededRandom) {
    let broker = Mosquitto::start(UNLIMITED_QUEUES);
    let home = Home::new(&[("counter.rhai", &COUNTER.replace("QOS", &qos.to_string()))]);
    let mqtt = client(broker.address, "test", Protocol::V5);
    let received = Received::watch(&mqtt).await;
    let mut process = start(&home, broker.address, &[]);
    until_subscribed(&mqtt, &mut process).await;
    let (stop, publishing) = keep_publishing(&mqtt, qos, Duration::from_millis(3));
    for _ in 0..rounds {
        // Kills the connected process at a random moment.
        process.expect("connected to");
        tokio::time::sleep(Duration::from_millis(random.below(400))).await;
        process.kill();
        process = start(&home, broker.address, &[]);
    }
    *stop.lock() = true;
    let sent = publishing.await.unwrap();
    received.expect_all(sent).await;
    let counted = counted(&mut process);
    let lost: Vec<_> = (0..sent).filter(|number| !counted.contains_key(number)).collect();
    assert_eq!(lost, [0; 0], "acknowledged, but not counted");
    let twice = counted.values().filter(|times| **times > 1).count();
    println!(
        "{rounds} kills, QoS {qos}: {sent} sent, none lost, {twice} counted again, {} published again",
        received.repeats()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_rhaid_under_load_lose_no_message() {
    kills_of_rhaid(4, 1, SeededRandom::fixed()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the long form: cargo test --test interop -- --ignored --nocapture"]
async fn twenty_kills_of_rhaid_under_load_lose_no_message() {
    kills_of_rhaid(20, 1, SeededRandom::varied()).await;
    kills_of_rhaid(20, 2, SeededRandom::varied()).await;
}

/// Publishes one message per request; a response means that the message is stored.
const PUBLISHER: &str = r#"
fn send(request, qos) {
    let number = state.add("next", 1);
    mqtt_publish(`out/${number - 1}`, uuid(), #{ qos: qos, wait: false });
    number
}
webhook("one", #{ methods: ["GET"], public: true }, |request| send(request, 1));
webhook("two", #{ methods: ["GET"], public: true }, |request| send(request, 2));
"#;

#[tokio::test(flavor = "multi_thread")]
async fn messages_stored_while_the_broker_is_offline_are_sent_in_order_after_a_kill() {
    let mut broker = Mosquitto::start(UNLIMITED_QUEUES);
    broker.kill();
    let home = Home::new(&[("publisher.rhai", PUBLISHER)]);
    let mut process = start(&home, broker.address, &[]);
    for number in 0..40_u32 {
        let hook = if number.is_multiple_of(2) { "one" } else { "two" };
        assert_eq!(process.get(hook), Some((number + 1).to_string()));
        if number == 20 {
            process.kill();
            process = start(&home, broker.address, &[]);
            process.expect("no connection to");
        }
    }
    process.kill();
    broker.run();
    let mqtt = client(broker.address, "test", Protocol::V5);
    let mut all = subscribe(&mqtt, "out/+", 2, Retained::Live).await;
    let _process = start(&home, broker.address, &[]);
    // Brokers deliver QoS 2 messages at their PUBREL, so the order holds per QoS.
    let mut arrived = [const { Vec::new() }; 2];
    for _ in 0..40 {
        let message = next(&mut all).await;
        arrived[usize::from(message.qos) - 1].push(message.topic.clone());
    }
    for (first, topics) in arrived.into_iter().enumerate() {
        assert_eq!(topics, (first..40).step_by(2).map(|number| format!("out/{number}")).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_during_sends_neither_lose_nor_repeat_qos_2_messages() {
    let broker = Mosquitto::start(UNLIMITED_QUEUES);
    let home = Home::new(&[("publisher.rhai", PUBLISHER)]);
    let mqtt = client(broker.address, "test", Protocol::V5);
    let received = Received::watch(&mqtt).await;
    let mut random = SeededRandom::fixed();
    let mut acknowledged = 0;
    for _ in 0..5 {
        let mut process = start(&home, broker.address, &[]);
        process.expect("is live");
        let address = process.address();
        let requests = std::thread::spawn(move || std::iter::from_fn(|| get(&address, "two")).last());
        tokio::time::sleep(Duration::from_millis(100 + random.below(300))).await;
        process.kill();
        if let Some(last) = requests.join().unwrap() {
            acknowledged = last.parse().unwrap();
        }
    }
    let _process = start(&home, broker.address, &[]);
    assert!(acknowledged > 5, "only {acknowledged} were acknowledged");
    received.expect_all(acknowledged).await;
    // A killed run may have sent its number; the next run sends the number again in a new message.
    assert_eq!(received.copies(), 0);
}

/// Publishes messages during a fault; all must be handled and published again at the end.
async fn through_fault(
    broker: &mut Mosquitto,
    proxy: Option<&TcpProxy>,
    qos: u8,
    fault: impl AsyncFnOnce(&mut Mosquitto, &mut Process),
) {
    let home = Home::new(&[("counter.rhai", &COUNTER.replace("QOS", &qos.to_string()))]);
    let mqtt = client(broker.address, "test", Protocol::V5);
    let received = Received::watch(&mqtt).await;
    let address = proxy.map_or(broker.address, |proxy| proxy.address);
    let mut process = start(&home, address, &[("RHAID_MQTT_KEEP_ALIVE", "5s")]);
    until_subscribed(&mqtt, &mut process).await;
    let (stop, publishing) = keep_publishing(&mqtt, qos, Duration::from_millis(5));
    fault(broker, &mut process).await;
    *stop.lock() = true;
    let sent = publishing.await.unwrap();
    assert!(sent > 20, "only {sent} were sent");
    received.expect_all(sent).await;
    let counted = counted(&mut process);
    let lost: Vec<_> = (0..sent).filter(|number| !counted.contains_key(number)).collect();
    assert_eq!(lost, [0; 0], "acknowledged, but not counted");
    println!("QoS {qos}: {sent} sent, none lost, {} published again", received.repeats());
    if qos == 2 && proxy.is_some() {
        assert_eq!(received.repeats(), 0, "the session was kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_restart_with_persistence_loses_no_message() {
    for qos in [1, 2] {
        let mut broker = Mosquitto::start(&format!("{UNLIMITED_QUEUES}persistence true\n"));
        let fault = async |broker: &mut Mosquitto, process: &mut Process| {
            for _ in 0..2 {
                tokio::time::sleep(Duration::from_millis(300)).await;
                // SIGTERM lets mosquitto save its sessions.
                broker.signal("TERM");
                tokio::time::sleep(Duration::from_millis(500)).await;
                broker.kill();
                tokio::time::sleep(Duration::from_millis(300)).await;
                broker.run();
            }
            tokio::time::sleep(Duration::from_secs(3)).await;
            let output = process.output();
            let lines = |words: &str| output.lines().filter(|line| line.contains(words)).count();
            assert!(
                lines("connected to") <= 3 && lines("lost the connection") <= 2,
                "one line for each change: {output}"
            );
        };
        through_fault(&mut broker, None, qos, fault).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_restart_without_persistence_loses_no_outgoing_message() {
    let mut broker = Mosquitto::start(UNLIMITED_QUEUES);
    let proxy = TcpProxy::open(broker.address).await;
    let beat = r#"
        every("10ms", || { let number = state.add("next", 1); mqtt_publish(`out/${number - 1}`, number, #{ qos: 1 + number % 2, wait: false }); });
        webhook("sent", #{ methods: ["GET"], public: true }, |request| `${state.next ?? 0}`);
    "#;
    let home = Home::new(&[("beat.rhai", beat)]);
    let mqtt = client(broker.address, "test", Protocol::V5);
    let received = Received::watch(&mqtt).await;
    let mut process = start(&home, proxy.address, &[]);
    process.expect("connected to");
    for round in 0..3 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        broker.signal("STOP");
        tokio::time::sleep(Duration::from_millis(300)).await;
        // The test client reconnects before rhaid does, because the broker has lost both sessions.
        proxy.set_mode(Mode::Closed);
        broker.kill();
        broker.run();
        let mut probe = subscribe(&mqtt, &format!("probe/{round}"), 1, Retained::Live).await;
        publish(&mqtt, &format!("probe/{round}"), "x", 1, false).await;
        next(&mut probe).await;
        proxy.set_mode(Mode::Forward);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let sent: u32 = process.get("sent").unwrap().parse().unwrap();
    assert!(sent > 50, "only {sent} were sent");
    received.expect_all(sent).await;
    println!("{sent} sent, none lost, {} repeated", received.repeats());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_inside_packets_lose_no_message() {
    for qos in [1, 2] {
        let mut broker = Mosquitto::start(UNLIMITED_QUEUES);
        let proxy = TcpProxy::open(broker.address).await;
        let mut random = SeededRandom::fixed();
        let fault = async |_: &mut Mosquitto, process: &mut Process| {
            for _ in 0..4 {
                within_timeout(proxy.cut_after(500 + random.below(1_500))).await;
            }
            assert!(!process.output().contains("protocol error"), "{}", process.output());
        };
        through_fault(&mut broker, Some(&proxy), qos, fault).await;
        assert!(proxy.connections() >= 4, "{} connections", proxy.connections());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blackholed_connection_is_detected_and_loses_no_message() {
    let mut broker = Mosquitto::start(UNLIMITED_QUEUES);
    let proxy = TcpProxy::open(broker.address).await;
    let fault = async |_: &mut Mosquitto, process: &mut Process| {
        tokio::time::sleep(Duration::from_millis(300)).await;
        proxy.set_mode(Mode::Blackhole);
        let began = std::time::Instant::now();
        process.expect("no answer for");
        // Twice the keep alive of `through_fault`, plus a margin for a busy machine.
        assert!(began.elapsed() < Duration::from_secs(13), "{:?}", began.elapsed());
        proxy.set_mode(Mode::Forward);
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    through_fault(&mut broker, Some(&proxy), 1, fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_one_kilobyte_per_second_stays_open_and_loses_no_message() {
    let mut broker = Mosquitto::start(UNLIMITED_QUEUES);
    let proxy = TcpProxy::open(broker.address).await;
    let mut before = 0;
    let fault = async |_: &mut Mosquitto, _: &mut Process| {
        before = proxy.connections();
        proxy.set_mode(Mode::Slow(1_000));
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(proxy.connections(), before, "the slow connection stays open");
        proxy.set_mode(Mode::Forward);
    };
    through_fault(&mut broker, Some(&proxy), 1, fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_of_ten_megabytes_are_received_and_sent_unchanged() {
    let broker = Mosquitto::start(UNLIMITED_QUEUES);
    let echo =
        r#"mqtt_subscribe("big", #{ qos: 1 }, |msg| mqtt_publish("echo", msg.bytes, #{ qos: 1, timeout: "60s" }));"#;
    let home = Home::new(&[("echo.rhai", echo)]);
    let mqtt = client(broker.address, "test", Protocol::V5);
    let mut echoed = subscribe(&mqtt, "echo", 1, Retained::Live).await;
    let mut process =
        start(&home, broker.address, &[("RHAID_LIMITS_MEMORY", "256MiB"), ("RHAID_LIMITS_TIMEOUT", "2m")]);
    process.expect("connected to");
    tokio::time::sleep(Duration::from_millis(500)).await;
    for round in 0..3_u8 {
        let payload: Vec<u8> = (0..10_000_000_u32).map(|at| (at % 251) as u8 ^ round).collect();
        let publish = Publish { payload: payload.clone().into(), ..message("big", "", 1, false) };
        within_timeout(mqtt.publish(publish)).await.unwrap();
        let arrived = next(&mut echoed).await;
        assert!(arrived.payload == payload, "{} bytes arrived", arrived.payload.len());
    }
    let resident = resident(&process);
    assert!(resident < 400 << 20, "{} MiB", resident >> 20);
}

/// Publishes ten thousand messages of a kilobyte, and then one more.
const FLOODER: &str = r#"
on_mqtt("disconnected", |change| print("the handler saw the disconnect"));
webhook("flood", #{ methods: ["GET"], public: true, timeout: "2m" }, |request| {
    let payload = "";
    payload.pad(1000, "x");
    for thousand in 0..10 {
        let messages = [];
        for number in 0..1000 {
            messages.push(#{ topic: `out/${thousand * 1000 + number}`, payload: payload, qos: number % 2 + 1 });
        }
        mqtt_publish(messages, #{ timeout: "60s" });
    }
    let began = now();
    let kind = "taken";
    try { mqtt_publish("out/10000", payload, #{ qos: 1, timeout: "5s" }); } catch (err) { kind = err.kind; }
    if now().since(began) < 5.0 { kind } else { "late" }
});
"#;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_messages_are_queued_for_an_offline_broker_without_blocking_scripts() {
    let broker = Mosquitto::start(UNLIMITED_QUEUES);
    let proxy = TcpProxy::open(broker.address).await;
    let home = Home::new(&[("flooder.rhai", FLOODER)]);
    let mqtt = client(broker.address, "test", Protocol::V5);
    let received = Received::watch(&mqtt).await;
    proxy.set_mode(Mode::Closed);
    let mut process = start(&home, proxy.address, &[]);
    process.expect("the handler saw the disconnect");
    let address = process.address();
    let response = tokio::task::spawn_blocking(move || get(&address, "flood")).await.unwrap();
    assert_eq!(response.as_deref(), Some("not_connected"), "{}", process.output());
    let resident = resident(&process);
    proxy.set_mode(Mode::Forward);
    received.expect_all(10_000).await;
    println!("{} MiB at most", resident >> 20);
    assert!(resident < 200 << 20, "{} MiB", resident >> 20);
    assert_eq!(received.missing(10_001), [10_000], "the refused message is not sent");
}

/// Returns the peak resident memory of the process in bytes.
fn resident(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1_024
}

/// Sends a flood to a slow script with the default queue, and to one with a queue of 100 events.
async fn flood(count: u32) {
    let broker = Mosquitto::start(UNLIMITED_QUEUES);
    let slow = r#"
        mqtt_subscribe("flood/{n}", #{ qos: 1 }, |msg| { if msg.params.n == "0" { sleep("5s"); } state.add("count", 1); });
        webhook("slow", #{ methods: ["GET"], public: true, mode: "parallel" }, |request| `${state.count ?? 0}`);
    "#;
    let bounded = r#"
        mqtt_subscribe("flood/{n}", #{ qos: 1, max: 100 }, |msg| { if msg.params.n == "0" { sleep("5s"); } state.add("count", 1); state.last = msg.params.n; });
        webhook("bounded", #{ methods: ["GET"], public: true, mode: "parallel" }, |request| `${state.count ?? 0} ${state.last ?? 0}`);
    "#;
    let home = Home::new(&[("slow.rhai", slow), ("bounded.rhai", bounded)]);
    let mqtt = client(broker.address, "test", Protocol::V5);
    let mut process = start(&home, broker.address, &[("RHAID_LIMITS_BREAKER", "1000000")]);
    process.expect("connected to");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut deliveries = std::collections::VecDeque::new();
    for number in 0..count {
        deliveries.push_back(
            within_timeout(mqtt.send(message(&format!("flood/{number}"), &"x".repeat(100), 1, false))).await.unwrap(),
        );
        if deliveries.len() > 500 {
            within_timeout(deliveries.pop_front().unwrap()).await.unwrap();
        }
    }
    let end = tokio::time::Instant::now() + Duration::from_secs(60 + u64::from(count) / 50);
    while process.get("slow") != Some(count.to_string()) {
        assert!(tokio::time::Instant::now() < end, "{:?} of {count} were handled", process.get("slow"));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let bounded = process.get("bounded").unwrap();
    let (handled, last) = bounded.split_once(' ').unwrap();
    let handled: u32 = handled.parse().unwrap();
    assert!(handled < count && last == (count - 1).to_string(), "the oldest events are dropped: {bounded}");
    let resident = resident(&process);
    println!(
        "{count} messages: the slow script handled all, the bounded one {handled}; {} MiB at most",
        resident >> 20
    );
    assert!(resident < 300 << 20, "{} MiB", resident >> 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_flood_to_a_slow_handler_loses_nothing_and_uses_bounded_memory() {
    flood(3_000).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the long form: cargo test --test interop -- --ignored --nocapture"]
async fn a_flood_of_fifty_thousand_messages_to_a_slow_handler_loses_nothing() {
    flood(50_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_handler_delays_no_other_script_and_gets_its_message_again_after_a_kill() {
    let broker = Mosquitto::start(UNLIMITED_QUEUES);
    let slow = r#"mqtt_subscribe("slow", #{ qos: 1, timeout: "5m" }, |msg| { print(`starts ${msg.payload}`); sleep("2m"); });"#;
    let quick = r#"
        mqtt_subscribe("quick/{n}", #{ qos: 1 }, |msg| { state.add("count", 1); });
        webhook("count", #{ methods: ["GET"], public: true }, |request| `${state.count ?? 0}`);
        webhook("ping", #{ methods: ["GET"], public: true }, |request| { mqtt_publish("ping", "", #{ qos: 1 }); "done" });
    "#;
    let home = Home::new(&[("slow.rhai", slow), ("quick.rhai", quick)]);
    let mqtt = client(broker.address, "test", Protocol::V5);
    // With MQTT 3.1.1 mosquitto has at most 20 inflight messages.
    let mut process = start(&home, broker.address, &[("RHAID_MQTT_PROTOCOL", "3.1.1")]);
    process.expect("connected to");
    tokio::time::sleep(Duration::from_millis(500)).await;
    publish(&mqtt, "slow", "one", 1, false).await;
    publish(&mqtt, "slow", "two", 1, false).await;
    for number in 0..200 {
        publish(&mqtt, &format!("quick/{number}"), "x", 1, false).await;
    }
    let end = tokio::time::Instant::now() + Duration::from_secs(60);
    while process.get("count") != Some("200".to_owned()) {
        assert!(tokio::time::Instant::now() < end, "{:?} of 200 were handled", process.get("count"));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    process.expect("starts one");
    // A run commits before its PUBACK is sent; a PUBACK for a later publish on the same connection shows that the broker has both.
    for _ in 0..5 {
        assert_eq!(process.get("ping"), Some("done".to_owned()));
    }
    process.kill();
    let mut process = start(&home, broker.address, &[("RHAID_MQTT_PROTOCOL", "3.1.1")]);
    process.expect("starts one");
    assert_eq!(process.get("count"), Some("200".to_owned()), "the others are not redelivered");
}
