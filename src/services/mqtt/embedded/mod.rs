//! The broker that comes along, for whoever has none: MQTT 3.1.1 and 5, in our own words.
//!
//! [`state`] holds all that it knows, behind one lock; each connection has a task that cuts bytes into packets, has them answered there,
//! and sends what is there for its client. What outlives the broker is in a file before anybody is told of it ([`journal`]).

mod authenticator;
mod broker;
mod connection;
mod listener;
mod message;
mod packet;
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

use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use self::authenticator::Authenticator;
use self::broker::Broker;
use self::listener::Listener;
use self::state::{Limits, State};
use self::write_ahead_log::WriteAheadLog;
use crate::config;
use crate::services::mqtt::wire;

/// How long stopping may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no embedded broker.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// Something that is no broker has the port.
    #[error(
        "something that does not speak MQTT has {0}: give the embedded broker another address with `mqtt.embedded.listen`, or name a broker with `mqtt.url`"
    )]
    PortTaken(SocketAddr),
    /// The address can not be listened on.
    #[error("the embedded broker can not listen on {address} (`mqtt.embedded.listen`): {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The certificate or its key is of no use.
    #[error("the embedded broker can not speak TLS (`mqtt.embedded.tls`): {0}")]
    Tls(io::Error),
}

/// The embedded broker, or the one that was there before.
///
/// It keeps retained messages, sessions and what waits for them in `mqtt/` inside the data folder; all of it survives a crash of rhaid.
pub struct Embedded {
    address: SocketAddr,
    own: Option<Own>,
}

struct Own {
    hub: Arc<Broker>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Embedded {
    /// Starts a broker that listens at `mqtt.embedded.listen`, unless one is there already: then that one is used.
    ///
    /// # Errors
    /// [`EmbeddedError`] if neither works.
    pub async fn start(config: &config::Mqtt, data: &Path) -> Result<Self, EmbeddedError> {
        let listen = config.embedded.listen;
        let tls = config.embedded.tls.as_ref().map(tls::acceptor).transpose().map_err(EmbeddedError::Tls)?;
        let (listener, address) = match bind(listen).await {
            Ok(bound) => bound,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if !wire::speaks_mqtt(listen).await {
                    return Err(EmbeddedError::PortTaken(listen));
                }
                debug!("there is a broker at {listen} already, which is used instead of the embedded one");
                return Ok(Self { address: listen, own: None });
            }
            Err(source) => return Err(EmbeddedError::Listen { address: listen, source }),
        };
        let state = remembering(State::new(limits(config)), &data.join("mqtt"));
        let login = config.embedded.username.as_ref();
        let doorkeeper = login
            .map(|username| Authenticator { username: username.clone(), password: config.embedded.password.clone() });
        let own = Own {
            hub: Arc::new(Broker::new(state, doorkeeper)),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let door = Listener {
            hub: Arc::clone(&own.hub),
            tls,
            limit: usize::try_from(max_packet(config)).unwrap_or(usize::MAX),
            stop: own.stop.clone(),
            tasks: own.tasks.clone(),
        };
        own.tasks.spawn(door.run(listener));
        let (hub, stop) = (Arc::clone(&own.hub), own.stop.clone());
        own.tasks.spawn(async move { hub.keep_tidy(stop).await });
        debug!("the embedded broker listens on {address}");
        if let Some(what) = of_strangers(address, &config.embedded) {
            warn!("{what}");
        }
        Ok(Self { address, own: Some(own) })
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns whether it is ours; another one goes on when we stop.
    pub fn is_ours(&self) -> bool {
        self.own.is_some()
    }

    /// Says goodbye to all clients and stops, if it is ours.
    pub async fn stop(self) {
        if let Some(own) = &self.own {
            own.stop.cancel();
            own.tasks.close();
            if timeout(PATIENCE, own.tasks.wait()).await.is_err() {
                warn!("the embedded broker did not stop in time");
            }
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.stop.cancel();
        self.hub.close();
    }
}

async fn bind(listen: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Has the broker keep what it must in a folder, if that can be used.
fn remembering(mut state: State, folder: &Path) -> State {
    match WriteAheadLog::open(folder) {
        Ok((journal, records)) => state.remember(journal, records),
        Err(why) => warn!(
            "the embedded broker can not use {}, so it forgets everything when rhaid stops: {why}",
            folder.display()
        ),
    }
    state
}

/// Returns what is to be said of a broker that others than this machine reach.
fn of_strangers(address: SocketAddr, embedded: &config::Embedded) -> Option<String> {
    if address.ip().is_loopback() {
        return None;
    }
    if embedded.username.is_none() {
        return Some(format!(
            "anybody who reaches {address} may publish and subscribe: set `mqtt.embedded.username` and `password`"
        ));
    }
    let is_open = embedded.tls.is_none();
    is_open.then(|| format!("the password for {address} can be read on the network: set `mqtt.embedded.tls`"))
}

fn limits(config: &config::Mqtt) -> Limits {
    let embedded = &config.embedded;
    Limits {
        connections: affordable(embedded.max_connections),
        packet: u32::try_from(max_packet(config)).unwrap_or(u32::MAX),
        queued: embedded.max_queued,
        queued_bytes: usize::try_from(embedded.max_queued_bytes).unwrap_or(usize::MAX),
        keep_alive: u16::try_from(embedded.max_keep_alive.as_secs()).unwrap_or(u16::MAX),
    }
}

fn max_packet(config: &config::Mqtt) -> u64 {
    config.embedded.max_packet.unwrap_or(config.max_packet())
}

/// Returns how many connections may be there, so that half of the files that the system lets us open are left for others.
fn affordable(wanted: usize) -> usize {
    let open_files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let half = open_files.and_then(|files| usize::try_from(files / 2).ok()).unwrap_or(usize::MAX);
    if half < wanted {
        warn!(
            "the embedded broker takes {half} connections instead of {wanted} (`mqtt.embedded.max_connections`): the system lets rhaid open only {} files (`ulimit -n`)",
            2 * half
        );
    }
    wanted.min(half)
}
