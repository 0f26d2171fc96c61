//! Subscriptions of scripts and commands.

use std::sync::Arc;
use std::time::Instant;

use crate::services::mqtt::broker_client::BrokerClient;
use crate::services::mqtt::error::Error;
use crate::services::mqtt::handle::Mqtt;
use crate::services::mqtt::inbox::Messages;
use crate::services::mqtt::message::{Retained, SubscribeOptions};
use crate::services::mqtt::subscriber::{Destination, MessageSink, Ready};
use crate::topic::Filter;

/// An active subscription; dropping it unsubscribes.
pub struct Subscription {
    /// The messages received.
    pub messages: Messages,
    ready: Ready,
    id: u64,
    client: Arc<BrokerClient>,
}

impl Subscription {
    /// Waits until the broker has acknowledged the subscription (SUBACK). From then on no message is missed.
    ///
    /// # Errors
    /// [`Error::Refused`] if the broker refuses a filter.
    pub async fn ready(&mut self) -> Result<(), Error> {
        wait_until_ready(&mut self.ready).await
    }

    /// Unsubscribes. Messages that have been received can still be taken; then [`Messages::recv`] returns `None`.
    pub fn end(&self) {
        self.client.session().registry.remove(self.id, Instant::now());
        self.client.wake();
    }
}

/// An active subscription of a sink; dropping it unsubscribes.
pub struct SinkSubscription {
    ready: Ready,
    id: u64,
    client: Arc<BrokerClient>,
}

impl SinkSubscription {
    /// Waits until the broker has acknowledged the subscription (SUBACK). From then on no message is missed.
    ///
    /// # Errors
    /// [`Error::Refused`] if the broker refuses a filter.
    pub async fn ready(&mut self) -> Result<(), Error> {
        wait_until_ready(&mut self.ready).await
    }
}

impl Drop for SinkSubscription {
    /// Unsubscribes; from then on the sink is not called.
    fn drop(&mut self) {
        self.client.session().registry.remove(self.id, Instant::now());
        // Waits for messages that are being passed on, and passes on those that were received before.
        self.client.pass_on();
        self.client.wake();
    }
}

async fn wait_until_ready(ready: &mut Ready) -> Result<(), Error> {
    match ready.wait_for(Option::is_some).await {
        Ok(answer) => answer.clone().unwrap_or(Ok(())),
        Err(_) => Ok(()),
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.end();
    }
}

impl Mqtt {
    /// Subscribes to a filter, and again after every reconnect.
    ///
    /// The queue of a subscriber is bounded to 1,000 messages: beyond that, messages of QoS 0 are dropped, and messages of QoS 1 and 2
    /// are not acknowledged.
    ///
    /// # Errors
    /// [`Error::UnknownBroker`].
    pub fn subscribe(
        &self,
        filter: &Filter,
        qos: u8,
        retained: Retained,
        broker: Option<&str>,
    ) -> Result<Subscription, Error> {
        self.subscribe_all(
            std::slice::from_ref(filter),
            SubscribeOptions { qos, retained, ..SubscribeOptions::default() },
            broker,
        )
    }

    /// Subscribes to several filters like [`Mqtt::subscribe`]; a message that matches more than one is delivered once.
    ///
    /// # Errors
    /// [`Error::UnknownBroker`].
    pub fn subscribe_all(
        &self,
        filters: &[Filter],
        options: SubscribeOptions,
        broker: Option<&str>,
    ) -> Result<Subscription, Error> {
        let client = Arc::clone(self.broker(broker)?);
        let (id, messages, ready) = client.session().registry.add(filters, options);
        client.wake();
        Ok(Subscription { messages, ready, id, client })
    }

    /// Subscribes to several filters like [`Mqtt::subscribe_all`]; messages are passed to a sink as they arrive, without a queue.
    ///
    /// # Errors
    /// [`Error::UnknownBroker`].
    pub fn subscribe_sink(
        &self,
        filters: &[Filter],
        options: SubscribeOptions,
        broker: Option<&str>,
        sink: Arc<dyn MessageSink>,
    ) -> Result<SinkSubscription, Error> {
        let client = Arc::clone(self.broker(broker)?);
        let (id, ready) = client.session().registry.add_to(filters, options, Destination::Sink(sink));
        client.wake();
        Ok(SinkSubscription { ready, id, client })
    }
}
