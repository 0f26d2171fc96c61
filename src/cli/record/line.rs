//! A line of a file of events.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Serialize;

use crate::api::TappedResponse;
use crate::secrets::Mask;
use crate::services::mqtt::Message;

/// A message, without secrets.
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

/// An answer; its secrets are gone already.
#[derive(Serialize)]
pub(super) struct AnswerLine<'a> {
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
    /// The line of a message, with the broker's name if it was named.
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

impl<'a> AnswerLine<'a> {
    pub(super) fn new(answer: &'a TappedResponse) -> Self {
        Self {
            time: shown(answer.time),
            http: &answer.http,
            status: answer.status,
            headers: &answer.headers,
            body: &answer.body,
            body_base64: &answer.body_base64,
        }
    }
}

/// Returns a time of which each has the same length, so that lines can also be sorted as text.
fn shown(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(qos: &u8) -> bool {
    *qos == 0
}
