//! One broker of `mqtt:`.

use std::path::Path;
use std::time::Duration;

use super::address::{header, hide_password, proxy, url};
use super::text::mqtt_text;
use super::tls::{self, Tls};
use super::will::{self, Will};
use crate::config::section::Section;
use crate::config::value_type::{self, MIB, count};
use crate::secrets::Secret;

/// The connection to a broker: external or embedded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Its name in scripts.
    pub name: String,
    /// `mqtt://host:port`, or with another scheme; `None`: the embedded broker.
    pub url: Option<String>,
    /// The client id; `None`: generated once and stored in the data folder.
    pub client_id: Option<String>,
    /// The MQTT version.
    pub protocol: Protocol,
    /// For an external broker.
    pub username: Option<String>,
    /// For an external broker.
    pub password: Option<Secret>,
    /// Session and keep-alive options.
    pub session: SessionOptions,
    /// The maximum packet size in both directions, in bytes.
    pub max_packet: u64,
    /// The number of outgoing QoS 1 and 2 messages in flight.
    pub max_inflight: u16,
    /// The capacity of the outbox while the broker is offline, in messages.
    pub outbox: usize,
    /// The overflow policy of the outbox.
    pub outbox_full: OutboxFull,
    /// The delays between reconnect attempts.
    pub backoff: Backoff,
    /// The URL of a proxy.
    pub proxy: Option<String>,
    /// Additional header fields of the WebSocket handshake.
    pub headers: Vec<(String, Secret)>,
    /// TLS options of an external broker.
    pub tls: Tls,
    /// The will message.
    pub will: Option<Will>,
}

/// The MQTT version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// 5 if the broker supports it, else 3.1.1.
    #[default]
    Newest,
    /// 3.1.1.
    V4,
    /// 5.
    V5,
}

/// The overflow policy of the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutboxFull {
    /// The publish fails.
    #[default]
    Refuse,
    /// The oldest message is dropped.
    DropOldest,
}

/// Session and keep-alive options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionOptions {
    /// Whether the session ends with the connection.
    pub clean_start: bool,
    /// The session expiry interval (MQTT 5).
    pub expiry: Duration,
    /// The keep-alive interval.
    pub keep_alive: Duration,
    /// The receive maximum (MQTT 5).
    pub receive_maximum: u16,
}

/// The delays between reconnect attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first delay; each further one is doubled.
    pub first: Duration,
    /// The longest delay.
    pub longest: Duration,
}

/// Reads the keys of one broker; relative paths start at the folder.
pub(super) fn read(section: &mut Section<'_>, folder: &Path, name: &str) -> Broker {
    hide_password(section, "url");
    hide_password(section, "proxy");
    let description = "The URL of the broker: mqtt://HOST[:PORT], mqtts:// with TLS, ws:// or wss:// with a path, or unix:///PATH. Default: the embedded broker.";
    let url = section.optional("url", description, &value_type::non_empty_text().and_then(url));
    let (max_inflight, outbox, outbox_full) = outgoing(section);
    let broker = Broker {
        name: name.to_owned(),
        client_id: section.optional(
            "client_id",
            "The client id. Default: generated once and stored in the data folder.",
            &mqtt_text(),
        ),
        protocol: section.value(
            "protocol",
            "auto",
            "The MQTT version; auto: 5 if the broker supports it, else 3.1.1.",
            &value_type::keyword(&[("auto", Protocol::Newest), ("3.1.1", Protocol::V4), ("5", Protocol::V5)]),
        ),
        username: section.optional("username", "The user name for an external broker.", &mqtt_text()),
        password: section.optional(
            "password",
            "The password for an external broker; prefer ${NAME} or ${file:PATH} to plain text.",
            &value_type::secret(),
        ),
        session: session(section),
        max_packet: section.value(
            "max_packet",
            "16MiB",
            "The maximum packet size in both directions.",
            &value_type::size(1 << 10, 256 * MIB - 1),
        ),
        max_inflight,
        outbox,
        outbox_full,
        backoff: backoff(section),
        proxy: section.optional(
            "proxy",
            "A proxy for an external broker: http://HOST:PORT or socks5://HOST:PORT, optionally with USER:PASSWORD@.",
            &value_type::non_empty_text().and_then(proxy),
        ),
        headers: headers(section),
        tls: section.section("tls", "TLS options of an external broker.", |section| tls::read(section, folder)),
        will: section.section(
            "will",
            "The will: a message that the broker publishes when the connection is lost.",
            will::read,
        ),
        url,
    };
    check_together(section, broker.url.as_deref());
    broker
}

/// Reads the limits of outgoing messages and the overflow policy.
fn outgoing(section: &mut Section<'_>) -> (u16, usize, OutboxFull) {
    let max_inflight = section.value(
        "max_inflight",
        "100",
        "The maximum number of outgoing QoS 1 and 2 messages in flight; fewer if the broker's receive maximum is lower.",
        &count(1..=10_000),
    ) as u16;
    let outbox = section.value(
        "outbox",
        "10000",
        "The capacity of the outbox while the broker is offline, in messages.",
        &count(1..=1_000_000),
    );
    let outbox_full = section.value(
        "outbox_full",
        "refuse",
        "The overflow policy of the outbox: refuse (the publish fails) or drop_oldest.",
        &value_type::keyword(&[("refuse", OutboxFull::Refuse), ("drop_oldest", OutboxFull::DropOldest)]),
    );
    (max_inflight, outbox, outbox_full)
}

fn session(section: &mut Section<'_>) -> SessionOptions {
    SessionOptions {
        clean_start: section.value(
            "clean_start",
            "false",
            "Whether to start a new session at each connection; the broker then queues no messages while rhaid is offline.",
            &value_type::boolean(),
        ),
        expiry: section.value(
            "session_expiry",
            "30d",
            "The session expiry interval (MQTT 5).",
            &value_type::duration(Duration::ZERO, Duration::from_secs(u32::MAX as u64)),
        ),
        keep_alive: section.value(
            "keep_alive",
            "30s",
            "The keep-alive interval.",
            &value_type::duration(Duration::from_secs(5), Duration::from_secs(65_535)),
        ),
        receive_maximum: section.value(
            "receive_maximum",
            "10000",
            "The receive maximum: how many unacknowledged QoS 1 and 2 messages the broker may send (MQTT 5).",
            &count(1..=65_535),
        ) as u16,
    }
}

fn backoff(section: &mut Section<'_>) -> Backoff {
    let (least, most) = (Duration::from_millis(100), Duration::from_secs(86_400));
    let first = "The delay before the first reconnect attempt; doubled for each further attempt.";
    let backoff = Backoff {
        first: section.value("reconnect_delay", "500ms", first, &value_type::duration(least, most)),
        longest: section.value(
            "max_reconnect_delay",
            "1m",
            "The longest delay between reconnect attempts.",
            &value_type::duration(least, most),
        ),
    };
    if backoff.first > backoff.longest {
        section.reject("reconnect_delay", "this is longer than `max_reconnect_delay`");
        section.reject("max_reconnect_delay", "this is shorter than `reconnect_delay`");
    }
    backoff
}

fn headers(section: &mut Section<'_>) -> Vec<(String, Secret)> {
    let description = "Header fields of the WebSocket handshake, such as `Authorization`, for ws:// and wss://; their values are secret.";
    let values = section.map("headers", description, &value_type::secret());
    let mut headers = Vec::new();
    for (entry, value) in values {
        match header(&entry.key, &value) {
            Ok(()) => headers.push((entry.key.clone(), value)),
            Err(why) => section.reject("headers", &format!("{:?}: {why}", entry.key)),
        }
    }
    headers
}

/// Rejects keys that have no effect without another key.
fn check_together(section: &mut Section<'_>, url: Option<&str>) {
    if section.is_written("password") && !section.is_written("username") {
        section.reject("password", "a password needs a user name: add `username`");
    }
    if section.is_written("tls") && url.is_some_and(|url| !url.starts_with("mqtts:") && !url.starts_with("wss:")) {
        section.reject("tls", "this needs TLS: write the `url` with mqtts:// or wss://");
    }
    if section.is_written("headers") && url.is_none_or(|url| !url.starts_with("ws:") && !url.starts_with("wss:")) {
        section.reject("headers", "this needs a WebSocket: write the `url` with ws:// or wss://");
    }
    if section.is_written("proxy") && url.is_none_or(|url| url.starts_with("unix:")) {
        section.reject("proxy", "this broker is local and cannot have a proxy: remove it");
    }
}
