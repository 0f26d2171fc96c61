//! What is told of the answers of servers to scripts: without secrets, so that it can be kept in a file.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::runtime::Answered;
use crate::secrets::Mask;

/// Headers that say how the body came over the wire, which the recorded one did not.
const OF_THE_WIRE: &[&str] = &["connection", "content-length", "keep-alive", "transfer-encoding"];

/// What is told to who listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "heard", rename_all = "snake_case")]
pub enum Overheard {
    /// From now on answers are heard.
    Begun,
    /// An answer.
    Answer(RecordedAnswer),
    /// An answer whose body can not be told: it went to a file, came bit by bit or is larger than 1 MiB.
    LeftOut {
        /// What was asked, such as `GET https://example.com/film`.
        http: String,
    },
    /// Answers came faster than they could be told.
    Missed {
        /// How many.
        answers: u64,
    },
}

/// An answer as a file of events holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedAnswer {
    /// From when on it is to be given.
    pub time: Timestamp,
    /// What was asked, such as `GET https://api.example.com/weather?city=Oslo`.
    pub http: String,
    /// The status.
    pub status: u16,
    /// Names in lower case and values; what comes more than once stands behind commas.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body, if it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The body, if it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
}

impl Overheard {
    /// Tells an answer without its secrets.
    pub(super) fn of(answered: &Answered, mask: &Mask) -> Self {
        let heard = &answered.heard;
        let http = format!("{} {}", heard.method, mask.redact_url(&heard.url));
        let Some(body) = &heard.body else { return Self::LeftOut { http } };
        let mut headers = BTreeMap::<String, String>::new();
        for (name, value) in heard.headers.iter().filter(|(name, _)| !OF_THE_WIRE.contains(&name.as_str())) {
            let value = mask.redact_header(name, value);
            let together = headers.entry(name.clone()).or_default();
            *together = if together.is_empty() { value } else { format!("{together}, {value}") };
        }
        let (body, body_base64) = match String::from_utf8(mask.redact_bytes(body).into_owned()) {
            Ok(text) => (Some(text), None),
            Err(error) => (None, Some(STANDARD.encode(error.as_bytes()))),
        };
        Self::Answer(RecordedAnswer { time: answered.from, http, status: heard.status, headers, body, body_base64 })
    }
}
