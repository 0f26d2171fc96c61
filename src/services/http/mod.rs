//! HTTP out: pooled clients, redirects and repeats by our own loops, a limit on everything.

mod answer;
mod body;
pub mod charset;
mod client;
mod connect;
mod cookies;
mod digest;
mod driver;
mod environment;
mod error;
mod exchange;
pub mod lines;
pub mod links;
mod mock_transport;
mod redirect;
mod request;
mod resolve;
mod retry;

use std::net::IpAddr;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use self::answer::{Answer, Asked};
pub use self::body::Incoming;
use self::client::Clients;
pub use self::cookies::Cookies;
pub use self::driver::Driver;
pub use self::error::{Error, Failure};
pub use self::mock_transport::{MockTransport, Reply, Wanted, error_of};
pub use self::request::{Body, ConnectOptions, Content, Credentials, Part, Proxy, Request, Sink, Times, Verify};
use self::resolve::Resolver;
pub use self::retry::{Cause, Retry};
use crate::config::Denied;

/// Says where requests may go; asked for every hop, by name and by address.
pub trait Guard: Send + Sync {
    /// Checks a host as it is written in the URL.
    ///
    /// # Errors
    /// If requests may not go there.
    fn check_host(&self, host: &str, port: u16) -> Result<(), Denied>;

    /// Checks an address that a host stands for.
    ///
    /// # Errors
    /// If requests may not go there.
    fn check_address(&self, host: &str, port: u16, address: IpAddr) -> Result<(), Denied>;

    /// Checks a host whose addresses only a proxy knows.
    ///
    /// # Errors
    /// If requests may not go there.
    fn check_unknown(&self, host: &str, port: u16) -> Result<(), Denied>;
}

/// An answer, and its body if that is still on its way.
#[derive(Debug)]
pub struct Arrived {
    /// The answer.
    pub answer: Answer,
    /// What is still to come, for [`Sink::Stream`].
    pub incoming: Option<Incoming>,
}

/// HTTP out; cheap to clone.
#[derive(Clone)]
pub struct Http {
    clients: Arc<Clients>,
    resolver: Arc<Resolver>,
    /// What answers in place of the network, in a held world.
    stage: Option<Arc<dyn MockTransport>>,
    driver: Option<Driver>,
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

impl Http {
    /// Makes it ready; clients are made when they are first needed.
    pub fn new() -> Self {
        Self::with(None, Driver::new())
    }

    fn with(stage: Option<Arc<dyn MockTransport>>, driver: Option<Driver>) -> Self {
        // Two TLS stacks may ask for the process's default; the first one to say so decides, and both can live with it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let resolver = Arc::new(Resolver::default());
        Self { clients: Arc::new(Clients::new(resolver.clone())), resolver, stage, driver }
    }

    /// Returns who moves its connections on while somebody waits; `None`: the runtime does.
    pub fn driver(&self) -> Option<&Driver> {
        self.driver.as_ref()
    }

    /// Begins work that sends requests, on the runtime if there is no driver.
    pub fn spawn<T: Send + 'static>(
        &self,
        runtime: &Handle,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        match &self.driver {
            Some(driver) => driver.spawn(work),
            None => runtime.spawn(work),
        }
    }

    /// Sends a request, again if it says so, and returns the answer. Cancel-safe: dropped, it closes its connection.
    ///
    /// # Errors
    /// If there is no answer, or the guard forbids a hop. Any status is an answer.
    pub async fn send(&self, request: &Request, guard: &dyn Guard) -> Result<Arrived, Box<Failure>> {
        let until = Instant::now() + request.times.total;
        let mut tries = 0;
        if self.driver.is_some() {
            // What servers have closed since the last look is known before a connection is chosen.
            tokio::task::yield_now().await;
        }
        loop {
            tries += 1;
            let outcome = self.attempt(request, guard, until).await;
            let seen = outcome.as_ref().map(|arrived| &arrived.answer).map_err(|failure| &failure.error);
            let pause = request.retry.pause(&request.method, tries, seen);
            let pause = pause.filter(|pause| Instant::now().checked_add(*pause).is_some_and(|again| again < until));
            let Some(pause) = pause else { return outcome };
            drop(outcome);
            self.pause(pause).await;
        }
    }
}
