//! Requests to webhooks: let in, read whole, handed over, answered.

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
use crate::web::{Limits, Remote, access, plain};

/// Headers that are the server's own business.
const OURS: &[&str] =
    &["connection", "content-length", "transfer-encoding", "keep-alive", "upgrade", "trailer", "date"];

/// What answering webhooks takes.
pub(super) struct Hooks {
    routes: Routes,
    places: Semaphore,
    body_time: Duration,
}

impl Hooks {
    pub(super) fn new(routes: Routes, limits: Limits) -> Self {
        Self { routes, places: Semaphore::new(limits.requests), body_time: limits.body_time }
    }

    async fn enter(
        &self,
        door: &RouteMatch,
        head: Parts,
        body: Body,
        remote: Remote,
    ) -> Result<WebhookResponse, Response> {
        let rules = &door.route.access;
        let query = head.uri.query().unwrap_or_default().as_bytes();
        let mut query: Vec<_> = form_urlencoded::parse(query).into_owned().collect();
        if !access::allows_head(rules, &head.headers, &query) {
            return Err(refused(rules));
        }
        let body = read(&head, body, door.route.max_body);
        let late = |_| plain(StatusCode::REQUEST_TIMEOUT, "the body took too long");
        let body = tokio::time::timeout(self.body_time, body).await.map_err(late)??;
        if !access::allows_body(rules, &head.headers, &body) {
            return Err(refused(rules));
        }
        let mut headers = text_headers(&head);
        access::hide(rules, &mut headers, &mut query);
        let request = routes::Request {
            method: head.method.as_str().to_owned(),
            path: percent_encoding::percent_decode_str(head.uri.path().strip_prefix("/hooks/").unwrap_or_default())
                .decode_utf8_lossy()
                .into_owned(),
            params: door.params.clone(),
            query,
            headers,
            body,
            remote: remote.0.ip().to_canonical().to_string(),
        };
        let answer = door.submit(request).ok_or_else(busy)?;
        answer.await.map_err(|_| busy())
    }
}

/// Answers a request to `/hooks/…`.
pub(super) async fn answer(
    State(hooks): State<Arc<Hooks>>,
    Extension(remote): Extension<Remote>,
    request: Request<Body>,
) -> Response {
    let (head, body) = request.into_parts();
    let path = head.uri.path().strip_prefix("/hooks/").unwrap_or_default();
    let door = match hooks.routes.find(head.method.as_str(), path) {
        RouteLookup::Match(door) => door,
        RouteLookup::Nothing => return plain(StatusCode::NOT_FOUND, "no such webhook"),
        RouteLookup::OtherMethods(methods) => return other_methods(&head, &methods),
    };
    let Ok(_place) = hooks.places.try_acquire() else { return busy() };
    match hooks.enter(&door, head, body, remote).await {
        Ok(answer) => response(answer, &door),
        Err(refusal) => refusal,
    }
}

/// Reads a body that is not too large.
async fn read(head: &Parts, body: Body, limit: u64) -> Result<Vec<u8>, Response> {
    let too_large = || plain(StatusCode::PAYLOAD_TOO_LARGE, &format!("at most {limit} bytes"));
    let announced = head.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| plain(StatusCode::BAD_REQUEST, "the body broke off"))?;
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

fn response(answer: WebhookResponse, door: &RouteMatch) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    let Ok(status) = StatusCode::from_u16(answer.status) else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "the handler's answer can not be sent");
    };
    *response.status_mut() = status;
    if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        *response.body_mut() = Body::empty();
    }
    for (name, value) in answer.headers {
        if OURS.contains(&name.to_ascii_lowercase().as_str()) {
            continue;
        }
        match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes())) {
            (Ok(name), Ok(value)) => {
                response.headers_mut().append(name, value);
            }
            _ => warn!(webhook = %door.route.path, header = name, "left out a header that can not be sent"),
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

/// Refuses who may not come in, and says what is asked for.
///
/// Source: RFC 9110, 11.6.1: a 401 carries a challenge; for signed bodies there is no registered scheme.
fn refused(rules: &Access) -> Response {
    let mut response = plain(StatusCode::UNAUTHORIZED, "not allowed");
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
