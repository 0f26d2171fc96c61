//! Behaviour common to MQTT 3.1.1 and 5.

use super::*;

#[tokio::test]
async fn a_session_is_present_again_only_if_it_was_persistent() {
    let broker = Broker::start().await;
    for version in BOTH {
        let is_there = async |connect: &ConnectFields| {
            let (client, answer) = RawClient::try_connect(broker.address(), version, connect).await;
            client.disconnect().await;
            answer[0] == 1
        };
        let clean = ConnectFields { clean_start: true, ..persistent_session("s") };
        assert!(!is_there(&persistent_session("s")).await);
        assert!(is_there(&persistent_session("s")).await);
        assert!(!is_there(&clean).await);
        assert_eq!(
            is_there(&persistent_session("s")).await,
            version == 5,
            "a clean session of 3.1.1 is not persistent"
        );
        assert!(!is_there(&clean_session("s")).await);
        assert!(!is_there(&persistent_session("s")).await);
        assert!(!is_there(&clean_session("s")).await);
    }
}

#[tokio::test]
async fn an_empty_client_id_is_assigned_or_refused() {
    let broker = Broker::start().await;
    let (_, answer) = RawClient::try_connect(broker.address(), 4, &persistent_session("")).await;
    assert_eq!(answer, [0, 2]);
    let (first, _) = RawClient::try_connect(broker.address(), 4, &clean_session("")).await;
    let (_second, answer) = RawClient::try_connect(broker.address(), 4, &clean_session("")).await;
    assert_eq!(answer, [0, 0]);
    let mut first = first;
    first.expect_nothing().await;
}

#[tokio::test]
async fn messages_arrive_with_the_lower_qos_and_acknowledged_ones_are_not_sent_again() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut sender = broker.connect(version, clean_session("sender")).await;
        for asked in 0..=2 {
            let mut listener = broker.connect(version, clean_session("listener")).await;
            listener.subscribe("温度/+", asked).await;
            for sent in 0..=2 {
                sender.publish(sent << 1, &[], "温度/1", "warm").await;
                match sent {
                    0 => {}
                    1 => sender.expect_ack(0x40, 77).await,
                    _ => {
                        sender.expect_ack(0x50, 77).await;
                        sender.ack(0x62, 77).await;
                        sender.expect_ack(0x70, 77).await;
                    }
                }
                let received = listener.next().await;
                let qos = asked.min(sent);
                assert_eq!(
                    (received.flags, received.topic.as_str(), received.payload.as_str()),
                    (qos << 1, "温度/1", "warm")
                );
                if qos == 2 {
                    listener.ack(0x50, received.id).await;
                    listener.expect_ack(0x62, received.id).await;
                    listener.ack(0x70, received.id).await;
                } else if qos == 1 {
                    listener.ack(0x40, received.id).await;
                }
                listener.expect_nothing().await;
            }
        }
    }
}

#[tokio::test]
async fn a_qos_2_message_that_is_sent_twice_arrives_once_also_after_a_kill() {
    let mut broker = Broker::start().await;
    let mut listener = broker.connect(4, persistent_session("listener")).await;
    listener.subscribe("t", 1).await;
    let mut sender = broker.connect(4, persistent_session("sender")).await;
    for flags in [4, 12, 12] {
        sender.publish(flags, &[], "t", "once").await;
        sender.expect_ack(0x50, 77).await;
    }
    assert_eq!(listener.next().await.payload, "once");
    broker.restart().await;
    let (mut sender, answer) = RawClient::try_connect(broker.address(), 4, &persistent_session("sender")).await;
    assert_eq!(answer, [1, 0]);
    sender.publish(12, &[], "t", "once").await;
    sender.expect_ack(0x50, 77).await;
    sender.ack(0x62, 77).await;
    sender.expect_ack(0x70, 77).await;
    let mut listener = broker.connect(4, persistent_session("listener")).await;
    let received = listener.next().await;
    assert_eq!(
        (received.flags, received.payload.as_str()),
        (10, "once"),
        "it was not acknowledged, so it is sent again"
    );
    listener.expect_nothing().await;
}

#[tokio::test]
async fn unacknowledged_messages_are_resent_in_order_with_the_same_packet_ids_also_after_a_kill() {
    for is_killed in [false, true] {
        let mut broker = Broker::start().await;
        let mut listener = broker.connect(5, persistent_session("listener")).await;
        listener.subscribe("#", 2).await;
        let mut sender = broker.connect(5, clean_session("sender")).await;
        for (flags, payload) in [(2, "1"), (4, "2"), (4, "3"), (2, "4")] {
            sender.publish(flags, &[], "t", payload).await;
            sender.packet().await;
            if flags == 4 {
                sender.ack(0x62, 77).await;
                sender.packet().await;
            }
        }
        let received = [listener.next().await, listener.next().await, listener.next().await, listener.next().await];
        listener.ack(0x50, received[1].id).await;
        listener.expect_ack(0x62, received[1].id).await;
        listener.ack(0x40, received[3].id).await;
        listener.expect_nothing().await;
        listener.drop_connection().await;
        if is_killed {
            broker.restart().await;
        }
        let (mut listener, answer) = RawClient::try_connect(broker.address(), 5, &persistent_session("listener")).await;
        assert_eq!(answer[0], 1);
        let again = listener.next().await;
        assert_eq!(
            again,
            ReceivedPublish {
                flags: 10,
                topic: "t".into(),
                id: received[0].id,
                properties: vec![],
                payload: "1".into()
            }
        );
        listener.expect_ack(0x62, received[1].id).await;
        let again = listener.next().await;
        assert_eq!((again.flags, again.id, again.payload.as_str()), (12, received[2].id, "3"));
        listener.ack(0x70, received[1].id).await;
        listener.expect_nothing().await;
    }
}

#[tokio::test]
async fn messages_for_a_disconnected_client_are_queued_except_qos_0() {
    let mut broker = Broker::start().await;
    for version in BOTH {
        let mut listener = broker.connect(version, persistent_session("listener")).await;
        listener.subscribe("away/#", 1).await;
        listener.disconnect().await;
        let mut sender = broker.connect(version, clean_session("sender")).await;
        sender.publish(0, &[], "away/0", "0").await;
        for payload in ["1", "2", "3"] {
            sender.publish_qos1(0, &[], "away/1", payload).await;
        }
        broker.restart().await;
        let mut listener = broker.connect(version, persistent_session("listener")).await;
        for payload in ["1", "2", "3"] {
            let received = listener.next().await;
            assert_eq!((received.payload.as_str(), received.flags), (payload, 2));
            listener.ack(0x40, received.id).await;
        }
        listener.expect_nothing().await;
        listener.disconnect().await;
        broker.connect(version, clean_session("listener")).await.disconnect().await;
    }
}

#[tokio::test]
async fn retained_messages_are_kept_replaced_and_cleared_also_over_a_kill() {
    let mut broker = Broker::start().await;
    for version in BOTH {
        let mut client = broker.connect(version, clean_session("c")).await;
        for (topic, payload) in
            [("r/1", "old"), ("r/1", "new"), ("r/2", "x"), ("r", "top"), ("$r/1", "own"), ("r/2", "")]
        {
            client.publish_qos1(1, &[], topic, payload).await;
        }
        // Without the retain flag it changes nothing.
        client.publish_qos1(0, &[], "r/1", "").await;
        client.publish_qos1(0, &[], "r/1", "passing").await;
        broker.restart().await;
        let mut client = broker.connect(version, clean_session("c")).await;
        for (filter, expected) in [
            ("r/#", &["r top", "r/1 new"][..]),
            ("r/+", &["r/1 new"]),
            ("+/1", &["r/1 new"]),
            ("$r/+", &["$r/1 own"]),
            ("r/2", &[]),
        ] {
            client.subscribe(filter, 0).await;
            for expected in expected {
                let received = client.next().await;
                assert_eq!(
                    (format!("{} {}", received.topic, received.payload).as_str(), received.flags),
                    (*expected, 1)
                );
            }
            client.expect_nothing().await;
        }
        client.disconnect().await;
    }
}

#[tokio::test]
async fn leading_wildcards_do_not_match_topics_that_start_with_a_dollar() {
    let broker = Broker::start().await;
    let mut client = broker.connect(4, clean_session("c")).await;
    client.subscribe("#", 0).await;
    client.subscribe("+/a", 0).await;
    client.publish(0, &[], "$x/a", "hidden").await;
    client.publish(0, &[], "$SYS/a", "forged").await;
    client.expect_nothing().await;
    for topic in ["/a", "//", "a//b", "a/", "é/👍"] {
        client.publish(0, &[], topic, "").await;
        assert_eq!(client.next().await.topic, topic);
    }
}

#[tokio::test]
async fn overlapping_filters_yield_one_message_with_the_highest_qos() {
    let broker = Broker::start().await;
    let mut client = broker.connect(4, clean_session("c")).await;
    client.subscribe("a/#", 2).await;
    client.subscribe("a/+", 1).await;
    client.publish(0, &[], "a/b", "0").await;
    assert_eq!(client.next().await.flags, 0);
    let mut other = broker.connect(4, clean_session("other")).await;
    other.publish(4, &[], "a/b", "2").await;
    assert_eq!(client.next().await.flags, 4);
    client.expect_nothing().await;
}

#[tokio::test]
async fn an_unsubscribed_filter_receives_nothing_and_an_unknown_filter_is_acknowledged() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut client = broker.connect(version, clean_session("c")).await;
        client.subscribe("a", 0).await;
        let properties = if version == 5 { &[0][..] } else { &[] };
        let body = [&[0, 5][..], properties, &text("a"), &text("never")].concat();
        client.send(&packet(0xa2, &body)).await;
        let expected = if version == 5 { vec![0, 5, 0, 0, 0x11] } else { vec![0, 5] };
        assert_eq!(client.packet().await, (0xb0, expected));
        client.publish(0, &[], "a", "x").await;
        client.expect_nothing().await;
    }
}

#[tokio::test]
async fn invalid_filters_are_refused_one_by_one() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut client = broker.connect(version, clean_session("c")).await;
        let refusal = if version == 5 { 0x8f } else { 0x80 };
        for filter in ["", "a/#/b", "a#", "+a", "$share/g", "$share//a", "$share/+/a", "$share/g/"] {
            assert_eq!(client.subscribe_with(filter, 0, &[]).await, refusal, "{filter:?}");
        }
        client.subscribe("a", 0).await;
    }
}

#[tokio::test]
async fn a_will_is_published_only_without_a_disconnect() {
    let broker = Broker::start().await;
    let mut listener = broker.connect(4, clean_session("listener")).await;
    listener.subscribe("will/#", 1).await;
    for version in BOTH {
        let client_with_will =
            ConnectFields { will: Some((0x28, vec![], "will/x", "gone")), ..clean_session("client_with_will") };
        broker.connect(version, client_with_will.clone()).await.disconnect().await;
        listener.expect_nothing().await;
        broker.connect(version, client_with_will.clone()).await.drop_connection().await;
        let received = listener.next().await;
        assert_eq!((received.topic.as_str(), received.payload.as_str(), received.flags), ("will/x", "gone", 2));
        listener.ack(0x40, received.id).await;
        // A second connection with the same client identifier takes the session over.
        let mut first = broker.connect(version, client_with_will.clone()).await;
        let second = broker.connect(version, clean_session("client_with_will")).await;
        first.expect_end(0x8e).await;
        let received = listener.next().await;
        assert_eq!(received.payload, "gone");
        listener.ack(0x40, received.id).await;
        second.disconnect().await;
        listener.expect_nothing().await;
    }
    let mut late = broker.connect(4, clean_session("late")).await;
    late.subscribe("will/x", 0).await;
    assert_eq!(late.next().await.flags, 1, "the will has the retain flag");
}

#[tokio::test]
async fn a_client_is_disconnected_after_its_keep_alive() {
    let broker = Broker::start().await;
    let mut clients = Vec::new();
    for version in BOTH {
        let silent = ConnectFields {
            keep_alive: 1,
            will: Some((0, vec![], "w", "silent")),
            ..clean_session(["old", "new"][usize::from(version - 4)])
        };
        clients.push(broker.connect(version, silent).await);
    }
    let mut listener = broker.connect(4, clean_session("listener")).await;
    listener.subscribe("w", 0).await;
    let began = std::time::Instant::now();
    for mut client in clients {
        client.expect_end(0x8d).await;
        assert!(began.elapsed().as_millis() > 1_000, "the limit is one and a half times the keep-alive");
        assert_eq!(listener.next().await.payload, "silent");
    }
}

#[tokio::test]
async fn a_shared_subscription_distributes_messages_to_connected_members() {
    let broker = Broker::start().await;
    let mut members = Vec::new();
    for id in ["a", "b", "offline"] {
        let mut member = broker.connect(5, persistent_session(id)).await;
        member.subscribe("$share/g/s/+", 0).await;
        members.push(member);
    }
    members.pop().unwrap().drop_connection().await;
    let mut other = broker.connect(5, clean_session("other")).await;
    other.subscribe("$share/other/s/+", 0).await;
    for number in 0..10 {
        other.publish(0, &[], "s/1", &number.to_string()).await;
        assert_eq!(other.next().await.payload, number.to_string(), "another group receives all");
    }
    let mut all = Vec::new();
    for member in &mut members {
        for _ in 0..5 {
            all.push(member.next().await.payload);
        }
        member.expect_nothing().await;
    }
    all.sort();
    assert_eq!(all, (0..10).map(|number| number.to_string()).collect::<Vec<_>>());
}
