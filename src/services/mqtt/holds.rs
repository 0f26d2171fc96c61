//! Guards that delay connections and the delivery of messages.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::services::mqtt::broker_client::BrokerClient;

/// Keeps connections from being opened until it is dropped.
pub struct ConnectionHold(Arc<[Arc<BrokerClient>]>);

impl ConnectionHold {
    pub(super) fn new(clients: Arc<[Arc<BrokerClient>]>) -> Self {
        for client in clients.iter().filter(|client| !client.has_startup_hold.swap(false, Ordering::AcqRel)) {
            client.holds.send_modify(|holds| *holds += 1);
        }
        Self(clients)
    }
}

impl Drop for ConnectionHold {
    fn drop(&mut self) {
        self.0.iter().for_each(|client| client.holds.send_modify(|holds| *holds -= 1));
    }
}

/// Buffers incoming messages until it is dropped.
pub struct DeliveryPause(Arc<[Arc<BrokerClient>]>);

impl DeliveryPause {
    pub(super) fn new(clients: Arc<[Arc<BrokerClient>]>) -> Self {
        clients.iter().for_each(|client| client.session().pause());
        Self(clients)
    }
}

impl Drop for DeliveryPause {
    fn drop(&mut self) {
        for client in &*self.0 {
            client.session().resume();
            client.pass_on();
        }
    }
}
