//! The broker, tested with raw packets.

mod flows;
mod hostile;
mod raw;
mod version_5;

use std::net::SocketAddr;

use tempfile::TempDir;

use self::raw::{ConnectFields, RawClient, ReceivedPublish, clean_session, packet, persistent_session, text};
use super::Embedded;
use crate::config;

const BOTH: [u8; 2] = [4, 5];

struct Broker {
    data: TempDir,
    embedded: Embedded,
    config: config::Mqtt,
}

impl Broker {
    async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    async fn start_with(change: impl FnOnce(&mut config::EmbeddedBroker)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut config = config::Config::default_in(data.path()).mqtt;
        config.embedded.listen.set_port(0);
        change(&mut config.embedded);
        let embedded = Embedded::start(&config, data.path()).await.unwrap();
        Self { data, embedded, config }
    }

    /// Restarts the broker with a copy of its files at this moment, as after SIGKILL.
    async fn restart(&mut self) {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(data.path().join("mqtt")).unwrap();
        std::fs::copy(self.data.path().join("mqtt/journal"), data.path().join("mqtt/journal")).unwrap();
        self.embedded = Embedded::start(&self.config, data.path()).await.unwrap();
        self.data = data;
    }

    fn address(&self) -> SocketAddr {
        self.embedded.address()
    }

    async fn connect(&self, version: u8, connect: ConnectFields) -> RawClient {
        RawClient::connect(self.address(), version, connect).await
    }
}

#[test]
fn a_broker_that_other_machines_reach_causes_a_warning_until_it_has_a_password_and_tls() {
    let mut embedded = config::Config::default_in(std::path::Path::new("/")).mqtt.embedded;
    let warning =
        |embedded: &config::EmbeddedBroker, address: &str| super::exposure_warning(address.parse().unwrap(), embedded);
    assert_eq!((warning(&embedded, "127.0.0.1:1883"), warning(&embedded, "[::1]:1883")), (None, None));
    assert!(warning(&embedded, "0.0.0.0:1883").unwrap().contains("`mqtt.embedded.username`"));
    embedded.username = Some("house".into());
    assert!(warning(&embedded, "192.168.1.5:1883").unwrap().contains("`mqtt.embedded.tls`"));
    embedded.tls = Some(config::Certificate { cert: "c".into(), key: "k".into() });
    assert_eq!(warning(&embedded, "192.168.1.5:1883"), None);
}
