//! Who may call a webhook.

use axum::http::HeaderMap;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::secrets::Secret;
use crate::services::routes::Access;

/// Where the token stands, besides `Authorization`.
const TOKEN_HEADER: &str = "x-token";

/// Where the token stands in the query.
const TOKEN_QUERY: &str = "token";

/// Returns whether a request may come in, as far as its head tells: a signature is only looked for.
pub(super) fn allows_head(access: &Access, headers: &HeaderMap, query: &[(String, String)]) -> bool {
    match access {
        Access::Public => true,
        Access::Token(token) => {
            let said = headers.get_all("authorization").iter().filter_map(|value| bearer(value.as_bytes()));
            let said = said.chain(headers.get_all(TOKEN_HEADER).iter().map(|value| value.as_bytes()));
            let asked = query.iter().filter(|(name, _)| name == TOKEN_QUERY).map(|(_, value)| value.as_bytes());
            // All are compared, so that the time tells nothing.
            said.chain(asked).fold(false, |allowed, said| allowed | is_equal(token, said))
        }
        Access::Hmac { header, .. } => headers.contains_key(header),
    }
}

/// Returns whether a request may come in, now that its body is known.
pub(super) fn allows_body(access: &Access, headers: &HeaderMap, body: &[u8]) -> bool {
    let Access::Hmac { secret, header } = access else { return true };
    let signature = headers.get(header).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let hex = signature.strip_prefix("sha256=").unwrap_or(signature);
    let Ok(signature) = hex::decode(hex.trim()) else { return false };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else { return false };
    mac.update(body);
    // Takes as long whether it is right or wrong.
    mac.verify_slice(&signature).is_ok()
}

/// Takes the token out of what the handler, the ledger and the log will see.
pub(super) fn hide(access: &Access, headers: &mut Vec<(String, String)>, query: &mut Vec<(String, String)>) {
    if let Access::Token(_) = access {
        headers.retain(|(name, _)| name != "authorization" && name != TOKEN_HEADER);
        query.retain(|(name, _)| name != TOKEN_QUERY);
    }
}

/// Source: RFC 6750, 2.1; the scheme in any case, RFC 9110, 11.1.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Compares digests, so that neither the time nor a length tells anything.
fn is_equal(token: &Secret, said: &[u8]) -> bool {
    Sha256::digest(token.expose().as_bytes()).ct_eq(&Sha256::digest(said)).into()
}
