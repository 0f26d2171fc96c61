//! The keys of `mqtt:`.

use std::path::Path;
use std::time::Duration;

use super::keys::Keys;
use super::read::{MIB, count};
use super::shape::{self, Shape};
use super::{Embedded, Mqtt, Tls};
use crate::secrets::Secret;

/// Reads the broker elsewhere and the one that comes along; relative paths count from the folder.
pub(super) fn read(keys: &mut Keys<'_>, folder: &Path) -> Mqtt {
    hide_url_password(keys);
    let mqtt = Mqtt {
        url: keys.maybe(
            "url",
            "A broker elsewhere: mqtt://HOST[:PORT], or mqtts:// with TLS. Left out: the embedded broker.",
            &shape::word().and_then(url),
        ),
        client_id: keys.maybe(
            "client_id",
            "The name the broker knows us by; left out, one is made once and kept in the data folder.",
            &mqtt_text(),
        ),
        clean_start: keys.or(
            "clean_start",
            "false",
            "Whether the broker forgets us when we leave, and keeps no messages for us meanwhile.",
            &shape::flag(),
        ),
        username: keys.maybe("username", "The user name for the broker elsewhere.", &mqtt_text()),
        password: keys.maybe(
            "password",
            "The password for the broker elsewhere; better ${NAME} or ${file:PATH} than the word itself.",
            &shape::secret(),
        ),
        keep_alive: keys.or(
            "keep_alive",
            "30s",
            "How often the connection is proved alive.",
            &shape::duration(Duration::from_secs(5), Duration::from_secs(65_535)),
        ),
        max_packet: keys.or(
            "max_packet",
            "16MiB",
            "The largest MQTT packet taken or sent.",
            &shape::size(1 << 10, 256 * MIB - 1),
        ),
        outbox: keys.or("outbox", "10000", "How many publishes wait while the broker is away.", &count(1..=1_000_000)),
        tls: keys.section("tls", "TLS to the broker elsewhere.", |keys| tls(keys, folder)),
        embedded: keys.section("embedded", "The broker that comes along, used when `mqtt.url` is left out.", embedded),
    };
    check_together(keys, mqtt.url.as_deref());
    mqtt
}

/// Refuses keys that make no sense without another.
fn check_together(keys: &mut Keys<'_>, url: Option<&str>) {
    if keys.is_written("password") && !keys.is_written("username") {
        keys.refuse("password", "a password needs a user name: write `mqtt.username` too");
    }
    if keys.is_written("tls") && url.is_some_and(|url| !url.starts_with("mqtts:")) {
        keys.refuse("tls", "this is for brokers with TLS only: write `mqtt.url` with mqtts://");
    }
}

fn tls(keys: &mut Keys<'_>, folder: &Path) -> Tls {
    let mut file = |name, about| keys.maybe(name, about, &shape::word()).map(|file| folder.join(file));
    let tls = Tls {
        ca: file("ca", "A PEM file with the authorities to trust, relative to this file; left out: the system's."),
        certificate: file("certificate", "A PEM file with our own certificate, relative to this file."),
        key: file("key", "A PEM file with our certificate's key, relative to this file."),
        insecure: keys.or("insecure", "false", "Whether any certificate is taken: for tests only.", &shape::flag()),
    };
    if keys.is_written("certificate") != keys.is_written("key") {
        keys.refuse("certificate", "write `mqtt.tls.key` too");
        keys.refuse("key", "write `mqtt.tls.certificate` too");
    }
    tls
}

fn embedded(keys: &mut Keys<'_>) -> Embedded {
    let embedded = Embedded {
        listen: keys.or("listen", "127.0.0.1:1883", "Where the embedded broker listens.", &shape::address()),
        username: keys.maybe("username", "What clients must say as their user name.", &mqtt_text()),
        password: keys.maybe("password", "What clients must say as their password.", &shape::secret()),
    };
    if keys.is_written("username") != keys.is_written("password") {
        keys.refuse("username", "write `mqtt.embedded.password` too");
        keys.refuse("password", "write `mqtt.embedded.username` too");
    }
    embedded
}

/// Text that fits into an MQTT string field.
///
/// Source: MQTT 5.0, 1.5.4 "UTF-8 Encoded String".
fn mqtt_text() -> Shape<String> {
    shape::word().and_then(|text| {
        if text.len() > 65_535 || text.contains('\0') {
            return Err("write at most 65535 bytes, none of them NUL".to_owned());
        }
        Ok(text)
    })
}

/// Checks the address of a broker.
fn url(text: String) -> Result<String, String> {
    let wrong =
        |why: &str| Err(format!("{why}: write mqtt://HOST or mqtts://HOST, with :PORT if it is not 1883 or 8883"));
    let Ok(url) = url::Url::parse(&text) else { return wrong(&format!("{text:?} is no URL")) };
    if !matches!(url.scheme(), "mqtt" | "mqtts") {
        return wrong(&format!("{:?} is no scheme for MQTT", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "write the user and the password as `mqtt.username` and `mqtt.password`, not into the URL".to_owned()
        );
    }
    if url.host_str().is_none_or(str::is_empty) {
        return wrong("the URL names no host");
    }
    if url.port() == Some(0) {
        return wrong("port 0 is none");
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return wrong("nothing may stand behind the host and port");
    }
    Ok(text)
}

/// Keeps a password that stands in the URL, where it must not, out of the fault that says so.
fn hide_url_password(keys: &mut Keys<'_>) {
    let Some(text) = keys.text("url") else { return };
    if let Some((_, rest)) = text.split_once("://")
        && let Some((user, _)) = rest.rsplit_once('@')
        && let Some((_, password)) = user.split_once(':')
    {
        keys.report().hide(Secret::new(password));
    }
}
