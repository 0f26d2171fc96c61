//! Clients that mean no good, or know no better.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use super::*;

/// Checks that a message comes through.
async fn expect_alive(broker: &Broker) {
    let mut client = broker.connect(4, hello("alive")).await;
    client.subscribe("alive", 0).await;
    client.publish(0, &[], "alive", "yes").await;
    assert_eq!(client.next().await.payload, "yes");
    client.leave().await;
}

#[tokio::test]
async fn noise_ends_one_connection_only() {
    let broker = Broker::start().await;
    let random = RandomState::new();
    for round in 0..400_u64 {
        let mut noise: Vec<u8> = (0..60_u64).flat_map(|at| random.hash_one((round, at)).to_le_bytes()).collect();
        let version = BOTH[(round % 2) as usize];
        let mut client = Raw::open(broker.address(), version).await;
        match round % 4 {
            // From the very beginning.
            0 => {}
            // A greeting, with noise for its fields.
            1 => noise = packet(0x10, &[&[0, 4][..], b"MQTT", &[version], &noise[..100]].concat()),
            // Of every kind, behind a greeting, with a length that is right.
            _ => {
                let body = packet(noise[0], &noise[2..2 + usize::from(noise[1])]);
                noise = [hello("noise").bytes(version), body].concat();
            }
        }
        // It may be cut off before everything is sent.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut client.tcp, &noise).await;
    }
    expect_alive(&broker).await;
}

#[tokio::test]
async fn topics_that_are_none_cut_off_their_sender_only() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut listener = broker.connect(version, hello("listener")).await;
        listener.subscribe("#", 0).await;
        for topic in [&b"a\0b"[..], b"\xff\xfe", b"a/+", b"#", b"", b"\xed\xa0\x80"] {
            let mut client = broker.connect(version, hello("c")).await;
            let properties = if version == 5 { &[0][..] } else { &[] };
            client.send(&packet(0x30, &[&text(topic)[..], properties, b"x"].concat())).await;
            while client.maybe_packet().await.is_some() {}
        }
        let long = "层/".repeat(16_000);
        let mut client = broker.connect(version, hello("c")).await;
        client.publish(0, &[], &long, "x").await;
        assert_eq!(listener.next().await.topic, long);
        assert_eq!(client.subscribe_with(&long, 0, &[]).await & 0x80, 0x80, "so many levels are not remembered");
    }
}

#[tokio::test]
async fn those_who_never_say_who_they_are_keep_nobody_out() {
    let broker = Broker::start().await;
    let mut idlers = Vec::new();
    for number in 0..600 {
        let mut idler = Raw::open(broker.address(), 4).await;
        let half = hello("idler").bytes(4);
        idler.send(&half[..number % half.len()]).await;
        idlers.push(idler);
    }
    expect_alive(&broker).await;
    // Inside, half a packet is nothing to anybody.
    let mut slow = broker.connect(4, hello("slow")).await;
    slow.send(&[0x30, 0xff, 0xff, 0x7f, 0, 1]).await;
    expect_alive(&broker).await;
    // The first to come was the first to go.
    assert_eq!(idlers[1].maybe_packet().await, None);
}

#[tokio::test]
async fn no_more_are_let_in_than_may_but_who_is_in_may_come_again() {
    let broker = Broker::start_with(|embedded| embedded.max_connections = 2).await;
    let mut first = broker.connect(5, hello("1")).await;
    let second = broker.connect(4, hello("2")).await;
    assert_eq!(Raw::greet(broker.address(), 4, &hello("3")).await.1, [0, 3]);
    assert_eq!(Raw::greet(broker.address(), 5, &hello("3")).await.1[1], 0x89);
    let again = broker.connect(5, hello("1")).await;
    first.expect_end(0x8e).await;
    second.leave().await;
    broker.connect(5, hello("3")).await.leave().await;
    again.leave().await;
}

#[tokio::test]
async fn only_who_knows_the_password_comes_in() {
    let broker = Broker::start_with(|embedded| {
        embedded.username = Some("house".into());
        embedded.password = Some(crate::secrets::Secret::new("sesame"));
    })
    .await;
    let login = |version: u8, name: &str, password: &str| {
        let properties: &[u8] = if version == 5 { &[0] } else { &[] };
        let head = [&text("MQTT")[..], &[version, 0xc2, 0, 0], properties].concat();
        packet(0x10, &[head, text("c"), text(name), text(password)].concat())
    };
    for (version, refusal) in [(4, 4), (5, 0x86)] {
        assert_eq!(Raw::greet(broker.address(), version, &hello("c")).await.1[1], refusal);
        for (name, password, code) in
            [("house", "sesam", refusal), ("mouse", "sesame", refusal), ("house", "sesame", 0)]
        {
            let mut client = Raw::open(broker.address(), version).await;
            client.send(&login(version, name, password)).await;
            assert_eq!(client.packet().await.1[1], code, "{name} {password}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_reads_costs_no_more_than_its_queue_and_holds_up_nobody() {
    let broker = Broker::start_with(|embedded| {
        embedded.max_queued = 100;
        embedded.max_queued_bytes = 1 << 20;
    })
    .await;
    let mut deaf = broker.connect(4, hello("deaf")).await;
    deaf.subscribe("flood", 0).await;
    let mut sender = broker.connect(4, hello("sender")).await;
    let payload = "x".repeat(100_000);
    for number in 0..500 {
        sender.publish_surely(0, &[], "flood", &format!("{number} {payload}")).await;
    }
    sender.publish_surely(0, &[], "flood", "last").await;
    // What was in the queue and in the sockets comes, in order; 50 MB do not.
    let mut last = None;
    let mut count = 0;
    while let Ok(got) = tokio::time::timeout(Duration::from_secs(2), deaf.next()).await {
        let number = got.payload.split(' ').next().unwrap().parse::<u32>().ok();
        assert!(number.is_none() || number > last, "{number:?} after {last:?}");
        last = number;
        count += 1;
    }
    assert!((10..300).contains(&count), "{count} of 501 came");
    expect_alive(&broker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_without_reading_the_answers_is_not_read_any_more() {
    let broker = Broker::start().await;
    let mut deaf = broker.connect(4, hello("deaf")).await;
    let pings = [0xc0, 0].repeat(100_000);
    let flood = async {
        loop {
            deaf.send(&pings).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(3), flood).await.is_err());
    expect_alive(&broker).await;
}
