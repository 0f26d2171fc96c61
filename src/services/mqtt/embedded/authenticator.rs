//! Authentication by user name and password.

use subtle::ConstantTimeEq as _;

use super::packet::Connect;
use crate::secrets::Secret;

/// Accepts clients with the configured user name and password.
pub(super) struct Authenticator {
    pub(super) username: String,
    pub(super) password: Option<Secret>,
}

impl Authenticator {
    /// Returns whether the credentials of a CONNECT match; compares in constant time.
    pub(super) fn accepts(&self, connect: &Connect) -> bool {
        let expected = self.password.as_ref().map_or("", Secret::expose);
        let username = connect.username.as_deref().unwrap_or_default();
        let password = connect.password.as_deref().unwrap_or_default();
        let same = username.as_bytes().ct_eq(self.username.as_bytes()) & password.ct_eq(expected.as_bytes());
        same.into()
    }
}
