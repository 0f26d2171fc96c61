//! Where a broker is and how it is spoken to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::{fs, io};

use url::{Host, Url};

use crate::config::{self, Backoff, Broker, OutboxFull, Session, Tls, Will};
use crate::secrets::Secret;

pub use crate::config::{DEFAULT_BROKER, Protocol};

/// Where a broker is and how it is spoken to.
#[derive(Debug, Clone)]
pub struct ConnectionSettings {
    /// Its name in the config.
    pub name: String,
    /// Where it is.
    pub address: BrokerAddress,
    /// Which MQTT is spoken.
    pub protocol: Protocol,
    /// How the connection is encrypted, if it is.
    pub tls: Option<Tls>,
    /// The name it knows us by; no other client may have it.
    pub client_id: String,
    /// What it wants to hear.
    pub username: Option<String>,
    /// What it wants to hear.
    pub password: Option<Secret>,
    /// How long each side remembers the other, and how it is known to be there.
    pub session: Session,
    /// The largest packet taken or sent, in bytes.
    pub max_packet: usize,
    /// How many messages with QoS 1 and 2 are on the way before the first is confirmed.
    pub max_inflight: u16,
    /// How many publishes wait while the broker is away.
    pub outbox: usize,
    /// What happens when more come.
    pub outbox_full: OutboxFull,
    /// How long to wait before it is called again.
    pub backoff: Backoff,
    /// What else the greeting of a WebSocket says.
    pub headers: Vec<(String, Secret)>,
    /// What it tells others when it has lost us.
    pub will: Option<Will>,
}

/// Where a broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerAddress {
    /// At a host, which is a name or an address without brackets.
    Host {
        /// The host.
        host: String,
        /// Its port.
        port: u16,
        /// Under which path it speaks MQTT in a WebSocket, if it does so.
        websocket: Option<String>,
        /// The proxy on the way.
        proxy: Option<Proxy>,
    },
    /// At a socket in the file system.
    Socket(PathBuf),
}

/// A proxy on the way to a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Whether it speaks SOCKS 5; else HTTP.
    pub is_socks: bool,
    /// A name or an address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// User and password, if it asks for them.
    pub login: Option<(String, Secret)>,
}

impl ConnectionSettings {
    /// Reads how the default broker is spoken to, as [`ConnectionSettings::all`] does.
    ///
    /// # Errors
    /// As there.
    pub fn new(config: &config::Mqtt, embedded: SocketAddr, client_id: String) -> Result<Self, String> {
        let broker = config.brokers.first().ok_or("there is no broker")?;
        Self::of(broker, &config.embedded, embedded, client_id)
    }

    /// Reads how the brokers are spoken to; the first is the default one. The embedded one is at `embedded` (where [`super::Embedded`] says it
    /// listens); `client_id` is for those that have none of their own.
    ///
    /// # Errors
    /// If a URL is none of a broker; the message says what to write.
    pub fn all(config: &config::Mqtt, embedded: SocketAddr, client_id: &str) -> Result<Vec<Self>, String> {
        let read = |broker: &Broker| {
            // Two names may lead to one broker, which must not take one for the other.
            let client_id = match broker.name.as_str() {
                DEFAULT_BROKER => client_id.to_owned(),
                name => format!("{client_id}-{name}"),
            };
            Self::of(broker, &config.embedded, embedded, client_id)
        };
        config.brokers.iter().map(read).collect()
    }

    fn of(
        broker: &Broker,
        embedded: &config::Embedded,
        listens: SocketAddr,
        client_id: String,
    ) -> Result<Self, String> {
        let mut settings = Self {
            name: broker.name.clone(),
            address: at(reachable(listens.ip()).to_string(), listens.port()),
            protocol: broker.protocol,
            // It is on this machine, so its certificate, which has the name that others know it by, proves nothing.
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
            settings.username.clone_from(&broker.username);
            settings.password.clone_from(&broker.password);
            settings.take_url(url, &broker.tls)?;
            settings.take_proxy(broker.proxy.as_deref())?;
        }
        Ok(settings)
    }

    /// Returns the settings for a short visit beside a rhaid that runs: another client id, and nothing is remembered or left behind.
    #[must_use]
    pub fn into_ephemeral(mut self) -> Self {
        self.client_id = format!("{}-{}", self.client_id, random_text());
        self.session.clean_start = true;
        self.will = None;
        self
    }

    /// Returns where the broker is, for people.
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

    fn take_url(&mut self, written: &str, tls: &Tls) -> Result<(), String> {
        let url = Url::parse(written).map_err(|error| wrong(&error.to_string()))?;
        self.tls = matches!(url.scheme(), "mqtts" | "wss").then(|| tls.clone());
        let usual = match url.scheme() {
            "unix" => {
                self.address = BrokerAddress::Socket(decoded(url.path()).into());
                return Ok(());
            }
            "mqtt" => 1_883,
            "mqtts" => 8_883,
            "ws" => 80,
            "wss" => 443,
            other => return Err(wrong(&format!("`{other}` is no way to reach a broker"))),
        };
        self.address = at(host(&url)?, url.port().unwrap_or(usual));
        if let (true, BrokerAddress::Host { websocket, .. }) = (url.scheme().starts_with("ws"), &mut self.address) {
            let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
            *websocket = Some(format!("{}{query}", url.path()));
        }
        Ok(())
    }

    fn take_proxy(&mut self, written: Option<&str>) -> Result<(), String> {
        let (Some(written), BrokerAddress::Host { proxy, .. }) = (written, &mut self.address) else { return Ok(()) };
        let url = Url::parse(written).map_err(|error| format!("proxy: {error}"))?;
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

fn at(host: String, port: u16) -> BrokerAddress {
    BrokerAddress::Host { host, port, websocket: None, proxy: None }
}

fn host(url: &Url) -> Result<String, String> {
    match url.host() {
        // What is no scheme of the web keeps its host as it was written.
        Some(Host::Domain(name)) => Ok(decoded(name)),
        Some(Host::Ipv4(address)) => Ok(address.to_string()),
        Some(Host::Ipv6(address)) => Ok(address.to_string()),
        None => Err(wrong("there is no host")),
    }
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn wrong(why: &str) -> String {
    format!("{why}: write it as \"mqtt://HOST:1883\" or \"mqtts://HOST:8883\"")
}

/// Returns the client id that is kept in the data folder, made at the first call.
///
/// # Errors
/// If the folder can not be read or written.
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

pub(super) fn random_text() -> String {
    let mut bytes = [0; 5];
    // Without randomness the process id will do: two ids must differ, nobody must be unable to guess them.
    if getrandom::fill(&mut bytes).is_err() {
        bytes.copy_from_slice(&std::process::id().to_be_bytes().repeat(2)[..5]);
    }
    hex::encode(bytes)
}

/// Returns the address to call for one to listen on.
fn reachable(listen: IpAddr) -> IpAddr {
    match listen {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}
