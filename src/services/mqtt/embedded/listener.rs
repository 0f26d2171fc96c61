//! Accepts connections and limits those that have not sent CONNECT yet.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rumqttc::tokio_rustls::TlsAcceptor;
use tokio::io::{DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::broker::Broker;
use super::connection::Connection;
use crate::services::mqtt::stream::Stream;

/// Maximum number of connections that have not sent CONNECT.
const MAX_PENDING: usize = 500;
/// Time limit of the TLS handshake.
const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Size of the buffer of a stream within this process, in bytes and in each direction.
const IN_PROCESS_BUFFER: usize = 64 << 10;
/// Pause after the system has refused to accept a connection.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(200);

/// Accepts connections.
#[derive(Clone)]
pub(super) struct Listener {
    pub(super) broker: Arc<Broker>,
    pub(super) tls: Option<TlsAcceptor>,
    /// Maximum packet size, in bytes.
    pub(super) limit: usize,
    /// Cancels every connection.
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl Listener {
    /// Accepts connections until it is cancelled.
    pub(super) async fn run(self, listener: TcpListener) {
        let pending = Arc::new(PendingConnections::default());
        let mut is_failing = false;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stop.cancelled() => return,
            };
            match accepted {
                Ok((tcp, _)) => {
                    is_failing = false;
                    let slot = pending.add();
                    self.tasks.spawn(self.clone().serve(tcp, Arc::clone(&pending), slot));
                }
                Err(error) => {
                    if !is_failing {
                        warn!("the embedded broker cannot accept a connection: {error}");
                    }
                    is_failing = true;
                    tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                }
            }
        }
    }

    /// Serves a client in this process, and returns its side of the stream. Must be called inside the tokio runtime.
    pub(super) fn connect(&self) -> DuplexStream {
        let (client, server) = duplex(IN_PROCESS_BUFFER);
        let connection = Connection::new(Arc::clone(&self.broker), Box::new(server), self.limit);
        let stop = self.stop.clone();
        self.tasks.spawn(async move { log_error(connection.run(&stop, || ()).await) });
        client
    }

    async fn serve(self, tcp: TcpStream, pending: Arc<PendingConnections>, (id, evicted): (u64, CancellationToken)) {
        let on_connect = || pending.remove(id);
        let served = async {
            // Without TCP_NODELAY each QoS 1 acknowledgement is delayed by 40 ms.
            tcp.set_nodelay(true)?;
            let stream: Box<dyn Stream> = match &self.tls {
                Some(tls) => Box::new(timeout(TLS_HANDSHAKE_TIMEOUT, tls.accept(tcp)).await??),
                None => Box::new(tcp),
            };
            Connection::new(Arc::clone(&self.broker), stream, self.limit).run(&self.stop, on_connect).await
        };
        let result: io::Result<()> = tokio::select! {
            result = served => result,
            () = evicted.cancelled() => Err(io::Error::other("too many connections have not sent CONNECT")),
        };
        log_error(result);
        pending.remove(id);
    }
}

fn log_error(result: io::Result<()>) {
    if let Err(error) = result {
        debug!("a connection to the embedded broker ended: {error}");
    }
}

/// Connections that have not sent CONNECT; above the limit the oldest is closed.
#[derive(Default)]
struct PendingConnections {
    pending: Mutex<VecDeque<(u64, CancellationToken)>>,
    last: AtomicU64,
}

impl PendingConnections {
    fn add(&self) -> (u64, CancellationToken) {
        let id = self.last.fetch_add(1, Ordering::Relaxed);
        let token = CancellationToken::new();
        let mut pending = self.pending.lock();
        pending.push_back((id, token.clone()));
        if pending.len() > MAX_PENDING
            && let Some((_, oldest)) = pending.pop_front()
        {
            oldest.cancel();
        }
        (id, token)
    }

    fn remove(&self, id: u64) {
        let mut pending = self.pending.lock();
        pending.retain(|(other, _)| *other != id);
    }
}
