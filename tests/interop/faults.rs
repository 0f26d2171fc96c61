//! Counted messages through faults of rhaid, of the broker and of the line between: nothing is lost at QoS 1 and 2.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::mosquitto::Mosquitto;
use super::process::{Home, Process, ask};
use super::proxy::{Mode, Proxy};
use super::seed::SeededRandom;
use super::*;

/// Counts each numbered message in its state, and passes it on; the two take effect together or it comes again.
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

/// A broker that forgets nothing that waits for a client that is away.
const PATIENT: &str = "max_queued_messages 0\n";

fn start(home: &Home, broker: SocketAddr, more: &[(&str, &str)]) -> Process {
    let url = format!("mqtt://{broker}");
    let fixed = [("RHAID_MQTT_URL", url.as_str()), ("RHAID_LIMITS_BREAKER", "1000000"), ("RHAID_LIMITS_TIMEOUT", "3m")];
    home.spawn(&[&fixed[..], more].concat())
}

/// Whatever came on `out/#`: how often each number did.
struct Seen(Arc<Mutex<BTreeMap<u32, Vec<bytes::Bytes>>>>);

impl Seen {
    async fn watch(mqtt: &Mqtt) -> Self {
        let mut all = subscribe(mqtt, "out/+", 2, Retained::Live).await;
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let writes = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Some(message) = all.messages.recv().await {
                let number = message.topic.trim_start_matches("out/").parse().unwrap();
                writes.lock().entry(number).or_insert_with(Vec::new).push(message.payload);
            }
        });
        Self(seen)
    }

    fn missing(&self, upto: u32) -> Vec<u32> {
        let seen = self.0.lock();
        (0..upto).filter(|number| !seen.contains_key(number)).collect()
    }

    /// Waits until all numbers below have come.
    async fn expect_all(&self, upto: u32) {
        let end = tokio::time::Instant::now() + 2 * PATIENCE;
        while !self.missing(upto).is_empty() {
            assert!(
                tokio::time::Instant::now() < end,
                "{} of {upto} never came: {:?}",
                self.missing(upto).len(),
                self.missing(upto)
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns how many came again.
    fn repeats(&self) -> usize {
        self.0.lock().values().map(|all| all.len() - 1).sum()
    }

    /// Returns how many came again with the same payload.
    fn copies(&self) -> usize {
        let seen = self.0.lock();
        seen.values().map(|all| all.len() - all.iter().collect::<std::collections::HashSet<_>>().len()).sum()
    }
}

/// Publishes number after number until it is told to stop; returns how many, each confirmed.
fn keep_publishing(mqtt: &Mqtt, qos: u8, pause: Duration) -> (Arc<Mutex<bool>>, tokio::task::JoinHandle<u32>) {
    let (stop, mqtt) = (Arc::new(Mutex::new(false)), mqtt.clone());
    let stopped = Arc::clone(&stop);
    let task = tokio::spawn(async move {
        let (mut number, mut deliveries) = (0, Vec::new());
        while !*stopped.lock() {
            deliveries.push(
                soon(mqtt.send(message(&format!("in/{number}"), &number.to_string(), qos, false))).await.unwrap(),
            );
            number += 1;
            tokio::time::sleep(pause).await;
        }
        for (number, delivery) in deliveries.into_iter().enumerate() {
            // Mosquitto refuses some of QoS 2 when it comes back with its memory: what is refused is not confirmed.
            if soon(delivery).await.is_err() {
                publish(&mqtt, &format!("in/{number}"), &number.to_string(), qos, false).await;
            }
        }
        number
    });
    (stop, task)
}

/// Waits until the script hears what is published.
async fn until_it_listens(mqtt: &Mqtt, process: &mut Process) {
    process.expect("connected to");
    let mut probe = subscribe(mqtt, "out/9999999", 0, Retained::Live).await;
    loop {
        publish(mqtt, "in/9999999", "probe", 1, false).await;
        if timeout(Duration::from_millis(500), probe.messages.recv()).await.is_ok() {
            return;
        }
    }
}

/// Returns how often the script counted each number.
fn counted(process: &mut Process) -> BTreeMap<u32, u32> {
    let answer = process.ask("counted").expect("an answer");
    let parse = |line: &str| {
        let (number, times) = line.split_once(' ').unwrap();
        (number.parse().unwrap(), times.parse().unwrap())
    };
    answer.split_terminator(';').map(parse).filter(|(number, _)| *number != 9_999_999).collect()
}

async fn kills_of_rhaid(rounds: u64, qos: u8, mut random: SeededRandom) {
    let broker = Mosquitto::start(PATIENT);
    let home = Home::new(&[("counter.rhai", &COUNTER.replace("QOS", &qos.to_string()))]);
    let mqtt = client(broker.address, "test", Protocol::V5);
    let seen = Seen::watch(&mqtt).await;
    let mut process = start(&home, broker.address, &[]);
    until_it_listens(&mqtt, &mut process).await;
    let (stop, publishing) = keep_publishing(&mqtt, qos, Duration::from_millis(3));
    for _ in 0..rounds {
        // After the process is up, and at any moment of its work.
        process.expect("connected to");
        tokio::time::sleep(Duration::from_millis(random.below(400))).await;
        process.kill();
        process = start(&home, broker.address, &[]);
    }
    *stop.lock() = true;
    let sent = publishing.await.unwrap();
    seen.expect_all(sent).await;
    let counted = counted(&mut process);
    let lost: Vec<_> = (0..sent).filter(|number| !counted.contains_key(number)).collect();
    assert_eq!(lost, [0; 0], "handled, but not counted");
    let twice = counted.values().filter(|times| **times > 1).count();
    println!(
        "{rounds} kills, QoS {qos}: {sent} sent, none lost, {twice} counted again, {} passed on again",
        seen.repeats()
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

/// Sends one message for each question; its answer is the promise that it goes out.
const PROMISER: &str = r#"
fn send(request, qos) {
    let number = state.add("next", 1);
    mqtt_publish(`out/${number - 1}`, uuid(), #{ qos: qos, wait: false });
    number
}
webhook("one", #{ methods: ["GET"], public: true }, |request| send(request, 1));
webhook("two", #{ methods: ["GET"], public: true }, |request| send(request, 2));
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_promised_while_the_broker_was_away_goes_out_after_a_kill_in_order() {
    let mut broker = Mosquitto::start(PATIENT);
    broker.kill();
    let home = Home::new(&[("promiser.rhai", PROMISER)]);
    let mut process = start(&home, broker.address, &[]);
    for number in 0..40_u32 {
        let hook = if number.is_multiple_of(2) { "one" } else { "two" };
        assert_eq!(process.ask(hook), Some((number + 1).to_string()));
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
    // A broker passes on what has QoS 2 when it is released: the order holds among those of one QoS.
    let mut came = [const { Vec::new() }; 2];
    for _ in 0..40 {
        let message = next(&mut all).await;
        came[usize::from(message.qos) - 1].push(message.topic);
    }
    for (first, topics) in came.into_iter().enumerate() {
        assert_eq!(topics, (first..40).step_by(2).map(|number| format!("out/{number}")).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_while_messages_go_out_lose_none_and_repeat_none_of_qos_2() {
    let broker = Mosquitto::start(PATIENT);
    let home = Home::new(&[("promiser.rhai", PROMISER)]);
    let mqtt = client(broker.address, "test", Protocol::V5);
    let seen = Seen::watch(&mqtt).await;
    let mut random = SeededRandom::fixed();
    let mut promised = 0;
    for _ in 0..5 {
        let mut process = start(&home, broker.address, &[]);
        process.expect("is live");
        let address = process.address();
        let asking = std::thread::spawn(move || std::iter::from_fn(|| ask(&address, "two")).last());
        tokio::time::sleep(Duration::from_millis(100 + random.below(300))).await;
        process.kill();
        if let Some(last) = asking.join().unwrap() {
            promised = last.parse().unwrap();
        }
    }
    let _process = start(&home, broker.address, &[]);
    assert!(promised > 5, "{promised} are too few");
    seen.expect_all(promised).await;
    // A run that was killed before its end may have sent its number; the next one sends it again, as another message.
    assert_eq!(seen.copies(), 0);
}

/// Keeps messages going through a fault; all must have been handled and passed on at the end.
async fn through(
    broker: &mut Mosquitto,
    line: Option<&Proxy>,
    qos: u8,
    fault: impl AsyncFnOnce(&mut Mosquitto, &mut Process),
) {
    let home = Home::new(&[("counter.rhai", &COUNTER.replace("QOS", &qos.to_string()))]);
    let mqtt = client(broker.address, "test", Protocol::V5);
    let seen = Seen::watch(&mqtt).await;
    let address = line.map_or(broker.address, |line| line.address);
    let mut process = start(&home, address, &[("RHAID_MQTT_KEEP_ALIVE", "5s")]);
    until_it_listens(&mqtt, &mut process).await;
    let (stop, publishing) = keep_publishing(&mqtt, qos, Duration::from_millis(5));
    fault(broker, &mut process).await;
    *stop.lock() = true;
    let sent = publishing.await.unwrap();
    assert!(sent > 20, "{sent} are too few");
    seen.expect_all(sent).await;
    let counted = counted(&mut process);
    let lost: Vec<_> = (0..sent).filter(|number| !counted.contains_key(number)).collect();
    assert_eq!(lost, [0; 0], "handled, but not counted");
    println!("QoS {qos}: {sent} sent, none lost, {} passed on again", seen.repeats());
    if qos == 2 && line.is_some() {
        assert_eq!(seen.repeats(), 0, "the session was kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_dies_and_comes_back_with_its_memory_costs_no_message() {
    for qos in [1, 2] {
        let mut broker = Mosquitto::start(&format!("{PATIENT}persistence true\n"));
        let fault = async |broker: &mut Mosquitto, process: &mut Process| {
            for _ in 0..2 {
                tokio::time::sleep(Duration::from_millis(300)).await;
                // It writes down what it knows, and ends.
                broker.signal("TERM");
                tokio::time::sleep(Duration::from_millis(500)).await;
                broker.kill();
                tokio::time::sleep(Duration::from_millis(300)).await;
                broker.run();
            }
            tokio::time::sleep(Duration::from_secs(3)).await;
            let said = process.said();
            let lines = |words: &str| said.lines().filter(|line| line.contains(words)).count();
            assert!(
                lines("connected to") <= 3 && lines("lost the connection") <= 2,
                "one line for each change: {said}"
            );
        };
        through(&mut broker, None, qos, fault).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_dies_and_comes_back_without_its_memory_costs_no_message_that_goes_out() {
    let mut broker = Mosquitto::start(PATIENT);
    let line = Proxy::open(broker.address).await;
    let beat = r#"
        every("10ms", || { let number = state.add("next", 1); mqtt_publish(`out/${number - 1}`, number, #{ qos: 1 + number % 2, wait: false }); });
        webhook("sent", #{ methods: ["GET"], public: true }, |request| `${state.next ?? 0}`);
    "#;
    let home = Home::new(&[("beat.rhai", beat)]);
    let mqtt = client(broker.address, "test", Protocol::V5);
    let seen = Seen::watch(&mqtt).await;
    let mut process = start(&home, line.address, &[]);
    process.expect("connected to");
    for round in 0..3 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        broker.signal("STOP");
        tokio::time::sleep(Duration::from_millis(300)).await;
        // Who counts is back before rhaid is, for the broker has forgotten both.
        line.become_(Mode::Closed);
        broker.kill();
        broker.run();
        let mut probe = subscribe(&mqtt, &format!("probe/{round}"), 1, Retained::Live).await;
        publish(&mqtt, &format!("probe/{round}"), "x", 1, false).await;
        next(&mut probe).await;
        line.become_(Mode::Pass);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let sent: u32 = process.ask("sent").unwrap().parse().unwrap();
    assert!(sent > 50, "{sent} are too few");
    seen.expect_all(sent).await;
    println!("{sent} sent, none lost, {} came again", seen.repeats());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_cut_in_the_middle_of_packets_costs_no_message() {
    for qos in [1, 2] {
        let mut broker = Mosquitto::start(PATIENT);
        let line = Proxy::open(broker.address).await;
        let mut random = SeededRandom::fixed();
        let fault = async |_: &mut Mosquitto, process: &mut Process| {
            for _ in 0..4 {
                soon(line.cut_after(500 + random.below(1_500))).await;
            }
            assert!(!process.said().contains("protocol error"), "{}", process.said());
        };
        through(&mut broker, Some(&line), qos, fault).await;
        assert!(line.connections() >= 4, "{} connections", line.connections());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_on_which_nothing_comes_through_is_noticed_and_costs_no_message() {
    let mut broker = Mosquitto::start(PATIENT);
    let line = Proxy::open(broker.address).await;
    let fault = async |_: &mut Mosquitto, process: &mut Process| {
        tokio::time::sleep(Duration::from_millis(300)).await;
        line.become_(Mode::Deaf);
        let began = std::time::Instant::now();
        process.expect("no answer for");
        // Twice the keep-alive of `through`, and what a busy machine adds.
        assert!(began.elapsed() < Duration::from_secs(13), "{:?}", began.elapsed());
        line.become_(Mode::Pass);
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    through(&mut broker, Some(&line), 1, fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_a_kilobyte_a_second_costs_no_message_and_no_connection() {
    let mut broker = Mosquitto::start(PATIENT);
    let line = Proxy::open(broker.address).await;
    let mut before = 0;
    let fault = async |_: &mut Mosquitto, _: &mut Process| {
        before = line.connections();
        line.become_(Mode::Slow(1_000));
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(line.connections(), before, "it is slow, but alive");
        line.become_(Mode::Pass);
    };
    through(&mut broker, Some(&line), 1, fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_of_ten_megabytes_come_and_go_whole() {
    let broker = Mosquitto::start(PATIENT);
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
        soon(mqtt.publish(publish)).await.unwrap();
        let came = next(&mut echoed).await;
        assert!(came.payload == payload, "{} bytes came", came.payload.len());
    }
    let resident = resident(&process);
    assert!(resident < 400 << 20, "{} MiB", resident >> 20);
}

/// Publishes ten thousand messages of a kilobyte, and then one more.
const FLOODER: &str = r#"
on_mqtt("disconnected", |link| print("it is away"));
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
async fn ten_thousand_messages_wait_for_a_broker_that_is_away_and_hold_up_no_script() {
    let broker = Mosquitto::start(PATIENT);
    let line = Proxy::open(broker.address).await;
    let home = Home::new(&[("flooder.rhai", FLOODER)]);
    let mqtt = client(broker.address, "test", Protocol::V5);
    let seen = Seen::watch(&mqtt).await;
    line.become_(Mode::Closed);
    let mut process = start(&home, line.address, &[]);
    process.expect("it is away");
    let asked = process.address();
    let answer = tokio::task::spawn_blocking(move || ask(&asked, "flood")).await.unwrap();
    assert_eq!(answer.as_deref(), Some("not_connected"), "{}", process.said());
    let resident = resident(&process);
    line.become_(Mode::Pass);
    seen.expect_all(10_000).await;
    println!("{} MiB at most", resident >> 20);
    assert!(resident < 200 << 20, "{} MiB", resident >> 20);
    assert_eq!(seen.missing(10_001), [10_000], "what was refused stays away");
}

/// Returns how many bytes of memory the process has.
fn resident(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1_024
}

/// Sends a flood to one script that is slow, to one that says what gives way, and to one that is neither.
async fn flood(count: u32) {
    let broker = Mosquitto::start(PATIENT);
    let slow = r#"
        mqtt_subscribe("flood/{n}", #{ qos: 1 }, |msg| { if msg.params.n == "0" { sleep("5s"); } state.add("count", 1); });
        webhook("slow", #{ methods: ["GET"], public: true, mode: "parallel" }, |request| `${state.count ?? 0}`);
    "#;
    let picky = r#"
        mqtt_subscribe("flood/{n}", #{ qos: 1, max: 100 }, |msg| { if msg.params.n == "0" { sleep("5s"); } state.add("count", 1); state.last = msg.params.n; });
        webhook("picky", #{ methods: ["GET"], public: true, mode: "parallel" }, |request| `${state.count ?? 0} ${state.last ?? 0}`);
    "#;
    let home = Home::new(&[("slow.rhai", slow), ("picky.rhai", picky)]);
    let mqtt = client(broker.address, "test", Protocol::V5);
    let mut process = start(&home, broker.address, &[("RHAID_LIMITS_BREAKER", "1000000")]);
    process.expect("connected to");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut deliveries = std::collections::VecDeque::new();
    for number in 0..count {
        deliveries
            .push_back(soon(mqtt.send(message(&format!("flood/{number}"), &"x".repeat(100), 1, false))).await.unwrap());
        if deliveries.len() > 500 {
            soon(deliveries.pop_front().unwrap()).await.unwrap();
        }
    }
    let end = tokio::time::Instant::now() + Duration::from_secs(60 + u64::from(count) / 50);
    while process.ask("slow") != Some(count.to_string()) {
        assert!(tokio::time::Instant::now() < end, "{:?} of {count} were handled", process.ask("slow"));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let picky = process.ask("picky").unwrap();
    let (handled, last) = picky.split_once(' ').unwrap();
    let handled: u32 = handled.parse().unwrap();
    assert!(handled < count && last == (count - 1).to_string(), "the oldest give way: {picky}");
    let resident = resident(&process);
    println!("{count} messages: the slow one had all, the picky one {handled}; {} MiB at most", resident >> 20);
    assert!(resident < 300 << 20, "{} MiB", resident >> 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_into_a_slow_handler_loses_nothing_and_takes_no_more_memory_than_there_is() {
    flood(3_000).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the long form: cargo test --test interop -- --ignored --nocapture"]
async fn a_flood_of_fifty_thousand_into_a_slow_handler_loses_nothing() {
    flood(50_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_takes_long_holds_back_no_other_script_and_gets_its_message_again_after_a_kill() {
    let broker = Mosquitto::start(PATIENT);
    let slow = r#"mqtt_subscribe("slow", #{ qos: 1, timeout: "5m" }, |msg| { print(`begins ${msg.payload}`); sleep("2m"); });"#;
    let quick = r#"
        mqtt_subscribe("quick/{n}", #{ qos: 1 }, |msg| { state.add("count", 1); });
        webhook("count", #{ methods: ["GET"], public: true }, |request| `${state.count ?? 0}`);
        webhook("there", #{ methods: ["GET"], public: true }, |request| { mqtt_publish("there", "", #{ qos: 1 }); "and back" });
    "#;
    let home = Home::new(&[("slow.rhai", slow), ("quick.rhai", quick)]);
    let mqtt = client(broker.address, "test", Protocol::V5);
    // With 3.1.1 Mosquitto sends 20 messages, and no more before the first is confirmed.
    let mut process = start(&home, broker.address, &[("RHAID_MQTT_PROTOCOL", "3.1.1")]);
    process.expect("connected to");
    tokio::time::sleep(Duration::from_millis(500)).await;
    publish(&mqtt, "slow", "one", 1, false).await;
    publish(&mqtt, "slow", "two", 1, false).await;
    for number in 0..200 {
        publish(&mqtt, &format!("quick/{number}"), "x", 1, false).await;
    }
    let end = tokio::time::Instant::now() + Duration::from_secs(60);
    while process.ask("count") != Some("200".to_owned()) {
        assert!(tokio::time::Instant::now() < end, "{:?} of 200 came through", process.ask("count"));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    process.expect("begins one");
    // The effect is there before its acknowledgement goes out; what goes the same way after it says that the broker has that, too.
    for _ in 0..5 {
        assert_eq!(process.ask("there"), Some("and back".to_owned()));
    }
    process.kill();
    let mut process = start(&home, broker.address, &[("RHAID_MQTT_PROTOCOL", "3.1.1")]);
    process.expect("begins one");
    assert_eq!(process.ask("count"), Some("200".to_owned()), "and the others not again");
}
