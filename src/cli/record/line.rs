//! Lines of an event file.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Serialize;

use crate::api::TappedResponse;
use crate::secrets::Mask;
use crate::services::mqtt::Message;

/// A line with a message, without secrets.
#[derive(Serialize)]
pub(super) struct MessageLine {
    time: String,
    topic: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
    #[serde(skip_serializing_if = "is_zero")]
    qos: u8,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) retain: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    broker: Option<String>,
}

/// A line with an HTTP response, from which the running rhaid has removed secrets.
#[derive(Serialize)]
pub(super) struct ResponseLine<'a> {
    time: String,
    http: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: &'a Option<String>,
}

impl MessageLine {
    /// Returns the line for a message; it contains the name of the broker if one was selected.
    pub(super) fn new(message: &Message, broker: Option<&str>, mask: &Mask) -> Self {
        let (payload, payload_base64) = match String::from_utf8(mask.redact_bytes(&message.payload).into_owned()) {
            Ok(text) => (Some(text), None),
            Err(error) => (None, Some(STANDARD.encode(error.as_bytes()))),
        };
        Self {
            time: shown(message.received),
            topic: mask.apply(&message.topic).into_owned(),
            payload,
            payload_base64,
            qos: message.qos,
            retain: message.retain,
            broker: broker.map(str::to_owned),
        }
    }
}

impl<'a> ResponseLine<'a> {
    pub(super) fn new(response: &'a TappedResponse) -> Self {
        Self {
            time: shown(response.time),
            http: &response.http,
            status: response.status,
            headers: &response.headers,
            body: &response.body,
            body_base64: &response.body_base64,
        }
    }
}

/// Returns a time with a fixed length, so that lines can be sorted as text.
fn shown(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(qos: &u8) -> bool {
    *qos == 0
}
