//! Names into addresses: what was checked is what is connected to.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// How long an answer is used without asking again.
const FRESH: Duration = Duration::from_secs(10);

/// How many names are kept.
const KEPT: usize = 1_024;

#[derive(Debug, Clone)]
struct Pinned {
    addresses: Vec<IpAddr>,
    at: Instant,
}

/// Remembers what names stood for when they were checked, so that connecting finds the same addresses.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    pinned: Arc<Mutex<HashMap<String, Pinned>>>,
}

impl Resolver {
    /// Returns the addresses of a host, which connections to it will use.
    pub(super) async fn pin(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let known = self.pinned(host).filter(|pinned| pinned.at.elapsed() < FRESH);
        if let Some(known) = known {
            return Ok(known.addresses);
        }
        let addresses = look_up(host).await?;
        let mut pinned = self.pinned.lock();
        if pinned.len() >= KEPT {
            pinned.retain(|_, pinned| pinned.at.elapsed() < FRESH);
            if pinned.len() >= KEPT {
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
            // What nobody pinned is the name of a proxy.
            let addresses = match pinned {
                Some(pinned) => pinned.addresses,
                None => look_up(name.as_str()).await?,
            };
            Ok(Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}
