//! Conversion of recorded HTTP responses to tap messages, without secrets.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::api::{HttpTapMessage, TappedResponse};
use crate::runtime::HttpExchange;
use crate::secrets::Mask;

/// Header fields of the original transfer that do not apply to the recorded body.
const TRANSFER_HEADERS: &[&str] = &["connection", "content-length", "keep-alive", "transfer-encoding"];

/// Returns the message for a response, with secrets masked.
pub(super) fn message(exchange: &HttpExchange, mask: &Mask) -> HttpTapMessage {
    let response = &exchange.response;
    let http = format!("{} {}", response.method, mask.redact_url(&response.url));
    let Some(body) = &response.body else { return HttpTapMessage::WithoutBody { http } };
    let mut headers = BTreeMap::<String, String>::new();
    for (name, value) in response.headers.iter().filter(|(name, _)| !TRANSFER_HEADERS.contains(&name.as_str())) {
        let value = mask.redact_header(name, value);
        let joined = headers.entry(name.clone()).or_default();
        *joined = if joined.is_empty() { value } else { format!("{joined}, {value}") };
    }
    let (body, body_base64) = match String::from_utf8(mask.redact_bytes(body).into_owned()) {
        Ok(text) => (Some(text), None),
        Err(error) => (None, Some(STANDARD.encode(error.as_bytes()))),
    };
    let (time, status) = (exchange.from, response.status);
    HttpTapMessage::Response(TappedResponse { time, http, status, headers, body, body_base64 })
}
