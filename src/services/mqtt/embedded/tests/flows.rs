//! What both versions promise.

use super::*;

#[tokio::test]
async fn a_session_is_there_again_only_if_it_was_to_be_kept() {
    let broker = Broker::start().await;
    for version in BOTH {
        let is_there = async |hello: &Hello| {
            let (raw, answer) = Raw::greet(broker.address(), version, hello).await;
            raw.leave().await;
            answer[0] == 1
        };
        let clean = Hello { clean: true, ..kept("s") };
        assert!(!is_there(&kept("s")).await);
        assert!(is_there(&kept("s")).await);
        assert!(!is_there(&clean).await);
        assert_eq!(is_there(&kept("s")).await, version == 5, "3.1.1 does not keep what began clean");
        assert!(!is_there(&hello("s")).await);
        assert!(!is_there(&kept("s")).await);
        assert!(!is_there(&hello("s")).await);
    }
}

#[tokio::test]
async fn a_client_without_a_name_gets_one_or_is_refused() {
    let broker = Broker::start().await;
    let (_, answer) = Raw::greet(broker.address(), 4, &kept("")).await;
    assert_eq!(answer, [0, 2]);
    let (first, _) = Raw::greet(broker.address(), 4, &hello("")).await;
    let (_second, answer) = Raw::greet(broker.address(), 4, &hello("")).await;
    assert_eq!(answer, [0, 0]);
    let mut first = first;
    first.expect_nothing().await;
}

#[tokio::test]
async fn each_message_arrives_with_the_lower_qos_and_what_is_confirmed_is_gone() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut sender = broker.connect(version, hello("sender")).await;
        for asked in 0..=2 {
            let mut listener = broker.connect(version, hello("listener")).await;
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
                let got = listener.next().await;
                let qos = asked.min(sent);
                assert_eq!((got.flags, got.topic.as_str(), got.payload.as_str()), (qos << 1, "温度/1", "warm"));
                if qos == 2 {
                    listener.ack(0x50, got.id).await;
                    listener.expect_ack(0x62, got.id).await;
                    listener.ack(0x70, got.id).await;
                } else if qos == 1 {
                    listener.ack(0x40, got.id).await;
                }
                listener.expect_nothing().await;
            }
        }
    }
}

#[tokio::test]
async fn a_message_of_qos_2_that_is_sent_twice_arrives_once_also_after_a_kill() {
    let mut broker = Broker::start().await;
    let mut listener = broker.connect(4, kept("listener")).await;
    listener.subscribe("t", 1).await;
    let mut sender = broker.connect(4, kept("sender")).await;
    for flags in [4, 12, 12] {
        sender.publish(flags, &[], "t", "once").await;
        sender.expect_ack(0x50, 77).await;
    }
    assert_eq!(listener.next().await.payload, "once");
    broker.start_again().await;
    let (mut sender, answer) = Raw::greet(broker.address(), 4, &kept("sender")).await;
    assert_eq!(answer, [1, 0]);
    sender.publish(12, &[], "t", "once").await;
    sender.expect_ack(0x50, 77).await;
    sender.ack(0x62, 77).await;
    sender.expect_ack(0x70, 77).await;
    let mut listener = broker.connect(4, kept("listener")).await;
    let got = listener.next().await;
    assert_eq!((got.flags, got.payload.as_str()), (10, "once"), "it was not confirmed, so it comes again");
    listener.expect_nothing().await;
}

#[tokio::test]
async fn what_is_not_confirmed_comes_again_in_order_under_the_same_ids_also_after_a_kill() {
    for is_killed in [false, true] {
        let mut broker = Broker::start().await;
        let mut listener = broker.connect(5, kept("listener")).await;
        listener.subscribe("#", 2).await;
        let mut sender = broker.connect(5, hello("sender")).await;
        for (flags, payload) in [(2, "1"), (4, "2"), (4, "3"), (2, "4")] {
            sender.publish(flags, &[], "t", payload).await;
            sender.packet().await;
            if flags == 4 {
                sender.ack(0x62, 77).await;
                sender.packet().await;
            }
        }
        let got = [listener.next().await, listener.next().await, listener.next().await, listener.next().await];
        listener.ack(0x50, got[1].id).await;
        listener.expect_ack(0x62, got[1].id).await;
        listener.ack(0x40, got[3].id).await;
        listener.expect_nothing().await;
        listener.vanish().await;
        if is_killed {
            broker.start_again().await;
        }
        let (mut listener, answer) = Raw::greet(broker.address(), 5, &kept("listener")).await;
        assert_eq!(answer[0], 1);
        let again = listener.next().await;
        assert_eq!(again, Got { flags: 10, topic: "t".into(), id: got[0].id, properties: vec![], payload: "1".into() });
        listener.expect_ack(0x62, got[1].id).await;
        let again = listener.next().await;
        assert_eq!((again.flags, again.id, again.payload.as_str()), (12, got[2].id, "3"));
        listener.ack(0x70, got[1].id).await;
        listener.expect_nothing().await;
    }
}

#[tokio::test]
async fn what_comes_while_a_client_is_away_waits_for_it_but_for_qos_0() {
    let mut broker = Broker::start().await;
    for version in BOTH {
        let mut listener = broker.connect(version, kept("listener")).await;
        listener.subscribe("away/#", 1).await;
        listener.leave().await;
        let mut sender = broker.connect(version, hello("sender")).await;
        sender.publish(0, &[], "away/0", "0").await;
        for payload in ["1", "2", "3"] {
            sender.publish_surely(0, &[], "away/1", payload).await;
        }
        broker.start_again().await;
        let mut listener = broker.connect(version, kept("listener")).await;
        for payload in ["1", "2", "3"] {
            let got = listener.next().await;
            assert_eq!((got.payload.as_str(), got.flags), (payload, 2));
            listener.ack(0x40, got.id).await;
        }
        listener.expect_nothing().await;
        listener.leave().await;
        broker.connect(version, hello("listener")).await.leave().await;
    }
}

#[tokio::test]
async fn retained_messages_are_kept_replaced_and_cleared_also_over_a_kill() {
    let mut broker = Broker::start().await;
    for version in BOTH {
        let mut client = broker.connect(version, hello("c")).await;
        for (topic, payload) in
            [("r/1", "old"), ("r/1", "new"), ("r/2", "x"), ("r", "top"), ("$r/1", "own"), ("r/2", "")]
        {
            client.publish_surely(1, &[], topic, payload).await;
        }
        // Not to be kept, so it changes nothing.
        client.publish_surely(0, &[], "r/1", "").await;
        client.publish_surely(0, &[], "r/1", "passing").await;
        broker.start_again().await;
        let mut client = broker.connect(version, hello("c")).await;
        for (filter, expected) in [
            ("r/#", &["r top", "r/1 new"][..]),
            ("r/+", &["r/1 new"]),
            ("+/1", &["r/1 new"]),
            ("$r/+", &["$r/1 own"]),
            ("r/2", &[]),
        ] {
            client.subscribe(filter, 0).await;
            for expected in expected {
                let got = client.next().await;
                assert_eq!((format!("{} {}", got.topic, got.payload).as_str(), got.flags), (*expected, 1));
            }
            client.expect_nothing().await;
        }
        client.leave().await;
    }
}

#[tokio::test]
async fn wildcards_at_the_front_leave_topics_with_a_dollar_out() {
    let broker = Broker::start().await;
    let mut client = broker.connect(4, hello("c")).await;
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
async fn filters_that_overlap_give_one_message_with_the_highest_qos() {
    let broker = Broker::start().await;
    let mut client = broker.connect(4, hello("c")).await;
    client.subscribe("a/#", 2).await;
    client.subscribe("a/+", 1).await;
    client.publish(0, &[], "a/b", "0").await;
    assert_eq!(client.next().await.flags, 0);
    let mut other = broker.connect(4, hello("other")).await;
    other.publish(4, &[], "a/b", "2").await;
    assert_eq!(client.next().await.flags, 4);
    client.expect_nothing().await;
}

#[tokio::test]
async fn who_unsubscribes_gets_no_more_and_an_unknown_filter_is_confirmed_too() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut client = broker.connect(version, hello("c")).await;
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
async fn filters_that_are_none_are_refused_one_by_one() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut client = broker.connect(version, hello("c")).await;
        let refusal = if version == 5 { 0x8f } else { 0x80 };
        for filter in ["", "a/#/b", "a#", "+a", "$share/g", "$share//a", "$share/+/a", "$share/g/"] {
            assert_eq!(client.subscribe_with(filter, 0, &[]).await, refusal, "{filter:?}");
        }
        client.subscribe("a", 0).await;
    }
}

#[tokio::test]
async fn a_will_is_told_of_who_goes_without_a_word_only() {
    let broker = Broker::start().await;
    let mut listener = broker.connect(4, hello("listener")).await;
    listener.subscribe("will/#", 1).await;
    for version in BOTH {
        let dying = Hello { will: Some((0x28, vec![], "will/x", "gone")), ..hello("dying") };
        broker.connect(version, dying.clone()).await.leave().await;
        listener.expect_nothing().await;
        broker.connect(version, dying.clone()).await.vanish().await;
        let got = listener.next().await;
        assert_eq!((got.topic.as_str(), got.payload.as_str(), got.flags), ("will/x", "gone", 2));
        listener.ack(0x40, got.id).await;
        // Another of the same name drives it out.
        let mut first = broker.connect(version, dying.clone()).await;
        let second = broker.connect(version, hello("dying")).await;
        first.expect_end(0x8e).await;
        let got = listener.next().await;
        assert_eq!(got.payload, "gone");
        listener.ack(0x40, got.id).await;
        second.leave().await;
        listener.expect_nothing().await;
    }
    let mut late = broker.connect(4, hello("late")).await;
    late.subscribe("will/x", 0).await;
    assert_eq!(late.next().await.flags, 1, "the will was to be retained");
}

#[tokio::test]
async fn who_is_silent_for_too_long_is_sent_away() {
    let broker = Broker::start().await;
    let mut clients = Vec::new();
    for version in BOTH {
        let silent = Hello {
            keep_alive: 1,
            will: Some((0, vec![], "w", "silent")),
            ..hello(["old", "new"][usize::from(version - 4)])
        };
        clients.push(broker.connect(version, silent).await);
    }
    let mut listener = broker.connect(4, hello("listener")).await;
    listener.subscribe("w", 0).await;
    let began = std::time::Instant::now();
    for mut client in clients {
        client.expect_end(0x8d).await;
        assert!(began.elapsed().as_millis() > 1_000, "one and a half seconds are granted");
        assert_eq!(listener.next().await.payload, "silent");
    }
}

#[tokio::test]
async fn a_shared_filter_deals_messages_out_to_those_who_are_there() {
    let broker = Broker::start().await;
    let mut members = Vec::new();
    for id in ["a", "b", "away"] {
        let mut member = broker.connect(5, kept(id)).await;
        member.subscribe("$share/g/s/+", 0).await;
        members.push(member);
    }
    members.pop().unwrap().vanish().await;
    let mut other = broker.connect(5, hello("other")).await;
    other.subscribe("$share/other/s/+", 0).await;
    for number in 0..10 {
        other.publish(0, &[], "s/1", &number.to_string()).await;
        assert_eq!(other.next().await.payload, number.to_string(), "another group gets all");
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
