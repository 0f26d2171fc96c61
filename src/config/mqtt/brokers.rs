//! All brokers of `mqtt:`.

use std::path::Path;
use std::sync::Arc;

use super::broker::{self, Broker};
use super::embedded::{self, EmbeddedBroker};
use crate::config::section::Section;
use crate::config::value_type;

/// The name of the broker at `mqtt.url`, or of the embedded one.
pub const DEFAULT_BROKER: &str = "default";

/// All broker connections, and the embedded broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mqtt {
    /// The connections, at least one; the first is the default.
    pub brokers: Vec<Broker>,
    /// The embedded broker.
    pub embedded: EmbeddedBroker,
}

impl Mqtt {
    /// Returns the names of the brokers.
    pub fn names(&self) -> Arc<[String]> {
        self.brokers.iter().map(|broker| broker.name.clone()).collect()
    }

    /// Returns whether one of the brokers is the embedded one.
    pub fn wants_embedded(&self) -> bool {
        self.brokers.iter().any(|broker| broker.url.is_none())
    }

    /// Returns the largest of their packet limits, in bytes.
    pub fn max_packet(&self) -> u64 {
        self.brokers.iter().map(|broker| broker.max_packet).max().unwrap_or_default()
    }
}

/// Reads the section; relative paths start at the folder.
pub(in crate::config) fn read(section: &mut Section<'_>, folder: &Path) -> Mqtt {
    let short = broker::read(section, folder, DEFAULT_BROKER);
    let description = "Several brokers by name; scripts select one with `broker: \"NAME\"`. An entry without `url` is the embedded broker.";
    let mut brokers =
        section.sections("brokers", description, |entry, section| broker::read(section, folder, &entry.key));
    if brokers.is_empty() || short.url.is_some() {
        brokers.insert(0, short);
    } else {
        for name in WITH_URL {
            section.reject(name, "this applies to the broker at `mqtt.url`: move it below a name in `mqtt.brokers`");
        }
    }
    check_names(section, &brokers);
    let description = "The broker for scripts that do not select one. Default: the one at `mqtt.url`, else the first.";
    if let Some(default) = section.optional("default", description, &value_type::non_empty_text()) {
        match brokers.iter().position(|broker| broker.name == default) {
            Some(at) => brokers[..=at].rotate_right(1),
            None => {
                let names: Vec<_> = brokers.iter().map(|broker| broker.name.as_str()).collect();
                section
                    .reject("default", &format!("there is no broker {default:?}: write one of {}", names.join(", ")));
            }
        }
    }
    let embedded =
        section.section("embedded", "The embedded broker, which is used when `url` is not set.", |section| {
            embedded::read(section, folder)
        });
    Mqtt { brokers, embedded }
}

/// Keys of the broker at `mqtt.url` that are invalid when `brokers` is used without it.
const WITH_URL: &[&str] = &[
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

/// Rejects duplicate names and more than one embedded broker.
fn check_names(section: &mut Section<'_>, brokers: &[Broker]) {
    if brokers.iter().skip(1).any(|broker| broker.name == brokers[0].name) {
        section.reject(
            "brokers",
            &format!("the name {:?} belongs to the broker at `mqtt.url`: use another name", DEFAULT_BROKER),
        );
    }
    if brokers.iter().filter(|broker| broker.url.is_none()).count() > 1 {
        section.reject("brokers", "only one of them can be the embedded broker: add a `url` to the others");
    }
}
