//! Webhook paths: who answers which.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

/// A request that came in on a webhook path, checked and read whole.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path below `/hooks/`.
    pub path: String,
    /// The values of the path's named parts.
    pub params: BTreeMap<String, String>,
    /// The query, decoded; a repeated name keeps all its values.
    pub query: Vec<(String, String)>,
    /// Header names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The peer's address.
    pub remote: String,
}

/// What goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A request and the way back.
#[derive(Debug)]
pub struct Visit {
    /// The request.
    pub request: Request,
    /// The way back; dropped means 503.
    pub answer: oneshot::Sender<Answer>,
}

/// Who may call a webhook.
#[derive(Debug, Clone)]
pub enum Access {
    /// Anyone.
    Public,
    /// Who says the token, as `Authorization: Bearer …`, `X-Token: …` or `?token=…`.
    Token(crate::secrets::Secret),
    /// Who signs the body with HMAC-SHA256 in a header, as GitHub does (`X-Hub-Signature-256: sha256=HEX`).
    Hmac {
        /// The shared key.
        secret: crate::secrets::Secret,
        /// The header's name, in lower case.
        header: String,
    },
}

/// What a webhook accepts.
#[derive(Debug, Clone)]
pub struct Route {
    /// The path below `/hooks/`, with `{name}` for one part and `{*rest}` at the end for all that is left.
    pub path: String,
    /// Upper case; empty: all.
    pub methods: Vec<String>,
    /// Who may call.
    pub access: Access,
    /// The largest body, in bytes.
    pub max_body: u64,
}

/// Webhook paths; cheap to clone.
#[derive(Clone, Default)]
pub struct Routes(Arc<()>);

impl Routes {
    /// Claims a path from now on; given back when the receiver is dropped. A later claim of the same path and method waits behind an earlier one.
    pub fn claim(&self, _route: Route) -> mpsc::Receiver<Visit> {
        unimplemented!()
    }
}
