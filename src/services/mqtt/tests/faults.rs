//! Against a broker that misbehaves.

use rumqttc::mqttbytes::v4::{Packet, PubAck, PubRec, PubRel};

use super::wicked::Wicked;
use super::*;
use crate::config::{Backoff, OutboxFull};
use crate::services::mqtt::{ConnectionState, Error};
use crate::services::store::Store;

fn qos_1(payload: &str) -> Publish {
    Publish { topic: "t".into(), payload: payload.to_owned().into(), qos: 1, ..Publish::default() }
}

#[tokio::test]
async fn after_a_restart_without_memory_everything_is_subscribed_again_in_one_packet() {
    let broker = Wicked::listen().await;
    let mqtt = old_client(broker.address(), "x");
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
    assert!(matches!(peer.read().await, Packet::PubAck(PubAck { pkid: 1 })), "and nothing was subscribed twice");
    drop(peer);
    let mut peer = broker.accept(true).await;
    peer.send("a/1", "remembered", 1, false).await;
    assert_eq!(text(&mut first).await, "remembered");
    assert!(matches!(peer.read().await, Packet::PubAck(_)), "a session that was kept is not subscribed again");
}

#[tokio::test]
async fn a_filter_that_nobody_wants_any_more_is_given_back_once() {
    let broker = Wicked::listen().await;
    let mqtt = old_client(broker.address(), "x");
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
async fn a_message_is_acknowledged_when_the_last_who_has_it_lets_go() {
    let broker = Wicked::listen().await;
    let mqtt = old_client(broker.address(), "x");
    let mut one = mqtt.subscribe(&Filter::parse("t").unwrap(), 1, Retained::Live, None).unwrap();
    let mut two = mqtt.subscribe(&Filter::parse("t").unwrap(), 1, Retained::Live, None).unwrap();
    let mut peer = broker.accept(false).await;
    peer.grant().await;
    peer.send("t", "x", 7, false).await;
    drop(next(&mut one).await);
    let held = next(&mut two).await;
    publish_on(&mqtt, &mut peer).await;
    drop(held);
    assert!(matches!(peer.read().await, Packet::PubAck(PubAck { pkid: 7 })));
}

/// Sends something, to see that nothing else came before it.
async fn publish_on(mqtt: &Mqtt, peer: &mut super::wicked::Peer) {
    publish(mqtt, "other", "marker", 0, false).await;
    assert_eq!(peer.message().await.0, "marker");
}

#[tokio::test]
async fn a_message_that_comes_again_is_not_worked_on_twice() {
    let broker = Wicked::listen().await;
    let mqtt = old_client(broker.address(), "x");
    let mut all = mqtt.subscribe(&Filter::parse("t").unwrap(), 1, Retained::Live, None).unwrap();
    let mut peer = broker.accept(false).await;
    peer.grant().await;
    peer.send("t", "x", 7, false).await;
    let held = next(&mut all).await;
    drop(peer);
    let mut peer = broker.accept(true).await;
    drop(held);
    publish_on(&mqtt, &mut peer).await;
    peer.send("t", "x", 7, true).await;
    assert!(matches!(peer.read().await, Packet::PubAck(PubAck { pkid: 7 })));
    assert!(all.messages.try_recv().is_none());
}

#[tokio::test]
async fn a_release_of_an_unknown_message_is_answered() {
    let broker = Wicked::listen().await;
    let mqtt = old_client(broker.address(), "x");
    let _all = mqtt.subscribe(&Filter::parse("t").unwrap(), 2, Retained::Live, None).unwrap();
    let mut peer = broker.accept(false).await;
    peer.grant().await;
    for _ in 0..3 {
        peer.write(Packet::PubRel(PubRel::new(99))).await;
        assert!(matches!(peer.read().await, Packet::PubComp(done) if done.pkid == 99));
    }
    publish_on(&mqtt, &mut peer).await;
}

#[tokio::test]
async fn what_was_on_the_way_when_the_broker_died_arrives_in_order() {
    let broker = Wicked::listen().await;
    let mqtt = old_client(broker.address(), "x");
    let mut deliveries = Vec::new();
    for number in 0..10 {
        deliveries.push(mqtt.send(qos_1(&number.to_string())).await.unwrap());
    }
    let mut peer = broker.accept(false).await;
    for number in 0..10 {
        assert_eq!(peer.message().await.0, number.to_string());
    }
    // It acknowledges out of order, and dies.
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
async fn a_first_message_that_is_never_confirmed_holds_back_no_later_one() {
    let broker = Wicked::listen().await;
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
async fn no_more_than_so_many_messages_are_on_the_way() {
    let broker = Wicked::listen().await;
    let settings = ConnectionSettings { max_inflight: 3, ..settings(broker.address(), "x") };
    let mqtt = connect(ConnectionSettings { protocol: Protocol::V4, ..settings });
    for number in 0..5 {
        drop(mqtt.send(qos_1(&number.to_string())).await.unwrap());
    }
    // A subscription overtakes what has to wait, and so tells that it waits.
    let mut peer = broker.accept(false).await;
    let mut ids = Vec::new();
    for number in 0..3 {
        let (payload, id) = peer.message().await;
        assert_eq!(payload, number.to_string());
        ids.push(id);
    }
    let _wish = mqtt.subscribe(&Filter::parse("t").unwrap(), 0, Retained::Live, None).unwrap();
    peer.grant().await;
    for number in 3..5 {
        peer.write(Packet::PubAck(PubAck::new(ids.remove(0)))).await;
        assert_eq!(peer.message().await.0, number.to_string());
    }
}

#[tokio::test]
async fn qos_2_goes_on_where_it_was_in_a_session_that_was_kept() {
    let broker = Wicked::listen().await;
    let mqtt = old_client(broker.address(), "x");
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
async fn while_the_broker_is_away_the_outbox_takes_so_many_and_no_more() {
    let address = Wicked::listen().await.address();
    let mqtt = old_client(address, "x");
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
async fn an_outbox_that_is_to_drop_the_oldest_takes_the_newest_in_their_place() {
    let broker = Wicked::listen().await;
    let settings =
        ConnectionSettings { outbox: 3, outbox_full: OutboxFull::DropOldest, ..settings(broker.address(), "x") };
    let mqtt = connect(ConnectionSettings { protocol: Protocol::V4, ..settings });
    let _wish = mqtt.subscribe(&Filter::parse("t").unwrap(), 0, Retained::Live, None).unwrap();
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
async fn messages_over_the_limit_harm_nothing() {
    let broker = Wicked::listen().await;
    let mqtt = old_client(broker.address(), "x");
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
async fn a_broker_that_stands_still_is_noticed() {
    let broker = Wicked::listen().await;
    let mut settings = ConnectionSettings { protocol: Protocol::V4, ..settings(broker.address(), "x") };
    settings.session.keep_alive = Duration::from_secs(2);
    let mqtt = connect(settings);
    publish_later(&mqtt);
    let mut peer = broker.accept(false).await;
    assert_eq!(peer.connect.keep_alive, 2);
    peer.message().await;
    let began = std::time::Instant::now();
    assert!(matches!(peer.read().await, Packet::PingReq));
    assert!(soon(peer.read_or_end()).await.is_none(), "it hangs up");
    // After twice the time, and what a busy machine adds.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    broker.accept(false).await;
}

fn publish_later(mqtt: &Mqtt) {
    let mqtt = mqtt.clone();
    tokio::spawn(async move { mqtt.publish(Publish { qos: 0, ..qos_1("x") }).await });
}

#[tokio::test]
async fn a_broker_that_hangs_up_is_called_ever_more_slowly() {
    let broker = Wicked::listen().await;
    let mqtt = old_client(broker.address(), "x");
    publish_later(&mqtt);
    let began = std::time::Instant::now();
    for _ in 0..4 {
        drop(broker.accept(false).await);
    }
    assert!(began.elapsed() > Duration::from_millis(2_500), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_broker_that_hangs_up_is_called_as_often_as_it_is_written() {
    let broker = Wicked::listen().await;
    let tenth = Duration::from_millis(100);
    let often =
        ConnectionSettings { backoff: Backoff { first: tenth, longest: tenth }, ..settings(broker.address(), "x") };
    publish_later(&connect(ConnectionSettings { protocol: Protocol::V4, ..often }));
    let began = std::time::Instant::now();
    for _ in 0..11 {
        drop(broker.accept(false).await);
    }
    // Ten waits, each up to a quarter shorter; by default they would take five minutes.
    assert!(began.elapsed() > 7 * tenth && began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_refused_filter_is_told_to_who_wants_it() {
    use rumqttc::mqttbytes::v4::{SubAck, SubscribeReasonCode};
    let broker = Wicked::listen().await;
    let mqtt = old_client(broker.address(), "x");
    let mut one = mqtt.subscribe(&Filter::parse("secret/#").unwrap(), 0, Retained::Live, None).unwrap();
    let mut peer = broker.accept(false).await;
    let Packet::Subscribe(subscribe) = peer.read().await else { panic!("no SUBSCRIBE") };
    peer.write(Packet::SubAck(SubAck::new(subscribe.pkid, vec![SubscribeReasonCode::Failure]))).await;
    let why = soon(one.ready()).await.unwrap_err();
    assert!(why.to_string().contains("`secret/#`"), "{why}");
}

#[tokio::test]
async fn a_broker_of_the_older_mqtt_is_understood() {
    let broker = Wicked::listen().await;
    let mqtt = client(broker.address(), "x");
    let mut all = mqtt.subscribe(&Filter::parse("t").unwrap(), 1, Retained::Live, None).unwrap();
    // The first greeting is in MQTT 5, which this one hangs up on.
    broker.hang_up().await;
    let mut peer = broker.accept(false).await;
    peer.grant().await;
    peer.send("t", "x", 1, false).await;
    assert_eq!(text(&mut all).await, "x");
}

#[tokio::test]
async fn closing_sends_what_waits_and_says_goodbye() {
    let broker = Wicked::listen().await;
    let mqtt = old_client(broker.address(), "x");
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
async fn who_sends_and_closes_at_once_still_gets_it_out() {
    let broker = Wicked::listen().await;
    let mqtt = old_client(broker.address(), "x");
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
async fn what_did_not_get_out_is_counted() {
    let address = Wicked::listen().await.address();
    let mqtt = old_client(address, "x");
    drop(mqtt.send(qos_1("lost")).await.unwrap());
    drop(mqtt.send(qos_1("lost")).await.unwrap());
    assert_eq!(soon(mqtt.close()).await, 2);
}

#[tokio::test]
async fn who_has_something_left_to_send_waits_for_those_who_will_hear_what_comes() {
    let store = Store::in_memory().unwrap();
    let old = |address| ConnectionSettings { protocol: Protocol::V4, ..settings(address, "x") };
    let away = old("127.0.0.1:1".parse().unwrap());
    let first = Mqtt::with_store(vec![away], &Clock::system(TimeZone::UTC), &store);
    first.publish_durable(qos_1("left")).await.unwrap().stored.await.unwrap();
    drop(first);
    let broker = Wicked::listen().await;
    let mqtt = Mqtt::with_store(vec![old(broker.address())], &Clock::system(TimeZone::UTC), &store);
    let is_there = timeout(Duration::from_millis(400), broker.accept(true)).await.is_ok();
    assert!(!is_there, "what the broker has kept would come to nobody");
    let hold = mqtt.hold_connections();
    let mut all = mqtt.subscribe(&Filter::parse("t").unwrap(), 1, Retained::Live, None).unwrap();
    drop(hold);
    let mut peer = broker.accept(true).await;
    peer.send("t", "kept", 7, false).await;
    assert_eq!(text(&mut all).await, "kept");
}
