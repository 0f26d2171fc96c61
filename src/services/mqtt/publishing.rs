//! Publishing: messages enter the outbox of their broker.

use tokio::sync::oneshot;

use crate::config::OutboxFull;
use crate::services::mqtt::broker_client::BrokerClient;
use crate::services::mqtt::client_session::ClientSession;
use crate::services::mqtt::connection_state::ConnectionState;
use crate::services::mqtt::delivery::{Delivery, DurablePublish};
use crate::services::mqtt::error::Error;
use crate::services::mqtt::handle::Mqtt;
use crate::services::mqtt::message::Publish;
use crate::services::mqtt::outbox::Completion;
use crate::services::mqtt::store_tracker::{StoreTracker, StoredSignal};
use crate::services::mqtt::submissions::Submission;
use crate::topic::check_topic;

impl Mqtt {
    /// Publishes a message; returns once it is written to the connection (QoS 0) or acknowledged (QoS 1 and 2).
    ///
    /// While the broker is offline the message waits in the outbox; at QoS 0 this returns as soon as it is there.
    ///
    /// # Errors
    /// If the outbox cannot take the message or the broker refuses it.
    pub async fn publish(&self, publish: Publish) -> Result<(), Error> {
        self.send(publish).await?.await
    }

    /// Enqueues a message in the outbox, which sends in order, and returns a future of its delivery.
    ///
    /// If the outbox is full, this waits for room unless the broker is offline.
    ///
    /// # Errors
    /// If the topic is invalid, the message is too large, or the outbox is full while the broker is offline.
    pub async fn send(&self, publish: Publish) -> Result<Delivery, Error> {
        let (on_delivered, delivered) = oneshot::channel();
        self.enqueue(publish, Some(on_delivered), || None).await?;
        Ok(Delivery::new(delivered))
    }

    /// Enqueues a message durably, and returns futures that end once it is on disk and once the broker has acknowledged it.
    ///
    /// A message of QoS 1 or 2 that is on disk is sent even if this process ends before. QoS 0 is not stored.
    ///
    /// # Errors
    /// As [`Mqtt::send`].
    pub async fn publish_durable(&self, publish: Publish) -> Result<DurablePublish, Error> {
        let ((on_stored, stored), (on_delivered, delivered)) = (oneshot::channel(), oneshot::channel());
        self.enqueue(publish, Some(on_delivered), || Some(StoredSignal::Once(on_stored))).await?;
        Ok(DurablePublish { stored: Delivery::new(stored), acknowledged: Delivery::new(delivered) })
    }

    /// Enqueues a message of a run, durably like [`Mqtt::publish_durable`]; `stored` tracks when it is safe. Returns a future of its
    /// delivery, if it is wanted.
    ///
    /// # Errors
    /// As [`Mqtt::send`].
    pub async fn publish_tracked(
        &self,
        publish: Publish,
        stored: &StoreTracker,
        wants_delivery: bool,
    ) -> Result<Option<Delivery>, Error> {
        let (on_delivered, delivered) = if wants_delivery {
            let (on_delivered, delivered) = oneshot::channel();
            (Some(on_delivered), Some(Delivery::new(delivered)))
        } else {
            (None, None)
        };
        let qos = publish.qos;
        self.enqueue(publish, on_delivered, || (qos > 0).then(|| stored.track())).await.map(|()| delivered)
    }

    /// Writes pending messages to disk at once instead of waiting for more to share the commit: a caller is blocked until they are there.
    pub fn flush_now(&self) {
        for client in self.clients() {
            client.session().outbox.flush_now();
            client.writes_pending.notify_one();
        }
    }

    async fn enqueue(
        &self,
        publish: Publish,
        on_delivered: Option<Completion>,
        on_stored: impl FnOnce() -> Option<StoredSignal>,
    ) -> Result<(), Error> {
        let client = self.broker(publish.broker.as_deref())?;
        check(&publish, client.settings.max_packet)?;
        let submission = Submission { publish, on_delivered, on_stored: on_stored() };
        let Some(submission) = client.submissions.submit(submission) else {
            client.wake();
            return Ok(());
        };
        loop {
            let room = client.outbox_room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            let is_offline = client.state.borrow().is_offline();
            {
                let mut session = client.session();
                if session.outbox.is_full() && is_offline && client.settings.outbox_full == OutboxFull::DropOldest {
                    session.drop_oldest();
                }
                if !session.outbox.is_full() {
                    push(client, &mut session, submission);
                    drop(session);
                    client.wake();
                    return Ok(());
                }
                if is_offline {
                    let broker = client.settings.name.clone();
                    if let Some(on_stored) = submission.on_stored {
                        on_stored.complete(Ok(()));
                    }
                    return Err(Error::NotConnected { broker, waiting: session.outbox.queued() });
                }
            }
            // A connection that fails meanwhile ends the wait, too.
            let mut state = client.state.subscribe();
            tokio::select! {
                () = room => {}
                _ = state.wait_for(ConnectionState::is_offline) => {}
            }
        }
    }
}

/// Checks the topic and the size of a message.
fn check(publish: &Publish, max_packet: usize) -> Result<(), Error> {
    check_topic(&publish.topic).map_err(Error::InvalidTopic)?;
    if publish.size() > max_packet {
        return Err(Error::TooLarge { size: publish.size() as u64, limit: max_packet as u64 });
    }
    Ok(())
}

/// Adds a message to the outbox, which has room for it.
fn push(client: &BrokerClient, session: &mut ClientSession, submission: Submission) {
    let Submission { publish, on_delivered, on_stored } = submission;
    let is_offline = client.state.borrow().is_offline();
    // While the broker is offline, QoS 0 counts as delivered once it is in the outbox.
    let on_delivered = match on_delivered {
        Some(on_delivered) if publish.qos == 0 && is_offline => {
            let _ = on_delivered.send(Ok(()));
            None
        }
        on_delivered => on_delivered,
    };
    session.outbox.push(publish, on_delivered, on_stored);
    if session.notifies_writer() {
        client.writes_pending.notify_one();
    }
}
