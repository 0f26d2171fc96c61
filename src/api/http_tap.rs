//! HTTP responses that scripts received, for `rhaid record`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A message of the HTTP tap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum HttpTapMessage {
    /// The subscription is active.
    Subscribed,
    /// A response.
    Response(TappedResponse),
    /// A response whose body is not available: it was saved to a file, streamed, or is larger than 1 MiB.
    WithoutBody {
        /// The method and the URL, such as `GET https://example.com/film`.
        http: String,
    },
    /// Responses that were dropped because the subscriber was too slow.
    Missed {
        /// Their number.
        responses: u64,
    },
}

/// A response in the format of event files, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TappedResponse {
    /// The time from which a simulation returns it.
    pub time: Timestamp,
    /// The method and the URL, such as `GET https://api.example.com/weather?city=Oslo`.
    pub http: String,
    /// The status code.
    pub status: u16,
    /// Header fields: names in lower case; repeated fields are joined by commas.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body, if it is UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Any other body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
}
