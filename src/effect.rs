//! What a run did: one entry for each publish, request, change of state, timer, file, program and log line.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Something that a run did or tried.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// How long after the run's start it began, in whole microseconds.
    #[serde(rename = "after_us", with = "micros")]
    pub after: Duration,
    /// What was called, such as `mqtt_publish`; of a log line its level.
    #[serde(rename = "what")]
    pub action: Cow<'static, str>,
    /// With what, in short, such as `house/alarm (12 bytes)`; of a log line its text.
    #[serde(rename = "with")]
    pub details: String,
    /// How long it took, if it waited for something.
    #[serde(rename = "took_us", with = "micros", default, skip_serializing_if = "Duration::is_zero")]
    pub took: Duration,
    /// What came back, such as `200`; empty if there is nothing to tell.
    #[serde(rename = "answer", default, skip_serializing_if = "String::is_empty")]
    pub result: String,
    /// Why it failed; empty if it did not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fault: String,
    /// Whether it takes effect when the run ends well, and not at all otherwise.
    #[serde(rename = "held", default, skip_serializing_if = "std::ops::Not::not")]
    pub deferred: bool,
}

impl Effect {
    /// Something that was done at once.
    pub fn new(action: impl Into<Cow<'static, str>>, details: impl Into<String>) -> Self {
        Self { action: action.into(), details: details.into(), ..Self::default() }
    }

    /// Returns about how many bytes it holds.
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
    fn what_is_written_is_short_and_comes_back_equal() {
        let effect = Effect { after: Duration::from_micros(1_500), deferred: true, ..Effect::new("emit", "alarm") };
        let json = serde_json::to_string(&effect).unwrap();
        assert_eq!(json, r#"{"after_us":1500,"what":"emit","with":"alarm","held":true}"#);
        assert_eq!(serde_json::from_str::<Effect>(&json).unwrap(), effect);
    }
}
