//! Tests against a misbehaving broker.

use rumqttc::mqttbytes::v4::{Packet, PubAck, PubRec, PubRel};

use super::misbehaving_broker::MisbehavingBroker;
use super::*;
use crate::config::{Backoff, OutboxFull};
use crate::services::mqtt::{ConnectionState, Error};
use crate::services::store::Store;

fn qos_1(payload: &str) -> Publish {
    Publish { topic: "t".into(), payload: payload.to_owned().into(), qos: 1, ..Publish::default() }
}

#[tokio::test]
async fn in_a_new_session_all_filters_are_subscribed_again_in_one_packet() {
    let broker = MisbehavingBroker::listen().await;
    let mqtt = client_3_1_1(broker.address(), "x");
    let mut first = mqtt.subscribe(&Filter::parse("a/+").unwrap(), 1, Retained::Live, None).unwrap();
    let _second = mqtt.subscribe(&Filter::parse("b/{id}").unwrap(), 0, Retained::Live, None).unwrap();
    let _same = mqtt.subscribe(&Filter::parse("b/{other}").unwrap(), 0, Retained::Live, None).unwrap();
    let mut peer = broker.accept(false).await;
    assert_eq!(peer.grant().await, ["a/+", "b/+"]);
    drop(peer);
    let mut peer = broker.accept(false).await;
    assert_eq!(peer.grant().await, ["a/+", "b/+"]);
    peer.send("a/1", "back", 1, false).await;
    assert_eq!(text(&mut first).await, "back");
    assert!(matches!(peer.read().await, Packet::PubAck(PubAck { pkid: 1 })), "and no filter was subscribed twice");
    drop(peer);
    let mut peer = broker.accept(true).await;
    peer.send("a/1", "remembered", 1, false).await;
    assert_eq!(text(&mut first).await, "remembered");
    assert!(matches!(peer.read().await, Packet::PubAck(_)), "nothing is subscribed again in a resumed session");
}

#[tokio::test]
async fn an_unused_filter_is_unsubscribed_once() {
    let broker = MisbehavingBroker::listen().await;
    let mqtt = client_3_1_1(broker.address(), "x");
    let first = mqtt.subscribe(&Filter::parse("a").unwrap(), 0, Retained::Live, None).unwrap();
    let mut peer = broker.accept(false).await;
    peer.grant().await;
    let second = subscribe(&mqtt, "a", 0, Retained::Live).await;
    drop(first);
    drop(second);
    let Packet::Unsubscribe(unsubscribe) = peer.read().await else { panic!("no UNSUBSCRIBE") };
    assert_eq!(unsubscribe.topics, ["a"]);
}

#[tokio::test]
async fn a_message_is_acknowledged_when_the_last_subscriber_drops_it() {
    let broker = MisbehavingBroker::listen().await;
    let mqtt = client_3_1_1(broker.address(), "x");
    let mut one = mqtt.subscribe(&Filter::parse("t").unwrap(), 1, Retained::Live, None).unwrap();
    let mut two = mqtt.subscribe(&Filter::parse("t").unwrap(), 1, Retained::Live, None).unwrap();
    let mut peer = broker.accept(false).await;
    peer.grant().await;
    peer.send("t", "x", 7, false).await;
    drop(next(&mut one).await);
    let held = next(&mut two).await;
    expect_only_marker(&mqtt, &mut peer).await;
    drop(held);
    assert!(matches!(peer.read().await, Packet::PubAck(PubAck { pkid: 7 })));
}

/// Publishes a marker and checks that no other packet came before it.
async fn expect_only_marker(mqtt: &Mqtt, peer: &mut super::misbehaving_broker::ClientConnection) {
    publish(mqtt, "other", "marker", 0, false).await;
    assert_eq!(peer.message().await.0, "marker");
}

#[tokio::test]
async fn a_message_that_is_sent_again_is_not_delivered_twice() {
    let broker = MisbehavingBroker::listen().await;
    let mqtt = client_3_1_1(broker.address(), "x");
    let mut all = mqtt.subscribe(&Filter::parse("t").unwrap(), 1, Retained::Live, None).unwrap();
    let mut peer = broker.accept(false).await;
    peer.grant().await;
    peer.send("t", "x", 7, false).await;
    let held = next(&mut all).await;
    drop(peer);
    let mut peer = broker.accept(true).await;
    drop(held);
    expect_only_marker(&mqtt, &mut peer).await;
    peer.send("t", "x", 7, true).await;
    assert!(matches!(peer.read().await, Packet::PubAck(PubAck { pkid: 7 })));
    assert!(all.messages.try_recv().is_none());
}

#[tokio::test]
async fn a_pubrel_of_an_unknown_message_is_answered() {
    let broker = MisbehavingBroker::listen().await;
    let mqtt = client_3_1_1(broker.address(), "x");
    let _all = mqtt.subscribe(&Filter::parse("t").unwrap(), 2, Retained::Live, None).unwrap();
    let mut peer = broker.accept(false).await;
    peer.grant().await;
    for _ in 0..3 {
        peer.write(Packet::PubRel(PubRel::new(99))).await;
        assert!(matches!(peer.read().await, Packet::PubComp(done) if done.pkid == 99));
    }
    expect_only_marker(&mqtt, &mut peer).await;
}

#[tokio::test]
async fn messages_in_flight_when_the_connection_is_lost_arrive_in_order() {
    let broker = MisbehavingBroker::listen().await;
    let mqtt = client_3_1_1(broker.address(), "x");
    let mut deliveries = Vec::new();
    for number in 0..10 {
        deliveries.push(mqtt.send(qos_1(&number.to_string())).await.unwrap());
    }
    let mut peer = broker.accept(false).await;
    for number in 0..10 {
        assert_eq!(peer.message().await.0, number.to_string());
    }
    // The broker acknowledges out of order, then closes the connection.
    peer.write(Packet::PubAck(PubAck::new(4))).await;
    peer.write(Packet::PubAck(PubAck::new(6))).await;
    soon(deliveries.remove(5)).await.unwrap();
    soon(deliveries.remove(3)).await.unwrap();
    drop(peer);
    while mqtt.is_connected(None) {
        tokio::task::yield_now().await;
    }
    for number in 10..13 {
        deliveries.push(mqtt.send(qos_1(&number.to_string())).await.unwrap());
    }
    let mut peer = broker.accept(false).await;
    let mut seen = Vec::new();
    for _ in 0..11 {
        let (payload, id) = peer.message().await;
        seen.push(payload);
        peer.write(Packet::PubAck(PubAck::new(id))).await;
    }
    assert_eq!(seen, ["0", "1", "2", "4", "6", "7", "8", "9", "10", "11", "12"]);
    for delivery in deliveries {
        soon(delivery).await.unwrap();
    }
}

#[tokio::test]
async fn an_unacknowledged_first_message_blocks_no_later_one() {
    let broker = MisbehavingBroker::listen().await;
    let settings = ConnectionSettings { max_inflight: 3, ..settings(broker.address(), "x") };
    let mqtt = connect(ConnectionSettings { protocol: Protocol::V4, ..settings });
    let mut deliveries = Vec::new();
    for number in 0..30 {
        deliveries.push(mqtt.send(qos_1(&number.to_string())).await.unwrap());
    }
    let mut peer = broker.accept(false).await;
    let (first, unconfirmed) = peer.message().await;
    assert_eq!(first, "0");
    for number in 1..30 {
        let (payload, id) = peer.message().await;
        assert!(payload == number.to_string() && id != unconfirmed, "{payload} has the id {id}");
        peer.write(Packet::PubAck(PubAck::new(id))).await;
    }
    peer.write(Packet::PubAck(PubAck::new(unconfirmed))).await;
    for delivery in deliveries {
        soon(delivery).await.unwrap();
    }
}

#[tokio::test]
async fn at_most_max_inflight_messages_are_in_flight() {
    let broker = MisbehavingBroker::listen().await;
    let settings = ConnectionSettings { max_inflight: 3, ..settings(broker.address(), "x") };
    let mqtt = connect(ConnectionSettings { protocol: Protocol::V4, ..settings });
    for number in 0..5 {
        drop(mqtt.send(qos_1(&number.to_string())).await.unwrap());
    }
    // A SUBSCRIBE overtakes delayed messages, which shows that they are delayed.
    let mut peer = broker.accept(false).await;
    let mut ids = Vec::new();
    for number in 0..3 {
        let (payload, id) = peer.message().await;
        assert_eq!(payload, number.to_string());
        ids.push(id);
    }
    let _subscription = mqtt.subscribe(&Filter::parse("t").unwrap(), 0, Retained::Live, None).unwrap();
    peer.grant().await;
    for number in 3..5 {
        peer.write(Packet::PubAck(PubAck::new(ids.remove(0)))).await;
        assert_eq!(peer.message().await.0, number.to_string());
    }
}

#[tokio::test]
async fn a_resumed_session_continues_qos_2_with_pubrel() {
    let broker = MisbehavingBroker::listen().await;
    let mqtt = client_3_1_1(broker.address(), "x");
    let delivery = mqtt.send(Publish { qos: 2, ..qos_1("once") }).await.unwrap();
    let mut peer = broker.accept(false).await;
    let (_, id) = peer.message().await;
    peer.write(Packet::PubRec(PubRec::new(id))).await;
    assert!(matches!(peer.read().await, Packet::PubRel(_)));
    drop(peer);
    let mut peer = broker.accept(true).await;
    assert!(matches!(peer.read().await, Packet::PubRel(release) if release.pkid == id));
    peer.write(Packet::PubComp(rumqttc::mqttbytes::v4::PubComp::new(id))).await;
    soon(delivery).await.unwrap();
}

#[tokio::test]
async fn while_the_broker_is_offline_the_outbox_takes_messages_up_to_its_capacity() {
    let address = MisbehavingBroker::listen().await.address();
    let mqtt = client_3_1_1(address, "x");
    publish(&mqtt, "t", "0", 0, false).await;
    let mut taken = 1;
    let refused = loop {
        match soon(mqtt.send(qos_1("x"))).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((taken, refused), (1_000, Error::NotConnected { broker: "default".into(), waiting: 1_000 }));
    let again = soon(mqtt.publish(Publish { qos: 0, ..qos_1("x") })).await;
    assert!(matches!(again, Err(Error::NotConnected { .. })));
}

#[tokio::test]
async fn the_overflow_policy_drop_oldest_keeps_the_newest_messages() {
    let broker = MisbehavingBroker::listen().await;
    let settings =
        ConnectionSettings { outbox: 3, outbox_full: OutboxFull::DropOldest, ..settings(broker.address(), "x") };
    let mqtt = connect(ConnectionSettings { protocol: Protocol::V4, ..settings });
    let _subscription = mqtt.subscribe(&Filter::parse("t").unwrap(), 0, Retained::Live, None).unwrap();
    let mut peer = broker.accept(false).await;
    peer.grant().await;
    drop(peer);
    while !matches!(mqtt.states()[0].2, ConnectionState::Disconnected(_)) {
        tokio::task::yield_now().await;
    }
    for number in 0..6 {
        drop(soon(mqtt.publish_durable(qos_1(&number.to_string()))).await.unwrap());
    }
    let mut peer = broker.accept(true).await;
    for number in 3..6 {
        let (payload, id) = peer.message().await;
        assert_eq!(payload, number.to_string());
        peer.write(Packet::PubAck(PubAck::new(id))).await;
    }
}

#[tokio::test]
async fn messages_over_the_size_limit_are_acknowledged_or_refused() {
    let broker = MisbehavingBroker::listen().await;
    let mqtt = client_3_1_1(broker.address(), "x");
    let mut all = mqtt.subscribe(&Filter::parse("t").unwrap(), 1, Retained::Live, None).unwrap();
    let mut peer = broker.accept(false).await;
    peer.grant().await;
    peer.send("t", &"x".repeat(2 << 20), 1, false).await;
    peer.send("t", "small", 2, false).await;
    assert_eq!(text(&mut all).await, "small");
    assert!(matches!(peer.read().await, Packet::PubAck(PubAck { pkid: 1 })));
    assert!(matches!(peer.read().await, Packet::PubAck(PubAck { pkid: 2 })));
    let large = Publish { payload: vec![0; 1 << 20].into(), ..qos_1("") };
    let refused = Error::TooLarge { size: (1 << 20) + 11, limit: 1 << 20 };
    assert_eq!(mqtt.publish(large).await, Err(refused));
}

#[tokio::test]
async fn a_missing_pingresp_ends_the_connection() {
    let broker = MisbehavingBroker::listen().await;
    let mut settings = ConnectionSettings { protocol: Protocol::V4, ..settings(broker.address(), "x") };
    settings.session.keep_alive = Duration::from_secs(2);
    let mqtt = connect(settings);
    publish_later(&mqtt);
    let mut peer = broker.accept(false).await;
    assert_eq!(peer.connect.keep_alive, 2);
    peer.message().await;
    let began = std::time::Instant::now();
    assert!(matches!(peer.read().await, Packet::PingReq));
    assert!(soon(peer.read_or_end()).await.is_none(), "the client closes the connection");
    // Twice the keep alive, and a margin for a busy machine.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    broker.accept(false).await;
}

fn publish_later(mqtt: &Mqtt) {
    let mqtt = mqtt.clone();
    tokio::spawn(async move { mqtt.publish(Publish { qos: 0, ..qos_1("x") }).await });
}

#[tokio::test]
async fn the_backoff_grows_when_the_broker_closes_connections() {
    let broker = MisbehavingBroker::listen().await;
    let mqtt = client_3_1_1(broker.address(), "x");
    publish_later(&mqtt);
    let began = std::time::Instant::now();
    for _ in 0..4 {
        drop(broker.accept(false).await);
    }
    assert!(began.elapsed() > Duration::from_millis(2_500), "{:?}", began.elapsed());
}

#[tokio::test]
async fn the_configured_backoff_is_used() {
    let broker = MisbehavingBroker::listen().await;
    let tenth = Duration::from_millis(100);
    let settings =
        ConnectionSettings { backoff: Backoff { first: tenth, longest: tenth }, ..settings(broker.address(), "x") };
    publish_later(&connect(ConnectionSettings { protocol: Protocol::V4, ..settings }));
    let began = std::time::Instant::now();
    for _ in 0..11 {
        drop(broker.accept(false).await);
    }
    // Ten waits, each up to a quarter shorter; by default they would take five minutes.
    assert!(began.elapsed() > 7 * tenth && began.elapsed() < TIMEOUT / 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_refused_filter_is_an_error_of_its_subscription() {
    use rumqttc::mqttbytes::v4::{SubAck, SubscribeReasonCode};
    let broker = MisbehavingBroker::listen().await;
    let mqtt = client_3_1_1(broker.address(), "x");
    let mut one = mqtt.subscribe(&Filter::parse("secret/#").unwrap(), 0, Retained::Live, None).unwrap();
    let mut peer = broker.accept(false).await;
    let Packet::Subscribe(subscribe) = peer.read().await else { panic!("no SUBSCRIBE") };
    peer.write(Packet::SubAck(SubAck::new(subscribe.pkid, vec![SubscribeReasonCode::Failure]))).await;
    let why = soon(one.ready()).await.unwrap_err();
    assert!(why.to_string().contains("`secret/#`"), "{why}");
}

#[tokio::test]
async fn a_broker_without_mqtt_5_is_supported() {
    let broker = MisbehavingBroker::listen().await;
    let mqtt = client(broker.address(), "x");
    let mut all = mqtt.subscribe(&Filter::parse("t").unwrap(), 1, Retained::Live, None).unwrap();
    // The first CONNECT is that of MQTT 5, on which this broker closes the connection.
    broker.accept_and_close().await;
    let mut peer = broker.accept(false).await;
    peer.grant().await;
    peer.send("t", "x", 1, false).await;
    assert_eq!(text(&mut all).await, "x");
}

#[tokio::test]
async fn closing_sends_queued_messages_and_disconnect() {
    let broker = MisbehavingBroker::listen().await;
    let mqtt = client_3_1_1(broker.address(), "x");
    let delivery = mqtt.send(qos_1("last")).await.unwrap();
    let mut peer = broker.accept(false).await;
    let closing = tokio::spawn({
        let mqtt = mqtt.clone();
        async move { mqtt.close().await }
    });
    let (payload, id) = peer.message().await;
    assert_eq!(payload, "last");
    peer.write(Packet::PubAck(PubAck::new(id))).await;
    assert!(matches!(peer.read().await, Packet::Disconnect));
    soon(closing).await.unwrap();
    soon(delivery).await.unwrap();
    assert_eq!(mqtt.states()[0].2, ConnectionState::Closed);
}

#[tokio::test]
async fn a_message_sent_right_before_closing_is_delivered() {
    let broker = MisbehavingBroker::listen().await;
    let mqtt = client_3_1_1(broker.address(), "x");
    for qos in [0, 1] {
        drop(mqtt.send(Publish { qos, ..qos_1("hello") }).await.unwrap());
    }
    let closing = tokio::spawn(async move { mqtt.close().await });
    let mut peer = broker.accept(false).await;
    assert_eq!(peer.message().await.0, "hello");
    let (_, id) = peer.message().await;
    peer.write(Packet::PubAck(PubAck::new(id))).await;
    assert!(matches!(peer.read().await, Packet::Disconnect));
    assert_eq!(soon(closing).await.unwrap(), 0);
}

#[tokio::test]
async fn closing_returns_the_number_of_unsent_messages() {
    let address = MisbehavingBroker::listen().await.address();
    let mqtt = client_3_1_1(address, "x");
    drop(mqtt.send(qos_1("lost")).await.unwrap());
    drop(mqtt.send(qos_1("lost")).await.unwrap());
    assert_eq!(soon(mqtt.close()).await, 2);
}

#[tokio::test]
async fn stored_messages_are_sent_only_after_subscribers_exist() {
    let store = Store::in_memory().unwrap();
    let old = |address| ConnectionSettings { protocol: Protocol::V4, ..settings(address, "x") };
    let away = old("127.0.0.1:1".parse().unwrap());
    let first = Mqtt::with_store(vec![away], &Clock::system(TimeZone::UTC), &store);
    first.publish_durable(qos_1("left")).await.unwrap().stored.await.unwrap();
    drop(first);
    let broker = MisbehavingBroker::listen().await;
    let mqtt = Mqtt::with_store(vec![old(broker.address())], &Clock::system(TimeZone::UTC), &store);
    let is_there = timeout(Duration::from_millis(400), broker.accept(true)).await.is_ok();
    assert!(!is_there, "queued messages of the broker would reach no subscriber");
    let hold = mqtt.hold_connections();
    let mut all = mqtt.subscribe(&Filter::parse("t").unwrap(), 1, Retained::Live, None).unwrap();
    drop(hold);
    let mut peer = broker.accept(true).await;
    peer.send("t", "queued", 7, false).await;
    assert_eq!(text(&mut all).await, "queued");
}
