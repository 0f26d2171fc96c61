//! Listening, connections and shutdown.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error};

use crate::services::routes::Routes;
use crate::web::error::BindError;
use crate::web::hooks::WebhookState;
use crate::web::router;
use crate::web::server_limits::{
    ACCEPT_PAUSE, MAX_HEAD_BYTES, MAX_THREADS, SERVER_LIMITS, SHUTDOWN_TIMEOUT, ServerLimits,
};

/// A bound address that is not yet served.
pub struct BoundServer {
    listener: TcpListener,
    address: SocketAddr,
}

impl BoundServer {
    /// Binds an address; port 0 selects a free port.
    ///
    /// # Errors
    /// [`BindError`], if the address is in use or unavailable.
    pub async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let failed = |why: io::Error| match why.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse(address),
            _ => BindError::Unavailable { address, why },
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Returns the address, with its actual port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts to serve webhooks in the background, on threads of the server.
    ///
    /// # Errors
    /// [`BindError::Threads`], if the threads cannot be started.
    pub fn serve(self, routes: Routes) -> Result<Server, BindError> {
        self.serve_within(routes, SERVER_LIMITS)
    }

    /// As [`BoundServer::serve`], with other limits.
    pub(super) fn serve_within(self, routes: Routes, limits: ServerLimits) -> Result<Server, BindError> {
        let runtime = runtime().map_err(BindError::Threads)?;
        let (stop, connections) = (CancellationToken::new(), TaskTracker::new());
        let webhooks = Arc::new(WebhookState::new(routes, limits));
        let accepting = accept(self.listener, webhooks, limits, stop.clone(), connections.clone());
        connections.spawn_on(accepting, runtime.handle());
        connections.close();
        Ok(Server { address: self.address, stop, connections, runtime: Some(runtime) })
    }
}

/// Returns a runtime for connections: with few threads, because threads without work are woken, too, and because scripts run on other threads.
fn runtime() -> io::Result<Runtime> {
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get() / 2).clamp(1, MAX_THREADS);
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).thread_name("web").enable_all().build()
}

/// The running server. Dropping it closes all connections.
pub struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    connections: TaskTracker,
    /// Runtime of the connections, until the server is dropped.
    runtime: Option<Runtime>,
}

impl Server {
    /// Returns the address, with its actual port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting and waits for requests in progress, up to five seconds.
    pub async fn stop(self) {
        self.stop.cancel();
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, self.connections.wait()).await.is_err() {
            debug!(remaining = self.connections.len(), "shut down with requests in progress");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

/// Binds an address and starts to serve.
///
/// # Errors
/// [`BindError`], if the address is in use or unavailable, or the server's threads cannot be started.
pub async fn serve(address: SocketAddr, routes: Routes) -> Result<Server, BindError> {
    BoundServer::bind(address).await?.serve(routes)
}

async fn accept(
    listener: TcpListener,
    webhooks: Arc<WebhookState>,
    limits: ServerLimits,
    stop: CancellationToken,
    connections: TaskTracker,
) {
    let permits = Arc::new(Semaphore::new(limits.connections));
    let accepting = async {
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            let (stream, peer) = next_connection(&listener).await;
            let (webhooks, stop, head_timeout) = (webhooks.clone(), stop.clone(), limits.head_timeout);
            connections.spawn(async move {
                serve_connection(stream, peer, &webhooks, head_timeout, stop).await;
                drop(permit);
            });
        }
    };
    stop.run_until_cancelled(accepting).await;
}

/// Accepts a connection; retries with a pause while the process is out of file descriptors.
async fn next_connection(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(why) if matches!(why.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) => {}
            Err(why) => {
                error!("cannot accept connections: {why}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    webhooks: &WebhookState,
    head_timeout: Duration,
    stop: CancellationToken,
) {
    let _ = stream.set_nodelay(true);
    let service =
        service_fn(|request| async move { Ok::<_, Infallible>(router::respond(webhooks, peer, request).await) });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(why) = ended {
        debug!(%why, "connection closed with an error");
    }
}
