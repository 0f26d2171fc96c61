//! Whether a request is still connecting, and a limit for it of its own.

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

/// How far a request has come.
#[derive(Debug)]
pub(super) struct Progress {
    /// How long connecting may take.
    limit: Duration,
    /// Since when it waits for the server; `None` while it connects.
    waiting: Mutex<Option<Instant>>,
    changed: Notify,
}

impl Progress {
    pub(super) fn new(limit: Duration) -> Arc<Self> {
        Arc::new(Self { limit, waiting: Mutex::new(Some(Instant::now())), changed: Notify::new() })
    }

    /// Returns whether no server has been reached yet.
    pub(super) fn is_connecting(&self) -> bool {
        self.waiting().is_none()
    }

    /// Notes that something of this request moves.
    pub(super) fn moved(&self) {
        self.set(Some(Instant::now()));
    }

    /// Does what is part of connecting, within the limit; `None` if that passes.
    pub(super) async fn connecting<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.set(None);
        let done = tokio::time::timeout(self.limit, work).await.ok();
        self.moved();
        done
    }

    /// Ends when the server has said nothing for a time; connecting does not count.
    pub(super) async fn quiet(&self, limit: Duration) {
        loop {
            match self.waiting() {
                None => self.changed.notified().await,
                Some(since) => {
                    tokio::time::sleep_until(since + limit).await;
                    if self.waiting() == Some(since) {
                        return;
                    }
                }
            }
        }
    }

    fn waiting(&self) -> Option<Instant> {
        *self.waiting.lock()
    }

    fn set(&self, waiting: Option<Instant>) {
        *self.waiting.lock() = waiting;
        self.changed.notify_one();
    }
}

/// Tells each request how its connecting goes, and keeps it to its limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observed;

impl<S> Layer<S> for Observed {
    type Service = Connecting<S>;

    fn layer(&self, inner: S) -> Connecting<S> {
        Connecting(inner)
    }
}

/// Connects as the service inside does.
#[derive(Debug, Clone)]
pub(super) struct Connecting<S>(S);

impl<S, T> Service<T> for Connecting<S>
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
