//! Requests to webhooks: authentication, body, submission, response.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Request, StatusCode, header};
use axum::response::Response;
use futures_util::StreamExt as _;
use tokio::sync::Semaphore;
use tracing::warn;

use crate::services::routes::{self, Access, RouteLookup, RouteMatch, Routes, WebhookResponse};
use crate::web::access;
use crate::web::response::plain;
use crate::web::server_limits::ServerLimits;

/// Header fields that the server sets itself.
const SERVER_HEADERS: &[&str] =
    &["connection", "content-length", "transfer-encoding", "keep-alive", "upgrade", "trailer", "date"];

/// The address of the peer of a connection.
#[derive(Clone, Copy)]
pub(super) struct PeerAddress(pub(super) SocketAddr);

/// Shared state of all webhook requests.
pub(super) struct WebhookState {
    routes: Routes,
    permits: Semaphore,
    body_timeout: Duration,
}

impl WebhookState {
    /// Creates the state.
    pub(super) fn new(routes: Routes, limits: ServerLimits) -> Self {
        Self { routes, permits: Semaphore::new(limits.requests), body_timeout: limits.body_timeout }
    }

    /// Authenticates a request, submits it to the trigger and waits for the response.
    async fn submit(
        &self,
        found: &RouteMatch,
        head: Parts,
        body: Body,
        peer: PeerAddress,
    ) -> Result<WebhookResponse, Response> {
        let rules = &found.route.access;
        let query = head.uri.query().unwrap_or_default().as_bytes();
        let mut query: Vec<_> = form_urlencoded::parse(query).into_owned().collect();
        if !access::allows_head(rules, &head.headers, &query) {
            return Err(unauthorized(rules));
        }
        let body = read(&head, body, found.route.max_body);
        let timed_out = |_| plain(StatusCode::REQUEST_TIMEOUT, "timeout while reading the body");
        let body = tokio::time::timeout(self.body_timeout, body).await.map_err(timed_out)??;
        if !access::allows_body(rules, &head.headers, &body) {
            return Err(unauthorized(rules));
        }
        let mut headers = text_headers(&head);
        access::hide(rules, &mut headers, &mut query);
        let request = routes::Request {
            method: head.method.as_str().to_owned(),
            path: percent_encoding::percent_decode_str(head.uri.path().strip_prefix("/hooks/").unwrap_or_default())
                .decode_utf8_lossy()
                .into_owned(),
            params: found.params.clone(),
            query,
            headers,
            body,
            remote: peer.0.ip().to_canonical().to_string(),
        };
        let answer = found.submit(request).ok_or_else(busy)?;
        answer.await.map_err(|_| busy())
    }
}

/// Responds to a request to `/hooks/…`.
pub(super) async fn respond(
    State(state): State<Arc<WebhookState>>,
    Extension(peer): Extension<PeerAddress>,
    request: Request<Body>,
) -> Response {
    let (head, body) = request.into_parts();
    let path = head.uri.path().strip_prefix("/hooks/").unwrap_or_default();
    let found = match state.routes.find(head.method.as_str(), path) {
        RouteLookup::Match(found) => found,
        RouteLookup::Nothing => return plain(StatusCode::NOT_FOUND, "no such webhook"),
        RouteLookup::OtherMethods(methods) => return other_methods(&head, &methods),
    };
    let Ok(_permit) = state.permits.try_acquire() else { return busy() };
    match state.submit(&found, head, body, peer).await {
        Ok(answer) => response(answer, &found),
        Err(error) => error,
    }
}

/// Reads a body up to a limit.
async fn read(head: &Parts, body: Body, limit: u64) -> Result<Vec<u8>, Response> {
    let too_large = || plain(StatusCode::PAYLOAD_TOO_LARGE, &format!("at most {limit} bytes"));
    let content_length =
        head.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if content_length.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| plain(StatusCode::BAD_REQUEST, "the body is incomplete"))?;
        if bytes.len() as u64 + chunk.len() as u64 > limit {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn text_headers(head: &Parts) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

fn response(answer: WebhookResponse, found: &RouteMatch) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    let Ok(status) = StatusCode::from_u16(answer.status) else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "the handler returned an invalid status");
    };
    *response.status_mut() = status;
    if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        *response.body_mut() = Body::empty();
    }
    for (name, value) in answer.headers {
        if SERVER_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
            continue;
        }
        match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes())) {
            (Ok(name), Ok(value)) => {
                response.headers_mut().append(name, value);
            }
            _ => warn!(webhook = %found.route.path, header = name, "dropped an invalid header field"),
        }
    }
    response
}

fn other_methods(head: &Parts, methods: &[String]) -> Response {
    let allow = format!("{}, OPTIONS", methods.join(", "));
    let mut response = if head.method == "OPTIONS" {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    } else {
        plain(StatusCode::METHOD_NOT_ALLOWED, &format!("only {}", methods.join(", ")))
    };
    if let Ok(allow) = HeaderValue::from_str(&allow) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

/// Returns a 401 response with a challenge.
///
/// Source: RFC 9110, 11.6.1: a 401 carries a challenge; for signed bodies there is no registered scheme.
fn unauthorized(rules: &Access) -> Response {
    let mut response = plain(StatusCode::UNAUTHORIZED, "unauthorized");
    let challenge = match rules {
        Access::Hmac { header, .. } => HeaderValue::from_str(&format!("HMAC-SHA256 header=\"{header}\"")).ok(),
        Access::Token(_) | Access::Public => Some(HeaderValue::from_static("Bearer")),
    };
    response.headers_mut().extend(challenge.map(|challenge| (header::WWW_AUTHENTICATE, challenge)));
    response
}

fn busy() -> Response {
    let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, "busy");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
