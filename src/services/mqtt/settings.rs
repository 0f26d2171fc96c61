//! Where a broker is and how it is spoken to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use url::{Host, Url};

use crate::config::{self, Tls};
use crate::secrets::Secret;

/// The name of the one broker, until there can be several.
pub const DEFAULT_BROKER: &str = "default";

/// Which MQTT is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// 5 if the broker understands it, else 3.1.1.
    #[default]
    Newest,
    /// 3.1.1.
    V4,
    /// 5.
    V5,
}

/// Where a broker is and how it is spoken to.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name in the config.
    pub name: String,
    /// A name or an address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Which MQTT is spoken.
    pub protocol: Protocol,
    /// How the connection is encrypted, if it is.
    pub tls: Option<Tls>,
    /// The name it knows us by; no other client may have it.
    pub client_id: String,
    /// Whether it forgets us when we leave.
    pub clean_start: bool,
    /// What it wants to hear.
    pub username: Option<String>,
    /// What it wants to hear.
    pub password: Option<Secret>,
    /// How often the connection is proved alive.
    pub keep_alive: Duration,
    /// The largest packet taken or sent, in bytes.
    pub max_packet: usize,
    /// How many publishes wait while the broker is away.
    pub outbox: usize,
}

impl Settings {
    /// Reads the config: the broker at `mqtt.url`, or else the embedded one at `embedded` (where [`super::Embedded`] says it listens).
    ///
    /// # Errors
    /// If the URL is none of a broker; the message says what to write.
    pub fn new(config: &config::Mqtt, embedded: SocketAddr, client_id: String) -> Result<Self, String> {
        let mut settings = Self {
            name: DEFAULT_BROKER.into(),
            host: reachable(embedded.ip()).to_string(),
            port: embedded.port(),
            protocol: Protocol::default(),
            tls: None,
            client_id,
            clean_start: config.clean_start,
            username: config.embedded.username.clone(),
            password: config.embedded.password.clone(),
            keep_alive: config.keep_alive,
            max_packet: usize::try_from(config.max_packet).unwrap_or(usize::MAX),
            outbox: config.outbox,
        };
        if let Some(url) = &config.url {
            settings.username.clone_from(&config.username);
            settings.password.clone_from(&config.password);
            settings.take_url(url, &config.tls)?;
        }
        Ok(settings)
    }

    /// Returns the settings for a short visit beside a rhaid that runs: another client id, and nothing is remembered.
    #[must_use]
    pub fn as_visitor(mut self) -> Self {
        self.client_id = format!("{}-{}", self.client_id, random_text());
        self.clean_start = true;
        self
    }

    /// Returns where the broker is, for people.
    pub fn address(&self) -> impl fmt::Display {
        let scheme = if self.tls.is_some() { "mqtts" } else { "mqtt" };
        match self.host.contains(':') {
            true => format!("{scheme}://[{}]:{}", self.host, self.port),
            false => format!("{scheme}://{}:{}", self.host, self.port),
        }
    }

    fn take_url(&mut self, written: &str, tls: &Tls) -> Result<(), String> {
        let wrong = |why: &str| format!("{why}: write it as \"mqtt://HOST:1883\" or \"mqtts://HOST:8883\"");
        let url = Url::parse(written).map_err(|error| wrong(&error.to_string()))?;
        self.tls = match url.scheme() {
            "mqtt" | "tcp" => None,
            "mqtts" | "ssl" | "tls" => Some(tls.clone()),
            other => return Err(wrong(&format!("`{other}` is no way to reach a broker"))),
        };
        self.host = match url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => return Err(wrong("there is no host")),
        };
        self.port = url.port().unwrap_or(if self.tls.is_some() { 8_883 } else { 1_883 });
        let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        if !url.username().is_empty() {
            self.username = Some(decoded(url.username()));
        }
        if let Some(password) = url.password() {
            self.password = Some(Secret::new(decoded(password)));
        }
        Ok(())
    }
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

fn random_text() -> String {
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
