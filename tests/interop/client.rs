//! The MQTT client, tested with mosquitto.

use std::process::Command;
use std::time::Instant;

use rhaid::config::Tls;
use rhaid::event::SenderAck as _;

use super::mosquitto::{self, Listener, Mosquitto};
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn messages_go_both_ways_in_every_qos() {
    let broker = Mosquitto::start("");
    for (protocol, id) in BOTH {
        let mqtt = client(broker.address, id, protocol);
        let topic = format!("温度/{id}/房间1");
        let mut all = subscribe(&mqtt, "温度/{id}/#", 2, Retained::Live).await;
        for qos in ["0", "1", "2"] {
            mosquitto::publish(broker.address, &["-t", &topic, "-m", qos, "-q", qos]);
            let message = next(&mut all).await;
            assert_eq!((message.topic.as_str(), message.qos.to_string().as_str()), (topic.as_str(), qos));
        }
        let listener = Listener::start(broker.address, &["-t", "back/#", "-q", "2", "-F", "%t %q %p"]);
        for qos in 0..=2 {
            publish(&mqtt, "back/温", &qos.to_string(), qos, false).await;
            assert_eq!(listener.line(), format!("back/温 {qos} {qos}"));
        }
        mqtt.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retained_messages_reach_the_subscriptions_that_request_them_once() {
    let mut broker = Mosquitto::start("persistence true\nautosave_interval 1\n");
    for (protocol, id) in BOTH {
        let topic = format!("{id}/r");
        mosquitto::publish(broker.address, &["-t", &topic, "-m", "kept", "-r"]);
        let mqtt = client(broker.address, id, protocol);
        let mut live = subscribe(&mqtt, &topic, 1, Retained::Live).await;
        let mut initial = subscribe(&mqtt, &topic, 1, Retained::Initial).await;
        assert_eq!(text(&mut initial).await, "kept");
        let mut only = subscribe(&mqtt, &topic, 1, Retained::Only).await;
        assert_eq!(text(&mut only).await, "kept");
        broker.signal("USR1");
        tokio::time::sleep(Duration::from_millis(200)).await;
        broker.kill();
        broker.run();
        let mut marked = connect_marker(&mqtt, &broker, &topic).await;
        for subscription in [&mut live, &mut initial] {
            let message = next(subscription).await;
            assert_eq!((&message.payload[..], message.retain), (&b"live"[..], false));
        }
        assert!(only.messages.try_recv().is_none());
        assert_eq!(text(&mut marked).await, "live");
        mqtt.close().await;
    }
}

/// Waits until the client is connected again, and publishes a message; returns a subscription that receives it.
async fn connect_marker(mqtt: &Mqtt, broker: &Mosquitto, topic: &str) -> Subscription {
    let marked = subscribe(mqtt, "#", 1, Retained::Live).await;
    mosquitto::publish(broker.address, &["-t", topic, "-m", "live", "-q", "1"]);
    marked
}

/// Publishes 300 messages while the broker is stopped, killed and restarted without persistence; returns the received messages.
async fn through_a_crash(protocol: Protocol) -> Vec<String> {
    let mut broker = Mosquitto::start("");
    let mqtt = client(broker.address, "one", protocol);
    let mut all = subscribe(&mqtt, "t", 1, Retained::Live).await;
    let reading = tokio::spawn(async move {
        let mut received = Vec::new();
        while received.last().is_none_or(|last| last != "299") {
            received.push(text(&mut all).await);
        }
        received
    });
    let mut deliveries = Vec::new();
    for number in 0..300_u32 {
        deliveries.push(within_timeout(mqtt.send(message("t", &format!("{number:03}"), 1, false))).await.unwrap());
        match number {
            100 => broker.signal("STOP"),
            200 => {
                broker.kill();
                broker.run();
            }
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for delivery in deliveries {
        within_timeout(delivery).await.unwrap();
    }
    within_timeout(reading).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_and_killed_broker_loses_and_reorders_no_message() {
    for protocol in [Protocol::V4, Protocol::V5] {
        let mut received = through_a_crash(protocol).await;
        received.dedup();
        let expected: Vec<_> = (0..300).map(|number| format!("{number:03}")).collect();
        assert_eq!(received, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn overlapping_filters_deliver_once_per_subscription() {
    let broker = Mosquitto::start("");
    for (protocol, id) in BOTH {
        let mqtt = client(broker.address, id, protocol);
        let mut wide = subscribe(&mqtt, "#", 1, Retained::Live).await;
        let mut narrow = subscribe(&mqtt, "a/+", 0, Retained::Live).await;
        for payload in ["1", "2", "3"] {
            mosquitto::publish(broker.address, &["-t", "a/b", "-m", payload, "-q", "1"]);
            assert_eq!((text(&mut wide).await, text(&mut narrow).await), (payload.into(), payload.into()));
        }
        mqtt.close().await;
    }
}

/// Publishes twenty messages a second, and returns the median time to the PUBACK and the delivery.
async fn median_round_trip(mqtt: &Mqtt, all: &mut Subscription) -> Duration {
    let mut times = Vec::new();
    for number in 0..20 {
        let began = Instant::now();
        let number = number.to_string();
        publish(mqtt, "t", &number, 1, false).await;
        assert_eq!(text(all).await, number);
        times.push(began.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    times.sort();
    times[times.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_trip_at_a_low_rate_is_not_delayed_by_nagles_algorithm() {
    let broker = Mosquitto::start("");
    for (protocol, id) in BOTH {
        let mqtt = client(broker.address, id, protocol);
        let mut all = subscribe(&mqtt, "t", 1, Retained::Live).await;
        let mut rounds = Vec::new();
        // Nagle's algorithm would delay every round by 40 ms; a busy machine delays only some.
        while rounds.last().is_none_or(|time| *time >= Duration::from_millis(20)) {
            assert!(rounds.len() < 10, "{id}: {rounds:?}");
            rounds.push(median_round_trip(&mqtt, &mut all).await);
        }
        mqtt.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pubacks_of_a_client_that_receives_its_own_messages_are_not_delayed() {
    let broker = Mosquitto::start("");
    let mqtt = client(broker.address, "echo", Protocol::default());
    let mut subscription = subscribe(&mqtt, "house/#", 0, Retained::Live).await;
    let began = Instant::now();
    for number in 0..25 {
        publish(&mqtt, "house/a", &number.to_string(), 1, false).await;
    }
    let took = began.elapsed();
    // With Nagle's algorithm they took more than a second.
    assert!(took < Duration::from_millis(500), "{took:?}");
    for number in 0..25 {
        assert_eq!(text(&mut subscription).await, number.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unacknowledged_messages_are_redelivered_after_a_reconnect() {
    let broker = Mosquitto::start("");
    for (protocol, id) in BOTH {
        let mqtt = client(broker.address, id, protocol);
        let mut all = subscribe(&mqtt, "t", 1, Retained::Live).await;
        for payload in ["1", "2", "3"] {
            mosquitto::publish(broker.address, &["-t", "t", "-m", payload, "-q", "1"]);
        }
        let held = [next(&mut all).await, next(&mut all).await, next(&mut all).await];
        mqtt.begin_shutdown();
        held[0].ack.as_ref().unwrap().ack();
        drop(held);
        mqtt.close().await;
        mosquitto::publish(broker.address, &["-t", "t", "-m", "4", "-q", "1"]);
        let mqtt = client(broker.address, id, protocol);
        let mut all = mqtt.subscribe(&Filter::parse("t").unwrap(), 1, Retained::Live, None).unwrap();
        for payload in ["2", "3", "4"] {
            assert_eq!(text(&mut all).await, payload);
        }
        mqtt.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn user_name_and_password_are_sent() {
    let broker = Mosquitto::start("");
    let hashed = broker.folder().join("passwords");
    let made = Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&hashed).args(["house", "sesame"]).status();
    assert!(made.unwrap().success());
    let guarded = Mosquitto::start(&format!("allow_anonymous false\npassword_file {}", hashed.display()));
    for (protocol, id) in BOTH {
        let password = Some(rhaid::secrets::Secret::new("sesame"));
        let with_login =
            ConnectionSettings { username: Some("house".into()), password, ..settings(guarded.address, id, protocol) };
        publish(&connect(with_login), "t", "x", 1, false).await;
        let stranger = client(guarded.address, "stranger", protocol);
        let refused = timeout(Duration::from_secs(2), stranger.publish(message("t", "x", 1, false))).await;
        assert!(refused.is_err(), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_trusts_only_the_configured_ca() {
    let plain = Mosquitto::start("");
    let folder = plain.folder().to_owned();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(&folder)
        .output();
    assert!(made.unwrap().status.success());
    let files = format!("certfile {0}/cert.pem\nkeyfile {0}/key.pem\n", folder.display());
    let broker = Mosquitto::start(&files);
    let tls = |ca: Option<&str>, insecure| Tls { ca: ca.map(|name| folder.join(name)), insecure, ..Tls::default() };
    for (tls, is_trusted) in [(tls(Some("cert.pem"), false), true), (tls(None, true), true), (tls(None, false), false)]
    {
        let mqtt = connect(ConnectionSettings { tls: Some(tls), ..settings(broker.address, "one", Protocol::Newest) });
        let sent =
            timeout(Duration::from_secs(if is_trusted { 60 } else { 2 }), mqtt.publish(message("t", "x", 1, false)));
        assert_eq!(sent.await.is_ok_and(|sent| sent.is_ok()), is_trusted, "{:?}", mqtt.states());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_local_suppresses_own_messages() {
    let broker = Mosquitto::start("");
    let mqtt = client(broker.address, "one", Protocol::V5);
    let options = SubscribeOptions { qos: 1, no_local: true, ..SubscribeOptions::default() };
    let mut others = mqtt.subscribe_all(&[Filter::parse("a/#").unwrap()], options, None).unwrap();
    within_timeout(others.ready()).await.unwrap();
    let mut all = subscribe(&mqtt, "a/+", 1, Retained::Live).await;
    publish(&mqtt, "a/b", "ours", 1, false).await;
    assert_eq!(text(&mut all).await, "ours");
    mosquitto::publish(broker.address, &["-t", "a/b", "-m", "theirs", "-q", "1"]);
    assert_eq!((text(&mut all).await, text(&mut others).await), ("theirs".into(), "theirs".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn mqtt_5_properties_are_read_by_other_clients() {
    let broker = Mosquitto::start("");
    let listener = Listener::start(broker.address, &["-V", "5", "-t", "p", "-F", "%C|%R|%D|%E|%P|%p"]);
    let properties = Properties {
        content_type: Some("text/plain".into()),
        response_topic: Some("answer/温".into()),
        correlation_data: Some("x1".into()),
        message_expiry: Some(60),
        user: vec![("a".into(), "b".into()), ("a".into(), "c".into())],
    };
    let carrying = Publish { properties: Some(Box::new(properties)), ..message("p", "x", 1, false) };
    for (protocol, id) in BOTH {
        let mqtt = client(broker.address, id, protocol);
        within_timeout(mqtt.publish(carrying.clone())).await.unwrap();
        mqtt.close().await;
    }
    assert!(listener.line().ends_with("|x"), "MQTT 3.1.1 has no properties");
    assert_eq!(listener.line(), "text/plain|answer/温|x1|60|a:b a:c|x");
}

#[tokio::test(flavor = "multi_thread")]
async fn topic_aliases_are_resolved_for_subscribers() {
    // mosquitto's default topic alias maximum is 10.
    let broker = Mosquitto::start("");
    let listener = Listener::start(broker.address, &["-t", "alias/#", "-q", "1", "-F", "%t %p"]);
    let mqtt = client(broker.address, "one", Protocol::V5);
    let mut all = subscribe(&mqtt, "alias/#", 1, Retained::Live).await;
    for round in 0..3 {
        for number in 0..12 {
            publish(&mqtt, &format!("alias/{number}"), &round.to_string(), 1, false).await;
            assert_eq!(listener.line(), format!("alias/{number} {round}"));
            assert_eq!(next(&mut all).await.topic, format!("alias/{number}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retained_messages_repeated_for_one_subscription_reach_no_other() {
    let broker = Mosquitto::start("");
    for (protocol, id) in BOTH {
        let (filter, before, since) = (format!("{id}/#"), format!("{id}/before"), format!("{id}/since"));
        mosquitto::publish(broker.address, &["-t", &before, "-m", "kept", "-r", "-q", "1"]);
        let mqtt = client(broker.address, id, protocol);
        let mut live = subscribe(&mqtt, &filter, 1, Retained::Live).await;
        let mut only = subscribe(&mqtt, &filter, 1, Retained::Only).await;
        assert_eq!(text(&mut only).await, "kept");
        mosquitto::publish(broker.address, &["-t", &since, "-m", "new", "-r", "-q", "1"]);
        assert_eq!(text(&mut live).await, "new");
        // The broker sends both again for this subscription.
        let mut initial = subscribe(&mqtt, &filter, 1, Retained::Initial).await;
        let mut repeated = [text(&mut initial).await, text(&mut initial).await];
        repeated.sort();
        assert_eq!(repeated, ["kept", "new"]);
        assert!(only.messages.try_recv().is_none() && live.messages.try_recv().is_none(), "{id}");
        mqtt.close().await;
    }
}
