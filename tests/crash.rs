//! Killed at any moment: nothing that was confirmed is lost, and nothing is half.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::process::{Home, Process, ask};
use crate::program::Program;
use crate::seed::SeededRandom;

/// Counts on every message with QoS 1, every 10 ms and on request; each run changes two keys that must never differ, and tells of it.
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

/// Hears each number, in any order, at least once; says up to which it has heard all.
const HEAR: &str = r#"
on_event("counted", |event| {
    let last = state.last ?? 0;
    let missing = state.missing ?? [];
    for number in last + 1..event.data { missing.push(number); }
    missing.retain(|number| number != event.data);
    state.missing = missing;
    state.last = max(last, event.data);
});
webhook("heard", #{ methods: ["GET"], public: true }, |request| {
    let missing = state.missing ?? [];
    if missing.is_empty() { state.last ?? 0 } else { missing[0] - 1 }
});
"#;

/// A timer that each run of its handler sets anew, only ever started once: if it were lost at a single kill, it would stand still for good.
const CHAIN: &str = r#"
on_start(|| if state.links == () { state.links = 0; timer_start("chain", "5ms"); });
on_timer("chain", |timer| { state.links += 1; timer_start("chain", "5ms"); });
webhook("links", #{ methods: ["GET"], public: true }, |request| state.links ?? 0);
"#;

#[test]
fn a_kill_at_any_moment_loses_nothing_that_was_confirmed_and_leaves_nothing_half() {
    kill_while_busy(10, SeededRandom::fixed());
}

/// The long form: `cargo test --test tests two_hundred_kills -- --ignored`, with another number in `RHAID_TEST_KILLS`.
#[test]
#[ignore = "takes minutes"]
fn two_hundred_kills_lose_nothing_that_was_confirmed() {
    kill_while_busy(
        std::env::var("RHAID_TEST_KILLS").map_or(200, |kills| kills.parse().unwrap()),
        SeededRandom::varied(),
    );
}

/// Returns what a webhook answers as soon as it is more than this.
fn more_than(process: &mut Process, path: &str, before: u64) -> u64 {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let now: u64 = process.ask(path).unwrap_or_else(|| panic!("no answer: {}", process.said())).parse().unwrap();
        if now > before {
            return now;
        }
        assert!(Instant::now() < until, "{path} stands still at {now}: a timer or an event was lost");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Kills a busy rhaid so many times, and looks each time at what it finds when it starts again.
fn kill_while_busy(rounds: u64, mut random: SeededRandom) {
    let home = Home::new(&[("count.rhai", COUNT), ("hear.rhai", HEAR), ("chain.rhai", CHAIN)]);
    // On a slow machine a round may take long.
    fs::write(home.path().join("rhaid.yaml"), "limits: { breaker: 1000000 }").unwrap();
    let (mut confirmed, mut links) = (0, 0);
    for round in 0..rounds {
        let mut process = home.start();
        let looked = process.ask("look").expect("an answer");
        let (first, second) = looked.split_once(' ').unwrap();
        assert_eq!(first, second, "round {round}: half a run was kept");
        let kept: u64 = first.parse().unwrap();
        assert!(kept >= confirmed, "round {round}: {confirmed} was confirmed, {kept} was kept");
        more_than(&mut process, "heard", kept.saturating_sub(1));
        links = more_than(&mut process, "links", links);
        let address = process.address();
        let asker = std::thread::spawn(move || std::iter::from_fn(|| ask(&address, "count")).last());
        std::thread::sleep(Duration::from_millis(random.below(300)));
        process.kill();
        if let Some(last) = asker.join().unwrap() {
            confirmed = last.parse().unwrap();
        }
        confirmed = confirmed.max(kept);
        assert!(!process.said().contains("error"), "{}", process.said());
    }
    assert!(confirmed > rounds, "it has counted to {confirmed}");
    let runs = home.run(&["runs", "chain", "--json"]).stdout;
    assert!(runs.len() > 100, "the run history has not outlived the kills: {}", String::from_utf8_lossy(&runs));
}

#[test]
fn a_timer_that_was_set_before_a_kill_runs_out_after_it_and_says_how_late() {
    let home = Home::new(&[(
        "egg.rhai",
        r#"
        webhook("cook", #{ methods: ["GET"], public: true }, |request| { timer_start("egg", "300ms", #{ size: "M" }); "on" });
        on_timer("egg", |timer| print(`egg ${timer.data.size} is done, late: ${timer.late}`));
        "#,
    )]);
    let mut process = home.start();
    assert_eq!(process.ask("cook").as_deref(), Some("on"));
    process.kill();
    assert!(!process.said().contains("is done"), "it was killed too late for this test: {}", process.said());
    // It runs out while nobody is there.
    std::thread::sleep(Duration::from_millis(500));
    let line = home.start().expect("egg M is done, late: ");
    assert!(!line.ends_with("late: 0"), "{line}");
    let mut process = home.start();
    assert_eq!(process.ask("cook").as_deref(), Some("on"), "and it can be set again");
    process.expect("egg M is done");
}

#[test]
fn a_script_that_is_broken_at_a_restart_runs_as_it_was_last_accepted_also_after_a_kill() {
    let home = Home::new(&[("hello.rhai", "on_start(|| print(\"good one\"));")]);
    let mut process = home.start();
    process.expect("good one");
    process.kill();
    fs::write(home.script("hello.rhai"), "on_start(|| print(\"bad one\");").unwrap();
    for _ in 0..2 {
        let mut process = home.start();
        process.expect("hello starts from v1, the last accepted version");
        process.expect("good one");
        assert!(process.said().contains("hello.rhai:1:29"), "{}", process.said());
        process.kill();
    }
    fs::write(home.script("hello.rhai"), "on_start(|| print(\"better one\"));").unwrap();
    home.start().expect("better one");
}

#[test]
fn a_disabled_script_stays_disabled_after_a_kill_and_when_others_are_saved() {
    let home = Home::new(&[
        ("quiet.rhai", "on_start(|| print(\"quiet speaks\"));"),
        ("other.rhai", "on_start(|| print(\"other 1\"));"),
    ]);
    let mut process = home.start();
    process.expect("quiet speaks");
    let output = home.run(&["disable", "quiet"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    process.kill();
    fs::write(home.script("quiet.rhai"), "on_start(|| print(\"quiet speaks again\"));").unwrap();
    let mut process = home.start();
    process.expect("other 1");
    fs::write(home.script("other.rhai"), "on_start(|| print(\"other 2\"));").unwrap();
    process.expect("other 2");
    assert!(!process.said().contains("quiet speaks"), "{}", process.said());
    let output = home.run(&["enable", "quiet"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    process.expect("quiet speaks again");
}

#[test]
fn what_the_embedded_broker_has_confirmed_survives_a_kill() {
    let mut program = Program::empty();
    program.write("scripts/nothing.rhai", "");
    let mut kept = 0;
    for round in 0..5 {
        program.start();
        let mut away = Client::connect(program.broker(), "away", false);
        let mut left = away.read_until_quiet();
        left.retain(|message| message.starts_with("sure"));
        assert_eq!(left, (0..kept).map(|number| format!("sure {number}")).collect::<Vec<_>>(), "round {round}");
        away.subscribe("sure/#", 1);
        away.leave();
        let mut sender = Client::connect(program.broker(), "sender", true);
        kept = 50 * (round + 1);
        for number in 0..kept {
            sender.publish("sure/1", &format!("sure {number}"), false);
        }
        sender.publish("state/now", &format!("round {round}"), true);
        // No goodbye, no time: the last confirmation has just come.
        kill(&mut program);
        program.start();
        let mut looking = Client::connect(program.broker(), "looking", true);
        looking.subscribe("state/+", 0);
        assert_eq!(looking.read_until_quiet(), [format!("round {round}")]);
        kill(&mut program);
    }
}

fn kill(program: &mut Program) {
    program.signal("KILL");
    assert_eq!(program.exit_code(), None);
}

/// As much MQTT 3.1.1 as the test above needs.
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

    /// Publishes with QoS 1, and returns when the broker has confirmed it.
    fn publish(&mut self, topic: &str, payload: &str, retain: bool) {
        self.send(0x32 | u8::from(retain), &[&text(topic)[..], &[0, 7], payload.as_bytes()].concat());
        assert_eq!(self.packet().unwrap(), (0x40, vec![0, 7]));
    }

    /// Returns the payloads that come before the answer to a ping, and confirms them.
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

    fn leave(mut self) {
        self.send(0xe0, &[]);
        assert_eq!(self.packet(), None);
    }
}

fn text(text: &str) -> Vec<u8> {
    [&[0, text.len() as u8][..], text.as_bytes()].concat()
}

#[test]
fn a_script_that_ran_at_each_crash_is_set_aside_and_the_others_start() {
    let mut program = Program::empty();
    program.write("rhaid.yaml", "limits: { stop: 10ms }");
    program.write("scripts/bad.rhai", r#"on_start(|| { print("bad begins"); sleep("25s"); });"#);
    program.write("scripts/good.rhai", r#"on_start(|| print("good is done"));"#);
    let start = |program: &mut Program| {
        program.start();
        program.wait_for("bad begins");
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
    // An orderly end in between: two crashes and one more are no three in a row.
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
    assert_eq!(program.count("bad begins"), 0);
    assert!(program.run(&["list"]).contains("quarantined"));
    kill(&mut program);
    program.start();
    assert_eq!(program.count("bad begins"), 0);
    let refused = program.rhaid(&["fire", "bad"]);
    assert!(
        crate::program::text(&refused.stderr).contains("is in quarantine: `rhaid enable`"),
        "{}",
        crate::program::text(&refused.stderr)
    );
    program.write("scripts/bad.rhai", r#"on_start(|| print("bad is mended"));"#);
    program.wait_for("bad is mended");
    program.stop();
    program.start();
    program.wait_for("bad is mended");
}

#[test]
fn a_kill_at_any_moment_loses_no_event_between_scripts_and_tells_none_twice() {
    let teller = r#"every("10ms", || { state.add("sent", 1); emit("step", #{ n: state.sent }); });"#;
    let asked = r#"webhook("sent", #{ methods: ["GET"], public: true }, |request| `${state.sent ?? 0}`);"#;
    let hearer = r#"
        on_event("step", |event| { state.add("heard", 1); });
        webhook("heard", #{ methods: ["GET"], public: true, mode: "parallel" }, |request| `${state.heard ?? 0}`);
    "#;
    let home = Home::new(&[("teller.rhai", teller), ("hearer.rhai", hearer)]);
    let mut random = SeededRandom::fixed();
    let mut sent = 0;
    for _ in 0..8 {
        let mut process = home.start();
        std::thread::sleep(Duration::from_millis(50 + random.below(250)));
        process.kill();
    }
    fs::write(home.script("teller.rhai"), asked).unwrap();
    let mut process = home.start();
    let end = Instant::now() + Duration::from_secs(60);
    let mut heard = 0;
    while (sent == 0 || heard < sent) && Instant::now() < end {
        let mut ask = |hook| process.ask(hook).and_then(|number| number.parse::<u64>().ok()).unwrap_or_default();
        (sent, heard) = (ask("sent"), ask("heard"));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(sent > 20, "{sent} events are too few: {}", process.said());
    assert_eq!(heard, sent);
}
