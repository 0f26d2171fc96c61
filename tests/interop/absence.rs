//! A broker that is down, refuses the login or has lost its sessions: scripts keep running, and each change is logged once.

use std::process::Command;

use super::mosquitto::{self, Mosquitto};
use super::process::{Home, Process};
use super::*;

const BEAT: &str = r#"
mqtt_subscribe("in/{name}", #{ qos: 1 }, |msg| print(`received ${msg.params.name}`));
every("100ms", || { state.add("beats", 1); });
webhook("beats", #{ methods: ["GET"], public: true }, |request| `${state.beats ?? 0}`);
"#;

fn start(home: &Home, broker: SocketAddr, password: &str) -> Process {
    let url = format!("mqtt://{broker}");
    home.spawn(&[("RHAID_MQTT_URL", &url), ("RHAID_MQTT_USERNAME", "house"), ("RHAID_MQTT_PASSWORD", password)])
}

/// Waits until the script has run `count` more times.
async fn expect_beats(process: &mut Process, count: u64) {
    let beats = |process: &mut Process| process.get("beats").unwrap().parse::<u64>().unwrap();
    let before = beats(process);
    let end = tokio::time::Instant::now() + TIMEOUT;
    while beats(process) < before + count {
        assert!(tokio::time::Instant::now() < end, "the script does not run");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn count(process: &mut Process, words: &str) -> usize {
    process.output().lines().filter(|line| line.contains(words)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_keep_running_while_the_broker_is_down_refuses_or_loses_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let hashed = folder.path().join("passwords");
    let made = Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&hashed).args(["house", "sesame"]).status();
    assert!(made.unwrap().success());
    let mut broker = Mosquitto::start(&format!("allow_anonymous false\npassword_file {}\n", hashed.display()));
    broker.kill();
    let home = Home::new(&[("beat.rhai", BEAT)]);

    let mut process = start(&home, broker.address, "wrong");
    process.expect("no connection to");
    expect_beats(&mut process, 30).await;
    assert_eq!(count(&mut process, "no connection to"), 1, "{}", process.output());
    broker.run();
    process.expect("mqtt.username");
    expect_beats(&mut process, 30).await;
    assert_eq!(count(&mut process, "mqtt.username"), 1, "{}", process.output());
    drop(process);

    let mut process = start(&home, broker.address, "sesame");
    process.expect("connected to");
    process.expect("is live");
    let address = broker.address;
    publish_until_received(&mut process, address, "first").await;
    broker.kill();
    process.expect("lost the connection");
    expect_beats(&mut process, 10).await;
    broker.run();
    // The broker has lost its sessions, so the client subscribes again.
    publish_until_received(&mut process, address, "again").await;
    assert_eq!((count(&mut process, "connected to"), count(&mut process, "lost the connection")), (2, 1));
}

/// Publishes until the script has received the message.
async fn publish_until_received(process: &mut Process, broker: SocketAddr, name: &str) {
    let topic = format!("in/{name}");
    let end = tokio::time::Instant::now() + TIMEOUT;
    while count(process, &format!("received {name}")) == 0 {
        assert!(tokio::time::Instant::now() < end, "{}", process.output());
        mosquitto::publish(broker, &["-u", "house", "-P", "sesame", "-q", "1", "-m", "x", "-t", &topic]);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_with_the_same_id_are_warned_once_and_reconnect_less_than_once_a_second() {
    let broker = Mosquitto::start("log_dest file FOLDER/log\nlog_type notice\nconnection_messages true");
    let homes = [(); 2].map(|()| Home::new(&[("listener.rhai", "mqtt_subscribe(\"t\", |msg| ());")]));
    let url = format!("mqtt://{}", broker.address);
    let twin = [("RHAID_MQTT_URL", url.as_str()), ("RHAID_MQTT_CLIENT_ID", "twin")];
    let mut twins = homes.each_ref().map(|home| home.spawn(&twin));
    let connections = || {
        let log = std::fs::read_to_string(broker.folder().join("log")).unwrap_or_default();
        log.lines().filter(|line| line.contains("New client connected") && line.contains(" as twin ")).count()
    };
    let end = tokio::time::Instant::now() + TIMEOUT;
    let hint = "is there another client with the id `twin`?";
    while twins.iter_mut().all(|process| count(process, hint) == 0) {
        assert!(tokio::time::Instant::now() < end, "{}", twins[0].output());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let before = connections();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let since = connections() - before;
    assert!(before > 2 && since < 10, "{before} connections before the message, {since} in ten seconds after it");
    for process in &mut twins {
        assert!(count(process, hint) <= 1, "{}", process.output());
        // The first losses are logged each; once the pattern is detected, no more are.
        assert!(count(process, "lost the connection") <= 3, "{}", process.output());
    }
}
