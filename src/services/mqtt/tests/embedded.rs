//! Tests against the embedded broker.

use super::*;
use crate::event::SenderAck as _;
use crate::services::mqtt::{ConnectionState, EmbeddedEndpoint, EmbeddedError, SubscribeOptions};

#[tokio::test]
async fn messages_of_every_qos_are_delivered_once_and_in_order() {
    let data = tempfile::tempdir().unwrap();
    let broker = embedded(&data).await;
    for mqtt in [client(broker.address(), "new"), client_3_1_1(broker.address(), "old")] {
        let mut all = subscribe(&mqtt, "温度/{room}", 2, Retained::Live).await;
        for (qos, payload) in [(0, "a"), (1, "b"), (2, "c"), (1, "d")] {
            publish(&mqtt, "温度/1", payload, qos, false).await;
            let message = next(&mut all).await;
            assert_eq!((&message.payload[..], message.qos, message.retain), (payload.as_bytes(), qos, false));
        }
        assert_eq!(&mqtt.last("温度/1", None).unwrap().unwrap().payload[..], b"d");
        soon(mqtt.close()).await;
    }
    soon(broker.stop()).await;
}

/// Checks that no other message arrives before one that is sent now.
async fn nothing_but(subscription: &mut Subscription, mqtt: &Mqtt, topic: &str, payload: &str) {
    publish(mqtt, topic, payload, 1, false).await;
    assert_eq!(text(subscription).await, payload);
}

#[tokio::test]
async fn retained_messages_are_delivered_once_to_subscribers_that_want_them() {
    let data = tempfile::tempdir().unwrap();
    let broker = embedded(&data).await;
    for (mqtt, topic) in [(client(broker.address(), "new"), "n/1"), (client_3_1_1(broker.address(), "old"), "o/1")] {
        let filter = topic.replace('1', "+");
        publish(&mqtt, topic, "retained", 1, true).await;
        let mut live = subscribe(&mqtt, &filter, 0, Retained::Live).await;
        nothing_but(&mut live, &mqtt, topic, "first").await;
        let mut initial = subscribe(&mqtt, &filter, 0, Retained::Initial).await;
        let message = next(&mut initial).await;
        assert_eq!((&message.payload[..], message.retain), (&b"retained"[..], true));
        nothing_but(&mut initial, &mqtt, topic, "second").await;
        assert_eq!(text(&mut live).await, "second");
        let mut only = subscribe(&mqtt, &filter, 0, Retained::Only).await;
        assert_eq!(text(&mut only).await, "retained");
        for subscription in [&mut live, &mut initial] {
            nothing_but(subscription, &mqtt, topic, "third").await;
            while subscription.messages.try_recv().is_some() {}
        }
        let mut another = subscribe(&mqtt, topic, 0, Retained::Initial).await;
        assert_eq!(text(&mut another).await, "retained");
        publish(&mqtt, topic, "fourth", 1, false).await;
        assert_eq!(text(&mut another).await, "fourth");
        assert!(only.messages.try_recv().is_none());
        soon(mqtt.close()).await;
    }
}

#[tokio::test]
async fn a_reconnect_repeats_no_retained_message() {
    let data = tempfile::tempdir().unwrap();
    let broker = embedded(&data).await;
    let address = broker.address();
    let (mqtt, old) = (client(address, "new"), client_3_1_1(address, "old"));
    publish(&mqtt, "r", "retained", 1, true).await;
    let mut subscriptions = Vec::new();
    for mqtt in [&mqtt, &old] {
        let mut initial = subscribe(mqtt, "r", 1, Retained::Initial).await;
        assert_eq!(text(&mut initial).await, "retained");
        subscriptions.push(initial);
        subscriptions.push(subscribe(mqtt, "r", 1, Retained::Live).await);
    }
    soon(broker.stop()).await;
    for mqtt in [&mqtt, &old] {
        soon(async {
            while mqtt.is_connected(None) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    // A new broker without its state: the sessions are new, and another client sets the retained message again.
    let config = config::Mqtt { embedded: config::EmbeddedBroker { listen: address, ..config().embedded }, ..config() };
    let other_data = tempfile::tempdir().unwrap();
    let broker = soon(Embedded::start(&config, other_data.path())).await.unwrap();
    soon(mqtt.connected()).await;
    soon(old.connected()).await;
    let marker = client(address, "marker");
    publish(&marker, "r", "after", 1, true).await;
    for subscription in &mut subscriptions {
        loop {
            let message = next(subscription).await;
            assert!(!message.retain, "{message:?}");
            if &message.payload[..] == b"after" {
                break;
            }
        }
    }
    soon(broker.stop()).await;
}

#[tokio::test]
async fn overlapping_filters_deliver_a_message_once_to_each_subscriber() {
    let data = tempfile::tempdir().unwrap();
    let broker = embedded(&data).await;
    let mqtt = client(broker.address(), "one");
    let mut wide = subscribe(&mqtt, "#", 1, Retained::Live).await;
    let mut narrow = subscribe(&mqtt, "door/+", 0, Retained::Live).await;
    let filters = [Filter::parse("door/front").unwrap(), Filter::parse("+/front").unwrap()];
    let mut both =
        mqtt.subscribe_all(&filters, SubscribeOptions { qos: 1, ..SubscribeOptions::default() }, None).unwrap();
    soon(both.ready()).await.unwrap();
    for payload in ["1", "2", "3"] {
        publish(&mqtt, "door/front", payload, 1, false).await;
        for subscription in [&mut wide, &mut narrow, &mut both] {
            assert_eq!(text(subscription).await, payload);
        }
    }
}

#[tokio::test]
async fn retained_messages_and_sessions_outlive_the_broker() {
    let data = tempfile::tempdir().unwrap();
    let broker = embedded(&data).await;
    let mqtt = client(broker.address(), "one");
    publish(&mqtt, "retained", "here", 1, true).await;
    drop(subscribe(&mqtt, "queued", 1, Retained::Live).await);
    let _subscription = subscribe(&mqtt, "queued", 1, Retained::Live).await;
    soon(mqtt.close()).await;
    let other = client(broker.address(), "other");
    publish(&other, "queued", "while away", 1, false).await;
    soon(other.close()).await;
    soon(broker.stop()).await;
    let broker = embedded(&data).await;
    let mqtt = client(broker.address(), "one");
    let mut queued = mqtt.subscribe(&Filter::parse("queued").unwrap(), 1, Retained::Live, None).unwrap();
    assert_eq!(text(&mut queued).await, "while away");
    let mut retained = subscribe(&mqtt, "retained", 1, Retained::Only).await;
    assert_eq!(text(&mut retained).await, "here");
}

#[tokio::test]
async fn a_message_not_acknowledged_at_shutdown_is_sent_again() {
    let data = tempfile::tempdir().unwrap();
    let broker = embedded(&data).await;
    let mqtt = client(broker.address(), "one");
    let mut all = subscribe(&mqtt, "t", 1, Retained::Live).await;
    for payload in ["done", "not done"] {
        publish(&mqtt, "t", payload, 1, false).await;
    }
    let (done, open) = (next(&mut all).await, next(&mut all).await);
    mqtt.begin_shutdown();
    done.ack.as_ref().unwrap().ack();
    drop((done, open));
    soon(mqtt.close()).await;
    let mqtt = client(broker.address(), "one");
    let mut all = mqtt.subscribe(&Filter::parse("t").unwrap(), 1, Retained::Live, None).unwrap();
    let message = next(&mut all).await;
    assert_eq!((&message.payload[..], message.dup), (&b"not done"[..], true));
}

#[tokio::test]
async fn a_payload_of_arbitrary_bytes_is_delivered() {
    let data = tempfile::tempdir().unwrap();
    let broker = embedded(&data).await;
    let mqtt = client(broker.address(), "one");
    let mut all = subscribe(&mqtt, "t", 0, Retained::Live).await;
    let bytes: Vec<u8> = (0..=255).collect();
    let publish = Publish { topic: "t".into(), payload: bytes.clone().into(), ..Publish::default() };
    soon(mqtt.publish(publish)).await.unwrap();
    assert_eq!(next(&mut all).await.payload, bytes);
}

#[tokio::test]
async fn a_client_without_the_password_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let mut guarded = config();
    guarded.embedded.username = Some("house".into());
    guarded.embedded.password = Some(crate::secrets::Secret::new("open sesame"));
    let broker = soon(Embedded::start(&guarded, data.path())).await.unwrap();
    let stranger = client(broker.address(), "stranger");
    let _subscription = stranger.subscribe(&Filter::parse("t").unwrap(), 0, Retained::Live, None).unwrap();
    let why = soon(async {
        loop {
            match &stranger.states()[0].2 {
                ConnectionState::Disconnected(why) => return why.clone(),
                _ => tokio::task::yield_now().await,
            }
        }
    });
    assert!(why.await.contains("password"));
    let friend = connect(ConnectionSettings::new(&guarded, broker.address(), "friend".into()).unwrap());
    publish(&friend, "t", "x", 1, false).await;
}

#[tokio::test]
async fn a_broker_that_is_already_running_is_used() {
    let data = tempfile::tempdir().unwrap();
    let broker = embedded(&data).await;
    let mut second = config();
    second.embedded.listen = broker.address();
    let used = soon(Embedded::start(&second, data.path())).await.unwrap();
    assert_eq!((used.address(), used.is_in_process(), broker.is_in_process()), (broker.address(), false, true));
    soon(used.stop()).await;
    let mqtt = client(broker.address(), "one");
    publish(&mqtt, "t", "still there", 1, false).await;
}

#[tokio::test]
async fn a_port_used_by_another_program_is_an_error_that_names_the_options() {
    let data = tempfile::tempdir().unwrap();
    let other = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let mut taken = config();
    taken.embedded.listen = other.local_addr().unwrap();
    let answering = tokio::spawn(async move {
        let (mut tcp, _) = other.accept().await.unwrap();
        let _ = tokio::io::AsyncWriteExt::write_all(&mut tcp, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    let error = soon(Embedded::start(&taken, data.path())).await.err().unwrap();
    soon(answering).await.unwrap();
    assert!(matches!(error, EmbeddedError::PortTaken(_)), "{error}");
    assert!(error.to_string().contains("mqtt.embedded.listen") && error.to_string().contains("mqtt.url"), "{error}");
}

#[tokio::test]
async fn unreadable_files_do_not_prevent_the_broker_from_starting() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("mqtt"), "not a folder").unwrap();
    let broker = embedded(&data).await;
    let mqtt = client(broker.address(), "one");
    publish(&mqtt, "t", "x", 1, false).await;
}

#[tokio::test]
async fn a_client_in_this_process_needs_no_network() {
    let data = tempfile::tempdir().unwrap();
    let broker = embedded(&data).await;
    let endpoint = broker.endpoint();
    // Nothing listens there.
    let unreachable = EmbeddedEndpoint { address: ([127, 0, 0, 1], 1).into(), ..endpoint };
    let inside = connect(ConnectionSettings::new(&config(), unreachable, "inside".into()).unwrap());
    let outside = client(broker.address(), "outside");
    let mut received = subscribe(&inside, "#", 2, Retained::Live).await;
    let mut echoed = subscribe(&outside, "from/inside", 2, Retained::Live).await;
    // Larger than the buffers of the stream.
    let large = "x".repeat(500_000);
    for qos in 0..=2 {
        publish(&outside, "from/outside", &large, qos, false).await;
        assert_eq!(text(&mut received).await, large);
        publish(&inside, "from/inside", &large, qos, false).await;
        assert_eq!(text(&mut echoed).await, large);
        assert_eq!(text(&mut received).await, large);
    }
    soon(broker.stop()).await;
    soon(async {
        while inside.is_connected(None) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
