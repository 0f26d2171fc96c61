//! DNS resolution: connections use the addresses that passed the access check.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// How long resolved addresses are reused.
const PIN_LIFETIME: Duration = Duration::from_secs(10);

/// Maximum number of pinned hosts.
const MAX_PINNED: usize = 1_024;

#[derive(Debug, Clone)]
struct Pinned {
    addresses: Vec<IpAddr>,
    at: Instant,
}

/// Pins the checked addresses of hosts, so that a connection uses the same ones (no DNS rebinding).
#[derive(Debug, Default)]
pub(super) struct Resolver {
    pinned: Arc<Mutex<HashMap<String, Pinned>>>,
}

impl Resolver {
    /// Returns the addresses of a host, and pins them for connections.
    pub(super) async fn pin(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let known = self.pinned(host).filter(|pinned| pinned.at.elapsed() < PIN_LIFETIME);
        if let Some(known) = known {
            return Ok(known.addresses);
        }
        let addresses = look_up(host).await?;
        let mut pinned = self.pinned.lock();
        if pinned.len() >= MAX_PINNED {
            pinned.retain(|_, pinned| pinned.at.elapsed() < PIN_LIFETIME);
            if pinned.len() >= MAX_PINNED {
                return Err(io::Error::other("too many different hosts at once"));
            }
        }
        pinned.insert(host.to_owned(), Pinned { addresses: addresses.clone(), at: Instant::now() });
        Ok(addresses)
    }

    fn pinned(&self, host: &str) -> Option<Pinned> {
        self.pinned.lock().get(host).cloned()
    }
}

async fn look_up(host: &str) -> io::Result<Vec<IpAddr>> {
    let addresses: Vec<_> = tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect();
    if addresses.is_empty() { Err(io::Error::other("it has no address")) } else { Ok(addresses) }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let pinned = self.pinned(name.as_str());
        Box::pin(async move {
            // A host that is not pinned is a proxy.
            let addresses = match pinned {
                Some(pinned) => pinned.addresses,
                None => look_up(name.as_str()).await?,
            };
            Ok(Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}
