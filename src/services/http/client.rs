//! Clients with their pools: made once per way of connecting, since making one costs milliseconds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy;
use url::{Host, Url};

use crate::services::http::error::Error;
use crate::services::http::resolve::Resolver;

/// What every server is told of us.
const USER_AGENT: &str = concat!("rhaid/", env!("CARGO_PKG_VERSION"));

/// How long a connection waits for its next request.
const IDLE: Duration = Duration::from_secs(60);

/// How many connections to one host wait for their next request.
const IDLE_PER_HOST: usize = 16;

/// How many clients are kept.
const KEPT: usize = 16;

/// What tells one client from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Way {
    /// Past the proxies of the environment.
    direct: bool,
    connect_timeout: Duration,
}

/// Clients by the way they connect.
pub(super) struct Clients {
    resolver: Arc<Resolver>,
    made: Mutex<HashMap<Way, Client>>,
    proxy: bool,
}

impl Clients {
    pub(super) fn new(resolver: Arc<Resolver>) -> Self {
        let names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
        let proxy = names.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
        Self { resolver, made: Mutex::default(), proxy }
    }

    /// Returns whether the environment names a proxy.
    pub(super) fn has_proxy(&self) -> bool {
        self.proxy
    }

    /// Returns the client for a URL; this machine itself is never reached through a proxy.
    pub(super) fn client(&self, url: &Url, connect_timeout: Duration) -> Result<Client, Error> {
        let way = Way { direct: is_this_machine(url), connect_timeout };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = made.get(&way) {
            return Ok(client.clone());
        }
        if made.len() >= KEPT {
            made.clear();
        }
        let client = self.make(way)?;
        made.insert(way, client.clone());
        Ok(client)
    }

    fn make(&self, way: Way) -> Result<Client, Error> {
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(way.connect_timeout)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .dns_resolver(self.resolver.clone());
        if way.direct {
            builder = builder.no_proxy();
        }
        builder.build().map_err(|error| Error::Tls(Error::chain(&error)))
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => {
            address.is_loopback() || address.to_ipv4_mapped().is_some_and(|address| address.is_loopback())
        }
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}
