//! An answer as somebody beside the script hears it.

use std::time::Instant;

use bytes::Bytes;
use url::Url;

use crate::services::http::{ReceivedResponse, Request};

/// The largest body that is told, in bytes.
const LARGEST: usize = 1 << 20;

/// An answer as somebody beside the script hears it; secrets are still in it.
#[derive(Debug, Clone)]
pub struct RecordedResponse {
    /// When the script asked.
    pub began: Instant,
    /// `GET`, `POST`, …
    pub method: String,
    /// What was asked for, before redirects.
    pub url: Url,
    /// The status.
    pub status: u16,
    /// Names in lower case and values, in order, with repeats.
    pub headers: Vec<(String, String)>,
    /// The body; `None` if it went to a file, comes bit by bit or is larger than 1 MiB.
    pub body: Option<Bytes>,
}

impl RecordedResponse {
    /// Hears an answer; its body is shared, not copied.
    pub(super) fn new(request: &Request, arrived: &ReceivedResponse, began: Instant) -> Self {
        let answer = &arrived.response;
        let is_here = arrived.body.is_none() && answer.saved.is_none() && answer.body.len() <= LARGEST;
        Self {
            began,
            method: request.method.clone(),
            url: request.url.clone(),
            status: answer.status,
            headers: answer.headers.clone(),
            body: is_here.then(|| answer.body.clone()),
        }
    }
}
