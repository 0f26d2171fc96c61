//! The door: connections come in, and are no more than may be.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rumqttc::tokio_rustls::TlsAcceptor;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::broker::Broker;
use super::connection::Connection;
use crate::services::mqtt::wire::Stream;

/// How many may stand in the door without having said who they are.
const LOBBY: usize = 500;
/// How long agreeing on TLS may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long the door stays shut when the system has no room for another connection.
const PAUSE: Duration = Duration::from_millis(200);

/// The door.
#[derive(Clone)]
pub(super) struct Listener {
    pub(super) hub: Arc<Broker>,
    pub(super) tls: Option<TlsAcceptor>,
    /// The largest packet that is taken, in bytes.
    pub(super) limit: usize,
    /// Ends every connection.
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl Listener {
    /// Lets connections in until it is stopped.
    pub(super) async fn run(self, listener: TcpListener) {
        let lobby = Arc::new(Lobby::default());
        let mut was_full = false;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stop.cancelled() => return,
            };
            match accepted {
                Ok((tcp, _)) => {
                    was_full = false;
                    let place = lobby.enter();
                    self.tasks.spawn(self.clone().serve(tcp, Arc::clone(&lobby), place));
                }
                Err(why) => {
                    if !was_full {
                        warn!("the embedded broker can not take a connection: {why}");
                    }
                    was_full = true;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn serve(self, tcp: TcpStream, lobby: Arc<Lobby>, (number, pushed_out): (u64, CancellationToken)) {
        let greeted = || lobby.leave(number);
        let served = async {
            // Without this, QoS 1 waits 40 ms for each acknowledgement.
            tcp.set_nodelay(true)?;
            let stream: Box<dyn Stream> = match &self.tls {
                Some(tls) => Box::new(timeout(HANDSHAKE, tls.accept(tcp)).await??),
                None => Box::new(tcp),
            };
            Connection::new(Arc::clone(&self.hub), stream, self.limit).run(&self.stop, greeted).await
        };
        let result: io::Result<()> = tokio::select! {
            result = served => result,
            () = pushed_out.cancelled() => Err(io::Error::other("too many stand in the door")),
        };
        if let Err(why) = result {
            debug!("a connection to the embedded broker ended: {why}");
        }
        lobby.leave(number);
    }
}

/// Those who have not said who they are; the oldest of too many is sent away.
#[derive(Default)]
struct Lobby {
    waiting: Mutex<VecDeque<(u64, CancellationToken)>>,
    last: AtomicU64,
}

impl Lobby {
    fn enter(&self) -> (u64, CancellationToken) {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let token = CancellationToken::new();
        let mut waiting = self.waiting.lock();
        waiting.push_back((number, token.clone()));
        if waiting.len() > LOBBY
            && let Some((_, oldest)) = waiting.pop_front()
        {
            oldest.cancel();
        }
        (number, token)
    }

    fn leave(&self, number: u64) {
        let mut waiting = self.waiting.lock();
        waiting.retain(|(other, _)| *other != number);
    }
}
