//! HTTP responses for return values and outcomes of handlers.

use std::borrow::Cow;

use tracing::warn;

use crate::run::{Outcome, Skip};
use crate::services::routes::WebhookResponse;
use crate::value::{Map, Value, rfc3339};

const TEXT: &str = "text/plain; charset=utf-8";

/// Returns the response for an outcome.
pub(super) fn from_outcome(outcome: Outcome, script: &str) -> WebhookResponse {
    match outcome {
        Outcome::Succeeded(value) => from_value(value).unwrap_or_else(|why| {
            warn!(script, "the handler's answer cannot be sent: {why}");
            plain(500, "the handler's answer cannot be sent")
        }),
        Outcome::Failed(_) => plain(500, "the handler failed"),
        Outcome::TimedOut(_) => plain(504, "the handler took too long"),
        Outcome::Cancelled => plain(503, "the handler was cancelled"),
        Outcome::Skipped(Skip::RateLimited) => retry_later(plain(429, "too many requests")),
        Outcome::Skipped(Skip::Stopping | Skip::TriggerGone) => retry_later(plain(503, "stopping")),
        Outcome::Skipped(Skip::Disabled) => plain(503, "disabled"),
        Outcome::Skipped(_) => retry_later(plain(503, "busy")),
    }
}

fn plain(status: u16, text: &str) -> WebhookResponse {
    WebhookResponse { status, headers: vec![header("content-type", TEXT)], body: format!("{text}\n").into_bytes() }
}

/// Adds `Retry-After` of one second.
fn retry_later(mut answer: WebhookResponse) -> WebhookResponse {
    answer.headers.push(header("retry-after", "1"));
    answer
}

fn header(name: &'static str, value: &'static str) -> (Cow<'static, str>, Cow<'static, str>) {
    (name.into(), value.into())
}

fn from_value(value: Value) -> Result<WebhookResponse, String> {
    match value {
        Value::Map(map) if is_response(&map) => from_map(map),
        value => {
            let (kind, body) = body(value);
            let status = if kind.is_some() { 200 } else { 204 };
            Ok(WebhookResponse {
                status,
                headers: kind.map(|kind| header("content-type", kind)).into_iter().collect(),
                body,
            })
        }
    }
}

/// Returns whether a map describes a response rather than data: an integer `status`, and no other keys than those of a response.
fn is_response(map: &Map) -> bool {
    matches!(map.get("status"), Some(Value::Int(_)))
        && map.keys().all(|key| matches!(key.as_str(), "status" | "headers" | "body"))
}

fn from_map(mut map: Map) -> Result<WebhookResponse, String> {
    let status = match map.remove("status") {
        Some(Value::Int(status @ 200..=599)) => status as u16,
        other => {
            return Err(format!(
                "the status must be a number from 200 to 599, not {}",
                other.unwrap_or_default().to_json()
            ));
        }
    };
    let mut headers = match map.remove("headers") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Map(headers)) => headers
            .into_iter()
            .map(|(name, value)| match value {
                Value::Text(text) => Ok((name.to_ascii_lowercase().into(), text.into())),
                Value::Int(_) | Value::Float(_) | Value::Bool(_) => {
                    Ok((name.to_ascii_lowercase().into(), value.to_json_text().into()))
                }
                other => Err(format!("the header {name} must be text, not {}", other.type_name())),
            })
            .collect::<Result<_, _>>()?,
        Some(other) => return Err(format!("the headers must be a map, not {}", other.type_name())),
    };
    let (kind, body) = body(map.remove("body").unwrap_or_default());
    if let Some(kind) = kind
        && !headers.iter().any(|(name, _)| name == "content-type")
    {
        headers.push(header("content-type", kind));
    }
    Ok(WebhookResponse { status, headers, body })
}

/// Returns the content type and body of a value; no content type for `()`.
fn body(value: Value) -> (Option<&'static str>, Vec<u8>) {
    match value {
        Value::Null => (None, Vec::new()),
        Value::Text(text) => (Some(TEXT), text.into_bytes()),
        Value::Bytes(bytes) => (Some("application/octet-stream"), bytes),
        Value::Time(time) => (Some(TEXT), rfc3339(&time).into_bytes()),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => (Some(TEXT), value.to_json_text().into_bytes()),
        Value::List(_) | Value::Map(_) => (Some("application/json"), value.to_json_text().into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Fault, SourceLocation};

    fn shown(value: Value) -> String {
        let answer = from_outcome(Outcome::Succeeded(value), "door");
        let headers: Vec<_> = answer.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        format!("{} [{}] {}", answer.status, headers.join(" | "), String::from_utf8_lossy(&answer.body))
    }

    fn map(pairs: &[(&str, Value)]) -> Value {
        Value::Map(pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }

    #[test]
    fn each_value_has_its_answer() {
        for (value, expected) in [
            ("hi".into(), "200 [content-type: text/plain; charset=utf-8] hi"),
            (Value::Null, "204 [] "),
            (Value::Int(7), "200 [content-type: text/plain; charset=utf-8] 7"),
            (vec![1_u8, 2].into(), "200 [content-type: application/octet-stream] \u{1}\u{2}"),
            (map(&[("a", Value::Int(1))]), r#"200 [content-type: application/json] {"a":1}"#),
            (Value::List(vec![true.into()]), "200 [content-type: application/json] [true]"),
            (map(&[("status", "ok".into())]), r#"200 [content-type: application/json] {"status":"ok"}"#),
            (
                map(&[("status", Value::Int(1)), ("room", Value::Int(2))]),
                r#"200 [content-type: application/json] {"room":2,"status":1}"#,
            ),
            (
                map(&[("status", Value::Int(201)), ("body", map(&[("id", Value::Int(7))]))]),
                r#"201 [content-type: application/json] {"id":7}"#,
            ),
            (
                map(&[
                    ("status", Value::Int(302)),
                    ("headers", map(&[("Location", "/x".into()), ("X-N", Value::Int(3))])),
                    ("body", Value::Null),
                ]),
                "302 [location: /x | x-n: 3] ",
            ),
            (
                map(&[
                    ("status", Value::Int(200)),
                    ("headers", map(&[("Content-Type", "text/html".into())])),
                    ("body", "<b>".into()),
                ]),
                "200 [content-type: text/html] <b>",
            ),
            (
                map(&[("status", Value::Int(999))]),
                "500 [content-type: text/plain; charset=utf-8] the handler's answer cannot be sent\n",
            ),
        ] {
            assert_eq!(shown(value), expected);
        }
    }

    #[test]
    fn a_run_without_a_value_reveals_no_details() {
        let fault = || Box::new(Fault::new(SourceLocation::default(), "password is hunter2"));
        for (outcome, status) in [
            (Outcome::Failed(fault()), 500),
            (Outcome::TimedOut(fault()), 504),
            (Outcome::Cancelled, 503),
            (Outcome::Skipped(Skip::RateLimited), 429),
            (Outcome::Skipped(Skip::QueueFull), 503),
            (Outcome::Skipped(Skip::Stopping), 503),
            (Outcome::Skipped(Skip::TriggerGone), 503),
        ] {
            let answer = from_outcome(outcome, "door");
            assert_eq!(answer.status, status);
            assert!(!String::from_utf8(answer.body).unwrap().contains("hunter2"));
        }
    }
}
