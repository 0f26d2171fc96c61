//! Requests to webhooks: authentication, body, submission, response.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Body;
use percent_encoding::percent_decode_str;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tracing::warn;

use crate::event::ReceivedRequest;
use crate::services::routes::{Access, Route, RouteLookup, RouteMatch, Routes, WebhookResponse};
use crate::web::access;
use crate::web::response::{Response, plain};
use crate::web::server_limits::{MAX_HEAD_BYTES, ServerLimits};

/// Path below which webhooks are.
pub(super) const PREFIX: &str = "/hooks/";

/// Header fields that the server sets itself.
const SERVER_HEADERS: &[&str] =
    &["connection", "content-length", "transfer-encoding", "keep-alive", "upgrade", "trailer", "date"];

/// Shared state of all webhook requests.
pub(super) struct WebhookState {
    routes: Routes,
    limits: ServerLimits,
    /// Memory for all requests that are being received, queued or processed, in bytes.
    memory: Arc<Semaphore>,
}

impl WebhookState {
    /// Creates the state.
    pub(super) fn new(routes: Routes, limits: ServerLimits) -> Self {
        Self { routes, limits, memory: Arc::new(Semaphore::new(limits.request_memory as usize)) }
    }

    /// Responds to a request to `/hooks/…`.
    pub(super) async fn respond<B>(&self, peer: SocketAddr, request: Request<B>) -> Response
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (head, body) = request.into_parts();
        let path = head.uri.path().strip_prefix(PREFIX).unwrap_or_default();
        match self.routes.find(head.method.as_str(), path) {
            RouteLookup::Match(found) => self.submit(found, head, body, peer).await.unwrap_or_else(|refusal| refusal),
            RouteLookup::Nothing => plain(StatusCode::NOT_FOUND, "no such webhook"),
            RouteLookup::OtherMethods(methods) => other_methods(&head.method, &methods),
        }
    }

    /// Authenticates a request, submits it to the trigger and waits for the response.
    async fn submit<B>(&self, found: RouteMatch, head: Parts, body: B, peer: SocketAddr) -> Result<Response, Response>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let Parts { method, uri, mut headers, .. } = head;
        let route = found.route();
        let query = uri.query().unwrap_or_default().as_bytes();
        let mut query: Vec<_> = form_urlencoded::parse(query).into_owned().collect();
        if !access::allows_head(&route.access, &headers, &query) {
            return Err(unauthorized(&route.access));
        }
        let body = self.read(body, route.max_body).await?;
        if !access::allows_body(&route.access, &headers, &body) {
            return Err(unauthorized(&route.access));
        }
        access::hide(&route.access, &mut headers, &mut query);
        let path = percent_decode_str(uri.path().strip_prefix(PREFIX).unwrap_or_default());
        let request = ReceivedRequest {
            method,
            path: path.decode_utf8_lossy().into_owned(),
            params: found.params.clone(),
            query,
            headers,
            body,
            remote: peer.ip().to_canonical(),
        };
        let answer = found.submit(request).await;
        Ok(response(answer, found.route()))
    }

    /// Reads a body up to a limit, and reserves memory for its request until that is dropped: also while the request is queued and its client has
    /// disconnected. Waits while other requests have all memory.
    async fn read(&self, body: impl Body<Data = Bytes> + Unpin, limit: u64) -> Result<Bytes, Response> {
        let length = body.size_hint().exact().unwrap_or(limit);
        if length > limit {
            return Err(too_large(limit));
        }
        // All of it at once, so that no two requests wait for each other.
        let memory = self.memory.clone().acquire_many_owned(self.limits.request_memory.min(needed_memory(length)));
        let memory = timeout(self.limits.body_timeout, memory).await;
        let mut memory = memory.ok().and_then(Result::ok).ok_or_else(busy)?;
        let timed_out = |_| plain(StatusCode::REQUEST_TIMEOUT, "timeout while reading the body");
        let bytes = timeout(self.limits.body_timeout, read(body, limit)).await.map_err(timed_out)??;
        drop(memory.split(memory.num_permits().saturating_sub(needed_memory(bytes.len() as u64) as usize)));
        Ok(Bytes::from_owner(ReservedBody { bytes, _memory: memory }))
    }
}

/// Body with the reservation of memory for its request.
struct ReservedBody {
    bytes: Bytes,
    _memory: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for ReservedBody {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Returns the most memory that a request with a body of a length needs, in bytes.
fn needed_memory(length: u64) -> u32 {
    u32::try_from(MAX_HEAD_BYTES as u64 + length).unwrap_or(u32::MAX)
}

/// Reads a body up to a limit.
async fn read(mut body: impl Body<Data = Bytes> + Unpin, limit: u64) -> Result<Bytes, Response> {
    let (mut first, mut whole) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| plain(StatusCode::BAD_REQUEST, "the body is incomplete"))?;
        // Trailers are ignored.
        let Ok(chunk) = frame.into_data() else { continue };
        if (first.len() + whole.len() + chunk.len()) as u64 > limit {
            return Err(too_large(limit));
        }
        if first.is_empty() && whole.is_empty() {
            first = chunk;
            continue;
        }
        whole.extend_from_slice(&std::mem::take(&mut first));
        whole.extend_from_slice(&chunk);
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

fn too_large(limit: u64) -> Response {
    plain(StatusCode::PAYLOAD_TOO_LARGE, &format!("at most {limit} bytes"))
}

fn response(answer: WebhookResponse, route: &Route) -> Response {
    let mut response = Response::new(Full::from(answer.body));
    let Ok(status) = StatusCode::from_u16(answer.status) else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "the handler returned an invalid status");
    };
    *response.status_mut() = status;
    if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        *response.body_mut() = Full::default();
    }
    for (name, value) in answer.headers {
        if SERVER_HEADERS.iter().any(|header| name.eq_ignore_ascii_case(header)) {
            continue;
        }
        match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes())) {
            (Ok(name), Ok(value)) => {
                response.headers_mut().append(name, value);
            }
            _ => warn!(webhook = %route.path, header = &*name, "dropped an invalid header field"),
        }
    }
    response
}

fn other_methods(method: &Method, methods: &[String]) -> Response {
    let allow = format!("{}, OPTIONS", methods.join(", "));
    let mut response = if method == Method::OPTIONS {
        let mut response = Response::new(Full::default());
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
