//! Exchanges with a mock transport.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::COOKIE;

use crate::services::http::error::Error;
use crate::services::http::guard::RequestGuard;
use crate::services::http::handle::Http;
use crate::services::http::mock_transport::{MockRequest, MockTransport};
use crate::services::http::redirect::RequestStep;
use crate::services::http::request::{Content, Part, Request, RequestBody};
use crate::services::http::response::{HttpResponse, SentRequest, header_pairs};

impl Http {
    /// Sends one request of the chain to the mock transport.
    pub(super) fn mock_step(
        &self,
        mock: &dyn MockTransport,
        step: &RequestStep,
        request: &Request,
        guard: &dyn RequestGuard,
    ) -> Result<(HttpResponse, reqwest::Response), Error> {
        let host = step.url.host_str().ok_or_else(|| Error::InvalidUrl(format!("{} has no host", step.url)))?;
        guard.check_host(host, step.url.port_or_known_default().unwrap_or(80)).map_err(Error::Denied)?;
        let mut headers = step.headers.clone();
        if let Some(cookies) = request.cookies.header(&step.url) {
            headers.entry(COOKIE).or_insert(cookies);
        }
        let sent_request = SentRequest::of(&step.method, &step.url, &headers);
        let (method, url) = (sent_request.method.clone(), step.url.to_string());
        let body = step.body.as_ref().map(sent).unwrap_or_default();
        let reply = mock.respond(&MockRequest { method, url, headers: header_pairs(&headers), body })?;
        let mut raw = http::Response::builder().status(reply.status);
        for (name, value) in &reply.headers {
            raw = raw.header(name, value);
        }
        let raw = raw
            .body(reply.body)
            .map_err(|error| Error::ConnectionLost(format!("the mock response is invalid: {error}")))?;
        let raw = reqwest::Response::from(raw);
        let response = HttpResponse::from_head(&raw, &step.url, &sent_request, Duration::ZERO);
        for cookies in [Some(&request.cookies), request.session_cookies.as_ref()].into_iter().flatten() {
            cookies.take(raw.headers(), &step.url);
        }
        Ok((response, raw))
    }
}

/// Returns the request body; a multipart form as `name=content` lines, a file by its path.
fn sent(body: &RequestBody) -> Bytes {
    let field = |part: &Part| match &part.content {
        Content::Bytes(bytes) => format!("{}={}\n", part.name, String::from_utf8_lossy(bytes)),
        Content::File(path) => format!("{}=@{}\n", part.name, path.display()),
    };
    match body {
        RequestBody::Bytes(bytes, _) => bytes.clone(),
        RequestBody::Multipart(parts) => parts.iter().map(field).collect::<String>().into(),
    }
}
