//! The embedded MQTT broker: MQTT 3.1.1 and 5.
//!
//! [`state`] holds all data behind one lock. Each connection has a task that splits bytes into packets, applies them to the state, and
//! sends replies and queued messages; [`in_process`] does so without a stream and without a task. Persistent data is in a file before a
//! client receives its acknowledgement ([`write_ahead_log`]).

mod authenticator;
mod broker;
mod connection;
mod connection_guard;
mod in_process;
mod listener;
mod message;
mod packet;
mod packet_decoder;
mod packet_handler;
mod retained;
mod routing;
mod session;
mod sessions;
mod state;
mod subscriptions;
#[cfg(test)]
mod tests;
mod tls;
mod write_ahead_log;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use self::authenticator::Authenticator;
use self::broker::Broker;
pub use self::in_process::InProcessBroker;
pub(super) use self::in_process::InProcessPeer;
use self::listener::Listener;
use self::state::{Limits, State};
use self::write_ahead_log::WriteAheadLog;
use crate::config;
use crate::services::clock::Clock;
use crate::services::mqtt::embedded_endpoint::{Connector, EmbeddedEndpoint};
use crate::services::mqtt::wire;

/// Time limit of a stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the embedded broker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The port is in use by a program that is not an MQTT broker.
    #[error(
        "a program that is not an MQTT broker listens on {0}: give the embedded broker another address with `mqtt.embedded.listen`, or set `mqtt.url` to a broker"
    )]
    PortTaken(SocketAddr),
    /// The address cannot be listened on.
    #[error("the embedded broker cannot listen on {address} (`mqtt.embedded.listen`): {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("the embedded broker cannot use TLS (`mqtt.embedded.tls`): {0}")]
    Tls(io::Error),
}

/// The embedded broker, or the broker that already listens at its address.
///
/// Retained messages, sessions and their queues are stored in `mqtt/` inside the data folder and survive a crash of rhaid.
pub struct Embedded {
    address: SocketAddr,
    running: Option<RunningBroker>,
}

/// Stops the broker when dropped.
struct RunningBroker(Listener);

impl Embedded {
    /// Starts a broker that listens at `mqtt.embedded.listen`, unless a broker listens there already: then that one is used.
    ///
    /// # Errors
    /// [`EmbeddedError`] if neither is possible.
    pub async fn start(config: &config::Mqtt, data: &Path) -> Result<Self, EmbeddedError> {
        let listen = config.embedded.listen;
        let tls = config.embedded.tls.as_ref().map(tls::acceptor).transpose().map_err(EmbeddedError::Tls)?;
        let (listener, address) = match bind(listen).await {
            Ok(bound) => bound,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if !wire::speaks_mqtt(listen).await {
                    return Err(EmbeddedError::PortTaken(listen));
                }
                debug!("a broker listens on {listen} already and is used instead of the embedded broker");
                return Ok(Self { address: listen, running: None });
            }
            Err(source) => return Err(EmbeddedError::Listen { address: listen, source }),
        };
        // Its clients are other processes, so it never uses a virtual clock.
        let clock = Clock::system(TimeZone::UTC);
        let mut state = State::new(limits(config), clock.monotonic());
        let log = open_log(&mut state, &data.join("mqtt"));
        let running = RunningBroker(Listener {
            broker: Arc::new(Broker::new(state, log, authenticator(&config.embedded))),
            tls,
            limit: usize::try_from(max_packet(config)).unwrap_or(usize::MAX),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let Listener { broker, stop, tasks, .. } = running.0.clone();
        tasks.spawn(running.0.clone().run(listener));
        tasks.spawn(async move { broker.run_expiry(stop).await });
        debug!("the embedded broker listens on {address}");
        if let Some(warning) = exposure_warning(address, &config.embedded) {
            warn!("{warning}");
        }
        Ok(Self { address, running: Some(running) })
    }

    /// Returns the address of the broker.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns how clients reach the broker: without a network, if it runs in this process.
    pub fn endpoint(&self) -> EmbeddedEndpoint {
        let connector = self.running.as_ref().map(|running| {
            let listener = running.0.clone();
            Connector::new(move || Box::new(listener.connect()))
        });
        EmbeddedEndpoint { address: self.address, connector }
    }

    /// Returns whether the broker runs in this process; another one continues after [`Embedded::stop`].
    pub fn is_in_process(&self) -> bool {
        self.running.is_some()
    }

    /// Disconnects all clients and stops the broker, if it runs in this process.
    pub async fn stop(self) {
        if let Some(running) = &self.running {
            let Listener { stop, tasks, .. } = &running.0;
            stop.cancel();
            tasks.close();
            if timeout(STOP_TIMEOUT, tasks.wait()).await.is_err() {
                warn!("the embedded broker did not stop in time");
            }
        }
    }
}

impl Drop for RunningBroker {
    fn drop(&mut self) {
        self.0.stop.cancel();
        self.0.broker.close();
    }
}

async fn bind(listen: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn authenticator(embedded: &config::EmbeddedBroker) -> Option<Authenticator> {
    let username = embedded.username.clone()?;
    Some(Authenticator { username, password: embedded.password.clone() })
}

/// Restores the state from the write-ahead log in a folder, and compacts the log; returns `None` if it cannot be opened.
fn open_log(state: &mut State, folder: &Path) -> Option<WriteAheadLog> {
    match WriteAheadLog::open(folder) {
        Ok((mut log, records)) => {
            state.restore(records, log.buffer());
            log.rewrite(state.snapshot());
            Some(log)
        }
        Err(error) => {
            warn!(
                "the embedded broker cannot use {}, so retained messages and sessions are lost when rhaid stops: {error}",
                folder.display()
            );
            None
        }
    }
}

/// Returns a warning about a broker that other machines can reach without a password or without TLS.
fn exposure_warning(address: SocketAddr, embedded: &config::EmbeddedBroker) -> Option<String> {
    if address.ip().is_loopback() {
        return None;
    }
    if embedded.username.is_none() {
        return Some(format!(
            "any client that reaches {address} can publish and subscribe: set `mqtt.embedded.username` and `password`"
        ));
    }
    let is_unencrypted = embedded.tls.is_none();
    is_unencrypted.then(|| format!("the password for {address} is sent unencrypted: set `mqtt.embedded.tls`"))
}

fn limits(config: &config::Mqtt) -> Limits {
    let embedded = &config.embedded;
    Limits {
        connections: connection_limit(embedded.max_connections),
        packet: u32::try_from(max_packet(config)).unwrap_or(u32::MAX),
        queued: embedded.max_queued,
        queued_bytes: usize::try_from(embedded.max_queued_bytes).unwrap_or(usize::MAX),
        keep_alive: u16::try_from(embedded.max_keep_alive.as_secs()).unwrap_or(u16::MAX),
    }
}

fn max_packet(config: &config::Mqtt) -> u64 {
    config.embedded.max_packet.unwrap_or(config.max_packet())
}

/// Returns the maximum number of connections: at most half of the process's open file limit, to leave files for other uses.
fn connection_limit(requested: usize) -> usize {
    let open_files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let half = open_files.and_then(|files| usize::try_from(files / 2).ok()).unwrap_or(usize::MAX);
    if half < requested {
        warn!(
            "the embedded broker accepts {half} connections instead of {requested} (`mqtt.embedded.max_connections`): rhaid can open only {} files (`ulimit -n`)",
            2 * half
        );
    }
    requested.min(half)
}
