//! MQTT: one connection per broker for all scripts, and the broker that comes along.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::topic::Filter;
use crate::value::Map;

/// Which retained messages a subscription wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retained {
    /// None: only what is published from now on.
    #[default]
    Live,
    /// The retained value, once, when the subscription goes live; then all that is published.
    Initial,
    /// The retained value, once, and nothing else.
    Only,
}

/// A message from a broker.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Bytes,
    /// 0, 1 or 2.
    pub qos: u8,
    /// Whether the broker had kept it.
    pub retain: bool,
    /// Whether it may have come before.
    pub dup: bool,
    /// The broker's name in the config.
    pub broker: String,
    /// MQTT 5 properties; empty for 3.1.1.
    pub properties: Map,
    /// When it came in.
    pub received: Timestamp,
    /// Confirms the message to the broker when the last clone is dropped (QoS 1 and 2).
    pub receipt: Arc<Receipt>,
}

/// The debt of an acknowledgement, paid when dropped.
#[derive(Debug, Default)]
pub struct Receipt {
    pay: Option<mpsc::UnboundedSender<()>>,
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(pay) = self.pay.take() {
            let _ = pay.send(());
        }
    }
}

/// A message to a broker.
#[derive(Debug, Clone, Default)]
pub struct Publish {
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: Bytes,
    /// 0, 1 or 2.
    pub qos: u8,
    /// Whether the broker keeps it.
    pub retain: bool,
    /// The broker's name; `None`: the default one.
    pub broker: Option<String>,
}

/// What went wrong between us and a broker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such broker in the config.
    #[error("there is no broker `{0}` in rhaid.yaml")]
    UnknownBroker(String),
    /// The outbox is full while the broker is away.
    #[error("not connected to {broker}, and {waiting} messages wait already")]
    NotConnected {
        /// The broker's name.
        broker: String,
        /// How many wait.
        waiting: usize,
    },
    /// The packet is larger than `mqtt.max_packet`.
    #[error("the message has {size} bytes, {limit} is the limit (`mqtt.max_packet`)")]
    TooLarge {
        /// Bytes of the packet.
        size: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// The topic is none.
    #[error("{0}")]
    Topic(String),
    /// The broker said no.
    #[error("the broker refused: {0}")]
    Refused(String),
}

/// A live subscription; given back when dropped.
pub struct Subscription {
    /// What came in.
    pub messages: mpsc::Receiver<Message>,
}

/// Brokers; cheap to clone.
#[derive(Clone)]
pub struct Mqtt(Arc<()>);

impl Mqtt {
    /// Wants a filter from now on; the broker is asked again after every reconnect.
    ///
    /// # Errors
    /// [`Error::UnknownBroker`].
    pub fn subscribe(
        &self,
        _filter: &Filter,
        _qos: u8,
        _retained: Retained,
        _broker: Option<&str>,
    ) -> Result<Subscription, Error> {
        unimplemented!()
    }

    /// Sends a message: returns when it is written (QoS 0) or confirmed (QoS 1 and 2). While the broker is away it waits in the outbox.
    ///
    /// # Errors
    /// If it can not be taken into the outbox or the broker refuses it.
    pub async fn publish(&self, _publish: Publish) -> Result<(), Error> {
        unimplemented!()
    }

    /// Returns whether a broker is connected now; `None`: the default one.
    pub fn is_connected(&self, _broker: Option<&str>) -> bool {
        unimplemented!()
    }

    /// Returns the last message seen on a topic.
    pub fn last(&self, _topic: &str) -> Option<Message> {
        unimplemented!()
    }
}
