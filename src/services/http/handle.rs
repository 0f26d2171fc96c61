//! The handle on the HTTP client.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::services::http::body::ReceivedResponse;
use crate::services::http::client::Clients;
use crate::services::http::driver::Driver;
use crate::services::http::error::Failure;
use crate::services::http::guard::RequestGuard;
use crate::services::http::mock_transport::MockTransport;
use crate::services::http::request::Request;
use crate::services::http::resolve::Resolver;

/// An HTTP client; cheap to clone.
#[derive(Clone)]
pub struct Http {
    pub(super) clients: Arc<Clients>,
    pub(super) resolver: Arc<Resolver>,
    /// Replaces the network in a simulation.
    pub(super) mock: Option<Arc<dyn MockTransport>>,
    pub(super) driver: Option<Driver>,
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

impl Http {
    /// Returns a client; pools are created when they are first used.
    pub fn new() -> Self {
        Self::with(None, Driver::new())
    }

    /// Returns a client that sends all requests to a mock transport.
    pub fn mocked(mock: Arc<dyn MockTransport>) -> Self {
        Self::with(Some(mock), None)
    }

    fn with(mock: Option<Arc<dyn MockTransport>>, driver: Option<Driver>) -> Self {
        // Fails if a default provider is installed already, which can be used as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let resolver = Arc::new(Resolver::default());
        Self { clients: Arc::new(Clients::new(resolver.clone())), resolver, mock, driver }
    }

    /// Returns the driver of its connections; `None`: the runtime drives them.
    pub fn driver(&self) -> Option<&Driver> {
        self.driver.as_ref()
    }

    /// Spawns work that sends requests: on the driver, or else on the runtime.
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

    /// Sends a request, with retries, and returns the response. Cancel-safe: dropping the future closes the connection.
    ///
    /// # Errors
    /// If there is no response, or the guard denies access. Responses with any status are `Ok`.
    pub async fn send(&self, request: &Request, guard: &dyn RequestGuard) -> Result<ReceivedResponse, Box<Failure>> {
        let deadline = Instant::now() + request.timeouts.total;
        let mut attempts = 0;
        if self.driver.is_some() {
            // Drops pooled connections that their servers have closed, before one is chosen.
            tokio::task::yield_now().await;
        }
        loop {
            attempts += 1;
            let outcome = self.attempt(request, guard, deadline).await;
            let result = outcome.as_ref().map(|received| &received.response).map_err(|failure| &failure.error);
            let delay = request.retry.delay(&request.method, attempts, result);
            let delay = delay.filter(|delay| Instant::now().checked_add(*delay).is_some_and(|again| again < deadline));
            let Some(delay) = delay else { return outcome };
            drop(outcome);
            self.wait(delay).await;
        }
    }

    /// Waits before a retry.
    async fn wait(&self, delay: Duration) {
        let Some(mock) = &self.mock else { return tokio::time::sleep(delay).await };
        let clock = mock.clock();
        clock.sleep_until(clock.now() + delay).await;
    }
}
