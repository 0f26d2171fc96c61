//! Clients with connection pools: one per set of connection options, since building one takes milliseconds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Identity};
use url::{Host, Url};

use crate::services::http::connect::ConnectTimeoutLayer;
use crate::services::http::environment::EnvironmentProxies;
use crate::services::http::error::Error;
use crate::services::http::request::{ConnectOptions, Proxy, Verify};
use crate::services::http::resolve::Resolver;

/// Idle timeout of pooled connections.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Maximum number of idle connections per host.
const MAX_IDLE_PER_HOST: usize = 16;

/// Maximum number of clients.
const MAX_CLIENTS: usize = 16;

/// Clients by their connection options.
pub(super) struct Clients {
    resolver: Arc<Resolver>,
    /// With the time of their last use.
    clients: Mutex<HashMap<ConnectOptions, (Client, Instant)>>,
    environment: EnvironmentProxies,
}

impl Clients {
    pub(super) fn new(resolver: Arc<Resolver>) -> Self {
        Self { resolver, clients: Mutex::default(), environment: EnvironmentProxies::of_process() }
    }

    /// Replaces `Proxy::Environment` by the proxy for a URL; loopback hosts are never reached through a proxy of the environment.
    pub(super) fn resolve_proxy(&self, url: &Url, options: &ConnectOptions) -> ConnectOptions {
        let proxy = match &options.proxy {
            Proxy::Environment if is_loopback(url) => Proxy::Direct,
            Proxy::Environment => match self.environment.proxy(url) {
                Some(proxy) => Proxy::Explicit { http: Some(proxy.clone()), https: Some(proxy) },
                None => Proxy::Direct,
            },
            named => named.clone(),
        };
        ConnectOptions { proxy, ..options.clone() }
    }

    /// Returns the client for these options; builds it if necessary.
    pub(super) fn client(&self, options: &ConnectOptions) -> Result<Client, Error> {
        let mut clients = self.clients.lock();
        if let Some((client, used)) = clients.get_mut(options) {
            *used = Instant::now();
            return Ok(client.clone());
        }
        if clients.len() >= MAX_CLIENTS
            && let Some(oldest) = clients.iter().min_by_key(|(_, (_, used))| *used).map(|(options, _)| options.clone())
        {
            clients.remove(&oldest);
        }
        let client = self.build(options)?;
        clients.insert(options.clone(), (client.clone(), Instant::now()));
        Ok(client)
    }

    fn build(&self, options: &ConnectOptions) -> Result<Client, Error> {
        let mut builder = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .connector_layer(ConnectTimeoutLayer)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
            .dns_resolver(self.resolver.clone());
        if let Proxy::Explicit { http, https } = &options.proxy {
            let wrong = |error: reqwest::Error| Error::InvalidOption(format!("proxy: {}", Error::chain(&error)));
            if let Some(proxy) = http {
                builder = builder.proxy(reqwest::Proxy::http(proxy.clone()).map_err(wrong)?);
            }
            if let Some(proxy) = https {
                builder = builder.proxy(reqwest::Proxy::https(proxy.clone()).map_err(wrong)?);
            }
        }
        match &options.verify {
            Verify::System => {}
            Verify::AcceptAny => builder = builder.tls_danger_accept_invalid_certs(true),
            Verify::Authorities(pem) => builder = builder.tls_certs_only(authorities(pem)?),
        }
        if let Some(pem) = &options.identity {
            let wrong = |_| {
                let both = "write a PEM file that holds the certificate and its key, or one for each";
                Error::InvalidOption(format!("cert: there is no certificate with a key: {both}"))
            };
            builder = builder.identity(Identity::from_pem(pem).map_err(wrong)?);
        }
        if !options.decompress {
            builder = builder.no_gzip().no_brotli().no_zstd().no_deflate();
        }
        builder.build().map_err(|error| Error::Tls(Error::chain(&error)))
    }
}

fn authorities(pem: &[u8]) -> Result<Vec<Certificate>, Error> {
    let found = Certificate::from_pem_bundle(pem).unwrap_or_default();
    if found.is_empty() {
        return Err(Error::InvalidOption("verify: there is no certificate in the file: write a PEM file".into()));
    }
    Ok(found)
}

/// Returns the proxy for a URL.
pub(super) fn proxy_for<'a>(url: &Url, options: &'a ConnectOptions) -> Option<&'a Url> {
    match (&options.proxy, url.scheme()) {
        (Proxy::Explicit { https, .. }, "https") => https.as_ref(),
        (Proxy::Explicit { http, .. }, _) => http.as_ref(),
        _ => None,
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => {
            address.is_loopback() || address.to_ipv4_mapped().is_some_and(|address| address.is_loopback())
        }
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}
