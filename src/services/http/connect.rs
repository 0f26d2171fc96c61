//! The connect timeout, which covers name resolution, the access check, TCP and TLS.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

tokio::task_local! {
    /// The progress of the request that this task sends.
    pub(super) static PROGRESS: Arc<Progress>;
}

/// The phase of a request.
#[derive(Debug)]
pub(super) struct Progress {
    /// The connect timeout.
    limit: Duration,
    /// Since when the request waits for the server; `None` while it connects.
    waiting_since: Mutex<Option<Instant>>,
    changed: Notify,
}

impl Progress {
    pub(super) fn new(limit: Duration) -> Arc<Self> {
        Arc::new(Self { limit, waiting_since: Mutex::new(Some(Instant::now())), changed: Notify::new() })
    }

    /// Returns whether the request has no connection yet.
    pub(super) fn is_connecting(&self) -> bool {
        self.waiting_since().is_none()
    }

    /// Restarts the read timeout.
    pub(super) fn touch(&self) {
        self.set(Some(Instant::now()));
    }

    /// Runs a step of connecting within the connect timeout; `None` if it times out.
    pub(super) async fn connecting<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.set(None);
        let done = tokio::time::timeout(self.limit, work).await.ok();
        self.touch();
        done
    }

    /// Completes when the server has sent nothing for `limit`; connecting does not count.
    pub(super) async fn until_quiet(&self, limit: Duration) {
        loop {
            match self.waiting_since() {
                None => self.changed.notified().await,
                Some(since) => {
                    tokio::time::sleep_until(since + limit).await;
                    if self.waiting_since() == Some(since) {
                        return;
                    }
                }
            }
        }
    }

    fn waiting_since(&self) -> Option<Instant> {
        *self.waiting_since.lock()
    }

    fn set(&self, waiting_since: Option<Instant>) {
        *self.waiting_since.lock() = waiting_since;
        self.changed.notify_one();
    }
}

/// Applies the connect timeout to connections of the pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectTimeoutLayer;

impl<S> Layer<S> for ConnectTimeoutLayer {
    type Service = ConnectTimeoutService<S>;

    fn layer(&self, inner: S) -> ConnectTimeoutService<S> {
        ConnectTimeoutService(inner)
    }
}

/// A connector with the connect timeout.
#[derive(Debug, Clone)]
pub(super) struct ConnectTimeoutService<S>(S);

impl<S, T> Service<T> for ConnectTimeoutService<S>
where
    S: Service<T, Error = Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send + 'static,
    S::Response: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, target: T) -> Self::Future {
        let connected = self.0.call(target);
        let Ok(progress) = PROGRESS.try_with(Clone::clone) else { return connected.boxed() };
        async move {
            let done = progress.connecting(connected).await;
            done.unwrap_or_else(|| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
        }
        .boxed()
    }
}
