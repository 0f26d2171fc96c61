//! How clients in this process reach the embedded broker.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::services::mqtt::stream::Stream;

/// The embedded broker as its clients see it.
#[derive(Debug, Clone)]
pub struct EmbeddedEndpoint {
    /// The address on which it listens.
    pub address: SocketAddr,
    /// Opens streams within this process, if the broker runs in it.
    pub connector: Option<Connector>,
}

impl From<SocketAddr> for EmbeddedEndpoint {
    fn from(address: SocketAddr) -> Self {
        Self { address, connector: None }
    }
}

/// Opens streams to a broker in this process; cheap to clone.
#[derive(Clone)]
pub struct Connector(Arc<dyn Fn() -> Box<dyn Stream> + Send + Sync>);

impl Connector {
    pub(super) fn new(open: impl Fn() -> Box<dyn Stream> + Send + Sync + 'static) -> Self {
        Self(Arc::new(open))
    }

    pub(super) fn open(&self) -> Box<dyn Stream> {
        self.0()
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}
