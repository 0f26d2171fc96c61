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
