//! The broker that comes along, for whoever has none.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mqtt5::broker::auth::{AuthProvider, AuthResult};
use mqtt5::broker::config::{BrokerConfig, StorageBackend, StorageConfig};
use mqtt5::broker::{BrokerShutdownHandle, MqttBroker};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::config;
use crate::secrets::Secret;
use crate::services::mqtt::wire;

/// How long a session that nobody resumes is kept.
const SESSION_EXPIRY: Duration = Duration::from_secs(30 * 86_400);
/// How many clients may be connected at a time.
const MAX_CLIENTS: usize = 2_000;
/// How much waits for one client that is away.
const MAX_QUEUED: (usize, usize) = (10_000, 16 << 20);
/// How long starting and stopping may take.
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
    /// The broker itself says why.
    #[error("the embedded broker does not start: {0}")]
    Broker(String),
}

/// The embedded broker, or the one that was there before.
///
/// It keeps retained messages, sessions and what waits for them in `mqtt/` inside the data folder. Retained messages and sessions are
/// on disk before they count; what waits for an absent client is written a quarter of a second later.
pub struct Embedded {
    address: SocketAddr,
    own: Option<Own>,
}

struct Own {
    shutdown: BrokerShutdownHandle,
    task: JoinHandle<()>,
}

impl Embedded {
    /// Starts a broker that listens at `mqtt.embedded.listen`, unless one is there already: then that one is used.
    ///
    /// # Errors
    /// [`EmbeddedError`] if neither works.
    pub async fn start(config: &config::Mqtt, data: &Path) -> Result<Self, EmbeddedError> {
        let listen = config.embedded.listen;
        // The library's own words for this are lost on the way out of it.
        match TcpListener::bind(listen).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if !wire::speaks_mqtt(listen).await {
                    return Err(EmbeddedError::PortTaken(listen));
                }
                debug!("there is a broker at {listen} already, which is used instead of the embedded one");
                return Ok(Self { address: listen, own: None });
            }
            Err(source) => return Err(EmbeddedError::Listen { address: listen, source }),
            Ok(probe) => drop(probe),
        }
        let folder = data.join("mqtt");
        let (address, own) = match begin(config, Some(folder.clone())).await {
            Ok(begun) => begun,
            Err(why) => {
                warn!(
                    "the embedded broker can not use {}, so it forgets everything when rhaid stops: {why}",
                    folder.display()
                );
                begin(config, None).await.map_err(EmbeddedError::Broker)?
            }
        };
        debug!("the embedded broker listens on {address}");
        if !address.ip().is_loopback() && config.embedded.username.is_none() {
            warn!(
                "anybody who reaches {address} may publish and subscribe: set `mqtt.embedded.username` and `password`"
            );
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

    /// Writes down what must be kept and stops, if it is ours.
    pub async fn stop(mut self) {
        if let Some(own) = &mut self.own {
            own.shutdown.shutdown();
            if timeout(PATIENCE, &mut own.task).await.is_err() {
                warn!("the embedded broker did not stop in time");
            }
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        if let Some(own) = &self.own {
            own.shutdown.shutdown();
        }
    }
}

/// Starts a broker that keeps what it must in a folder, or in memory only, and waits until clients can connect.
async fn begin(config: &config::Mqtt, folder: Option<PathBuf>) -> Result<(SocketAddr, Own), String> {
    let mut broker = MqttBroker::with_config(settings(config, folder)).await.map_err(|error| error.to_string())?;
    if let Some(username) = &config.embedded.username {
        let doorkeeper = Doorkeeper { username: username.clone(), password: config.embedded.password.clone() };
        broker = broker.with_auth_provider(Arc::new(doorkeeper));
    }
    let address = broker.local_addr().ok_or("it has no address")?;
    let shutdown = broker.shutdown_handle();
    let mut ready = broker.ready_receiver();
    let (failed, mut failure) = tokio::sync::oneshot::channel();
    let task = tokio::spawn(async move {
        if let Err(error) = broker.run().await {
            let _ = failed.send(error.to_string());
        }
    });
    tokio::select! {
        Ok(_) = ready.wait_for(|ready| *ready) => Ok((address, Own { shutdown, task })),
        why = &mut failure => Err(why.unwrap_or_else(|_| "it ended at once".into())),
        () = tokio::time::sleep(PATIENCE) => Err("it is not ready in time".into()),
    }
}

fn settings(config: &config::Mqtt, folder: Option<PathBuf>) -> BrokerConfig {
    let mut storage = StorageConfig::new()
        .with_backend(if folder.is_some() { StorageBackend::File } else { StorageBackend::Memory })
        .with_max_queued_messages_per_client(MAX_QUEUED.0)
        .with_max_queued_bytes_per_client(MAX_QUEUED.1);
    if let Some(folder) = folder {
        storage = storage.with_base_dir(folder);
    }
    let mut settings = BrokerConfig::new()
        .with_bind_address(config.embedded.listen)
        .with_max_clients(MAX_CLIENTS)
        .with_session_expiry(SESSION_EXPIRY)
        .with_max_packet_size(usize::try_from(config.max_packet()).unwrap_or(usize::MAX).max(1_024))
        .with_storage(storage);
    // As many as our own client takes: with the library's 64, one slow script would soon hold back all others.
    settings.max_outbound_inflight = 10_000;
    // Idle is silent: nobody here counts the broker's packets.
    settings.sys_topics_enabled = false;
    settings
}

/// Lets in who knows the one user name and password.
struct Doorkeeper {
    username: String,
    password: Option<Secret>,
}

impl Doorkeeper {
    fn knows(&self, connect: &ConnectPacket) -> bool {
        let expected = self.password.as_ref().map_or("", Secret::expose);
        let username = connect.username.as_deref().unwrap_or_default();
        let password = connect.password.as_deref().unwrap_or_default();
        let same = username.as_bytes().ct_eq(self.username.as_bytes()) & password[..].ct_eq(expected.as_bytes());
        same.into()
    }
}

impl AuthProvider for Doorkeeper {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        _client: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = mqtt5::Result<AuthResult>> + Send + 'a>> {
        let answer = match self.knows(connect) {
            true => AuthResult::success_with_user(self.username.clone()),
            false => AuthResult::fail(ReasonCode::BadUsernameOrPassword),
        };
        Box::pin(std::future::ready(Ok(answer)))
    }

    fn authorize_publish<'a>(
        &'a self,
        _client_id: &str,
        _user: Option<&'a str>,
        _topic: &'a str,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(std::future::ready(true))
    }

    fn authorize_subscribe<'a>(
        &'a self,
        _client_id: &str,
        _user: Option<&'a str>,
        _filter: &'a str,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(std::future::ready(true))
    }
}
