//! The routes of the server.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode};
use axum::routing::{any, get};
use tower_service::Service as _;

use crate::services::routes::Routes;
use crate::web::hooks::{self, PeerAddress, WebhookState};
use crate::web::response::plain;
use crate::web::server_limits::{SERVER_LIMITS, ServerLimits};

/// Builds the router.
pub(super) fn router(routes: Routes, limits: ServerLimits) -> Router {
    Router::new()
        .route("/", get(|| async { "rhaid is running; its webhooks are below /hooks/\n" }))
        .route("/health", get(|| async { "ok\n" }))
        .route("/hooks/{*path}", any(hooks::respond))
        .fallback(|| async { plain(StatusCode::NOT_FOUND, "not found") })
        .method_not_allowed_fallback(|| async { plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD") })
        .with_state(Arc::new(WebhookState::new(routes, limits)))
}

/// Handles one request in process, without a connection; returns the status, the header fields and the body.
///
/// # Errors
/// A sentence, if the request is invalid.
pub async fn call(
    routes: Routes,
    request: http::request::Builder,
    body: Vec<u8>,
) -> Result<(u16, Vec<(String, String)>, Vec<u8>), String> {
    let mut request = request.body(Body::from(body)).map_err(|error| error.to_string())?;
    request.extensions_mut().insert(PeerAddress(SocketAddr::from(([127, 0, 0, 1], 0))));
    let response = match router(routes, SERVER_LIMITS).call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let (head, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.map_err(|error| error.to_string())?;
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    Ok((head.status.as_u16(), headers, body.to_vec()))
}
