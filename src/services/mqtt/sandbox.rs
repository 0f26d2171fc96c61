//! Clients of mock brokers, for a sandbox.

use crate::services::clock::Clock;
use crate::services::mqtt::connection_state::ConnectionState;
use crate::services::mqtt::error::Error;
use crate::services::mqtt::handle::{Mqtt, start};
use crate::services::mqtt::message::Publish;
use crate::services::mqtt::mock_broker::MockBrokers;
use crate::services::mqtt::settings::ConnectionSettings;
use crate::services::store::Store;
use crate::topic::check_topic;

impl Mqtt {
    /// Creates clients of mock brokers. Must be called inside the tokio runtime.
    pub fn with_mock_brokers(
        settings: Vec<ConnectionSettings>,
        clock: &Clock,
        store: &Store,
        brokers: &MockBrokers,
    ) -> Self {
        Self::from_clients(settings.into_iter().map(|settings| {
            let mock = brokers.broker(&settings.name);
            mock.forget_subscriptions();
            let client = start(settings, clock.clone(), Some(store.clone()), Some(mock.clone()));
            if !mock.is_offline() {
                mock.connect(&client.mock_peer());
                client.state.send_replace(ConnectionState::Connected);
            }
            client
        }))
    }

    /// Publishes a message as another client of the broker would.
    ///
    /// # Errors
    /// If the broker is unknown or down, or the topic is invalid.
    pub fn inject(&self, publish: Publish) -> Result<(), Error> {
        let client = self.broker(publish.broker.as_deref())?;
        check_topic(&publish.topic).map_err(Error::InvalidTopic)?;
        let Some(mock) = &client.mock else { return Ok(()) };
        if mock.is_offline() {
            return Err(Error::NotConnected { broker: client.settings.name.clone(), waiting: 0 });
        }
        mock.deliver(&publish, false, &client.mock_peer());
        client.wake();
        Ok(())
    }

    /// Takes a broker down, or starts it again without the session of this client.
    ///
    /// # Errors
    /// [`Error::UnknownBroker`].
    pub fn set_broker_down(&self, broker: Option<&str>, is_down: bool) -> Result<(), Error> {
        let client = self.broker(broker)?;
        let Some(mock) = &client.mock else { return Ok(()) };
        if mock.set_offline(is_down) == is_down {
            return Ok(());
        }
        if is_down {
            mock.forget_subscriptions();
            client.session().outbox.disconnected();
            client.state.send_replace(ConnectionState::Disconnected("the broker is down".into()));
        } else {
            mock.connect(&client.mock_peer());
            client.state.send_replace(ConnectionState::Connected);
            client.wake();
        }
        Ok(())
    }
}
