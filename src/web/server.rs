//! Listening, connections and shutdown.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::services::routes::Routes;
use crate::web::error::BindError;
use crate::web::hooks::PeerAddress;
use crate::web::router::router;
use crate::web::server_limits::{MAX_HEAD_BYTES, SERVER_LIMITS, SHUTDOWN_TIMEOUT, ServerLimits};

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

    /// Starts to serve webhooks in the background.
    pub fn serve(self, routes: Routes) -> Server {
        self.serve_within(routes, SERVER_LIMITS)
    }

    /// As [`BoundServer::serve`], with other limits.
    pub(super) fn serve_within(self, routes: Routes, limits: ServerLimits) -> Server {
        let (stop, connections) = (CancellationToken::new(), TaskTracker::new());
        let app = router(routes, limits);
        connections.spawn(accept(self.listener, app, limits, stop.clone(), connections.clone()));
        connections.close();
        Server { address: self.address, stop, connections }
    }
}

/// The running server. Dropping it starts the shutdown.
pub struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    connections: TaskTracker,
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
        self.stop.cancel();
    }
}

/// Binds an address and starts to serve.
///
/// # Errors
/// [`BindError`], if the address is in use or unavailable.
pub async fn serve(address: SocketAddr, routes: Routes) -> Result<Server, BindError> {
    Ok(BoundServer::bind(address).await?.serve(routes))
}

async fn accept(
    mut listener: TcpListener,
    app: Router,
    limits: ServerLimits,
    stop: CancellationToken,
    connections: TaskTracker,
) {
    let permits = Arc::new(Semaphore::new(limits.connections));
    let accepting = async {
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            // Retries with a pause while the process is out of file descriptors.
            let (stream, peer) = axum::serve::Listener::accept(&mut listener).await;
            let app = app.clone().layer(Extension(PeerAddress(peer)));
            let (stop, head_timeout) = (stop.clone(), limits.head_timeout);
            connections.spawn(async move {
                serve_connection(stream, app, head_timeout, stop).await;
                drop(permit);
            });
        }
    };
    stop.run_until_cancelled(accepting).await;
}

async fn serve_connection(stream: TcpStream, app: Router, head_timeout: Duration, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
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
