//! Effects of a run: one entry for each publish, request, state change, timer, file, program and log line.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

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
}
