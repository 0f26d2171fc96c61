//! Access checks of requests.

use std::net::IpAddr;

use crate::config::Denied;

/// Permission check for the host of each request and redirect, by name and by address.
pub trait RequestGuard: Send + Sync {
    /// Checks a host as written in the URL.
    ///
    /// # Errors
    /// If the host is not allowed.
    fn check_host(&self, host: &str, port: u16) -> Result<(), Denied>;

    /// Checks a resolved address of a host.
    ///
    /// # Errors
    /// If the address is not allowed.
    fn check_address(&self, host: &str, port: u16, address: IpAddr) -> Result<(), Denied>;

    /// Checks a host that only a proxy can resolve.
    ///
    /// # Errors
    /// If the host is not allowed.
    fn check_unknown(&self, host: &str, port: u16) -> Result<(), Denied>;
}
