//! The keys of `mqtt:`.

use std::path::Path;
use std::time::Duration;

use super::address::{header, hide_password, proxy, url};
use super::read::{MIB, count};
use super::section::Section;
use super::value_type::{self, ValueType};
use super::{Backoff, Broker, Certificate, DEFAULT_BROKER, Embedded, Mqtt, OutboxFull, Protocol, Session, Tls, Will};
use crate::secrets::Secret;

/// Reads the brokers and the one that comes along; relative paths count from the folder.
pub(super) fn read(keys: &mut Section<'_>, folder: &Path) -> Mqtt {
    let short = broker(keys, folder, DEFAULT_BROKER);
    let about =
        "Several brokers, by names that scripts use as `broker: \"NAME\"`; one without `url` is the embedded one.";
    let mut brokers = keys.sections("brokers", about, |entry, keys| broker(keys, folder, &entry.key));
    if brokers.is_empty() || short.url.is_some() {
        brokers.insert(0, short);
    } else {
        for name in SHORT {
            keys.refuse(name, "this is for the broker at `mqtt.url`: write it below a name in `mqtt.brokers`");
        }
    }
    check_names(keys, &brokers);
    let about = "The broker of scripts that name none; left out: the one at `mqtt.url`, or else the first.";
    if let Some(default) = keys.maybe("default", about, &value_type::word()) {
        match brokers.iter().position(|broker| broker.name == default) {
            Some(at) => brokers[..=at].rotate_right(1),
            None => {
                let names: Vec<_> = brokers.iter().map(|broker| broker.name.as_str()).collect();
                keys.refuse("default", &format!("there is no broker {default:?}: write one of {}", names.join(", ")));
            }
        }
    }
    let embedded = keys.section("embedded", "The broker that comes along, used where `url` is left out.", |keys| {
        embedded(keys, folder)
    });
    Mqtt { brokers, embedded }
}

/// The keys of the broker at `mqtt.url` that mean nothing without it when there are others.
const SHORT: &[&str] = &[
    "client_id",
    "protocol",
    "clean_start",
    "session_expiry",
    "username",
    "password",
    "keep_alive",
    "receive_maximum",
    "max_packet",
    "max_inflight",
    "outbox",
    "outbox_full",
    "reconnect_delay",
    "max_reconnect_delay",
    "proxy",
    "headers",
    "tls",
    "will",
];

/// Refuses two brokers of one name, and two that are the embedded one.
fn check_names(keys: &mut Section<'_>, brokers: &[Broker]) {
    if brokers.iter().skip(1).any(|broker| broker.name == brokers[0].name) {
        keys.refuse(
            "brokers",
            &format!("{:?} is the broker at `mqtt.url`: give this one another name", DEFAULT_BROKER),
        );
    }
    if brokers.iter().filter(|broker| broker.url.is_none()).count() > 1 {
        keys.refuse("brokers", "only one of them can be the embedded broker: give the others a `url`");
    }
}

/// Reads the keys of one broker.
fn broker(keys: &mut Section<'_>, folder: &Path, name: &str) -> Broker {
    hide_password(keys, "url");
    hide_password(keys, "proxy");
    let about = "Where the broker is: mqtt://HOST[:PORT], mqtts:// with TLS, ws:// or wss:// with a path, or unix:///PATH. Left out: the embedded broker.";
    let url = keys.maybe("url", about, &value_type::word().and_then(url));
    let (max_inflight, outbox, outbox_full) = outgoing(keys);
    let broker = Broker {
        name: name.to_owned(),
        client_id: keys.maybe(
            "client_id",
            "The name the broker knows us by; left out, one is made once and kept in the data folder.",
            &mqtt_text(),
        ),
        protocol: keys.or(
            "protocol",
            "auto",
            "The version of MQTT; auto: 5 if the broker understands it, else 3.1.1.",
            &value_type::one_of(&[("auto", Protocol::Newest), ("3.1.1", Protocol::V4), ("5", Protocol::V5)]),
        ),
        username: keys.maybe("username", "The user name for the broker elsewhere.", &mqtt_text()),
        password: keys.maybe(
            "password",
            "The password for the broker elsewhere; better ${NAME} or ${file:PATH} than the word itself.",
            &value_type::secret(),
        ),
        session: session(keys),
        max_packet: keys.or(
            "max_packet",
            "16MiB",
            "The largest MQTT packet taken or sent.",
            &value_type::size(1 << 10, 256 * MIB - 1),
        ),
        max_inflight,
        outbox,
        outbox_full,
        backoff: backoff(keys),
        proxy: keys.maybe(
            "proxy",
            "The way out, for the broker elsewhere: http://HOST:PORT or socks5://HOST:PORT, with USER:PASSWORD@ if need be.",
            &value_type::word().and_then(proxy),
        ),
        headers: headers(keys),
        tls: keys.section("tls", "TLS to the broker elsewhere.", |keys| tls(keys, folder)),
        will: keys.section("will", "What the broker tells others when it has lost us.", will),
        url,
    };
    check_together(keys, broker.url.as_deref());
    broker
}

/// Reads how many messages are on the way, how many wait, and what happens when more come.
fn outgoing(keys: &mut Section<'_>) -> (u16, usize, OutboxFull) {
    let max_inflight = keys.or(
        "max_inflight",
        "100",
        "How many messages with QoS 1 and 2 are on the way to the broker before the first is confirmed; fewer if it wants that.",
        &count(1..=10_000),
    ) as u16;
    let outbox = keys.or("outbox", "10000", "How many publishes wait while the broker is away.", &count(1..=1_000_000));
    let outbox_full = keys.or(
        "outbox_full",
        "refuse",
        "What happens when more come: refuse (a fault of the script) or drop_oldest (what has waited longest is given up).",
        &value_type::one_of(&[("refuse", OutboxFull::Refuse), ("drop_oldest", OutboxFull::DropOldest)]),
    );
    (max_inflight, outbox, outbox_full)
}

/// Reads how long each side remembers the other, and how it is known to be there.
fn session(keys: &mut Section<'_>) -> Session {
    Session {
        clean_start: keys.or(
            "clean_start",
            "false",
            "Whether the broker forgets us when we leave, and keeps no messages for us meanwhile.",
            &value_type::flag(),
        ),
        expiry: keys.or(
            "session_expiry",
            "30d",
            "How long the broker remembers us while we are away, with MQTT 5.",
            &value_type::duration(Duration::ZERO, Duration::from_secs(u32::MAX as u64)),
        ),
        keep_alive: keys.or(
            "keep_alive",
            "30s",
            "How often the connection is proved alive.",
            &value_type::duration(Duration::from_secs(5), Duration::from_secs(65_535)),
        ),
        receive_maximum: keys.or(
            "receive_maximum",
            "10000",
            "How many messages with QoS 1 and 2 the broker sends before the first is confirmed, with MQTT 5.",
            &count(1..=65_535),
        ) as u16,
    }
}

/// Reads how long to wait before a broker that is away is called again.
fn backoff(keys: &mut Section<'_>) -> Backoff {
    let (least, most) = (Duration::from_millis(100), Duration::from_secs(86_400));
    let first = "How long to wait before a broker that is away is called again; twice as long each further time.";
    let backoff = Backoff {
        first: keys.or("reconnect_delay", "500ms", first, &value_type::duration(least, most)),
        longest: keys.or(
            "max_reconnect_delay",
            "1m",
            "How long to wait before that at most.",
            &value_type::duration(least, most),
        ),
    };
    if backoff.first > backoff.longest {
        keys.refuse("reconnect_delay", "this is longer than `max_reconnect_delay`");
        keys.refuse("max_reconnect_delay", "this is shorter than `reconnect_delay`");
    }
    backoff
}

/// Reads what else the greeting of a WebSocket says.
fn headers(keys: &mut Section<'_>) -> Vec<(String, Secret)> {
    let about = "Headers for a broker with ws:// or wss://, such as `Authorization`; they are never shown.";
    let values = keys.pairs("headers", about, &value_type::secret());
    let mut headers = Vec::new();
    for (entry, value) in values {
        match header(&entry.key, &value) {
            Ok(()) => headers.push((entry.key.clone(), value)),
            Err(why) => keys.refuse("headers", &format!("{:?}: {why}", entry.key)),
        }
    }
    headers
}

/// Refuses keys that make no sense without another.
fn check_together(keys: &mut Section<'_>, url: Option<&str>) {
    if keys.is_written("password") && !keys.is_written("username") {
        keys.refuse("password", "a password needs a user name: write `username` beside it");
    }
    if keys.is_written("tls") && url.is_some_and(|url| !url.starts_with("mqtts:") && !url.starts_with("wss:")) {
        keys.refuse("tls", "this is for brokers with TLS only: write the `url` with mqtts:// or wss://");
    }
    if keys.is_written("headers") && url.is_none_or(|url| !url.starts_with("ws:") && !url.starts_with("wss:")) {
        keys.refuse("headers", "this is for WebSockets only: write the `url` with ws:// or wss://");
    }
    if keys.is_written("proxy") && url.is_none_or(|url| url.starts_with("unix:")) {
        keys.refuse("proxy", "there is no proxy on the way to this broker: leave it out");
    }
}

fn will(keys: &mut Section<'_>) -> Option<Will> {
    let topic = keys.maybe("topic", "The topic of that message.", &mqtt_text().and_then(one_topic));
    let will = Will {
        topic: String::new(),
        payload: keys.maybe("payload", "Its payload; left out: empty.", &value_type::text()).unwrap_or_default(),
        qos: keys.or("qos", "0", "Its QoS: 0, 1 or 2.", &value_type::whole(0..=2)) as u8,
        retain: keys.or("retain", "false", "Whether the broker keeps it.", &value_type::flag()),
        delay: keys.or(
            "delay",
            "0s",
            "How long the broker waits for us to come back before it tells, with MQTT 5.",
            &value_type::duration(Duration::ZERO, Duration::from_secs(u32::MAX as u64)),
        ),
        content_type: keys.maybe("content_type", "What the payload is, such as text/plain, with MQTT 5.", &mqtt_text()),
        response_topic: keys.maybe(
            "response_topic",
            "Where an answer goes, with MQTT 5.",
            &mqtt_text().and_then(one_topic),
        ),
        correlation_data: keys.maybe("correlation_data", "What an answer repeats, with MQTT 5.", &mqtt_text()),
        message_expiry: keys.maybe(
            "message_expiry",
            "How long the broker keeps that message for who is away, with MQTT 5.",
            &value_type::duration(Duration::from_secs(1), Duration::from_secs(u32::MAX as u64)),
        ),
        user_properties: user_properties(keys),
    };
    if topic.is_none() {
        for name in WITH_TOPIC {
            keys.refuse(name, "a will needs a topic: write `topic` beside it");
        }
    }
    topic.map(|topic| Will { topic, ..will })
}

/// The keys of a will that mean nothing without its topic.
const WITH_TOPIC: &[&str] = &[
    "payload",
    "qos",
    "retain",
    "delay",
    "content_type",
    "response_topic",
    "correlation_data",
    "message_expiry",
    "user_properties",
];

fn user_properties(keys: &mut Section<'_>) -> Vec<(String, String)> {
    let about = "What else comes with that message, as names and texts, with MQTT 5.";
    let pairs = keys.pairs("user_properties", about, &value_type::text());
    pairs.into_iter().map(|(entry, text)| (entry.key.clone(), text)).collect()
}

fn one_topic(text: String) -> Result<String, String> {
    crate::topic::check_topic(&text).map(|()| text)
}

fn tls(keys: &mut Section<'_>, folder: &Path) -> Tls {
    let mut file = |name, about| keys.maybe(name, about, &value_type::word()).map(|file| folder.join(file));
    let tls = Tls {
        ca: file("ca", "A PEM file with the authorities to trust, relative to this file; left out: the system's."),
        certificate: file("certificate", "A PEM file with our own certificate, relative to this file."),
        key: file("key", "A PEM file with our certificate's key, relative to this file."),
        alpn: keys
            .list("alpn", "The protocols offered in the TLS greeting (ALPN), such as mqtt.", &alpn())
            .unwrap_or_default(),
        insecure: keys.or(
            "insecure",
            "false",
            "Whether any certificate is taken: for tests only.",
            &value_type::flag(),
        ),
    };
    if keys.is_written("certificate") != keys.is_written("key") {
        keys.refuse("certificate", "write `key` beside it");
        keys.refuse("key", "write `certificate` beside it");
    }
    tls
}

/// Source: RFC 7301, section 3.1: a protocol's name has from 1 to 255 bytes.
fn alpn() -> ValueType<String> {
    value_type::word().and_then(|text| if text.len() > 255 { Err("write at most 255 bytes".into()) } else { Ok(text) })
}

fn embedded(keys: &mut Section<'_>, folder: &Path) -> Embedded {
    let embedded = Embedded {
        listen: keys.or("listen", "127.0.0.1:1883", "Where the embedded broker listens.", &value_type::address()),
        username: keys.maybe("username", "What clients must say as their user name.", &mqtt_text()),
        password: keys.maybe("password", "What clients must say as their password.", &value_type::secret()),
        tls: keys.section("tls", "TLS instead of plain MQTT; both files are needed.", |keys| certificate(keys, folder)),
        max_connections: keys.or("max_connections", "1000", "How many clients may be connected.", &count(1..=100_000)),
        max_packet: keys.maybe(
            "max_packet",
            "The largest packet that the embedded broker takes; left out: as `mqtt.max_packet`. Who sends a larger one is cut off.",
            &value_type::size(1 << 10, 256 * MIB - 1),
        ),
        max_queued: keys.or(
            "max_queued",
            "100000",
            "How many messages wait for one client that is away or slow; more are dropped.",
            &count(1..=10_000_000),
        ),
        max_queued_bytes: keys.or(
            "max_queued_bytes",
            "64MiB",
            "How much waits for one client that is away or slow.",
            &value_type::size(1 << 10, 64 * 1024 * MIB),
        ),
        max_keep_alive: keys.or(
            "max_keep_alive",
            "1h",
            "The longest keep-alive: MQTT 5 clients that ask for a longer one, or none, get this one.",
            &value_type::duration(Duration::from_secs(5), Duration::from_secs(65_535)),
        ),
    };
    if keys.is_written("username") != keys.is_written("password") {
        keys.refuse("username", "write `mqtt.embedded.password` too");
        keys.refuse("password", "write `mqtt.embedded.username` too");
    }
    embedded
}

fn certificate(keys: &mut Section<'_>, folder: &Path) -> Option<Certificate> {
    let cert =
        keys.maybe("cert", "A PEM file with the broker's certificate, relative to this file.", &value_type::word());
    let key = keys.maybe("key", "A PEM file with the certificate's key, relative to this file.", &value_type::word());
    if keys.is_written("cert") != keys.is_written("key") {
        keys.refuse("cert", "write `mqtt.embedded.tls.key` too");
        keys.refuse("key", "write `mqtt.embedded.tls.cert` too");
    }
    Some(Certificate { cert: folder.join(cert?), key: folder.join(key?) })
}

/// Text that fits into an MQTT string field.
///
/// Source: MQTT 5.0, 1.5.4 "UTF-8 Encoded String".
fn mqtt_text() -> ValueType<String> {
    value_type::word().and_then(|text| {
        if text.len() > 65_535 || text.contains('\0') {
            return Err("write at most 65535 bytes, none of them NUL".to_owned());
        }
        Ok(text)
    })
}
