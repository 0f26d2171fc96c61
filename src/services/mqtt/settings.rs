//! Connection settings of a broker.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::{fs, io};

use url::{Host, Url};

use crate::config::{self, Backoff, Broker, OutboxFull, SessionOptions, Tls, Will};
use crate::secrets::Secret;
use crate::services::mqtt::embedded_endpoint::{Connector, EmbeddedEndpoint};

pub use crate::config::{DEFAULT_BROKER, Protocol};

/// Connection settings of a broker.
#[derive(Debug, Clone)]
pub struct ConnectionSettings {
    /// Its name in the config.
    pub name: String,
    /// Its address.
    pub address: BrokerAddress,
    /// The embedded broker of this process, which is reached without its address.
    pub connector: Option<Connector>,
    /// The protocol version.
    pub protocol: Protocol,
    /// TLS options, if the connection is encrypted.
    pub tls: Option<Tls>,
    /// The client identifier; unique among the clients of the broker.
    pub client_id: String,
    /// User name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// Session expiry, keep alive and receive maximum.
    pub session: SessionOptions,
    /// The largest packet accepted or sent, in bytes.
    pub max_packet: usize,
    /// Limit of inflight messages of QoS 1 and 2.
    pub max_inflight: u16,
    /// Capacity of the outbox, in messages.
    pub outbox: usize,
    /// Overflow policy of the outbox while the broker is offline.
    pub outbox_full: OutboxFull,
    /// Delays between connection attempts.
    pub backoff: Backoff,
    /// Additional headers of the WebSocket handshake.
    pub headers: Vec<(String, Secret)>,
    /// The will message.
    pub will: Option<Will>,
}

/// Address of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerAddress {
    /// TCP.
    Host {
        /// A host name, or an IP address without brackets.
        host: String,
        /// Its port.
        port: u16,
        /// Path and query of the WebSocket, if MQTT is carried in one.
        websocket: Option<String>,
        /// The proxy to connect through.
        proxy: Option<Proxy>,
    },
    /// Unix domain socket.
    Socket(PathBuf),
}

/// A proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Whether it is a SOCKS 5 proxy; otherwise an HTTP proxy.
    pub is_socks: bool,
    /// A host name, or an IP address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// User name and password, if it requires authentication.
    pub login: Option<(String, Secret)>,
}

impl ConnectionSettings {
    /// Returns the settings of the default broker, as [`ConnectionSettings::all`] does.
    ///
    /// # Errors
    /// As [`ConnectionSettings::all`].
    pub fn new(
        config: &config::Mqtt,
        embedded: impl Into<EmbeddedEndpoint>,
        client_id: String,
    ) -> Result<Self, String> {
        let broker = config.brokers.first().ok_or("there is no broker")?;
        Self::from_config(broker, &config.embedded, &embedded.into(), client_id)
    }

    /// Returns the settings of all brokers; the first is the default one. `embedded` is the embedded broker, or the address on which it listens;
    /// `client_id` is for brokers without `client_id` in the config.
    ///
    /// # Errors
    /// If a URL is not that of a broker; the message contains the correction.
    pub fn all(
        config: &config::Mqtt,
        embedded: impl Into<EmbeddedEndpoint>,
        client_id: &str,
    ) -> Result<Vec<Self>, String> {
        let embedded = embedded.into();
        let settings = |broker: &Broker| {
            // Two names may mean one broker, where the clients need different identifiers.
            let client_id = match broker.name.as_str() {
                DEFAULT_BROKER => client_id.to_owned(),
                name => format!("{client_id}-{name}"),
            };
            Self::from_config(broker, &config.embedded, &embedded, client_id)
        };
        config.brokers.iter().map(settings).collect()
    }

    /// Returns the settings of all brokers for a short-lived client beside a running rhaid: another client identifier, a clean start and no will.
    ///
    /// # Errors
    /// As [`ConnectionSettings::all`].
    pub fn ephemeral(config: &config::Mqtt) -> Result<Vec<Self>, String> {
        let all = Self::all(config, config.embedded.listen, "rhaid")?;
        Ok(all.into_iter().map(Self::into_ephemeral).collect())
    }

    fn from_config(
        broker: &Broker,
        embedded: &config::EmbeddedBroker,
        endpoint: &EmbeddedEndpoint,
        client_id: String,
    ) -> Result<Self, String> {
        let mut settings = Self {
            name: broker.name.clone(),
            address: tcp_address(reachable(endpoint.address.ip()).to_string(), endpoint.address.port()),
            connector: endpoint.connector.clone(),
            protocol: broker.protocol,
            // The broker is on this machine, where its certificate, issued for its public name, cannot be verified.
            tls: embedded.tls.as_ref().map(|_| Tls { insecure: true, ..Tls::default() }),
            client_id: broker.client_id.clone().unwrap_or(client_id),
            username: embedded.username.clone(),
            password: embedded.password.clone(),
            session: broker.session,
            max_packet: usize::try_from(broker.max_packet).unwrap_or(usize::MAX),
            max_inflight: broker.max_inflight,
            outbox: broker.outbox,
            outbox_full: broker.outbox_full,
            backoff: broker.backoff,
            headers: broker.headers.clone(),
            will: broker.will.clone(),
        };
        if let Some(url) = &broker.url {
            settings.connector = None;
            settings.username.clone_from(&broker.username);
            settings.password.clone_from(&broker.password);
            settings.apply_url(url, &broker.tls)?;
            settings.apply_proxy(broker.proxy.as_deref())?;
        }
        Ok(settings)
    }

    /// Returns the settings of a short-lived client beside a running rhaid: another client identifier, a clean start and no will.
    #[must_use]
    pub fn into_ephemeral(mut self) -> Self {
        self.client_id = format!("{}-{}", self.client_id, random_text());
        self.session.clean_start = true;
        self.will = None;
        self
    }

    /// Returns the URL of the broker.
    pub fn url(&self) -> String {
        let (host, port, websocket) = match &self.address {
            BrokerAddress::Socket(path) => return format!("unix://{}", path.display()),
            BrokerAddress::Host { host, port, websocket, .. } => (host, port, websocket),
        };
        let scheme = match (websocket, &self.tls) {
            (None, None) => "mqtt",
            (None, Some(_)) => "mqtts",
            (Some(_), None) => "ws",
            (Some(_), Some(_)) => "wss",
        };
        let path = websocket.as_deref().unwrap_or_default();
        match host.contains(':') {
            true => format!("{scheme}://[{host}]:{port}{path}"),
            false => format!("{scheme}://{host}:{port}{path}"),
        }
    }

    fn apply_url(&mut self, text: &str, tls: &Tls) -> Result<(), String> {
        let url = Url::parse(text).map_err(|error| invalid_url(&error.to_string()))?;
        self.tls = matches!(url.scheme(), "mqtts" | "wss").then(|| tls.clone());
        let default_port = match url.scheme() {
            "unix" => {
                self.address = BrokerAddress::Socket(decoded(url.path()).into());
                return Ok(());
            }
            "mqtt" => 1_883,
            "mqtts" => 8_883,
            "ws" => 80,
            "wss" => 443,
            other => return Err(invalid_url(&format!("`{other}` is not a URL scheme of MQTT brokers"))),
        };
        self.address = tcp_address(host(&url)?, url.port().unwrap_or(default_port));
        if let (true, BrokerAddress::Host { websocket, .. }) = (url.scheme().starts_with("ws"), &mut self.address) {
            let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
            *websocket = Some(format!("{}{query}", url.path()));
        }
        Ok(())
    }

    fn apply_proxy(&mut self, url: Option<&str>) -> Result<(), String> {
        let (Some(url), BrokerAddress::Host { proxy, .. }) = (url, &mut self.address) else { return Ok(()) };
        let url = Url::parse(url).map_err(|error| format!("proxy: {error}"))?;
        let is_socks = url.scheme() == "socks5";
        let login = (!url.username().is_empty()).then(|| {
            let password = Secret::new(decoded(url.password().unwrap_or_default()));
            (decoded(url.username()), password)
        });
        let port = url.port_or_known_default().unwrap_or(1_080);
        *proxy = Some(Proxy { is_socks, host: host(&url)?, port, login });
        Ok(())
    }
}

fn tcp_address(host: String, port: u16) -> BrokerAddress {
    BrokerAddress::Host { host, port, websocket: None, proxy: None }
}

fn host(url: &Url) -> Result<String, String> {
    match url.host() {
        // The `url` crate keeps hosts of other schemes than those of the web as they are written.
        Some(Host::Domain(name)) => Ok(decoded(name)),
        Some(Host::Ipv4(address)) => Ok(address.to_string()),
        Some(Host::Ipv6(address)) => Ok(address.to_string()),
        None => Err(invalid_url("there is no host")),
    }
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn invalid_url(why: &str) -> String {
    format!("{why}: write it as \"mqtt://HOST:1883\" or \"mqtts://HOST:8883\"")
}

/// Returns the client identifier stored in the data folder; created by the first call.
///
/// # Errors
/// If the folder cannot be read or written.
pub fn client_id(data: &Path) -> io::Result<String> {
    let file = data.join("mqtt-client-id");
    match fs::read_to_string(&file) {
        Ok(id) if !id.trim().is_empty() => return Ok(id.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let id = format!("rhaid-{}", random_text());
    fs::write(&file, &id)?;
    Ok(id)
}

/// Returns a random suffix for client identifiers.
pub(super) fn random_text() -> String {
    let mut bytes = [0; 5];
    // The process id is the fallback: identifiers have to be different, not unpredictable.
    if getrandom::fill(&mut bytes).is_err() {
        bytes.copy_from_slice(&std::process::id().to_be_bytes().repeat(2)[..5]);
    }
    hex::encode(bytes)
}

/// Returns the address to connect to for an address to listen on.
fn reachable(listen: IpAddr) -> IpAddr {
    match listen {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}
