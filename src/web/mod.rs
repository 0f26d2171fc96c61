//! The web server: webhooks.

mod access;
mod hooks;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Extension;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service as _;
use tracing::debug;

use crate::services::routes::Routes;
use crate::web::hooks::Hooks;

/// The longest head of a request.
const HEAD_BYTES: usize = 32 << 10;

/// What callers may use of the server.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// How long a head may take to come in, and how long a connection may say nothing between requests.
    head_time: Duration,
    /// How long a body may take to come in.
    body_time: Duration,
    /// How many connections are open at once; the next waits to be accepted.
    connections: usize,
    /// How many requests are read and answered at once; the next is turned away.
    requests: usize,
}

const LIMITS: Limits = Limits {
    head_time: Duration::from_secs(10),
    body_time: Duration::from_secs(30),
    connections: 1_024,
    requests: 256,
};

/// How long a stop waits for requests whose handlers still run.
const STOP_TIME: Duration = Duration::from_secs(5);

/// Why the server can not listen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another program has the port.
    #[error("{0} is in use by another program: set `web.listen` in rhaid.yaml to another port")]
    InUse(SocketAddr),
    /// The address can not be had.
    #[error("{address} can not be listened on ({why}): set `web.listen` in rhaid.yaml to an address of this machine")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        why: io::Error,
    },
}

/// An address that is ours, not yet served.
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Takes an address; port 0 takes any that is free.
    ///
    /// # Errors
    /// [`Error`], if it can not be had.
    pub async fn bind(address: SocketAddr) -> Result<Self, Error> {
        let refused = |why: io::Error| match why.kind() {
            io::ErrorKind::AddrInUse => Error::InUse(address),
            _ => Error::Refused { address, why },
        };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Self { listener, address })
    }

    /// Returns the address, with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves webhooks from now on, in tasks of its own.
    pub fn serve(self, routes: Routes) -> Server {
        self.serve_within(routes, LIMITS)
    }

    fn serve_within(self, routes: Routes, limits: Limits) -> Server {
        let (stop, connections) = (CancellationToken::new(), TaskTracker::new());
        let app = app(routes, limits);
        connections.spawn(accept(self.listener, app, limits, stop.clone(), connections.clone()));
        connections.close();
        Server { address: self.address, stop, connections }
    }
}

/// The running server; told to stop when dropped.
pub struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    connections: TaskTracker,
}

impl Server {
    /// Returns the address, with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, and waits for the requests that are being answered, up to five seconds.
    pub async fn stop(self) {
        self.stop.cancel();
        if tokio::time::timeout(STOP_TIME, self.connections.wait()).await.is_err() {
            debug!(left = self.connections.len(), "left requests unanswered");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Takes listening and serving together.
///
/// # Errors
/// [`Error`], if the address can not be had.
pub async fn serve(address: SocketAddr, routes: Routes) -> Result<Server, Error> {
    Ok(Listener::bind(address).await?.serve(routes))
}

/// Answers one request that came in some other way than over the network; returns the status, the headers and the body.
///
/// # Errors
/// A sentence, if there can be no such request.
pub async fn visit(
    routes: Routes,
    request: http::request::Builder,
    body: Vec<u8>,
) -> Result<(u16, Vec<(String, String)>, Vec<u8>), String> {
    let mut request = request.body(Body::from(body)).map_err(|error| error.to_string())?;
    request.extensions_mut().insert(Remote(SocketAddr::from(([127, 0, 0, 1], 0))));
    let response = match app(routes, LIMITS).call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let (head, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.map_err(|error| error.to_string())?;
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    Ok((head.status.as_u16(), headers, body.to_vec()))
}

fn app(routes: Routes, limits: Limits) -> Router {
    Router::new()
        .route("/", get(|| async { "rhaid is running; its webhooks live below /hooks/\n" }))
        .route("/health", get(|| async { "ok\n" }))
        .route("/hooks/{*path}", any(hooks::answer))
        .fallback(|| async { plain(StatusCode::NOT_FOUND, "nothing here") })
        .method_not_allowed_fallback(|| async { plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD") })
        .with_state(Arc::new(Hooks::new(routes, limits)))
}

/// Returns a short answer for people.
fn plain(status: StatusCode, text: &str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{text}\n")).into_response()
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy)]
struct Remote(SocketAddr);

async fn accept(
    mut listener: TcpListener,
    app: Router,
    limits: Limits,
    stop: CancellationToken,
    connections: TaskTracker,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let next = async {
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            // Waits a moment when the process has too many files open, and goes on.
            let (stream, remote) = axum::serve::Listener::accept(&mut listener).await;
            let app = app.clone().layer(Extension(Remote(remote)));
            let (stop, head_time) = (stop.clone(), limits.head_time);
            connections.spawn(async move {
                connection(stream, app, head_time, stop).await;
                drop(place);
            });
        }
    };
    stop.run_until_cancelled(next).await;
}

async fn connection(stream: TcpStream, app: Router, head_time: Duration, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_time)
        .max_buf_size(HEAD_BYTES)
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
        debug!(%why, "a connection broke");
    }
}

#[cfg(test)]
mod tests;
