//! A bad line between a client and a broker: it passes bytes on until it is told to be slow, deaf or cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the line does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Pass,
    /// So many bytes a second, each way.
    Slow(u64),
    /// Nothing comes through, and nobody is told.
    Deaf,
    /// Every connection is ended at once.
    Closed,
}

/// The line; gone when dropped.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    mode: watch::Sender<Mode>,
    /// Every connection that is older than this is cut.
    cuts: watch::Sender<u64>,
    /// Bytes until the next cut.
    left: AtomicU64,
    connections: AtomicU64,
}

impl Proxy {
    /// Opens a line to a broker.
    pub(super) async fn open(broker: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            mode: watch::Sender::new(Mode::Pass),
            cuts: watch::Sender::new(0),
            left: AtomicU64::new(u64::MAX),
            connections: AtomicU64::new(0),
        });
        let task = tokio::spawn(serve(listener, broker, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    pub(super) fn become_(&self, mode: Mode) {
        self.shared.mode.send_replace(mode);
    }

    /// Cuts the connection after so many more bytes, wherever in a packet that is; returns when it is done.
    pub(super) async fn cut_after(&self, bytes: u64) {
        let mut cuts = self.shared.cuts.subscribe();
        let before = *cuts.borrow_and_update();
        self.shared.left.store(bytes, Ordering::SeqCst);
        let _ = cuts.wait_for(|cuts| *cuts > before).await;
    }

    /// Returns how many connections there have been.
    pub(super) fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn serve(listener: TcpListener, broker: SocketAddr, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        if *shared.mode.borrow() == Mode::Closed {
            continue;
        }
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let mut cuts = shared.cuts.subscribe();
            cuts.mark_unchanged();
            let Ok(server) = TcpStream::connect(broker).await else { return };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
            tokio::select! {
                () = pump(from_client, to_server, &shared) => {}
                () = pump(from_server, to_client, &shared) => {}
                _ = cuts.changed() => {}
            }
        });
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared) {
    let mut mode = shared.mode.subscribe();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let now = *mode.borrow_and_update();
        let most = match now {
            Mode::Pass => buffer.len(),
            Mode::Slow(rate) => (rate / 10).max(1) as usize,
            Mode::Closed => return,
            Mode::Deaf => {
                let _ = mode.changed().await;
                continue;
            }
        };
        let read = tokio::select! {
            read = from.read(&mut buffer[..most]) => read.unwrap_or(0),
            _ = mode.changed() => continue,
        };
        let left = shared.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            Some(if left == u64::MAX { left } else { left.saturating_sub(read as u64) })
        });
        let left = left.unwrap_or_else(|left| left).min(read as u64) as usize;
        if read == 0 || to.write_all(&buffer[..left]).await.is_err() {
            return;
        }
        if shared.left.compare_exchange(0, u64::MAX, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            shared.cuts.send_modify(|cuts| *cuts += 1);
            return;
        }
        if let Mode::Slow(_) = now {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
