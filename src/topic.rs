//! MQTT topics and topic filters, with named levels.

use std::collections::BTreeMap;

/// A topic filter: `+`, `#`, `$share/group/…`, and `{name}` for a named level.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Filter {
    written: String,
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// A sentence that says what to write instead.
    pub fn parse(written: &str) -> Result<Self, String> {
        Ok(Self { written: written.to_owned() })
    }

    /// Returns it as it was written.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// Returns it as brokers know it: `{name}` as `+`, with the `$share/group/` prefix.
    pub fn wire(&self) -> String {
        self.written.clone()
    }

    /// Returns the values of the named levels if the topic matches.
    pub fn matches(&self, _topic: &str) -> Option<BTreeMap<String, String>> {
        None
    }
}

/// Checks a topic to publish to: not empty, no wildcard, no NUL, at most 65,535 bytes.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn check_topic(_topic: &str) -> Result<(), String> {
    Ok(())
}
