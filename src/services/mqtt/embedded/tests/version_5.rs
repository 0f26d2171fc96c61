//! Features of MQTT 5 only.

use super::*;

const MAX: u8 = 0x21;

#[tokio::test]
async fn connack_contains_the_granted_limits() {
    let broker = Broker::start_with(|embedded| {
        embedded.max_keep_alive = std::time::Duration::from_secs(60);
        embedded.max_packet = Some(5_000);
    })
    .await;
    let asks = ConnectFields { keep_alive: 120, properties: vec![0x11, 0xff, 0xff, 0xff, 0xff], ..clean_session("") };
    let (_client, answer) = RawClient::try_connect(broker.address(), 5, &asks).await;
    let has = |wanted: &[u8]| answer.windows(wanted.len()).any(|receive_maximum| receive_maximum == wanted);
    assert!(has(&[0x13, 0, 60]), "keep-alive: {answer:?}");
    assert!(has(&[0x27, 0, 0, 0x13, 0x88]), "largest packet: {answer:?}");
    assert!(has(&[0x11, 0, 0x27, 0x8d, 0]), "30 days: {answer:?}");
    assert!(has(b"auto-"), "client id: {answer:?}");
    assert!(has(&[MAX, 3, 0xe8]) && has(&[0x22, 0, 32]), "{answer:?}");
}

#[tokio::test]
async fn a_session_ends_after_its_expiry_interval() {
    let broker = Broker::start().await;
    let short = ConnectFields { clean_start: false, properties: vec![0x11, 0, 0, 0, 1], ..clean_session("short") };
    let mut client = broker.connect(5, short.clone()).await;
    client.subscribe("t", 1).await;
    client.drop_connection().await;
    let (client, answer) = RawClient::try_connect(broker.address(), 5, &short).await;
    assert_eq!(answer[0], 1);
    client.drop_connection().await;
    tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    let (mut client, answer) = RawClient::try_connect(broker.address(), 5, &short).await;
    assert_eq!(answer[0], 0);
    // DISCONNECT may change the interval.
    client.send(&packet(0xe0, &[0, 5, 0x11, 0, 0, 0, 0])).await;
    while client.maybe_packet().await.is_some() {}
    assert_eq!(RawClient::try_connect(broker.address(), 5, &short).await.1[0], 0);
    let mut client = broker.connect(5, clean_session("not persistent")).await;
    client.send(&packet(0xe0, &[0, 5, 0x11, 0, 0, 0, 9])).await;
    client.expect_end(0x82).await;
}

#[tokio::test]
async fn a_will_with_a_delay_is_cancelled_by_a_reconnect() {
    let broker = Broker::start().await;
    let mut listener = broker.connect(5, clean_session("listener")).await;
    listener.subscribe("w", 0).await;
    let client_with_will = ConnectFields {
        will: Some((0, vec![0x18, 0, 0, 0, 1], "w", "gone")),
        ..persistent_session("client_with_will")
    };
    broker.connect(5, client_with_will.clone()).await.drop_connection().await;
    listener.expect_nothing().await;
    broker.connect(5, persistent_session("client_with_will")).await.disconnect().await;
    broker.connect(5, client_with_will).await.drop_connection().await;
    let began = std::time::Instant::now();
    assert_eq!(listener.next().await.payload, "gone");
    assert!(began.elapsed().as_millis() > 800);
    listener.expect_nothing().await;
    // A will is not delayed beyond the end of its session, which a clean start ends.
    let slow = ConnectFields { will: Some((0, vec![0x18, 0, 0, 0xff, 0], "w", "anew")), ..persistent_session("anew") };
    broker.connect(5, slow).await.drop_connection().await;
    broker.connect(5, clean_session("anew")).await.disconnect().await;
    assert_eq!(listener.next().await.payload, "anew");
    let at_once =
        ConnectFields { will: Some((0, vec![0x18, 0, 0, 0xff, 0], "w", "at once")), ..clean_session("not persistent") };
    broker.connect(5, at_once).await.drop_connection().await;
    assert_eq!(listener.next().await.payload, "at once");
}

#[tokio::test]
async fn subscription_options_are_honoured() {
    let broker = Broker::start().await;
    let mut client = broker.connect(5, clean_session("c")).await;
    let mut other = broker.connect(5, clean_session("other")).await;
    client.subscribe_with("t", 4, &[]).await;
    client.publish(0, &[], "t", "own").await;
    client.expect_nothing().await;
    other.publish(1, &[], "t", "kept").await;
    assert_eq!((client.next().await.flags, other.expect_nothing().await), (0, ()));
    client.subscribe_with("t", 8, &[]).await;
    let received = client.next().await;
    assert_eq!(
        (received.flags, received.payload.as_str()),
        (1, "kept"),
        "a repeated subscription receives the retained message"
    );
    other.publish(1, &[], "t", "kept").await;
    assert_eq!(client.next().await.flags, 1, "retain as published");
    client.subscribe_with("t", 0x10, &[]).await;
    client.expect_nothing().await;
    client.subscribe_with("+", 0x10, &[]).await;
    assert_eq!(client.next().await.payload, "kept", "a new subscription");
    client.subscribe_with("#", 0x20, &[]).await;
    client.expect_nothing().await;
}

#[tokio::test]
async fn messages_carry_subscription_identifiers_and_forwarded_properties() {
    let broker = Broker::start().await;
    let mut client = broker.connect(5, clean_session("c")).await;
    client.subscribe_with("t", 0, &[0x0b, 1]).await;
    client.subscribe_with("#", 0, &[0x0b, 0x80, 1]).await;
    let user = [vec![0x26], text("a"), text("1"), vec![0x26], text("a"), text("2")].concat();
    let properties =
        [vec![1, 1, 3], text("text/plain"), vec![8], text("answer/here"), vec![9], text([0xff, 0]), user].concat();
    client.publish(0, &properties, "t", "x").await;
    let mut received = client.next().await.properties;
    let mut numbers = received.split_off(properties.len());
    assert_eq!(received, properties);
    if numbers.starts_with(&[0x0b, 0x80]) {
        numbers.rotate_left(3);
    }
    assert_eq!(numbers, [0x0b, 1, 0x0b, 0x80, 1]);
}

#[tokio::test]
async fn a_message_expires() {
    let mut broker = Broker::start().await;
    let mut client = broker.connect(5, persistent_session("c")).await;
    client.subscribe("#", 1).await;
    client.disconnect().await;
    let mut sender = broker.connect(5, clean_session("sender")).await;
    for (seconds, payload) in [(1, "short"), (100, "long")] {
        sender.publish_qos1(1, &[2, 0, 0, 0, seconds], payload, payload).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    broker.restart().await;
    let mut client = broker.connect(5, persistent_session("c")).await;
    let received = client.next().await;
    assert_eq!((received.payload.as_str(), &received.properties[..4]), ("long", &[2, 0, 0, 0][..]));
    assert!((90..100).contains(&received.properties[4]), "{received:?}");
    client.ack(0x40, received.id).await;
    client.subscribe_with("+", 0, &[]).await;
    assert_eq!(client.next().await.payload, "long");
    client.expect_nothing().await;
}

#[tokio::test]
async fn topic_aliases_work_in_both_directions() {
    let broker = Broker::start().await;
    let mut client = broker.connect(5, ConnectFields { properties: vec![0x22, 0, 1], ..clean_session("c") }).await;
    client.subscribe("#", 0).await;
    for (topic, payload) in [("a", "1"), ("", "2"), ("b", "3"), ("", "4")] {
        client.publish(0, &[0x23, 0, 7], topic, payload).await;
    }
    let mut all = Vec::new();
    for _ in 0..4 {
        let received = client.next().await;
        all.push((received.topic, received.properties, received.payload));
    }
    let received = |topic: &str, properties: &[u8], payload: &str| (topic.into(), properties.to_vec(), payload.into());
    let ours = [0x23, 0, 1];
    assert_eq!(
        all,
        [received("a", &ours, "1"), received("", &ours, "2"), received("b", &[], "3"), received("b", &[], "4")]
    );
    for (alias, reason) in [([0x23, 0, 0], 0x94), ([0x23, 0, 33], 0x94), ([0x23, 0, 9], 0x82)] {
        let mut client = broker.connect(5, clean_session("c")).await;
        client.publish(0, &alias, if reason == 0x82 { "" } else { "t" }, "x").await;
        client.expect_end(reason).await;
    }
}

#[tokio::test]
async fn the_receive_maximum_limits_messages_in_flight_in_both_directions() {
    let broker = Broker::start().await;
    let mut client = broker.connect(5, ConnectFields { properties: vec![MAX, 0, 2], ..clean_session("c") }).await;
    client.subscribe("t", 1).await;
    let mut sender = broker.connect(5, clean_session("sender")).await;
    for payload in ["1", "2", "3"] {
        sender.publish_qos1(0, &[], "t", payload).await;
    }
    let (first, _) = (client.next().await, client.next().await);
    client.expect_nothing().await;
    sender.publish(0, &[], "t", "0").await;
    assert_eq!(client.next().await.payload, "0", "QoS 0 is not limited by the receive maximum");
    client.ack(0x40, first.id).await;
    assert_eq!(client.next().await.payload, "3");
    // From the client to the broker.
    for id in 1..=1_001 {
        let bytes = sender.message(4, id, &[], "unsubscribed", b"");
        sender.send(&bytes).await;
    }
    sender.expect_end(0x93).await;
}

#[tokio::test]
async fn a_packet_too_large_for_a_client_is_dropped_and_one_too_large_for_the_broker_ends_the_connection() {
    let broker = Broker::start_with(|embedded| embedded.max_packet = Some(2_000)).await;
    let mut client =
        broker.connect(5, ConnectFields { properties: vec![0x27, 0, 0, 0, 40], ..clean_session("c") }).await;
    client.subscribe("t", 1).await;
    let mut sender = broker.connect(5, clean_session("sender")).await;
    sender.publish_qos1(0, &[], "t", &"x".repeat(40)).await;
    sender.publish_qos1(0, &[], "t", "small").await;
    assert_eq!(client.next().await.payload, "small");
    sender.publish(0, &[], "t", &"x".repeat(2_000)).await;
    sender.expect_end(0x95).await;
    let mut old = broker.connect(4, clean_session("old")).await;
    old.publish(0, &[], "t", &"x".repeat(2_000)).await;
    old.expect_end(0).await;
}

#[tokio::test]
async fn reason_codes_are_sent() {
    let broker = Broker::start().await;
    let mut client = broker.connect(5, clean_session("c")).await;
    assert_eq!(client.publish_qos1(0, &[], "unsubscribed", "x").await, 0x10);
    assert_eq!(client.publish_qos1(0, &[], "$SYS/x", "x").await, 0x87);
    client.publish(0, &[], "a/+", "x").await;
    client.expect_end(0x90).await;
    let cases: [(&[u8], u8); 6] = [
        (&clean_session("c").bytes(5), 0x82),
        (&[0xf0, 0], 0x82),
        (&[0x36, 5, 0, 1, b'a', 0, 1], 0x81),
        (&[0x62, 2, 0, 0], 0x82),
        (&packet(0x82, &[0, 1, 2, 0x0b, 0, 0, 1, b'a', 0]), 0x82),
        (&packet(0x30, &[0, 1, b'a', 4, 1, 0, 1, 1]), 0x82),
    ];
    for (bytes, reason) in cases {
        let mut client = broker.connect(5, clean_session("c")).await;
        client.send(bytes).await;
        client.expect_end(reason).await;
    }
    let method = [vec![0x15], text("SCRAM")].concat();
    let (_, answer) =
        RawClient::try_connect(broker.address(), 5, &ConnectFields { properties: method, ..clean_session("c") }).await;
    assert_eq!(answer[1], 0x8c);
}

#[tokio::test]
async fn clients_receive_disconnect_when_the_broker_stops_and_no_will_is_published() {
    let broker = Broker::start().await;
    let mut listener = broker.connect(5, clean_session("listener")).await;
    listener.subscribe("#", 0).await;
    let mut client =
        broker.connect(5, ConnectFields { will: Some((0, vec![], "w", "gone")), ..clean_session("c") }).await;
    broker.embedded.stop().await;
    client.expect_end(0x8b).await;
    listener.expect_end(0x8b).await;
}

#[tokio::test]
async fn bytes_in_flight_to_a_client_that_does_not_acknowledge_are_limited() {
    let broker = Broker::start_with(|embedded| embedded.max_queued_bytes = 50_000).await;
    let mut client = broker.connect(5, clean_session("c")).await;
    client.subscribe("t", 1).await;
    let mut sender = broker.connect(5, clean_session("sender")).await;
    for _ in 0..20 {
        sender.publish_qos1(0, &[], "t", &"x".repeat(10_000)).await;
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
