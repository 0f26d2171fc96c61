//! Authentication of webhook requests.

use hmac::{Hmac, Mac as _};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::secrets::Secret;
use crate::services::routes::Access;

/// Header field for the token, besides `Authorization`.
const TOKEN_HEADER: &str = "x-token";

/// Query parameter for the token.
const TOKEN_QUERY: &str = "token";

/// Checks the head of a request. A signature must be present; [`allows_body`] verifies it.
pub(super) fn allows_head(access: &Access, headers: &HeaderMap, query: &[(String, String)]) -> bool {
    match access {
        Access::Public => true,
        Access::Token(token) => {
            let tokens = headers.get_all(AUTHORIZATION).iter().filter_map(|value| bearer(value.as_bytes()));
            let tokens = tokens.chain(headers.get_all(TOKEN_HEADER).iter().map(|value| value.as_bytes()));
            let parameters = query.iter().filter(|(name, _)| name == TOKEN_QUERY).map(|(_, value)| value.as_bytes());
            // Compares all of them, so that the time does not depend on the position of a match.
            tokens.chain(parameters).fold(false, |allowed, given| allowed | is_equal(token, given))
        }
        Access::Hmac { header, .. } => headers.contains_key(header),
    }
}

/// Verifies the signature of a body.
pub(super) fn allows_body(access: &Access, headers: &HeaderMap, body: &[u8]) -> bool {
    let Access::Hmac { secret, header } = access else { return true };
    let signature = headers.get(header).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let hex = signature.strip_prefix("sha256=").unwrap_or(signature);
    let Ok(signature) = hex::decode(hex.trim()) else { return false };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else { return false };
    mac.update(body);
    // Takes constant time.
    mac.verify_slice(&signature).is_ok()
}

/// Removes the token from the request, so that handler, run history and log do not contain it.
pub(super) fn hide(access: &Access, headers: &mut HeaderMap, query: &mut Vec<(String, String)>) {
    if let Access::Token(_) = access {
        headers.remove(AUTHORIZATION);
        headers.remove(TOKEN_HEADER);
        query.retain(|(name, _)| name != TOKEN_QUERY);
    }
}

/// Returns the token of a `Bearer` credential; the scheme is case-insensitive.
///
/// Source: RFC 6750, 2.1; RFC 9110, 11.1.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Compares digests in constant time, which also hides the length.
fn is_equal(token: &Secret, given: &[u8]) -> bool {
    Sha256::digest(token.expose().as_bytes()).ct_eq(&Sha256::digest(given)).into()
}
