//! `mqtt:`: connections to brokers, and the embedded broker.

mod address;
mod broker;
mod brokers;
mod embedded;
mod text;
mod tls;
mod will;

pub use self::broker::{Backoff, Broker, OutboxFull, Protocol, SessionOptions};
pub(super) use self::brokers::read;
pub use self::brokers::{DEFAULT_BROKER, Mqtt};
pub use self::embedded::{Certificate, EmbeddedBroker};
pub use self::tls::Tls;
pub use self::will::Will;
