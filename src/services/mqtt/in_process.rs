//! Clients of brokers in this process.

use crate::services::clock::Clock;
use crate::services::mqtt::error::Error;
use crate::services::mqtt::handle::{Mqtt, start};
use crate::services::mqtt::in_process_link::InProcessLink;
use crate::services::mqtt::message::Publish;
use crate::services::mqtt::settings::ConnectionSettings;
use crate::services::store::Store;
use crate::topic::check_topic;

impl Mqtt {
    /// Creates clients of brokers in this process, not yet connected. Must be called inside the tokio runtime.
    pub fn in_process(
        clients: impl IntoIterator<Item = (ConnectionSettings, InProcessLink)>,
        clock: &Clock,
        store: &Store,
    ) -> Self {
        let start = |(settings, link)| start(settings, clock.clone(), Some(store.clone()), Some(link));
        Self::from_clients(clients.into_iter().map(start))
    }

    /// Connects the client of a broker in this process, if it is not connected.
    ///
    /// # Errors
    /// If the broker is unknown or refuses the connection.
    pub fn connect_in_process(&self, broker: Option<&str>) -> Result<(), Error> {
        let client = self.broker(broker)?;
        let Some(link) = client.in_process.as_ref().filter(|link| !link.is_connected()) else { return Ok(()) };
        link.connect(&client.settings, &client.session).map_err(|why| Error::Refused(why.to_string()))?;
        client.connected();
        client.wake();
        Ok(())
    }

    /// Disconnects the client of a broker in this process for this reason, unless it is disconnected, as if the broker had stopped; its session is lost.
    ///
    /// # Errors
    /// [`Error::UnknownBroker`].
    pub fn disconnect_in_process(&self, broker: Option<&str>, why: &str) -> Result<(), Error> {
        let client = self.broker(broker)?;
        if let Some(link) = &client.in_process
            && !client.state.borrow().is_offline()
        {
            link.end_session();
            client.disconnected(why);
        }
        Ok(())
    }

    /// Publishes a message as another client of a broker in this process would.
    ///
    /// # Errors
    /// If the broker is unknown, disconnected or refuses the message, or the topic is invalid.
    pub fn inject(&self, publish: Publish) -> Result<(), Error> {
        let client = self.broker(publish.broker.as_deref())?;
        check_topic(&publish.topic).map_err(Error::InvalidTopic)?;
        let Some(link) = &client.in_process else { return Ok(()) };
        if !link.is_connected() {
            return Err(Error::NotConnected { broker: client.settings.name.clone(), waiting: 0 });
        }
        link.broker.publish(publish).map_err(|why| Error::Refused(why.to_string()))?;
        client.wake();
        Ok(())
    }
}
