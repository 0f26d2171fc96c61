//! Effects of a run: one entry for each publish, request, state change, timer, file, program and log line.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The largest number of characters of a message's payload in a summary.
const SHOWN: usize = 200;
/// The largest part of a message's payload that a summary keeps in memory, in bytes: enough for the characters that it shows.
const KEPT: usize = 1_024;

/// An external effect of a run, or an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// The time from the start of the run, serialized in whole microseconds.
    #[serde(rename = "after_us", with = "micros")]
    pub after: Duration,
    /// The function, such as `mqtt_publish`, or the level of a log line.
    #[serde(rename = "what")]
    pub action: Cow<'static, str>,
    /// A summary of the arguments, such as `house/alarm (12 bytes)`, or the text of a log line.
    #[serde(rename = "with")]
    pub details: String,
    /// The duration, if the call waited, serialized in whole microseconds.
    #[serde(rename = "took_us", with = "micros", default, skip_serializing_if = "Duration::is_zero")]
    pub took: Duration,
    /// A summary of the result, such as `200`. Can be empty.
    #[serde(rename = "answer", default, skip_serializing_if = "String::is_empty")]
    pub result: String,
    /// The error message, or empty on success.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fault: String,
    /// Whether it takes effect only when the run succeeds.
    #[serde(rename = "held", default, skip_serializing_if = "std::ops::Not::not")]
    pub deferred: bool,
}

impl Effect {
    /// Returns an effect that took place immediately.
    pub fn new(action: impl Into<Cow<'static, str>>, details: impl Into<String>) -> Self {
        Self { action: action.into(), details: details.into(), ..Self::default() }
    }

    /// Returns the approximate size in bytes.
    pub fn weight(&self) -> usize {
        64 + self.action.len() + self.details.len() + self.result.len() + self.fault.len()
    }
}

/// An effect as a function records it: its texts are made only if the run is recorded.
#[derive(Debug)]
pub struct RawEffect {
    /// When the function was called.
    pub started: Instant,
    /// The function, such as `mqtt_publish`, or the level of a log line.
    pub action: &'static str,
    /// The summary of the arguments.
    pub details: Details,
    /// The duration, if the call waited.
    pub took: Duration,
    /// A summary of the result. Can be empty.
    pub result: String,
    /// The error message, or empty on success.
    pub fault: String,
    /// Whether it takes effect only when the run succeeds.
    pub deferred: bool,
}

impl RawEffect {
    /// Returns an effect that takes place now.
    pub fn new(action: &'static str, details: impl Into<Details>) -> Self {
        Self {
            started: Instant::now(),
            action,
            details: details.into(),
            took: Duration::ZERO,
            result: String::new(),
            fault: String::new(),
            deferred: false,
        }
    }

    /// Returns the effect with its texts; `run_started` is the start of the run.
    pub fn into_effect(self, run_started: Instant) -> Effect {
        Effect {
            after: self.started.saturating_duration_since(run_started),
            action: self.action.into(),
            details: self.details.into_text(),
            took: self.took,
            result: self.result,
            fault: self.fault,
            deferred: self.deferred,
        }
    }
}

/// Summary of a function's arguments.
#[derive(Debug)]
pub enum Details {
    /// A text.
    Text(String),
    /// An MQTT message.
    Message(MessageDetails),
}

impl Details {
    /// Returns the text of the summary.
    pub fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Message(message) => message.to_text(),
        }
    }
}

impl From<String> for Details {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Details {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Cow<'_, str>> for Details {
    fn from(text: Cow<'_, str>) -> Self {
        Self::Text(text.into_owned())
    }
}

impl From<MessageDetails> for Details {
    fn from(message: MessageDetails) -> Self {
        Self::Message(message)
    }
}

/// An MQTT message, without the end of a long payload.
#[derive(Debug)]
pub struct MessageDetails {
    topic: String,
    payload: Bytes,
    length: usize,
    qos: u8,
    retain: bool,
    broker: Option<String>,
}

impl MessageDetails {
    /// Describes a message. Shares a short payload and copies the start of a long one, so that it does not stay in memory.
    pub fn new(topic: String, payload: &Bytes, qos: u8, retain: bool, broker: Option<String>) -> Self {
        let length = payload.len();
        let payload = if length <= KEPT { payload.clone() } else { Bytes::copy_from_slice(&payload[..KEPT]) };
        Self { topic, payload, length, qos, retain, broker }
    }

    fn to_text(&self) -> String {
        let Self { topic, payload, length, qos, retain, broker } = self;
        let payload = String::from_utf8_lossy(payload);
        let shown = payload.char_indices().nth(SHOWN + 1).map_or(&*payload, |(end, _)| &payload[..end]);
        let quoted = serde_json::to_string(shown).unwrap_or_default();
        let (quoted, more) = quoted.char_indices().nth(SHOWN).map_or((&*quoted, ""), |(end, _)| (&quoted[..end], "…"));
        let mut text = String::with_capacity(topic.len() + quoted.len() + 64);
        // Writing to a string cannot fail.
        let _ = write!(text, "{topic} {quoted}{more} ({length} bytes");
        if *qos > 0 {
            let _ = write!(text, ", qos {qos}");
        }
        text.push_str(if *retain { ", retained)" } else { ")" });
        if let Some(broker) = broker {
            let _ = write!(text, " at {broker}");
        }
        text
    }
}

mod micros {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_form_is_short_and_round_trips() {
        let effect = Effect { after: Duration::from_micros(1_500), deferred: true, ..Effect::new("emit", "alarm") };
        let json = serde_json::to_string(&effect).unwrap();
        assert_eq!(json, r#"{"after_us":1500,"what":"emit","with":"alarm","held":true}"#);
        assert_eq!(serde_json::from_str::<Effect>(&json).unwrap(), effect);
    }

    #[test]
    fn the_summary_of_a_message_shows_the_start_of_its_payload_and_its_length() {
        let text = |payload: &str, qos, retain, broker: Option<&str>| {
            let payload = Bytes::copy_from_slice(payload.as_bytes());
            Details::from(MessageDetails::new("a/b".into(), &payload, qos, retain, broker.map(Into::into))).into_text()
        };
        assert_eq!(text("on", 0, false, None), "a/b \"on\" (2 bytes)");
        assert_eq!(text("", 1, true, Some("far")), "a/b \"\" (0 bytes, qos 1, retained) at far");
        for characters in [300, 5_000] {
            let long = text(&"€".repeat(characters), 0, false, None);
            assert_eq!(long, format!("a/b \"{}… ({} bytes)", "€".repeat(SHOWN - 1), 3 * characters));
        }
    }
}
