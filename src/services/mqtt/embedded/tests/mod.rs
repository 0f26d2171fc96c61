//! The broker, byte by byte.

mod flows;
mod hostile;
mod raw;
mod version_5;

use std::net::SocketAddr;

use tempfile::TempDir;

use self::raw::{Got, Hello, Raw, hello, kept, packet, text};
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

    async fn start_with(change: impl FnOnce(&mut config::Embedded)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut config = config::Config::default_in(data.path()).mqtt;
        config.embedded.listen.set_port(0);
        change(&mut config.embedded);
        let embedded = Embedded::start(&config, data.path()).await.unwrap();
        Self { data, embedded, config }
    }

    /// Starts it again with its files as they are at this moment, as after a kill.
    async fn start_again(&mut self) {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(data.path().join("mqtt")).unwrap();
        std::fs::copy(self.data.path().join("mqtt/journal"), data.path().join("mqtt/journal")).unwrap();
        self.embedded = Embedded::start(&self.config, data.path()).await.unwrap();
        self.data = data;
    }

    fn address(&self) -> SocketAddr {
        self.embedded.address()
    }

    async fn connect(&self, version: u8, hello: Hello) -> Raw {
        Raw::connect(self.address(), version, hello).await
    }
}

#[test]
fn a_broker_that_strangers_reach_is_told_of_until_it_asks_for_a_password_over_tls() {
    let mut embedded = config::Config::default_in(std::path::Path::new("/")).mqtt.embedded;
    let said = |embedded: &config::Embedded, address: &str| super::of_strangers(address.parse().unwrap(), embedded);
    assert_eq!((said(&embedded, "127.0.0.1:1883"), said(&embedded, "[::1]:1883")), (None, None));
    assert!(said(&embedded, "0.0.0.0:1883").unwrap().contains("`mqtt.embedded.username`"));
    embedded.username = Some("house".into());
    assert!(said(&embedded, "192.168.1.5:1883").unwrap().contains("`mqtt.embedded.tls`"));
    embedded.tls = Some(config::Certificate { cert: "c".into(), key: "k".into() });
    assert_eq!(said(&embedded, "192.168.1.5:1883"), None);
}
