//! Clients with their pools: made once per way of connecting, since making one costs milliseconds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Identity};
use url::{Host, Url};

use crate::services::http::connect::Observed;
use crate::services::http::environment::Environment;
use crate::services::http::resolve::Resolver;
use crate::services::http::{ConnectOptions, Error, Proxy, Verify};

/// How long a connection waits for its next request.
const IDLE: Duration = Duration::from_secs(60);

/// How many connections to one host wait for their next request.
const IDLE_PER_HOST: usize = 16;

/// How many clients are kept.
const KEPT: usize = 16;

/// Clients by the way they connect.
pub(super) struct Clients {
    resolver: Arc<Resolver>,
    /// With the moment of their last use.
    made: Mutex<HashMap<ConnectOptions, (Client, Instant)>>,
    environment: Environment,
}

impl Clients {
    pub(super) fn new(resolver: Arc<Resolver>) -> Self {
        Self { resolver, made: Mutex::default(), environment: Environment::of_process() }
    }

    /// Returns the way to a URL: this machine itself is never reached through a proxy of the environment.
    pub(super) fn way(&self, url: &Url, wanted: &ConnectOptions) -> ConnectOptions {
        let proxy = match &wanted.proxy {
            Proxy::Environment if is_this_machine(url) => Proxy::Direct,
            Proxy::Environment => match self.environment.proxy(url) {
                Some(proxy) => Proxy::Through { http: Some(proxy.clone()), https: Some(proxy) },
                None => Proxy::Direct,
            },
            named => named.clone(),
        };
        ConnectOptions { proxy, ..wanted.clone() }
    }

    /// Returns the client for a way.
    pub(super) fn client(&self, way: &ConnectOptions) -> Result<Client, Error> {
        let mut made = self.made.lock();
        if let Some((client, used)) = made.get_mut(way) {
            *used = Instant::now();
            return Ok(client.clone());
        }
        if made.len() >= KEPT
            && let Some(oldest) = made.iter().min_by_key(|(_, (_, used))| *used).map(|(way, _)| way.clone())
        {
            made.remove(&oldest);
        }
        let client = self.make(way)?;
        made.insert(way.clone(), (client.clone(), Instant::now()));
        Ok(client)
    }

    fn make(&self, way: &ConnectOptions) -> Result<Client, Error> {
        let mut builder = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .connector_layer(Observed)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .dns_resolver(self.resolver.clone());
        if let Proxy::Through { http, https } = &way.proxy {
            let wrong = |error: reqwest::Error| Error::InvalidOption(format!("proxy: {}", Error::chain(&error)));
            if let Some(proxy) = http {
                builder = builder.proxy(reqwest::Proxy::http(proxy.clone()).map_err(wrong)?);
            }
            if let Some(proxy) = https {
                builder = builder.proxy(reqwest::Proxy::https(proxy.clone()).map_err(wrong)?);
            }
        }
        match &way.verify {
            Verify::System => {}
            Verify::Anyone => builder = builder.tls_danger_accept_invalid_certs(true),
            Verify::Authorities(pem) => builder = builder.tls_certs_only(authorities(pem)?),
        }
        if let Some(pem) = &way.identity {
            let wrong = |_| {
                let both = "write a PEM file that holds the certificate and its key, or one for each";
                Error::InvalidOption(format!("cert: there is no certificate with a key: {both}"))
            };
            builder = builder.identity(Identity::from_pem(pem).map_err(wrong)?);
        }
        if !way.decompress {
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

/// Returns the proxy that a way names for a URL.
pub(super) fn through<'a>(url: &Url, way: &'a ConnectOptions) -> Option<&'a Url> {
    match (&way.proxy, url.scheme()) {
        (Proxy::Through { https, .. }, "https") => https.as_ref(),
        (Proxy::Through { http, .. }, _) => http.as_ref(),
        _ => None,
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
