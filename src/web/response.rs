//! Responses of the server itself.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body_util::Full;

/// Response with its whole body.
pub(super) type Response = http::Response<Full<Bytes>>;

/// Returns a plain text response of one line.
pub(super) fn plain(status: StatusCode, text: &str) -> Response {
    let mut response = Response::new(Full::from(format!("{text}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
