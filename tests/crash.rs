//! Kills at random moments: acknowledged data survives, and every run is stored completely or not at all.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::process::{Home, Process, get};
use crate::program::Program;
use crate::seed::SeededRandom;

/// Counts on every QoS 1 message, every 10 ms and on request; each run sets two keys to the same value and emits an event.
const COUNT: &str = r#"
fn count() {
    state.first = (state.first ?? 0) + 1;
    state.second = (state.second ?? 0) + 1;
    emit("counted", state.second);
    state.second
}

every("10ms", || count());
every("10ms", || mqtt_publish("count", "one", #{ qos: 1 }));
mqtt_subscribe("count", #{ qos: 1 }, |msg| count());
webhook("count", #{ methods: ["GET"], public: true }, |request| count());
webhook("look", #{ methods: ["GET"], public: true }, |request| `${state.first ?? 0} ${state.second ?? 0}`);
"#;

/// Receives each number at least once, in any order; `received` returns the number up to which none is missing.
const LISTENER: &str = r#"
on_event("counted", |event| {
    let last = state.last ?? 0;
    let missing = state.missing ?? [];
    for number in last + 1..event.data { missing.push(number); }
    missing.retain(|number| number != event.data);
    state.missing = missing;
    state.last = max(last, event.data);
});
webhook("received", #{ methods: ["GET"], public: true }, |request| {
    let missing = state.missing ?? [];
    if missing.is_empty() { state.last ?? 0 } else { missing[0] - 1 }
});
"#;

/// A timer that its own handler restarts, started once: a timer lost in a kill would stop the chain for good.
const CHAIN: &str = r#"
on_start(|| if state.links == () { state.links = 0; timer_start("chain", "5ms"); });
on_timer("chain", |timer| { state.links += 1; timer_start("chain", "5ms"); });
webhook("links", #{ methods: ["GET"], public: true }, |request| state.links ?? 0);
"#;

#[test]
fn a_kill_at_any_moment_loses_no_acknowledged_run_and_stores_no_partial_run() {
    kill_while_busy(10, SeededRandom::fixed());
}

/// Long version: `cargo test --test tests two_hundred_kills -- --ignored`, with the number of kills in `RHAID_TEST_KILLS`.
#[test]
#[ignore = "takes minutes"]
fn two_hundred_kills_lose_no_acknowledged_run() {
    kill_while_busy(
        std::env::var("RHAID_TEST_KILLS").map_or(200, |kills| kills.parse().unwrap()),
        SeededRandom::varied(),
    );
}

/// Polls a webhook until its number exceeds `before`; returns the number.
fn more_than(process: &mut Process, path: &str, before: u64) -> u64 {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let now: u64 =
            process.get(path).unwrap_or_else(|| panic!("no response: {}", process.output())).parse().unwrap();
        if now > before {
            return now;
        }
        assert!(Instant::now() < until, "{path} stays at {now}: a timer or an event was lost");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Kills a busy process `rounds` times, and checks the stored data after each restart.
fn kill_while_busy(rounds: u64, mut random: SeededRandom) {
    let home = Home::new(&[("count.rhai", COUNT), ("listener.rhai", LISTENER), ("chain.rhai", CHAIN)]);
    // A slow machine runs many handlers in one round.
    fs::write(home.path().join("rhaid.yaml"), "limits: { breaker: 1000000 }").unwrap();
    let (mut acknowledged, mut links) = (0, 0);
    for round in 0..rounds {
        let mut process = home.start();
        let response = process.get("look").expect("a response");
        let (first, second) = response.split_once(' ').unwrap();
        assert_eq!(first, second, "round {round}: a run was stored partly");
        let stored: u64 = first.parse().unwrap();
        assert!(stored >= acknowledged, "round {round}: {acknowledged} was acknowledged, {stored} was stored");
        more_than(&mut process, "received", stored.saturating_sub(1));
        links = more_than(&mut process, "links", links);
        let address = process.address();
        let requests = std::thread::spawn(move || std::iter::from_fn(|| get(&address, "count")).last());
        std::thread::sleep(Duration::from_millis(random.below(300)));
        process.kill();
        if let Some(last) = requests.join().unwrap() {
            acknowledged = last.parse().unwrap();
        }
        acknowledged = acknowledged.max(stored);
        assert!(!process.output().contains("error"), "{}", process.output());
    }
    assert!(acknowledged > rounds, "only {acknowledged} runs were counted");
    let runs = home.run(&["runs", "chain", "--json"]).stdout;
    assert!(runs.len() > 100, "the run history did not survive the kills: {}", String::from_utf8_lossy(&runs));
}

#[test]
fn a_timer_set_before_a_kill_fires_after_the_restart_and_reports_its_delay() {
    let home = Home::new(&[(
        "egg.rhai",
        r#"
        webhook("cook", #{ methods: ["GET"], public: true }, |request| { timer_start("egg", "300ms", #{ size: "M" }); "on" });
        on_timer("egg", |timer| print(`egg ${timer.data.size} is done, late: ${timer.late}`));
        "#,
    )]);
    let mut process = home.start();
    assert_eq!(process.get("cook").as_deref(), Some("on"));
    process.kill();
    assert!(!process.output().contains("is done"), "the timer expired before the kill: {}", process.output());
    // The timer expires while no process runs.
    std::thread::sleep(Duration::from_millis(500));
    let line = home.start().expect("egg M is done, late: ");
    assert!(!line.ends_with("late: 0"), "{line}");
    let mut process = home.start();
    assert_eq!(process.get("cook").as_deref(), Some("on"), "the timer can be set again");
    process.expect("egg M is done");
}

#[test]
fn a_broken_script_runs_its_last_accepted_version_after_a_kill() {
    let home = Home::new(&[("hello.rhai", "on_start(|| print(\"good one\"));")]);
    let mut process = home.start();
    process.expect("good one");
    process.kill();
    fs::write(home.script("hello.rhai"), "on_start(|| print(\"bad one\");").unwrap();
    for _ in 0..2 {
        let mut process = home.start();
        process.expect("hello starts from v1, the last accepted version");
        process.expect("good one");
        assert!(process.output().contains("hello.rhai:1:29"), "{}", process.output());
        process.kill();
    }
    fs::write(home.script("hello.rhai"), "on_start(|| print(\"better one\"));").unwrap();
    home.start().expect("better one");
}

#[test]
fn disabled_scripts_stay_disabled_after_a_kill_and_after_saves_of_others() {
    let home = Home::new(&[
        ("quiet.rhai", "on_start(|| print(\"quiet printed\"));"),
        ("other.rhai", "on_start(|| print(\"other 1\"));"),
    ]);
    let mut process = home.start();
    process.expect("quiet printed");
    let output = home.run(&["disable", "quiet"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    process.kill();
    fs::write(home.script("quiet.rhai"), "on_start(|| print(\"quiet printed again\"));").unwrap();
    let mut process = home.start();
    process.expect("other 1");
    fs::write(home.script("other.rhai"), "on_start(|| print(\"other 2\"));").unwrap();
    process.expect("other 2");
    assert!(!process.output().contains("quiet printed"), "{}", process.output());
    let output = home.run(&["enable", "quiet"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    process.expect("quiet printed again");
}

#[test]
fn messages_acknowledged_by_the_embedded_broker_survive_a_kill() {
    let mut program = Program::empty();
    program.write("scripts/nothing.rhai", "");
    let mut stored = 0;
    for round in 0..5 {
        program.start();
        let mut offline = Client::connect(program.broker(), "offline", false);
        let mut pending = offline.read_until_quiet();
        pending.retain(|message| message.starts_with("sure"));
        assert_eq!(pending, (0..stored).map(|number| format!("sure {number}")).collect::<Vec<_>>(), "round {round}");
        offline.subscribe("sure/#", 1);
        offline.disconnect();
        let mut sender = Client::connect(program.broker(), "sender", true);
        stored = 50 * (round + 1);
        for number in 0..stored {
            sender.publish("sure/1", &format!("sure {number}"), false);
        }
        sender.publish("state/now", &format!("round {round}"), true);
        // Without a DISCONNECT, directly after the last PUBACK.
        kill(&mut program);
        program.start();
        let mut reader = Client::connect(program.broker(), "reader", true);
        reader.subscribe("state/+", 0);
        assert_eq!(reader.read_until_quiet(), [format!("round {round}")]);
        kill(&mut program);
    }
}

fn kill(program: &mut Program) {
    program.signal("KILL");
    assert_eq!(program.exit_code(), None);
}

/// A minimal MQTT 3.1.1 client for the test above.
struct Client(TcpStream);

impl Client {
    fn connect(address: &str, id: &str, clean: bool) -> Self {
        let tcp = TcpStream::connect(address).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut client = Self(tcp);
        client.send(0x10, &[&[0, 4][..], b"MQTT", &[4, u8::from(clean) << 1, 0, 0], &text(id)].concat());
        let (kind, answer) = client.packet().unwrap();
        assert_eq!((kind, answer[1]), (0x20, 0));
        client
    }

    fn send(&mut self, first: u8, body: &[u8]) {
        assert!(body.len() < 128);
        self.0.write_all(&[&[first, body.len() as u8][..], body].concat()).unwrap();
    }

    fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).ok()?;
        let mut body = vec![0; usize::from(head[1])];
        self.0.read_exact(&mut body).ok()?;
        Some((head[0], body))
    }

    fn subscribe(&mut self, filter: &str, qos: u8) {
        self.send(0x82, &[&[0, 1][..], &text(filter), &[qos]].concat());
        assert_eq!(self.packet().unwrap().0, 0x90);
    }

    /// Publishes at QoS 1, and waits for the PUBACK.
    fn publish(&mut self, topic: &str, payload: &str, retain: bool) {
        self.send(0x32 | u8::from(retain), &[&text(topic)[..], &[0, 7], payload.as_bytes()].concat());
        assert_eq!(self.packet().unwrap(), (0x40, vec![0, 7]));
    }

    /// Returns the payloads received before a PINGRESP without messages, and acknowledges them.
    fn read_until_quiet(&mut self) -> Vec<String> {
        let mut payloads = Vec::new();
        loop {
            self.send(0xc0, &[]);
            let before = payloads.len();
            while let (first @ 0x30..=0x3f, body) = self.packet().unwrap() {
                let topic = 2 + usize::from(body[1]);
                let id = if first & 6 == 0 { 0 } else { 2 };
                payloads.push(String::from_utf8_lossy(&body[topic + id..]).into_owned());
                if id > 0 {
                    let id = [body[topic], body[topic + 1]];
                    self.send(0x40, &id);
                }
            }
            if payloads.len() == before {
                return payloads;
            }
        }
    }

    fn disconnect(mut self) {
        self.send(0xe0, &[]);
        assert_eq!(self.packet(), None);
    }
}

fn text(text: &str) -> Vec<u8> {
    [&[0, text.len() as u8][..], text.as_bytes()].concat()
}

#[test]
fn a_script_that_ran_at_each_crash_is_quarantined_and_the_others_start() {
    let mut program = Program::empty();
    program.write("rhaid.yaml", "limits: { stop: 10ms }");
    program.write("scripts/bad.rhai", r#"on_start(|| { print("bad is running"); sleep("25s"); });"#);
    program.write("scripts/good.rhai", r#"on_start(|| print("good is done"));"#);
    let start = |program: &mut Program| {
        program.start();
        program.wait_for("bad is running");
        while !program.run(&["runs", "good"]).contains("succeeded") {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    let kill = |program: &mut Program| {
        program.signal("KILL");
        program.exit_code();
    };
    for _ in 0..2 {
        start(&mut program);
        kill(&mut program);
    }
    // An orderly stop resets the count of consecutive crashes.
    start(&mut program);
    program.stop();
    for _ in 0..3 {
        start(&mut program);
        kill(&mut program);
    }
    program.start();
    program.wait_for("the previous process crashed while these scripts ran: bad");
    program.wait_for("bad: quarantined: it ran each of the last 3 times that rhaid crashed");
    program.wait_for("good is done");
    assert_eq!(program.count("bad is running"), 0);
    assert!(program.run(&["list"]).contains("quarantined"));
    kill(&mut program);
    program.start();
    assert_eq!(program.count("bad is running"), 0);
    let refused = program.rhaid(&["fire", "bad"]);
    assert!(
        crate::program::text(&refused.stderr).contains("is in quarantine: `rhaid enable`"),
        "{}",
        crate::program::text(&refused.stderr)
    );
    program.write("scripts/bad.rhai", r#"on_start(|| print("bad is fixed"));"#);
    program.wait_for("bad is fixed");
    program.stop();
    program.start();
    program.wait_for("bad is fixed");
}

#[test]
fn a_kill_at_any_moment_neither_loses_nor_repeats_events_between_scripts() {
    let emitter = r#"every("10ms", || { state.add("sent", 1); emit("step", #{ n: state.sent }); });"#;
    let report = r#"webhook("sent", #{ methods: ["GET"], public: true }, |request| `${state.sent ?? 0}`);"#;
    let listener = r#"
        on_event("step", |event| { state.add("received", 1); });
        webhook("received", #{ methods: ["GET"], public: true, mode: "parallel" }, |request| `${state.received ?? 0}`);
    "#;
    let home = Home::new(&[("emitter.rhai", emitter), ("listener.rhai", listener)]);
    let mut random = SeededRandom::fixed();
    let mut sent = 0;
    for _ in 0..8 {
        let mut process = home.start();
        std::thread::sleep(Duration::from_millis(50 + random.below(250)));
        process.kill();
    }
    fs::write(home.script("emitter.rhai"), report).unwrap();
    let mut process = home.start();
    let end = Instant::now() + Duration::from_secs(60);
    let mut received = 0;
    while (sent == 0 || received < sent) && Instant::now() < end {
        let mut count = |hook| process.get(hook).and_then(|number| number.parse::<u64>().ok()).unwrap_or_default();
        (sent, received) = (count("sent"), count("received"));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(sent > 20, "only {sent} events were sent: {}", process.output());
    assert_eq!(received, sent);
}
