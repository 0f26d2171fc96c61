//! HTTP responses for recordings.

use std::time::Instant;

use bytes::Bytes;
use url::Url;

use crate::services::http::{ReceivedResponse, Request};

/// The largest body that is recorded, in bytes.
const MAX_BODY: usize = 1 << 20;

/// An HTTP response for recordings. Secrets are not masked.
#[derive(Debug, Clone)]
pub struct RecordedResponse {
    /// Start of the request.
    pub began: Instant,
    /// `GET`, `POST`, …
    pub method: String,
    /// Requested URL, before redirects.
    pub url: Url,
    /// Status code.
    pub status: u16,
    /// Names in lower case and values, in order, with repeats.
    pub headers: Vec<(String, String)>,
    /// Body; `None` if it is saved to a file, streamed or larger than 1 MiB.
    pub body: Option<Bytes>,
}

impl RecordedResponse {
    /// Creates a record; the body is shared, not copied.
    pub(super) fn new(request: &Request, received: &ReceivedResponse, began: Instant) -> Self {
        let response = &received.response;
        let is_in_memory = received.body.is_none() && response.saved.is_none() && response.body.len() <= MAX_BODY;
        Self {
            began,
            method: request.method.clone(),
            url: request.url.clone(),
            status: response.status,
            headers: response.headers.clone(),
            body: is_in_memory.then(|| response.body.clone()),
        }
    }
}
