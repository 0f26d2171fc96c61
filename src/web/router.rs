//! The paths of the server.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Body;

use crate::services::routes::Routes;
use crate::web::hooks::{self, WebhookState};
use crate::web::response::{Response, plain};
use crate::web::server_limits::SERVER_LIMITS;

/// Responds to a request.
pub(super) async fn respond<B>(webhooks: &WebhookState, peer: SocketAddr, request: Request<B>) -> Response
where
    B: Body<Data = Bytes> + Unpin,
{
    let text = match request.uri().path() {
        path if path.starts_with(hooks::PREFIX) => return webhooks.respond(peer, request).await,
        "/" => "rhaid is running; its webhooks are below /hooks/",
        "/health" => "ok",
        _ => return plain(StatusCode::NOT_FOUND, "not found"),
    };
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return plain(StatusCode::OK, text);
    }
    let mut refusal = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD");
    refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    refusal
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
    let request = request.body(Full::<Bytes>::from(body)).map_err(|error| error.to_string())?;
    let is_head = request.method() == Method::HEAD;
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let response = respond(&WebhookState::new(routes, SERVER_LIMITS), peer, request).await;
    let (head, body) = response.into_parts();
    let Ok(body) = body.collect().await;
    let body = if is_head { Bytes::new() } else { body.to_bytes() };
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    Ok((head.status.as_u16(), headers, body.to_vec()))
}
