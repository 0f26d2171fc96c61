//! Routes: the requests that a webhook accepts.

use super::pattern::Pattern;
use crate::secrets::Secret;

/// The methods of a webhook without a `methods` option.
pub(super) const ALL_METHODS: &[&str] = &["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"];

/// The requests that a webhook accepts.
#[derive(Debug, Clone)]
pub struct Route {
    /// The path below `/hooks/`.
    pub path: Pattern,
    /// Upper case; empty: DELETE, GET, HEAD, PATCH, POST and PUT. GET includes HEAD.
    pub methods: Vec<String>,
    /// Authentication.
    pub access: Access,
    /// Maximum body length, in bytes.
    pub max_body: u64,
}

/// Authentication of a webhook.
#[derive(Debug, Clone)]
pub enum Access {
    /// No authentication.
    Public,
    /// A token, as `Authorization: Bearer …`, `X-Token: …` or `?token=…`; the handler does not receive it.
    Token(Secret),
    /// An HMAC-SHA256 signature of the body in a header, as sent by GitHub (`X-Hub-Signature-256: sha256=HEX`).
    Hmac {
        /// The shared key.
        secret: Secret,
        /// The header's name, in lower case.
        header: String,
    },
}

impl Route {
    /// Returns whether the route accepts a method.
    pub fn accepts(&self, method: &str) -> bool {
        if self.methods.is_empty() {
            return ALL_METHODS.contains(&method);
        }
        self.methods.iter().any(|known| known == method || (method == "HEAD" && known == "GET"))
    }

    pub(super) fn collides_with(&self, other: &Self) -> bool {
        let overlap = self.methods.is_empty()
            || other.methods.is_empty()
            || self.methods.iter().any(|method| other.methods.contains(method));
        overlap && self.path.is_like(&other.path)
    }
}
