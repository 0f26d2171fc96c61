//! Responses of the server itself.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

/// Returns a plain text response of one line.
pub(super) fn plain(status: StatusCode, text: &str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{text}\n")).into_response()
}
