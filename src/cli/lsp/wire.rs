//! JSON-RPC messages on standard input and output.
//!
//! Source: Language Server Protocol 3.17, "Base Protocol"; JSON-RPC 2.0, "Error object".

use std::io::{BufRead, Read as _, Write as _};

use lsp_server::{ErrorCode, Message, Notification, RequestId, Response};
use serde_json::{Value, json};

/// The largest accepted message, in bytes.
const LARGEST: usize = 64 << 20;

/// An input.
pub(super) enum Incoming {
    Message(Message),
    /// Invalid input, with the error response.
    Malformed(Value),
    /// The end of the input.
    End,
}

/// Reads the next message.
pub(super) fn read(input: &mut impl BufRead) -> Incoming {
    let Some(length) = length(input) else { return Incoming::End };
    let length = match length {
        Ok(length) if length <= LARGEST => length,
        Ok(length) => {
            let skipped = std::io::copy(&mut input.take(length as u64), &mut std::io::sink());
            let why = format!("the message has {length} bytes: at most {LARGEST} are accepted");
            return skipped.map_or(Incoming::End, |_| refused(Value::Null, ErrorCode::InvalidRequest, &why));
        }
        Err(why) => return refused(Value::Null, ErrorCode::ParseError, &why),
    };
    let mut bytes = vec![0; length];
    if input.read_exact(&mut bytes).is_err() {
        return Incoming::End;
    }
    let value: Value = match serde_json::from_slice(&bytes) {
        Ok(value) => value,
        Err(why) => return refused(Value::Null, ErrorCode::ParseError, &format!("invalid JSON: {why}")),
    };
    let id = value.get("id").filter(|id| id.is_i64() || id.is_string()).cloned().unwrap_or_default();
    match serde_json::from_value(value) {
        Ok(message) => Incoming::Message(message),
        Err(_) => refused(id, ErrorCode::InvalidRequest, "this is not a request, a response or a notification"),
    }
}

/// Reads the header; returns the content length or an error, or `None` at the end of the input.
fn length(input: &mut impl BufRead) -> Option<Result<usize, String>> {
    let mut length = None;
    loop {
        let mut line = Vec::new();
        if input.take(8 << 10).read_until(b'\n', &mut line).ok()? == 0 {
            return None;
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        if line.is_empty() {
            return Some(length.unwrap_or_else(|| Err("the header has no Content-Length".to_owned())));
        }
        if let Some((name, value)) = line.split_once(':')
            && name.trim().eq_ignore_ascii_case("content-length")
        {
            let number = value.trim().parse();
            length = Some(number.map_err(|_| format!("Content-Length is not a number: {}", value.trim())));
        }
    }
}

fn refused(id: Value, code: ErrorCode, why: &str) -> Incoming {
    Incoming::Malformed(json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code as i32, "message": why } }))
}

/// Sends a message. A write error is ignored: the input ends, too, when the editor is gone.
pub(super) fn send(message: impl Into<Message>) {
    let _ = message.into().write(&mut std::io::stdout().lock());
}

/// Sends a notification.
pub(super) fn notify(method: &str, params: impl serde::Serialize) {
    send(Notification::new(method.to_owned(), params));
}

/// Sends the response to a request.
pub(super) fn answer(id: RequestId, result: Result<Value, (ErrorCode, String)>) {
    send(match result {
        Ok(value) => Response::new_ok(id, value),
        Err((code, why)) => Response::new_err(id, code as i32, why),
    });
}

/// Sends an error response without a request id, which `lsp-server` cannot represent.
pub(super) fn send_raw(value: &Value) {
    let text = value.to_string();
    let mut out = std::io::stdout().lock();
    let _ = write!(out, "Content-Length: {}\r\n\r\n{text}", text.len()).and_then(|()| out.flush());
}
