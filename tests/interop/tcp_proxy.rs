//! TCP proxy for fault injection between a client and a broker: slow, blackholed, closed or cut connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The behaviour of the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Forwards all bytes.
    Forward,
    /// Forwards this many bytes a second in each direction.
    Slow(u64),
    /// Forwards nothing, and keeps the connections open.
    Blackhole,
    /// Closes every connection at once.
    Closed,
}

/// The proxy; stopped when dropped.
pub(super) struct TcpProxy {
    pub(super) address: SocketAddr,
    state: Arc<ProxyState>,
    task: tokio::task::JoinHandle<()>,
}

struct ProxyState {
    mode: watch::Sender<Mode>,
    /// The number of cuts; each change closes all connections.
    cuts: watch::Sender<u64>,
    /// Bytes until the next cut.
    left: AtomicU64,
    connections: AtomicU64,
}

impl TcpProxy {
    /// Starts a proxy to a broker.
    pub(super) async fn open(broker: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(ProxyState {
            mode: watch::Sender::new(Mode::Forward),
            cuts: watch::Sender::new(0),
            left: AtomicU64::new(u64::MAX),
            connections: AtomicU64::new(0),
        });
        let task = tokio::spawn(serve(listener, broker, Arc::clone(&state)));
        Self { address, state, task }
    }

    pub(super) fn set_mode(&self, mode: Mode) {
        self.state.mode.send_replace(mode);
    }

    /// Cuts the connection after this many more bytes, at any place in a packet; returns after the cut.
    pub(super) async fn cut_after(&self, bytes: u64) {
        let mut cuts = self.state.cuts.subscribe();
        let before = *cuts.borrow_and_update();
        self.state.left.store(bytes, Ordering::SeqCst);
        let _ = cuts.wait_for(|cuts| *cuts > before).await;
    }

    /// Returns the number of connections so far.
    pub(super) fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::SeqCst)
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.task.abort();
        self.state.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn serve(listener: TcpListener, broker: SocketAddr, state: Arc<ProxyState>) {
    while let Ok((client, _)) = listener.accept().await {
        if *state.mode.borrow() == Mode::Closed {
            continue;
        }
        state.connections.fetch_add(1, Ordering::SeqCst);
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let mut cuts = state.cuts.subscribe();
            cuts.mark_unchanged();
            let Ok(server) = TcpStream::connect(broker).await else { return };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
            tokio::select! {
                () = pump(from_client, to_server, &state) => {}
                () = pump(from_server, to_client, &state) => {}
                _ = cuts.changed() => {}
            }
        });
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &ProxyState) {
    let mut mode = state.mode.subscribe();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let now = *mode.borrow_and_update();
        let most = match now {
            Mode::Forward => buffer.len(),
            Mode::Slow(rate) => (rate / 10).max(1) as usize,
            Mode::Closed => return,
            Mode::Blackhole => {
                let _ = mode.changed().await;
                continue;
            }
        };
        let read = tokio::select! {
            read = from.read(&mut buffer[..most]) => read.unwrap_or(0),
            _ = mode.changed() => continue,
        };
        let left = state.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            Some(if left == u64::MAX { left } else { left.saturating_sub(read as u64) })
        });
        let left = left.unwrap_or_else(|left| left).min(read as u64) as usize;
        if read == 0 || to.write_all(&buffer[..left]).await.is_err() {
            return;
        }
        if state.left.compare_exchange(0, u64::MAX, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            state.cuts.send_modify(|cuts| *cuts += 1);
            return;
        }
        if let Mode::Slow(_) = now {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
