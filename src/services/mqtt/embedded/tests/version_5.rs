//! What only MQTT 5 has.

use super::*;

const MAX: u8 = 0x21;

#[tokio::test]
async fn the_greeting_says_what_is_granted() {
    let broker = Broker::start_with(|embedded| {
        embedded.max_keep_alive = std::time::Duration::from_secs(60);
        embedded.max_packet = Some(5_000);
    })
    .await;
    let asks = Hello { keep_alive: 120, properties: vec![0x11, 0xff, 0xff, 0xff, 0xff], ..hello("") };
    let (_client, answer) = Raw::greet(broker.address(), 5, &asks).await;
    let has = |wanted: &[u8]| answer.windows(wanted.len()).any(|window| window == wanted);
    assert!(has(&[0x13, 0, 60]), "keep-alive: {answer:?}");
    assert!(has(&[0x27, 0, 0, 0x13, 0x88]), "largest packet: {answer:?}");
    assert!(has(&[0x11, 0, 0x27, 0x8d, 0]), "30 days: {answer:?}");
    assert!(has(b"auto-"), "client id: {answer:?}");
    assert!(has(&[MAX, 3, 0xe8]) && has(&[0x22, 0, 32]), "{answer:?}");
}

#[tokio::test]
async fn a_session_ends_when_it_was_said_to() {
    let broker = Broker::start().await;
    let short = Hello { clean: false, properties: vec![0x11, 0, 0, 0, 1], ..hello("short") };
    let mut client = broker.connect(5, short.clone()).await;
    client.subscribe("t", 1).await;
    client.vanish().await;
    let (client, answer) = Raw::greet(broker.address(), 5, &short).await;
    assert_eq!(answer[0], 1);
    client.vanish().await;
    tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    let (mut client, answer) = Raw::greet(broker.address(), 5, &short).await;
    assert_eq!(answer[0], 0);
    // A goodbye may change it.
    client.send(&packet(0xe0, &[0, 5, 0x11, 0, 0, 0, 0])).await;
    while client.maybe_packet().await.is_some() {}
    assert_eq!(Raw::greet(broker.address(), 5, &short).await.1[0], 0);
    let mut client = broker.connect(5, hello("never kept")).await;
    client.send(&packet(0xe0, &[0, 5, 0x11, 0, 0, 0, 9])).await;
    client.expect_end(0x82).await;
}

#[tokio::test]
async fn a_will_may_wait_for_its_client_to_come_back() {
    let broker = Broker::start().await;
    let mut listener = broker.connect(5, hello("listener")).await;
    listener.subscribe("w", 0).await;
    let dying = Hello { will: Some((0, vec![0x18, 0, 0, 0, 1], "w", "gone")), ..kept("dying") };
    broker.connect(5, dying.clone()).await.vanish().await;
    listener.expect_nothing().await;
    broker.connect(5, kept("dying")).await.leave().await;
    broker.connect(5, dying).await.vanish().await;
    let began = std::time::Instant::now();
    assert_eq!(listener.next().await.payload, "gone");
    assert!(began.elapsed().as_millis() > 800);
    listener.expect_nothing().await;
    // It does not wait longer than the session, which ends when the client begins anew.
    let slow = Hello { will: Some((0, vec![0x18, 0, 0, 0xff, 0], "w", "anew")), ..kept("anew") };
    broker.connect(5, slow).await.vanish().await;
    broker.connect(5, hello("anew")).await.leave().await;
    assert_eq!(listener.next().await.payload, "anew");
    let at_once = Hello { will: Some((0, vec![0x18, 0, 0, 0xff, 0], "w", "at once")), ..hello("unkept") };
    broker.connect(5, at_once).await.vanish().await;
    assert_eq!(listener.next().await.payload, "at once");
}

#[tokio::test]
async fn options_of_a_subscription_are_kept_to() {
    let broker = Broker::start().await;
    let mut client = broker.connect(5, hello("c")).await;
    let mut other = broker.connect(5, hello("other")).await;
    client.subscribe_with("t", 4, &[]).await;
    client.publish(0, &[], "t", "own").await;
    client.expect_nothing().await;
    other.publish(1, &[], "t", "kept").await;
    assert_eq!((client.next().await.flags, other.expect_nothing().await), (0, ()));
    client.subscribe_with("t", 8, &[]).await;
    let got = client.next().await;
    assert_eq!((got.flags, got.payload.as_str()), (1, "kept"), "it is subscribed again, so the retained one comes");
    other.publish(1, &[], "t", "kept").await;
    assert_eq!(client.next().await.flags, 1, "as it was published");
    client.subscribe_with("t", 0x10, &[]).await;
    client.expect_nothing().await;
    client.subscribe_with("+", 0x10, &[]).await;
    assert_eq!(client.next().await.payload, "kept", "a new one");
    client.subscribe_with("#", 0x20, &[]).await;
    client.expect_nothing().await;
}

#[tokio::test]
async fn messages_name_the_subscriptions_for_which_they_come_and_keep_their_properties() {
    let broker = Broker::start().await;
    let mut client = broker.connect(5, hello("c")).await;
    client.subscribe_with("t", 0, &[0x0b, 1]).await;
    client.subscribe_with("#", 0, &[0x0b, 0x80, 1]).await;
    let user = [vec![0x26], text("a"), text("1"), vec![0x26], text("a"), text("2")].concat();
    let properties =
        [vec![1, 1, 3], text("text/plain"), vec![8], text("answer/here"), vec![9], text([0xff, 0]), user].concat();
    client.publish(0, &properties, "t", "x").await;
    let mut got = client.next().await.properties;
    let mut numbers = got.split_off(properties.len());
    assert_eq!(got, properties);
    if numbers.starts_with(&[0x0b, 0x80]) {
        numbers.rotate_left(3);
    }
    assert_eq!(numbers, [0x0b, 1, 0x0b, 0x80, 1]);
}

#[tokio::test]
async fn a_message_runs_out() {
    let mut broker = Broker::start().await;
    let mut client = broker.connect(5, kept("c")).await;
    client.subscribe("#", 1).await;
    client.leave().await;
    let mut sender = broker.connect(5, hello("sender")).await;
    for (seconds, payload) in [(1, "short"), (100, "long")] {
        sender.publish_surely(1, &[2, 0, 0, 0, seconds], payload, payload).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    broker.start_again().await;
    let mut client = broker.connect(5, kept("c")).await;
    let got = client.next().await;
    assert_eq!((got.payload.as_str(), &got.properties[..4]), ("long", &[2, 0, 0, 0][..]));
    assert!((90..100).contains(&got.properties[4]), "{got:?}");
    client.ack(0x40, got.id).await;
    client.subscribe_with("+", 0, &[]).await;
    assert_eq!(client.next().await.payload, "long");
    client.expect_nothing().await;
}

#[tokio::test]
async fn aliases_stand_for_topics_both_ways() {
    let broker = Broker::start().await;
    let mut client = broker.connect(5, Hello { properties: vec![0x22, 0, 1], ..hello("c") }).await;
    client.subscribe("#", 0).await;
    for (topic, payload) in [("a", "1"), ("", "2"), ("b", "3"), ("", "4")] {
        client.publish(0, &[0x23, 0, 7], topic, payload).await;
    }
    let mut all = Vec::new();
    for _ in 0..4 {
        let got = client.next().await;
        all.push((got.topic, got.properties, got.payload));
    }
    let got = |topic: &str, properties: &[u8], payload: &str| (topic.into(), properties.to_vec(), payload.into());
    let ours = [0x23, 0, 1];
    assert_eq!(all, [got("a", &ours, "1"), got("", &ours, "2"), got("b", &[], "3"), got("b", &[], "4")]);
    for (alias, reason) in [([0x23, 0, 0], 0x94), ([0x23, 0, 33], 0x94), ([0x23, 0, 9], 0x82)] {
        let mut client = broker.connect(5, hello("c")).await;
        client.publish(0, &alias, if reason == 0x82 { "" } else { "t" }, "x").await;
        client.expect_end(reason).await;
    }
}

#[tokio::test]
async fn no_more_is_on_the_way_than_a_client_takes() {
    let broker = Broker::start().await;
    let mut client = broker.connect(5, Hello { properties: vec![MAX, 0, 2], ..hello("c") }).await;
    client.subscribe("t", 1).await;
    let mut sender = broker.connect(5, hello("sender")).await;
    for payload in ["1", "2", "3"] {
        sender.publish_surely(0, &[], "t", payload).await;
    }
    let (first, _) = (client.next().await, client.next().await);
    client.expect_nothing().await;
    sender.publish(0, &[], "t", "0").await;
    assert_eq!(client.next().await.payload, "0", "QoS 0 does not wait for the window");
    client.ack(0x40, first.id).await;
    assert_eq!(client.next().await.payload, "3");
    // The other way round.
    for id in 1..=1_001 {
        let bytes = sender.message(4, id, &[], "nobody", b"");
        sender.send(&bytes).await;
    }
    sender.expect_end(0x93).await;
}

#[tokio::test]
async fn a_packet_too_large_for_a_client_is_not_for_it_and_one_too_large_for_us_ends_the_connection() {
    let broker = Broker::start_with(|embedded| embedded.max_packet = Some(2_000)).await;
    let mut client = broker.connect(5, Hello { properties: vec![0x27, 0, 0, 0, 40], ..hello("c") }).await;
    client.subscribe("t", 1).await;
    let mut sender = broker.connect(5, hello("sender")).await;
    sender.publish_surely(0, &[], "t", &"x".repeat(40)).await;
    sender.publish_surely(0, &[], "t", "small").await;
    assert_eq!(client.next().await.payload, "small");
    sender.publish(0, &[], "t", &"x".repeat(2_000)).await;
    sender.expect_end(0x95).await;
    let mut old = broker.connect(4, hello("old")).await;
    old.publish(0, &[], "t", &"x".repeat(2_000)).await;
    old.expect_end(0).await;
}

#[tokio::test]
async fn reasons_are_told() {
    let broker = Broker::start().await;
    let mut client = broker.connect(5, hello("c")).await;
    assert_eq!(client.publish_surely(0, &[], "nobody", "x").await, 0x10);
    assert_eq!(client.publish_surely(0, &[], "$SYS/x", "x").await, 0x87);
    client.publish(0, &[], "a/+", "x").await;
    client.expect_end(0x90).await;
    let cases: [(&[u8], u8); 6] = [
        (&hello("c").bytes(5), 0x82),
        (&[0xf0, 0], 0x82),
        (&[0x36, 5, 0, 1, b'a', 0, 1], 0x81),
        (&[0x62, 2, 0, 0], 0x82),
        (&packet(0x82, &[0, 1, 2, 0x0b, 0, 0, 1, b'a', 0]), 0x82),
        (&packet(0x30, &[0, 1, b'a', 4, 1, 0, 1, 1]), 0x82),
    ];
    for (bytes, reason) in cases {
        let mut client = broker.connect(5, hello("c")).await;
        client.send(bytes).await;
        client.expect_end(reason).await;
    }
    let method = [vec![0x15], text("SCRAM")].concat();
    let (_, answer) = Raw::greet(broker.address(), 5, &Hello { properties: method, ..hello("c") }).await;
    assert_eq!(answer[1], 0x8c);
}

#[tokio::test]
async fn all_hear_that_the_broker_stops_and_no_will_is_told() {
    let broker = Broker::start().await;
    let mut listener = broker.connect(5, hello("listener")).await;
    listener.subscribe("#", 0).await;
    let mut client = broker.connect(5, Hello { will: Some((0, vec![], "w", "gone")), ..hello("c") }).await;
    broker.embedded.stop().await;
    client.expect_end(0x8b).await;
    listener.expect_end(0x8b).await;
}

#[tokio::test]
async fn who_confirms_nothing_has_no_more_bytes_on_the_way_than_may_wait() {
    let broker = Broker::start_with(|embedded| embedded.max_queued_bytes = 50_000).await;
    let mut client = broker.connect(5, hello("c")).await;
    client.subscribe("t", 1).await;
    let mut sender = broker.connect(5, hello("sender")).await;
    for _ in 0..20 {
        sender.publish_surely(0, &[], "t", &"x".repeat(10_000)).await;
    }
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(client.next().await.id);
    }
    client.expect_nothing().await;
    client.ack(0x40, ids[0]).await;
    client.next().await;
    client.expect_nothing().await;
}
