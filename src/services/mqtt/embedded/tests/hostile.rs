//! Malicious and broken clients.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use super::*;

/// Checks that the broker still delivers a message.
async fn expect_delivery(broker: &Broker) {
    let mut client = broker.connect(4, clean_session("probe")).await;
    client.subscribe("probe", 0).await;
    client.publish(0, &[], "probe", "yes").await;
    assert_eq!(client.next().await.payload, "yes");
    client.disconnect().await;
}

#[tokio::test]
async fn random_bytes_end_only_their_own_connection() {
    let broker = Broker::start().await;
    let random = BuildHasherDefault::<DefaultHasher>::default();
    for round in 0..400_u64 {
        let mut noise: Vec<u8> = (0..60_u64).flat_map(|at| random.hash_one((round, at)).to_le_bytes()).collect();
        let version = BOTH[(round % 2) as usize];
        let mut client = RawClient::open(broker.address(), version).await;
        match round % 4 {
            // Instead of CONNECT.
            0 => {}
            // CONNECT with random fields.
            1 => noise = packet(0x10, &[&[0, 4][..], b"MQTT", &[version], &noise[..100]].concat()),
            // A packet of a random type with a correct length, after CONNECT.
            _ => {
                let body = packet(noise[0], &noise[2..2 + usize::from(noise[1])]);
                noise = [clean_session("noise").bytes(version), body].concat();
            }
        }
        // The broker may close the connection before everything is sent.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut client.tcp, &noise).await;
    }
    expect_delivery(&broker).await;
}

#[tokio::test]
async fn invalid_topics_end_only_the_connection_of_their_sender() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut listener = broker.connect(version, clean_session("listener")).await;
        listener.subscribe("#", 0).await;
        for topic in [&b"a\0b"[..], b"\xff\xfe", b"a/+", b"#", b"", b"\xed\xa0\x80"] {
            let mut client = broker.connect(version, clean_session("c")).await;
            let properties = if version == 5 { &[0][..] } else { &[] };
            client.send(&packet(0x30, &[&text(topic)[..], properties, b"x"].concat())).await;
            while client.maybe_packet().await.is_some() {}
        }
        let long = "层/".repeat(16_000);
        let mut client = broker.connect(version, clean_session("c")).await;
        client.publish(0, &[], &long, "x").await;
        assert_eq!(listener.next().await.topic, long);
        assert_eq!(client.subscribe_with(&long, 0, &[]).await & 0x80, 0x80, "more than 200 levels are refused");
    }
}

#[tokio::test]
async fn connections_without_connect_do_not_block_other_clients() {
    let broker = Broker::start().await;
    let mut idlers = Vec::new();
    for number in 0..600 {
        let mut idler = RawClient::open(broker.address(), 4).await;
        let half = clean_session("idler").bytes(4);
        idler.send(&half[..number % half.len()]).await;
        idlers.push(idler);
    }
    expect_delivery(&broker).await;
    // After CONNECT, an incomplete packet blocks only its own connection.
    let mut slow = broker.connect(4, clean_session("slow")).await;
    slow.send(&[0x30, 0xff, 0xff, 0x7f, 0, 1]).await;
    expect_delivery(&broker).await;
    // The oldest connection was closed first.
    assert_eq!(idlers[1].maybe_packet().await, None);
}

#[tokio::test]
async fn the_connection_limit_holds_and_allows_a_take_over() {
    let broker = Broker::start_with(|embedded| embedded.max_connections = 2).await;
    let mut first = broker.connect(5, clean_session("1")).await;
    let second = broker.connect(4, clean_session("2")).await;
    assert_eq!(RawClient::try_connect(broker.address(), 4, &clean_session("3")).await.1, [0, 3]);
    assert_eq!(RawClient::try_connect(broker.address(), 5, &clean_session("3")).await.1[1], 0x89);
    let again = broker.connect(5, clean_session("1")).await;
    first.expect_end(0x8e).await;
    second.disconnect().await;
    broker.connect(5, clean_session("3")).await.disconnect().await;
    again.disconnect().await;
}

#[tokio::test]
async fn clients_without_the_password_are_refused() {
    let broker = Broker::start_with(|embedded| {
        embedded.username = Some("admin".into());
        embedded.password = Some(crate::secrets::Secret::new("sesame"));
    })
    .await;
    let login = |version: u8, name: &str, password: &str| {
        let properties: &[u8] = if version == 5 { &[0] } else { &[] };
        let head = [&text("MQTT")[..], &[version, 0xc2, 0, 0], properties].concat();
        packet(0x10, &[head, text("c"), text(name), text(password)].concat())
    };
    for (version, refusal) in [(4, 4), (5, 0x86)] {
        assert_eq!(RawClient::try_connect(broker.address(), version, &clean_session("c")).await.1[1], refusal);
        for (name, password, code) in
            [("admin", "sesam", refusal), ("guest", "sesame", refusal), ("admin", "sesame", 0)]
        {
            let mut client = RawClient::open(broker.address(), version).await;
            client.send(&login(version, name, password)).await;
            assert_eq!(client.packet().await.1[1], code, "{name} {password}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_costs_no_more_than_its_queue_and_delays_no_other() {
    let broker = Broker::start_with(|embedded| {
        embedded.max_queued = 100;
        embedded.max_queued_bytes = 1 << 20;
    })
    .await;
    let mut non_reader = broker.connect(4, clean_session("non_reader")).await;
    non_reader.subscribe("flood", 0).await;
    let mut sender = broker.connect(4, clean_session("sender")).await;
    let payload = "x".repeat(100_000);
    for number in 0..500 {
        sender.publish_qos1(0, &[], "flood", &format!("{number} {payload}")).await;
    }
    sender.publish_qos1(0, &[], "flood", "last").await;
    // The content of the queue and of the socket buffers arrives in order; 50 MB do not.
    let mut last = None;
    let mut count = 0;
    while let Ok(received) = tokio::time::timeout(Duration::from_secs(2), non_reader.next()).await {
        let number = received.payload.split(' ').next().unwrap().parse::<u32>().ok();
        assert!(number.is_none() || number > last, "{number:?} after {last:?}");
        last = number;
        count += 1;
    }
    assert!((10..300).contains(&count), "{count} of 501 came");
    expect_delivery(&broker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_no_replies_is_not_read_any_more() {
    let broker = Broker::start().await;
    let mut non_reader = broker.connect(4, clean_session("non_reader")).await;
    let pings = [0xc0, 0].repeat(100_000);
    let flood = async {
        loop {
            non_reader.send(&pings).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(3), flood).await.is_err());
    expect_delivery(&broker).await;
}
